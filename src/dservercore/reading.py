"""Reading rows without what a session costs, which is several times what SQLite takes to find them.

A request that only looks something up needs no session: there is nothing to flush, and nothing to roll back. So on
SQLite its statements go straight to a connection that does nothing but read (a lookup takes 20 microseconds instead of
340). What a session has written and not committed is still seen, because a session that is in a transaction is asked
itself.

What hardly changes, such as what somebody may search, such a connection remembers for as long as nobody commits
anything: SQLite tells whether somebody has, in the time of reading a number.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, QueuePool, Select, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from dservercore import db
from dservercore.db import sql_db

Row = Sequence[Any]
Made = TypeVar("Made")

#: How many rows a connection remembers at most. The longest, of two URIs, take 4 kB: 80 MB.
MAX_REMEMBERED_ROWS = 20_000
#: With parameters that take more characters together, nothing is remembered.
MAX_REMEMBERED_LENGTH = 2000
#: For how many combinations of lengths of lists the text of one statement is kept.
MAX_LENGTHS = 64

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
        if not _asks_sqlite():
            return sql_db.session.execute(self._statement, parameters).all()
        with _Lent() as reader:
            return reader.rows_of(*self._for_sqlite(parameters))

    def first(self, parameters: Mapping[str, Any]) -> Row | None:
        """Return the first row, or None if there is none. Otherwise as :meth:`all`."""
        rows = self.all(parameters)
        return rows[0] if rows else None

    def _for_sqlite(self, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return the statement as SQLite takes it, and its values."""
        lists = {name: value for name, value in parameters.items() if isinstance(value, list)}
        lengths = tuple((name, len(value)) for name, value in lists.items())
        found = self._in_sqlite.get(lengths)
        if found is None:
            if len(self._in_sqlite) >= MAX_LENGTHS:
                self._in_sqlite.clear()
            found = self._in_sqlite[lengths] = self._compiled(parameters, lengths)
        statement, constants = found
        if not lists and not constants:
            return statement, parameters
        values = {**constants, **parameters}
        for name, value in lists.items():
            values |= zip(_names_in(name, len(value)), values.pop(name), strict=True)
        return statement, values

    def _compiled(
        self, parameters: Mapping[str, Any], lengths: Iterable[tuple[str, int]]
    ) -> tuple[str, dict[str, Any]]:
        """Return the text for lists of these lengths, and the values that are in the statement itself."""
        state = self._statement.compile(dialect=_NAMING).construct_expanded_state(parameters)
        given = {*parameters, *(element for list_ in lengths for element in _names_in(*list_))}
        return state.statement, {name: value for name, value in state.parameters.items() if name not in given}


class Remembered(Prepared, Generic[Made]):
    """A statement whose rows hardly ever change: what is made of them is remembered, on SQLite, until somebody commits.

    :param statement: as for :class:`Prepared`
    :param make: makes of all rows what nobody changes
    """

    def __init__(self, statement: Select[Any], make: Callable[[Sequence[Row]], Made]) -> None:
        super().__init__(statement)
        self._make = make

    def get(self, parameters: Mapping[str, Any]) -> Made:
        """Return what is made of the rows. Errors as for :meth:`Prepared.all`."""
        if not _asks_sqlite():
            return self._make(self.all(parameters))
        values = [tuple(value) if isinstance(value, list) else value for value in parameters.values()]
        if sum(len(value) for value in values if isinstance(value, (str, tuple))) > MAX_REMEMBERED_LENGTH:
            return self._make(self.all(parameters))
        key = self, *values
        with _Lent() as reader:
            found: Made | None = reader.remembered(key)
            if found is None:
                rows = reader.rows_of(*self._for_sqlite(parameters))
                found = self._make(rows)
                reader.remember(key, found, len(rows))
            return found


@functools.lru_cache(maxsize=256)
def _names_in(name: str, length: int) -> list[str]:
    """Return what SQLAlchemy calls the elements of a list among the parameters."""
    return [f"{name}_{number}" for number in range(1, length + 1)]


def rows_of(statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
    """Return all rows of a statement in the words of the database itself. Otherwise as :meth:`Prepared.all`."""
    if not _asks_sqlite():
        return sql_db.session.connection().exec_driver_sql(statement, dict(values)).all()
    with _Lent() as reader:
        return reader.rows_of(statement, values)


@contextmanager
def one_moment() -> Iterator[Any]:
    """Have everything in this block read as it is at one moment, through one connection of the driver: it is returned.

    Only on SQLite, and where the session is in no transaction, of which all of this is a part then.
    """
    if not _asks_sqlite():
        yield sql_db.session.connection().connection.dbapi_connection
        return
    with _Lent() as reader:
        reader.execute("BEGIN")
        _held.reader = reader
        try:
            yield reader.connection
        finally:
            _held.reader = None
            reader.connection.rollback()


def remembered(key: Hashable) -> Any:
    """Return what was remembered under *key* in a block of :func:`one_moment`; None if it may not hold any more."""
    return _held.reader and _held.reader.remembered(key)


def remember(key: Hashable, value: Any) -> None:
    """Remember what was read in a block of :func:`one_moment` for as long as nobody commits anything."""
    if _held.reader:
        sizes = (len(thing) for thing in (key, value) if isinstance(thing, Sized))
        _held.reader.remember(key, value, sum(sizes))


def _asks_sqlite() -> bool:
    """Return whether to ask SQLite without a session: it is the database, and the session has begun nothing.

    A database in memory belongs to the one connection that all sessions share.
    """
    engine = sql_db.engine
    if engine.dialect.name != "sqlite" or not isinstance(engine.pool, QueuePool):
        return False
    sessions = sql_db.session.registry
    return not (sessions.has() and sessions().in_transaction())


class _Reader:
    """A connection that reads, and what it remembers.

    :param is_kept: it may serve others afterwards
    """

    def __init__(self, connection: sqlite3.Connection, is_kept: bool) -> None:
        self.connection = connection
        self.is_kept = is_kept
        self._version: int | None = None  # of the database, when what follows was read
        self._found: dict[Hashable, Any] = {}
        self._room = MAX_REMEMBERED_ROWS

    def execute(self, statement: str, values: Mapping[str, Any] | tuple[()] = ()) -> Any:
        """Return the cursor of a statement that was begun.

        :raises sqlalchemy.exc.DBAPIError: as a session would, but without the values, which are not for the log
        """
        try:
            return self.connection.execute(statement, values)
        except sqlite3.Error as error:
            raise _named(error, statement) from error

    def rows_of(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        """Return all rows. Errors as for :meth:`execute`."""
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _named(error, statement) from error

    def remembered(self, key: Hashable) -> Any:
        """Return what is remembered under *key*; None if nothing is, or anybody has committed anything since then."""
        (version,) = self.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._forget(version)
        return self._found.get(key)

    def remember(self, key: Hashable, value: Any, rows: int) -> None:
        """Remember what was read after :meth:`remembered` did not know it.

        :param rows: how much it is; nothing counts as one, too, as its key takes room
        """
        rows = max(rows, 1)
        if rows > self._room:
            self._forget(self._version)
        if rows <= self._room:
            self._room -= rows
            self._found[key] = value

    def _forget(self, version: int | None) -> None:
        self._version, self._found, self._room = version, {}, MAX_REMEMBERED_ROWS


# Of each engine, those that nobody uses at the moment.
_idle: WeakKeyDictionary[Engine, deque[_Reader]] = WeakKeyDictionary()


class _Held(threading.local):
    reader: _Reader | None = None


_held = _Held()


class _Lent:
    """A reader for a block: the one that the thread holds already, an idle one, or a new one.

    A class, because a generator takes a microsecond longer, and a request asks several times.
    """

    def __enter__(self) -> _Reader:
        self._reader: _Reader | None = None
        if _held.reader is not None:
            return _held.reader
        engine = sql_db.engine
        self._idle = _idle.get(engine) or _idle.setdefault(engine, deque())
        try:
            self._reader = self._idle.pop()
        except IndexError:
            self._reader = _new_reader(engine)
        return self._reader

    def __exit__(self, *_error: object) -> None:
        if self._reader is None:
            return
        if self._reader.is_kept:
            self._idle.append(self._reader)
        else:
            self._reader.connection.close()


def _new_reader(engine: Engine) -> _Reader:
    pooled = engine.pool.connect()
    is_kept = not pooled.info.get(db.READ_ONLY)
    connection: Any = pooled.dbapi_connection
    pooled.detach()
    return _Reader(connection, is_kept)


def close_idle() -> None:
    """Close the connections that nobody reads through at the moment."""
    for engine in list(_idle):
        _close_idle_of(engine)


@event.listens_for(Engine, "engine_disposed")
def _close_idle_of(engine: Engine) -> None:
    for reader in _idle.pop(engine, ()):
        reader.connection.close()


def _named(error: sqlite3.Error, statement: str) -> BaseException:
    """Return what a session would have raised, without the values, which are not for the log."""
    return DBAPIError.instance(statement, None, error, sqlite3.Error, hide_parameters=True)
