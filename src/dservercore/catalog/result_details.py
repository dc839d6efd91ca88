"""What helps to judge the datasets of a page: what each is about, its tags, its copies, and why it was found.

All of it is made of the datasets that are on the page already, and so in the scope of whoever asks. It is an addition:
what a store has not, or cannot give in time, is left out, and the page comes without it.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from dservercore import plugin_host
from dservercore.catalog import lookup
from dservercore.catalog.scope import Scope
from dservercore.dataset import text_query
from dservercore.dataset.highlights import Highlighter, Hit
from dservercore.dataset.query_tree import Query
from dservercore.dataset.readme_text import text_of
from dservercore.dataset.readme_values import description_of, text_of_values
from dservercore.dataset.serialization import beginning_of
from dservercore.errors import UnknownURIError, ValidationError

logger = logging.getLogger(__name__)

#: What can be added to the datasets of a page.
DETAILS = ("description", "tags", "matches")

#: Characters of a description, and of an excerpt, at most.
DESCRIPTION_LENGTH, EXCERPT_LENGTH = 300, 240

#: So many excerpts of a README, and so many tags, annotations and files of a dataset are told that match.
MOST_OF_README, MOST_OF_EACH = 2, 3

# What a page may cost: seconds, after which the stores are not asked any more, and characters of all READMEs, and of
# all annotations, of which each dataset has an equal share.
_SECONDS = 1.0
_CHARACTERS = 400_000

# Tags and annotations of a dataset that are looked at; bytes of a manifest, and files of one that cannot be read in
# part.
_TAGS_LOOKED_AT, _ANNOTATIONS_LOOKED_AT = 200, 2000
_MANIFEST_BYTES = 2**20
_FILES_OF_MANIFEST = 10_000

_BEFORE_HIT = 60  # characters of an excerpt

Match = dict[str, Any]


def add_details(
    scope: Scope, found: Sequence[dict[str, Any]], details: Collection[str], answered: Query | None
) -> list[dict[str, Any]]:
    """Return the datasets of a page with what helps to judge them.

    ``description`` (str) is what the README says that the dataset is, or its first words; ``tags`` (list of str) is
    sorted; ``matches`` is a list of ``{"field": ..., "excerpt": ..., "highlights": [[start, end], ...]}``, with places
    in code points of the excerpt.

    :param scope: of whoever asks; what is not in it is left as it is
    :param found: dataset objects
    :param details: those of ``DETAILS`` that are wanted
    :param answered: what the datasets were found by; None: by no text
    """
    page = [dict(dataset) for dataset in found]
    if not details or not page:
        return page
    allowed = [dataset for dataset in page if dataset["base_uri"] in scope]
    if "tags" in details:
        _add_tags(allowed)
    if "description" in details or "matches" in details:
        highlighter = Highlighter(answered) if answered and "matches" in details else None
        _Descriptions(highlighter).add_to(allowed, details)
    return page


def add_copies(scope: Scope, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the datasets of a page with ``copies``: ``[{"uri": ..., "base_uri": ...}]`` of each with the same UUID.

    They are in the order of their URIs, and the dataset is one of them; of more than ``lookup.MOST_COPIES``, the first.

    :param scope: of whoever asks: only copies in it are told
    :param found: dataset objects
    """
    copies = lookup.copies_of(scope, [dataset["uuid"] for dataset in found])
    return [{**dataset, "copies": copies.get(dataset["uuid"], [])} for dataset in found]


def query_of(free_text: str | None) -> Query | None:
    """Return what a text asks for, where the search plugin does not say what it has answered; None: nothing."""
    if free_text is None:
        return None
    try:
        return text_query.parse(free_text)
    except ValidationError:  # the plugin has another language
        return None


def _add_tags(page: Sequence[dict[str, Any]]) -> None:
    tags = lookup.tags_of_uris([dataset["uri"] for dataset in page])
    for dataset in page:
        dataset["tags"] = sorted(tags.get(dataset["uri"], ()))


# -- What the stores have --------------------------------------------------------------------------------------------


class _Descriptions:
    """Adds what is in the retrieve plugin's store, as long as that answers and there is time left.

    :param highlighter: None: no matches are wanted
    """

    def __init__(self, highlighter: Highlighter | None) -> None:
        self._highlighter = highlighter
        self._end = time.monotonic() + _SECONDS
        self._retrieve = plugin_host.plugins().retrieve
        self._has_failed = False

    def add_to(self, page: Sequence[dict[str, Any]], details: Collection[str]) -> None:
        """Add description and matches, as they are wanted; those of all datasets before the files of any."""
        tags: Mapping[str, Collection[str]] = {}
        if self._highlighter and self._highlighter.looks_in("tags"):
            tags = lookup.tags_of_uris([dataset["uri"] for dataset in page])
        characters = {"readme": _CHARACTERS, "annotations": _CHARACTERS}
        for place, dataset in enumerate(page):
            readme = text_of(self._read(self._retrieve.get_readme, dataset))
            if "description" in details:
                dataset["description"] = _short(description_of(readme) or readme[: 4 * DESCRIPTION_LENGTH])
            if "matches" not in details:
                continue
            dataset["matches"] = []
            if self._highlighter is None:
                continue
            share = {field: left // (len(page) - place) for field, left in characters.items()}
            dataset["matches"] += _matches_of_name(dataset, self._highlighter)
            some_tags = sorted(tags.get(dataset["uri"], ()))[:_TAGS_LOOKED_AT]
            dataset["matches"] += _matches_of_tags(some_tags, self._highlighter)
            dataset["matches"] += _matches_of_readme(readme[: share["readme"]], self._highlighter)
            characters["readme"] -= min(len(readme), share["readme"])
            if self._highlighter.looks_in("annotations"):
                annotations = self._read(self._retrieve.get_annotations, dataset)
                matches, looked_at = _matches_of_annotations(
                    annotations, share["annotations"], self._highlighter
                )
                dataset["matches"] += matches
                characters["annotations"] -= looked_at
            dataset["matches"] += _matches_of_identity(dataset, self._highlighter)
        if self._highlighter and self._highlighter.looks_in("files"):
            for dataset in page:
                paths = _paths_in(self._read_manifest(dataset))
                dataset["matches"] += _matches_of_files(paths, self._highlighter)

    def _read(self, get: Callable[[str], Any], dataset: Mapping[str, Any]) -> Any:
        """Return what a getter of the plugin does; None: there is nothing, or it cannot be had now."""
        if self._has_failed or time.monotonic() > self._end:
            return None
        try:
            return get(dataset["uri"])
        except UnknownURIError:
            return None
        except Exception:
            if self._retrieve.shares_sql_session:
                raise  # the page is of the same database
            # What a store of its own cannot answer, it cannot answer for the next dataset either.
            logger.warning("Results are told without descriptions and excerpts", exc_info=True)
            self._has_failed = True
            return None

    def _read_manifest(self, dataset: Mapping[str, Any]) -> bytes:
        """Return a manifest as JSON; of a long one the beginning, or nothing where that would take all of it."""
        beginning = self._read(self._beginning_of_manifest, dataset)
        if beginning is not None:
            return bytes(beginning)
        if (dataset["number_of_items"] or 0) > _FILES_OF_MANIFEST:
            return b""
        manifest = self._read(self._retrieve.get_manifest_json, dataset)
        return (manifest or b"")[:_MANIFEST_BYTES]

    def _beginning_of_manifest(self, uri: str) -> bytes | None:
        packed = self._retrieve.get_packed_manifest(uri)
        return None if packed is None else beginning_of(packed, _MANIFEST_BYTES)


# -- Matches ---------------------------------------------------------------------------------------------------------


def _matches_of_name(dataset: Mapping[str, Any], highlighter: Highlighter) -> Iterator[Match]:
    hits = highlighter.hits(dataset["name"], "name")
    if hits:
        yield _match("name", dataset["name"], hits)


def _matches_of_tags(tags: Sequence[str], highlighter: Highlighter) -> Iterator[Match]:
    hits_of_tags = [(tag, highlighter.hits(tag, "tags")) for tag in tags]
    for tag, hits in [found for found in hits_of_tags if found[1]][:MOST_OF_EACH]:
        yield _match("tags", tag, hits)


def _matches_of_readme(readme: str, highlighter: Highlighter) -> Iterator[Match]:
    hits = highlighter.hits(readme, "readme")
    if not hits and len(readme) < _SHORT_README:  # words may be written with escapes, or across lines
        readme = text_of_values(readme)
        hits = highlighter.hits(readme, "readme")
    told: set[int] = set()
    for _ in range(MOST_OF_README):
        new = [hit for hit in hits if hit.what not in told]
        if not new:
            return
        match, shown = _excerpt("readme", readme, hits, _best_start(new))
        told |= shown
        yield match


# Of longer READMEs the values are not looked at, if there is nothing in the text as it is written.
_SHORT_README = 20_000


def _matches_of_annotations(
    annotations: Any, characters: int, highlighter: Highlighter
) -> tuple[list[Match], int]:
    """Return the matches in annotations, and how many characters were looked at to find them.

    :param characters: to look at
    """
    found: list[Match] = []
    looked_at = 0
    stack: list[tuple[str, Any]] = list(annotations.items())[::-1] if isinstance(annotations, Mapping) else []
    for _ in range(_ANNOTATIONS_LOOKED_AT):
        if not stack or len(found) == MOST_OF_EACH or looked_at >= characters:
            break
        name, value = stack.pop()
        if isinstance(value, Mapping) and value:
            stack += [(f"{name}.{key}", child) for key, child in reversed(list(value.items()))]
            continue
        if isinstance(value, (list, tuple)) and any(isinstance(each, (Mapping, list)) for each in value):
            stack += [(name, child) for child in reversed(value)]
            continue
        text = f"{name}: {_written(value)}"[: characters - looked_at]
        looked_at += len(text)
        hits = highlighter.hits(text, "annotations")
        if hits:
            found.append(_match("annotations", text, hits))
    return found, looked_at


def _written(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_written, value))
    return value if isinstance(value, str) else str(value)


def _matches_of_identity(dataset: Mapping[str, Any], highlighter: Highlighter) -> Iterator[Match]:
    for field, kind in (("creator_username", "creator"), ("uri", "uri"), ("uuid", "uuid")):
        text = dataset[field]
        if field == "uuid" and text in dataset["uri"]:
            continue
        hits = highlighter.hits(text, "about")
        if (kind, text) in highlighter.exact:
            hits = [Hit(0, len(text), 0)]
        if field == "uri":
            hits += _in_base_uri(dataset, highlighter)
            hits += [
                Hit(text.index(value), text.index(value) + len(value), 0)
                for asked, value in highlighter.exact
                if asked == "uuid" and value in text
            ]
        if hits:
            yield _match(kind, text, hits)


def _in_base_uri(dataset: Mapping[str, Any], highlighter: Highlighter) -> Iterator[Hit]:
    base_uri = dataset["base_uri"].lower()
    for text in highlighter.in_base_uri:
        at = base_uri.find(text)
        if at >= 0 and dataset["uri"].startswith(dataset["base_uri"]):
            yield Hit(at, at + len(text), 0)


# A backslash is in front of what would end the text.
_RELPATH = re.compile(rb'"relpath":\s{0,20}("(?:[^"\\]|\\.)*")')


def _paths_in(manifest: bytes) -> list[str]:
    """Return the paths of the files in a manifest, or in the beginning of one."""
    return [json.loads(path) if b"\\" in path else path[1:-1].decode() for path in _RELPATH.findall(manifest)]


def _matches_of_files(paths: Sequence[str], highlighter: Highlighter) -> Iterator[Match]:
    for path, hits in highlighter.files(paths, MOST_OF_EACH):
        yield _match("file", path, hits)


# -- Excerpts --------------------------------------------------------------------------------------------------------


def _match(field: str, text: str, hits: Sequence[Hit]) -> Match:
    """Return a match with an excerpt of a text, around where most of what was asked for stands together."""
    return _excerpt(field, text, hits, _best_start(hits))[0]


def _best_start(hits: Sequence[Hit]) -> int:
    """Return where an excerpt should begin that has the most different things which were asked for."""

    def number_of_things(first: Hit) -> int:
        last = first.start + EXCERPT_LENGTH - _BEFORE_HIT
        return len({hit.what for hit in hits if first.start <= hit.start and hit.end <= last})

    return max(hits, key=number_of_things).start


def _excerpt(field: str, text: str, hits: Sequence[Hit], start: int) -> tuple[Match, set[int]]:
    """Return the match with an excerpt that has *start* near its beginning, and the numbers of what is in it."""
    first, last = 0, len(text)
    if last > EXCERPT_LENGTH:
        first = _beginning_of_word(text, max(0, min(start - _BEFORE_HIT, last - EXCERPT_LENGTH)), start)
        last = _end_of_word(text, first, first + EXCERPT_LENGTH)
    shown = [hit for hit in hits if hit.start < last and hit.end > first]
    excerpt = re.sub(r"\s", " ", text[first:last])
    first += len(excerpt) - len(excerpt.lstrip())
    excerpt = excerpt.strip()
    places: list[list[int]] = []
    for begin, end in sorted({(hit.start - first, hit.end - first) for hit in shown}):
        begin, end = max(begin, 0), min(end, len(excerpt))
        if places and begin <= places[-1][1]:
            places[-1][1] = max(places[-1][1], end)
        else:
            places.append([begin, end])
    return {"field": field, "excerpt": excerpt, "highlights": places}, {hit.what for hit in shown}


def _beginning_of_word(text: str, first: int, last: int) -> int:
    """Return where a word begins, from *first* on and before *last*; *first* if none does."""
    if first == 0:
        return 0
    space = re.compile(r"\s\S").search(text, first - 1, last + 1)
    return space.start() + 1 if space else first


def _end_of_word(text: str, first: int, last: int) -> int:
    """Return where the last word ends that is whole before *last*; *last* if there is none."""
    if last >= len(text) or text[last].isspace():
        return min(last, len(text))
    ends = [found.start() for found in re.finditer(r"(?<=\S)\s", text[first:last])]
    return first + ends[-1] if ends else last


def _short(text: str) -> str:
    """Return the beginning of a text in one line, cut at a word and with an ellipsis where it goes on."""
    line = " ".join(text.split())
    if len(line) <= DESCRIPTION_LENGTH:
        return line
    return f"{line[: _end_of_word(line, 0, DESCRIPTION_LENGTH)]}…"
