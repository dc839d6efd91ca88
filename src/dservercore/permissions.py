"""Who may do what: turns a user name into an actor and the base URIs granted to it."""

from __future__ import annotations

from sqlalchemy import select

from dservercore.db import sql_db
from dservercore.errors import AuthenticationError, UnknownUserError
from dservercore.models import GRANT_TABLES, BaseURI, User
from dservercore.scope import Actor, Grant, Scope

_ACTOR_COLUMNS = (User.username, User.is_admin, User.id, User.display_name)


def identify(username: str) -> Actor:
    """Return the registered user of that name.

    :raises AuthenticationError: if there is none
    """
    row = sql_db.session.execute(select(*_ACTOR_COLUMNS).where(User.username == username)).first()
    if row is None:
        raise AuthenticationError(f"User {username!r} is not registered")
    return Actor(*row)


def identify_with_scope(username: str, grant: Grant) -> tuple[Actor, Scope]:
    """Return the registered user of that name and the base URIs with that grant, in one statement.

    :raises AuthenticationError: if there is no such user
    """
    granted = GRANT_TABLES[grant]
    statement = (
        select(*_ACTOR_COLUMNS, BaseURI.base_uri, BaseURI.id)
        .outerjoin(granted, granted.c.user_id == User.id)
        .outerjoin(BaseURI, BaseURI.id == granted.c.base_uri_id)
        .where(User.username == username)
        .order_by(BaseURI.base_uri)
    )
    rows = sql_db.session.execute(statement).all()
    if not rows:
        raise AuthenticationError(f"User {username!r} is not registered")
    return Actor(*rows[0][:4]), Scope(grant, {uri: key for *_, uri, key in rows if uri is not None})


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
    return Scope(grant, {row.base_uri: row.id for row in rows})
