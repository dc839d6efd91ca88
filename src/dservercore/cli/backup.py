"""``flask backup`` and ``flask restore``."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from flask.cli import with_appcontext

from dservercore import db, plugin_host
from dservercore.catalog.backup import making, restoring
from dservercore.catalog.backup.archive import Counts, Manifest
from dservercore.catalog.backup.restoring import Prepared
from dservercore.cli.console import Command, CommandWithoutDatabase, Failure, count_of, require_server, say
from dservercore.cli.keys import KEY_SETTINGS
from dservercore.cli.progress import Steps, size_in_words

STDOUT = Path("-")


@click.command(name="backup", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Add the keys: whoever has the backup can be anybody then.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@with_appcontext
def backup_command(file: Path, with_keys: bool, force: bool) -> None:
    """Back up the database to FILE, while the server runs.

    FILE is a tar archive; - is standard output. It gets its name when it is complete, and only you can read it.
    Everything that was acknowledged before the command began is in it. PostgreSQL is dumped by its own program
    pg_dump, which must be installed. A copy of the database takes space beside FILE meanwhile.

    \b
      flask backup --with-keys /srv/backup/dserver.tar
    """
    require_server()
    with _in_one_line(f"Cannot write {file}"), Steps() as told:
        if file == STDOUT:
            if sys.stdout.isatty():
                raise Failure("A backup is not for a terminal: name a file, or send it to a program")
            manifest = making.stream_backup(sys.stdout.buffer, with_keys, told)
        else:
            manifest = making.back_up(file, with_keys, force, told)
    held = f"{_contents(manifest)}{' and the keys' if with_keys else ''}"
    size = "" if file == STDOUT else f" ({size_in_words(file.stat().st_size)})"
    say(f"Backed up {held} to {'standard output' if file == STDOUT else file}{size}", err=True)
    _say_what_is_elsewhere(manifest)


@click.command(name="restore", cls=CommandWithoutDatabase)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what is in the database, and keys that are others.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether to replace it.")
@click.option("--without-keys", is_flag=True, help="Leave out the keys, if the backup has any.")
@with_appcontext
def restore_command(file: Path, force: bool, yes: bool, without_keys: bool) -> None:
    """Restore a backup from FILE, made by `flask backup`.

    The database must be empty, and of the kind that the backup is of: SQLite or PostgreSQL. Keys go to the data
    directory. Everything is checked first; if anything is wrong, nothing changes. Stop the server before.

    \b
      export DSERVER_DATA_DIR=/srv/dserver
      flask restore /srv/backup/dserver.tar
      flask db upgrade
    """
    require_server()
    with (
        _in_one_line(f"Cannot restore {file}"),
        Steps() as told,
        restoring.prepared(file, not without_keys, force, told) as backup,
    ):
        _confirm(backup, yes)
        holds = restoring.put_in_place(backup)
    say(f"Restored {_contents(holds)}, as they were at {backup.manifest.made_at}", err=True)
    _say_what_is_next(backup)


@contextmanager
def _in_one_line(what: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise Failure(f"{what}: {error.strerror or error}{place}") from error
    except sqlite3.Error as error:
        raise Failure(f"{what}: {error}") from error


def _contents(held: Manifest | Counts) -> str:
    return (
        f"{count_of(held.users, 'user')}, {count_of(held.base_uris, 'base URI')}"
        f" and {count_of(held.datasets, 'dataset')}"
    )


def _confirm(backup: Prepared, yes: bool) -> None:
    there = backup.replaces
    if yes or there is None or not (there.users or there.base_uris or there.datasets):
        return
    what = f"{count_of(there.users, 'user')} and {count_of(there.datasets, 'dataset')}"
    if not sys.stdin.isatty():
        raise Failure(f"The database holds {what}, and nobody can be asked here: --yes says that they may go")
    click.confirm(f"Replace {what} that are in the database now?", abort=True, err=True)


def _elsewhere(manifest: Manifest) -> list[str]:
    plugins = (manifest.search, manifest.retrieve)
    return list(dict.fromkeys(plugin["name"] for plugin in plugins if not plugin["in_database"]))


def _say_what_is_elsewhere(manifest: Manifest) -> None:
    names = _elsewhere(manifest)
    if not names:
        return
    how = "MongoDB with mongodump" if any("mongo" in name for name in names) else "their store"
    say(f"Not in this backup: what is kept by {' and '.join(names)}.", err=True)
    say(f"Back up {how} now, too. After a restore of both, run `flask dataset check --repair`.", err=True)


def _say_what_is_next(backup: Prepared) -> None:
    manifest = backup.manifest
    configured = next((name for name in KEY_SETTINGS if os.environ.get(name)), None)
    if backup.keys:
        names = " and ".join(path.name for path in backup.keys)
        say(f"The keys {names} are in {making.data_directory()}", err=True)
    if backup.keys and configured:
        say(f"They are not used as long as {configured} is set", err=True)
    plugins = plugin_host.plugins()
    for kind, then, now in (
        ("search", manifest.search, plugins.search),
        ("retrieve", manifest.retrieve, plugins.retrieve),
    ):
        if then["name"] != plugin_host.name_of(now):
            say(
                f"The {kind} plugin was {then['name']}, and is {plugin_host.name_of(now)} now:"
                f" set DSERVER_{kind.upper()}_PLUGIN, or index the base URIs again",
                err=True,
            )
    if _elsewhere(manifest):
        stores = " and ".join(_elsewhere(manifest))
        say(f"Restore what is kept by {stores}, too; then run `flask dataset check --repair`", err=True)
    if manifest.revision != db.newest_revision():
        say("The tables are those of an earlier version: run `flask db upgrade`", err=True)
