"""``flask db``: the commands of Flask-Migrate, as a server needs them whose migrations come with the package."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flask_migrate
from flask import current_app
from flask.cli import with_appcontext
from flask_migrate.cli import db as db_cli
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.catalog import lacks, reindexing
from dservercore.cli.console import Failure, Interruption, count_of, errors_in_one_line, say
from dservercore.cli.progress import Progress
from dservercore.compat import plugin_tables
from dservercore.errors import UnavailableError

NOT_NEEDED = (
    "Nothing to do: the migrations come with dservercore, and `flask db upgrade` is all that a database needs"
)

NAMED = 10  # datasets that a message names

_GO_ON = "`flask db upgrade` goes on with it"

Callback = Callable[..., Any]


class _Made(NamedTuple):
    """What was made for extensions: tables without migrations, and the extensions whose migrations have run."""

    tables: list[str]
    upgraded: list[str]


_NOTHING = _Made([], [])


def adapt_flask_migrate() -> None:
    """Let ``init`` and ``migrate`` explain, ``upgrade`` say what it did, and every command fail in one line.

    The group belongs to Flask-Migrate, which offers it to every application in the environment: another one than ours
    finds the commands as they were.
    """
    for name, command in db_cli.commands.items():
        assert command.callback is not None
        ours = _OURS.get(name, _in_one_line)
        command.callback = _for_us(functools.partial(ours, command.callback), command.callback)
        if ours is _explain:
            command.help = f"{command.help} (dservercore does not need it.)"


def _for_us(ours: Callback, theirs: Callback) -> Callback:
    @with_appcontext
    def callback(**options: Any) -> None:
        is_ours = plugin_host.DISTRIBUTION in current_app.extensions
        (ours if is_ours else theirs)(**options)

    return callback


def _in_one_line(theirs: Callback, **options: Any) -> None:
    with errors_in_one_line():
        try:
            theirs(**options)
        except DBAPIError as error:
            in_use = ": stop the server first" if db.is_in_use(error) else ""
            raise Failure(f"The database failed: {db.reason(error)}{in_use}") from error


def _explain(_theirs: Callback, **_options: Any) -> None:
    say(NOT_NEEDED)


def _upgrade(theirs: Callback, **options: Any) -> None:
    if options["sql"]:
        _in_one_line(theirs, **options)
        _in_one_line(db.upgrade_branches, sql=True)
        for statement in plugin_tables.sql():
            say(" ".join(statement.split()))
        return
    with errors_in_one_line():
        db.known_revision()  # its error says what to do about an unknown revision
        _in_one_line(theirs, **options)
        # An older revision may lack what tables of extensions refer to.
        made = _make_tables_of_extensions() if db.current_revision() == db.newest_revision() else _NOTHING
        say(f"Database: {_what_changed(made)}", err=True)
        if db.current_revision() == db.newest_revision():
            index_again()
            read_again()


def _looked_into(theirs: Callback, **options: Any) -> None:
    with errors_in_one_line():
        db.require_there()
        db.known_revision()  # its error says what to do about an unknown revision
    _in_one_line(theirs, **options)


def _check(theirs: Callback, **options: Any) -> None:
    _looked_into(theirs, **options)
    with errors_in_one_line():
        if lacking := plugin_tables.missing():
            names = ", ".join(table.name for table in lacking)
            raise Failure(f"A table of an extension is missing ({names}): run `flask db upgrade`")
        if behind := db.branches_behind():
            raise Failure(f"The tables of {', '.join(behind)} are not up to date: run `flask db upgrade`")
        _say_outdated()


_OURS: dict[str, Callback] = {
    "init": _explain,
    "migrate": _explain,
    "upgrade": _upgrade,
    "check": _check,
    **dict.fromkeys(("current", "downgrade"), _looked_into),
}


def upgrade_database() -> str:
    """Bring the tables up to date; return in words what that changed."""
    db.known_revision()
    changed = _what_changed(run_migrations())
    index_again()
    read_again()
    return changed


def index_again() -> None:
    """Put the datasets into the search index again that an older version has put there, and say so, if there are any.

    :raises Interruption: if that is interrupted; it can be repeated
    """
    if current_app.extensions["dservercore-revision-before"] is None:
        return  # nothing is there yet
    try:
        outdated = reindexing.outdated()
        if not outdated:
            return
        with Progress("Search index", len(outdated), "datasets") as told:
            left = reindexing.index_again(outdated, told)
    except UnavailableError as error:
        say(f"The search index may have to be brought up to date: {error.message}", err=True)
        say(_GO_ON, err=True)
        return
    except KeyboardInterrupt:
        db.rollback()
        number = count_of(len(reindexing.outdated()), "dataset")
        raise Interruption(
            f"Interrupted, with {number} in the search index to be indexed again: {_GO_ON}"
        ) from None
    say(f"Search index: {count_of(len(outdated) - len(left), 'dataset')} indexed again", err=True)
    if left:
        say(
            f"{count_of(len(left), 'dataset')} left as indexed before, without a description to index:",
            err=True,
        )
        for uri in left[:NAMED]:
            say(f"  {uri}", err=True)
        if len(left) > NAMED:
            say(f"  and {len(left) - NAMED} more", err=True)


def read_again() -> None:
    """Note what descriptions lack that an older version has stored, and say so, if there are any.

    :raises Interruption: if that is interrupted; it can be repeated
    """
    if current_app.extensions["dservercore-revision-before"] is None:
        return  # nothing is there yet
    try:
        number = lacks.number_unread()
        if not number:
            return
        with Progress("Descriptions", number, "datasets") as told:
            left = lacks.read_again(told)
    except UnavailableError as error:
        say(f"What descriptions lack is not known yet: {error.message}", err=True)
        say(_GO_ON, err=True)
        return
    except KeyboardInterrupt:
        db.rollback()
        raise Interruption(
            f"Interrupted, with {count_of(lacks.number_unread(), 'description')} to be read: {_GO_ON}"
        ) from None
    say(f"Descriptions: {count_of(number - left, 'dataset')} looked through for what is lacking", err=True)


def run_migrations() -> _Made:
    """Bring the tables up to date, from whatever revision they have. Return what was made for extensions."""
    _in_one_line(flask_migrate.upgrade)
    db.close_connections()  # the next one finds a database that is ours
    return _make_tables_of_extensions()


def _make_tables_of_extensions() -> _Made:
    upgraded: list[str] = []
    created: list[str] = []
    _in_one_line(lambda: upgraded.extend(db.upgrade_branches()))
    _in_one_line(lambda: created.extend(plugin_tables.create_missing()))
    _say_outdated()
    return _Made(created, upgraded)


def _say_outdated() -> None:
    for line in plugin_tables.outdated():
        say(f"Warning: {line}", err=True)


def _what_changed(made: _Made) -> str:
    tables = f", with new tables of extensions: {', '.join(made.tables)}" if made.tables else ""
    upgraded = f", with migrations of {', '.join(made.upgraded)}" if made.upgraded else ""
    return _revision_changed() + upgraded + tables


def _revision_changed() -> str:
    before = current_app.extensions["dservercore-revision-before"]  # noted by migrations/env.py
    after = db.current_revision()
    if before == after:
        return f"at revision {after}, as before"
    return f"new, at revision {after}" if before is None else f"upgraded to revision {after}"
