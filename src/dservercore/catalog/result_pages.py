"""A page of what somebody asks for: the results of a search, or the list of all datasets where nothing is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dservercore.catalog import lookup, metrics, result_details, search
from dservercore.catalog.scope import Scope


@dataclass(frozen=True)
class ResultPage:
    """One page of results.

    :ivar datasets: dataset objects, with what was to be added
    :ivar total: how many there are on all pages
    :ivar done: what was done to the query, as :class:`~dservercore.catalog.search.Report` has it; None: nothing
    """

    datasets: list[dict[str, Any]]
    total: int
    done: dict[str, Any] | None = None


def result_page(
    scope: Scope,
    query: Mapping[str, Any],
    pagination_parameters: Any,
    sort_parameters: Any,
    *,
    is_strict: bool = False,
    is_grouped: bool = False,
    details: Collection[str] = (),
) -> ResultPage:
    """Return one page of the datasets in *scope* that match *query*; of all of them, if it is empty.

    :param query: as :func:`~dservercore.catalog.search.without_blanks` returns it
    :param pagination_parameters: the page; its ``item_count`` is set
    :param sort_parameters: has ``order``, ``{field: 1 | -1}``
    :param is_strict: find just what is asked for
    :param is_grouped: count datasets with the same UUID as one, and say where all of them are (``copies``)
    :param details: those of ``result_details.DETAILS`` that are to be added
    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or not in the time that a search may take
    """
    report, answered = search.Report(), None
    if query:
        with metrics.counted_search(query) as counted:
            found = search.search(
                scope,
                query,
                pagination_parameters,
                sort_parameters,
                is_strict=is_strict,
                is_grouped=is_grouped,
                report=report,
            )
            counted.number, counted.done = pagination_parameters.item_count, report.done
        answered = report.answered or result_details.query_of(query.get("free_text"))
    else:
        list_page = lookup.list_groups if is_grouped else lookup.list_datasets
        rows = slice(pagination_parameters.first_item, pagination_parameters.last_item + 1)
        found, pagination_parameters.item_count = list_page(scope, sort_parameters.order, rows)
    if is_grouped:
        found = result_details.add_copies(scope, found)
    if details:
        found = result_details.add_details(scope, found, details, answered)
    return ResultPage(found, pagination_parameters.item_count, report.done)
