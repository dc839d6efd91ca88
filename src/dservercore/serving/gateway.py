"""Between the server's event loop, which waits for clients, and the threads of the application, which wait for nobody.

ASGI is what the server speaks here, and WSGI the application. A request goes to a thread when all of it has come, and
the thread is free when all of the answer is made, or when an answer has begun that is made while it is sent. One whose
body is read while it comes has a thread of its own from the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import BadRequest, HTTPException, ServiceUnavailable

from dservercore.rest.body_limits import REFUSED
from dservercore.rest.paced import Paced
from dservercore.serving.answers import Answer, Headers, Send
from dservercore.serving.request_bodies import Receive, RequestBodies, Unread, discard
from dservercore.serving.streamed_bodies import MOST_AT_ONCE, StreamedBody

logger = logging.getLogger("dservercore")

#: Threads that make pieces of long answers, each for a moment, or for as long as another server takes for one.
_MAKERS = 16


@dataclass(frozen=True)
class _Request:
    environ: dict[str, Any]
    answer: Answer


class Gateway:
    """The application as an ASGI server calls it.

    :param app: the Flask application
    :param threads: requests that are worked on at the same time
    :param seconds: for which a client may send nothing in the middle of a body
    """

    def __init__(self, app: Any, threads: int, seconds: float):
        self._app = app
        self._bodies = RequestBodies(app, seconds)
        self._seconds = seconds
        self._streams = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._makers = ThreadPoolExecutor(_MAKERS, thread_name_prefix="answer")
        for number in range(threads):
            threading.Thread(target=self._work, name=f"request-{number + 1}", daemon=True).start()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = Answer(asyncio.get_running_loop(), self._makers)
        try:
            await self._answer(scope, receive, send, answer)
        except OSError:
            pass  # the client has gone; the server ends what is not complete
        finally:
            answer.close()

    async def _answer(self, scope: Mapping[str, Any], receive: Receive, send: Send, answer: Answer) -> None:
        environ = environ_of(scope)
        try:
            if [name for name, _ in scope["headers"]].count(b"host") > 1:
                raise BadRequest("A request has one Host")
            if self._is_streamed(environ):
                await self._answer_streamed(environ, receive, send, answer)
                return
            unread = await self._receive(environ, receive)
        except HTTPException as error:
            # The application says it, so that the answer has the form and the headers of any other, and is logged.
            environ |= {REFUSED: error, "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
            self._requests.put(_Request(environ, answer))
            await answer.send(send, [("Connection", "close")])
            return
        self._requests.put(_Request(environ, answer))
        if unread:
            await answer.began
            if environ.get("HTTP_EXPECT", "").lower() != "100-continue":
                await discard(receive)
        await answer.send(send)

    def _is_streamed(self, environ: dict[str, Any]) -> bool:
        has_body = "HTTP_TRANSFER_ENCODING" in environ or int(environ.get("CONTENT_LENGTH") or 0) > 0
        return has_body and self._bodies.is_streamed(environ["REQUEST_METHOD"], environ["PATH_INFO"])

    async def _answer_streamed(
        self, environ: dict[str, Any], receive: Receive, send: Send, answer: Answer
    ) -> None:
        """Answer a request of which the application reads the body while it comes.

        :raises HTTPException: 503 if as many others are read already as may be
        """
        if not self._streams.acquire(blocking=False):
            raise ServiceUnavailable("Too many files are uploaded at this moment; try again", retry_after=5)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        body = StreamedBody(asyncio.get_running_loop(), receive, self._seconds)
        environ["wsgi.input"] = body

        def work() -> None:
            try:
                self._do(_Request(environ, answer))
            finally:
                self._streams.release()

        threading.Thread(target=work, name="streamed-request", daemon=True).start()
        await answer.began
        if body.is_at_end:
            await answer.send(send)
            return
        if environ.get("HTTP_EXPECT", "").lower() != "100-continue":
            await discard(receive)
        await answer.send(send, [("Connection", "close")])

    async def _receive(self, environ: dict[str, Any], receive: Receive) -> bool:
        """Put the body of a request into its environment. Return whether it is too long, and was left unread.

        :raises HTTPException: 400 or 408 if it does not come as it was announced
        """
        is_chunked = environ.pop("HTTP_TRANSFER_ENCODING", None) is not None
        length = None if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        if length == 0:
            environ["wsgi.input"] = io.BytesIO()
            return False
        most = self._bodies.most(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if length is not None and most is not None and length > most:
            environ["wsgi.input"] = Unread()
            return True
        body = await self._bodies.receive(receive, length, most)
        environ["CONTENT_LENGTH"] = str(body.tell())
        is_too_long = most is not None and body.tell() > most
        body.seek(0)
        environ["wsgi.input"] = body
        return is_too_long

    def _work(self) -> None:
        while True:
            request = self._requests.get()
            self._do(request)
            del request  # and all that belongs to it, before the next one comes

    def _do(self, request: _Request) -> None:
        try:
            self._run(request)
        except BaseException:
            logger.exception("A request could not be answered")
            with contextlib.suppress(RuntimeError):  # the loop is closed
                request.answer.fail()
        finally:
            request.environ["wsgi.input"].close()

    def _run(self, request: _Request) -> None:
        started: list[tuple[int, Headers]] = []

        def start(status: str, headers: Headers, *_error: Any) -> Callable[[bytes], object]:
            started[:] = [(int(status[:3]), headers)]
            return _no_write

        chunks: Iterable[bytes] = self._app(request.environ, start)
        try:
            request.answer.write(chunks, lambda: started[0])
        finally:
            if hasattr(chunks, "close") and not isinstance(chunks, Paced):  # which is not over yet
                cast(Any, chunks).close()


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("Answers are returned, not written")


def environ_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the WSGI environment of a request, without its body.

    Headers with an underscore are left out: in WSGI they could not be told from those with a hyphen.
    """
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", None)
    if server[1] is None:  # the path of a Unix socket is no name
        server = ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        # WSGI has the bytes of a path disguised as latin-1.
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0] or "localhost",
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ
