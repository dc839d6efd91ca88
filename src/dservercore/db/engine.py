"""The SQL database of the application: its session and engine, and connections beside those."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine

# What is written does not belong into the log, where an error of a statement would show its parameters.
sql_db = SQLAlchemy(engine_options={"hide_parameters": True})


def kind() -> str:
    """Return the name of the database's dialect, such as ``sqlite``; no session is made for that."""
    return sql_db.engine.dialect.name


def locks_rows() -> bool:
    """Return whether the database locks single rows for a writer, and not everything at once."""
    return kind() != "sqlite"


@contextmanager
def connection_beside() -> Iterator[Connection]:
    """Return a connection whose transaction is committed at the end, whatever becomes of the session's.

    It comes from a pool of its own: all connections of the session's pool may be in use by threads that wait for one of
    these.
    """
    engines = current_app.extensions.setdefault("dservercore-beside", {})
    engine = engines.get(os.getpid())
    if engine is None:
        own = sql_db.engine
        engine = Engine(own.pool.recreate(), own.dialect, own.url, hide_parameters=True)
        engines[os.getpid()] = engine
    with engine.begin() as connection:
        yield connection


def close_connections() -> None:
    """Close the connections to the SQL database that nobody uses at the moment; the next use makes new ones."""
    sql_db.session.remove()
    sql_db.engine.dispose()
    for engine in current_app.extensions.pop("dservercore-beside", {}).values():
        engine.dispose()
