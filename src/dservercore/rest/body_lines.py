"""A body that is read line by line, so that it need not fit into memory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

from webargs.flaskparser import abort
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_content_length, get_input_stream

from dservercore.rest.body_limits import note_reading

_CHUNK = 2**16


def lines_of(body: io.RawIOBase, longest: int | None) -> Iterator[tuple[int, bytes | None]]:
    """Yield number, from 1 on, and content of each line of a request's body; None instead of a line that is too long.

    :param body: as :func:`body_of` returns it
    :param longest: bytes that a line may have; None: any number
    :raises HTTPException: 400 if the body does not arrive as it was announced
    """
    buffered = io.BufferedReader(body, _CHUNK)
    number = 0
    try:
        while line := buffered.readline(-1 if longest is None else longest + 1):
            number += 1
            if longest is None or len(line) <= longest or line.endswith(b"\n"):
                yield number, line
                continue
            while (more := buffered.readline(_CHUNK)) and not more.endswith(b"\n"):
                pass
            yield number, None
    finally:
        buffered.detach()  # else it closes the body, of which the rest is still to be read


def body_of(environ: dict[str, Any]) -> io.RawIOBase:
    """Return the body of a request, to be read bit by bit.

    Reading it raises an HTTPException: 400 if the body does not arrive as it was announced.
    """
    note_reading(environ)
    return _Body(get_input_stream(environ), get_content_length(environ))


def discard_rest(body: io.RawIOBase, most: int | None) -> None:
    """Read what is left of a body, and make nothing of it.

    Many clients read no answer before they have sent everything.

    :param body: of which a part has been read
    :param most: bytes, after which the client has to do without the answer; None: any number
    """
    with contextlib.suppress(Exception):  # the answer is the same
        while (most is None or most > 0) and (chunk := body.read(_CHUNK)):
            most = most and most - len(chunk)


class _Body(io.RawIOBase):
    """The body as a server hands it over, which may be an object that can be read and nothing else."""

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        self._stream = stream
        self._missing = length or 0  # bytes that have been announced, and have not come

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._stream.read(len(buffer))
        except HTTPException:
            raise
        except Exception:  # each server has errors of its own for a body in chunks that are none
            abort(400, messages={"json": ["The body could not be read."]})
        self._missing -= len(content)
        if not content and self._missing > 0:
            abort(400, messages={"json": ["The body is shorter than its Content-Length."]})
        buffer[: len(content)] = content
        return len(content)
