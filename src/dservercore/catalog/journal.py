"""The journal: what is about to be written to stores outside of the SQL database, so that nothing stays half written.

It is needed, and written, only where search or retrieve plugin keep their data elsewhere; those that share the SQL
session change in the same transaction as the dataset's row. There are two kinds of entry.

A *change* (a registration, or an edit) has its entry committed before the stores are written, with what they hold of
the dataset before. The entry is struck off in the transaction that writes the SQL rows, by the commit that makes it all
count. So as long as there is an entry, the change does not count, and is undone: the stores get back what they had.

A *deletion* is entered in the transaction that deletes the rows. After its commit the dataset is found nowhere, and
what the stores still hold of it is removed; only then is the entry struck off, and the client told. So as long as there
is an entry, there is something left to remove.

Whoever writes to the stores has the entry's row locked, and has seen that it is there. So an entry that nobody has
locked is one that nobody is at work on any more. It is settled by whoever writes the same dataset next, by the process
that failed, by every process when it begins to serve, and by ``flask dataset check --repair``.

Where the database locks rows, a change is one transaction that holds the row of the base URI all along, and the entry
is committed by a connection beside it. SQLite has one lock for all writers, so there a change takes two transactions
one after the other, and a lock on a file, which ends with its process, keeps other writers of the journal out until the
second one has ended.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flask import current_app
from sqlalchemy import Connection, bindparam, delete, select, union
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host, plugin_writes, uris
from dservercore.catalog import dataset_rows
from dservercore.catalog.documents import description_of, document_of
from dservercore.date_utils import utcnow
from dservercore.db import sql_db
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.models import BaseURI, Dataset, JournalEntry, JournalPiece
from dservercore.packing import json_text, pack, unpack
from dservercore.plugin_writes import Edit, Former

logger = logging.getLogger(__name__)

Field = Literal["readme", "tags", "annotations"]

CHANGE, DELETION = "change", "deletion"

PIECE_BYTES = 4 * 2**20  # MariaDB takes 16 MB in one statement, unless told otherwise
SETTLED_AT_ONCE = 100  # entries that share one commit
LOCKED_SECONDS = 5.0
_ATTEMPTS = 10

_entry, _piece = JournalEntry.__table__, JournalPiece.__table__
_base_uri, _dataset = BaseURI.__table__, Dataset.__table__
_keys: Any = bindparam("keys", expanding=True)
_uris: Any = bindparam("uris", expanding=True)
_parents: Any = bindparam("parents", expanding=True)

_LOCKED = select(_entry).where(_entry.c.id.in_(_keys)).order_by(_entry.c.id).with_for_update()
_UNLOCKED = (
    select(_entry).where(_entry.c.id.in_(_keys)).order_by(_entry.c.id).with_for_update(skip_locked=True)
)
_PIECES = select(_piece.c.content).where(_piece.c.entry_id == bindparam("key")).order_by(_piece.c.number)
_THOSE = select(_entry.c.id).where(_entry.c.id.in_(_keys))
_STRIKE = delete(_entry).where(_entry.c.id.in_(_keys))
_OF_URIS = select(_entry.c.id).where(_entry.c.uri.in_(_uris)).order_by(_entry.c.id)
_BASE_URI_IDS = union(
    select(_base_uri.c.id).where(_base_uri.c.base_uri.in_(_parents)),
    select(_dataset.c.base_uri_id).where(_dataset.c.uri.in_(_uris)),
)
_HOLD_BASE_URIS = (
    select(_base_uri.c.id).where(_base_uri.c.id.in_(_keys)).order_by(_base_uri.c.id).with_for_update()
)


@dataclass(frozen=True)
class Change:
    """A registration or an edit that is about to be made.

    :param field: what an edit replaces; None: everything
    :param incoming: under what the stores would hold the dataset that is registered; None for an edit
    """

    uri: str
    field: Field | None = None
    incoming: Former | None = None


@dataclass
class _Own:
    """The entries of the transaction at hand, by URI: those still to be struck off, and those that are in it."""

    left: dict[str, str] = field(default_factory=dict)
    struck: dict[str, str] = field(default_factory=dict)


# -- Writing ---------------------------------------------------------------------------------------------------------


def begin_write(is_asked: bool = False) -> None:
    """Start a write to every store. Calling it again in the same transaction does nothing.

    :param is_asked: the plugins have just been asked whether they can reach their stores
    :raises UnavailableError: if one cannot
    """
    session = sql_db.session()
    session.connection()  # begins a transaction, if there is none
    if not is_asked and session.info.get("asked_plugins_in") is not session.get_transaction():
        plugin_writes.require_available()  # before there is a lock for which others would wait as well
        session.info["asked_plugins_in"] = session.get_transaction()
    db.begin_write()


def begin_change(changes: Sequence[Change]) -> None:
    """Start the transaction in which these changes are made, which may wait for others that change the same datasets.

    On SQLite, what this session has written before is committed, if there is a journal to write.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    if not changes or plugin_host.plugins().share_sql_session:
        begin_write()
        return
    _catch_up()
    enter = _enter_beside if db.locks_rows() else _enter_before
    by_uri = {change.uri: change for change in changes}
    for _ in range(_ATTEMPTS):
        entries = enter(list(by_uri.values()))
        held = {row.id for row in _lock(list(entries.values()))}
        if len(held) == len(entries):
            return
        # A process that begins to serve has settled the others just now.
        strike_entries(list(held))
        for uri in entries:
            del _own().left[uri]
    raise UnavailableError("Others keep changing the same datasets: try again")


def _enter_beside(changes: Sequence[Change]) -> dict[str, str]:
    """Commit entries while the transaction at hand keeps others from the datasets; return their keys by URI."""
    begin_write()
    wanted = [change.uri for change in changes]
    keep_others_from(wanted)
    _settle(wanted)
    contents = {change.uri: _contents(change) for change in changes}
    with db.connection_beside() as connection:
        entries = {uri: _insert(connection, CHANGE, uri, content) for uri, content in contents.items()}
    _own().left |= entries
    return entries


def _enter_before(changes: Sequence[Change]) -> dict[str, str]:
    """Commit entries, and begin the transaction that works on them; return their keys by URI."""
    session = sql_db.session()
    if session.in_nested_transaction():
        raise RuntimeError("No dataset can be changed while a plugin is told of another one")
    session.commit()
    _own().struck.clear()
    db.hold_file_lock()
    begin_write()
    _settle([change.uri for change in changes])
    connection = session.connection()
    entries = {c.uri: _insert(connection, CHANGE, c.uri, _contents(c)) for c in changes}
    session.commit()
    _own().left |= entries
    begin_write(is_asked=True)
    return entries


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


def _contents(change: Change) -> dict[str, Any]:
    """Return what it takes to undo a change: under what it is stored, and what the stores hold before."""
    contents: dict[str, Any] = {"field": change.field, "before": None}
    if change.incoming:
        contents["incoming"] = change.incoming.as_json()
    if dataset_rows.find_registered(change.uri) is None:
        return contents
    try:
        if change.field is None:
            contents["before"] = description_of(change.uri)
        else:
            read = getattr(plugin_host.plugins().retrieve, f"get_{change.field}")
            contents["before"] = {change.field: read(change.uri)}
    except UnknownURIError:  # the stores have nothing of it, though it is registered
        pass
    return contents


def delete_from_stores(formers: Sequence[Former]) -> None:
    """Delete what the stores hold of datasets: now, or once the deletion of their rows is committed.

    To be called before the rows are deleted, in the same transaction.
    """
    if plugin_host.plugins().share_sql_session:
        for former in formers:
            plugin_writes.delete(former)
        return
    own = _own()
    for former in formers:
        plugin_writes.delete_from_sql(former)
        content = {"former": former.as_json()}
        own.left[former.uri] = _insert(sql_db.session.connection(), DELETION, former.uri, content)


def adopt_pending(wanted: Sequence[str]) -> None:
    """Settle with this transaction what an earlier one has left to do with these datasets."""
    if not plugin_host.plugins().share_sql_session:
        for key, uri in sql_db.session.execute(_OF_URIS.add_columns(_entry.c.uri), {"uris": list(wanted)}):
            _own().left[uri] = key


def strike(done: Iterable[str]) -> None:
    """Strike off the entries of changes that are made in every store, with the transaction that is open."""
    own = _own()
    keys = {uri: own.left.pop(uri) for uri in done if uri in own.left}
    strike_entries(list(keys.values()))
    own.struck |= keys


def strike_entries(keys: Sequence[str]) -> None:
    """Delete entries by their keys."""
    if keys:
        sql_db.session.execute(_STRIKE, {"keys": list(keys)})


def _insert(connection: Connection, kind: str, uri: str, contents: dict[str, Any]) -> str:
    key = uuid.uuid4().hex
    packed = pack(json_text("journal", contents).encode())
    pieces = [packed[start : start + PIECE_BYTES] for start in range(0, len(packed), PIECE_BYTES)]
    entry = {"id": key, "uri": uri, "kind": kind, "started_at": utcnow(), "content": pieces[0]}
    connection.execute(_entry.insert(), entry)
    for number, piece in enumerate(pieces[1:], start=1):
        connection.execute(_piece.insert(), {"entry_id": key, "number": number, "content": piece})
    return key


def _own() -> _Own:
    own: _Own = sql_db.session().info.setdefault("journal", _Own())
    return own


# -- Settling --------------------------------------------------------------------------------------------------------


def end_of_transaction(committed: bool) -> None:
    """Settle what the transaction that has ended has left: deletions to finish, changes that failed.

    :raises UnavailableError: after a commit, if a plugin cannot reach its store; what is left is settled later
    """
    own = sql_db.session().info.pop("journal", None)
    if own is None:
        return
    try:
        _settle_own(own, committed)
    finally:
        db.release_file_lock()


def _settle_own(own: _Own, committed: bool) -> None:
    left = [*own.left.values(), *(() if committed else own.struck.values())]
    if not left:
        return
    try:
        _settle_all(left, is_asked=committed)
    except Exception as error:
        sql_db.session.rollback()
        _remember_unsettled()
        logger.warning("Left in the journal: %s", error)
        if committed:
            raise UnavailableError(
                "The change counts, but not every store could be told: it follows when that can be reached"
            ) from error


def replay() -> int:
    """Settle every entry that nobody is at work on. Return how many there were.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    try:
        keys = sql_db.session.execute(select(_entry.c.id).order_by(_entry.c.started_at)).scalars().all()
        settled = _settle_all(keys) if keys else 0
    finally:
        sql_db.session.rollback()
        db.release_file_lock()
    if settled:
        logger.info("Settled %d changes that had been cut short", settled)
    return settled


def pending() -> list[tuple[str, str]]:
    """Return (kind, URI) of each entry that nobody is at work on, in the order in which they were begun."""
    found = select(_entry.c.kind, _entry.c.uri).order_by(_entry.c.started_at)
    db.hold_file_lock()
    try:
        rows = sql_db.session.execute(found.with_for_update(skip_locked=True)).all()
    finally:
        db.rollback()
        db.release_file_lock()
    return [(row.kind, row.uri) for row in rows]


def is_pending(uri: str) -> bool:
    """Return whether there is an entry of a dataset."""
    return bool(sql_db.session.execute(_OF_URIS, {"uris": [uri]}).first())


def _settle_all(keys: Sequence[str], is_asked: bool = False) -> int:
    """Settle entries that nobody is at work on; wait a little for those that somebody has locked. Return their number.

    A database takes a moment to notice that a process has died, and until then its locks stay.

    :raises UnavailableError: if a plugin cannot reach its store, if somebody is still at work, or if an entry defies it
    """
    db.hold_file_lock()
    deadline = time.monotonic() + LOCKED_SECONDS
    left, settled = list(keys), 0
    while left:
        locked: list[str] = []
        for start in range(0, len(left), SETTLED_AT_ONCE):
            batch = left[start : start + SETTLED_AT_ONCE]
            done = _settle_batch(batch, is_asked)
            settled += len(done)
            locked += _still_there([key for key in batch if key not in done])
        left = locked
        if left and time.monotonic() > deadline:
            raise UnavailableError(f"{len(left)} entries of the journal cannot be settled for now")
        time.sleep(0.1 if left else 0)
    return settled


def _settle_batch(keys: Sequence[str], is_asked: bool) -> set[str]:
    """Settle entries in one transaction, or, if one makes that impossible, each in one of its own. Return the settled.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    begin_write(is_asked)
    entries = _lock(keys, skip_locked=True)
    try:
        _settle_entries(entries)
        sql_db.session.commit()
        return {entry.id for entry in entries}
    except (UnavailableError, DBAPIError):
        raise
    except Exception as error:
        sql_db.session.rollback()
        if len(keys) > 1:
            return set().union(*(_settle_batch([key], is_asked) for key in keys))
        logger.exception("The %s of %s cannot be settled: %s", entries[0].kind, entries[0].uri, error)
        return set()


def _still_there(keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    found = sql_db.session.execute(_THOSE, {"keys": list(keys)}).scalars().all()
    sql_db.session.rollback()
    return list(found)


def _settle(wanted: Sequence[str]) -> None:
    """Settle what is left of these datasets, which the caller keeps others from."""
    keys = sql_db.session.execute(_OF_URIS, {"uris": list(wanted)}).scalars().all()
    if keys:
        entries = _lock(keys)
        _settle_entries(entries)
        _own().struck |= {entry.id: entry.id for entry in entries}  # not struck if this transaction fails


def _lock(keys: Sequence[str], skip_locked: bool = False) -> list[Any]:
    return list(sql_db.session.execute(_UNLOCKED if skip_locked else _LOCKED, {"keys": list(keys)}).all())


def _settle_entries(entries: Sequence[Any]) -> None:
    """Undo or finish what the entries, which the caller has locked, are about, and strike them off."""
    if not plugin_host.plugins().share_sql_session:  # else the plugins of these entries are no longer in use
        for entry in entries:
            contents = json.loads(unpack(b"".join([entry.content, *_pieces_of(entry.id)])))
            if entry.kind == DELETION:
                _finish_deletion(Former.from_json(contents["former"]))
            else:
                _undo(entry.uri, contents)
    strike_entries([entry.id for entry in entries])


def _pieces_of(key: str) -> Sequence[bytes]:
    return sql_db.session.execute(_PIECES, {"key": key}).scalars().all()


def _finish_deletion(former: Former) -> None:
    registered = dataset_rows.find_registered(former.uri)
    if registered is None:
        plugin_writes.delete(former)
    elif (
        registered.former.uuid != former.uuid
    ):  # registered anew since, and so replaced where it is kept by its URI
        plugin_writes.bury(former)


def _undo(uri: str, contents: dict[str, Any]) -> None:
    """Give the stores back what they had of a dataset before a change."""
    registered = dataset_rows.find_registered(uri)
    incoming = Former.from_json(contents["incoming"]) if contents.get("incoming") else None
    before, edited = contents["before"], contents["field"]
    if registered is None or before is None:
        if incoming:
            plugin_writes.delete(incoming)
    elif edited is None:
        is_another = incoming is not None and incoming.uuid != registered.former.uuid
        document = {**dataset_rows.stored(uri), "type": "dataset", **before}
        plugin_writes.register(document, incoming if is_another else None)
    else:
        _undo_edit(uri, edited, before[edited])


def _undo_edit(uri: str, edited: str, value: Any) -> None:
    try:
        plugin_writes.make(Edit(uri, edited, value, None, lambda: document_of(uri)))
    except UnknownURIError:  # one of the stores has nothing of it, and had nothing before
        logger.warning("Not in every store, see `flask dataset check`: %s", uri)


# -- Catching up -----------------------------------------------------------------------------------------------------


def replay_at_start() -> None:
    """Settle what processes that have died left. A store that cannot be reached is settled later."""
    current_app.extensions["dservercore-replayed-in"] = os.getpid()
    if plugin_host.plugins().share_sql_session:
        return
    try:
        replay()
    except Exception as error:  # each store has errors of its own, and the server is to start without it
        _remember_unsettled()
        logger.warning("The journal is to be replayed later: %s", error)


db.at_end_of_transaction(end_of_transaction)


def replay_in_new_process() -> None:
    """Do so once in each process: one that gunicorn has forked from another may have taken the place of a dead one."""
    if current_app.extensions.get("dservercore-replayed-in") != os.getpid():
        replay_at_start()


def _remember_unsettled() -> None:
    current_app.extensions["dservercore-unsettled"] = True


def _catch_up() -> None:
    """Settle what this process could not settle before, now that the stores can be reached."""
    if current_app.extensions.pop("dservercore-unsettled", False):
        replay_at_start()
