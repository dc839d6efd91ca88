"""The row of a dataset, its tags and its part in the summaries: reading them before a write, holding and changing them.

Nothing here changes what a plugin stores. What extensions are told once it is committed is noted here, with the row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, bindparam, delete, select, union, update

from dservercore import db
from dservercore.catalog import events, summary
from dservercore.catalog.datasets import Document, Registered
from dservercore.catalog.scope import Scope
from dservercore.dataset import lacking, uris
from dservercore.dataset.analysis import completion_key
from dservercore.dataset.fields import DATASET_KEYS, TIMES
from dservercore.dataset.times import stored_timestamp, timestamp_to_datetime
from dservercore.db import sql_db
from dservercore.db.fast_reads import Prepared
from dservercore.errors import AuthorizationError, UnknownURIError
from dservercore.models import BaseURI, Dataset, DatasetTag

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
_OVERWRITTEN = (
    *(key for key in DATASET_KEYS if key != "base_uri"),
    "base_uri_id",
    "fingerprint",
    "folded_name",
    "lacks",
)
#: Where in a row of ``OBJECT`` the primary key of the base URI is.
BASE_URI_ID = -1
BY_URI = Prepared(OBJECT.where(_dataset.c.uri == bindparam("uri")))

_uris: Any = bindparam("uris", expanding=True)
_ids: Any = bindparam("ids", expanding=True)
_BY_URIS = OBJECT.where(_dataset.c.uri.in_(_uris))
_REGISTERED = select(*summary.REGISTERED_COLUMNS).where(_dataset.c.uri.in_(_uris))
_TAGS = (
    select(_dataset_tag.c.dataset_id, _dataset_tag.c.tag)
    .where(_dataset_tag.c.dataset_id.in_(_ids))
    .order_by(_dataset_tag.c.dataset_id, _dataset_tag.c.position, _dataset_tag.c.tag)
)
_IDS = select(_dataset.c.uri, _dataset.c.id).where(_dataset.c.uri.in_(_uris))
# Whoever writes a dataset locks the row of its base URI, where the database has locks for rows: then what was
# read of the dataset before stays true, and no two writers wait for each other.
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
_UPLOADS = select(_dataset.c.uri, _dataset.c.uploaded_by, _dataset.c.uploaded_at).where(
    _dataset.c.uri.in_(_uris), _dataset.c.uploaded_by.is_not(None)
)
_SET_FINGERPRINT = (
    update(_dataset)
    .where(
        _dataset.c.uri == bindparam("of"),
        # else it has been registered again since its storage was looked at
        _dataset.c.uploaded_at.is_not_distinct_from(bindparam("since")),
    )
    .values(fingerprint=bindparam("seen"))
)
_SET_LACKS = update(_dataset).where(_dataset.c.id == bindparam("key")).values(lacks=bindparam("noted"))
_NOTE_TAGS = (
    update(_dataset)
    .where(_dataset.c.id == bindparam("key"))
    .values(lacks=_dataset.c.lacks.bitwise_and(lacking.ALL - lacking.TAGS) + bindparam("more", type_=Integer))
)
_INSERT_TAGS = _dataset_tag.insert()
_DELETE_TAGS = delete(_dataset_tag).where(_dataset_tag.c.dataset_id.in_(_ids))


# Reading


def as_object(row: Any) -> dict[str, Any]:
    """Return the dataset object of a row of ``OBJECT``; its times are in seconds since the epoch, UTC."""
    found = dict(zip(DATASET_KEYS, row, strict=False))
    for key in TIMES:
        found[key] = stored_timestamp(found[key])
    return found


def stored(uri: str) -> dict[str, Any]:
    """Return the dataset object of a registered dataset, with ``uploaded_at`` as plugins get it: a naive UTC datetime.

    :raises UnknownURIError: if it is not registered, or no longer
    """
    row = BY_URI.first({"uri": uri})
    if row is None:
        raise UnknownURIError(f"No dataset is registered as {uri}")
    found = as_object(row)
    uploaded_at = found["uploaded_at"]
    return {**found, "uploaded_at": None if uploaded_at is None else timestamp_to_datetime(uploaded_at)}


def find_objects(wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return, by URI, the dataset objects of those of the wanted URIs that are registered.

    :param wanted: URIs, no more than go into one statement (see ``db.batched``)
    """
    rows = sql_db.session.execute(_BY_URIS, {"uris": list(wanted)})
    return {row.uri: as_object(row) for row in rows}


def uris_in(base_uri_ids: Sequence[int]) -> Sequence[str]:
    """Return the URIs of all datasets in base URIs, in order."""
    return sql_db.session.execute(_URIS, {"ids": list(base_uri_ids)}).scalars().all()


def uploads(wanted: Sequence[str]) -> dict[str, tuple[str, datetime | None]]:
    """Return ``{URI: (user name, naive UTC)}``: who registered datasets, and when, as far as it is known.

    :param wanted: URIs, no more than go into one statement (see ``db.batched``)
    """
    rows = sql_db.session.execute(_UPLOADS, {"uris": list(wanted)})
    return {row.uri: (row.uploaded_by, row.uploaded_at) for row in rows}


def find_registered(uri: str) -> Registered | None:
    """Return what a write needs to know of the dataset that is registered under *uri*; None if there is none."""
    return find_all_registered([uri]).get(uri)


def find_all_registered(wanted: Sequence[str]) -> dict[str, Registered]:
    """Return, by URI, what a write needs to know of those of the wanted URIs that are registered.

    :param wanted: URIs, no more than go into one statement (see ``db.batched``)
    """
    rows = sql_db.session.execute(_REGISTERED, {"uris": list(wanted)}).all()
    tags: defaultdict[int, list[str]] = defaultdict(list)
    if rows:
        for dataset_id, tag in sql_db.session.execute(_TAGS, {"ids": [row.id for row in rows]}):
            tags[dataset_id].append(tag)
    return {row.uri: Registered.of(row, tags[row.id]) for row in rows}


def hold_registered(uri: str) -> Registered | None:
    """Return what a write needs to know of the dataset that is registered under *uri*; None if there is none.

    If there is one, nobody else changes it until this transaction ends.
    """
    held = None
    while True:
        if db.locks_rows():
            held = sql_db.session.execute(_BASE_URI_ID_OF, {"uri": uri}).scalar()
            sql_db.session.execute(_HOLD_BASE_URI, {"key": held})
        registered = find_registered(uri)
        # The base URI of a dataset that was registered in between is not locked yet.
        if registered is None or not db.locks_rows() or registered.base_uri_id == held:
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
    """Return ``{base URI: primary key}`` of base URIs, which nobody removes until this transaction ends.

    :raises AuthorizationError: if one of them is not registered
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


def write_rows(
    documents: Mapping[str, Document], keys: Mapping[str, int], registered: Mapping[str, Registered]
) -> None:
    """Insert or replace the rows of datasets and their tags, and count them, without telling any plugin.

    :param documents: accepted documents, by URI
    :param keys: ``{base URI: primary key}`` of their base URIs
    :param registered: what is registered under these URIs now, by URI, as :func:`find_all_registered` returns it
    :raises AuthorizationError: if a dataset is registered in another base URI; the error does not say in which
    """
    written = {uri: one.registered_in(keys[one.info["base_uri"]]) for uri, one in documents.items()}
    for uri, before in registered.items():
        if before.base_uri_id != written[uri].base_uri_id:
            raise Scope("register").refusal()
    put = db.upsert(_dataset, ("uri",), overwrite=_OVERWRITTEN)
    sql_db.session.execute(put, [_row(one, written[uri]) for uri, one in documents.items()])
    _write_all_tags(written, registered)
    summary.count_changes((registered.get(uri), after) for uri, after in written.items())
    for uri, after in written.items():
        events.registered(uri, after.uuid)


def set_fingerprints(seen: Sequence[tuple[str, datetime | None, str | None]]) -> None:
    """Set the fingerprints of datasets that are registered as they are stored. Nothing else in their rows changes.

    :param seen: of each dataset its URI, its ``uploaded_at`` when it was looked at, and the fingerprint
    """
    rows = [{"of": uri, "since": since, "seen": fingerprint} for uri, since, fingerprint in seen]
    sql_db.session.execute(_SET_FINGERPRINT, rows)


def _row(document: Document, written: Registered) -> dict[str, Any]:
    return {
        **{key: document.info[key] for key in DATASET_KEYS if key != "base_uri"},
        "base_uri_id": written.base_uri_id,
        "frozen_at": written.frozen_at,
        "created_at": written.created_at,
        "fingerprint": document.fingerprint,
        "folded_name": completion_key(document.info["name"]),
        "lacks": written.lacks,
    }


def _write_all_tags(written: Mapping[str, Registered], registered: Mapping[str, Registered]) -> None:
    """Replace the tag rows of datasets whose rows have been written."""
    ids = {uri: before.id for uri, before in registered.items()}
    new = [uri for uri, after in written.items() if uri not in registered and after.tags]
    if new:
        ids |= {row.uri: row.id for row in sql_db.session.execute(_IDS, {"uris": new})}
    _write_tag_rows(
        (key, registered[uri].tags if uri in registered else (), written[uri].tags)
        for uri, key in ids.items()
    )


def write_tags(changes: Iterable[tuple[int | None, tuple[str, ...], tuple[str, ...]]]) -> None:
    """Replace the tag rows of datasets, where they differ, and note whether they have any.

    :param changes: of each dataset its primary key, and its tags before and after
    """
    changes = list(changes)
    _write_tag_rows(changes)
    noted = [
        {"key": key, "more": 0 if after else lacking.TAGS}
        for key, before, after in changes
        if bool(before) != bool(after)
    ]
    if noted:
        sql_db.session.execute(_NOTE_TAGS, noted)


def write_lacks(changes: Iterable[tuple[Registered, Registered]]) -> None:
    """Note what the descriptions of datasets lack, and count it.

    :param changes: of each dataset, which is held, what is noted of it until now, and what is to be
    """
    changed = [(before, after) for before, after in changes if before.lacks != after.lacks]
    if changed:
        sql_db.session.execute(_SET_LACKS, [{"key": after.id, "noted": after.lacks} for _, after in changed])
        summary.count_changes(changed)


def _write_tag_rows(changes: Iterable[tuple[int | None, tuple[str, ...], tuple[str, ...]]]) -> None:
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
    """Remove the row of one dataset, with its part in the summaries, without telling any plugin."""
    uncount(registered)
    delete_row(registered)


def delete_row(registered: Registered) -> None:
    """Delete the row of one dataset, and nothing else."""
    sql_db.session.execute(delete(_dataset).where(_dataset.c.id == registered.id))


def uncount(registered: Registered) -> None:
    """Remove the tags of one dataset, and its part in the summaries, and note its deletion; its row is left."""
    sql_db.session.execute(_DELETE_TAGS, {"ids": [registered.id]})
    summary.count_changes([(registered, None)])
    events.deleted(registered.uri, registered.uuid)
