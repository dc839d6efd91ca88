"""Beginning a write, as catalog functions do, and ending an operation, as routes and commands do."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from dservercore.db.engine import sql_db
from dservercore.db.failures import reason

logger = logging.getLogger(__name__)


def begin_write() -> None:
    """Start the write transaction, before reading what the write depends on.

    On SQLite this takes the one write lock, waiting for up to ``SQLITE_BUSY_SECONDS``; other databases lock rows
    as they are written. Calling it again in the same transaction does nothing.
    """
    begin_immediate(sql_db.session.connection())


def begin_immediate(connection: Connection) -> None:
    """Take SQLite's write lock through a connection that has no transaction yet; nothing on other databases."""
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        # Through SQLAlchemy, so that a database that is locked or read-only fails with an error of its kind.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


# Called when the transaction of an operation has ended, with whether it was committed.
_at_end: list[Callable[[bool], None]] = []


def at_end_of_transaction(follow_up: Callable[[bool], None]) -> None:
    """Have *follow_up* called after each :func:`commit` (with True) and :func:`rollback` (with False).

    For all applications in the process: each function is called once, however often it is registered.
    """
    if follow_up not in _at_end:
        _at_end.append(follow_up)


def commit() -> None:
    """End the operation: what was flushed is durable when this returns.

    Called by routes and commands, and by catalog functions that write in batches.

    :raises RuntimeError: if a plugin is being told of the write
    """
    _require_outermost()
    sql_db.session.commit()
    for follow_up in _at_end:
        follow_up(True)


def rollback() -> None:
    """Forget what was flushed since the last commit.

    :raises RuntimeError: if a plugin is being told of the write
    """
    _require_outermost()
    _roll_back()


def forget_unfinished(_error: BaseException | None = None) -> None:
    """Roll back what a request or command has left open. To be called before its session is removed."""
    if sql_db.session.registry.has():
        _roll_back()


def _require_outermost() -> None:
    """Pass if no plugin is being told of a write, whose transaction a plugin must not end.

    :raises RuntimeError: if a plugin is
    """
    if sql_db.session().in_nested_transaction():
        raise RuntimeError("A plugin cannot end a transaction while it is told of a write in it")


def _roll_back() -> None:
    try:
        sql_db.session.rollback()
    except DBAPIError as error:  # the connection is gone, and the database has forgotten it as well
        logger.warning("The database did not take a rollback: %s", reason(error))
    finally:
        for follow_up in _at_end:
            follow_up(False)
