"""Facets: how many of the datasets that a query finds have which tags, creators, years and the like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_smorest.pagination import PaginationParameters

from dservercore import plugin_host
from dservercore.catalog import limits, lookup, search
from dservercore.catalog.scope import Scope
from dservercore.dataset.facets import FACETS, SIZE_CLASSES, Facet, size_class, size_power
from dservercore.dataset.times import timestamp_to_datetime
from dservercore.errors import UnknownURIError

#: Of what a search plugin finds that counts no facets itself, so many datasets are counted; names of annotations, which
#: are read for each dataset, of so many. A facet of more is left out.
MAX_COUNTED, MAX_READ = 10_000, 1000

_FILTERS = ("tags", "creator_usernames", "base_uris", "uploaded_by")


@dataclass(frozen=True)
class Wanted:
    """What is wanted to know of facets.

    :ivar facets: their names
    :ivar top: how many values of each at most, the commonest; those that the query filters by come on top of it
    :ivar prefix: values that begin so, in whatever case; empty: any
    :ivar narrow: whether tags are counted among the datasets that have all those which the query filters by, where the
        search plugin can do so: as a dataset must have all of them, that is how many are left with one more
    """

    facets: Sequence[Facet] = FACETS
    top: int = 10
    prefix: str = ""
    narrow: bool = False


def count(
    scope: Scope,
    query: Mapping[str, Any],
    wanted: Wanted,
    sort_parameters: Any = None,
    *,
    is_strict: bool = False,
    report: search.Report | None = None,
) -> dict[Facet, list[dict[str, Any]]]:
    """Return ``[{"value": str, "count": int}, ...]`` for each facet: of the datasets in *scope* that match *query*.

    Each facet is counted without its own filter, while all others hold (but see ``narrow``). The commonest values come
    first, and equals in the order of their code points; years come with the latest first, classes of sizes with the
    smallest. A value that *query* filters by is there whatever its count. A facet that the search plugin cannot count
    is left out.

    :param query: ``free_text`` and filters; a blank text and an empty list filter nothing, except that
        ``base_uris: []`` finds nothing
    :param sort_parameters: those of the search that finds the datasets, as it may depend on them what is found; None:
        by ``uri``
    :param is_strict: count just what is asked for, also where the search plugin could find what may be meant
    :param report: is told what was done to the query
    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or not in the time that a search may take
    """
    limits.check_query(query)
    plugin = plugin_host.plugins().search
    filters = search.without_blanks(query)
    if plugin.counts_facets and filters.keys() <= plugin.filters:
        theirs = {**filters, "base_uris": list(search.narrowed(scope, query).base_uris)}
        if is_strict and plugin.is_forgiving:
            theirs["strict"] = True
        if wanted.narrow and "tags" in theirs and "all" in plugin.filters:
            # A condition is nobody's own filter.
            theirs["all"] = [*theirs.get("all", ()), {"tags": theirs.pop("tags")}]
        counted = plugin.count_facets(theirs, wanted.facets, list(scope.base_uris), sort_parameters)
        if report is not None:
            report.done = counted.search_report
        counts = counted.counts
    else:
        counts = _counts_of_found(scope, filters, wanted.facets, sort_parameters, is_strict=is_strict)
    return {
        name: _entries(name, counts[name], filters.get(name) or () if name in _FILTERS else (), wanted)
        for name in wanted.facets
        if name in counts
    }


def _entries(
    name: Facet, counts: Mapping[str, int], chosen: Iterable[str], wanted: Wanted
) -> list[dict[str, Any]]:
    """Return the values of a facet and how many datasets have each, those that are wanted.

    :param chosen: values that the query filters by
    """
    prefix = wanted.prefix.casefold()
    possible = [value for value in {*counts, *chosen} if value.casefold().startswith(prefix)]
    by_count = sorted(possible, key=lambda value: (-counts.get(value, 0), value))
    chosen = set(chosen)
    values = by_count[: wanted.top] + [value for value in by_count[wanted.top :] if value in chosen]
    if name in ("created", "frozen"):
        values.sort(reverse=True)
    elif name == "size":
        values.sort(key=SIZE_CLASSES.index)
    return [{"value": value, "count": counts.get(value, 0)} for value in values]


# -- For a search plugin that counts no facets -----------------------------------------------------------------------


def _counts_of_found(
    scope: Scope, filters: Mapping[str, Any], names: Sequence[Facet], sort_parameters: Any, *, is_strict: bool
) -> dict[Facet, Mapping[str, int]]:
    counts: dict[Facet, Mapping[str, int]] = {}
    own = [name for name in names if name in filters]
    for without, facets in [
        (None, [name for name in names if name not in own]),
        *((name, [name]) for name in own),
    ]:
        if facets:
            others = {name: value for name, value in filters.items() if name != without}
            page = PaginationParameters(1, MAX_COUNTED)
            found = search.search(scope, others, page, sort_parameters, is_strict=is_strict)
            if (page.item_count or 0) <= MAX_COUNTED:
                counts |= _counts(found, facets)
    return counts


def _counts(found: Sequence[Mapping[str, Any]], names: Iterable[Facet]) -> dict[Facet, Mapping[str, int]]:
    return {
        name: Counter(_values(name, found))
        for name in names
        if name != "annotations" or len(found) <= MAX_READ
    }


_KEYS = {"creator_usernames": "creator_username", "base_uris": "base_uri", "uploaded_by": "uploaded_by"}
_TIMES = {"created": "created_at", "frozen": "frozen_at"}


def _values(name: Facet, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the values that datasets have of a facet, each as often as there are datasets that have it."""
    if name == "tags":
        tags = lookup.tags_of_uris([dataset["uri"] for dataset in found])
        return [tag for its_tags in tags.values() for tag in its_tags]
    if name == "annotations":
        return [annotation for dataset in found for annotation in _annotations_of(dataset["uri"])]
    if name in _TIMES:
        return [f"{timestamp_to_datetime(dataset[_TIMES[name]]).year:04}" for dataset in found]
    if name == "size":
        sizes = (dataset["size_in_bytes"] for dataset in found)
        return [size_class(size_power(size)) for size in sizes if size is not None]
    values = (dataset[_KEYS[name]] for dataset in found)
    return [value for value in values if value is not None]


def _annotations_of(uri: str) -> Iterable[str]:
    try:
        return list(plugin_host.plugins().retrieve.get_annotations(uri))
    except UnknownURIError:
        return ()
