"""``flask init``: everything that a new server needs, in one command."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from dservercore import db
from dservercore.catalog import users
from dservercore.catalog.scope import OPERATOR
from dservercore.cli.console import CommandWithoutDatabase, require_server, say
from dservercore.cli.keys import make_key_pair
from dservercore.cli.login_link import new_link
from dservercore.cli.migrations import upgrade_database
from dservercore.db import sql_db
from dservercore.db.usernames import checked_username
from dservercore.errors import UnknownUserError
from dservercore.settings import configuration


@click.command(name="init", cls=CommandWithoutDatabase)
@click.option("--admin", metavar="USERNAME", help="Add this user too, as an administrator.")
@with_appcontext
def init_command(admin: str | None) -> None:
    """Make the keys and the database of a new server.

    What is there already is kept, so that it does no harm to run this again, or after an update. Keys and database
    are made in the directory DSERVER_DATA_DIR, unless other settings say where they are.

    \b
      flask init --admin alice
      flask serve
    """
    require_server()
    if admin is not None:
        checked_username(admin)
    say(f"Keys:      {_keys()}")
    say(f"Database:  {_database()}")
    if admin is not None:
        say(f"Admin:     {_administrator(admin)}")
    _say_what_is_next(admin)
    if admin is not None and current_app.config["DSERVER_WEB"]:
        _say_how_to_sign_in(admin)


def _keys() -> str:
    if current_app.config.get("JWT_PRIVATE_KEY"):
        return f"{current_app.config.get('JWT_PRIVATE_KEY_FILE') or 'configured'} (kept)"
    if current_app.config.get("JWT_PUBLIC_KEY"):
        return "a public key is configured, which verifies tokens made elsewhere (kept)"
    directory = Path(current_app.config.get("DSERVER_DATA_DIR") or configuration.data_directory())
    private, public = make_key_pair(directory, "DSERVER_DATA_DIR: cannot")
    current_app.config.update(JWT_PRIVATE_KEY=private.read_text(), JWT_PUBLIC_KEY=public.read_text())
    return f"{private} and {public.name} (new)"


def _database() -> str:
    change = upgrade_database()
    url = sql_db.engine.url
    place = url.database if url.get_backend_name() == "sqlite" else db.address()
    return f"{place} ({change})"


def _administrator(username: str) -> str:
    try:
        is_admin = users.get_user(username)["is_admin"]
    except UnknownUserError:
        users.add_user(username, is_admin=True, actor=OPERATOR)
        state = "new"
    else:
        users.update_user(username, {"is_admin": True}, actor=OPERATOR)
        state = "is one already" if is_admin else "was an ordinary user"
    db.commit()
    return f"{username} ({state})"


def _say_how_to_sign_in(admin: str) -> None:
    link = new_link(admin)
    db.commit()
    say("or, once and within ten minutes, in a browser:")
    say(f"  {link}")
    say(f"For another such address: flask user login-link {shlex.quote(admin)}")


def _say_what_is_next(admin: str | None) -> None:
    name = admin if admin is not None else "USERNAME"
    say("")
    say("Next:")
    if not os.environ.get("FLASK_APP"):
        say("  export FLASK_APP=dservercore")
    if admin is None and not users.list_users(page=slice(0, 1))[1]:
        say("  flask user add --is_admin USERNAME")
    say("  flask serve")
    say("and in another terminal:")
    if current_app.config.get("JWT_PRIVATE_KEY"):
        say(f"  TOKEN=$(flask user token {shlex.quote(name)})")
    say('  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:5000/me')
    say("  flask base_uri add --help")
