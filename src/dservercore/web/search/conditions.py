"""Years and sizes at the end of the text of a search, where the page puts them as conditions of the query language."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dservercore.dataset.facets import SIZE_CLASSES

#: The first year and the last, both included.
Years = tuple[int, int]

#: One of ``dataset.facets.SIZE_CLASSES``.
SizeClass = str

_YEARS = re.compile(r"(?:^|\s)frozen:(\d{4})(?:\.\.(\d{4}))?$")


@dataclass(frozen=True)
class Parts:
    """What a text consists of.

    :ivar words: what is before the conditions
    :ivar years: in which datasets were frozen; None: in any
    :ivar size: of datasets; None: any
    """

    words: str
    years: Years | None = None
    size: SizeClass | None = None

    @property
    def text(self) -> str:
        """The parts put together."""
        said = [self.words]
        if self.years:
            first, last = self.years
            said.append(f"frozen:{first:04}" if first == last else f"frozen:{first:04}..{last:04}")
        if self.size:
            said.append(query_of_size(self.size))
        return " ".join(filter(None, said))


def query_of_size(name: SizeClass) -> str:
    """Return the query that finds the datasets of a class of sizes."""
    place = SIZE_CLASSES.index(name)
    bounds = [f"size:>=1{name}"] if place else []
    bounds += [f"size:<1{SIZE_CLASSES[place + 1]}"] if place + 1 < len(SIZE_CLASSES) else []
    return " ".join(bounds)


def split(text: str) -> Parts:
    """Return the parts of a text; conditions elsewhere than at its end, or of another form, are words."""
    parts = Parts(text)
    for _ in range(2):
        parts = _without_years(parts) if parts.years is None else parts
        parts = _without_size(parts) if parts.size is None else parts
    return parts


def _without_years(parts: Parts) -> Parts:
    found = _YEARS.search(parts.words)
    if not found:
        return parts
    first = int(found[1])
    last = int(found[2] or first)
    return replace(parts, words=parts.words[: found.start()].rstrip(), years=(first, last))


# The longest first: the end of one may be another one.
_SIZES = sorted(((query_of_size(name), name) for name in SIZE_CLASSES), key=lambda each: -len(each[0]))


def _without_size(parts: Parts) -> Parts:
    for query, name in _SIZES:
        words = parts.words.removesuffix(query)
        if words != parts.words and (not words or words.endswith(" ")):
            return replace(parts, words=words.rstrip(), size=name)
    return parts
