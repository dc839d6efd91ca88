"""Who may do what: turns a user name into an actor and the base URIs granted to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Table, bindparam, select

from dservercore.db import sql_db
from dservercore.errors import AuthenticationError, UnknownUserError
from dservercore.models import GRANT_TABLES, BaseURI, User
from dservercore.reading import Remembered, Row
from dservercore.scope import Actor, Grant, OperatorScope, Scope, acting

_user, _base_uri = User.__table__, BaseURI.__table__
_ACTOR_COLUMNS = (_user.c.username, _user.c.is_admin, _user.c.id, _user.c.display_name, _user.c.tokens_since)
# Some databases take names for the same that differ in case, or in spaces at the end: that is looked at here.
_ACTOR = Remembered(select(*_ACTOR_COLUMNS).where(_user.c.username == bindparam("username")), tuple)


def _with_grants(granted: Table) -> Select[Any]:
    """Return the statement for a user and, a row each, the base URIs of *granted*; one row if there are none."""
    joined = _user.outerjoin(granted, granted.c.user_id == _user.c.id)
    return (
        select(*_ACTOR_COLUMNS, _base_uri.c.base_uri, _base_uri.c.id)
        .select_from(joined.outerjoin(_base_uri, _base_uri.c.id == granted.c.base_uri_id))
        .where(_user.c.username == bindparam("username"))
        .order_by(_base_uri.c.base_uri)
    )


def _user_and_grants(rows: Sequence[Row]) -> tuple[Row | None, dict[str, int]]:
    return rows[0] if rows else None, {uri: key for *_, uri, key in rows if uri is not None}


_ACTOR_WITH_GRANTS = {
    grant: Remembered(_with_grants(table), _user_and_grants) for grant, table in GRANT_TABLES.items()
}


def identify(username: str) -> Actor:
    """Return the registered user of that name.

    :raises AuthenticationError: if there is none
    """
    rows = _ACTOR.get({"username": username})
    if not rows or rows[0][0] != username:
        raise AuthenticationError(f"User {username!r} is not registered")
    return _actor(rows[0])


def identify_with_scope(username: str, grant: Grant) -> tuple[Actor, Scope]:
    """Return the registered user of that name and the base URIs with that grant, in one statement.

    :raises AuthenticationError: if there is no such user
    """
    row, granted = _ACTOR_WITH_GRANTS[grant].get({"username": username})
    if row is None or row[0] != username:
        raise AuthenticationError(f"User {username!r} is not registered")
    return _actor(row), Scope(grant, granted)


def _actor(row: Row) -> Actor:
    username, is_admin, key, display_name, tokens_since, *_ = row
    return Actor(username, bool(is_admin), key, display_name, tokens_since, acting().origin)


def scope_of_user(username: str, grant: Grant = "search") -> Scope:
    """Return the base URIs with that grant of a user that an administrator asks about.

    :raises UnknownUserError: if nobody is registered under the name
    """
    try:
        return identify_with_scope(username, grant)[1]
    except AuthenticationError as error:
        raise UnknownUserError(error.message) from None


def scope_of(username: str, grant: Grant) -> Scope:
    """Return the base URIs with that grant; none for a user who is not registered."""
    try:
        return identify_with_scope(username, grant)[1]
    except AuthenticationError:
        return Scope(grant)


def operator_scope(grant: Grant) -> Scope:
    """Return the scope of the operator at the command line: every registered base URI."""
    rows = sql_db.session.execute(select(BaseURI.base_uri, BaseURI.id)).all()
    return OperatorScope(grant, {row.base_uri: row.id for row in rows})
