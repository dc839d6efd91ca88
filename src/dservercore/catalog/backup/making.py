"""Making a backup."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from flask import current_app

from dservercore import db, plugin_host
from dservercore.catalog.backup import archive, dump
from dservercore.catalog.backup.archive import BackupError, Manifest, Progress
from dservercore.settings import configuration, keys, private_files


def back_up(target: Path, with_keys: bool, force: bool, told: Progress) -> Manifest:
    """Write everything that the server holds at this moment to a file; return what is in it.

    The file is complete and on disk when it gets its name, and only its owner can read it.

    :param with_keys: add the keys
    :param force: replace a file that is there
    :param told: called with the progress
    :raises BackupError: if that is not possible; *target* is as it was then
    """
    _require_free(target, force)
    with _beside(target) as folder:
        manifest, files = _collected(folder, with_keys, told)
        complete = folder / "backup"
        with os.fdopen(os.open(complete, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            archive.write(stream, manifest, files, told)
            stream.flush()
            os.fsync(stream.fileno())
        _require_free(target, force)  # it may have taken long
        os.replace(complete, target)
        private_files.sync_directory(target.absolute().parent)
    return manifest


def stream_backup(stream: IO[bytes], with_keys: bool, told: Progress) -> Manifest:
    """Write everything that the server holds at this moment to a stream; return what is in it.

    It is collected in the directory for temporary files first.

    :param with_keys: add the keys
    :param told: called with the progress
    :raises BackupError: if that is not possible; nothing has been written then
    """
    with tempfile.TemporaryDirectory(prefix="dserver-backup-") as folder:
        manifest, files = _collected(Path(folder), with_keys, told)
        archive.write(stream, manifest, files, told)
        stream.flush()
    return manifest


def _require_free(target: Path, force: bool) -> None:
    if target.is_dir():
        raise BackupError(f"{target} is a directory: name a file in it")
    if target.exists() and not force:
        raise BackupError(f"{target} is there already: --force replaces it")
    if target.exists() and not target.is_file():
        raise BackupError(f"{target} is no file that can be replaced")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Make a directory beside *target* for the block, on the same disk: what is in there is not taken for a backup."""
    parent = target.absolute().parent
    if not parent.is_dir():
        raise BackupError(f"There is no directory {parent}")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", suffix=".unfinished", dir=parent) as folder:
        yield Path(folder)


def _collected(folder: Path, with_keys: bool, told: Progress) -> tuple[Manifest, dict[str, Path]]:
    """Copy what belongs into the backup to a folder; return its description, and the files by name."""
    if db.known_revision() is None:
        raise BackupError("The database has no tables yet: there is nothing to back up")
    made_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    written = dump.write(folder, told)
    files = {**written.files, **(_keys(folder) if with_keys else {})}
    plugins = plugin_host.plugins()
    manifest = Manifest(
        format=archive.FORMAT,
        server=plugin_host.versions()[plugin_host.DISTRIBUTION] or "",
        made_at=made_at,
        database=db.kind(),
        revision=written.counts.revision or "",
        users=written.counts.users,
        base_uris=written.counts.base_uris,
        datasets=written.counts.datasets,
        search=_plugin(plugins.search),
        retrieve=_plugin(plugins.retrieve),
        files=archive.described(files, told),
        rows=written.rows,
        undescribed=written.undescribed,
    )
    return manifest, files


def _plugin(plugin: plugin_host.PluginABC) -> dict[str, Any]:
    return {"name": plugin_host.name_of(plugin), "in_database": plugin.shares_sql_session}


def _keys(folder: Path) -> dict[str, Path]:
    """Copy the keys in use, under the names that they have in the data directory.

    :raises BackupError: if there are none, as where the settings hold them
    """
    directory = data_directory()
    sources = {
        keys.PRIVATE_KEY_NAME: current_app.config.get("JWT_PRIVATE_KEY_FILE"),
        keys.PUBLIC_KEY_NAME: current_app.config.get("JWT_PUBLIC_KEY_FILE"),
        keys.SECRET_KEY_NAME: directory / keys.SECRET_KEY_NAME,
    }
    found = {}
    for name, source in sources.items():
        if source and Path(source).expanduser().exists():
            copy = folder / name
            keys.write_new_file(copy, Path(source).expanduser().read_text(), mode=0o600)
            found[archive.KEYS + name] = copy
    if not found:
        raise BackupError(f"--with-keys: there are no key files in {directory}")
    return found


def data_directory() -> Path:
    """Return the directory of the keys."""
    return Path(current_app.config.get("DSERVER_DATA_DIR") or configuration.data_directory())
