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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, store_writes
from dservercore.catalog.full_documents import description_of
from dservercore.catalog.journal import entries, replay
from dservercore.db import sql_db
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugin_api import Former

Field = Literal["readme", "tags", "annotations"]

_ATTEMPTS = 10


@dataclass(frozen=True)
class Change:
    """A registration or an edit that is about to be made.

    :param field: what an edit replaces; None: everything
    :param incoming: the dataset that is being registered, as an undo needs it to delete it; None for an edit
    """

    uri: str
    field: Field | None = None
    incoming: Former | None = None


def begin_change(changes: Sequence[Change]) -> None:
    """Start the transaction in which these changes are made, which may wait for others that change the same datasets.

    On SQLite, what this session has written before is committed, if there is a journal to write.

    :raises UnavailableError: if a plugin cannot reach its store, or others keep changing the same datasets
    :raises RuntimeError: if a plugin calls this while it is told of another write
    """
    if not changes or plugin_host.plugins().share_sql_session:
        store_writes.begin()
        return
    if sql_db.session().in_nested_transaction():
        raise RuntimeError("No dataset can be changed while a plugin is told of another one")
    enter = _enter_beside if db.locks_rows() else _enter_before
    by_uri = {change.uri: change for change in changes}
    for _ in range(_ATTEMPTS):
        keys = enter(list(by_uri.values()))
        held = {row.id for row in entries.lock(list(keys.values()))}
        if len(held) == len(keys):
            return
        # A process that begins to serve has just settled the entries that are missing.
        entries.strike(list(held))
        entries.own().struck |= held
        for uri in keys:
            del entries.own().left[uri]
    raise UnavailableError("Others keep changing the same datasets: try again")


def _enter_beside(changes: Sequence[Change]) -> dict[str, str]:
    """Commit entries beside the session, whose transaction keeps others from the datasets; return their keys by URI."""
    _commit_own()
    store_writes.begin()
    wanted = [change.uri for change in changes]
    dataset_rows.keep_others_from(wanted)
    replay.settle(wanted)
    contents = _contents(changes)
    with db.connection_beside() as connection:
        keys = entries.insert(connection, entries.CHANGE, contents)
        entries.own().left |= keys  # before the commit, of which the answer may get lost
    return keys


def _commit_own() -> None:
    """Commit what this session has written, if it has entries of its own, which nobody else is to settle."""
    own = entries.own()
    if own.left or own.struck:
        sql_db.session.commit()
        own.struck.clear()


def _enter_before(changes: Sequence[Change]) -> dict[str, str]:
    """Commit entries in the session, and begin the transaction that makes the changes; return their keys by URI."""
    session = sql_db.session()
    session.commit()
    entries.own().struck.clear()
    db.hold_file_lock()
    store_writes.begin()
    replay.settle([change.uri for change in changes])
    connection = session.connection()
    keys = entries.insert(connection, entries.CHANGE, _contents(changes))
    entries.own().left |= keys
    session.commit()
    store_writes.begin(is_asked=True)
    return keys


def _contents(changes: Sequence[Change]) -> dict[str, dict[str, Any]]:
    """Return, by URI, what an entry holds for an undo.

    ``field`` (None: a registration), ``before`` (what the stores hold of the dataset; None: nothing), and of a
    registration ``incoming``.
    """
    registered = dataset_rows.find_all_registered([change.uri for change in changes])
    return {
        change.uri: {
            "field": change.field,
            "before": _before(change) if change.uri in registered else None,
            **({"incoming": change.incoming.as_json()} if change.incoming else {}),
        }
        for change in changes
    }


def _before(change: Change) -> dict[str, Any] | None:
    try:
        if change.field is None:
            return description_of(change.uri)
        read = getattr(plugin_host.plugins().retrieve, f"get_{change.field}")
        return {change.field: read(change.uri)}
    except UnknownURIError:  # the stores have nothing of it, though it is registered
        return None


def delete_from_stores(formers: Sequence[Former]) -> None:
    """Delete what the stores hold of datasets, whose rows are about to be deleted in the same transaction.

    Where all stores share the SQL session, at once. Otherwise at once from those that do, and from the others after
    the commit: a journal entry says so until it is done.
    """
    if plugin_host.plugins().share_sql_session:
        for former in formers:
            store_writes.delete(former)
        return
    # Whoever is undoing a change of one of them is waited for, or the undo would bring the dataset back.
    replay.settle([former.uri for former in formers])
    for former in formers:
        store_writes.delete_from_sql(former)
    contents = {former.uri: {"former": former.as_json()} for former in formers}
    entries.own().left |= entries.insert(sql_db.session.connection(), entries.DELETION, contents)


def adopt_pending(wanted: Sequence[str]) -> None:
    """Have what earlier transactions have left to do with these datasets settled when this one ends."""
    if not plugin_host.plugins().share_sql_session:
        for uri in wanted:
            for key in entries.keys_of([uri]):
                entries.own().left[uri] = key


def strike(done: Iterable[str]) -> None:
    """Strike off, in the transaction that is open, the entries of changes that are made in every store.

    :param done: URIs of the datasets that were changed
    """
    own = entries.own()
    keys = [own.left.pop(uri) for uri in done if uri in own.left]
    entries.strike(keys)
    own.struck |= set(keys)
