"""The database of a server on SQLite: copied while it is written to, put in its place as one file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import text

from dservercore import registered_names
from dservercore.catalog.backup.archive import BackupError, Counts, Progress
from dservercore.db import close_connections, sql_db

_PAGES = 1024  # that are copied between two reports
_BUSY_SECONDS = 5.0


def database_file() -> Path:
    """Return the file of the database in use.

    :raises BackupError: if it has none
    """
    with sql_db.engine.connect() as connection:
        file = connection.execute(text("SELECT file FROM pragma_database_list WHERE name = 'main'")).scalar()
    if not file:
        raise BackupError("SQLALCHEMY_DATABASE_URI: a database in memory has no backup")
    return Path(file)


def snapshot(to: Path, told: Progress) -> Counts:
    """Copy the database as it is at this moment to a new file, and check the copy. Nobody has to wait.

    :raises BackupError: if it is damaged
    """
    to.touch(mode=0o600)
    with closing(_connect(database_file())) as source, closing(_connect(to)) as copy:
        copy.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        # What others write after the first read is not seen within the transaction; without it, each of their writes
        # would let the copy begin again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        page = source.execute("PRAGMA page_size").fetchone()[0]
        source.backup(
            copy,
            pages=_PAGES,
            progress=lambda _status, left, total: told("Database", (total - left) * page, total * page),
        )
        source.execute("ROLLBACK")
    with closing(_connect(to)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")  # all of it is in this one file
        _require_sound(copy, "The database")
        return _counts(copy)


def require_sound(path: Path) -> None:
    """Pass if SQLite finds nothing wrong with a file.

    :raises BackupError: if it does
    """
    with closing(_connect(path)) as connection:
        _require_sound(connection, str(path))


def _require_sound(connection: sqlite3.Connection, name: str) -> None:
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if "disk is full" in str(error):
            raise
        found = str(error)
    if found != "ok":
        raise BackupError(f"{name} is damaged: {' '.join(found.split())}")


def place() -> Path:
    """Return where the file of the database belongs, whether or not it is there.

    :raises BackupError: if it is nowhere
    """
    database = sql_db.engine.url.database
    if not database or database == ":memory:" or database.startswith("file:"):
        raise BackupError(
            "SQLALCHEMY_DATABASE_URI: a backup is restored into a file (sqlite:////path/app.db)"
        )
    return Path(database)


def there(path: Path) -> Counts | None:
    """Return what the file at a place holds; None if it is not there, or has no tables.

    :raises BackupError: if it cannot be read, or a part of another database lies there
    """
    if not path.exists():
        for left in (Path(f"{path}-wal"), Path(f"{path}-journal")):
            if left.exists():
                raise BackupError(f"{left} is there without its database: move it away first")
        return None
    try:
        with closing(_connect(path)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                return None
            return _counts(connection)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise BackupError(f"{path} is the database of something else: move it away first") from None
        raise BackupError(f"{path} cannot be read: {error}") from None
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{path} is there and cannot be read ({error}): move it away first") from None


def put(copy: Path, path: Path) -> None:
    """Let a complete file, in the same directory, become the database, and note in it that it was restored.

    :raises BackupError: if the one that it replaces is in use
    """
    close_connections()
    with _held(path):
        _note_restoration(copy)
        if path.exists():
            _keep_owner(path, copy)
        os.replace(copy, path)
        sync_directory(path.parent)


def _note_restoration(copy: Path) -> None:
    with closing(_connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # all of it is in this one file
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN")
        for statement in registered_names.restoration():
            connection.execute(statement)
        connection.execute("COMMIT")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep others from a database, whose latest writes are all in its file then."""
    if not path.exists():
        yield
        return
    with closing(_connect(path)) as connection:
        try:
            # Only somebody who is alone with the database may change this.
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise BackupError(f"{path} is in use ({error}): stop the server first") from None
        yield


def _keep_owner(old: Path, new: Path) -> None:
    status = old.stat()
    os.chmod(new, status.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(new, status.st_uid, status.st_gid)


def sync_directory(directory: Path) -> None:
    """Make durable what has been renamed in a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    # In this mode it is not made where it is not there.
    address = f"file:{quote(str(path))}?mode=rw"
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)


def _counts(connection: sqlite3.Connection) -> Counts:
    def number(table: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    row = None
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return Counts(row[0] if row else None, number("user"), number("base_uri"), number("dataset"))
