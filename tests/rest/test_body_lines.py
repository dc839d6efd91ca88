"""A body that is read line by line."""

from __future__ import annotations

import io
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from dservercore.rest.body_lines import body_of, discard_rest, lines_of


class Connection(io.RawIOBase):
    """A connection that stays open after a body: whoever reads beyond it waits for ever."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.left = len(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self.left > 0, "reads beyond the end of the body"
        part = self._content.read(len(buffer))
        self.left -= len(part)
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("lines_read", [0, 1, 2, 3])
def test_the_rest_is_read_and_nothing_beyond_it(lines_read: int) -> None:
    content = b"first\nsecond\nthird" + b"." * 300_000 + b"\n"
    connection = Connection(content)
    environ = EnvironBuilder(method="POST", content_length=len(content)).get_environ()
    environ["wsgi.input"] = connection
    body = body_of(environ)
    lines = lines_of(body, 100)
    assert [next(lines) for _ in range(lines_read)] == [(1, b"first\n"), (2, b"second\n"), (3, None)][
        :lines_read
    ]
    lines.close()
    discard_rest(body, None)
    assert connection.left == 0
