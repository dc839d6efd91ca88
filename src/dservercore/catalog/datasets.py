"""Registering, finding, listing, searching and deleting datasets."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Select, bindparam, delete, select

from dservercore import db, plugin_host, uris
from dservercore.catalog import summary
from dservercore.dataset_info import DATASET_KEYS, DATASET_SORT_FIELDS, checked, checked_uuid, dataset_object
from dservercore.date_utils import timestamp_to_datetime, utcnow
from dservercore.db import sql_db
from dservercore.errors import AuthorizationError, UnknownURIError, ValidationError, invalid
from dservercore.models import BaseURI, Dataset, DatasetTag
from dservercore.scope import Actor, Scope

# Statements name the tables' own columns, and are made once: through the classes of the models each use of one
# took four times as long.
_dataset, _base_uri, _dataset_tag = Dataset.__table__, BaseURI.__table__, DatasetTag.__table__
_ids: Any = bindparam("ids", expanding=True)

_columns = {key: _base_uri.c.base_uri if key == "base_uri" else _dataset.c[key] for key in DATASET_KEYS}
_OBJECT = select(*_columns.values(), _dataset.c.base_uri_id).select_from(
    _dataset.join(_base_uri, _base_uri.c.id == _dataset.c.base_uri_id)
)
_BY_URI = _OBJECT.where(_dataset.c.uri == bindparam("uri"))
_BY_UUID = _OBJECT.where(_dataset.c.uuid == bindparam("uuid"))
_IN_SCOPE = _OBJECT.where(_dataset.c.base_uri_id.in_(_ids))

_COUNTED = select(*summary.COUNTED_COLUMNS).where(_dataset.c.uri == bindparam("uri"))
_TAGS = (
    select(_dataset_tag.c.tag)
    .where(_dataset_tag.c.dataset_id == bindparam("dataset_id"))
    .order_by(_dataset_tag.c.position, _dataset_tag.c.tag)
)
_BASE_URI_ID = select(_base_uri.c.id).where(_base_uri.c.base_uri == bindparam("base_uri"))
_INSERT_TAGS = _dataset_tag.insert()
_DELETE_TAGS = delete(_dataset_tag).where(_dataset_tag.c.dataset_id == bindparam("of_dataset"))


# Finding


def find(scope: Scope, uri: str) -> dict[str, Any]:
    """Return the dataset object of *uri*.

    :raises AuthorizationError: if its base URI is not in *scope*, whether or not the dataset exists
    :raises UnknownURIError: if it is, and the dataset is not registered
    """
    row = sql_db.session.execute(_BY_URI, {"uri": uri}).first()
    if row is not None and row.base_uri_id in scope.base_uris.values():
        return _as_object(row)
    scope.require(uris.parent(uri))
    if row is not None:
        raise AuthorizationError("The dataset belongs to a base URI without permission")
    raise UnknownURIError(f"No dataset is registered as {uri}")


def stored(uri: str) -> dict[str, Any]:
    """Return the dataset object of a dataset known to be registered, with ``uploaded_at`` as plugins get it."""
    row = sql_db.session.execute(_BY_URI, {"uri": uri}).one()
    return {**_as_object(row), "uploaded_at": row.uploaded_at}


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
    found = sql_db.session.execute(_copies(tuple(order.items())), parameters)
    rows = [row for row in found if row.base_uri_id in in_scope]
    return [_as_object(row) for row in rows[page]], len(rows)


@functools.lru_cache(maxsize=256)
def _copies(order: tuple[tuple[str, int], ...]) -> Select[Any]:
    return _ordered(_BY_UUID, dict(order))


def list_datasets(
    scope: Scope, order: Mapping[str, int], page: slice | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the datasets in *scope*, and how many there are.

    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    """
    numbers = summary.datasets_per_base_uri(scope)
    total = sum(numbers.values())
    if page is None:
        return _rows(scope.ids, order, 0, total), total
    offset, limit = page.start, page.stop - page.start
    ids = scope.ids
    if next(iter(order), "uri") == "uri" and db.sorts_by_code_point():
        ids, offset = _base_uris_of_page(scope, numbers, offset, limit, backwards=order.get("uri", 1) < 0)
    return _rows(ids, order, offset, limit), total


def _rows(ids: list[int], order: Mapping[str, int], offset: int, limit: int) -> list[dict[str, Any]]:
    parameters = {"ids": ids, "limit": limit, "offset": offset}
    return [_as_object(row) for row in sql_db.session.execute(_page_of(tuple(order.items())), parameters)]


@functools.lru_cache(maxsize=256)
def _page_of(order: tuple[tuple[str, int], ...]) -> Select[Any]:
    return _ordered(_IN_SCOPE, dict(order)).limit(bindparam("limit")).offset(bindparam("offset"))


def _base_uris_of_page(
    scope: Scope, numbers: Mapping[str, int], offset: int, limit: int, backwards: bool
) -> tuple[list[int], int]:
    """Return the base URIs that a page sorted by URI can touch, and where it begins within them.

    In that order the datasets of a base URI stand together, unless another base URI lies inside it: then nothing is
    left out. Counting instead of walking to page 9000 of 100,000 datasets makes it as fast as the first.
    """
    in_order = sorted(numbers, key=lambda base_uri: base_uri + "/")
    if any(inner.startswith(outer + "/") for outer, inner in pairwise(in_order)):
        return scope.ids, offset
    needed: list[int] = []
    before = skipped = 0  # datasets
    for base_uri in reversed(in_order) if backwards else in_order:
        behind = before + numbers[base_uri]
        if behind <= offset:
            skipped = behind
        elif before < offset + limit:
            needed.append(scope.base_uris[base_uri])
        before = behind
    return needed, offset - skipped


def iterate(scope: Scope) -> Iterator[dict[str, Any]]:
    """Yield every dataset object in *scope*, in the order of the URIs, without holding them all."""
    statement = _ordered(_IN_SCOPE, {"uri": 1}).execution_options(yield_per=1000)
    for row in sql_db.session.execute(statement, {"ids": scope.ids}):
        yield _as_object(row)


def filters_anything(query: Mapping[str, Any]) -> bool:
    """Return whether *query* asks for less than everything in scope; an empty list does so for ``base_uris`` alone."""
    return any(value != [] or key == "base_uris" for key, value in query.items())


def narrowed(scope: Scope, query: Mapping[str, Any]) -> Scope:
    """Return what *query* asks for of *scope*: its ``base_uris``, or everything where it names none."""
    asked = query.get("base_uris")
    return scope if asked is None else scope.narrowed_to(asked)


def search(
    scope: Scope, query: Mapping[str, Any], pagination_parameters: Any = None, sort_parameters: Any = None
) -> list[dict[str, Any]]:
    """Return one page of the datasets in *scope* that match *query*; the plugin sets ``item_count`` on the pagination.

    :param query: ``free_text`` and filters; an empty list filters nothing, except that ``base_uris: []`` finds nothing
    """
    permitted = narrowed(scope, query)
    if not permitted.base_uris:
        if pagination_parameters is not None:
            pagination_parameters.item_count = 0
        return []
    filters = {key: value for key, value in query.items() if value != [] and value is not None}
    filters["base_uris"] = list(permitted.base_uris)
    found = plugin_host.plugins().search.search(
        filters, pagination_parameters=pagination_parameters, sort_parameters=sort_parameters
    )
    return [dataset_object(dataset) for dataset in found]


def _ordered(statement: Select[Any], order: Mapping[str, int]) -> Select[Any]:
    unknown = set(order) - set(DATASET_SORT_FIELDS)
    if unknown:
        raise invalid("sort", f"cannot sort by {', '.join(sorted(unknown))}")
    keys = [
        _columns[field].desc() if direction < 0 else _columns[field] for field, direction in order.items()
    ]
    return statement.order_by(*keys, *([] if "uri" in order else [_dataset.c.uri]))


def _as_object(row: Any) -> dict[str, Any]:
    return dataset_object(dict(zip(DATASET_KEYS, row, strict=False)))


# Registering


def register_dataset(
    actor: Actor,
    scope: Scope,
    info: Mapping[str, Any],
    fingerprint: str | None = None,
    uploaded_at: datetime | None = None,
) -> bool:
    """Store a dataset's document everywhere, or replace the one of the same URI. Return whether it is new.

    :param scope: the base URIs in which *actor* may register
    :param info: the document (see ``dataset_info``)
    :param fingerprint: what its storage looked like, if it was read from there
    :param uploaded_at: naive UTC; None: now
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    """
    if isinstance(info.get("base_uri"), str):
        scope.require(info["base_uri"])  # first, so that nobody else learns what is wrong with the document
    document = checked(info)
    document["uploaded_by"] = actor.username
    document["uploaded_at"] = uploaded_at or utcnow()
    db.begin_write()
    base_uri_id = _id_of_base_uri(document["base_uri"])
    registered = counted(document["uri"])
    write_row(document, base_uri_id, registered, fingerprint)
    plugin_host.register(document)
    return registered is None


def _id_of_base_uri(base_uri: str) -> int:
    # The scope is older than the write: meanwhile the base URI may be gone, and its key be that of another one.
    key = sql_db.session.execute(_BASE_URI_ID, {"base_uri": base_uri}).scalar()
    if key is None:
        raise AuthorizationError("The base URI of the dataset is no longer registered")
    return key


def write_row(
    document: Mapping[str, Any],
    base_uri_id: int,
    registered: tuple[int, summary.Counted] | None,
    fingerprint: str | None = None,
) -> None:
    """Insert or replace the dataset's row and its tags, and count it, without telling any plugin.

    :param document: as :func:`dataset_info.checked` returns it, with ``uploaded_by`` and ``uploaded_at``
    :param registered: what :func:`counted` returns of it, in the same transaction
    :raises AuthorizationError: if it is registered in another base URI
    """
    before = registered[1] if registered else None
    after = _count_of(document, base_uri_id)
    if before and before.base_uri_id != base_uri_id:
        raise AuthorizationError("The dataset is registered in another base URI")
    dataset_id = _upsert(document, base_uri_id, fingerprint)
    write_tags(dataset_id, before.tags if before else (), after.tags)
    summary.count_change(before, after)


def _upsert(document: Mapping[str, Any], base_uri_id: int, fingerprint: str | None) -> int:
    """Insert or replace the dataset's row; return its primary key."""
    values = {key: document[key] for key in DATASET_KEYS if key != "base_uri"}
    values |= {
        "base_uri_id": base_uri_id,
        "frozen_at": timestamp_to_datetime(document["frozen_at"]),
        "created_at": timestamp_to_datetime(document["created_at"]),
        "fingerprint": fingerprint,
    }
    upsert = db.upsert(Dataset.__table__, ("uri",), overwrite=tuple(values), returning="id")
    return sql_db.session.execute(upsert, values).scalar_one()


def write_tags(dataset_id: int, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Replace the tag rows of a dataset, if they differ."""
    if before == after:
        return
    if before:
        sql_db.session.execute(_DELETE_TAGS, {"of_dataset": dataset_id})
    if after:
        rows = [{"dataset_id": dataset_id, "tag": tag, "position": n} for n, tag in enumerate(after)]
        sql_db.session.execute(_INSERT_TAGS, rows)


def counted(uri: str) -> tuple[int, summary.Counted] | None:
    """Return the primary key of a dataset and what it counts under now; None if it is not registered."""
    row = sql_db.session.execute(_COUNTED, {"uri": uri}).first()
    if row is None:
        return None
    tags = sql_db.session.execute(_TAGS, {"dataset_id": row.id}).scalars()
    return row.id, summary.Counted.of(row, tags)


def _count_of(document: Mapping[str, Any], base_uri_id: int) -> summary.Counted:
    return summary.Counted(
        base_uri_id,
        document["creator_username"],
        document["size_in_bytes"],
        document["uploaded_by"],
        tuple(document["tags"]),
    )


# Deleting


def delete_dataset(scope: Scope, uri: str) -> bool:
    """Remove the dataset from every store. Return whether there was one.

    :param scope: the base URIs in which the actor may register
    :raises AuthorizationError: if the dataset's base URI, or that of *uri*, is not in *scope*
    """
    db.begin_write()
    found = counted(uri)
    if found is None:
        scope.require(uris.parent(uri))
        return False
    if found[1].base_uri_id not in scope.base_uris.values():
        raise AuthorizationError("No register permission on the base URI of the dataset")
    remove(uri, *found)
    return True


def delete_all_in(base_uri_id: int) -> int:
    """Remove every dataset of a base URI from every store. Return how many there were."""
    found = (
        sql_db.session.execute(select(Dataset.uri).where(Dataset.base_uri_id == base_uri_id)).scalars().all()
    )
    for uri in found:
        registered = counted(uri)
        if registered:
            remove(uri, *registered)
    return len(found)


def remove(uri: str, dataset_id: int, before: summary.Counted) -> None:
    """Remove one dataset, known to exist, from every store."""
    plugin_host.delete(uri)
    remove_row(dataset_id, before)


def remove_row(dataset_id: int, before: summary.Counted) -> None:
    """Remove the row of one dataset, known to exist, without telling any plugin."""
    uncount(dataset_id, before)
    sql_db.session.execute(delete(_dataset).where(_dataset.c.id == dataset_id))


def uncount(dataset_id: int, before: summary.Counted) -> None:
    """Remove the tags of one dataset, known to exist, and its part in the summaries; its row is left."""
    sql_db.session.execute(_DELETE_TAGS, {"of_dataset": dataset_id})
    summary.count_change(before, None)
