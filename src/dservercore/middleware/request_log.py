"""One line in the log for each request, and an id that ties it to what the client saw."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any
from urllib.parse import quote

from flask import Flask, g, request

from dservercore.auth.decoded_tokens import identity_of_request
from dservercore.catalog.scope import Actor, Origin
from dservercore.middleware.proxies import UNIX_SOCKET

REQUEST_ID = "X-Request-ID"

#: Where the id is in the WSGI environment.
_ID = "dservercore.request_id"

# What percent-encoding leaves as it is. Looking for anything else takes a fifth of the time of encoding.
_PLAIN = re.compile(r"[A-Za-z0-9_.~/:@!$&'()*+,;=-]*")

_USABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

logger = logging.getLogger("dservercore.requests")


def init_request_log(app: Flask) -> None:
    """Note for each request where it comes from, and keep the development server from logging it a second time."""
    logging.getLogger("werkzeug").addFilter(_is_of_no_request)
    app.before_request(_begin)


def number(environ: dict[str, Any]) -> str:
    """Give a request an id, which is that of its ``X-Request-ID`` header if it has a usable one, and return the id."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    # An id that is not plain could forge lines in the log.
    environ[_ID] = given if _USABLE_ID.fullmatch(given) else uuid.uuid4().hex
    return environ[_ID]


def _begin() -> None:
    environ = request.environ
    origin = Origin(environ.get("REMOTE_ADDR") or UNIX_SOCKET, environ.get(_ID))
    g.actor = Actor(None, origin=origin)  # nobody, so far


def write(environ: dict[str, Any], status: str, seconds: float) -> None:
    """Log method, path, status, milliseconds, user, address and request id of a request.

    The query string is left out: it may hold what somebody searches for.
    """
    username = identity_of_request()
    logger.info(
        "%s %s %s %.1f ms user=%s from=%s id=%s",
        _printable(environ["REQUEST_METHOD"]),
        _path(environ.get("PATH_INFO", "")),
        status[:3],
        1000 * seconds,
        _printable(username or "-"),
        _printable(environ.get("REMOTE_ADDR") or UNIX_SOCKET),
        environ[_ID],
    )


def _path(text: str) -> str:
    # WSGI has the bytes of a path disguised as latin-1.
    return text if _PLAIN.fullmatch(text) else _encoded(text.encode("latin-1"))


def _printable(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _encoded(text.encode("utf-8", "backslashreplace"))


def _encoded(text: bytes) -> str:
    """Return *text* percent-encoded, so that nothing in it ends the line, looks like a field or moves a cursor."""
    return quote(text, safe="/:@!$&'()*+,;=~")


def _is_of_no_request(record: logging.LogRecord) -> bool:
    """Return False for a line of the development server about a request: ours says more, but not what was searched."""
    return not str(record.msg).endswith('"%s" %s %s')
