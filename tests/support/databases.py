"""Databases for tests on the PostgreSQL and MariaDB servers of this machine, or of continuous integration.

Each has a name of its own, and is dropped when it is no longer needed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy
from flask import Flask
from sqlalchemy.exc import DBAPIError, OperationalError

from dservercore import sql_db

#: Databases in which others can be made, by those who may.
SERVERS = {
    "postgresql": os.environ.get("DSERVER_TEST_POSTGRESQL_URI")
    or "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mariadb": os.environ.get("DSERVER_TEST_MARIADB_URI") or "mysql+pymysql://root@127.0.0.1:3306/mysql",
}

#: Behind the name of a database: of the schema with what its snapshots keep.
KEPT = "_kept"

_DROP = {
    "postgresql": ["DROP DATABASE {} WITH (FORCE)"],
    "mariadb": ["DROP DATABASE {}", f"DROP DATABASE IF EXISTS {{}}{KEPT}"],  # where a schema is a database
}


@contextmanager
def new_database(kind: str, server: str = "", options: str = "") -> Iterator[str]:
    """The address of an empty database on a server; the test is skipped where there is none.

    :param kind: ``postgresql`` or ``mariadb``
    :param server: the address of another server than the usual one
    :param options: of the database, as SQL
    """
    url = sqlalchemy.make_url(server or SERVERS[kind])
    name = f"test_{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
    except OperationalError as error:
        pytest.skip(f"No {kind} server on this machine: {error.orig}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        for statement in _DROP[kind]:
            connection.exec_driver_sql(statement.format(name))


def on_other_stores(*names: str) -> list[Any]:
    """Return parameters for tests that are repeated on other stores, which makes them long ones."""
    return [pytest.param(name, marks=pytest.mark.long) for name in names]


def do_not_wait_for_the_disk(engine: sqlalchemy.Engine) -> None:
    """Let the commits of an engine return before they are on the disk, where the database can do that.

    No test that calls this pulls the plug, and waiting takes longer than everything else.
    """
    statement = {"sqlite": "PRAGMA synchronous = OFF", "postgresql": "SET synchronous_commit = off"}.get(
        engine.dialect.name
    )
    if statement:
        sqlalchemy.event.listen(engine, "connect", lambda raw, _record: _execute(raw, statement))


def _execute(raw: Any, statement: str) -> None:
    cursor = raw.cursor()
    cursor.execute(statement)
    cursor.close()
    if not hasattr(raw, "isolation_level") or raw.isolation_level is not None:
        raw.commit()


#: After so many times that rows were put back, PostgreSQL throws away what was there before: else every look at a table
#: passes all of that, and takes ten times as long in the end.
VACUUMED_AFTER = 20


class Snapshot:
    """Every row of every table, to be put back: cheaper on a server than making the tables anew.

    The server keeps copies of the rows, and a procedure that puts them back: to call it takes a sixth of the time that
    a statement for each table does.
    """

    def __init__(self) -> None:
        self._restored = 0
        self._name = f"put_back_{uuid.uuid4().hex}"
        tables = {table: _quoted(table.name) for table in sql_db.metadata.sorted_tables}
        filled = [table for table in tables if sql_db.session.execute(table.select()).first()]
        sql_db.session.rollback()
        schema = _quoted(f"{sql_db.engine.url.database}{KEPT}")
        self._kept = {table: f"{schema}.{_quoted(f'{self._name[-8:]}_{table.name}')}" for table in filled}
        # To see that a table is empty, as most are, takes less than to delete nothing.
        statements = [
            f"IF EXISTS (SELECT 1 FROM {name}) THEN DELETE FROM {name}; END IF;"
            for name in reversed(tables.values())
        ]
        statements += [
            f"INSERT INTO {tables[table]} SELECT * FROM {kept};" for table, kept in self._kept.items()
        ]
        body = f"BEGIN {' '.join(statements)} END"
        if sql_db.engine.dialect.name == "postgresql":
            body = f"LANGUAGE plpgsql AS $$ {body} $$"
        with sql_db.engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            for table, kept in self._kept.items():
                connection.exec_driver_sql(f"CREATE TABLE {kept} AS SELECT * FROM {tables[table]}")
            connection.exec_driver_sql(f"CREATE PROCEDURE {self._name}() {body}")

    def restore(self, app: Flask) -> None:
        """Let the tables hold these rows and nothing else, whatever became of them."""
        with app.app_context():
            try:
                self._restore()
            except DBAPIError:  # a test dropped them
                sql_db.create_all()
                self._restore()
                self._count_on()
            self._restored += 1
            if self._restored % VACUUMED_AFTER == 0 and sql_db.engine.dialect.name == "postgresql":
                with sql_db.engine.connect() as connection:
                    connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")

    def _restore(self) -> None:
        with sql_db.engine.begin() as connection:
            connection.exec_driver_sql(f"CALL {self._name}()")

    def _count_on(self) -> None:
        """Let new rows get ids behind those that were put back; PostgreSQL alone does not see to that itself."""
        if sql_db.engine.dialect.name == "postgresql":
            with sql_db.engine.begin() as connection:
                for table in self._kept:
                    if "id" in table.c:
                        name = _quoted(table.name)
                        sequence = f"pg_get_serial_sequence('{name}', 'id')"
                        connection.exec_driver_sql(f"SELECT setval({sequence}, max(id)) FROM {name}")


def _quoted(name: str) -> str:
    return sql_db.engine.dialect.identifier_preparer.quote(name)
