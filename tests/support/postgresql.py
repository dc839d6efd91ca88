"""Schemas on a PostgreSQL server that runs already, for tests: emptied faster than databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url, text


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
