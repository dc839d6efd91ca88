"""Statements that read documents, with a limit to their time, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from dservercore.db import kind, servers, sql_db
from dservercore.db.fast_reads import one_moment
from dservercore.errors import ConfigurationError
from dservercore.plugins.query.language import InvalidQueryError
from dservercore.plugins.query.sql import sqlite
from dservercore.plugins.query.sql.dialect import Node, Parameters, TooComplexError
from dservercore.plugins.query.sql.postgresql import PostgreSQLNode
from dservercore.plugins.query.sql.sqlite import SQLiteNode
from dservercore.plugins.query.time_limit import TimeLimit
from dservercore.plugins.sql.cut_off import canceled

# SQLite asks whether to go on after so many steps of its machine, which take about a millisecond.
_STEPS = 20_000
_INVALID_EXPRESSION, _TOO_COMPLEX = "2201B", {"54001", "54000", "54023", "53200"}
_TOO_COMPLEX_FOR_SQLITE = ("parser stack overflow", "too large", "too many", "at most", "too deep", "too big")


class Reader(Protocol):
    """What executes statements."""

    def rows(self, statement: str, values: Mapping[str, Any]) -> Iterable[Any]:
        """Yield the rows of a statement."""


def require_supported(address: str) -> None:
    """Pass if documents can be asked for in the database at an address.

    :raises ConfigurationError: if not
    """
    if make_url(address).get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            "DSERVER_EXTENSIONS: query finds nothing in the database of SQLALCHEMY_DATABASE_URI, only in SQLite and"
            " PostgreSQL: name a MongoDB server in DSERVER_MONGO_URI"
        )


def node(expression: str, parameters: Parameters) -> Node:
    """Return the whole JSON in a column."""
    if kind() == "sqlite":
        return SQLiteNode(parameters, expression)
    return PostgreSQLNode(parameters, expression)


def is_in(expression: str, values: list[Any], parameters: Parameters) -> str:
    """Return the condition that an expression is one of several texts or numbers of one kind."""
    if kind() == "sqlite":
        return f"{expression} IN (SELECT value FROM json_each({parameters.add(sqlite.json_list(values))}))"
    type_ = "text" if isinstance(values[0], str) else "float8" if isinstance(values[0], float) else "int"
    return f"{expression} = ANY (CAST({parameters.add(tuple(values))} AS {type_}[]))"


def ids_of(rows: Iterable[Any]) -> array[int]:
    """Return the first value of each row, which is a number: millions of them fit into memory."""
    return array("q", (row[0] for row in rows))


@contextmanager
def reader(limit: TimeLimit) -> Iterator[Reader]:
    """Yield what reads, within a time limit for all that is done in the ``with`` block.

    :raises OutOfTimeError: if it takes longer
    :raises TooComplexError: if a statement is too much for the database
    """
    if kind() == "sqlite":
        with one_moment() as connection:
            assert isinstance(connection, sqlite3.Connection)
            limit.seconds_left()
            with _limited_sqlite(connection, limit):
                yield _SQLiteReader(connection)
    else:
        with _limited_postgresql(limit):
            yield _PostgreSQLReader(sql_db.session.connection())


class _SQLiteReader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Mapping[str, Any]) -> Iterable[Any]:
        try:
            return self._connection.execute(statement, dict(values))
        except sqlite3.Error as error:
            if any(words in str(error) for words in _TOO_COMPLEX_FOR_SQLITE):
                raise TooComplexError from error
            raise


class _PostgreSQLReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Mapping[str, Any]) -> Iterable[Any]:
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return self._connection.execute(text(statement), lists)


@contextmanager
def _limited_sqlite(connection: sqlite3.Connection, limit: TimeLimit) -> Iterator[None]:
    sqlite.add_functions(connection, limit)
    connection.set_progress_handler(limit.is_over, _STEPS)
    try:
        yield
    except sqlite3.Error:
        if limit.is_over():
            raise limit.exceeded() from None
        raise
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def _limited_postgresql(limit: TimeLimit) -> Iterator[None]:
    try:
        # To PostgreSQL, tests on JSON seem to cost so much that all ways to join are alike: it would compare each
        # dataset with each document that it has put aside, which takes a minute.
        with canceled(limit, "enable_material = off"):
            yield
    except DBAPIError as error:
        codes = servers.codes_of(error.orig)
        if _INVALID_EXPRESSION in codes:
            raise InvalidQueryError("$regex", "is too complex") from error
        if codes & _TOO_COMPLEX:
            raise TooComplexError from error
        raise
