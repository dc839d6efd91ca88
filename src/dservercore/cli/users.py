"""``flask user``: users, their permissions, and their tokens."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

import click
from flask import current_app

from dservercore import db
from dservercore.auth import permissions
from dservercore.catalog import audience, external_users, personal_tokens, users
from dservercore.catalog.personal_tokens import Wish
from dservercore.catalog.scope import MAY, OPERATOR, Grant
from dservercore.cli.arguments import DURATION, LOCATION, PERMISSION_CHANGE
from dservercore.cli.console import CommandWithRoutes, Failure, Group, count_of, say, say_json
from dservercore.errors import (
    ConflictError,
    UnknownBaseURIError,
    UnknownTokenError,
    UnknownUserError,
    ValidationError,
)

user_cli = Group("user", help="Manage users, their permissions and their tokens.")


@user_cli.command(name="add")
@click.argument("username")
@click.option("-a", "--is_admin", is_flag=True, help="Make the user an administrator.")
@click.option("--display-name", metavar="NAME", help="The user's name, as people write it.")
@click.option("--service", is_flag=True, help="It is a program, which has tokens and cannot sign in.")
def register_user(username: str, is_admin: bool, display_name: str | None, service: bool) -> None:
    """Add the user USERNAME.

    USERNAME is the subject ("sub") of the tokens with which the user authenticates, at most 64 characters. A new user
    has no permissions; see `flask user search_permission --help`.

    \b
      flask user add alice --display-name "Alice Liddell"
      flask user add sequencer --service
    """
    try:
        users.add_user(username, is_admin, display_name, is_service=service, actor=OPERATOR)
    except ConflictError:
        raise Failure(f"User '{username}' already registered") from None
    db.commit()


@user_cli.command(name="update")
@click.argument("username")
@click.option(
    "-a",
    "--is_admin/--no-is_admin",
    default=None,
    help="Make the user an administrator, or no longer one.  [default: no longer one]",
)
@click.option("--display-name", metavar="NAME", help="The user's name, as people write it; empty: none.")
def update_user(username: str, is_admin: bool | None, display_name: str | None) -> None:
    """Change what USERNAME may do, and is called.

    Without --is_admin an administrator is none afterwards, whatever else is changed; a line on stderr says so. A
    display name that is not given stays as it is.

    \b
      flask user update --is_admin alice                               # alice becomes an administrator
      flask user update --is_admin --display-name "Alice L." alice     # and stays one
      flask user update alice                                          # alice is an administrator no longer
    """
    changes: dict[str, Any] = {"is_admin": bool(is_admin)}
    if display_name is not None:
        changes["display_name"] = display_name or None
    try:
        was_admin = users.get_user(username)["is_admin"]
        users.update_user(username, changes, actor=OPERATOR)
    except UnknownUserError:
        raise Failure(f"User '{username}' is not registered yet") from None
    db.commit()
    if is_admin is None:
        what = "is no longer an administrator" if was_admin else "is no administrator, as before"
        say(f"User '{username}' {what}: without --is_admin, update takes that away", err=True)


@user_cli.command(name="delete")
@click.argument("username")
def delete_user(username: str) -> None:
    """Delete the user USERNAME.

    The user's permissions go too. Tokens of a deleted user stop working at once. Datasets that the user registered
    stay. It is no error if there is no such user; a line on stderr says so.
    """
    is_deleted = users.delete_user(username, actor=OPERATOR)
    db.commit()
    if not is_deleted:
        say(f"User '{username}' was not registered: nothing deleted", err=True)


@user_cli.command(name="link")
@click.argument("username")
@click.argument("source")
@click.option(
    "--key", metavar="KEY", help="What SOURCE calls the user for ever: a subject (`sub`), for example."
)
@click.option("--remove", is_flag=True, help="Have SOURCE no longer sign the user in.")
def link_user(username: str, source: str, key: str | None, remove: bool) -> None:
    """Have SOURCE sign USERNAME in.

    SOURCE is ldap, or oidc: and the name of a provider. Without --key, it means whomever it calls by this name first.
    A service account needs it: with it, access tokens that the provider makes for a program are the account's.

    \b
      flask user link alice oidc:keycloak
      flask user link robot oidc:keycloak --key 0a1b2c3d-1234-5678-9abc-def012345678
      flask user link alice oidc:keycloak --remove
    """
    if remove and key:
        raise click.UsageError("--key and --remove exclude each other.")
    try:
        if remove:
            is_changed = external_users.unlink(username, source, actor=OPERATOR)
        else:
            external_users.link(username, source, key, actor=OPERATOR)
            is_changed = True
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    db.commit()
    if is_changed:
        say(
            f"Sessions have ended, tokens have not: `flask user revoke-tokens {username}` ends those, too",
            err=True,
        )
    else:
        say(f"User '{username}' is not signed in by '{source}': nothing removed", err=True)


@user_cli.command(name="list")
@click.option("--service", is_flag=True, help="List programs alone, which have tokens and cannot sign in.")
def list_users(service: bool) -> None:
    """List the users and their permissions, as JSON."""
    say_json(users.list_users(services_only=service)[0])


@user_cli.command(name="permissions")
@click.argument("username")
@click.option(
    "--grant",
    multiple=True,
    type=PERMISSION_CHANGE,
    metavar="KIND:BASE_URI",
    help="What if this were granted: search:s3://my-bucket",
)
@click.option(
    "--revoke",
    multiple=True,
    type=PERMISSION_CHANGE,
    metavar="KIND:BASE_URI",
    help="What if this were granted no longer.",
)
@click.option("--member-of", multiple=True, metavar="GROUP", help="What if the user were in this group, too.")
def show_permissions(
    username: str, grant: tuple[str, ...], revoke: tuple[str, ...], member_of: tuple[str, ...]
) -> None:
    """Show what USERNAME may do where, and why.

    Prints JSON. With options, it also says what they would change; nothing is changed.

    \b
      flask user permissions alice
      flask user permissions alice --member-of imaging
      flask user permissions alice --grant search:s3://my-bucket
    """
    try:
        say_json(audience.permissions_of(username, audience.Change(grant, revoke, member_of)))
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None


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
    had = _has(kind, username, base_uri)
    try:
        change(kind, username, base_uri, actor=OPERATOR)
    except UnknownBaseURIError:
        raise Failure(f"Base URI '{base_uri}' not registered") from None
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    except ConflictError:
        raise Failure(f"User '{username}' already has {kind} permissions") from None
    db.commit()
    if revoke and not had:
        say(f"User '{username}' had no {kind} permission on '{base_uri}': nothing revoked", err=True)


def _has(kind: Grant, username: str, base_uri: str) -> bool:
    with suppress(UnknownUserError):
        return base_uri in users.get_user(username)[f"{kind}_permissions_on_base_uris"]
    return False


@user_cli.command(name="tokens")
@click.argument("username")
@click.option("--create", metavar="NAME", help="Make a token of this name, and print it.")
@click.option("--revoke", metavar="ID", type=int, help="End the token with this number.")
@click.option(
    "--expires-in",
    type=DURATION,
    metavar="TIME",
    help="How long the new one works: a number and s, m, h, d or w.  [default: 90d, or less where the server says so]",
)
@click.option("--last-forever", is_flag=True, help="The new one never expires.")
@click.option(
    "--may",
    multiple=True,
    type=click.Choice(MAY),
    help="What the new one may do, as far as its owner may.  [default: search]",
)
@click.option(
    "--base-uri",
    multiple=True,
    type=LOCATION,
    metavar="BASE_URI",
    help="Where the new one may do that.  [default: wherever its owner may]",
)
def personal_tokens_of_user(
    username: str,
    create: str | None,
    revoke: int | None,
    expires_in: timedelta | None,
    last_forever: bool,
    may: tuple[str, ...],
    base_uri: tuple[str, ...],
) -> None:
    """Manage tokens of USERNAME for programs.

    Without an option it lists them, as JSON. A token is printed once, when it is made: the server keeps no more than
    what it recognises it by. It may never do more than USERNAME may at the moment.

    \b
      flask user tokens sequencer
      flask user tokens sequencer --create nightly --may register --base-uri s3://my-bucket
      flask user tokens sequencer --revoke 3
    """
    about_new = {
        "--expires-in": expires_in,
        "--last-forever": last_forever,
        "--may": may,
        "--base-uri": base_uri,
    }
    given = [option for option, value in about_new.items() if value]
    if create is not None and revoke is not None:
        raise click.UsageError("--create and --revoke exclude each other.")
    if create is None and given:
        raise click.UsageError(f"{given[0]} is about a new token: it needs --create.")
    if last_forever and expires_in:
        raise click.UsageError("--last-forever and --expires-in exclude each other.")
    try:
        if create is not None:
            lifetime: dict[str, int | None] = {"expires_in": None} if last_forever else {}
            if expires_in:
                lifetime = {"expires_in": int(expires_in.total_seconds())}
            _create_token(username, create, lifetime, may or ("search",), base_uri)
        elif revoke is not None:
            personal_tokens.delete_token(username, revoke, actor=OPERATOR)
            db.commit()
        else:
            say_json(personal_tokens.list_tokens(username))
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    except UnknownTokenError:
        raise Failure(f"User '{username}' has no token {revoke}") from None


def _create_token(
    username: str,
    name: str,
    lifetime: dict[str, int | None],
    may: tuple[str, ...],
    base_uris: tuple[str, ...],
) -> None:
    try:
        seconds = personal_tokens.lifetime_of(lifetime, current_app.config["DSERVER_MAX_TOKEN_LIFETIME"])
        wish = Wish(name, seconds, may, base_uris or None)
        usable = permissions.usable_base_uris(username, may)
        made = personal_tokens.create_token(username, wish, usable, actor=OPERATOR)
    except (ConflictError, ValidationError) as error:
        raise Failure(error.message) from None
    db.commit()
    click.echo(made["token"])


@user_cli.command(name="revoke-tokens")
@click.argument("username")
def revoke_tokens(username: str) -> None:
    """End all tokens and sessions of USERNAME.

    Tokens of every kind that were made before, sessions of browsers and sign-in links are refused from now on, in every
    process of the server. What is made afterwards works. It says how many there were; tokens of `flask user token` are
    kept nowhere and cannot be counted.

    \b
      flask user revoke-tokens alice
    """
    try:
        revocation = personal_tokens.revoke_all(username, actor=OPERATOR)
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    db.commit()
    revocation.wait()
    numbers = revocation.numbers
    ended = (
        f"{count_of(numbers['tokens'], 'token')} for programs",
        count_of(numbers["sessions"], "session"),
        count_of(numbers["links"], "sign-in link"),
    )
    say(f"Ended {', '.join(ended)}, and every other token of user '{username}'")


@user_cli.command(name="token", cls=CommandWithRoutes)
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
    # Every other command starts sooner without the library, which brings cryptography.
    from flask_jwt_extended import create_access_token
    from flask_jwt_extended.config import config as jwt_config

    try:
        users.get_user(username)
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    if not current_app.config.get("JWT_PRIVATE_KEY"):
        raise Failure(_why_no_private_key())
    _require_acceptable(None if last_forever else expires_in or jwt_config.access_expires)
    click.echo(create_access_token(username, expires_delta=False if last_forever else expires_in))


@user_cli.command(name="password")
@click.argument("username")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--remove", is_flag=True, help="Take the password away.")
def set_password(username: str, from_stdin: bool, remove: bool) -> None:
    """Set the password with which USERNAME signs in.

    It is asked for twice, or read from standard input: it is no argument, because everybody on this machine can see
    those. The user's sessions in browsers end.

    \b
      flask user password alice
      pass show dserver/alice | flask user password alice --stdin
      flask user password alice --remove
    """
    if from_stdin and remove:
        raise click.UsageError("--stdin and --remove exclude each other.")
    # With what makes hashes, which every other command does without.
    from dservercore.catalog import passwords

    try:
        if remove:
            had_one = passwords.remove_password(username, actor=OPERATOR)
        else:
            users.get_user(username)
            passwords.set_password(username, _new_password(from_stdin), actor=OPERATOR)
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    db.commit()
    if remove and not had_one:
        say(f"User '{username}' had no password: nothing removed", err=True)


def _new_password(from_stdin: bool) -> str:
    if from_stdin:
        try:
            return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise Failure("The password is not text in UTF-8") from None
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the password at: use --stdin.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password


@user_cli.command(name="login-link")
@click.argument("username")
def make_login_link(username: str) -> None:
    """Print an address that signs USERNAME in.

    It works once, within ten minutes, for whoever opens it and presses the button there. It begins with
    DSERVER_EXTERNAL_URL.

    \b
      flask user login-link alice
    """
    from dservercore.cli.login_link import new_link

    try:
        link = new_link(username)
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    db.commit()
    click.echo(link)


@user_cli.command(name="sessions")
@click.argument("username")
@click.option("--end", is_flag=True, help="End them.")
def show_sessions(username: str, end: bool) -> None:
    """Show in which browsers USERNAME is signed in.

    Prints JSON; times are seconds since the epoch, UTC.

    \b
      flask user sessions alice
      flask user sessions alice --end
    """
    from dservercore.catalog import sessions

    limits = sessions.Limits(
        current_app.config["DSERVER_SESSION_IDLE"], current_app.config["DSERVER_SESSION_LIFETIME"]
    )
    try:
        if end:
            sessions.end_all_of(username, actor=OPERATOR)
            db.commit()
        else:
            say_json(sessions.list_of(username, limits))
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None


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
