"""The database of a server on SQLite: where its file is, and putting another one in its place.

Backups of format 1 have such a file, which is looked through before it becomes the database.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from dservercore.catalog.backup.archive import BackupError, Counts
from dservercore.db import close_connections, registered_names, sql_db
from dservercore.settings import private_files

_BUSY_SECONDS = 5.0

# How long a database that is to be restored is read for its check, at most: of a slow disk, with something to spare.
_CHECK_SECONDS, _CHECK_BYTES_PER_SECOND = 60.0, 2**22
_STEPS = 10_000  # of SQLite, between two looks at the clock

# A database of one revision has the tables of the earlier ones, too. Those of the search index are not there
# where SQLite was built without it. Later revisions have no such backups.
TABLES = {
    "0001": (
        "user",
        "base_uri",
        "search_permissions",
        "register_permissions",
        "dataset",
        "dataset_tag",
        "summary_count",
        "dataset_document",
        "search_document",
    ),
    "0002": ("journal_entry", "journal_piece"),
    "0003": ("audit",),
    "0006": ("registered_name",),
}
# How statements in its schema may begin: SQLite goes by these words, whatever type is noted with them.
_HARMLESS = re.compile(r"CREATE (TABLE|(UNIQUE )?INDEX|VIRTUAL TABLE \S+ USING fts5\()", re.IGNORECASE)


def require_ours(copy: Path, source: Path, revision: str) -> Counts:
    """Pass if a file is a sound database of the server; return what it holds.

    :param source: the backup that it is from, for the error
    :param revision: that the backup names
    :raises BackupError: if anything is in it that would act on its own, or is not as the backup says
    """
    try:
        with closing(_connect_with_care(copy)) as connection:
            _require_tables(connection, source, revision)
            _require_sound(connection, f"The database in {source}")
            return _counts(connection)
    except sqlite3.DatabaseError as error:
        if "disk is full" in str(error):
            raise
        if "interrupted" in str(error):
            raise BackupError(f"The database in {source} takes too long to check") from None
        raise BackupError(f"The database in {source} cannot be read: {error}") from None


def _connect_with_care(path: Path) -> sqlite3.Connection:
    """Connect to a database that somebody may have prepared."""
    connection = _connect(path)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")  # we have none, and theirs would be run
    end = time.monotonic() + _CHECK_SECONDS + path.stat().st_size / _CHECK_BYTES_PER_SECOND
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    return connection


def _require_tables(connection: sqlite3.Connection, source: Path, revision: str) -> None:
    tables = set()
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind not in ("table", "index") or (sql is not None and not _HARMLESS.match(str(sql))):
            raise BackupError(f"The database in {source} has a {kind} {name!r}, which none of ours has")
        if kind == "table":
            tables.add(name)
    wanted = [name for since, names in TABLES.items() if since <= revision for name in names]
    for name in (*wanted, "alembic_version"):
        if name not in tables:
            raise BackupError(f"The database in {source} has no table {name!r}")
    rows = connection.execute("SELECT version_num FROM alembic_version LIMIT 2").fetchall()
    if rows != [(revision,)]:
        raise BackupError(f"The database in {source} is not of revision {revision}, as the backup says")


def _require_sound(connection: sqlite3.Connection, name: str) -> None:
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if "disk is full" in str(error) or "interrupted" in str(error):
            raise
        found = str(error)
    if found != "ok":
        raise BackupError(f"{name} is damaged: {' '.join(found.split())}")


def place() -> Path:
    """Return where the file of the database belongs, whether or not it is there.

    :raises BackupError: if the database is not in a file
    """
    database = sql_db.engine.url.database
    if not database or database == ":memory:" or database.startswith("file:"):
        raise BackupError(
            "SQLALCHEMY_DATABASE_URI: a backup is restored into a file (sqlite:////path/app.db)"
        )
    return Path(database)


def there(path: Path) -> Counts | None:
    """Return how much the database in a file holds; None if the file is not there, or has no tables.

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

    :raises BackupError: if the database that it replaces is in use
    """
    close_connections()
    with _held(path):
        _note_restoration(copy)
        if path.exists():
            _keep_owner(path, copy)
        else:
            private_files.give_file_to_owner_of(path.parent, copy)
        os.replace(copy, path)
        private_files.sync_directory(path.parent)


def _note_restoration(copy: Path) -> None:
    with closing(_connect_with_care(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # all of it is in this one file
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN")
        for statement in registered_names.restoration():
            connection.execute(statement)
        connection.execute("COMMIT")


def require_unused(path: Path) -> None:
    """Pass if nobody else has a database open.

    :raises BackupError: if somebody has
    """
    close_connections()
    with _held(path):
        pass


def remove(path: Path) -> None:
    """Remove a database that was made for a restore that failed, and the files beside it."""
    close_connections()
    for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


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
