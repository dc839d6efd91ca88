"""Databases on a PostgreSQL server that runs already, for tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url, text

#: A database on the server that tests may use, as somebody who may make others.
SERVER = os.environ.get(
    "DSERVER_TEST_POSTGRESQL_URI", "postgresql+psycopg2://postgres@127.0.0.1:5432/postgres"
)


@contextmanager
def new_database() -> Iterator[str]:
    """Give the address of an empty database, which is dropped afterwards.

    :raises sqlalchemy.exc.OperationalError: if there is no server
    """
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@contextmanager
def new_schema(database: str) -> Iterator[str]:
    """Give an address by which a database is empty: of a schema of its own, which takes less time to make.

    Nor does it wait for the disk.
    """
    name = f"schema_{uuid.uuid4().hex}"
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    address = make_url(database).update_query_dict(
        {"options": f"-csearch_path={name} -csynchronous_commit=off"}
    )
    yield address.render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()
