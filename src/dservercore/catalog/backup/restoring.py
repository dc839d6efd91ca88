"""Restoring a backup: everything is looked at before anything is changed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError, IntegrityError

from dservercore import db
from dservercore.catalog.backup import archive, load, postgresql, sqlite, tables
from dservercore.catalog.backup.archive import Archive, BackupError, Counts, Manifest, Progress
from dservercore.catalog.backup.making import data_directory
from dservercore.errors import ConfigurationError
from dservercore.settings import keys, private_files

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_LARGEST_KEY = 2**16  # bytes
_WITHOUT = "--without-keys leaves them out"


@dataclass(frozen=True)
class Prepared:
    """A backup that has been read and checked, and can be put into place.

    :ivar database: the file with the database that a backup of format 1 has; None: the backup is of another format
    :ivar keys: copies of the keys that are to be restored, by the places where they belong
    :ivar replaces: what the database holds now; None: nothing
    :ivar holds: what the database in a backup of format 1 holds; None: not known before it is in place
    """

    backup: Archive
    database: Path | None
    keys: dict[Path, Path]
    replaces: Counts | None
    holds: Counts | None

    @property
    def manifest(self) -> Manifest:
        """What is in it."""
        return self.backup.manifest


@contextmanager
def prepared(source: Path, with_keys: bool, force: bool, told: Progress) -> Iterator[Prepared]:
    """Read a backup, and check that it is whole and fits this server.

    :param with_keys: restore the keys that are in it, too
    :param force: replace what is there
    :raises BackupError: if it cannot be restored
    """
    with archive.opened(source) as backup:
        manifest = backup.manifest
        _require_fitting(source, manifest)
        replaces = _there()
        if replaces is not None and (replaces.users or replaces.datasets or replaces.base_uris) and not force:
            raise BackupError(
                f"The database is not empty (users: {replaces.users}, base URIs: {replaces.base_uris},"
                f" datasets: {replaces.datasets}): --force replaces what is there"
            )
        directory = data_directory()
        wanted = manifest.keys if with_keys else []
        with _folders(directory if wanted else None) as (folder, key_folder):
            database, holds = None, None
            if manifest.holds_database:
                database = backup.extract(archive.DATABASE[manifest.database], folder / "database", told)
                if manifest.database == "sqlite":
                    holds = sqlite.require_ours(database, source, manifest.revision)
            else:
                for name in manifest.rows:
                    backup.require_sound(name, told)
            files = {}
            for key in wanted:
                place = directory / key.removeprefix(archive.KEYS)
                copy = backup.extract(key, key_folder / place.name, told)
                _require_strong(source, copy)
                if _is_needed(place, copy, force):
                    files[place] = copy
            yield Prepared(backup, database, files, replaces, holds)


def put_in_place(backup: Prepared, make_tables: Callable[[], object], told: Progress) -> Counts:
    """Replace everything that the server holds, and the keys; return what the database holds now.

    :param make_tables: runs the migrations, whatever revision the tables are at
    :raises BackupError: if that fails; the database is as it was then, though its tables may have been made
    """
    if backup.database is None:
        _load(backup, make_tables, told)
    elif backup.manifest.database == "sqlite":
        sqlite.put(backup.database, sqlite.place())
    else:
        postgresql.put(backup.database)
    for place, copy in backup.keys.items():
        private_files.give_file_to_owner_of(place.parent, copy)
        os.replace(copy, place)
        if place.name == keys.PUBLIC_KEY_NAME:
            place.chmod(0o644)
    if backup.keys:
        private_files.sync_directory(data_directory())
    holds = backup.holds or tables.present_counts()
    assert holds
    return holds


def _load(backup: Prepared, make_tables: Callable[[], object], told: Progress) -> None:
    path = sqlite.place() if db.kind() == "sqlite" else None
    is_new = path is not None and not path.exists()
    try:
        if path is not None and not is_new:
            sqlite.require_unused(path)
        make_tables()
        load.load(backup.backup, told)
        db.commit()
    except BaseException as error:
        db.forget_unfinished()
        if path is not None and is_new:
            sqlite.remove(path)
        if isinstance(error, IntegrityError):
            reason = f"its rows do not fit together ({db.reason(error)})"
            raise BackupError(f"{backup.backup.path} cannot be restored: {reason}") from error
        if isinstance(error, DBAPIError) and db.is_in_use(error):
            raise BackupError("The database is in use: stop the server first") from error
        raise
    db.close_connections()  # after that, SQLite has everything in one file


def left_out(manifest: Manifest) -> list[str]:
    """Return the tables of a backup that the database does not have, because nothing that is installed has a model."""
    return sorted(set(manifest.tables) - {table.name for table in tables.carried()})


def _require_fitting(source: Path, manifest: Manifest) -> None:
    kind = db.kind()
    if manifest.holds_database and manifest.database != kind:
        raise BackupError(
            f"{source} is of a server on {_NAMES[manifest.database]}, and SQLALCHEMY_DATABASE_URI is {kind}:"
            " a backup of this format is restored into a database of its own kind, of which `flask backup` makes one"
            " for every kind"
        )
    if manifest.revision not in db.known_revisions():
        raise BackupError(
            f"{source} was made by dservercore {manifest.server}, with tables of revision {manifest.revision},"
            " which this version does not know: install that version to restore it"
        )
    derived = sorted(name for name in manifest.tables if tables.is_derived(name))
    if derived:
        raise BackupError(f"{source} is no backup made by `flask backup`: it has the table {derived[0]!r}")


def _there() -> Counts | None:
    return sqlite.there(sqlite.place()) if db.kind() == "sqlite" else tables.present_counts()


def _require_strong(source: Path, copy: Path) -> None:
    """Pass if a server can work with the key in *copy*, whose name says which it is.

    :raises BackupError: if it is no RSA key, or a secret that can be guessed
    """
    name = copy.name
    try:
        text = copy.read_text() if copy.stat().st_size <= _LARGEST_KEY else ""
        if name == keys.PRIVATE_KEY_NAME:
            keys.private_key_pem(text, name)
        elif name == keys.PUBLIC_KEY_NAME:
            keys.public_key_pem(text, name)
        elif keys.can_be_guessed(text.strip()):
            raise ConfigurationError(f"{name}: can be guessed")
    except UnicodeDecodeError:
        raise BackupError(f"The keys in {source}: {name}: not a text file; {_WITHOUT}") from None
    except ConfigurationError as error:
        raise BackupError(f"The keys in {source}: {error.message}; {_WITHOUT}") from None


def _is_needed(place: Path, copy: Path, force: bool) -> bool:
    if not place.exists():
        return True
    if place.read_bytes() == copy.read_bytes():
        return False
    # A key that this process has made, because there was none, is replaced without --force.
    if not force and not keys.is_fresh(place):
        raise BackupError(
            f"{place} is there and is another key than the one in the backup:"
            " --force replaces it, --without-keys leaves it as it is"
        )
    return True


@contextmanager
def _folders(directory: Path | None) -> Iterator[tuple[Path, Path]]:
    """Make two directories for the block, on the disks where database and keys belong, and remove them afterwards.

    :param directory: where keys belong; None: no keys are restored
    """
    made: list[Path] = []
    near = sqlite.place().parent if db.kind() == "sqlite" else None
    try:
        for place in (near, directory):
            if place is not None:
                made += [parent for parent in (place, *place.parents) if not parent.exists()]
                private_files.make_directory(place)
        with (
            tempfile.TemporaryDirectory(prefix=".restore-", dir=near) as folder,
            tempfile.TemporaryDirectory(prefix=".restore-", dir=directory) as key_folder,
        ):
            yield Path(folder), Path(key_folder)
    finally:
        for parent in sorted(made, reverse=True):
            with suppress(OSError):  # in use now
                parent.rmdir()
