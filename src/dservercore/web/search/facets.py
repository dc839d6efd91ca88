"""What is beside the results: how many of them have which tags, creators and the like, with links that choose these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from dservercore.catalog import facets
from dservercore.catalog.facets import Wanted
from dservercore.catalog.scope import Scope
from dservercore.dataset.facets import SIZE_CLASSES, Facet
from dservercore.rest.schemas import MAX_TOP
from dservercore.web.search.asked import Asked
from dservercore.web.search.conditions import SizeClass, Years
from dservercore.web.texts import gettext, noted

#: Facets that are lists of values, and what they are called.
LISTS: dict[Facet, str] = {
    "tags": noted("Tags"),
    "creator_usernames": noted("Creators"),
    "base_uris": noted("Base URIs"),
    "uploaded_by": noted("Registered by"),
}

#: So many values are shown of each beside the results.
SHOWN = 8

#: So many years side by side can still be told apart; fewer than so many would be broad bars.
MOST_YEARS, LEAST_YEARS = 40, 6


@dataclass(frozen=True)
class Value:
    """A value of a facet, and where choosing it leads, or taking it back."""

    text: str
    number: int
    url: str
    is_chosen: bool
    id: str


@dataclass(frozen=True)
class ShownFacet:
    """A facet that is a list of values."""

    name: Facet
    title: str
    values: Sequence[Value]
    has_more: bool = False


@dataclass(frozen=True)
class Bar:
    """A year of the histogram, in units of its drawing.

    :ivar text: which years the search has where its link leads
    """

    year: int
    number: int
    x: float
    width: float
    height: float
    url: str
    is_chosen: bool
    text: str


@dataclass(frozen=True)
class Histogram:
    """How many datasets were frozen in which years."""

    bars: Sequence[Bar]
    WIDTH, HEIGHT = 240, 64

    @property
    def most(self) -> int:
        """The number of the highest bar."""
        return max(bar.number for bar in self.bars)


@dataclass(frozen=True)
class ShownFacets:
    """All facets of a search."""

    lists: Sequence[ShownFacet] = ()
    sizes: Sequence[Value] = ()
    years: Histogram | None = None

    def __bool__(self) -> bool:
        return bool(self.lists or self.sizes or self.years)


def shown(scope: Scope, asked: Asked) -> ShownFacets:
    """Count the facets of a search; each, but for the tags, as if nothing of it was chosen.

    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or not in the time that a search may take
    """
    names: list[Facet] = [*LISTS]
    names += [] if asked.years else ["frozen"]
    names += [] if asked.size else ["size"]
    counts = _counted(scope, asked, names)
    if asked.years:
        counts |= _counted(scope, asked.reworded(years=None), ["frozen"])
    if asked.size:
        counts |= _counted(scope, asked.reworded(size=None), ["size"])
    lists = [shown_facet(asked, name, counts.get(name, ())) for name in LISTS]
    return ShownFacets(
        [facet for facet in lists if _says_something(facet)],
        _sizes(asked, counts.get("size", ())),
        _histogram(asked, counts.get("frozen", ())),
    )


def _says_something(facet: ShownFacet) -> bool:
    return len(facet.values) > 1 or any(value.is_chosen for value in facet.values)


def _counted(
    scope: Scope, asked: Asked, names: Sequence[Facet], prefix: str = ""
) -> dict[Facet, list[dict[str, Any]]]:
    wanted = Wanted(tuple(names), MAX_TOP, prefix, narrow=True)
    # As the results are found: by relevance, words may be missing.
    return facets.count(scope, asked.query, wanted, asked.sort_parameters, is_strict=asked.is_strict)


def values_of(scope: Scope, asked: Asked, name: Facet, prefix: str) -> ShownFacet:
    """Return the values of one facet, the commonest, that begin with *prefix*, in whatever case."""
    return shown_facet(asked, name, _counted(scope, asked, [name], prefix).get(name, ()), MAX_TOP)


def shown_facet(
    asked: Asked, name: Facet, counted: Sequence[Mapping[str, Any]], most: int = SHOWN
) -> ShownFacet:
    """Return a facet with so many values at most, and beyond them those that are chosen."""
    chosen = asked.of(name)
    numbers = {entry["value"]: entry["count"] for entry in counted}
    numbers |= {value: 0 for value in chosen if value not in numbers}
    values = [
        _value(
            name,
            value,
            number,
            asked.without_value(name, value) if value in chosen else asked.with_value(name, value),
            value in chosen,
        )
        for place, (value, number) in enumerate(numbers.items())
        if place < most or value in chosen
    ]
    return ShownFacet(name, gettext(LISTS[name]), values, len(numbers) > most or len(counted) == MAX_TOP)


def _value(name: str, text: str, number: int, leads_to: Asked, is_chosen: bool, shown_as: str = "") -> Value:
    # After a choice, the focus stays on the same value.
    digest = blake2b(text.encode(), digest_size=6).hexdigest()
    return Value(shown_as or text, number, leads_to.url(), is_chosen, f"{name}-{digest}")


def _sizes(asked: Asked, counted: Sequence[Mapping[str, Any]]) -> list[Value]:
    chosen = asked.size
    values = [
        _value(
            "size",
            entry["value"],
            entry["count"],
            asked.reworded(size=None if entry["value"] == chosen else entry["value"]),
            entry["value"] == chosen,
            name_of_size(entry["value"]),
        )
        for entry in counted
    ]
    if chosen and not any(value.is_chosen for value in values):
        values.append(_value("size", chosen, 0, asked.reworded(size=None), True, name_of_size(chosen)))
    return values if len(values) > 1 or chosen else []


def name_of_size(name: SizeClass) -> str:
    """Return what people call a class of sizes: ``1 MB – 1 GB``."""
    place = SIZE_CLASSES.index(name)
    if place == 0:
        return gettext("under %(size)s") % {"size": "1 kB"}
    if place + 1 == len(SIZE_CLASSES):
        return gettext("%(size)s or more") % {"size": f"1 {name}"}
    return f"1 {name} – 1 {SIZE_CLASSES[place + 1]}"


def name_of_years(years: Years) -> str:
    """Return ``2019`` or ``2019 – 2022``."""
    first, last = years
    return str(first) if first == last else f"{first} – {last}"


def _histogram(asked: Asked, counted: Sequence[Mapping[str, Any]]) -> Histogram | None:
    numbers = {int(entry["value"]): entry["count"] for entry in counted}
    if not numbers or (len(numbers) < 2 and not asked.years):
        return None
    last = max(numbers)
    first = max(1, min(*numbers, last + 1 - LEAST_YEARS))
    # Years without any are gaps, unless some dataset comes from a far past or future.
    years = list(range(first, last + 1)) if last - first < MOST_YEARS else sorted(numbers)[-MOST_YEARS:]
    most = max(1, *numbers.values())
    step = Histogram.WIDTH / len(years)
    chosen = asked.years
    bars = []
    for place, year in enumerate(years):
        number = numbers.get(year, 0)
        next_years = _next_choice(chosen, year)
        height = max(2.0, Histogram.HEIGHT * number / most) if number else 0.0
        bars.append(
            Bar(
                year,
                number,
                round(place * step, 2),
                round(step, 2),
                round(height, 1),
                asked.reworded(years=next_years).url(),
                chosen is not None and chosen[0] <= year <= chosen[1],
                name_of_years(next_years) if next_years else gettext("all years"),
            )
        )
    return Histogram(bars)


def _next_choice(chosen: Years | None, year: int) -> Years | None:
    """Return which years are chosen when somebody clicks on one: outside of those until now, it is one end of more."""
    if chosen is None:
        return year, year
    first, last = chosen
    if first <= year <= last:
        return None if first == last else (year, year)
    return min(first, year), max(last, year)
