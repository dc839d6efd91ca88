"""Reading PostgreSQL without a session.

A session takes several round trips for one SELECT: whether the connection works, BEGIN, SELECT, ROLLBACK; and the
statement is planned each time. A connection that does nothing but read needs one: it commits by itself, has its
statements prepared, and finds out that it is broken by using it.

Statements are prepared in SQL, under names made of their texts. So any two connections mean the same by a name, and a
pool that hands connections from one client to the next after each transaction, such as PgBouncer, does no harm: a
connection that has not prepared a statement says so, and gets the whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine, Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from dservercore.db import servers
from dservercore.db.readers import Reader, Row

#: The drivers that put values into a statement themselves, as EXECUTE needs it.
DRIVERS = ("psycopg", "psycopg2")
#: Most statements that a connection has prepared; lists have one for each order.
MAX_PREPARED = 200

_NAMING = postgresql.dialect(paramstyle="pyformat")
_LIST = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")
_VALUE = re.compile(r"%\((\w+)\)s")

#: A value of so many characters or bytes is not kept longer than needed.
LONG = 100_000

# The connection has no statement of that name; the type of a column has changed since; the connection has one already.
_UNKNOWN, _CHANGED, _PREPARED_BEFORE = "26000", "0A000", "42P05"
_NOT_PREPARED = {_UNKNOWN, _CHANGED}


class PostgreSQLText:
    """A statement as PostgreSQL takes it, with the same text for lists of any length, but for lists with one element.

    These are compared by ``=``: an index on two columns is read in the order of the second only where the first has one
    value.
    """

    def __init__(self, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=_NAMING)
        self._constants = {
            name: value for name, value in compiled.params.items() if not compiled.binds[name].required
        }
        self._text = str(compiled)
        self._words: dict[tuple[str, ...], Words] = {}  # by the names of the lists with one element

    def with_values(self, parameters: Mapping[str, Any]) -> tuple[Words, Mapping[str, Any]]:
        """Return the text for these parameters, and the values for the places in it."""
        values = {**self._constants, **parameters}
        single = tuple(name for name, value in values.items() if isinstance(value, list) and len(value) == 1)
        for name in single:
            (values[name],) = values[name]
        words = self._words.get(single)
        if words is None:
            words = self._words[single] = Words(_LIST.sub(partial(_comparison, single), self._text))
        return words, values


def _comparison(single: tuple[str, ...], place: re.Match[str]) -> str:
    name = place[1]
    return f"= %({name})s" if name in single else f"= ANY (%({name})s)"


class Words:
    """A statement in the words of PostgreSQL.

    :param plain: the statement, with a place for each value
    :ivar prepare: SQL that prepares it
    :ivar execute: SQL that executes it once it is prepared, with a place for each value
    :ivar forget: SQL that removes what was prepared
    """

    def __init__(self, plain: str) -> None:
        names = list(dict.fromkeys(_VALUE.findall(plain)))
        numbered = _VALUE.sub(lambda place: f"${names.index(place[1]) + 1}", plain).replace("%%", "%")
        name = f"dserver_{hashlib.sha256(numbered.encode()).hexdigest()[:32]}"
        values = f"({', '.join(f'%({value})s' for value in names)})" if names else ""
        self.plain = plain
        self.prepare = f"PREPARE {name} AS {numbered}"
        self.execute = f"EXECUTE {name}{values}"
        self.forget = f"DEALLOCATE {name}"


# The answer changes when a transaction ends: while it is the same, so is what can be read. A standby has
# none.
_VERSION = Words("SELECT CASE WHEN NOT pg_is_in_recovery() THEN txid_current_snapshot()::text END")


class PostgreSQLReader(Reader[PostgreSQLText]):
    """A connection to PostgreSQL, made anew where it broke.

    :param engine: the connection is made as those of this engine's sessions are
    :raises sqlalchemy.exc.DBAPIError: if the server cannot be reached
    """

    SHARES_VERSIONS = True

    def __init__(self, engine: Engine) -> None:
        super().__init__(None)
        self._engine = engine
        self._cursor: Any = None
        self._prepared: set[str] = set()
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._connect()

    def rows_of(self, text: PostgreSQLText, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows of a statement; it is asked once more where the connection turns out to be broken.

        :raises sqlalchemy.exc.DBAPIError: as a session would, but without the values, which are not for the log
        """
        return self._answer(*text.with_values(parameters))

    def version(self) -> Hashable:
        """Return a text that is different after anybody commits; None on a standby, which cannot tell.

        :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
        """
        ((version,),) = self._answer(_VERSION, {})
        return version if version is None else str(version)

    def _answer(self, words: Words, values: Mapping[str, Any]) -> Sequence[Row]:
        try:
            try:
                return self._fetch(words, values)
            except self._error as error:
                if not self.connection.closed or servers.TOO_LATE in str(error):
                    raise
            self._connect()
            return self._fetch(words, values)
        except self._error as error:
            raise self._named(error, words.plain) from error

    def _fetch(self, words: Words, values: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows. Where the statement is not prepared, it is prepared for the next time."""
        if words.execute in self._prepared:
            try:
                return self._all(words.execute, values)
            except self._error as error:
                codes = servers.codes_of(error)
                if not codes & _NOT_PREPARED:
                    raise
            if _CHANGED in codes:
                self._cursor.execute(words.forget)
        if words.execute in self._prepared or len(self._prepared) < MAX_PREPARED:
            self._prepare(words)
        return self._all(words.plain, values)

    def _prepare(self, words: Words) -> None:
        try:
            self._cursor.execute(words.prepare)
        except self._error as error:
            if _PREPARED_BEFORE not in servers.codes_of(error):
                raise
        self._prepared.add(words.execute)

    def _all(self, statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
        self._cursor.execute(statement, values)
        rows: Sequence[Row] = self._cursor.fetchall()
        if rows and any(
            len(value) > LONG for value in rows[0] if isinstance(value, (str, bytes, memoryview))
        ):
            self._cursor = self._new_cursor()  # the old one keeps the rows until its next statement
        return rows

    def _connect(self) -> None:
        """Take a connection out of the engine's pool, which has made it as it is to be; it commits by itself.

        :raises sqlalchemy.exc.DBAPIError: if the server cannot be reached
        """
        try:
            pooled = self._engine.pool.connect()
        except self._error as error:
            raise self._named(error, "") from error
        self.connection = pooled.dbapi_connection
        pooled.detach()
        self.connection.rollback()
        self.connection.autocommit = True
        self._prepared = set()
        self._cursor = self._new_cursor()

    def _new_cursor(self) -> Any:
        if self._engine.dialect.driver == "psycopg":
            from psycopg import ClientCursor

            return ClientCursor(self.connection)
        return self.connection.cursor()

    def _named(self, error: Exception, statement: str) -> BaseException:
        """Return what a session would have raised, without the values, which are not for the log."""
        is_broken = statement == "" or bool(self.connection.closed)
        return DBAPIError.instance(
            statement,
            None,
            error,
            self._error,
            hide_parameters=True,
            connection_invalidated=is_broken,
            dialect=self._engine.dialect,
        )
