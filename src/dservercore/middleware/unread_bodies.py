"""Bodies that nobody reads, because the request was refused before, or needs none."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import select
import struct
import termios
import time
from typing import Any, NoReturn

from dservercore.rest.body_limits import is_unread

#: Bytes, seconds, and seconds of a processor, after which a client that goes on sending has to do without the answer.
MAX_DISCARDED, MAX_SECONDS, MAX_PROCESSOR_SECONDS = 64 * 2**20, 3.0, 0.4

_PATIENCE_SECONDS = 0.2  # with a client that announces a body and does not send it
# Bytes that servers take from their socket at least and that they are asked for at most.
_SMALLEST_READ, _LARGEST_READ = 1024, 2**16
_READ_IN_CHUNKS = 2**14  # each of which may be of one byte, and takes some microseconds


def discard(environ: dict[str, Any]) -> None:
    """Read what a client is sending already, and make nothing of it.

    Many clients read no answer before they have sent everything, and a connection that is closed with something unread
    takes the answer with it. Where a server does not put its socket into *environ*, nothing is done. A connection on
    which a body has not been read to its end carries no other request.
    """
    socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    announced = environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING")
    if socket is None or not announced or announced == "0" or not is_unread(environ):
        return
    is_at_end = False
    with contextlib.suppress(Exception):  # a body that is malformed changes nothing in the answer
        timeout = socket.gettimeout()
        # A server waits for all that it is asked for, byte by byte, and nobody counts the seconds.
        socket.settimeout(0)
        try:
            sending = _Sending(environ, socket)
            with contextlib.suppress(OSError):  # nothing more is there
                is_at_end = sending.read_body()
            if not is_at_end:
                sending.empty_socket()
        finally:
            socket.settimeout(timeout)
    if not is_at_end:
        with contextlib.suppress(AttributeError):  # of a server that closes each connection
            environ["wsgi.input"].read = _fail


class _Sending:
    """What a client is sending, for as long as it may."""

    def __init__(self, environ: dict[str, Any], socket: Any) -> None:
        self._body, self._socket = environ["wsgi.input"], socket
        length = environ.get("CONTENT_LENGTH")
        self._missing = int(length) if length else None  # bytes of the body; None: it comes in chunks
        self._left = MAX_DISCARDED
        self._deadline = time.monotonic() + MAX_SECONDS
        self._started = time.thread_time()
        self._ready = select.poll()
        self._ready.register(socket, select.POLLIN)

    def read_body(self) -> bool:
        """Read the body as the server hands it over. Return whether that was all of it.

        :raises OSError: if something is missing that has not come yet; the server may have lost its place then
        """
        if self._missing is not None and self._missing > self._left:
            self._left = 0
        # Chunks cost a server much: half of the time is left for emptying the socket, which costs little.
        while self._may_go_on(MAX_PROCESSOR_SECONDS / 2):
            self._comes_more()
            size, part = self._next_part()
            self._left -= len(part)
            if self._missing is None:
                if len(part) < size:
                    return True
                continue
            self._missing -= len(part)
            if self._missing <= 0 or not part:
                return self._missing <= 0
        return False

    def _next_part(self) -> tuple[int, bytes]:
        """Return how many bytes the server was asked for, and those that it returned."""
        if self._missing is None:
            return _READ_IN_CHUNKS, self._body.read(_READ_IN_CHUNKS)
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, bytes(4)))
        if 0 < waiting < _SMALLEST_READ:
            return waiting, self._body.readline(waiting)  # asks the socket for no more than that
        # The server may have more, which has left the socket.
        size = min(waiting or _LARGEST_READ, _LARGEST_READ)
        return size, self._body.read(size)

    def empty_socket(self) -> None:
        """Read what comes, whatever it is."""
        while self._may_go_on(MAX_PROCESSOR_SECONDS) and self._comes_more():
            part = self._socket.recv(_LARGEST_READ)
            self._left -= len(part)
            if not part:
                return

    def _may_go_on(self, processor_seconds: float) -> bool:
        return (
            self._left > 0
            and time.monotonic() < self._deadline
            and time.thread_time() - self._started < processor_seconds
        )

    def _comes_more(self) -> bool:
        return bool(
            self._ready.poll(1000 * max(0, min(_PATIENCE_SECONDS, self._deadline - time.monotonic())))
        )


def _fail(_size: int = -1) -> NoReturn:
    # A server that keeps a connection reads the rest of a body before it takes the next request; it closes where that
    # fails, and takes this error for a client that has gone.
    raise ConnectionResetError(errno.ECONNRESET, "A body that nobody needs is not read any further")
