"""One line in the log for each request, and an id that ties it to what the client saw."""

from __future__ import annotations

import logging
import re
import time
import uuid
from urllib.parse import quote

from flask import Flask, Response, g, request

from dservercore.api.proxies import UNIX_SOCKET
from dservercore.scope import Actor, Origin

REQUEST_ID = "X-Request-ID"

_USABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

logger = logging.getLogger("dservercore.requests")


def init_request_log(app: Flask) -> None:
    """Log method, path, status, milliseconds, user, address and request id of every request.

    The query string is left out: it may hold what somebody searches for.
    """
    logging.getLogger("werkzeug").addFilter(_is_of_no_request)
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    given = request.headers.get(REQUEST_ID, "")
    # An id that is not plain could forge lines in the log.
    g.request_id = given if _USABLE_ID.fullmatch(given) else uuid.uuid4().hex
    g.actor = Actor(None, origin=Origin(request.remote_addr or UNIX_SOCKET, g.request_id))  # nobody, so far


def _end(response: Response) -> Response:
    request_id = g.get("request_id") or uuid.uuid4().hex
    response.headers[REQUEST_ID] = request_id
    logger.info(
        "%s %s %d %.1f ms user=%s from=%s id=%s",
        request.method,
        _printable(request.path),
        response.status_code,
        1000 * (time.perf_counter() - g.get("started", time.perf_counter())),
        _printable(g.get("username") or "-"),
        _printable(request.remote_addr or UNIX_SOCKET),
        request_id,
    )
    return response


def _printable(text: str) -> str:
    """Return *text* percent-encoded, so that nothing in it ends the line, looks like a field or moves a cursor."""
    return quote(text, safe="/:@!$&'()*+,;=~", errors="backslashreplace")


def _is_of_no_request(record: logging.LogRecord) -> bool:
    """Return False for what the development server logs of each request: ours says more, and not what was searched."""
    return not str(record.msg).endswith('"%s" %s %s')
