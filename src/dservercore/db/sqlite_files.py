"""SQLite: how its connections behave, its file, and the lock beside the file."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from flask import Flask, current_app
from sqlalchemy import URL, Engine, Pool, event

from dservercore.db.engine import locks_rows, sql_db
from dservercore.db.transactions import begin_immediate
from dservercore.errors import ConfigurationError, UnavailableError
from dservercore.settings import database_address, named_files, private_files

SQLITE_BUSY_SECONDS = 30


#: What is noted at a connection to an SQLite file that may not be written.
READ_ONLY = "is_read_only"


# A table that every database of this server has, and those of other programs have not.
_OURS = "summary_count"


def prepare_connections() -> None:
    """From now on, have every SQLite connection of SQLAlchemy behave as the server needs it."""
    for target, name, prepare in (
        (Engine, "connect", _prepare_sqlite),
        (Pool, "checkin", _forget_if_read_only),
        (Engine, "before_cursor_execute", _write_in_a_transaction),
    ):
        if not event.contains(target, name, prepare):
            event.listen(target, name, prepare)


def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Make a new SQLite connection durable, concurrent and strict about foreign keys.

    WAL lets readers go on while one writes; ``synchronous=FULL`` makes an answered write survive a power cut.
    ``isolation_level`` None leaves transactions to :func:`begin_write`, so that a read holds no lock and
    a write never has to upgrade one (which SQLite may refuse at once, whatever the time-out).
    A database of another program keeps its kind of journal: WAL would be noted in its file.
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


def _forget_if_read_only(connection: Any, record: Any) -> None:
    """Do not keep a connection to an SQLite file that may not be written: it would stay read-only ever after."""
    if isinstance(connection, sqlite3.Connection) and record.info.get(READ_ONLY):
        record.invalidate()


def _is_ours(cursor: sqlite3.Cursor) -> bool:
    """Return whether a database is one of this server, or new."""
    tables = {name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return not tables or _OURS in tables


def _write_in_a_transaction(
    connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
) -> None:
    """Open a transaction for the first write of a session that did not call :func:`begin_write`."""
    if _writes(statement):
        begin_immediate(connection)


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


def hold_file_lock() -> None:
    """Take the lock beside an SQLite file, if the session does not have it; it is lost when the process ends.

    To be taken before the lock of the database itself, or two processes that have one each wait for the other's.

    :raises UnavailableError: if another process has it for ``SQLITE_BUSY_SECONDS``, or its file cannot be made
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
        private_files.make_file(Path(lock.lock_file))
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


def make_private(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
    """Make an SQLite file and its directory before SQLite does, which would let everybody read them.

    SQLite gives the files that it makes beside a database the permissions of the database.
    """
    file = Path(arguments[0])
    make_directory(file.parent)
    with suppress(OSError):  # SQLite reports it
        private_files.make_file(file)


def make_directory(directory: Path) -> None:
    """Make a directory for an SQLite file, which only its owner can read, if it is not there.

    :raises ConfigurationError: if it cannot be made
    """
    try:
        private_files.make_directory(directory)
    except OSError as error:
        why = named_files.reason(error, Path(error.filename or directory))
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: cannot make the directory {error.filename}: {why}"
        ) from None


def require_readable(file: Path) -> None:
    """Pass if an SQLite file may be read, or is not there.

    :raises ConfigurationError: otherwise
    """
    setting = "SQLALCHEMY_DATABASE_URI"
    if named_files.is_there(file, setting) and not os.access(file, os.R_OK):
        why = named_files.reason(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), file)
        raise ConfigurationError(f"{setting}: cannot read {file}: {why}")


def require_there() -> None:
    """Pass unless SQLite would make the database now.

    :raises ConfigurationError: if it would
    """
    require_file(file_of(current_app, sql_db.engine.url))


def require_file(file: Path | None) -> None:
    """Pass if an SQLite file is there; None: the database is in no file.

    :raises ConfigurationError: if it is not there
    """
    if file and not file.exists():
        raise ConfigurationError(f"There is no database {file}: `flask init` or `flask db upgrade` makes one")


def file_of(app: Flask, url: URL) -> Path | None:
    """Return the file of an SQLite database, where Flask-SQLAlchemy looks for it; None: the database is in no file."""
    file = database_address.file_of(url)
    return Path(app.instance_path, file) if file else None
