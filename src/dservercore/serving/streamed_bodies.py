"""Bodies of requests that a thread of the application reads while they come: of files, which have room nowhere else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
from typing import Any

from werkzeug.exceptions import BadRequest, RequestTimeout

from dservercore.serving.patience import Patience
from dservercore.serving.request_bodies import SMALL_PART, SOME_PARTS, Receive

#: Bodies that a process reads at the same time, each with a thread of its own; whoever comes then is told to wait.
MOST_AT_ONCE = 32


class StreamedBody(io.RawIOBase):
    """A body that is received part by part, as it is read: no more of it is in memory than a connection holds.

    :param loop: that receives it
    :param seconds: for which a client may send nothing in the middle of it
    :ivar is_at_end: whether all of it has been read
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, seconds: float):
        self._loop, self._receive, self._seconds = loop, receive, seconds
        self._part = memoryview(b"")
        self._parts = self._size = 0
        self.is_at_end = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what comes next. Return how many bytes that are; 0: the body is at its end.

        :raises BadRequest: if it ends before it is complete, or comes in too many parts
        :raises RequestTimeout: if nothing comes for too long
        """
        while not self._part and not self.is_at_end:
            self._part = memoryview(self._next())
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size

    def _next(self) -> bytes:
        try:
            message = asyncio.run_coroutine_threadsafe(self._received(), self._loop).result()
        except asyncio.TimeoutError:
            raise RequestTimeout(f"Nothing more of the body has come for {self._seconds:g} seconds") from None
        except (concurrent.futures.CancelledError, RuntimeError):  # the server ends
            message = {"type": "http.disconnect"}
        if message["type"] != "http.request":
            raise BadRequest(f"The body ended before it was complete, after {self._size:,} bytes")
        part: bytes = message.get("body", b"")
        self._parts += message.get("chunks") or 1
        self._size += len(part)
        if self._parts > SOME_PARTS and self._size < SMALL_PART * self._parts:
            raise BadRequest(f"The body comes in chunks that are too small: send {SMALL_PART} bytes and more")
        self.is_at_end = not message.get("more_body")
        return part

    async def _received(self) -> Any:
        with Patience(self._seconds):
            return await self._receive()
