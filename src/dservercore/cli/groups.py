"""``flask group``: users who are granted the same together."""

from __future__ import annotations

import click

from dservercore import db
from dservercore.catalog import groups
from dservercore.catalog.scope import OPERATOR, Grant
from dservercore.cli.arguments import LOCATION
from dservercore.cli.console import Failure, Group, say, say_json
from dservercore.errors import ConflictError, UnknownBaseURIError, UnknownGroupError, UnknownUserError

group_cli = Group("group", help="Manage groups of users, and their permissions.")


@group_cli.command(name="add")
@click.argument("group")
def add_group(group: str) -> None:
    """Make the group GROUP.

    A new group has no members and no permissions. No group can be in another one.

    \b
      flask group add imaging
      flask group member imaging alice
      flask group search_permission imaging s3://my-bucket
    """
    try:
        groups.add_group(group, actor=OPERATOR)
    except ConflictError:
        raise Failure(f"There is a group '{group}' already") from None
    db.commit()


@group_cli.command(name="delete")
@click.argument("group")
def delete_group(group: str) -> None:
    """Delete the group GROUP.

    Its members lose at once what only it granted them. It is no error if there is no such group; a line on stderr
    says so.
    """
    is_deleted = groups.delete_group(group, actor=OPERATOR)
    db.commit()
    if not is_deleted:
        say(f"There was no group '{group}': nothing deleted", err=True)


@group_cli.command(name="list")
def list_groups() -> None:
    """List the groups, their members and their permissions, as JSON."""
    say_json(groups.list_groups()[0])


@group_cli.command(name="member")
@click.argument("group")
@click.argument("username")
@click.option("--remove", is_flag=True, help="Take the user out of the group.")
def change_member(group: str, username: str, remove: bool) -> None:
    """Make USERNAME a member of GROUP.

    \b
      flask group member imaging alice
      flask group member imaging alice --remove
    """
    change = groups.remove_member if remove else groups.add_member
    try:
        is_changed = change(group, username, actor=OPERATOR)
    except UnknownGroupError:
        raise Failure(f"There is no group '{group}'") from None
    except UnknownUserError:
        raise Failure(f"User '{username}' not registered") from None
    db.commit()
    if not is_changed:
        what = "was no member" if remove else "is a member already"
        say(f"User '{username}' {what} of group '{group}': nothing changed", err=True)


_revoke_option = click.option("--revoke", is_flag=True, help="Take the permission back.")


@group_cli.command(name="search_permission")
@click.argument("group")
@click.argument("base_uri", type=LOCATION)
@_revoke_option
def give_search_permission(group: str, base_uri: str, revoke: bool) -> None:
    """Let the members of GROUP find and read datasets in BASE_URI.

    \b
      flask group search_permission imaging s3://my-bucket
      flask group search_permission imaging s3://my-bucket --revoke
    """
    _change_permission("search", group, base_uri, revoke)


@group_cli.command(name="register_permission")
@click.argument("group")
@click.argument("base_uri", type=LOCATION)
@_revoke_option
def give_register_permission(group: str, base_uri: str, revoke: bool) -> None:
    """Let the members of GROUP register datasets in BASE_URI.

    That includes to delete and, together with search permission, to edit them.

    \b
      flask group register_permission imaging s3://my-bucket
      flask group register_permission imaging s3://my-bucket --revoke
    """
    _change_permission("register", group, base_uri, revoke)


def _change_permission(kind: Grant, group: str, base_uri: str, revoke: bool) -> None:
    try:
        had = base_uri in groups.get_group(group)[f"{kind}_permissions_on_base_uris"]
        change = groups.revoke if revoke else groups.grant
        change(kind, group, base_uri, actor=OPERATOR)
    except UnknownBaseURIError:
        raise Failure(f"Base URI '{base_uri}' not registered") from None
    except UnknownGroupError:
        raise Failure(f"There is no group '{group}'") from None
    except ConflictError:
        raise Failure(f"Group '{group}' already has {kind} permissions") from None
    db.commit()
    if revoke and not had:
        say(f"Group '{group}' had no {kind} permission on '{base_uri}': nothing revoked", err=True)
