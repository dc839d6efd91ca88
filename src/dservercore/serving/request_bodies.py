"""Bodies of requests, which are received whole before a thread of the application is taken for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NoReturn

from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, RequestTimeout
from werkzeug.routing import RequestRedirect

from dservercore.rest.body_limits import is_streamed, limit_of_route
from dservercore.serving.patience import Patience

#: Parts that a body may come in, however small, and bytes of a part, on average, if there are more of them.
SOME_PARTS, SMALL_PART = 10_000, 32

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

#: Bytes of a body that are kept in memory; a longer one is in a temporary file.
IN_MEMORY = 2**20

#: Bytes and seconds after which a client that goes on sending what nobody reads has to do without the answer, and
#: seconds of patience with one that sends nothing.
MAX_DISCARDED, MAX_DISCARDING_SECONDS, PATIENCE_SECONDS = 64 * 2**20, 3.0, 0.2
MAX_DISCARDED_PARTS = 20_000


class Unread:
    """Stands for a body that is larger than its route takes, of which nothing has been received."""

    def read(self, *_: Any) -> NoReturn:
        """Refuse to read.

        :raises RequestEntityTooLarge: always
        """
        raise RequestEntityTooLarge

    readline = readlines = read

    def __iter__(self) -> NoReturn:
        raise RequestEntityTooLarge

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class RequestBodies:
    """Receives the bodies of requests.

    :param app: the Flask application, whose routes say how large their bodies may be
    :param seconds: for which a client may send nothing in the middle of a body
    """

    def __init__(self, app: Any, seconds: float):
        self._app, self._seconds = app, seconds

    def most(self, method: str, path: str) -> int | None:
        """Return how many bytes the body of such a request may have; None: any number."""
        overall: int | None = self._app.config["MAX_CONTENT_LENGTH"]
        try:
            endpoint = self._endpoint(method, path)
        except RequestRedirect:
            return overall
        except HTTPException:
            return 0  # nobody reads it: there is no such route
        return limit_of_route(self._app, endpoint, method)

    def is_streamed(self, method: str, path: str) -> bool:
        """Return whether the body of such a request is for the application to read while it comes."""
        try:
            return is_streamed(self._app, self._endpoint(method, path), method)
        except HTTPException:  # also where it is a redirect
            return False

    def _endpoint(self, method: str, path: str) -> str:
        endpoint: str = self._app.url_map.bind("").match(path, method)[0]
        return endpoint

    async def receive(self, receive: Receive, length: int | None, most: int | None) -> IO[bytes]:
        """Return a body, and how long it is by where its end is.

        :param length: bytes that were announced; None: it comes in chunks
        :param most: bytes that it may have; once more than these have come, the rest is left where it is
        :raises BadRequest: if it ends before it is complete, or comes in too many parts
        :raises RequestTimeout: if nothing comes for too long
        """
        spool: Any = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 closed with the request
        try:
            with Patience(self._seconds) as patience:
                is_complete = await _fill(spool, receive, patience, most)
            is_too_long = most is not None and spool.tell() > most
            if not is_too_long and (not is_complete or spool.tell() < (length or 0)):
                raise BadRequest(_incomplete(spool.tell(), length))
        except asyncio.TimeoutError:
            spool.close()
            raise RequestTimeout(f"Nothing more of the body has come for {self._seconds:g} seconds") from None
        except BaseException:
            spool.close()
            raise
        body: IO[bytes] = spool
        return body


async def _fill(spool: IO[bytes], receive: Receive, patience: Patience, most: int | None) -> bool:
    """Receive a body until it ends, or has more bytes than it may have. Return whether that is all of it."""
    number = size = 0
    while most is None or size <= most:
        message = await receive()
        if message["type"] != "http.request":
            return False
        part = message.get("body", b"")
        spool.write(part)
        number += message.get("chunks") or 1
        size += len(part)
        if number > SOME_PARTS and size < SMALL_PART * number:
            raise BadRequest(f"The body comes in chunks that are too small: send {SMALL_PART} bytes and more")
        if not message.get("more_body"):
            return True
        patience.renew()
    return False


async def discard(receive: Receive) -> None:
    """Receive what a client is sending already, and make nothing of it.

    Many clients read no answer before they have sent everything.
    """
    deadline, left = time.monotonic() + MAX_DISCARDING_SECONDS, MAX_DISCARDED
    with contextlib.suppress(asyncio.TimeoutError), Patience(PATIENCE_SECONDS) as patience:
        parts = 0
        while parts < MAX_DISCARDED_PARTS:
            message = await receive()
            parts += message.get("chunks") or 1
            left -= len(message.get("body", b""))
            if not message.get("more_body") or left <= 0 or time.monotonic() > deadline:
                return
            patience.renew()


def _incomplete(received: int, length: int | None) -> str:
    announced = "" if length is None else f" of {length:,}"
    return f"The body ended before it was complete, after {received:,}{announced} bytes; nothing was done with it"
