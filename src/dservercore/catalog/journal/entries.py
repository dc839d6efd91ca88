"""The entries of the journal; ``changes`` says what they mean."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from dservercore import db
from dservercore.dataset.serialization import json_text, pack, unpack
from dservercore.dataset.times import utcnow
from dservercore.db import sql_db
from dservercore.models import JournalEntry, JournalPiece

CHANGE, DELETION = "change", "deletion"

PIECE_BYTES = db.BYTES_AT_ONCE

_entry, _piece = JournalEntry.__table__, JournalPiece.__table__
_keys: Any = bindparam("keys", expanding=True)
_uris: Any = bindparam("uris", expanding=True)

_LOCKED = select(_entry).where(_entry.c.id.in_(_keys)).order_by(_entry.c.id).with_for_update()
_UNLOCKED = (
    select(_entry).where(_entry.c.id.in_(_keys)).order_by(_entry.c.id).with_for_update(skip_locked=True)
)
_PIECES = select(_piece.c.content).where(_piece.c.entry_id == bindparam("key")).order_by(_piece.c.number)
_THOSE = select(_entry.c.id).where(_entry.c.id.in_(_keys))
_STRIKE = delete(_entry).where(_entry.c.id.in_(_keys))
_OF_URIS = select(_entry.c.id).where(_entry.c.uri.in_(_uris)).order_by(_entry.c.id)
_ALL = select(_entry.c.id, _entry.c.kind, _entry.c.uri).order_by(_entry.c.started_at)


@dataclass
class Own:
    """Keys of the entries that the transaction at hand works on.

    :ivar left: by URI, the entries that are still to be struck off
    :ivar struck: the entries that were struck off in this transaction
    """

    left: dict[str, str] = field(default_factory=dict)
    struck: set[str] = field(default_factory=set)


def own() -> Own:
    """Return the entries of the transaction at hand."""
    found: Own = sql_db.session().info.setdefault("journal", Own())
    return found


def insert(connection: Connection, kind: str, contents: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Insert an entry for each URI. Return their keys by URI.

    :param kind: ``CHANGE`` or ``DELETION``
    :param contents: by URI, what :func:`contents_of` is to return: what JSON can express
    """
    keys = {uri: uuid.uuid4().hex for uri in contents}
    inserted, rest = [], []
    for uri, key in keys.items():
        packed = pack(json_text("journal", contents[uri]).encode())
        pieces = list(db.batched(packed, PIECE_BYTES))
        inserted.append({"id": key, "uri": uri, "kind": kind, "started_at": utcnow(), "content": pieces[0]})
        rest += [
            {"entry_id": key, "number": number, "content": piece}
            for number, piece in enumerate(pieces[1:], start=1)
        ]
    db.execute_many(connection, _entry.insert(), inserted)
    db.execute_many(connection, _piece.insert(), rest)
    return keys


def lock(keys: Sequence[str], skip_locked: bool = False) -> list[Any]:
    """Return the rows of those of the entries that are still there, locked until the transaction ends.

    :param skip_locked: leave out what others have locked, instead of waiting for it
    """
    return list(sql_db.session.execute(_UNLOCKED if skip_locked else _LOCKED, {"keys": list(keys)}).all())


def contents_of(entry: Any) -> dict[str, Any]:
    """Return the content of an entry.

    :param entry: its row, as :func:`lock` returns it
    """
    pieces = sql_db.session.execute(_PIECES, {"key": entry.id}).scalars().all()
    contents: dict[str, Any] = json.loads(unpack(b"".join([entry.content, *pieces])))
    return contents


def strike(keys: Sequence[str]) -> None:
    """Delete entries."""
    if keys:
        sql_db.session.execute(_STRIKE, {"keys": list(keys)})


def keys_of(wanted: Sequence[str]) -> list[str]:
    """Return the keys of the entries of these datasets."""
    return list(sql_db.session.execute(_OF_URIS, {"uris": list(wanted)}).scalars())


def is_pending(uri: str) -> bool:
    """Return whether there is an entry of a dataset."""
    return bool(keys_of([uri]))


def still_there(keys: Sequence[str]) -> list[str]:
    """Return those of *keys* whose entries are still in the journal. Rolls back."""
    if not keys:
        return []
    found = sql_db.session.execute(_THOSE, {"keys": list(keys)}).scalars().all()
    sql_db.session.rollback()
    return list(found)


def all_keys() -> list[str]:
    """Return the keys of all entries, in the order in which they were begun."""
    return list(sql_db.session.execute(_ALL).scalars())


def pending() -> list[tuple[str, str]]:
    """Return (kind, URI) of each entry that nobody is at work on, in the order in which they were begun. Rolls back."""
    db.hold_file_lock()
    try:
        rows = sql_db.session.execute(_ALL.with_for_update(skip_locked=True)).all()
    finally:
        db.rollback()
        db.release_file_lock()
    return [(row.kind, row.uri) for row in rows]
