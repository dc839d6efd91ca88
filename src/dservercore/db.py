"""The SQL session, and what is particular about the databases behind it."""

from __future__ import annotations

import functools
import sqlite3
from pathlib import Path
from typing import Any, cast

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from flask_jwt_extended import JWTManager
from flask_marshmallow import Marshmallow
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, Connection, CursorResult, Engine, Table, event, inspect, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from dservercore.errors import ConfigurationError

# What is written does not belong into the log, where an error of a statement would show its parameters.
sql_db = SQLAlchemy(engine_options={"hide_parameters": True})
jwt = JWTManager()
ma = Marshmallow()
migrate = Migrate()

SQLITE_BUSY_SECONDS = 30

#: A table that is there as long as a database of the original server is being taken over.
UNFINISHED = "unfinished_adoption"

# A table that every database of ours has, and no other.
_OURS = "summary_count"


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Make a new SQLite connection durable, concurrent and strict about foreign keys.

    WAL lets readers go on while one writes; ``synchronous=FULL`` makes an answered write survive a power cut.
    ``isolation_level`` None leaves transactions to :func:`begin_write`, so that a read holds no lock and
    a write never has to upgrade one (which SQLite may refuse at once, whatever the time-out).
    A database of somebody else keeps its journal: WAL would be written into its file.
    """
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_SECONDS * 1000}")
    if _is_ours(cursor):
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -65536")  # KiB when negative: 64 MiB
    cursor.close()


def _is_ours(cursor: sqlite3.Cursor) -> bool:
    """Return whether a database is one of ours, or is new."""
    tables = {name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return not tables or _OURS in tables


@event.listens_for(Engine, "before_cursor_execute")
def _write_in_a_transaction(
    connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
) -> None:
    """Open a transaction for the first write of a session that did not call :func:`begin_write`."""
    if _writes(statement):
        _begin_immediate(connection)


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
    _begin_immediate(sql_db.session.connection())


def _begin_immediate(connection: Connection) -> None:
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        # Through SQLAlchemy, so that a database that is locked or read-only fails with an error of its kind.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def locks_rows() -> bool:
    """Return whether the database locks single rows for a writer, and not everything at once."""
    return sql_db.session.get_bind().dialect.name != "sqlite"


def sorts_by_code_point() -> bool:
    """Return whether the database sorts text as Python does, by code point, and not by the rules of a language."""
    return sql_db.session.get_bind().dialect.name == "sqlite"


def commit() -> None:
    """End the operation: what was flushed is durable when this returns. Called by the edge (api, cli) alone."""
    sql_db.session.commit()


def rollback() -> None:
    """Forget what was flushed since the last commit."""
    sql_db.session.rollback()


def upsert(
    table: Table,
    key: tuple[str, ...],
    *,
    overwrite: tuple[str, ...] = (),
    add: tuple[str, ...] = (),
    returning: str | None = None,
) -> Any:
    """Return the INSERT that leaves a row with the same *key* as it is, except for the columns named.

    Give the values when it is executed; the statement is made once for each kind of database, because
    composing one costs more than running it.

    :param overwrite: columns that get the new value
    :param add: columns that the new value is added to
    :param returning: column whose value is wanted
    """
    return _upsert(sql_db.session.get_bind().dialect.name, table, key, overwrite, add, returning)


@functools.cache
def _upsert(
    dialect: str,
    table: Table,
    key: tuple[str, ...],
    overwrite: tuple[str, ...],
    add: tuple[str, ...],
    returning: str | None,
) -> Any:
    insert = (postgresql.Insert if dialect == "postgresql" else sqlite.Insert)(table)
    changes: dict[str, Any] = {name: insert.excluded[name] for name in overwrite}
    changes |= {name: table.c[name] + insert.excluded[name] for name in add}
    if changes:
        insert = insert.on_conflict_do_update(index_elements=key, set_=changes)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=key)
    return insert.returning(table.c[returning]) if returning else insert


def changed_rows(statement: Any, values: Any = None) -> int:
    """Execute an INSERT, UPDATE or DELETE; return how many rows it touched."""
    return cast("CursorResult[Any]", sql_db.session.execute(statement, values)).rowcount


# Setting up


def init_databases(app: Flask, must_exist: bool = False) -> None:
    """Connect *app* to its SQL database, and to the migrations.

    :param must_exist: do not let SQLite make a file where there is none
    :raises ConfigurationError: if the address is none, its driver is not installed, or its file is not there
    """
    address = app.config["SQLALCHEMY_DATABASE_URI"]
    try:
        url = make_url(address)
        url.get_dialect()
        file = _file_of(app, url)
        if must_exist:
            _require_there(file)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        sql_db.init_app(app)
    except NoSuchModuleError:  # an ArgumentError, too
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: no database is called {url.drivername!r}"
        ) from None
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise ConfigurationError(
            "SQLALCHEMY_DATABASE_URI: not a database address (dialect://user:password@host/name)"
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: the driver {error.name!r} for {url.drivername} is not installed"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: cannot make the directory {error.filename}: {error.strerror}"
        ) from None
    migrate.init_app(
        app, sql_db, directory=str(migrations_directory()), compare_type=True, render_as_batch=True
    )


def require_there() -> None:
    """Pass unless SQLite would make the database now.

    :raises ConfigurationError: if it would
    """
    _require_there(_file_of(current_app, sql_db.engine.url))


def _require_there(file: Path | None) -> None:
    if file and not file.exists():
        raise ConfigurationError(f"There is no database {file}: `flask init` or `flask db upgrade` makes one")


def _file_of(app: Flask, url: URL) -> Path | None:
    """Return the file of an SQLite database, where Flask-SQLAlchemy looks for it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return None if url.database.startswith("file:") else Path(app.instance_path, url.database)


def migrations_directory() -> Path:
    """Return where the migrations are: inside an installed package, at the top of a checkout."""
    package = Path(__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def current_revision() -> str | None:
    """Return the migration that the database is at; None if none has run on it.

    :raises ConfigurationError: if it cannot be opened
    """
    try:
        with sql_db.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        address = sql_db.engine.url.render_as_string(hide_password=True)
        raise ConfigurationError(f"The database {address} cannot be opened: {reason(error)}") from None


def is_unfinished() -> bool:
    """Return whether the database of an original server has been taken over in part."""
    return inspect(sql_db.engine).has_table(UNFINISHED)


def newest_revision() -> str | None:
    """Return the last migration that comes with this version."""
    return ScriptDirectory(str(migrations_directory())).get_current_head()


def known_revisions() -> set[str]:
    """Return the migrations that come with this version."""
    scripts = ScriptDirectory(str(migrations_directory()))
    return {script.revision for script in scripts.walk_revisions()}


def known_revision() -> str | None:
    """Return the migration that the database is at; None if none has run on it.

    :raises ConfigurationError: if it cannot be opened, or is at a revision of another program or version
    """
    revision = current_revision()
    if is_unfinished():
        raise ConfigurationError("The database is not taken over completely: run `flask adopt` again")
    if revision is not None and revision not in known_revisions():
        raise ConfigurationError(
            f"The database is at revision {revision}, which is none of this version."
            " If the original server made it, `flask adopt` takes it over"
        )
    return revision


def require_upgraded() -> None:
    """Pass if the database has the tables that this version works with.

    :raises ConfigurationError: if it cannot be opened, or ``flask db upgrade`` has to run first
    """
    if known_revision() != newest_revision():
        raise ConfigurationError("The database is not up to date: run `flask db upgrade` first")


def close_connections() -> None:
    """Close the connections to the SQL database that nobody uses at the moment; the next use makes new ones."""
    sql_db.session.remove()
    sql_db.engine.dispose()


def reason(error: DBAPIError) -> str:
    """Return the first line of what the database said, without the statement and its parameters."""
    return str(error.orig).strip().partition("\n")[0]
