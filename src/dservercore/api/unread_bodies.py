"""Bodies that nobody reads, because the request was refused before."""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any

from dservercore.body_limits import is_unread

#: Bytes, and seconds, after which a client that goes on sending has to do without the answer.
MAX_DISCARDED, MAX_SECONDS = 64 * 2**20, 10.0

_PATIENCE_SECONDS = 0.2  # with a client that announces a body and does not send it
_CHUNK = 1024  # servers wait until so much has come


def discard(environ: dict[str, Any]) -> None:
    """Read what a client is sending already, and make nothing of it.

    Many clients read no answer before they have sent everything, and a connection that is closed with something unread
    takes the answer with it. Where a server does not tell its socket, nothing is done.
    """
    socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    announced = environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING")
    if socket is None or not announced or announced == "0" or not is_unread(environ):
        return
    left, deadline = MAX_DISCARDED, time.monotonic() + MAX_SECONDS
    with contextlib.suppress(Exception):  # a body that is none changes nothing in the answer
        if int(environ.get("CONTENT_LENGTH") or 0) > left:
            return
        ready = select.poll()
        ready.register(socket, select.POLLIN)
        while left > 0 and time.monotonic() < deadline and ready.poll(1000 * _PATIENCE_SECONDS):
            chunk = environ["wsgi.input"].read(_CHUNK)
            left -= len(chunk)
            if not chunk:
                return
