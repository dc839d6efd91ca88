"""Finding and listing datasets: dataset objects of the rows in a scope."""

from __future__ import annotations

import functools
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
)

from dservercore import db
from dservercore.catalog.dataset_rows import BASE_URI_ID, BY_URI, COLUMNS, OBJECT, as_object
from dservercore.catalog.scope import Scope, require_dataset
from dservercore.catalog.uri_order import uri_order
from dservercore.dataset.document import checked_uuid
from dservercore.dataset.fields import DATASET_SORT_FIELDS
from dservercore.db import sql_db
from dservercore.db.fast_reads import Prepared, Remembered, Row
from dservercore.errors import ValidationError, invalid
from dservercore.models import BaseURI, Dataset, DatasetTag

# The tables, not the models: dataset_rows.py says why.
_dataset, _dataset_tag = Dataset.__table__, DatasetTag.__table__
_ids: Any = bindparam("ids", expanding=True)
_uris: Any = bindparam("uris", expanding=True)

# A first page of up to so many datasets has a statement of its own; longer ones are rare.
MOST_OF_FIRST_PAGE = 100

_BY_UUID = OBJECT.where(_dataset.c.uuid == bindparam("uuid"))
_BY_URIS = OBJECT.where(_dataset.c.uri.in_(_uris))
_IN_SCOPE = OBJECT.where(_dataset.c.base_uri_id.in_(_ids))
_IDS_IN_SCOPE = OBJECT.with_only_columns(_dataset.c.id).where(_dataset.c.base_uri_id.in_(_ids))
_BY_IDS = Prepared(OBJECT.add_columns(_dataset.c.id).where(_dataset.c.id.in_(_ids)))

_TAGS_BY_URIS = Prepared(
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

    :param uuid: in any spelling; a text that is no UUID has no copies
    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    :param page: positions of the copies to return
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
    :param page: positions of the datasets to return; None: all
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
    if not offset and limit <= MOST_OF_FIRST_PAGE:
        return [as_object(row) for row in _first_of(tuple(order.items()), limit).all({"ids": ids})]
    parameters = {"ids": ids, "limit": limit, "offset": offset}
    return [as_object(row) for row in _page_of(tuple(order.items()), db.locks_rows()).all(parameters)]


@functools.lru_cache(maxsize=128)
def _first_of(order: tuple[tuple[str, int], ...], limit: int) -> Prepared:
    """Return the statement for a first page. It says how long that is, so that a database plans it once for all."""
    return Prepared(_ordered(_IN_SCOPE, dict(order)).limit(literal_column(str(limit))))


@functools.lru_cache(maxsize=64)
def _page_of(order: tuple[tuple[str, int], ...], reads_skipped_rows: bool) -> Prepared:
    """Return the statement for one page.

    :param reads_skipped_rows: whether the database reads the rows before the page, unless it need only read an index
    """
    page = _ordered(_IN_SCOPE, dict(order))
    if reads_skipped_rows and [field for field, _ in order[:1]] in ([], ["uri"]):
        uris_of_page = _ordered(select(_dataset.c.uri).where(_dataset.c.base_uri_id.in_(_ids)), dict(order))
        inner = uris_of_page.limit(bindparam("limit")).offset(bindparam("offset")).subquery("page")
        page = _ordered(OBJECT.where(_dataset.c.uri.in_(select(inner.c.uri))), dict(order))
        return Prepared(page)
    return Prepared(page.limit(bindparam("limit")).offset(bindparam("offset")))


# Copies of one UUID as one

#: So many places of a dataset are told, the first by their URIs.
MOST_COPIES = 100

# Pages that end among the first so many datasets are read as if there were no copies, so many rows for each dataset.
MOST_OF_FIRST_GROUPS, COPIES_LOOKED_AT = 200, 4
_UUID = list(COLUMNS).index("uuid")

_other, _other_base_uri = _dataset.alias("other"), BaseURI.__table__.alias("other_base_uri")
_OTHERS = {
    field: _other_base_uri.c.base_uri if field == "base_uri" else _other.c[field]
    for field in DATASET_SORT_FIELDS
}
# In the order of an index, the copies of a UUID stand together, and nothing need be sorted to count them once.
_NUMBER_OF_GROUPS = Remembered(
    select(func.count()).select_from(
        select(_dataset.c.uuid).where(_dataset.c.base_uri_id.in_(_ids)).group_by(_dataset.c.uuid).subquery()
    ),
    lambda rows: int(rows[0][0]),
)
_uuids: Any = bindparam("uuids", expanding=True)
_copy_base_uri = BaseURI.__table__
_numbered = (
    select(
        _dataset.c.uuid,
        _dataset.c.uri,
        _copy_base_uri.c.base_uri,
        func.row_number().over(partition_by=_dataset.c.uuid, order_by=_dataset.c.uri).label("number"),
    )
    .join(_copy_base_uri, _copy_base_uri.c.id == _dataset.c.base_uri_id)
    .where(_dataset.c.uuid.in_(_uuids), _dataset.c.base_uri_id.in_(_ids))
    .subquery("numbered")
)
_COPIES = Prepared(
    select(_numbered.c.uuid, _numbered.c.uri, _numbered.c.base_uri)
    .where(_numbered.c.number <= MOST_COPIES)
    .order_by(_numbered.c.uri)
)


def list_groups(scope: Scope, order: Mapping[str, int], page: slice) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the datasets in *scope*, of all copies of a UUID the first one, and how many UUIDs there are.

    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``. It decides which copy is the first one
    :param page: positions of the datasets to return
    """
    number = _NUMBER_OF_GROUPS.get({"ids": scope.ids}) if scope.ids else 0
    if page.start >= number:
        return [], number
    stop = min(page.stop, number)
    rows = _first_groups(scope, order, stop) if stop <= MOST_OF_FIRST_GROUPS else None
    if rows is not None:
        return [as_object(row) for row in rows[page.start : stop]], number
    parameters = {"ids": scope.ids, "limit": stop - page.start, "offset": page.start}
    return [as_object(row) for row in _page_of_groups(tuple(order.items())).all(parameters)], number


def _first_groups(scope: Scope, order: Mapping[str, int], wanted: int) -> list[Row] | None:
    """Return so many datasets from the first on, of all copies of a UUID the first one; None: there are more copies.

    To read some rows too many, and pass over the later copies among them, is far less than to ask of each row in
    scope whether a copy comes before it.
    """
    parameters = {"ids": scope.ids, "limit": COPIES_LOOKED_AT * wanted, "offset": 0}
    rows = _page_of(tuple(order.items()), db.locks_rows()).all(parameters)
    first_copies: dict[str, Row] = {}
    for row in rows:
        first_copies.setdefault(row[_UUID], row)
    return list(first_copies.values())[:wanted] if len(first_copies) >= wanted else None


@functools.lru_cache(maxsize=64)
def _page_of_groups(order: tuple[tuple[str, int], ...]) -> Prepared:
    """Return the statement for one page of datasets of which no copy comes before them."""
    others = _other.join(_other_base_uri, _other_base_uri.c.id == _other.c.base_uri_id)
    earlier_copy: Select[Any] = (
        select(literal_column("1"))
        .select_from(others if any(field == "base_uri" for field, _ in order) else _other)
        .where(_other.c.uuid == _dataset.c.uuid, _other.c.base_uri_id.in_(_ids), _comes_before(order))
    )
    page = _ordered(_IN_SCOPE.where(~exists(earlier_copy)), dict(order))
    return Prepared(page.limit(bindparam("limit")).offset(bindparam("offset")))


def _comes_before(order: tuple[tuple[str, int], ...]) -> ColumnElement[bool]:
    """Return the condition that the row ``other`` comes before that of the dataset."""
    before: ColumnElement[bool] = false()
    for field, direction in reversed((*order, ("uri", 1))):
        theirs, own = _OTHERS[field], COLUMNS[field]
        closer = theirs < own if direction > 0 else theirs > own
        before = or_(closer, and_(theirs == own, before))
    return before


def copies_of(scope: Scope, uuids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Return, by UUID, where in *scope* there are datasets with it: ``[{"uri": ..., "base_uri": ...}]`` by their URIs.

    Of each UUID the first ``MOST_COPIES`` are returned.
    """
    places: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    if uuids and scope.ids:
        rows = _COPIES.all({"uuids": list(dict.fromkeys(uuids)), "ids": scope.ids})
        for uuid, uri, base_uri in rows:
            places[uuid].append({"uri": uri, "base_uri": base_uri})
    return places


def iterate(scope: Scope) -> Iterator[dict[str, Any]]:
    """Yield every dataset object in *scope*, in the order of the URIs, without holding them all."""
    statement = _ordered(_IN_SCOPE, {"uri": 1}).execution_options(yield_per=1000)
    for row in sql_db.session.execute(statement, {"ids": scope.ids}):
        yield as_object(row)


def ids_in_order(scope: Scope, order: Mapping[str, int]) -> array[int]:
    """Return the primary keys of all datasets in *scope*.

    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    """
    statement = _ordered(_IDS_IN_SCOPE, order).execution_options(yield_per=10_000)
    return array("q", sql_db.session.scalars(statement, {"ids": scope.ids}))


def of_ids(scope: Scope, wanted: Sequence[int]) -> list[dict[str, Any]]:
    """Return the dataset objects of some primary keys, in their order; those that are not in *scope* are left out."""
    found: dict[int, dict[str, Any]] = {}
    in_scope = set(scope.ids)
    for some in db.batched(wanted):
        for row in _BY_IDS.all({"ids": list(some)}):
            if row[BASE_URI_ID - 1] in in_scope:
                found[row[-1]] = as_object(row)
    return [found[id_] for id_ in wanted if id_ in found]


def of_uris(scope: Scope, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``{uri: dataset object}`` of those of the wanted URIs that are registered in *scope*."""
    found: dict[str, dict[str, Any]] = {}
    in_scope = set(scope.ids)
    for some in db.batched(wanted):
        registered = sql_db.session.execute(_BY_URIS, {"uris": some})
        found |= {row.uri: as_object(row) for row in registered if row.base_uri_id in in_scope}
    return found


def tags_of_uris(wanted: Sequence[str]) -> dict[str, set[str]]:
    """Return ``{uri: tags}`` of those of the wanted URIs that are registered and have tags."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for some in db.batched(wanted):
        for uri, tag in _TAGS_BY_URIS.all({"uris": list(some)}):
            found[uri].add(tag)
    return found


def _ordered(statement: Select[Any], order: Mapping[str, int]) -> Select[Any]:
    unknown = set(order) - set(DATASET_SORT_FIELDS)
    if unknown:
        raise invalid("sort", f"cannot sort by {', '.join(sorted(unknown))}")
    keys = [COLUMNS[field].desc() if direction < 0 else COLUMNS[field] for field, direction in order.items()]
    return statement.order_by(*keys, *([] if "uri" in order else [_dataset.c.uri]))
