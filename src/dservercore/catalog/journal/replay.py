"""Settling what is left in the journal: changes are undone, deletions finished. ``changes`` says why."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from flask import current_app
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, store_writes
from dservercore.catalog.journal import entries
from dservercore.db import sql_db
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugin_api import Former

logger = logging.getLogger(__name__)

SETTLED_AT_ONCE = 100  # entries that share one commit
LOCKED_SECONDS = 5.0
PAUSE_SECONDS = 30.0  # between two tries to settle what could not be settled


def settle(wanted: Sequence[str]) -> None:
    """Settle the entries of these datasets, which the caller keeps other writers from."""
    keys = entries.keys_of(wanted)
    if keys:
        locked = entries.lock(keys)
        _settle_entries(locked)
        # The entries are in the journal again if this transaction fails.
        entries.own().struck |= {entry.id for entry in locked}


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


def _settle_own(own: entries.Own, committed: bool) -> None:
    left = [*own.left.values(), *(() if committed else own.struck)]
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
        keys = entries.all_keys()
        settled = _settle_all(keys) if keys else 0
    finally:
        sql_db.session.rollback()
        db.release_file_lock()
    if settled:
        logger.info("Settled %d changes that had been cut short", settled)
    return settled


def _settle_all(keys: Sequence[str], is_asked: bool = False) -> int:
    """Settle entries that nobody is at work on; wait a little for those that somebody has locked. Return their number.

    A database takes a moment to notice that a process has died, and until then its locks stay.

    :raises UnavailableError: if a plugin cannot reach its store, if somebody is still at work on an entry, or if one
        cannot be settled
    """
    db.hold_file_lock()
    deadline = time.monotonic() + LOCKED_SECONDS
    left, settled, defying = list(keys), 0, 0
    while left:
        locked: list[str] = []
        for batch in db.batched(left, SETTLED_AT_ONCE):
            done, impossible = _settle_batch(batch, is_asked)
            settled += len(done)
            defying += len(impossible)
            locked += entries.still_there([key for key in batch if key not in done | impossible])
        left = locked
        if left and time.monotonic() > deadline:
            break
        time.sleep(0.1 if left else 0)
    if left or defying:
        raise UnavailableError(f"{len(left) + defying} entries of the journal cannot be settled for now")
    return settled


def _settle_batch(keys: Sequence[str], is_asked: bool) -> tuple[set[str], set[str]]:
    """Settle entries in one transaction, or, if one makes that impossible, each in one of its own.

    Return the keys of those that are settled, and of those that cannot be.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    store_writes.begin(is_asked)
    locked = entries.lock(keys, skip_locked=True)
    try:
        _settle_entries(locked)
        sql_db.session.commit()
        return {entry.id for entry in locked}, set()
    except (UnavailableError, DBAPIError):
        raise
    except Exception as error:
        sql_db.session.rollback()
        if len(keys) > 1:
            each = [_settle_batch([key], is_asked) for key in keys]
            return set().union(*(done for done, _ in each)), set().union(*(not_ for _, not_ in each))
        logger.exception("The %s of %s cannot be settled: %s", locked[0].kind, locked[0].uri, error)
        return set(), {locked[0].id}


def _settle_entries(locked: Sequence[Any]) -> None:
    """Undo or finish what the entries, which the caller has locked, are about, and strike them off."""
    if not plugin_host.plugins().share_sql_session:  # else the plugins that they are about are out of use
        for entry in locked:
            contents = entries.contents_of(entry)
            if entry.kind == entries.DELETION:
                _finish_deletion(Former.from_json(contents["former"]))
            else:
                _undo(entry.uri, contents)
    entries.strike([entry.id for entry in locked])


def _finish_deletion(former: Former) -> None:
    registered = dataset_rows.find_registered(former.uri)
    if registered is None:
        store_writes.delete(former)
    elif registered.uuid != former.uuid:
        # The URI was registered again since: what is left is in stores that keep a document for each UUID.
        store_writes.bury(former)


def _undo(uri: str, contents: dict[str, Any]) -> None:
    """Give the stores back what they had of a dataset before a change."""
    registered = dataset_rows.find_registered(uri)
    incoming = Former.from_json(contents["incoming"]) if contents.get("incoming") else None
    before, edited = contents["before"], contents["field"]
    if registered is None or before is None:
        if incoming:
            store_writes.delete(incoming)
    elif edited is None:
        is_another = incoming is not None and incoming.uuid != registered.uuid
        document = {**dataset_rows.stored(uri), "type": "dataset", **before}
        store_writes.register(document, incoming if is_another else None)
    else:
        _undo_edit(uri, edited, before[edited])


def _undo_edit(uri: str, edited: str, value: Any) -> None:
    try:
        store_writes.edit(uri, edited, value)
    except UnknownURIError:  # one of the stores has nothing of the dataset, and had nothing before
        logger.warning("Not in every store, see `flask dataset check`: %s", uri)


# -- Catching up -----------------------------------------------------------------------------------------------------


def replay_at_start() -> None:
    """Settle what processes that have died left. A store that cannot be reached is settled later."""
    current_app.extensions["dservercore-replayed-in"] = os.getpid()
    try:
        replay()
    except Exception as error:  # each store has errors of its own, and the server is to start without it
        _remember_unsettled(PAUSE_SECONDS)
        logger.warning("The journal is to be replayed later: %s", error)


def replay_in_new_process() -> None:
    """Settle what processes that have died left, once in each process that answers requests.

    A process that gunicorn has forked from another one may have taken the place of one that died.
    """
    if current_app.extensions.get("dservercore-replayed-in") != os.getpid():
        replay_at_start()


def _remember_unsettled(pause: float = 0) -> None:
    """Have :func:`catch_up` try again, after so many seconds at the earliest."""
    current_app.extensions["dservercore-unsettled"] = time.monotonic() + pause


def catch_up() -> None:
    """Settle what this process could not settle before. To be called before a request writes anything."""
    due = current_app.extensions.get("dservercore-unsettled")
    if due is None or time.monotonic() < due:
        return
    if current_app.extensions.pop("dservercore-unsettled", None) is not None:  # None: another thread does it
        replay_at_start()
