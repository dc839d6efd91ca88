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
    or "postgresql+psycopg2://postgres@127.0.0.1:5432/postgres",
    "mariadb": os.environ.get("DSERVER_TEST_MARIADB_URI") or "mysql+pymysql://root@127.0.0.1:3306/mysql",
}

_DROP = {"postgresql": "DROP DATABASE {} WITH (FORCE)", "mariadb": "DROP DATABASE {}"}


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
        connection.exec_driver_sql(_DROP[kind].format(name))


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


class Snapshot:
    """Every row of every table, to be put back: cheaper on a server than making the tables anew."""

    def __init__(self) -> None:
        self._rows = {
            table: [dict(row) for row in sql_db.session.execute(table.select()).mappings()]
            for table in sql_db.metadata.sorted_tables
        }
        sql_db.session.rollback()

    def restore(self, app: Flask) -> None:
        """Let the tables hold these rows and nothing else, whatever became of them."""
        with app.app_context():
            try:
                self._restore()
            except DBAPIError:  # a test dropped them
                sql_db.session.rollback()
                sql_db.create_all()
                self._restore()
                self._count_on()

    def _count_on(self) -> None:
        """Let new rows get ids behind those that were put back; PostgreSQL alone does not see to that itself."""
        if sql_db.engine.dialect.name == "postgresql":
            for table, rows in self._rows.items():
                if rows and "id" in table.c:
                    sequence = f"pg_get_serial_sequence('\"{table.name}\"', 'id')"
                    last = max(row["id"] for row in rows)
                    sql_db.session.execute(sqlalchemy.text(f"SELECT setval({sequence}, {last})"))
            sql_db.session.commit()

    def _restore(self) -> None:
        for table in reversed(self._rows):
            sql_db.session.execute(table.delete())
        for table, rows in self._rows.items():
            if rows:
                sql_db.session.execute(table.insert(), rows)
        sql_db.session.commit()
