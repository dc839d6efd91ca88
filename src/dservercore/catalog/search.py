"""Searching: what to ask the search plugin, and what to make of its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dservercore import plugin_host
from dservercore.catalog import limits, lookup
from dservercore.catalog.scope import Scope
from dservercore.dataset import csv_lines
from dservercore.dataset.conditions import CONDITIONS
from dservercore.dataset.document import dataset_object
from dservercore.dataset.query_tree import Query
from dservercore.dataset.values import is_blank
from dservercore.errors import invalid
from dservercore.plugin_api import SearchABC

logger = logging.getLogger(__name__)

DatasetObject = dict[str, Any]

# Where in a dataset object the value is that a filter is about.
_KEY_OF_FILTER = {"creator_usernames": "creator_username", "uuids": "uuid", "uploaded_by": "uploaded_by"}


def without_blanks(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return *query* without what filters nothing: a blank ``free_text``, and empty lists but for ``base_uris``.

    It is empty if everything in scope is asked for.
    """
    return {key: value for key, value in query.items() if not _filters_nothing(key, value)}


def _filters_nothing(key: str, value: Any) -> bool:
    if key == "base_uris":
        return value is None
    return value is None or value == [] or (key == "free_text" and isinstance(value, str) and is_blank(value))


def narrowed(scope: Scope, query: Mapping[str, Any]) -> Scope:
    """Return what *query* asks for of *scope*: its ``base_uris``, or everything where it names none."""
    asked = query.get("base_uris")
    return scope if asked is None else scope.narrowed_to(asked)


@dataclass
class Report:
    """What a search has done to a query.

    :ivar done: ``corrected``, by words as they are typed the words that they were read as; ``optional``, words that a
        dataset need not have; ``strict_total``, how many datasets match as it is typed. None: nothing was done
    :ivar answered: what the datasets were found by in the end. None: the search plugin does not say, or no words were
        asked for
    """

    done: dict[str, Any] | None = None
    answered: Query | None = None


def search(
    scope: Scope,
    query: Mapping[str, Any],
    pagination_parameters: Any = None,
    sort_parameters: Any = None,
    *,
    is_strict: bool = False,
    is_grouped: bool = False,
    report: Report | None = None,
) -> list[DatasetObject]:
    """Return one page of the datasets in *scope* that match *query*, and set ``item_count`` on the pagination.

    :param query: ``free_text``, filters and ``dataset.conditions``; a blank text and an empty list filter nothing,
        except that ``base_uris: []`` finds nothing
    :param pagination_parameters: the page; None: everything
    :param sort_parameters: has ``order``, ``{field: 1 | -1}``; None: by ``uri``
    :param is_strict: find just what is asked for, also where the search plugin could find what may be meant
    :param is_grouped: count datasets with the same UUID as one, and return the first of them in the order
    :param report: is told what was done to the query
    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or not in the time that a search may take
    """
    limits.check_query(query)
    permitted = narrowed(scope, query)
    if not permitted.base_uris:
        if pagination_parameters is not None:
            pagination_parameters.item_count = 0
        return []
    plugin = plugin_host.plugins().search
    theirs, ours = _shared_out(plugin, query, permitted, is_strict)
    is_left_to_us = bool(ours) or (is_grouped and not plugin.groups_copies)
    if is_grouped and not is_left_to_us:
        theirs["group"] = "uuid"
    if not is_left_to_us:
        found = plugin.search(
            theirs, pagination_parameters=pagination_parameters, sort_parameters=sort_parameters
        )
        if report is not None:
            report.done = getattr(pagination_parameters, "search_report", None)
            report.answered = getattr(pagination_parameters, "answered_query", None)
        if plugin.shares_sql_session:
            return [dataset_object(dataset) for dataset in found]
        return _registered(permitted, found)
    found = _registered(permitted, plugin.search(theirs, sort_parameters=sort_parameters))
    matching = _matching(ours, found)
    return _page(_first_copies(matching) if is_grouped else matching, pagination_parameters)


def _first_copies(found: Iterable[DatasetObject]) -> list[DatasetObject]:
    """Return, of the datasets that have the same UUID, the first one."""
    first: dict[str, DatasetObject] = {}
    for dataset in found:
        first.setdefault(dataset["uuid"], dataset)
    return list(first.values())


#: Datasets that are read at once of all that a search finds.
SLICE = 500


@dataclass(frozen=True)
class Everything:
    """All datasets that a search finds, in the order asked for: just those that its total counts.

    :ivar keys: a few bytes for each of them
    :ivar fetch: returns the datasets of some keys, in their order; those that are gone are left out. It reads what they
        are now, and needs no request, nor what was read before
    :ivar done: what was done to the query, as :class:`Report` has it
    """

    keys: Sequence[Any]
    fetch: Callable[[Sequence[Any]], list[DatasetObject]]
    done: dict[str, Any] | None = None

    def slices(self) -> Iterator[Sequence[Any]]:
        """Yield the keys, as many together as are to be fetched at once."""
        for start in range(0, len(self.keys), SLICE):
            yield self.keys[start : start + SLICE]


def csv_of(datasets: Sequence[DatasetObject]) -> str:
    """Return lines of CSV for datasets, without that of the names of the columns; their tags are looked up."""
    return csv_lines.lines_of(datasets, lookup.tags_of_uris([dataset["uri"] for dataset in datasets]))


def search_all(
    scope: Scope, query: Mapping[str, Any], sort_parameters: Any, *, is_strict: bool = False
) -> Everything:
    """Return all datasets in *scope* that match *query*; all that there are, if it asks for nothing.

    :param query: ``free_text``, filters and ``dataset.conditions``; a blank text and an empty list filter nothing,
        except that ``base_uris: []`` finds nothing
    :param sort_parameters: has ``order``, ``{field: 1 | -1}``
    :param is_strict: find just what is asked for, also where the search plugin could find what may be meant
    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or finding them takes longer than a search may
    """
    limits.check_query(query)
    permitted = narrowed(scope, query)
    if not permitted.base_uris:
        return Everything((), list)
    if not without_blanks(query):
        ids = lookup.ids_in_order(permitted, sort_parameters.order)
        return Everything(ids, partial(lookup.of_ids, permitted))
    plugin = plugin_host.plugins().search
    theirs, ours = _shared_out(plugin, query, permitted, is_strict)
    matches = plugin.search_all(theirs, sort_parameters)

    def fetch(keys: Sequence[Any]) -> list[DatasetObject]:
        found = plugin.fetch(keys)
        if not plugin.shares_sql_session:
            return _matching(ours, _registered(permitted, found))
        # A key of a dataset that is gone may have become that of another one, anywhere.
        within = [dataset_object(dataset) for dataset in found if dataset["base_uri"] in permitted]
        return _matching(ours, within)

    return Everything(matches.keys, fetch, matches.report)


def _shared_out(
    plugin: SearchABC, query: Mapping[str, Any], permitted: Scope, is_strict: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the part of a query that is for the plugin, and the filters of it that the plugin does not know.

    :raises ValidationError: 422 for what nobody can do
    """
    filters = without_blanks(query)
    ours = {key: value for key, value in filters.items() if key not in plugin.filters}
    theirs = {key: value for key, value in filters.items() if key in plugin.filters}
    for key in ours:
        if key == "free_text" or key in CONDITIONS:
            what = "search texts" if key == "free_text" else "look for that"
            raise invalid(key, f"the search plugin {type(plugin).__name__} does not {what}")
    theirs["base_uris"] = list(permitted.base_uris)
    if is_strict and plugin.is_forgiving:
        theirs["strict"] = True
    return theirs, ours


def _registered(permitted: Scope, found: Iterable[Mapping[str, Any]]) -> list[DatasetObject]:
    """Return the datasets that a plugin found, if they are registered and permitted: in its order, each once.

    A store of its own may be behind the SQL database, or hold a document of another UUID that was registered under the
    same URI before.
    """
    found = list(found)
    rows = lookup.of_uris(permitted, list({dataset["uri"] for dataset in found}))
    registered: dict[str, DatasetObject] = {}
    for dataset in found:
        row = rows.get(dataset["uri"])
        if row and str(dataset.get("uuid", row["uuid"])).lower() == row["uuid"].lower():
            registered.setdefault(row["uri"], row)
    if len(registered) < len(found):
        logger.warning(
            "Left out of a search: %d documents of the search plugin that are not registered as datasets",
            len(found) - len(registered),
        )
    return list(registered.values())


def _matching(filters: Mapping[str, Any], found: list[DatasetObject]) -> list[DatasetObject]:
    """Return the datasets that pass *filters*, which the plugin does not know; all of *found* are permitted."""
    for name, key in _KEY_OF_FILTER.items():
        if name in filters:
            allowed = set(filters[name])
            found = [dataset for dataset in found if dataset[key] in allowed]
    if "tags" in filters:
        wanted = set(filters["tags"])
        tags = lookup.tags_of_uris([dataset["uri"] for dataset in found])
        found = [dataset for dataset in found if wanted <= tags.get(dataset["uri"], set())]
    return found


def _page(found: list[DatasetObject], pagination_parameters: Any) -> list[DatasetObject]:
    if pagination_parameters is None:
        return found
    pagination_parameters.item_count = len(found)
    return found[pagination_parameters.first_item : pagination_parameters.last_item + 1]
