"""Whether the headers of a request declare its body as what a route reads.

A body that is declared as something else, such as the form that ``curl -d`` declares, is never taken for no body: what
is left out may mean that a permission is taken away.
"""

from __future__ import annotations

from typing import NoReturn

from flask import Request
from webargs.flaskparser import abort, is_json_request

JSON = "application/json"

_MAX_NAMED = 100  # characters of a header that a message repeats


def has_json(req: Request) -> bool:
    """Return whether a request has a body, which is then declared as JSON.

    :raises HTTPException: 415 if the body is declared as anything else, or is compressed; 400 if it comes in chunks,
        and the server does not hand such a body over
    """
    if is_json_request(req):
        _require_plain(req)
        return _may_have_body(req)
    if _has_body(req):
        refuse_media_type(req, JSON)
    return False


def require_media_type(req: Request, *readable: str) -> str:
    """Return which of these media types the body of a request is declared as; those of JSON count as JSON.

    :raises HTTPException: 415 if it is declared as none of them, or is compressed; 400 if it comes in chunks, and the
        server does not hand such a body over
    """
    declared = JSON if is_json_request(req) else req.mimetype
    if declared not in readable:
        refuse_media_type(req, *readable)
    _require_plain(req)
    _may_have_body(req)
    return declared


def refuse_media_type(req: Request, *readable: str) -> NoReturn:
    """Answer that a body is declared as something that a route does not read.

    :param readable: the media types that it reads
    :raises HTTPException: 415, always
    """
    declared = req.mimetype[:_MAX_NAMED]
    what = f"declared as {declared}" if declared else "not declared as anything"
    headers = " or ".join(f"Content-Type: {media_type}" for media_type in readable)
    abort(415, message=f"The body is {what}, which is not read here; send it with the header {headers}")


def _require_plain(req: Request) -> None:
    encoding = req.headers.get("Content-Encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        abort(
            415,
            message=f"The body is compressed ({encoding[:_MAX_NAMED]}), which is not read here; send it as it is,"
            " without the header Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )


def _has_body(req: Request) -> bool:
    """Return whether a request has a body of at least one byte; of one in chunks, that byte is read then."""
    if not _may_have_body(req):
        return False
    if req.content_length is not None:
        return True
    try:
        return bool(req.stream.read(1))
    except Exception:  # it is no sequence of chunks, so it is not empty either
        return True


def _may_have_body(req: Request) -> bool:
    """Return whether the headers announce a body, which may turn out to be empty if it comes in chunks.

    :raises HTTPException: 400 if they announce one in chunks, and the server does not hand such a body over
    """
    if req.content_length is not None:
        return req.content_length > 0
    if not req.headers.get("Transfer-Encoding"):
        return False
    if not req.environ.get("wsgi.input_terminated"):
        abort(400, message="A body in chunks does not arrive here; send it with the header Content-Length")
    return True
