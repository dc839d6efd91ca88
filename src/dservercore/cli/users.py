"""``flask user``: users, their permissions, and their tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import click
from flask import current_app
from flask_jwt_extended import create_access_token
from flask_jwt_extended.config import config as jwt_config

from dservercore import db
from dservercore.catalog import users
from dservercore.cli.arguments import DURATION, LOCATION
from dservercore.cli.console import Failure, Group, say_json
from dservercore.errors import ConflictError, UnknownBaseURIError, UnknownUserError
from dservercore.scope import OPERATOR, Grant

user_cli = Group("user", help="Manage users, their permissions and their tokens.")


@user_cli.command(name="add")
@click.argument("username")
@click.option("-a", "--is_admin", is_flag=True, help="Make the user an administrator.")
@click.option("--display-name", metavar="NAME", help="The user's name, as people write it.")
def register_user(username: str, is_admin: bool, display_name: str | None) -> None:
    """Add the user USERNAME.

    USERNAME is the subject ("sub") of the tokens with which the user authenticates, at most 64 characters. A new user
    has no permissions; see `flask user search_permission --help`.

    \b
      flask user add alice --display-name "Alice Liddell"
    """
    try:
        users.add_user(username, is_admin, display_name, actor=OPERATOR)
    except ConflictError:
        raise Failure(f"User '{username}' already registered") from None
    db.commit()


@user_cli.command(name="update")
@click.argument("username")
@click.option("-a", "--is_admin", is_flag=True, help="Make the user an administrator.")
def update_user(username: str, is_admin: bool) -> None:
    """Make USERNAME an administrator, or no longer one.

    \b
      flask user update --is_admin alice   # alice becomes an administrator
      flask user update alice              # alice is an administrator no longer
    """
    try:
        users.update_user(username, {"is_admin": is_admin}, actor=OPERATOR)
    except UnknownUserError:
        raise Failure(f"User '{username}' is not registered yet") from None
    db.commit()


@user_cli.command(name="delete")
@click.argument("username")
def delete_user(username: str) -> None:
    """Delete the user USERNAME.

    The user's permissions go too. Tokens of a deleted user stop working at once. Datasets that the user registered
    stay. It is no error if there is no such user.
    """
    users.delete_user(username, actor=OPERATOR)
    db.commit()


@user_cli.command(name="list")
def list_users() -> None:
    """List the users and their permissions, as JSON."""
    say_json(users.list_users()[0])


_revoke_option = click.option("--revoke", is_flag=True, help="Take the permission back.")


@user_cli.command(name="search_permission")
@click.argument("username")
@click.argument("base_uri", type=LOCATION)
@_revoke_option
def give_search_permission(username: str, base_uri: str, revoke: bool) -> None:
    """Let USERNAME find and read datasets in BASE_URI.

    \b
      flask user search_permission alice s3://my-bucket
      flask user search_permission --revoke alice s3://my-bucket
    """
    _change_permission("search", username, base_uri, revoke)


@user_cli.command(name="register_permission")
@click.argument("username")
@click.argument("base_uri", type=LOCATION)
@_revoke_option
def give_register_permission(username: str, base_uri: str, revoke: bool) -> None:
    """Let USERNAME register datasets in BASE_URI.

    That includes to delete and, together with search permission, to edit them.

    \b
      flask user register_permission alice s3://my-bucket
      flask user register_permission --revoke alice s3://my-bucket
    """
    _change_permission("register", username, base_uri, revoke)


def _change_permission(kind: Grant, username: str, base_uri: str, revoke: bool) -> None:
    change = users.revoke if revoke else users.grant
    try:
        change(kind, username, base_uri, actor=OPERATOR)
    except UnknownBaseURIError:
        raise Failure(f"Base URI '{base_uri}' not registered") from None
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    except ConflictError:
        raise Failure(f"User '{username}' already has {kind} permissions") from None
    db.commit()


@user_cli.command(name="token")
@click.argument("username")
@click.option("--last-forever", is_flag=True, help="Make a token that never expires.")
@click.option(
    "--expires-in",
    type=DURATION,
    metavar="TIME",
    help="How long the token works: a number and s, m, h, d or w.  [default: 15m, or JWT_ACCESS_TOKEN_EXPIRES]",
)
def generate_token(username: str, last_forever: bool, expires_in: timedelta | None) -> None:
    """Print a token for the user USERNAME.

    With it, the user authenticates:

    \b
      TOKEN=$(flask user token alice --expires-in 30d)
      curl -H "Authorization: Bearer $TOKEN" http://localhost:5000/me
    """
    if last_forever and expires_in:
        raise click.UsageError("--last-forever and --expires-in exclude each other.")
    try:
        users.get_user(username)
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    if not current_app.config.get("JWT_PRIVATE_KEY"):
        raise Failure(_why_no_private_key())
    _require_acceptable(None if last_forever else expires_in or jwt_config.access_expires)
    click.echo(create_access_token(username, expires_delta=False if last_forever else expires_in))


def _require_acceptable(lifetime: timedelta | Literal[False] | None) -> None:
    longest = current_app.config["DSERVER_MAX_TOKEN_LIFETIME"]
    if longest and (not lifetime or lifetime.total_seconds() > longest):
        raise Failure(
            f"The server accepts no tokens that work for longer than {longest} seconds (DSERVER_MAX_TOKEN_LIFETIME)"
        )


def _why_no_private_key() -> str:
    if current_app.config.get("JWT_PUBLIC_KEY"):
        return (
            "There is a public key only, which verifies tokens made elsewhere: "
            "make the token there, or set JWT_PRIVATE_KEY_FILE"
        )
    return "There is no private key to sign tokens with: run `flask init`, or set JWT_PRIVATE_KEY_FILE"
