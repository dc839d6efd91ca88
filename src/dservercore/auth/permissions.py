"""Who may do what: turns a user name into an actor and the base URIs granted to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from flask import g
from sqlalchemy import Select, bindparam, select, union

from dservercore.catalog.scope import GRANTS, Actor, Credential, Grant, OperatorScope, Scope, acting
from dservercore.db import sql_db
from dservercore.db.fast_reads import Remembered, Row
from dservercore.db.usernames import canonical
from dservercore.errors import AuthenticationError, UnknownUserError
from dservercore.models import GRANT_TABLES, GROUP_GRANT_TABLES, BaseURI, User, group_members

_user, _base_uri = User.__table__, BaseURI.__table__
_ACTOR_COLUMNS = (_user.c.username, _user.c.is_admin, _user.c.id, _user.c.display_name, _user.c.tokens_since)
# Some databases find names that differ in case, or in spaces at the end: so rows are compared once more here.
_ACTOR = Remembered(select(*_ACTOR_COLUMNS).where(_user.c.username == bindparam("username")), tuple)


def _with_grants(kind: Grant) -> Select[Any]:
    """Return the statement for a user and, a row each, the base URIs where that user may do something.

    They are granted to the user, or to a group of theirs, or public.

    Where there are none, it has one row.
    """
    direct, of_group = GRANT_TABLES[kind], GROUP_GRANT_TABLES[kind]
    of_members = of_group.join(group_members, group_members.c.group_id == of_group.c.group_id)
    ways = [
        select(direct.c.user_id, direct.c.base_uri_id)
        .join(_user)
        .where(_user.c.username == bindparam("username")),
        select(group_members.c.user_id, of_group.c.base_uri_id)
        .select_from(of_members.join(_user, _user.c.id == group_members.c.user_id))
        .where(_user.c.username == bindparam("username")),
    ]
    if kind == "search":
        is_public = select(_user.c.id, _base_uri.c.id).join_from(_user, _base_uri, _base_uri.c.public)
        ways.append(is_public.where(_user.c.username == bindparam("username")))
    granted = union(*ways).subquery("granted")
    joined = _user.outerjoin(granted, granted.c.user_id == _user.c.id)
    return (
        select(*_ACTOR_COLUMNS, _base_uri.c.base_uri, _base_uri.c.id)
        .select_from(joined.outerjoin(_base_uri, _base_uri.c.id == granted.c.base_uri_id))
        .where(_user.c.username == bindparam("username"))
        .order_by(_base_uri.c.base_uri)
    )


def _user_and_grants(rows: Sequence[Row]) -> tuple[Row | None, dict[str, int]]:
    return rows[0] if rows else None, {uri: key for *_, uri, key in rows if uri is not None}


_ACTOR_WITH_GRANTS: dict[Grant, Remembered[tuple[Row | None, dict[str, int]]]] = {
    grant: Remembered(_with_grants(grant), _user_and_grants) for grant in GRANTS
}


def _by_uri(rows: Sequence[Row]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows}


_PUBLIC = Remembered(
    select(_base_uri.c.base_uri, _base_uri.c.id).where(_base_uri.c.public).order_by(_base_uri.c.base_uri),
    _by_uri,
)


def public_scope() -> Scope:
    """Return the base URIs that whoever comes may search."""
    return Scope("search", _PUBLIC.get({}))


def identify(username: str) -> Actor:
    """Return the registered user of a name, as it is spelt, or otherwise in NFC.

    If the request is made with a credential of that user which does not allow it, the actor is no administrator.

    :raises AuthenticationError: if nobody is registered under it
    """
    rows = _ACTOR.get({"username": username})
    if not rows or rows[0][0] != username:
        if (stored := canonical(username)) != username:
            return identify(stored)
        raise AuthenticationError(f"User {username!r} is not registered")
    return _actor(rows[0])


def identify_with_scope(username: str, grant: Grant) -> tuple[Actor, Scope]:
    """Return the registered user of a name, as it is spelt, or otherwise in NFC, and the user's scope for that grant.

    That takes one statement, and two for some names that are not in NFC. If the request is made with a credential of
    that user, the scope has no more in it than the credential allows.

    :raises AuthenticationError: if there is no such user
    """
    row, granted = _ACTOR_WITH_GRANTS[grant].get({"username": username})
    if row is None or row[0] != username:
        if (stored := canonical(username)) != username:
            return identify_with_scope(stored, grant)
        raise AuthenticationError(f"User {username!r} is not registered")
    actor = _actor(row)
    if (credential := actor.credential) is None:
        return actor, Scope(grant, granted)
    return actor, Scope(grant, granted).narrowed_to(uri for uri in granted if credential.allows(grant, uri))


def _actor(row: Row) -> Actor:
    username, is_admin, key, display_name, tokens_since, *_ = row
    credential: Credential | None = g.get("credential")
    if credential is None or credential.username != username:
        credential = None
    elif "admin" not in credential.may:
        is_admin = False
    return Actor(username, bool(is_admin), key, display_name, tokens_since, acting().origin, credential)


def scope_of_user(username: str, grant: Grant = "search") -> Scope:
    """Return the base URIs on which the user whom somebody asks about has that grant.

    :raises UnknownUserError: if nobody is registered under the name
    """
    try:
        return identify_with_scope(username, grant)[1]
    except AuthenticationError as error:
        raise UnknownUserError(error.message) from None


def scope_of(username: str, grant: Grant) -> Scope:
    """Return the base URIs on which a user has that grant: none, if the user is not registered."""
    try:
        return identify_with_scope(username, grant)[1]
    except AuthenticationError:
        return Scope(grant)


def usable_base_uris(username: str, may: Collection[str]) -> set[str]:
    """Return the base URIs where a user may do one at least of what a token is for; none of nobody.

    :param may: words such as ``search``; those that are about no base URI, or about nothing, are passed over
    """
    return {uri for grant in GRANTS if grant in may for uri in scope_of(username, grant).base_uris}


def as_allowed(user: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """Return the user object of an actor who asks, with no more in it than the credential of the request allows."""
    if actor.credential is None or actor.is_admin:
        return user
    allowed = {kind: partial(actor.credential.allows, kind) for kind in GRANTS}
    names = {kind: f"{kind}_permissions_on_base_uris" for kind in GRANTS}
    return (
        user
        | {name: list(filter(allowed[kind], user[name])) for kind, name in names.items()}
        | {"is_admin": False}
    )


def reasons_as_allowed(found: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """Return what an actor may do where, and why, with no more in it than the credential of the request allows."""
    credential = actor.credential
    if credential is None or actor.is_admin:
        return found
    allowed: dict[str, Any] = {
        kind: [reason for reason in found[kind] if credential.allows(kind, reason["base_uri"])]
        for kind in GRANTS
    }
    return found | allowed | {"is_admin": False}


def operator_scope(grant: Grant) -> Scope:
    """Return the scope of the operator at the command line: every registered base URI."""
    rows = sql_db.session.execute(select(BaseURI.base_uri, BaseURI.id)).all()
    return OperatorScope(grant, {row.base_uri: row.id for row in rows})
