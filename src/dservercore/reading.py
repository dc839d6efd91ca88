"""Reading rows without what a session costs, which is several times what SQLite takes to find them.

A request that only looks something up needs no session: there is nothing to flush, and nothing to roll back. So on
SQLite its statements go straight to a connection of the engine's pool (a lookup takes 40 microseconds instead of 340).
What a session has written and not committed is still seen, because a session that is in a transaction is asked itself.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from dservercore import db
from dservercore.db import sql_db

Row = Sequence[Any]

_NAMING = sqlite.dialect(paramstyle="named")


class Prepared:
    """A statement that reads, made once and asked often.

    :param statement: its parameters have names; those that are ``expanding`` take lists
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        # By the lengths of the lists among the parameters: base URIs of a user, URIs of a page.
        self._in_sqlite: dict[tuple[tuple[str, int], ...], tuple[str, dict[str, Any]]] = {}

    def all(self, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows. On SQLite times are text, and truth values are 0 or 1.

        :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
        """
        if _asks_sqlite():
            lists = {name: value for name, value in parameters.items() if isinstance(value, list)}
            key = tuple((name, len(value)) for name, value in lists.items())
            if key not in self._in_sqlite:
                self._in_sqlite[key] = self._for_sqlite(parameters, key)
            statement, constants = self._in_sqlite[key]
            values = {**constants, **parameters}
            for name, value in lists.items():
                values |= zip(_names_in(name, len(value)), values.pop(name), strict=True)
            return _rows_of_sqlite(statement, values)
        return sql_db.session.execute(self._statement, parameters).all()

    def first(self, parameters: Mapping[str, Any]) -> Row | None:
        """Return the first row, or None if there is none. Otherwise as :meth:`all`."""
        rows = self.all(parameters)
        return rows[0] if rows else None

    def _for_sqlite(
        self, parameters: Mapping[str, Any], lists: Iterable[tuple[str, int]]
    ) -> tuple[str, dict[str, Any]]:
        """Return the text for lists of the same lengths, and the values that are in the statement itself."""
        state = self._statement.compile(dialect=_NAMING).construct_expanded_state(parameters)
        given = {*parameters, *(element for list_ in lists for element in _names_in(*list_))}
        return state.statement, {name: value for name, value in state.parameters.items() if name not in given}


@functools.lru_cache(maxsize=256)
def _names_in(name: str, length: int) -> list[str]:
    """Return what SQLAlchemy calls the elements of a list among the parameters."""
    return [f"{name}_{number}" for number in range(1, length + 1)]


def rows_of(statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
    """Return all rows of a statement in the words of the database itself. Otherwise as :meth:`Prepared.all`."""
    if _asks_sqlite():
        return _rows_of_sqlite(statement, values)
    return sql_db.session.connection().exec_driver_sql(statement, dict(values)).all()


def _asks_sqlite() -> bool:
    """Return whether to ask SQLite without a session: it is the database, and the session has begun nothing."""
    sessions = sql_db.session.registry
    return db.kind() == "sqlite" and not (sessions.has() and sessions().in_transaction())


class _Held(threading.local):
    connection: Any = None


_held = _Held()


@contextmanager
def one_connection() -> Iterator[Any]:
    """Have what is read in this block read through one connection of the driver, which is returned."""
    if not _asks_sqlite():
        yield sql_db.session.connection().connection.dbapi_connection
        return
    pooled = sql_db.engine.pool.connect()
    _held.connection = pooled.dbapi_connection
    try:
        yield _held.connection
    finally:
        _held.connection = None
        pooled.close()


def _rows_of_sqlite(statement: str, values: Mapping[str, Any]) -> list[Row]:
    try:
        if _held.connection is not None:
            return _held.connection.execute(statement, values).fetchall()
        pooled = sql_db.engine.pool.connect()
        try:
            connection: Any = pooled.dbapi_connection
            return connection.execute(statement, values).fetchall()
        finally:
            pooled.close()
    except sqlite3.Error as error:
        raise _named(error, statement) from error


def _named(error: sqlite3.Error, statement: str) -> BaseException:
    """Return what a session would have raised, without the values, which are not for the log."""
    return DBAPIError.instance(statement, None, error, sqlite3.Error, hide_parameters=True)
