"""Which tables a backup carries, and how their rows are written down: as JSON that every kind of database can take.

A table that comes with a model is carried, whoever brings it: the server, a bundled extension or one from elsewhere.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy import Column, Connection, Table, func, inspect, select

from dservercore import db
from dservercore.catalog.backup.archive import Counts
from dservercore.db import UNFINISHED, VERSION_TABLE, sql_db
from dservercore.models import SEARCH_INDEX, BaseURI, Dataset, User

#: Tables that no backup carries, and what makes their rows anew when it is restored.
DERIVED = {
    "dataset_document": "the retrieve plugin, which is given the descriptions of all datasets",
    "search_document": "the search plugin, which is given the same",
    "search_number": "the search plugin, which is given the same",
    "search_word": "the search plugin, which is given the same",
    "search_word_place": "the search plugin, which is given the same",
    "search_deletion": "the search plugin, which is given the same",
    "search_facet": "the search plugin, which is given the same",
    "search_facet_group": "the search plugin, which is given the same",
    "search_facet_value": "the search plugin, which is given the same",
    "query_document": "the extension query, which is given the same",
    "query_index_value": "the extension query, which is given the same",
    "summary_count": "counting the datasets",
    # Whoever was signed in when the backup was made need not be signed in for ever.
    "browser_session": "signing in again",
    "login_link": "asking for another one",
    "sign_in_attempt": "nothing: attempts are counted for minutes",
    "spent_sign_in": "nothing: a sign-in with a provider is good for minutes",
    # Descriptions travel as they are before a change that is not through, and deletions without what they delete.
    "journal_entry": "nothing: what was pending is settled in the backup",
    "journal_piece": "nothing: what was pending is settled in the backup",
    "alembic_version": "the migrations",
    UNFINISHED: "nothing: a database that is being taken over has no backup",
}


def carried() -> list[Table]:
    """Return the tables that a backup carries, as far as the database has them, those that others refer to first."""
    there = set(inspect(sql_db.engine).get_table_names())
    return [
        table for table in sql_db.metadata.sorted_tables if table.name in there and not is_derived(table.name)
    ]


def is_derived(name: str) -> bool:
    """Return whether the rows of a table are made anew when a backup is restored."""
    return name in DERIVED or name.startswith((SEARCH_INDEX, f"{VERSION_TABLE}_"))


def foreign() -> list[str]:
    """Return the tables of the database that nothing which is installed knows: no backup carries them."""
    there = set(inspect(sql_db.engine).get_table_names())
    known = set(sql_db.metadata.tables)
    return sorted(name for name in there - known if not is_derived(name) and not name.startswith("sqlite_"))


def present_counts() -> Counts | None:
    """Return how much the database in use holds; None if the server's tables are not in it."""
    with sql_db.engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if not {model.__tablename__ for model in (User, BaseURI, Dataset)} <= tables:
            return None
        return counts(connection)


def counts(connection: Connection) -> Counts:
    """Return how much the database of a connection holds."""
    numbers = [
        connection.execute(select(func.count()).select_from(model.__table__)).scalar_one()
        for model in (User, BaseURI, Dataset)
    ]
    return Counts(db.current_revision(), *numbers)


# -- Values ----------------------------------------------------------------------------------------------------------


def to_line(values: Mapping[str, Any]) -> bytes:
    """Return a row as a line: a JSON object of its values. Bytes are in Base64, times in ISO 8601, UTC."""
    plain = {name: _to_json(value) for name, value in values.items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _to_json(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (Decimal, uuid.UUID)):
        return str(value)
    return value


def from_line(line: bytes) -> dict[str, Any]:
    """Return the JSON object that is in a line.

    :raises ValueError: if there is none in it
    """
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


class RowReader:
    """Makes rows of a table from lines; also from those of an earlier version, whose table lacked columns.

    :ivar name: of the table
    """

    def __init__(self, table: Table):
        self.name = table.name
        self._values = {column.name: _value_of(column) for column in table.columns}
        self._missing = {column.name: _default_of(column) for column in table.columns}

    def row(self, line: bytes) -> dict[str, Any]:
        """Return the values of all columns.

        :raises ValueError: if the line is no row of the table
        """
        given = from_line(line)
        unknown = given.keys() - self._values.keys()
        if unknown:
            raise ValueError(f"it has no column {min(unknown)!r}")
        return {
            name: (read(given[name]) if name in given else self._missing[name])
            for name, read in self._values.items()
        }


def _default_of(column: Column[Any]) -> Any:
    default: Any = column.default
    return default.arg if not column.nullable and default is not None and default.is_scalar else None


def _value_of(column: Column[Any]) -> Callable[[Any], Any]:
    """Return a function from a JSON value to a value of the column; it raises ValueError for what is none."""
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return lambda value: value
    read = _READ.get(kind)
    if read is None and issubclass(kind, Enum):
        read = _member_of(kind)

    def value_of(value: Any) -> Any:
        if value is None or read is None:
            return value
        try:
            return read(value)
        except (TypeError, ValueError, KeyError, ArithmeticError):
            raise ValueError(f"{column.name}: not of the type of the column") from None

    return value_of


def _member_of(kind: Any) -> Callable[[Any], Any]:
    return lambda value: kind[value]


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def same(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError
        return value

    return same


_READ: dict[type, Callable[[Any], Any]] = {
    str: _exactly(str),
    int: _exactly(int),
    bool: _exactly(bool),
    float: _exactly(float, int),
    bytes: lambda value: base64.b64decode(value, validate=True),
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    Decimal: Decimal,
    uuid.UUID: uuid.UUID,
}
