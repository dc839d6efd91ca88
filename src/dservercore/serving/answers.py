"""Answers of the application, which a slow client may fetch while the thread that made them serves others."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any

from dservercore.rest.paced import Paced

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[str, str]]

logger = logging.getLogger("dservercore")

#: Bytes of an answer that are kept in memory; what a client has not fetched of a longer one is in a temporary file.
IN_MEMORY = 2**20

# Bytes that are sent at a time. A shorter answer is sent when it is complete.
_PIECE = 2**18


class Answer:
    """What the application answers to one request: written by a thread, sent by the event loop.

    :param loop: that sends it
    :param makers: threads that make the pieces of a body which is made while it is sent
    :ivar began: is done when there is something to send
    :ivar is_abandoned: whether nobody is there any more who wants it
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, makers: Executor):
        self.began = loop.create_future()
        self.is_abandoned = False
        self._loop, self._makers = loop, makers
        self._paced: Paced | None = None
        self._status, self._headers = 500, Headers()
        self._whole: bytes | None = None
        self._spool: Any = None  # of an answer that is long
        self._lock = threading.Lock()
        self._more = asyncio.Event()
        self._written = self._sent = 0
        self._is_complete = False

    def write(self, chunks: Iterable[bytes], status: Callable[[], tuple[int, Headers]]) -> None:
        """Keep the chunks for the client, until there are no more or nobody is there who wants them.

        :param status: returns status and headers, once the first chunk is there
        """
        if isinstance(chunks, Paced):
            with self._lock:
                is_wanted = not self.is_abandoned
                self._paced = chunks if is_wanted else None
            if not is_wanted:
                chunks.close()
            self._tell(*status(), False)
            return
        rest = iter(chunks)
        beginning: list[bytes] = []
        size = 0
        for chunk in rest:
            beginning.append(chunk)
            size += len(chunk)
            if size > _PIECE:
                self._write_spool(b"".join(beginning), rest, status)
                return
        self._whole = b"".join(beginning)
        self._tell(*status(), True)

    def _write_spool(
        self, beginning: bytes, rest: Iterator[bytes], status: Callable[[], tuple[int, Headers]]
    ) -> None:
        self._spool = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 closed when it has been sent
        for chunk in chain([beginning], rest):
            with self._lock:
                if self.is_abandoned:
                    break
                self._spool.seek(self._written)
                self._spool.write(chunk)
                self._written += len(chunk)
            self._tell(*status(), False)
        self._tell(*status(), True)

    def fail(self) -> None:
        """End the answer of an application that failed; half of one is not to be taken for a whole one."""
        self._whole = b""
        self.is_abandoned = True
        self._tell(500, Headers(), True)

    def _tell(self, status: int, headers: Headers, is_complete: bool) -> None:
        def tell() -> None:
            self._is_complete = is_complete
            if not self.began.done():
                self._status, self._headers = status, headers
                self.began.set_result(None)
            self._more.set()

        self._loop.call_soon_threadsafe(tell)

    async def send(self, send: Send, further: Sequence[tuple[str, str]] = ()) -> None:
        """Send the answer, once it has begun.

        :param further: headers, beside those of the application
        :raises OSError: if the client has gone, or the application failed in the middle; the rest was not sent
        """
        await self.began
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in (*self._headers, *further)
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        if self._paced is not None:
            await self._send_paced(send, self._paced)
            return
        if self._spool is None:
            await send({"type": "http.response.body", "body": self._whole})
            return
        while not (self._is_complete and self._sent == self._written):
            self._more.clear()
            if piece := self._next():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            elif not self._is_complete:
                await self._more.wait()
        if self.is_abandoned:
            raise OSError("The application failed in the middle of an answer")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_paced(self, send: Send, paced: Paced) -> None:
        while True:
            try:
                piece = await self._loop.run_in_executor(self._makers, next, paced, None)
            except Exception as error:
                logger.warning("An answer was ended in the middle: %s", error)
                raise OSError("The application failed in the middle of an answer") from error
            if piece is None:
                break
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _next(self) -> bytes:
        with self._lock:
            self._spool.seek(self._sent)
            piece: bytes = self._spool.read(_PIECE)
            self._sent += len(piece)
            return piece

    def close(self) -> None:
        """Forget what has not been sent."""
        with self._lock:
            self.is_abandoned = True
            if self._spool is not None:
                self._spool.close()
            paced, self._paced = self._paced, None
        if paced is not None:  # elsewhere, as the piece that is being made is waited for
            self._makers.submit(paced.close)
