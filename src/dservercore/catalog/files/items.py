"""The items of a manifest, one after the other, without holding all of them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import zstandard

_CHUNK = 2**17  # bytes that are unpacked at a time
_SPACE = " \t\n\r"
_decoder = json.JSONDecoder()

# Where many members could not be read at once, so many are read one by one before that is tried again.
_SINGLY = 1000
_MOST_TRIES = 4


def chunks_of(frame: bytes) -> Iterator[bytes]:
    """Yield the content of a zstandard frame in pieces."""
    with zstandard.ZstdDecompressor().stream_reader(frame) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def items_of(chunks: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield identifier and item of each file of a manifest; what is no object is left out.

    :param chunks: the manifest as JSON in UTF-8, in pieces that may end anywhere
    :raises ValueError: if it is no JSON object
    """
    text = _Text(chunks)
    text.expect("{")
    while text.next() != "}":
        name = text.string()
        text.expect(":")
        if name == "items" and text.next() == "{":
            text.expect("{")
            yield from _members(text)
        else:
            text.value()
        if text.next() == ",":
            text.expect(",")


def _members(text: _Text) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the members of an object whose beginning has been read: many at once, or one where that does not do."""
    singly = 0
    while text.next() != "}":
        some = text.several_members() if not singly else None
        if some is None:
            singly = singly - 1 if singly else _SINGLY
            name = text.string()
            text.expect(":")
            some = {name: text.value()}
        for name, value in some.items():
            if isinstance(value, dict):
                yield name, value
        if text.next() == ",":
            text.expect(",")
    text.expect("}")


class _Text:
    """JSON of which there is a part at a time.

    :param chunks: of it, in UTF-8
    """

    def __init__(self, chunks: Iterable[bytes]):
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._chunks = (decode(chunk) for chunk in chunks)
        self._text, self._at = "", 0

    def _fill(self) -> bool:
        """Double what is there, lest what is long is read over and over. Return whether there is more."""
        parts = [self._text[self._at :]]
        wanted, had = max(2 * len(parts[0]), 1), len(parts[0])
        while had < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            had += len(chunk)
        self._text, self._at = "".join(parts), 0
        return len(parts) > 1

    def next(self) -> str:
        """Return the next sign, which stays; an empty text at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._fill():
                return ""

    def expect(self, sign: str) -> None:
        """Go on behind a sign.

        :raises ValueError: if it is not the next one
        """
        if self.next() != sign:
            raise ValueError(f"expected {sign}")
        self._at += 1

    def string(self) -> str:
        """Return a text in quotation marks."""
        if self.next() != '"':
            raise ValueError("expected a text")
        return str(self.value())

    def several_members(self) -> dict[str, Any] | None:
        """Return all members of an object that are there as a whole; None if it cannot be seen where the last one ends.

        What is between two braces is JSON only if the first part of it ends where a member does.
        """
        if self._text.find('},"', self._at) < 0:
            self._fill()
        end = len(self._text)
        for _ in range(_MOST_TRIES):
            end = self._text.rfind('},"', self._at, end)
            if end < 0:
                return None
            try:
                members: dict[str, Any] = orjson.loads(f"{{{self._text[self._at : end + 1]}}}")
            except ValueError:
                continue
            self._at = end + 1
            return members
        return None

    def value(self) -> Any:
        """Return a value of any type.

        :raises ValueError: if there is none
        """
        self.next()
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
            except ValueError:
                if not self._fill():
                    raise
                continue
            if end < len(self._text) or not self._fill():  # else a number may go on
                self._at = min(end, len(self._text))
                return value
