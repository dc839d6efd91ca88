"""Statements that each kind of database says differently, and statements of many rows."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Table, literal, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from dservercore.db import servers
from dservercore.db.engine import kind, sql_db

#: Characters and bytes of values that go into one statement: MariaDB takes 16 MB, unless configured
#: otherwise.
BYTES_AT_ONCE = 4 * 2**20


#: Values that go into one statement: fewer than any database takes.
VALUES_AT_ONCE = 500

_Value = TypeVar("_Value")


def upsert(
    table: Table, key: tuple[str, ...], *, overwrite: tuple[str, ...] = (), add: tuple[str, ...] = ()
) -> Any:
    """Return the INSERT that leaves a row with the same *key* as it is, except for the columns named.

    Give the values when it is executed; the statement is made once for each kind of database, because
    composing one costs more than running it.

    :param overwrite: columns that get the new value
    :param add: columns that the new value is added to
    """
    return _upsert(kind(), table, key, overwrite, add)


@functools.cache
def _upsert(
    dialect: str, table: Table, key: tuple[str, ...], overwrite: tuple[str, ...], add: tuple[str, ...]
) -> Any:
    if dialect in servers.MARIADB:
        return _upsert_on_mariadb(table, key, overwrite, add)
    insert = (postgresql.Insert if dialect == "postgresql" else sqlite.Insert)(table)
    changes: dict[str, Any] = {name: insert.excluded[name] for name in overwrite}
    changes |= {name: table.c[name] + insert.excluded[name] for name in add}
    if changes:
        return insert.on_conflict_do_update(index_elements=key, set_=changes)
    return insert.on_conflict_do_nothing(index_elements=key)


def _upsert_on_mariadb(
    table: Table, key: tuple[str, ...], overwrite: tuple[str, ...], add: tuple[str, ...]
) -> Any:
    insert = mysql.Insert(table)
    changes: dict[str, Any] = {name: insert.inserted[name] for name in overwrite}
    changes |= {name: table.c[name] + insert.inserted[name] for name in add}
    # INSERT IGNORE would ignore more than a row that is there: values that do not fit, and missing parents.
    return insert.on_duplicate_key_update(changes or {key[0]: table.c[key[0]]})


def insert_if_new(table: Table, key: tuple[str, ...], values: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with the same *key*. Return whether it is new."""
    if kind() not in servers.MARIADB:
        return bool(changed_rows(upsert(table, key), values))
    # MariaDB does not tell a row that was left as it is from one that was inserted.
    same = select(literal(1)).select_from(table).where(*(table.c[name] == values[name] for name in key))
    if sql_db.session.execute(same.with_for_update()).first():
        return False
    try:
        with sql_db.session.begin_nested():
            sql_db.session.execute(table.insert(), values)
    except IntegrityError:
        if sql_db.session.execute(same).first():  # another request was faster
            return False
        raise
    return True


def execute_many(connection: Connection, statement: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute an INSERT of rows, as many of them at a time as go into one statement."""
    group: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        length = sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
        if group and size + length > BYTES_AT_ONCE:
            connection.execute(statement, group)
            group, size = [], 0
        group.append(row)
        size += length
    if group:
        connection.execute(statement, group)


def batched(values: Sequence[_Value], size: int | None = None) -> Iterator[Sequence[_Value]]:
    """Yield values in slices.

    :param size: of each slice; None: as many as go into one statement
    """
    size = size or VALUES_AT_ONCE
    for start in range(0, len(values), size):
        yield values[start : start + size]


def changed_rows(statement: Any, values: Any = None) -> int:
    """Execute an INSERT, UPDATE or DELETE; return how many rows it touched."""
    return cast("CursorResult[Any]", sql_db.session.execute(statement, values)).rowcount
