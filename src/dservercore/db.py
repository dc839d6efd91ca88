"""The SQL session, and what is particular about the databases behind it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_jwt_extended import JWTManager
from flask_marshmallow import Marshmallow
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import CursorResult, Engine, Insert, Table, event, make_url
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from dservercore.errors import ConfigurationError

sql_db = SQLAlchemy()
jwt = JWTManager()
ma = Marshmallow()
migrate = Migrate()

SQLITE_BUSY_SECONDS = 30


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Make a new SQLite connection durable, concurrent and strict about foreign keys.

    WAL lets readers go on while one writes; ``synchronous=FULL`` makes an answered write survive a power cut.
    ``isolation_level`` None leaves transactions to :func:`begin_write`, so that a read holds no lock and
    a write never has to upgrade one (which SQLite may refuse at once, whatever the time-out).
    """
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -65536")  # KiB when negative: 64 MiB
    cursor.close()


@event.listens_for(Engine, "before_cursor_execute")
def _write_in_a_transaction(
    connection: Any, cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
) -> None:
    """Open a transaction for the first write of a session that did not call :func:`begin_write`."""
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction and _writes(statement):
        cursor.execute("BEGIN IMMEDIATE")


def _writes(statement: str) -> bool:
    return statement.lstrip()[:6].upper() in (
        "INSERT",
        "UPDATE",
        "DELETE",
        "REPLAC",
        "CREATE",
        "DROP T",
        "ALTER ",
    )


def begin_write() -> None:
    """Start the write transaction, before reading what the write depends on.

    On SQLite this takes the one write lock, waiting for up to ``SQLITE_BUSY_SECONDS``; other databases lock rows
    as they are written. Calling it again in the same transaction does nothing.
    """
    raw = sql_db.session.connection().connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        raw.execute("BEGIN IMMEDIATE")


def commit() -> None:
    """End the operation: what was flushed is durable when this returns. Called by the edge (api, cli) alone."""
    sql_db.session.commit()


def rollback() -> None:
    """Forget what was flushed since the last commit."""
    sql_db.session.rollback()


def insert(table: Table) -> Any:
    """Return the INSERT of the session's database, the one that can express "or update" / "or ignore"."""
    constructs: dict[str, type[Insert]] = {
        "sqlite": sqlite.Insert,
        "postgresql": postgresql.Insert,
        "mysql": mysql.Insert,
        "mariadb": mysql.Insert,
    }
    return constructs[sql_db.session.get_bind().dialect.name](table)


def changed_rows(statement: Any) -> int:
    """Execute an INSERT, UPDATE or DELETE; return how many rows it touched."""
    return cast("CursorResult[Any]", sql_db.session.execute(statement)).rowcount


# Setting up


def init_databases(app: Flask) -> None:
    """Connect *app* to its SQL database, and to the migrations.

    :raises ConfigurationError: if the address is none, or its driver is not installed
    """
    address = app.config["SQLALCHEMY_DATABASE_URI"]
    try:
        url = make_url(address)
        url.get_dialect()
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        sql_db.init_app(app)
    except ArgumentError:
        raise ConfigurationError(
            "SQLALCHEMY_DATABASE_URI: not a database address (dialect://user:password@host/name)"
        ) from None
    except NoSuchModuleError:
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: no database is called {url.drivername!r}"
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: the driver {error.name!r} for {url.drivername} is not installed"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"SQLALCHEMY_DATABASE_URI: {error.strerror}: {error.filename}") from None
    migrate.init_app(
        app, sql_db, directory=str(migrations_directory()), compare_type=True, render_as_batch=True
    )


def migrations_directory() -> Path:
    """Return where the migrations are: inside an installed package, at the top of a checkout."""
    package = Path(__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def require_upgraded() -> None:
    """Pass if the database has the tables that this version works with.

    :raises ConfigurationError: if it cannot be reached, or ``flask db upgrade`` has to run first
    """
    script = ScriptDirectory(str(migrations_directory()))
    try:
        with sql_db.engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise ConfigurationError(
            f"The database cannot be opened: {str(error.orig).strip().splitlines()[0]}"
        ) from None
    if revision != script.get_current_head():
        raise ConfigurationError("The database is not up to date: run `flask db upgrade` first")
