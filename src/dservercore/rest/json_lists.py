"""A JSON list that is read element by element, so that no more than one of them is in memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from json import JSONDecodeError
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple

from flask import current_app
from webargs.flaskparser import abort
from werkzeug.wsgi import get_content_length

from dservercore.rest.body_limits import check_elements, for_datasets, refuse_text
from dservercore.rest.body_lines import body_of
from dservercore.rest.request_parser import DocumentDecoder, refuse_json

_CHUNK = 2**16
_SPOOLED_BYTES = 2**20  # of a body, above which it waits in a file

_SPACE = re.compile(r"[ \t\n\r]*")
# What is cut off in the middle is wrong near its end, or is a text whose end is missing.
_LONGEST_LITERAL = 16
# A number may go on behind what can be read of it so far, and what is cut off then: "1" of "1.", "1e" and "1e+".
_LONGEST_NUMBER_END = 2


class Element(NamedTuple):
    """An element of a list.

    :ivar document: the element itself
    :ivar problems: errors of the text and numbers in it that cannot be stored, in its own shape
    :ivar length: characters of its JSON
    """

    document: Any
    problems: dict[Any, Any]
    length: int


def spooled(environ: dict[str, Any], most: int | None) -> IO[bytes]:
    """Return a file with the body of a request.

    :param most: bytes that it may have; None: any number
    :raises HTTPException: 413 if it has more, 400 if it does not arrive as it was announced
    """
    if most is not None and (get_content_length(environ) or 0) > most:
        abort(413)
    body = body_of(environ)
    spool = SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 closed by whoever gets it
    try:
        length = 0
        while chunk := body.read(_CHUNK):
            length += len(chunk)
            if most is not None and length > most:
                abort(413)
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    return spool


def check_list(file: IO[bytes], most: int) -> None:
    """Pass if a file holds a list of at most *most* elements, whatever they are.

    :raises HTTPException: 400 if it is not JSON in UTF-8; 422 if it is no list, or has more elements
    """
    for number, _element in enumerate(elements(file, most), 1):
        if number > most:
            _refuse(most)


def elements(file: IO[bytes], most: int) -> Iterator[Element]:
    """Yield the elements of the list that a file holds.

    :param most: elements that a list may have; the message for a file without a list says so
    :raises HTTPException: 400 at the place where it is not JSON in UTF-8, 422 if it is no list
    """
    file.seek(0)
    window = _Window(file)
    if window.next_character() != "[":
        window.document()
        window.require_end()
        _refuse(most)
    window.skip()
    if window.next_character() == "]":
        window.skip()
        return window.require_end()
    while True:
        yield window.document()
        separator = window.next_character()
        window.skip()
        if separator == "]":
            return window.require_end()
        if separator != ",":
            refuse_json()


def _refuse(most: int) -> None:
    abort(422, messages={"json": {"_schema": [f"Must be a list of at most {most:,} elements."]}})


class _Window:
    """The part of a file that is in memory, and how far it has been read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = DocumentDecoder()
        self._text = ""
        self._at = 0
        self._is_at_end = False

    def next_character(self) -> str:
        """Return the next character that is no space; ``""`` at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._grow():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        """Go over one character."""
        self._at += 1

    def require_end(self) -> None:
        """Pass if nothing follows.

        :raises HTTPException: 400 if something does
        """
        if self.next_character():
            refuse_json()

    def document(self) -> Element:
        """Return the document that comes next, and go over it.

        :raises HTTPException: 400 if there is none, 422 if it has too many elements or too long a text
        """
        self.next_character()
        while True:
            try:
                document, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                refuse_json()
            except JSONDecodeError as error:
                self._require_short_text(error)
                if not self._may_be_cut_off(error) or not self._grow():
                    refuse_json()
            except ValueError:
                refuse_json()
            else:
                if len(self._text) - end > _LONGEST_NUMBER_END or not self._grow():
                    text = self._text[self._at : end]
                    self._at = end
                    return Element(document, self._decoder.unfit_values(document, text), len(text))

    def _require_short_text(self, error: JSONDecodeError) -> None:
        most = for_datasets(current_app.config).text
        if error.msg.startswith("Unterminated string") and most and len(self._text) - error.pos > most:
            refuse_text(self._text[max(0, error.pos - 200) : error.pos + 1].encode(), most)

    def _may_be_cut_off(self, error: JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_LITERAL

    def _grow(self) -> bool:
        """Add what follows to the window, twice as much each time. Return whether there was anything."""
        if self._is_at_end:
            return False
        rest = self._text[self._at :]
        chunk = self._file.read(max(_CHUNK, len(rest)))
        self._is_at_end = not chunk
        try:
            more = self._utf8.decode(chunk, final=not chunk)
        except ValueError:
            refuse_json()
        if not chunk:
            return False
        self._text, self._at = rest + more, 0
        if len(rest) >= _CHUNK:
            most = for_datasets(current_app.config).most_elements(len(self._text))
            check_elements(self._text, most)
        return True
