"""Reading SQLite without a session."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from dservercore.db.readers import Reader, Row
from dservercore.db.sqlite_files import READ_ONLY

#: For how many combinations of lengths of lists the text of one statement is kept.
MAX_LENGTHS = 64

_NAMING = sqlite.dialect(paramstyle="named")


class SQLiteText:
    """A statement as SQLite takes it, which has no parameters that are lists: one text for lists of each length."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        # By the lengths of the lists among the parameters: base URIs of a user, URIs of a page.
        self._texts: dict[tuple[tuple[str, int], ...], tuple[str, dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def with_values(self, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return the text for these parameters, and the values for the places in it."""
        lists = {name: value for name, value in parameters.items() if isinstance(value, list)}
        lengths = tuple((name, len(value)) for name, value in lists.items())
        found = self._texts.get(lengths)
        if found is None:
            if len(self._texts) >= MAX_LENGTHS:
                self._texts.clear()
            found = self._texts[lengths] = self._compiled(parameters, lengths)
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


@functools.lru_cache(maxsize=256)
def _names_in(name: str, length: int) -> list[str]:
    """Return what SQLAlchemy calls the elements of a list among the parameters."""
    return [f"{name}_{number}" for number in range(1, length + 1)]


class SQLiteReader(Reader[SQLiteText]):
    """A connection to a file of SQLite. Times in rows are text, and truth values are 0 or 1."""

    @classmethod
    def of(cls, engine: Engine) -> SQLiteReader:
        """Return a reader, connected as the sessions of an engine are; it is not kept if the file is read-only."""
        pooled = engine.pool.connect()
        is_kept = not pooled.info.get(READ_ONLY)
        connection = pooled.dbapi_connection
        pooled.detach()
        return cls(connection, is_kept)

    def execute(self, statement: str, values: Mapping[str, Any] | tuple[()] = ()) -> Any:
        """Return the cursor of a statement that was begun.

        :raises sqlalchemy.exc.DBAPIError: as a session would, but without the values, which are not for the log
        """
        try:
            return self.connection.execute(statement, values)
        except sqlite3.Error as error:
            raise _named(error, statement) from error

    def rows_in(self, statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows of a statement in the words of SQLite.

        :raises sqlalchemy.exc.DBAPIError: as a session would, but without the values, which are not for the log
        """
        try:
            rows: list[Row] = self.connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _named(error, statement) from error
        return rows

    def rows_of(self, text: SQLiteText, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows of a statement.

        :raises sqlalchemy.exc.DBAPIError: as a session would, but without the values, which are not for the log
        """
        return self.rows_in(*text.with_values(parameters))

    def version(self) -> Hashable:
        """Return a number that is different after anybody commits; SQLite reads it from memory.

        :raises sqlalchemy.exc.DBAPIError: if the file cannot be read
        """
        (version,) = self.execute("PRAGMA data_version").fetchone()
        return int(version)


def _named(error: sqlite3.Error, statement: str) -> BaseException:
    """Return what a session would have raised, without the values, which are not for the log."""
    return DBAPIError.instance(statement, None, error, sqlite3.Error, hide_parameters=True)
