"""Registering, finding, listing and deleting datasets."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Select, bindparam, delete, select

from dservercore import db, plugin_writes, uris
from dservercore.catalog import limits, summary
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
_uris: Any = bindparam("uris", expanding=True)

# So many URIs go into one statement; every database takes more parameters than that.
URIS_AT_ONCE = 500

_columns = {key: _base_uri.c.base_uri if key == "base_uri" else _dataset.c[key] for key in DATASET_KEYS}
_OBJECT = select(*_columns.values(), _dataset.c.base_uri_id).select_from(
    _dataset.join(_base_uri, _base_uri.c.id == _dataset.c.base_uri_id)
)
_BY_URI = _OBJECT.where(_dataset.c.uri == bindparam("uri"))
_BY_UUID = _OBJECT.where(_dataset.c.uuid == bindparam("uuid"))
_BY_URIS = _OBJECT.where(_dataset.c.uri.in_(_uris))
_IN_SCOPE = _OBJECT.where(_dataset.c.base_uri_id.in_(_ids))

_REGISTERED = select(
    *summary.COUNTED_COLUMNS,
    *(_dataset.c[name] for name in ("uuid", "frozen_at", "created_at", "uploaded_at")),
).where(_dataset.c.uri == bindparam("uri"))
_TAGS = (
    select(_dataset_tag.c.tag)
    .where(_dataset_tag.c.dataset_id == bindparam("dataset_id"))
    .order_by(_dataset_tag.c.position, _dataset_tag.c.tag)
)
_TAGS_BY_URIS = (
    select(_dataset.c.uri, _dataset_tag.c.tag)
    .select_from(_dataset.join(_dataset_tag, _dataset_tag.c.dataset_id == _dataset.c.id))
    .where(_dataset.c.uri.in_(_uris))
)
# Who writes a dataset holds the row of its base URI, where the database has locks for rows: then what was read of the
# dataset before stays true, and nobody waits for one who waits for him.
_BASE_URI_ID = select(_base_uri.c.id).where(_base_uri.c.base_uri == bindparam("base_uri")).with_for_update()
_BASE_URI_ID_OF = (
    select(_base_uri.c.id)
    .join(_dataset, _dataset.c.base_uri_id == _base_uri.c.id)
    .where(_dataset.c.uri == bindparam("uri"))
    .with_for_update(of=_base_uri)
)
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
        raise scope.refusal()
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


def of_uris(scope: Scope, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``{uri: dataset object}`` of those of the wanted URIs that are registered in *scope*."""
    found: dict[str, dict[str, Any]] = {}
    in_scope = set(scope.ids)
    for start in range(0, len(wanted), URIS_AT_ONCE):
        parameters = {"uris": wanted[start : start + URIS_AT_ONCE]}
        rows = sql_db.session.execute(_BY_URIS, parameters)
        found |= {row.uri: _as_object(row) for row in rows if row.base_uri_id in in_scope}
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
    keys = [
        _columns[field].desc() if direction < 0 else _columns[field] for field, direction in order.items()
    ]
    return statement.order_by(*keys, *([] if "uri" in order else [_dataset.c.uri]))


def _as_object(row: Any) -> dict[str, Any]:
    return dataset_object(dict(zip(DATASET_KEYS, row, strict=False)))


# Registering


@dataclass(frozen=True)
class Registered:
    """A dataset as it is before a write: its primary key, what it counts under, and what plugins may have to forget."""

    id: int
    counted: summary.Counted
    former: plugin_writes.Former


def register_dataset(
    actor: Actor,
    scope: Scope,
    info: Mapping[str, Any],
    fingerprint: str | None = None,
    uploaded_at: datetime | None = None,
) -> bool:
    """Store a dataset's document everywhere, or replace the one of the same URI. Return whether it is new.

    :func:`begin_write` may have been called before, for several datasets at once.

    :param scope: the base URIs in which *actor* may register
    :param info: the document (see ``dataset_info``)
    :param fingerprint: what its storage looked like, if it was read from there
    :param uploaded_at: naive UTC; None: now
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises UnavailableError: if a plugin cannot reach its store
    """
    if isinstance(info.get("base_uri"), str):
        scope.require(info["base_uri"])  # first, so that nobody else learns what is wrong with the document
    document = checked(info)
    limits.check_description(document)
    document["uploaded_by"] = actor.username
    document["uploaded_at"] = uploaded_at or utcnow()
    begin_write()
    base_uri_id = _id_of_base_uri(document["base_uri"])
    registered = find_registered(document["uri"])
    write_row(document, base_uri_id, registered, fingerprint)
    is_another = registered is not None and registered.former.uuid != document["uuid"]
    plugin_writes.register(document, registered.former if registered and is_another else None)
    return registered is None


def begin_write() -> None:
    """Start a write to every store. Calling it again in the same transaction does nothing.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    session = sql_db.session()
    session.connection()  # begins a transaction, if there is none
    if session.info.get("asked_plugins_in") is not session.get_transaction():
        plugin_writes.require_available()  # before there is a lock for which others would wait as well
        session.info["asked_plugins_in"] = session.get_transaction()
    db.begin_write()


def _id_of_base_uri(base_uri: str) -> int:
    # The scope is older than the write: meanwhile the base URI may be gone, and its key be that of another one.
    key = sql_db.session.execute(_BASE_URI_ID, {"base_uri": base_uri}).scalar()
    if key is None:
        raise AuthorizationError("The base URI of the dataset is no longer registered")
    return key


def write_row(
    document: Mapping[str, Any],
    base_uri_id: int,
    registered: Registered | None,
    fingerprint: str | None = None,
) -> None:
    """Insert or replace the dataset's row and its tags, and count it, without telling any plugin.

    :param document: as :func:`dataset_info.checked` returns it, with ``uploaded_by`` and ``uploaded_at``
    :param registered: what :func:`find_registered` returns of it, in the same transaction
    :raises AuthorizationError: if it is registered in another base URI
    """
    before = registered.counted if registered else None
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


def find_registered(uri: str) -> Registered | None:
    """Return what a write needs to know of the dataset that is registered under *uri*; None if there is none."""
    row = sql_db.session.execute(_REGISTERED, {"uri": uri}).first()
    if row is None:
        return None
    tags = sql_db.session.execute(_TAGS, {"dataset_id": row.id}).scalars()
    return Registered(
        row.id,
        summary.Counted.of(row, tags),
        plugin_writes.Former(uri, row.uuid, row.frozen_at, row.created_at, row.uploaded_at),
    )


def hold_registered(uri: str) -> Registered | None:
    """Return the same of a dataset that nobody else changes until this transaction ends."""
    if db.locks_rows():
        sql_db.session.execute(_BASE_URI_ID_OF, {"uri": uri})
    return find_registered(uri)


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
    :raises UnavailableError: if a plugin cannot reach its store
    """
    begin_write()
    registered = hold_registered(uri)
    if registered is None:
        scope.require(uris.parent(uri))
        return False
    if registered.counted.base_uri_id not in scope.base_uris.values():
        raise scope.refusal()
    remove(registered)
    return True


def delete_all_in(base_uri_id: int) -> int:
    """Remove every dataset of a base URI from every store. Return how many there were."""
    found = (
        sql_db.session.execute(select(Dataset.uri).where(Dataset.base_uri_id == base_uri_id)).scalars().all()
    )
    for uri in found:
        registered = hold_registered(uri)
        if registered:
            remove(registered)
    return len(found)


def remove(registered: Registered) -> None:
    """Remove one dataset from every store."""
    plugin_writes.delete(registered.former)
    remove_row(registered)


def remove_row(registered: Registered) -> None:
    """Remove the row of one dataset, without telling any plugin."""
    uncount(registered)
    sql_db.session.execute(delete(_dataset).where(_dataset.c.id == registered.id))


def uncount(registered: Registered) -> None:
    """Remove the tags of one dataset, and its part in the summaries; its row is left."""
    sql_db.session.execute(_DELETE_TAGS, {"of_dataset": registered.id})
    summary.count_change(registered.counted, None)
