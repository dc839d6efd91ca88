"""Registering, finding, listing and deleting datasets."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, select

from dservercore import db, plugin_writes, uris
from dservercore.catalog import audit, batches, journal
from dservercore.catalog import dataset_rows as rows
from dservercore.catalog.batches import Incoming
from dservercore.catalog.dataset_rows import BASE_URI_ID, BY_URI, COLUMNS, OBJECT, as_object
from dservercore.catalog.uri_order import uri_order
from dservercore.dataset_info import DATASET_SORT_FIELDS, checked_uuid
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError, ValidationError, invalid
from dservercore.models import Dataset, DatasetTag
from dservercore.reading import Prepared
from dservercore.scope import Actor, Scope, require_dataset

_dataset, _dataset_tag = Dataset.__table__, DatasetTag.__table__  # see dataset_rows on why the tables
_ids: Any = bindparam("ids", expanding=True)
_uris: Any = bindparam("uris", expanding=True)

# So many URIs go into one statement; every database takes more parameters than that.
URIS_AT_ONCE = 500

_BY_UUID = OBJECT.where(_dataset.c.uuid == bindparam("uuid"))
_BY_URIS = OBJECT.where(_dataset.c.uri.in_(_uris))
_IN_SCOPE = OBJECT.where(_dataset.c.base_uri_id.in_(_ids))

_TAGS_BY_URIS = (
    select(_dataset.c.uri, _dataset_tag.c.tag)
    .select_from(_dataset.join(_dataset_tag, _dataset_tag.c.dataset_id == _dataset.c.id))
    .where(_dataset.c.uri.in_(_uris))
)


# Finding


def find(scope: Scope, uri: str) -> dict[str, Any]:
    """Return the dataset object of *uri*.

    :raises AuthorizationError: if the base URI that it would be in is not in *scope*, whether or not it exists
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    row = BY_URI.first({"uri": uri})
    require_dataset([scope], uri, None if row is None else row[BASE_URI_ID])
    assert row is not None
    return as_object(row)


def may_access(scope: Scope, uri: str) -> bool:
    """Return whether a dataset is in *scope*, or, where it is not registered, the base URI that it would be in."""
    row = BY_URI.first({"uri": uri})
    return scope.has_dataset(uri, None if row is None else row[BASE_URI_ID])


def find_copies(
    scope: Scope, uuid: str, order: Mapping[str, int], page: slice
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the copies in *scope* of the dataset with *uuid*, and how many copies there are.

    :param uuid: in any spelling; one that is no UUID has no copies
    """
    try:
        parameters = {"uuid": checked_uuid(uuid)}
    except ValidationError:
        return [], 0
    # There are as many copies as places to keep them: few enough to fetch them all and pick those in scope.
    in_scope = set(scope.ids)
    found = _copies(tuple(order.items())).all(parameters)
    copies = [row for row in found if row[BASE_URI_ID] in in_scope]
    return [as_object(row) for row in copies[page]], len(copies)


@functools.lru_cache(maxsize=64)
def _copies(order: tuple[tuple[str, int], ...]) -> Prepared:
    return Prepared(_ordered(_BY_UUID, dict(order)))


def list_datasets(
    scope: Scope, order: Mapping[str, int], page: slice | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the datasets in *scope*, and how many there are.

    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    """
    by_uri = uri_order(scope)
    if page is None:
        return _rows(scope.ids, order, 0, by_uri.total), by_uri.total
    ids, datasets, offset = scope.ids, by_uri.total, page.start
    limit = min(page.stop, datasets) - offset
    if limit <= 0:
        return [], by_uri.total
    if next(iter(order), "uri") == "uri":
        ids, datasets, offset = by_uri.of_page(offset, limit, backwards=order.get("uri", 1) < 0)
    # A page in the second half is nearer to the end than to the beginning.
    offset_from_end = datasets - offset - limit
    if offset_from_end >= offset:
        return _rows(ids, order, offset, limit), by_uri.total
    from_end = {field: -direction for field, direction in {**order, "uri": order.get("uri", 1)}.items()}
    return _rows(ids, from_end, offset_from_end, limit)[::-1], by_uri.total


def _rows(ids: list[int], order: Mapping[str, int], offset: int, limit: int) -> list[dict[str, Any]]:
    parameters = {"ids": ids, "limit": limit, "offset": offset}
    return [as_object(row) for row in _page_of(tuple(order.items()), db.locks_rows()).all(parameters)]


@functools.lru_cache(maxsize=64)
def _page_of(order: tuple[tuple[str, int], ...], reads_skipped_rows: bool) -> Prepared:
    """Return the statement for one page.

    :param reads_skipped_rows: the database reads the rows before the page, unless it is told to look at an index alone
    """
    page = _ordered(_IN_SCOPE, dict(order))
    if reads_skipped_rows and [field for field, _ in order[:1]] in ([], ["uri"]):
        uris_of_page = _ordered(select(_dataset.c.uri).where(_dataset.c.base_uri_id.in_(_ids)), dict(order))
        inner = uris_of_page.limit(bindparam("limit")).offset(bindparam("offset")).subquery("page")
        page = _ordered(OBJECT.where(_dataset.c.uri.in_(select(inner.c.uri))), dict(order))
        return Prepared(page)
    return Prepared(page.limit(bindparam("limit")).offset(bindparam("offset")))


def iterate(scope: Scope) -> Iterator[dict[str, Any]]:
    """Yield every dataset object in *scope*, in the order of the URIs, without holding them all."""
    statement = _ordered(_IN_SCOPE, {"uri": 1}).execution_options(yield_per=1000)
    for row in sql_db.session.execute(statement, {"ids": scope.ids}):
        yield as_object(row)


def of_uris(scope: Scope, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``{uri: dataset object}`` of those of the wanted URIs that are registered in *scope*."""
    found: dict[str, dict[str, Any]] = {}
    in_scope = set(scope.ids)
    for start in range(0, len(wanted), URIS_AT_ONCE):
        parameters = {"uris": wanted[start : start + URIS_AT_ONCE]}
        registered = sql_db.session.execute(_BY_URIS, parameters)
        found |= {row.uri: as_object(row) for row in registered if row.base_uri_id in in_scope}
    return found


def tags_of_uris(wanted: Sequence[str]) -> dict[str, set[str]]:
    """Return ``{uri: tags}`` of those of the wanted URIs that are registered and have tags."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for start in range(0, len(wanted), URIS_AT_ONCE):
        parameters = {"uris": wanted[start : start + URIS_AT_ONCE]}
        for uri, tag in sql_db.session.execute(_TAGS_BY_URIS, parameters):
            found[uri].add(tag)
    return found


def _ordered(statement: Select[Any], order: Mapping[str, int]) -> Select[Any]:
    unknown = set(order) - set(DATASET_SORT_FIELDS)
    if unknown:
        raise invalid("sort", f"cannot sort by {', '.join(sorted(unknown))}")
    keys = [COLUMNS[field].desc() if direction < 0 else COLUMNS[field] for field, direction in order.items()]
    return statement.order_by(*keys, *([] if "uri" in order else [_dataset.c.uri]))


# Registering


def register_dataset(
    actor: Actor, scope: Scope, info: Mapping[str, Any], uploaded_at: datetime | None = None
) -> bool:
    """Store a dataset's document everywhere, or replace the one of the same URI. Return whether it is new.

    :param scope: the base URIs in which *actor* may register
    :param info: the document (see ``dataset_info``)
    :param uploaded_at: naive UTC; None: now
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises UnavailableError: if a plugin cannot reach its store
    """
    return batches.register_one(actor, scope, Incoming(info, uploaded_at=uploaded_at)) == "created"


# Deleting


def delete_dataset(scope: Scope, uri: str, *, actor: Actor | None = None) -> bool:
    """Remove the dataset from every store. Return whether there was one in *scope*.

    :param scope: the base URIs in which the actor may register
    :raises AuthorizationError: if neither the dataset nor the base URI that it would be in is in *scope*
    :raises UnavailableError: if a plugin cannot reach its store
    """
    plugin_writes.begin()
    registered = rows.hold_registered(uri)
    try:
        require_dataset([scope], uri, registered.base_uri_id if registered else None)
    except UnknownURIError:
        if registered is None:
            journal.adopt_pending([uri])  # what an earlier try has left to do
        return False
    assert registered is not None
    remove([registered])
    record_deletion(registered, actor)
    return True


def record_deletion(registered: rows.Registered, actor: Actor | None = None) -> None:
    """Leave a record that one dataset was deleted."""
    former = registered.former
    audit.record(actor, "dataset.delete", former.uri, {"uuid": former.uuid}, uris.parent(former.uri))


def delete_all_in(base_uri_id: int) -> int:
    """Remove every dataset of a base URI, whose row the caller holds, from every store. Return how many there were."""
    found = rows.uris_in([base_uri_id])
    for start in range(0, len(found), URIS_AT_ONCE):
        remove(list(rows.find_all_registered(found[start : start + URIS_AT_ONCE]).values()))
    return len(found)


def remove(doomed: Sequence[rows.Registered]) -> None:
    """Remove datasets, which the caller holds, from every store: from those outside of SQL once this is committed."""
    journal.delete_from_stores([registered.former for registered in doomed])
    for registered in doomed:
        rows.remove_row(registered)
