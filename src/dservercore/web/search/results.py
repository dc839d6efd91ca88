"""The datasets of a page of results, as templates show them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from flask import url_for

from dservercore.web.search.asked import Asked

#: Parts of a text, each with whether it is what was asked for.
Pieces = list[tuple[str, bool]]

#: So many tags of a dataset are shown; the page of the dataset has the others.
MOST_TAGS = 8

#: So many excerpts of README and annotations, and so many files, are shown of a dataset.
MOST_EXCERPTS, MOST_FILES = 2, 3

_WORDS = re.compile(r"[^\W_]+")
_AROUND = 12  # characters on each side, by which a hit in an excerpt is found again in the description


@dataclass(frozen=True)
class Tag:
    """A tag, and where the search with it leads."""

    text: str
    pieces: Pieces
    url: str
    is_chosen: bool


@dataclass(frozen=True)
class Result:
    """A dataset that was found."""

    dataset: Mapping[str, Any]
    url: str
    name: Pieces
    description: Pieces
    creator: Pieces
    creator_url: str
    base_uri_url: str
    tags: list[Tag] = field(default_factory=list)
    number_of_other_tags: int = 0
    #: Of README and annotations, each with the name of the field.
    excerpts: list[tuple[str, Pieces]] = field(default_factory=list)
    #: Names of files, and the URI or the UUID, where they say more than the name.
    files: list[Pieces] = field(default_factory=list)
    address: Pieces | None = None
    #: How many there are, this one among them.
    number_of_copies: int = 1
    copies_url: str = ""


def shown(asked: Asked, found: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Return the datasets of a page."""
    return [_result(asked, dataset) for dataset in found]


def pieces_of(text: str, highlights: Sequence[Sequence[int]]) -> Pieces:
    """Return a text in pieces, those that are highlighted and those between them."""
    pieces, end = [], 0
    for start, stop in highlights:
        pieces += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    return [(piece, is_hit) for piece, is_hit in (*pieces, (text[end:], False)) if piece]


def _result(asked: Asked, dataset: Mapping[str, Any]) -> Result:
    matches: dict[str, list[Pieces]] = {}
    for match in dataset.get("matches", ()):
        matches.setdefault(match["field"], []).append(pieces_of(match["excerpt"], match["highlights"]))
    excerpts = [(name, pieces) for name in ("readme", "annotations") for pieces in matches.get(name, ())]
    excerpts = excerpts[:MOST_EXCERPTS]
    description, excerpts = _highlighted(dataset.get("description", ""), excerpts)
    name = _whole(dataset["name"], matches.get("name"))
    told = _hits(name) | _hits(description)
    excerpts = [(field_name, pieces) for field_name, pieces in excerpts if _hits(pieces) - told]
    addresses = (*matches.get("uri", ()), *matches.get("uuid", ()))
    copies = dataset.get("copies", ())
    tags = _tags(asked, dataset.get("tags", ()), matches.get("tags", ()))
    return Result(
        dataset,
        url_for("web.dataset", uri=dataset["uri"]),
        name,
        description,
        _whole(dataset["creator_username"], matches.get("creator")),
        asked.with_value("creator_usernames", dataset["creator_username"]).url(),
        asked.with_value("base_uris", dataset["base_uri"]).url(),
        tags[:MOST_TAGS],
        len(tags[MOST_TAGS:]),
        excerpts,
        list(islice((pieces for pieces in matches.get("file", ()) if _hits(pieces) - told), MOST_FILES)),
        next((pieces for pieces in addresses if _hits(pieces) - told), None),
        len(copies) or 1,
        url_for("web.copies", uuid=dataset["uuid"]) if len(copies) > 1 else "",
    )


def _whole(text: str, matches: Sequence[Pieces] | None) -> Pieces:
    """Return a text with what was asked for in it highlighted, if that is known of all of it."""
    for pieces in matches or ():
        if _text_of(pieces) == text:
            return pieces
    return [(text, False)]


def _hits(pieces: Pieces) -> set[str]:
    """Return the words that are highlighted; what has no others than the name says nothing new."""
    return {word for text, is_hit in pieces if is_hit for word in _WORDS.findall(text.casefold())}


def _text_of(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


def _highlighted(
    description: str, excerpts: Sequence[tuple[str, Pieces]]
) -> tuple[Pieces, list[tuple[str, Pieces]]]:
    """Return a description with what was asked for highlighted, and the excerpts that show more than it does."""
    places: set[tuple[int, int]] = set()
    others = []
    for name, pieces in excerpts:
        in_description = list(filter(None, _places_in(description, pieces)))
        places.update(in_description)
        words = {text.casefold() for text, is_hit in pieces if is_hit}
        if words - {description[start:end].casefold() for start, end in in_description}:
            others.append((name, pieces))
    return pieces_of(description, sorted(places)), others


def _places_in(description: str, pieces: Pieces) -> list[tuple[int, int] | None]:
    """Return where in a description each hit of an excerpt stands; None: it does not, with what is around it."""
    excerpt, start = _text_of(pieces), 0
    places: list[tuple[int, int] | None] = []
    for text, is_hit in pieces:
        end = start + len(text)
        if is_hit:
            places.append(_place_in(description, excerpt, start, end))
        start = end
    return places


def _place_in(description: str, excerpt: str, start: int, end: int) -> tuple[int, int] | None:
    """Return where in a description a hit of an excerpt stands, by what is on both sides of it, or on one."""
    for before, after in ((_AROUND, _AROUND), (0, 2 * _AROUND), (2 * _AROUND, 0)):
        first = max(0, start - before)
        at = description.find(excerpt[first : end + after])
        if at >= 0:
            return at + start - first, at + end - first
    return None


def _tags(asked: Asked, tags: Sequence[str], matches: Sequence[Pieces]) -> list[Tag]:
    """Return the tags of a dataset: those first by which it was found."""
    hits = {_text_of(pieces): pieces for pieces in matches}
    shown_tags = [
        Tag(tag, hits.get(tag, [(tag, False)]), asked.with_value("tags", tag).url(), tag in asked.of("tags"))
        for tag in tags
    ]
    return sorted(shown_tags, key=lambda tag: tag.text not in hits)
