"""What in a text leads somewhere: addresses, DOIs, ORCIDs, mail and UUIDs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

#: Of longer texts nothing is a link.
MOST_CHARACTERS = 50_000

# Each begins where a word does, and is bounded: a long line of nothing is read once.
_LINK = re.compile(
    r"""(?P<url>\bhttps?://[^\s<>"`{}|\\^]{1,2000})
    | (?P<doi>(?<![\w./-])(?:doi:[ ]?)?10\.\d{4,9}/[^\s<>"]{1,200})
    | (?P<orcid>(?<![\w-])\d{4}-\d{4}-\d{4}-\d{3}[\dX](?![\w-]))
    | (?P<uuid>(?<![\w-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-]))
    | (?P<mail>(?<![\w.+%/:@-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b)""",
    re.VERBOSE,
)
_CLOSING = {")": "(", "]": "["}


class Piece(NamedTuple):
    """A part of a text.

    ``href`` is where it leads to: an address that begins with ``https://``, ``http://`` or ``mailto:``. ``uuid`` is the
    UUID that it is, in lower case. None: it is none.
    """

    text: str
    href: str | None = None
    uuid: str | None = None


def pieces_of(text: str) -> Iterator[Piece]:
    """Yield the parts of a text, which together are the text."""
    end = 0
    found = _LINK.finditer(text) if len(text) <= MOST_CHARACTERS else ()
    for match in found:
        piece = _piece(str(match.lastgroup), match.group())
        if piece is None:
            continue
        if match.start() > end:
            yield Piece(text[end : match.start()])
        yield piece
        end = match.start() + len(piece.text)
    if end < len(text):
        yield Piece(text[end:])


def _piece(kind: str, text: str) -> Piece | None:
    if kind == "uuid":
        return Piece(text, uuid=text.lower())
    if kind == "orcid":
        return Piece(text, f"https://orcid.org/{text}") if _is_orcid(text) else None
    if kind == "mail":
        return Piece(text, f"mailto:{quote(text, safe='@+')}")
    text = _without_end_of_sentence(text)
    if kind == "doi":
        name = text.removeprefix("doi:").lstrip()
        return Piece(text, f"https://doi.org/{quote(name, safe='/:;()._-')}")
    return Piece(text, text)


def _without_end_of_sentence(text: str) -> str:
    while text:
        last = text[-1]
        is_closing = last in _CLOSING and text.count(last) > text.count(_CLOSING[last])
        if last not in ".,;:!?'*_" and not is_closing:
            break
        text = text[:-1]
    return text


def _is_orcid(text: str) -> bool:
    """Return whether the last sign is the check digit of the others (ISO 7064, mod 11-2)."""
    total = 0
    for digit in text.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == text[-1]


def uuids_in(text: str) -> set[str]:
    """Return the UUIDs that stand in a text, in lower case."""
    return {piece.uuid for piece in pieces_of(text) if piece.uuid}
