"""Restoring a backup: everything is looked at before anything is changed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dservercore import db, keys, private_files
from dservercore.catalog.backup import archive, postgresql, sqlite
from dservercore.catalog.backup.archive import BackupError, Counts, Manifest, Progress
from dservercore.catalog.backup.making import data_directory
from dservercore.db import sql_db
from dservercore.errors import ConfigurationError

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_LARGEST_KEY = 2**16  # bytes
_WITHOUT = "--without-keys leaves them out"


@dataclass(frozen=True)
class Prepared:
    """A backup that has been read and checked, and can be put into place.

    :ivar replaces: what the database holds now; None: nothing
    :ivar holds: what the database in the backup holds; None: not known before it is in place
    """

    manifest: Manifest
    database: Path
    keys: dict[Path, Path]
    replaces: Counts | None
    holds: Counts | None


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
        replaces = _there(manifest.database)
        if replaces is not None and (replaces.users or replaces.datasets or replaces.base_uris) and not force:
            raise BackupError(
                f"The database is not empty (users: {replaces.users}, base URIs: {replaces.base_uris},"
                f" datasets: {replaces.datasets}): --force replaces what is there"
            )
        directory = data_directory()
        wanted = manifest.keys if with_keys else []
        with _folders(manifest.database, directory if wanted else None) as (folder, key_folder):
            name = archive.DATABASE[manifest.database]
            database = backup.extract(name, folder / "database", told)
            holds = None
            if manifest.database == "sqlite":
                holds = sqlite.require_ours(database, source, manifest.revision)
            files = {}
            for key in wanted:
                place = directory / key.removeprefix(archive.KEYS)
                copy = backup.extract(key, key_folder / place.name, told)
                _require_strong(source, copy)
                if _is_needed(place, copy, force):
                    files[place] = copy
            yield Prepared(manifest, database, files, replaces, holds)


def put_in_place(backup: Prepared) -> Counts:
    """Replace the database, and the keys; return what the database holds now.

    :raises BackupError: if that fails; nothing has changed then
    """
    if backup.manifest.database == "sqlite":
        sqlite.put(backup.database, sqlite.place())
    else:
        postgresql.put(backup.database)
    for place, copy in backup.keys.items():
        os.replace(copy, place)
        if place.name == keys.PUBLIC_KEY_NAME:
            place.chmod(0o644)
    if backup.keys:
        sqlite.sync_directory(data_directory())
    holds = backup.holds or postgresql.there()
    assert holds
    return holds


def _require_fitting(source: Path, manifest: Manifest) -> None:
    kind = sql_db.engine.dialect.name
    if manifest.database != kind:
        raise BackupError(
            f"{source} is of a server on {_NAMES[manifest.database]}, and SQLALCHEMY_DATABASE_URI is {kind}:"
            " a backup is restored into a database of its own kind"
        )
    if manifest.revision not in db.known_revisions():
        raise BackupError(
            f"{source} was made by dservercore {manifest.server}, with tables of revision {manifest.revision},"
            " which this version does not know: install that version to restore it"
        )


def _there(kind: str) -> Counts | None:
    return sqlite.there(sqlite.place()) if kind == "sqlite" else postgresql.there()


def _require_strong(source: Path, copy: Path) -> None:
    """Pass if a server can work with a key.

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
    # This process has made a secret key, too, if it did not find one.
    if not force and not keys.is_fresh(place):
        raise BackupError(
            f"{place} is there and is another key than the one in the backup:"
            " --force replaces it, --without-keys leaves it as it is"
        )
    return True


@contextmanager
def _folders(kind: str, directory: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give directories on the disks where database and keys belong; what is left there afterwards is removed.

    :param directory: where keys belong; None: nowhere
    """
    made: list[Path] = []
    near = sqlite.place().parent if kind == "sqlite" else None
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
