"""The row of a dataset, its tags and its part in the summaries: reading them before a write, holding and changing them.

Nothing here tells a plugin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from dservercore.scope import Scope

# Statements name the tables' own columns, and are made once: through the classes of the models each use of one
# took four times as long.
_dataset, _base_uri, _dataset_tag = Dataset.__table__, BaseURI.__table__, DatasetTag.__table__

#: The columns of a dataset object by its keys.
COLUMNS = {key: _base_uri.c.base_uri if key == "base_uri" else _dataset.c[key] for key in DATASET_KEYS}
# Every dataset has a base URI. An outer join keeps PostgreSQL from going through the datasets of each base URI, which
# it does for a UUID as long as it knows nothing of what is in the tables.
OBJECT = select(*COLUMNS.values(), _dataset.c.base_uri_id).select_from(
    _dataset.outerjoin(_base_uri, _base_uri.c.id == _dataset.c.base_uri_id)
)
_OVERWRITTEN = (*(key for key in DATASET_KEYS if key != "base_uri"), "base_uri_id", "fingerprint")
#: Where in a row of ``OBJECT`` the primary key of the base URI is.
BASE_URI_ID = -1
BY_URI = Prepared(OBJECT.where(_dataset.c.uri == bindparam("uri")))

_uris: Any = bindparam("uris", expanding=True)
_ids: Any = bindparam("ids", expanding=True)
_REGISTERED = select(
    *summary.COUNTED_COLUMNS,
    *(_dataset.c[name] for name in ("uri", "uuid", "frozen_at", "created_at", "uploaded_at")),
).where(_dataset.c.uri.in_(_uris))
_TAGS = (
    select(_dataset_tag.c.dataset_id, _dataset_tag.c.tag)
    .where(_dataset_tag.c.dataset_id.in_(_ids))
    .order_by(_dataset_tag.c.dataset_id, _dataset_tag.c.position, _dataset_tag.c.tag)
)
_IDS = select(_dataset.c.uri, _dataset.c.id).where(_dataset.c.uri.in_(_uris))
# Who writes a dataset holds the row of its base URI, where the database has locks for rows: then what was read of the
# dataset before stays true, and nobody waits for one who waits for him.
_parents: Any = bindparam("parents", expanding=True)
_BASE_URI_IDS_BY_NAME = select(_base_uri.c.id).where(_base_uri.c.base_uri.in_(_parents))
_HOLD_BASE_URI_BY_NAME = (
    select(_base_uri.c.base_uri, _base_uri.c.id).where(_base_uri.c.base_uri.in_(_parents)).with_for_update()
)
# Not in one statement with a join: MariaDB would hold the dataset's row as well, and before that of the base URI.
_BASE_URI_ID_OF = select(_dataset.c.base_uri_id).where(_dataset.c.uri == bindparam("uri"))
_HOLD_BASE_URI = select(_base_uri.c.id).where(_base_uri.c.id == bindparam("key")).with_for_update()
_keys: Any = bindparam("keys", expanding=True)
_BASE_URI_IDS = union(
    select(_base_uri.c.id).where(_base_uri.c.base_uri.in_(_parents)),
    select(_dataset.c.base_uri_id).where(_dataset.c.uri.in_(_uris)),
)
_HOLD_BASE_URIS = (
    select(_base_uri.c.base_uri, _base_uri.c.id)
    .where(_base_uri.c.id.in_(_keys))
    .order_by(_base_uri.c.id)
    .with_for_update()
)
_URIS = select(_dataset.c.uri).where(_dataset.c.base_uri_id.in_(_ids)).order_by(_dataset.c.uri)
_INSERT_TAGS = _dataset_tag.insert()
_DELETE_TAGS = delete(_dataset_tag).where(_dataset_tag.c.dataset_id.in_(_ids))


@dataclass(frozen=True)
class Registered:
    """A dataset as it is before a write: its primary key, what it counts under, and what plugins may have to forget."""

    id: int
    counted: summary.Counted
    former: plugin_writes.Former

    @property
    def base_uri_id(self) -> int:
        """The primary key of the base URI that it is registered in, which need not be the parent of its URI."""
        return self.counted.base_uri_id


@dataclass(frozen=True)
class Written:
    """A dataset as it is after a write.

    :param document: as :func:`dataset_info.checked` returns it, with ``uploaded_by`` and ``uploaded_at``
    :param before: what :func:`find_registered` returns of it, in the same transaction
    :param fingerprint: what its storage looked like, if it was read from there
    """

    document: dict[str, Any]
    base_uri_id: int
    before: Registered | None
    fingerprint: str | None = None

    @property
    def counted(self) -> summary.Counted:
        """What it counts under."""
        return summary.Counted(
            self.base_uri_id,
            self.document["creator_username"],
            self.document["size_in_bytes"],
            self.document["uploaded_by"],
            tuple(self.document["tags"]),
        )


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
    return find_all_registered([uri]).get(uri)


def find_all_registered(wanted: Sequence[str]) -> dict[str, Registered]:
    """Return the same of several datasets, by URI, of as many as go into one statement."""
    rows = sql_db.session.execute(_REGISTERED, {"uris": list(wanted)}).all()
    tags: defaultdict[int, list[str]] = defaultdict(list)
    if rows:
        for dataset_id, tag in sql_db.session.execute(_TAGS, {"ids": [row.id for row in rows]}):
            tags[dataset_id].append(tag)
    return {
        row.uri: Registered(
            row.id,
            summary.Counted.of(row, tags[row.id]),
            plugin_writes.Former(row.uri, row.uuid, row.frozen_at, row.created_at, row.uploaded_at),
        )
        for row in rows
    }


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


def hold_base_uris(base_uris: Iterable[str]) -> dict[str, int]:
    """Return the primary keys of base URIs, by name, which nobody removes until this transaction ends.

    :raises AuthorizationError: if one is not registered
    """
    wanted = sorted(set(base_uris))
    if len(wanted) == 1 or not db.locks_rows():
        held = sql_db.session.execute(_HOLD_BASE_URI_BY_NAME, {"parents": wanted}).all()
    else:  # in two statements, as in keep_others_from
        keys = sql_db.session.execute(_BASE_URI_IDS_BY_NAME, {"parents": wanted}).scalars().all()
        held = sql_db.session.execute(_HOLD_BASE_URIS, {"keys": list(keys)}).all()
    if len(held) < len(wanted):
        raise AuthorizationError("The base URI of the dataset is no longer registered")
    return {row.base_uri: row.id for row in held}


def write_rows(written: Sequence[Written]) -> None:
    """Insert or replace the rows of different datasets and their tags, and count them, without telling any plugin.

    :raises AuthorizationError: if one is registered in another base URI, of which nothing is told
    """
    for one in written:
        if one.before and one.before.counted.base_uri_id != one.base_uri_id:
            raise Scope("register").refusal()
    put = db.upsert(_dataset, ("uri",), overwrite=_OVERWRITTEN)
    sql_db.session.execute(put, [_row(one) for one in written])
    _write_all_tags(written)
    summary.count_changes((one.before.counted if one.before else None, one.counted) for one in written)


def _row(written: Written) -> dict[str, Any]:
    document = written.document
    return {
        **{key: document[key] for key in DATASET_KEYS if key != "base_uri"},
        "base_uri_id": written.base_uri_id,
        "frozen_at": timestamp_to_datetime(document["frozen_at"]),
        "created_at": timestamp_to_datetime(document["created_at"]),
        "fingerprint": written.fingerprint,
    }


def _write_all_tags(written: Sequence[Written]) -> None:
    """Replace the tag rows of datasets whose rows have been written."""
    ids = {one.document["uri"]: one.before.id for one in written if one.before}
    new = [one.document["uri"] for one in written if not one.before and one.document["tags"]]
    if new:
        ids |= {row.uri: row.id for row in sql_db.session.execute(_IDS, {"uris": new})}
    write_tags(
        [
            (ids[uri], one.before.counted.tags if one.before else (), one.counted.tags)
            for one in written
            if (uri := one.document["uri"]) in ids
        ]
    )


def write_tags(changes: Iterable[tuple[int, tuple[str, ...], tuple[str, ...]]]) -> None:
    """Replace the tag rows of datasets, where they differ.

    :param changes: of each dataset its primary key, and its tags before and after
    """
    gone, rows = [], []
    for dataset_id, before, after in changes:
        if before == after:
            continue
        if before:
            gone.append(dataset_id)
        rows += [{"dataset_id": dataset_id, "tag": tag, "position": n} for n, tag in enumerate(after)]
    if gone:
        sql_db.session.execute(_DELETE_TAGS, {"ids": gone})
    if rows:
        sql_db.session.execute(_INSERT_TAGS, rows)


def remove_row(registered: Registered) -> None:
    """Remove the row of one dataset, without telling any plugin."""
    uncount(registered)
    sql_db.session.execute(delete(_dataset).where(_dataset.c.id == registered.id))


def uncount(registered: Registered) -> None:
    """Remove the tags of one dataset, and its part in the summaries; its row is left."""
    sql_db.session.execute(_DELETE_TAGS, {"ids": [registered.id]})
    summary.count_changes([(registered.counted, None)])
