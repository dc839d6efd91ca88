"""The SQL session, and what is particular about the databases behind it."""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from flask import Flask, current_app
from flask_marshmallow import Marshmallow
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    Pool,
    Table,
    event,
    inspect,
    literal,
    make_url,
    select,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from dservercore import connections, private_files, secrecy
from dservercore.decoded_tokens import DecodingManager
from dservercore.errors import ConfigurationError, UnavailableError

# What is written does not belong into the log, where an error of a statement would show its parameters.
sql_db = SQLAlchemy(engine_options={"hide_parameters": True})
jwt = DecodingManager()
ma = Marshmallow()
migrate = Migrate()

SQLITE_BUSY_SECONDS = 30

#: Of text and bytes, what goes into one statement: MariaDB takes 16 MB, unless told otherwise.
BYTES_AT_ONCE = 4 * 2**20

logger = logging.getLogger(__name__)

#: A table that is there as long as a database of the original server is being taken over.
UNFINISHED = "unfinished_adoption"

#: What is noted at a connection to an SQLite file that may not be written.
READ_ONLY = "is_read_only"

# A table that every database of ours has, and no other.
_OURS = "summary_count"


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, record: Any) -> None:
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
        # Of a new file: descriptions and the search index fill pages of twice the usual size better, by a fifth.
        cursor.execute("PRAGMA page_size = 8192")
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -65536")  # KiB when negative: 64 MiB
    file = cursor.execute("PRAGMA database_list").fetchone()[2]
    record.info[READ_ONLY] = bool(file) and not os.access(file, os.W_OK)
    cursor.close()


@event.listens_for(Pool, "checkin")
def _forget_if_read_only(connection: Any, record: Any) -> None:
    """Do not keep a connection to an SQLite file that may not be written: it stays read-only when the file is not."""
    if isinstance(connection, sqlite3.Connection) and record.info.get(READ_ONLY):
        record.invalidate()


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


def kind() -> str:
    """Return the name of the database's dialect, such as ``sqlite``; no session is made for that."""
    return sql_db.engine.dialect.name


def locks_rows() -> bool:
    """Return whether the database locks single rows for a writer, and not everything at once."""
    return kind() != "sqlite"


# What else is to be done when a transaction of an operation has ended; each is told whether it was committed.
_at_end: list[Callable[[bool], None]] = []


def at_end_of_transaction(follow_up: Callable[[bool], None]) -> None:
    """Have *follow_up* called after each :func:`commit` (with True) and :func:`rollback` (with False)."""
    _at_end.append(follow_up)


def commit() -> None:
    """End the operation: what was flushed is durable when this returns. Called by the edge (api, cli) alone."""
    _require_outermost()
    sql_db.session.commit()
    for follow_up in _at_end:
        follow_up(True)


def rollback() -> None:
    """Forget what was flushed since the last commit."""
    _require_outermost()
    _roll_back()


def forget_unfinished(_error: BaseException | None = None) -> None:
    """Roll back what a request or command has left open. To be called before its session is removed."""
    if sql_db.session.registry.has():
        _roll_back()


def _require_outermost() -> None:
    """Pass if no plugin is being told of a write, which is not its to end.

    :raises RuntimeError: if one is
    """
    if sql_db.session().in_nested_transaction():
        raise RuntimeError("A plugin cannot end a transaction while it is told of a write in it")


def _roll_back() -> None:
    try:
        sql_db.session.rollback()
    except DBAPIError as error:  # the connection is gone, and the database has forgotten it as well
        logger.warning("The database did not take a rollback: %s", reason(error))
    finally:
        for follow_up in _at_end:
            follow_up(False)


@contextmanager
def connection_beside() -> Iterator[Connection]:
    """Return a connection whose transaction is committed at the end, whatever becomes of the session's.

    From a pool of its own: the session's connections may all be taken by those who wait for one like this.
    """
    engines = current_app.extensions.setdefault("dservercore-beside", {})
    engine = engines.get(os.getpid())
    if engine is None:
        own = sql_db.engine
        engine = Engine(own.pool.recreate(), own.dialect, own.url, hide_parameters=True)
        engines[os.getpid()] = engine
    with engine.begin() as connection:
        yield connection


def hold_file_lock() -> None:
    """Take the lock beside an SQLite file, if the session does not have it; it is lost when the process ends.

    Before the lock of the database itself, or two who have one each wait for the other's.

    :raises UnavailableError: if somebody else has it for ``SQLITE_BUSY_SECONDS``
    """
    session = sql_db.session()
    if locks_rows() or "file_lock" in session.info:
        return
    file = session.connection().exec_driver_sql("PRAGMA database_list").all()[0].file
    if not file:  # it is in the memory of this process
        return
    mode = os.stat(file).st_mode & 0o666  # who may open the database may lock it, and nobody else
    lock = FileLock(
        f"{file}.lock", mode=mode, timeout=SQLITE_BUSY_SECONDS, thread_local=False, poll_interval=0.005
    )
    try:
        lock.acquire()
    except Timeout:
        raise UnavailableError("The database is locked by another process: try again") from None
    except OSError as error:  # a full disk, a directory that may not be written
        raise UnavailableError(f"The database cannot be locked for now: {error.strerror}") from None
    session.info["file_lock"] = lock


def release_file_lock() -> None:
    """Give the lock back, if the session has it."""
    lock = sql_db.session().info.pop("file_lock", None)
    if lock is not None:
        lock.release()


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
    if dialect in connections.MARIADB:
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
    if kind() not in connections.MARIADB:
        return bool(changed_rows(upsert(table, key), values))
    # MariaDB counts a row that is left as it is as one that was touched.
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
    """Execute an INSERT of rows, so many of them at once as go into one statement."""
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


def changed_rows(statement: Any, values: Any = None) -> int:
    """Execute an INSERT, UPDATE or DELETE; return how many rows it touched."""
    return cast("CursorResult[Any]", sql_db.session.execute(statement, values)).rowcount


# Setting up


def init_databases(app: Flask, serves: bool = True, must_exist: bool = False) -> None:
    """Connect *app* to its SQL database, and to the migrations.

    :param serves: whether requests will wait for the database, and so not without an end
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
        if file and file.is_relative_to(app.instance_path):
            private_files.make_directory(
                Path(app.instance_path)
            )  # or Flask-SQLAlchemy makes it for everybody
        configured = app.config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {**connections.engine_options(url, serves), **configured}
        sql_db.init_app(app)
        with app.app_context():
            connections.prepare(sql_db.engine, serves)
            if file:
                event.listen(sql_db.engine, "do_connect", _make_private)
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
    migrate.init_app(
        app, sql_db, directory=str(migrations_directory()), compare_type=True, render_as_batch=True
    )


def _make_private(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
    """Make an SQLite file and its directory, now that somebody wants them: SQLite would let everybody read them.

    It gives the files that it makes beside a database the permissions of that.
    """
    file = Path(arguments[0])
    try:
        private_files.make_directory(file.parent)
    except OSError as error:
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: cannot make the directory {error.filename}: {error.strerror}"
        ) from None
    with suppress(OSError):  # of which SQLite says what it is
        private_files.make_file(file)


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
        raise ConfigurationError(f"The database {address()} cannot be opened: {reason(error)}") from None


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
    for engine in current_app.extensions.pop("dservercore-beside", {}).values():
        engine.dispose()


def reason(error: DBAPIError) -> str:
    """Return the first line of what the database said, without the statement, its parameters and any secret."""
    line = str(error.orig).strip().partition("\n")[0]
    for secret in secrecy.secrets_of({"": sql_db.engine.url.render_as_string(hide_password=False)}):
        line = line.replace(secret, secrecy.HIDDEN)
    return secrecy.masked(line)


def is_in_use(error: DBAPIError) -> bool:
    """Return whether somebody else holds what was needed, and did not give it back in time."""
    return "locked" in reason(error) or connections.waited_too_long(error)


def address() -> str:
    """Return where the SQL database is, without password and options."""
    url = sql_db.engine.url
    return url.set(query={}).render_as_string(hide_password=True)
