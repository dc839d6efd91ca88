"""Entity tags (RFC 9110): each stands for a value, and a request may be for that value alone, or for any other.

A tag is a digest of the answer alone, and so the same from every worker, whatever the metadata are stored in. It goes
only to those who may read the value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Response, current_app, request
from werkzeug.datastructures import ETags
from werkzeug.http import parse_etags, quote_etag

from dservercore.errors import PreconditionError, invalid
from dservercore.rest.responses import json_answer

ETAG = "ETag"

#: Raises ``PreconditionError`` where the value at present is not the one that a request is meant for.
Check = Callable[[Any], None]

_ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"[ \t]*\*[ \t]*|[ \t,]*{_ENTITY_TAG}(?:[ \t]*,[ \t,]*{_ENTITY_TAG})*[ \t,]*")

#: For the documentation of the routes.
ETAG_HEADERS = {
    ETAG: {
        "description": "Stands for the value in this answer: for `If-Match` and `If-None-Match`",
        "schema": {"type": "string"},
    }
}
_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "One or more entity tags, or `*`: do this only while one of them stands for the value, else 412",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {**_IF_MATCH, "name": "If-None-Match"}

READING: dict[str, Any] = {
    "errors": (304, 401, 403, 404, 412, 422),
    "headers": ETAG_HEADERS,
    "parameters": [
        _IF_MATCH,
        _IF_NONE_MATCH
        | {"description": "Entity tags, or `*`: answer 304 if one of them stands for the value"},
    ],
}
EDIT_PARAMETERS = [
    _IF_MATCH,
    _IF_NONE_MATCH | {"description": "Entity tags, or `*`: answer 412 if one of them stands for the value"},
]


def etag_of(answer: Mapping[str, Any] | bytes) -> str:
    """Return the entity tag, 32 hex digits without quotes, of what a route answers, whatever the order of keys.

    :param answer: an object that JSON can express; or bytes, a JSON document
    """
    return hashlib.blake2b(
        answer if isinstance(answer, bytes) else _canonical(answer), digest_size=16
    ).hexdigest()


def _canonical(answer: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # integers beyond 64 bits, or very deep nesting
        return json.dumps(answer, separators=(",", ":"), sort_keys=True).encode()


def tagged(etag: str) -> dict[str, str]:
    """Return the header of an answer that the entity tag stands for."""
    return {ETAG: quote_etag(etag)}


def value_answer(answer: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a request to read a value: 200, or 304 without a body if the client has the value already.

    :param answer: an object that JSON can express; or bytes, a JSON document, plain or compressed
    :param headers: of either answer: how the bytes are compressed, and what that depends on
    :raises PreconditionError: if the request has an ``If-Match`` that does not name the value
    """
    headers = headers or {}
    etag = etag_of(answer)
    wanted = _tags_in("If-Match")
    if wanted is not None and etag not in wanted:
        raise _overtaken()
    # Nothing goes wrong if If-None-Match is read leniently: the client gets the value once more.
    if request.if_none_match.contains_weak(etag):
        response = current_app.response_class(status=304, headers={**headers, **tagged(etag)})
        for header in ("Content-Type", "Content-Encoding"):
            response.headers.pop(header, None)
        return response
    return json_answer(answer, headers={**headers, **tagged(etag)})


def condition_on(field: str) -> Check | None:
    """Return the check that ``If-Match`` and ``If-None-Match`` of a request ask for; None if it has neither.

    The check takes the value that is there before the edit, and raises a ``PreconditionError`` if the request is not
    meant for it.

    :param field: the one key of the answer: ``readme``, ``tags`` or ``annotations``
    :raises ValidationError: 422 if one of the headers is not a list of entity tags
    """
    wanted, unwanted = _tags_in("If-Match"), _tags_in("If-None-Match")
    if wanted is None and unwanted is None:
        return None

    def check(value: Any) -> None:
        etag = etag_of({field: value})
        if wanted is not None and etag not in wanted:
            raise _overtaken()
        if unwanted is not None and unwanted.contains_weak(etag):
            raise PreconditionError("The value is one of those that If-None-Match rules out")

    return check


def _overtaken() -> PreconditionError:
    return PreconditionError(
        "The value is not, or no longer, the one that If-Match stands for: read it again before you change it"
    )


def _tags_in(header: str) -> ETags | None:
    """Return the entity tags of a header; None if the request does not have it."""
    text = request.headers.get(header)
    if text is None:
        return None
    if not _LIST.fullmatch(text):
        raise invalid(header, 'must be *, or entity tags in double quotes: "one", "another"', "headers")
    return parse_etags(text.strip())
