"""The row of a dataset, its tags and its part in the summaries: reading them before a write, holding and changing them.

Nothing here tells a plugin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select, union

from dservercore import db, plugin_writes, uris
from dservercore.catalog import summary
from dservercore.dataset_info import DATASET_KEYS, TIMES
from dservercore.date_utils import stored_timestamp, timestamp_to_datetime
from dservercore.db import sql_db
from dservercore.errors import AuthorizationError
from dservercore.models import BaseURI, Dataset, DatasetTag
from dservercore.reading import Prepared

# Statements name the tables' own columns, and are made once: through the classes of the models each use of one
# took four times as long.
_dataset, _base_uri, _dataset_tag = Dataset.__table__, BaseURI.__table__, DatasetTag.__table__

#: The columns of a dataset object by its keys.
COLUMNS = {key: _base_uri.c.base_uri if key == "base_uri" else _dataset.c[key] for key in DATASET_KEYS}
OBJECT = select(*COLUMNS.values(), _dataset.c.base_uri_id).select_from(
    _dataset.join(_base_uri, _base_uri.c.id == _dataset.c.base_uri_id)
)
#: Where in a row of ``OBJECT`` the primary key of the base URI is.
BASE_URI_ID = -1
BY_URI = Prepared(OBJECT.where(_dataset.c.uri == bindparam("uri")))

_REGISTERED = select(
    *summary.COUNTED_COLUMNS,
    *(_dataset.c[name] for name in ("uuid", "frozen_at", "created_at", "uploaded_at")),
).where(_dataset.c.uri == bindparam("uri"))
_TAGS = (
    select(_dataset_tag.c.tag)
    .where(_dataset_tag.c.dataset_id == bindparam("dataset_id"))
    .order_by(_dataset_tag.c.position, _dataset_tag.c.tag)
)
# Who writes a dataset holds the row of its base URI, where the database has locks for rows: then what was read of the
# dataset before stays true, and nobody waits for one who waits for him.
_BASE_URI_ID = select(_base_uri.c.id).where(_base_uri.c.base_uri == bindparam("base_uri")).with_for_update()
# Not in one statement with a join: MariaDB would hold the dataset's row as well, and before that of the base URI.
_BASE_URI_ID_OF = select(_dataset.c.base_uri_id).where(_dataset.c.uri == bindparam("uri"))
_HOLD_BASE_URI = select(_base_uri.c.id).where(_base_uri.c.id == bindparam("key")).with_for_update()
_keys: Any = bindparam("keys", expanding=True)
_uris: Any = bindparam("uris", expanding=True)
_parents: Any = bindparam("parents", expanding=True)
_BASE_URI_IDS = union(
    select(_base_uri.c.id).where(_base_uri.c.base_uri.in_(_parents)),
    select(_dataset.c.base_uri_id).where(_dataset.c.uri.in_(_uris)),
)
_HOLD_BASE_URIS = (
    select(_base_uri.c.id).where(_base_uri.c.id.in_(_keys)).order_by(_base_uri.c.id).with_for_update()
)
_ids: Any = bindparam("ids", expanding=True)
_URIS = select(_dataset.c.uri).where(_dataset.c.base_uri_id.in_(_ids)).order_by(_dataset.c.uri)
_INSERT_TAGS = _dataset_tag.insert()
_DELETE_TAGS = delete(_dataset_tag).where(_dataset_tag.c.dataset_id == bindparam("of_dataset"))


@dataclass(frozen=True)
class Registered:
    """A dataset as it is before a write: its primary key, what it counts under, and what plugins may have to forget."""

    id: int
    counted: summary.Counted
    former: plugin_writes.Former


# Reading


def as_object(row: Any) -> dict[str, Any]:
    """Return the dataset object of a row of ``OBJECT``."""
    found = dict(zip(DATASET_KEYS, row, strict=False))
    for key in TIMES:
        found[key] = stored_timestamp(found[key])
    return found


def stored(uri: str) -> dict[str, Any]:
    """Return the dataset object of a dataset known to be registered, with ``uploaded_at`` as plugins get it."""
    row = BY_URI.first({"uri": uri})
    assert row is not None
    found = as_object(row)
    uploaded_at = found["uploaded_at"]
    return {**found, "uploaded_at": None if uploaded_at is None else timestamp_to_datetime(uploaded_at)}


def uris_in(base_uri_ids: Sequence[int]) -> Sequence[str]:
    """Return the URIs of all datasets in base URIs, in order."""
    return sql_db.session.execute(_URIS, {"ids": list(base_uri_ids)}).scalars().all()


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
    held = None
    while True:
        if db.locks_rows():
            held = sql_db.session.execute(_BASE_URI_ID_OF, {"uri": uri}).scalar()
            sql_db.session.execute(_HOLD_BASE_URI, {"key": held})
        registered = find_registered(uri)
        # One that was registered in between is not held yet.
        if registered is None or not db.locks_rows() or registered.counted.base_uri_id == held:
            return registered


# Writing


def keep_others_from(wanted: Sequence[str]) -> None:
    """Have whoever wants to change these datasets wait until the transaction, begun as a write, ends."""
    if db.locks_rows():
        parents = sorted({uris.parent(uri) for uri in wanted})
        keys = (
            sql_db.session.execute(_BASE_URI_IDS, {"parents": parents, "uris": list(wanted)}).scalars().all()
        )
        # Not in one statement: MariaDB would hold whatever it looks at on the way, and not in this order.
        sql_db.session.execute(_HOLD_BASE_URIS, {"keys": list(keys)}).all()


def keep_everybody_out() -> None:
    """Have whoever wants to change any dataset wait until the transaction, begun as a write, ends."""
    if db.locks_rows():
        everything = select(_base_uri.c.id).order_by(_base_uri.c.id).with_for_update()
        sql_db.session.execute(everything).all()


def hold_base_uri(base_uri: str) -> int:
    """Return the primary key of a base URI, which nobody removes until this transaction ends.

    :raises AuthorizationError: if it is not registered
    """
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
    dataset_id = _put_row(document, base_uri_id, fingerprint)
    write_tags(dataset_id, before.tags if before else (), after.tags)
    summary.count_change(before, after)


def _put_row(document: Mapping[str, Any], base_uri_id: int, fingerprint: str | None) -> int:
    """Insert or replace the dataset's row; return its primary key."""
    values = {key: document[key] for key in DATASET_KEYS if key != "base_uri"}
    values |= {
        "base_uri_id": base_uri_id,
        "frozen_at": timestamp_to_datetime(document["frozen_at"]),
        "created_at": timestamp_to_datetime(document["created_at"]),
        "fingerprint": fingerprint,
    }
    return db.put_row(_dataset, "uri", values)


def write_tags(dataset_id: int, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Replace the tag rows of a dataset, if they differ."""
    if before == after:
        return
    if before:
        sql_db.session.execute(_DELETE_TAGS, {"of_dataset": dataset_id})
    if after:
        rows = [{"dataset_id": dataset_id, "tag": tag, "position": n} for n, tag in enumerate(after)]
        sql_db.session.execute(_INSERT_TAGS, rows)


def _count_of(document: Mapping[str, Any], base_uri_id: int) -> summary.Counted:
    return summary.Counted(
        base_uri_id,
        document["creator_username"],
        document["size_in_bytes"],
        document["uploaded_by"],
        tuple(document["tags"]),
    )


def remove_row(registered: Registered) -> None:
    """Remove the row of one dataset, without telling any plugin."""
    uncount(registered)
    sql_db.session.execute(delete(_dataset).where(_dataset.c.id == registered.id))


def uncount(registered: Registered) -> None:
    """Remove the tags of one dataset, and its part in the summaries; its row is left."""
    sql_db.session.execute(_DELETE_TAGS, {"of_dataset": registered.id})
    summary.count_change(registered.counted, None)
