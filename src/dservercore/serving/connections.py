"""Connections of clients: HTTP as uvicorn speaks it, within the limits of this server."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected

#: Bytes, and headers, that the head of a request may have.
MAX_HEAD, MAX_HEADERS = 2**16, 100

#: Requests that a client may send before the first of them is answered.
MAX_AHEAD = 64

# Names that the server itself writes. HTTP does not tell capitals from small letters, yet some clients do.
_NAMES = {b"connection": b"Connection", b"date": b"Date", b"transfer-encoding": b"Transfer-Encoding"}

_REFUSAL = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s"
)


class HeadWriter:
    """The transport of one request, on which heads of answers have the names of headers as the application has them.

    uvicorn writes them in lower case. A head is sent with what follows it.
    """

    def __init__(self, transport: asyncio.Transport):
        self._transport = transport
        self._names: dict[bytes, bytes] | None = None
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def expect(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Take note that the head of an answer with these headers is written next."""
        self._names = _NAMES | {name.lower(): name for name, _ in headers}

    def write(self, content: bytes) -> None:
        """Send some bytes, now or with the next ones."""
        if self._names is not None:
            self._head, self._names = _spell(content, self._names), None
            return
        self._transport.write(self._head + content)
        self._head = b""

    def flush(self) -> None:
        """Send a head that nothing follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """End the connection when everything is sent."""
        self.flush()
        self._transport.close()


def _spell(head: bytes, names: dict[bytes, bytes]) -> bytes:
    status_line, *lines = head.split(b"\r\n")
    spelled = [status_line]
    for line in lines:
        name, colon, value = line.partition(b":")
        spelled.append(names.get(name, name) + colon + value)
    return b"\r\n".join(spelled)


class Connection(HttpToolsProtocol):
    """A connection of a client, which has to send the head of a request, and to fetch answers, within some time.

    :ivar on_end: is called when the connection has ended
    """

    on_end: Callable[[], None]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        self._seconds: float = self.config.timeout_keep_alive
        self._head_timer: asyncio.TimerHandle | None = None
        self._fetch_timer: asyncio.TimerHandle | None = None
        self._head_bytes = self._header_bytes = self._chunks = 0
        self._is_in_head = True
        self._has_ended = False
        self._running: RequestResponseCycle | None = None
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what waits for the client."""
        self._stop_timers()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self._running is not None:  # which need not be the last one that has come
            self._running.disconnected = not self._running.response_complete
            self._running.message_event.set()
        self.on_end()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._fetch_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._fetch_timer = None

    # Heads of requests

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_head(self) -> None:
        if self._is_busy:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._seconds, self._drop)

    def _drop(self) -> None:
        self.transport.close()
        # It may leave an answer where it is.
        self._head_timer = self.loop.call_later(self._seconds, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what has come of requests."""
        if self._has_ended:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")
        self._watch_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, once all requests before it are answered.

        :param msg: what is wrong, in ASCII
        """
        if self._is_busy:
            self._hear_no_more()
            return
        self.transport.write(_REFUSAL % (len(msg), msg.encode("ascii")))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        # The parser takes what follows for another protocol: the request is answered, and is the last one.
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        self._has_ended = True
        self.cycle.keep_alive = False
        self.cycle.message_event.set()

    def on_message_begin(self) -> None:
        """Begin with a request."""
        self._is_in_head, self._head_bytes, self._header_bytes, self._chunks = True, 0, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, unless it follows the body.

        :raises ValueError: if there are more than there may be; the parser then refuses the request
        """
        if not self._is_in_head:
            return
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEAD or len(self.headers) >= MAX_HEADERS:
            raise ValueError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer.

        :raises ValueError: if too many requests are there already
        """
        if len(self.pipeline) >= MAX_AHEAD:
            raise ValueError
        self._is_in_head = False
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Count the chunks of a body."""
        self._chunks += 1

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch_head()

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        writer: Any = HeadWriter(self.transport)
        cycle.transport = writer
        self._running = cycle

        async def answer(scope: Any, _receive: Any, _send: Any) -> None:
            await app(scope, lambda: self._receive(cycle), send)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                writer.expect(message["headers"])
                await cycle.send(message)
            else:
                await cycle.send(message)
                writer.flush()
            if cycle.disconnected:
                raise ClientDisconnected

        super()._start_asgi_task(cycle, answer)

    async def _receive(self, cycle: RequestResponseCycle) -> Any:
        """Return the next part of a body, also in how many chunks it came."""
        message: Any = await cycle.receive()
        if message["type"] == "http.request":
            if self._has_ended and message["more_body"]:
                return {"type": "http.disconnect"}
            if cycle is self.cycle:
                message["chunks"], self._chunks = self._chunks, 0
        return message

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Go on answering a client that only has nothing more to send. Return whether there is something to answer."""
        if not self._is_busy or self.scheme == "https":
            return None
        self._hear_no_more()
        return True

    def pause_writing(self) -> None:
        """Watch whether the client fetches what there is for it."""
        super().pause_writing()
        self._watch_fetching(self._unfetched())

    def resume_writing(self) -> None:
        """Go on: the client has fetched enough."""
        super().resume_writing()
        if self._fetch_timer is not None:
            self._fetch_timer.cancel()
            self._fetch_timer = None

    def _watch_fetching(self, before: int) -> None:
        def look() -> None:
            now = self._unfetched()
            if now < before:
                self._watch_fetching(now)
            else:
                self.transport.abort()

        self._fetch_timer = self.loop.call_later(self._seconds, look)

    def _unfetched(self) -> int:
        """Return how many bytes are left to send, also by the kernel, in which more than in the transport may be."""
        queued = b"\0" * struct.calcsize("i")
        with contextlib.suppress(OSError):
            queued = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        in_kernel: int = struct.unpack("i", queued)[0]
        return in_kernel + self.transport.get_write_buffer_size()
