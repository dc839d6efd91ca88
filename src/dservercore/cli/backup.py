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
from dservercore.catalog.backup import making, restoring, tables
from dservercore.catalog.backup.archive import Counts, Manifest
from dservercore.catalog.backup.restoring import Prepared
from dservercore.cli.console import Command, CommandWithoutDatabase, Failure, count_of, require_server, say
from dservercore.cli.keys import KEY_SETTINGS
from dservercore.cli.migrations import run_migrations
from dservercore.cli.progress import Steps, size_in_words

STDOUT = Path("-")


@click.command(name="backup", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Add the keys: whoever has the backup can be anybody then.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@with_appcontext
def backup_command(file: Path, with_keys: bool, force: bool) -> None:
    """Back up the server to FILE, while it runs.

    FILE is a tar archive; - is standard output. It gets its name when it is complete, and only you can read it.
    Everything that was acknowledged before the command began is in it, with READMEs, manifests and annotations
    wherever they are kept, in a form that `flask restore` puts into any kind of database. As much space as FILE takes
    is needed beside it meanwhile.

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
    _say_what_is_missing(manifest)


@click.command(name="restore", cls=CommandWithoutDatabase)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what is in the database, and keys that are others.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether to replace it.")
@click.option("--without-keys", is_flag=True, help="Leave out the keys, if the backup has any.")
@with_appcontext
def restore_command(file: Path, force: bool, yes: bool, without_keys: bool) -> None:
    """Restore a backup from FILE, made by `flask backup`.

    The database must be empty, and may be of another kind than the one that the backup was made of. Tables are made,
    and the search index; keys go to the data directory. Everything is checked first; if anything is wrong, nothing
    changes. Stop the server before.

    \b
      export DSERVER_DATA_DIR=/srv/dserver
      flask restore /srv/backup/dserver.tar
    """
    require_server()
    with (
        _in_one_line(f"Cannot restore {file}"),
        Steps() as told,
        restoring.prepared(file, not without_keys, force, told) as backup,
    ):
        _confirm(backup, yes)
        holds = restoring.put_in_place(backup, run_migrations, told)
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


def _say_what_is_missing(manifest: Manifest) -> None:
    if manifest.undescribed:
        number = count_of(manifest.undescribed, "dataset")
        say(
            f"Without README, manifest and annotations, which {manifest.retrieve['name']} does not have: {number}"
            " (see `flask dataset check`)",
            err=True,
        )
    foreign = tables.foreign()
    if foreign:
        say(f"Not in this backup, because no extension in use knows them: {_named(foreign)}", err=True)


def _named(names: list[str]) -> str:
    return f"the table{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _say_what_is_next(backup: Prepared) -> None:
    manifest = backup.manifest
    configured = next((name for name in KEY_SETTINGS if os.environ.get(name)), None)
    if backup.keys:
        names = " and ".join(path.name for path in backup.keys)
        say(f"The keys {names} are in {making.data_directory()}", err=True)
    if backup.keys and configured:
        say(f"They are not used as long as {configured} is set", err=True)
    left_out = restoring.left_out(manifest)
    if left_out:
        say(
            f"Left out, because no extension in use here knows them: {_named(left_out)};"
            " install the extension that they belong to, or name it in DSERVER_EXTENSIONS, and restore again",
            err=True,
        )
    if backup.replaces is not None and not plugin_host.plugins().share_sql_session:
        say("`flask dataset check --repair` removes what search and retrieve held before", err=True)
    if manifest.holds_database:
        _say_what_is_elsewhere(manifest)
    if db.current_revision() != db.newest_revision():
        say("The tables are those of an earlier version: run `flask db upgrade`", err=True)


def _say_what_is_elsewhere(manifest: Manifest) -> None:
    """Say what a backup of format 1 does not have: what was kept outside of the database."""
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
    elsewhere = [
        plugin["name"] for plugin in (manifest.search, manifest.retrieve) if not plugin["in_database"]
    ]
    if elsewhere:
        stores = " and ".join(dict.fromkeys(elsewhere))
        say(f"Restore what is kept by {stores}, too; then run `flask dataset check --repair`", err=True)
