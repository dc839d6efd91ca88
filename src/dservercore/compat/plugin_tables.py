"""Tables of extensions that bring no migrations: made with ours, and otherwise left alone."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from dservercore.db import sql_db
from dservercore.errors import ConfigurationError
from dservercore.models import CORE_TABLES

#: Key of ``Table.info`` by which an extension says that it makes the table itself.
OWN_MIGRATIONS = "own_migrations"


def tables() -> list[Table]:
    """Return the tables of extensions that bring no migrations, those that others refer to first."""
    declared = sql_db.metadata.sorted_tables
    return [
        table for table in declared if table.name not in CORE_TABLES and not table.info.get(OWN_MIGRATIONS)
    ]


def missing() -> list[Table]:
    """Return the tables of :func:`tables` that the database does not have."""
    if not tables():
        return []
    there = inspect(sql_db.engine)
    return [table for table in tables() if not there.has_table(table.name, schema=table.schema)]


def create_missing() -> list[str]:
    """Make the tables of extensions that the database does not have. Return their names."""
    created = []
    for table in missing():
        try:
            sql_db.metadata.create_all(sql_db.engine, tables=[table])
        except DBAPIError:
            if table in missing():
                raise
            continue  # somebody else has made it at this moment
        created.append(table.name)
    return created


def require_there() -> None:
    """Pass if the database has all tables of extensions.

    :raises ConfigurationError: if ``flask db upgrade`` has to run first
    """
    names = [table.name for table in missing()]
    if names:
        raise ConfigurationError(
            f"The database lacks a table of an extension ({', '.join(names)}): run `flask db upgrade` first"
        )


def outdated() -> Iterator[str]:
    """Yield a line on each table that lacks a column which its extension, in a newer release, expects."""
    there = inspect(sql_db.engine)
    for table in tables():
        if not there.has_table(table.name, schema=table.schema):
            continue
        columns = {column["name"] for column in there.get_columns(table.name, schema=table.schema)}
        lacking = [column.name for column in table.columns if column.name not in columns]
        if lacking:
            yield (
                f"The table {table.name} of an extension lacks the column {', '.join(lacking)}."
                " dservercore makes such tables and does not change them: do as the extension's documentation"
                " says, add it with ALTER TABLE, or save and drop the table and run `flask db upgrade` again"
            )


def sql() -> Iterator[str]:
    """Yield the SQL statements that make the tables of extensions, and their indexes, where they are not there."""
    for table in tables():
        yield str(CreateTable(table, if_not_exists=True).compile(sql_db.engine)).strip() + ";"
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index, if_not_exists=True).compile(sql_db.engine)).strip() + ";"
