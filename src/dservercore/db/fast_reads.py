"""Reading rows without what a session costs, which is several times what a database takes to find them.

A request that only looks something up needs no session: there is nothing to flush, and nothing to roll back. So on
SQLite and PostgreSQL its statements go straight to a connection that does nothing but read (a lookup on SQLite takes 20
microseconds instead of 340). What a session has written and not committed is still seen, because a session that is in a
transaction is asked itself.

What hardly changes, such as permissions, such a connection remembers until somebody commits something. To ask whether
somebody has takes as long as reading a number on SQLite, and as its shortest statement on PostgreSQL.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, QueuePool, Select, event

from dservercore.db import postgresql_reader
from dservercore.db.engine import sql_db
from dservercore.db.postgresql_reader import PostgreSQLReader, PostgreSQLText
from dservercore.db.readers import Reader, Row
from dservercore.db.sqlite_reader import SQLiteReader, SQLiteText

Made = TypeVar("Made")

#: With parameters that take more characters together, nothing is remembered.
MAX_REMEMBERED_LENGTH = 2000

_TEXTS: dict[str, type[SQLiteText | PostgreSQLText]] = {"sqlite": SQLiteText, "postgresql": PostgreSQLText}


class Prepared:
    """A statement that reads, made once and asked often.

    :param statement: its parameters have names; those that are ``expanding`` take lists
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._texts: dict[str, Any] = {}  # by the kind of database

    def all(self, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows. On SQLite times are text, and truth values are 0 or 1.

        :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
        """
        kind = _kind_without_session()
        if kind is None:
            return sql_db.session.execute(self._statement, parameters).all()
        with _Lent() as reader:
            return reader.rows_of(self._text(kind), parameters)

    def first(self, parameters: Mapping[str, Any]) -> Row | None:
        """Return the first row, or None if there is none.

        :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
        """
        rows = self.all(parameters)
        return rows[0] if rows else None

    def _text(self, kind: str) -> Any:
        text = self._texts.get(kind)
        if text is None:
            text = self._texts[kind] = _TEXTS[kind](self._statement)
        return text


class Remembered(Prepared, Generic[Made]):
    """A statement whose rows hardly ever change: what is made of them is remembered until somebody commits.

    :param statement: its parameters have names; those that are ``expanding`` take lists
    :param make: makes of all rows what is remembered, and must not be changed
    """

    def __init__(self, statement: Select[Any], make: Callable[[Sequence[Row]], Made]) -> None:
        super().__init__(statement)
        self._make = make

    def get(self, parameters: Mapping[str, Any]) -> Made:
        """Return what is made of the rows.

        :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
        """
        kind = _kind_without_session()
        if kind is None:
            return self._make(self.all(parameters))
        values = [tuple(value) if isinstance(value, list) else value for value in parameters.values()]
        if sum(len(value) for value in values if isinstance(value, (str, tuple))) > MAX_REMEMBERED_LENGTH:
            return self._make(self.all(parameters))
        key = self, *values
        with _Lent() as reader:
            found: Made | None = reader.remembered(key, _version(reader))
            if found is None:
                rows = reader.rows_of(self._text(kind), parameters)
                found = self._make(rows)
                reader.remember(key, found, len(rows))
            return found


def rows_of(statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
    """Return all rows of a statement in the words of SQLite. Times are text, and truth values are 0 or 1.

    :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
    """
    if _kind_without_session() != "sqlite":
        return sql_db.session.connection().exec_driver_sql(statement, dict(values)).all()
    with _Lent() as reader:
        assert isinstance(reader, SQLiteReader)
        return reader.rows_in(statement, values)


@contextmanager
def one_moment() -> Iterator[Any]:
    """Have everything in this block read as it is at one moment; yield the connection of the driver that reads it.

    Only on SQLite. On other databases, and where the session is in a transaction, its connection is yielded, and reads
    as ever.
    """
    if _kind_without_session() != "sqlite":
        yield sql_db.session.connection().connection.dbapi_connection
        return
    with _Lent() as reader:
        assert isinstance(reader, SQLiteReader)
        reader.execute("BEGIN")
        _held.reader = reader
        try:
            yield reader.connection
        finally:
            _held.reader = None
            reader.connection.rollback()


@contextmanager
def one_version() -> Iterator[None]:
    """Have the database say once at most, in this block, whether anybody has committed: for that takes a round trip.

    What is remembered is as it was when the block began, or later. A commit of the same thread counts at once.
    """
    _held.has_one_version, _held.version = True, None
    try:
        yield
    finally:
        _held.has_one_version, _held.version = False, None


def _ask_again(_connection: object) -> None:
    _held.version = None


def _version(reader: Reader[Any]) -> Hashable:
    if not (_held.has_one_version and reader.SHARES_VERSIONS):
        return reader.version()
    if _held.version is None:
        _held.version = reader.version()
    return _held.version


def remembered(key: Hashable) -> Any:
    """Return what was remembered under *key* in a block of :func:`one_moment`; None if it may not hold any more."""
    return _held.reader and _held.reader.remembered(key, _held.reader.version())


def remember(key: Hashable, value: Any) -> None:
    """Remember what was read in a block of :func:`one_moment` for as long as nobody commits anything."""
    if _held.reader:
        sizes = (len(thing) for thing in (key, value) if isinstance(thing, Sized))
        _held.reader.remember(key, value, sum(sizes))


def _kind_without_session() -> str | None:
    """Return the kind of database to ask without a session; None: the session is to be asked.

    That is so where the session is in a transaction, where there is no reader for the database or its driver, and where
    no other connection can be made: a database of SQLite in memory belongs to the connection that all sessions share.
    """
    engine = sql_db.engine
    kind = engine.dialect.name
    if kind not in _TEXTS or not isinstance(engine.pool, QueuePool):
        return None
    if kind == "postgresql" and engine.dialect.driver not in postgresql_reader.DRIVERS:
        return None
    sessions = sql_db.session.registry
    return None if sessions.has() and sessions().in_transaction() else kind


# The readers of each engine that nobody uses at the moment.
_idle: WeakKeyDictionary[Engine, deque[Reader[Any]]] = WeakKeyDictionary()


class _Held(threading.local):
    reader: Reader[Any] | None = None
    has_one_version = False
    version: Hashable = None


_held = _Held()


class _Lent:
    """A reader for a block: the one that the thread holds already, an idle one, or a new one.

    A class, because a generator takes a microsecond longer, and a request asks several times.
    """

    def __enter__(self) -> Reader[Any]:
        self._reader: Reader[Any] | None = None
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
            self._reader.close()


def _new_reader(engine: Engine) -> Reader[Any]:
    return SQLiteReader.of(engine) if engine.dialect.name == "sqlite" else PostgreSQLReader(engine)


def watch_engines() -> None:
    """From now on, close an engine's idle readers when it is disposed of, and have commits count in ``one_version``.

    For all applications in the process, and once, however often it is called.
    """
    if not event.contains(Engine, "engine_disposed", _close_idle_of):
        event.listen(Engine, "engine_disposed", _close_idle_of)
        event.listen(Engine, "commit", _ask_again)


def close_idle() -> None:
    """Close the connections that nobody reads through at the moment."""
    for engine in list(_idle):
        _close_idle_of(engine)


def _close_idle_of(engine: Engine) -> None:
    for reader in _idle.pop(engine, ()):
        reader.close()
