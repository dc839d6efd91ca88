"""``flask db``: the commands of Flask-Migrate, as a server needs them whose migrations come with the package."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flask_migrate
from flask import current_app
from flask.cli import with_appcontext
from flask_migrate.cli import db as db_cli
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.cli.console import Failure, errors_in_one_line, say

NOT_NEEDED = (
    "Nothing to do: the migrations come with dservercore, and `flask db upgrade` is all that a database needs"
)

Callback = Callable[..., Any]


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
        return
    with errors_in_one_line():
        db.known_revision()  # which says what to do about one that is not known
        _in_one_line(theirs, **options)
        say(f"Database: {_what_changed()}", err=True)


def _looked_into(theirs: Callback, **options: Any) -> None:
    with errors_in_one_line():
        db.require_there()
        db.known_revision()  # which says what to do about one that is not known
    _in_one_line(theirs, **options)


_OURS: dict[str, Callback] = {
    "init": _explain,
    "migrate": _explain,
    "upgrade": _upgrade,
    **dict.fromkeys(("current", "check", "downgrade"), _looked_into),
}


def upgrade_database() -> str:
    """Bring the tables up to date; return in words what that changed."""
    db.known_revision()
    run_migrations()
    return _what_changed()


def run_migrations() -> None:
    """Bring the tables up to date, wherever they are."""
    _in_one_line(flask_migrate.upgrade)
    db.close_connections()  # the next one finds a database that is ours


def _what_changed() -> str:
    before = current_app.extensions["dservercore-revision-before"]  # noted by migrations/env.py
    after = db.current_revision()
    if before == after:
        return f"at revision {after}, as before"
    return f"new, at revision {after}" if before is None else f"upgraded to revision {after}"
