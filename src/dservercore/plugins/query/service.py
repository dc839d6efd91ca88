"""Answering structured queries: checks, the time they may take, and which store is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Protocol, runtime_checkable

from flask import current_app

from dservercore.catalog.scope import Scope, acting
from dservercore.errors import invalid
from dservercore.plugins.query.aggregation import Pipeline, parse_pipeline
from dservercore.plugins.query.conditions import AllOf, Filter
from dservercore.plugins.query.documents import LONG_FIELDS
from dservercore.plugins.query.expressions import refused
from dservercore.plugins.query.language import parse_filter
from dservercore.plugins.query.store import DocumentStore, Restrictions, store, turns
from dservercore.plugins.query.time_limit import TimeLimit
from dservercore.plugins.tokens.time_limit import search_seconds

Document = dict[str, Any]

#: Documents that an aggregation looks at where the SQL database has them.
MOST_DOCUMENTS = 1_000_000


@runtime_checkable
class AggregatingStore(DocumentStore, Protocol):
    """A store that evaluates aggregations itself."""

    def aggregate(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        pipeline: Pipeline,
        page: slice,
        limit: TimeLimit,
    ) -> tuple[list[Document], int]:
        """Return a page of what an aggregation makes of the documents that match, and how many there are.

        :raises InvalidValueError: if an operator is given what it does not take, or too much is to be kept
        :raises OutOfTimeError: if it takes too long
        :raises UnavailableError: if the store cannot be reached
        """


def query(
    scope: Scope, given: Any, restrictions: Restrictions, order: Mapping[str, int], page: slice
) -> tuple[list[Document], int]:
    """Return a page of the documents in *scope* that match a query, without their long fields, and how many match.

    :param given: the query, as it came
    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    :raises InvalidValueError: 422 naming what is wrong with the query
    :raises UnavailableError: 503 if it takes too long, too many others do, or the store cannot be reached
    """
    filter = parse_filter(given)
    with turns().taken(acting().username):
        documents, total = store().find(
            scope,
            filter,
            restrictions,
            sort=order,
            skip=page.start,
            limit=page.stop - page.start,
            seconds=_seconds(),
        )
    return [short(document) for document in documents], total


def query_text(
    text: str, scope: Scope, filters: Mapping[str, Sequence[str]], order: Mapping[str, int], page: slice
) -> tuple[list[Document], int]:
    """Return a page of the documents in *scope* that match a query as somebody has typed it, and how many match.

    :param text: JSON
    :param filters: values of restrictions by name, and of ``uploaded_by``
    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    :raises InvalidValueError: 422 saying what is wrong with the query
    :raises UnavailableError: 503 if it takes too long, too many others do, or the store cannot be reached
    """
    given = _parsed(text)
    if filters.get("uploaded_by"):
        given = {"$and": [given, {"uploaded_by": {"$in": list(filters["uploaded_by"])}}]}
    restrictions = {name: tuple(values) for name, values in filters.items() if name != "uploaded_by"}
    return query(scope, given, Restrictions(**restrictions), order, page)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        reason = f"{error.msg[:1].lower()}{error.msg[1:]}, at character {error.pos + 1}"
    except (RecursionError, ValueError):
        reason = "it is nested too deeply, or has a number that is none"
    raise invalid(
        "query",
        f'This structured query is no JSON ({reason}). Names and texts stand in double quotes: {{"name": "rice"}}',
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def short(document: Mapping[str, Any]) -> Document:
    """Return a document without its long fields."""
    return {name: value for name, value in document.items() if name not in LONG_FIELDS}


def aggregate(
    scope: Scope, given: Any, restrictions: Restrictions, stages: Any, page: slice
) -> tuple[list[Document], int]:
    """Return a page of what an aggregation makes of the documents in *scope* that match, and how many there are.

    :param given: the query, as it came
    :param stages: the aggregation, as it came
    :raises InvalidValueError: 422 naming what is wrong with the query or the aggregation
    :raises UnavailableError: 503 if it takes too long, too many others do, or the store cannot be reached
    """
    filter, pipeline = parse_filter(given), parse_pipeline(stages)
    leading, rest = pipeline.split()
    if leading:  # what it begins with is one more condition on datasets, for which there may be an index
        filters = [filter, *leading]
        filter = Filter(
            AllOf(tuple(each.condition for each in filters)),
            {"$and": [each.query for each in filters if each.query] or [{}]},
        )
    with turns().taken(acting().username):
        return _aggregated(scope, filter, restrictions, rest, page)


def _aggregated(
    scope: Scope, filter: Filter, restrictions: Restrictions, rest: Pipeline, page: slice
) -> tuple[list[Document], int]:
    asked, limit = store(), TimeLimit(_seconds())
    if isinstance(asked, AggregatingStore):
        return asked.aggregate(scope, filter, restrictions, rest, page, limit)
    if rest.starts_with("$count"):
        _, total = asked.find(scope, filter, restrictions, sort=None, skip=0, limit=1, seconds=limit.seconds)
        return rest.run(repeat({}, total), limit, page)
    needed = rest.needed
    found = asked.stream(
        scope,
        filter,
        restrictions,
        most=MOST_DOCUMENTS + 1,
        seconds=limit.seconds,
        with_manifest=needed is None or "manifest" in needed,
    )
    return rest.run(_bounded(found, needed), limit, page)


def _bounded(documents: Iterable[Document], needed: set[str] | None) -> Iterator[Document]:
    """Yield documents with the fields alone that are needed."""
    for number, document in enumerate(documents, 1):
        if number > MOST_DOCUMENTS:
            raise refused(f"it is for at most {MOST_DOCUMENTS:,} datasets: match fewer.")
        yield (
            document
            if needed is None
            else {name: value for name, value in document.items() if name in needed}
        )


def _seconds() -> float:
    return search_seconds(current_app.config)
