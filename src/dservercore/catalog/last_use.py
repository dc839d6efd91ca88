"""When tokens of programs and sessions were last used, to some minutes: it is told to their owners."""

from __future__ import annotations

import logging
import sqlite3
import time

from sqlalchemy import Table, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from dservercore import db
from dservercore.db import sql_db

#: Seconds in which a further use is not written down: each is a commit, after which what is remembered is read anew.
PRECISION = 300
#: Seconds after a failure in which this process does not try again.
REST = 1.0

_resting_until = 0.0


def note(table: Table, key: int, last_used_at: int | None, precision: int = PRECISION) -> None:
    """Write down, at most once in *precision* seconds, that a token or a session is used now.

    In a transaction of its own, because a request that only reads has none. It waits for no other writer: a use that
    cannot be written down at once is written down later, and is no reason to refuse the request, or to hold it up.

    :param table: with columns ``id`` and ``last_used_at``
    :param last_used_at: what is written down of it: seconds since the epoch, UTC; None: nothing
    """
    global _resting_until
    now = time.time()
    if (last_used_at is not None and now - last_used_at < precision) or now < _resting_until:
        return
    write = _write_beside if db.locks_rows() else _write_to_sqlite
    try:
        is_written = write(table, key, int(now), precision)
    except SQLAlchemyError as error:
        is_written = False
        reason = str(error).partition("\n")[0]
        logging.getLogger(__name__).warning(
            "The use of %s %d could not be written down: %s", table.name, key, reason
        )
    if not is_written:
        _resting_until = now + REST


def _write_beside(table: Table, key: int, now: int, precision: int) -> bool:
    """Write down a use; return False if somebody else has the row at the moment, or it is gone."""
    own = table.c.id == key
    with db.connection_beside() as connection:
        free = select(table.c.id).where(own).with_for_update(skip_locked=True)
        if connection.execute(free).first() is None:
            return False
        is_older = (table.c.last_used_at.is_(None)) | (table.c.last_used_at <= now - precision)
        connection.execute(update(table).where(own, is_older).values(last_used_at=now))
        return True


def _write_to_sqlite(table: Table, key: int, now: int, precision: int) -> bool:
    """Write down a use; return False if somebody else writes at the moment.

    Through a connection of its own, which waits for nobody, nor for the disk: a use that a power cut undoes is no loss.
    A database in memory has one connection, which all sessions share.
    """
    is_file = isinstance(sql_db.engine.pool, QueuePool)
    pool = sql_db.engine.pool.recreate() if is_file else sql_db.engine.pool
    lent = pool.connect()
    try:
        connection = lent.dbapi_connection
        assert isinstance(connection, sqlite3.Connection)
        if connection.in_transaction:
            return False
        if is_file:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            f"UPDATE {table.name} SET last_used_at = ?"
            " WHERE id = ? AND (last_used_at IS NULL OR last_used_at <= ?)",
            (now, key, now - precision),
        )
        return True
    except sqlite3.OperationalError:  # it is locked, or may not be written
        return False
    finally:
        lent.close()
        if is_file:
            pool.dispose()
