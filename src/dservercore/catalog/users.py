"""Users, and what is granted to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import selectinload

from dservercore import db
from dservercore.catalog import base_uris
from dservercore.db import sql_db
from dservercore.errors import ConflictError, UnknownUserError, invalid
from dservercore.models import DISPLAY_NAME_LENGTH, GRANT_TABLES, USERNAME_LENGTH, User
from dservercore.scope import Actor, Grant

_WITH_GRANTS = (selectinload(User.search_base_uris), selectinload(User.register_base_uris))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


# Reading


def list_users(
    order: Mapping[str, int] | None = None, page: slice | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the user objects, and how many users there are.

    :param order: ``{"username" | "is_admin": 1 | -1}``, ties by username; None: in the order of their registration
    """
    keys = [getattr(User, field) for field in order or ()]
    ordered = [
        key.desc() if direction < 0 else key
        for key, direction in zip(keys, (order or {}).values(), strict=True)
    ]
    statement = select(User).options(*_WITH_GRANTS).order_by(*ordered, User.username if order else User.id)
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    users = sql_db.session.execute(statement).scalars()
    return [user.as_dict() for user in users], sql_db.session.execute(
        select(func.count(User.id))
    ).scalar_one()


def registered(usernames: Iterable[str]) -> set[str]:
    """Return those of *usernames* that are registered."""
    return set(
        sql_db.session.execute(select(User.username).where(User.username.in_(set(usernames)))).scalars()
    )


def get_user(username: str) -> dict[str, Any]:
    """Return the user object.

    :raises UnknownUserError: if nobody is registered under the name
    """
    return _get(username).as_dict()


def _get(username: str) -> User:
    statement = select(User).options(*_WITH_GRANTS).where(User.username == username)
    user = sql_db.session.execute(statement.execution_options(populate_existing=True)).scalar_one_or_none()
    if user is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    return user


# Writing


def add_user(username: str, is_admin: bool = False, display_name: str | None = None) -> None:
    """Register a user.

    :raises ConflictError: if the name is taken
    :raises ValidationError: 422 for a name that is empty, too long or has control characters
    """
    if not _insert(username, {"is_admin": is_admin, "display_name": display_name}):
        raise ConflictError(f"User {username!r} is registered already")


def put_user(username: str, properties: Mapping[str, Any], *, actor: Actor | None = None) -> bool:
    """Register a user, or set the properties of one. Return whether the user is new.

    :param properties: ``is_admin`` (absent: False) and ``display_name`` (absent: as it is). Permissions stay.
    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    if _insert(username, properties):
        return True
    update_user(username, {"is_admin": False, **properties}, actor=actor)
    return False


def _insert(username: str, properties: Mapping[str, Any]) -> bool:
    """Add a user with these properties, unless the name is taken. Return whether it was free."""
    values = {
        "username": checked_username(username),
        "is_admin": bool(properties.get("is_admin")),
        "display_name": checked_display_name(properties.get("display_name")),
    }
    db.begin_write()
    return bool(db.changed_rows(db.upsert(User.__table__, ("username",)), values))


def update_user(username: str, changes: Mapping[str, Any], *, actor: Actor | None = None) -> dict[str, Any]:
    """Set ``is_admin`` (None: leave it) and ``display_name`` (None: clear it); what is absent stays. Return the user.

    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    db.begin_write()
    user = _get(username)
    if changes.get("is_admin") is not None:
        if user.is_admin and not changes["is_admin"]:
            _keep_an_administrator(username, actor)
        user.is_admin = changes["is_admin"]
    if "display_name" in changes:
        user.display_name = checked_display_name(changes["display_name"])
    sql_db.session.flush()
    return user.as_dict()


def delete_user(username: str, *, actor: Actor | None = None) -> bool:
    """Remove a user and the grants; datasets stay. Return whether there was one.

    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    db.begin_write()
    found = sql_db.session.execute(select(User.id, User.is_admin).where(User.username == username)).first()
    if found is None:
        return False
    if found.is_admin:
        _keep_an_administrator(username, actor)
    for table in GRANT_TABLES.values():
        sql_db.session.execute(delete(table).where(table.c.user_id == found.id))
    sql_db.session.execute(delete(User).where(User.id == found.id))
    return True


def grant(kind: Grant, username: str, base_uri: str) -> dict[str, Any]:
    """Grant a user search or register permission on a base URI. Return the user object.

    :raises UnknownBaseURIError, UnknownUserError: in this order
    :raises ConflictError: if it is granted already
    """
    db.begin_write()
    insert = db.upsert(GRANT_TABLES[kind], ("user_id", "base_uri_id"))
    if not db.changed_rows(insert, _grant_row(username, base_uri)):
        raise ConflictError(f"User {username!r} already has {kind} permissions")
    return get_user(username)


def revoke(kind: Grant, username: str, base_uri: str) -> dict[str, Any]:
    """Take a permission back; no error if it was not granted. Return the user object.

    :raises UnknownBaseURIError, UnknownUserError: in this order
    """
    db.begin_write()
    table, row = GRANT_TABLES[kind], _grant_row(username, base_uri)
    sql_db.session.execute(
        delete(table).where(table.c.user_id == row["user_id"], table.c.base_uri_id == row["base_uri_id"])
    )
    return get_user(username)


def _grant_row(username: str, base_uri: str) -> dict[str, int]:
    base_uri_id = base_uris.get_id(base_uri)
    user_id = sql_db.session.execute(select(User.id).where(User.username == username)).scalar()
    if user_id is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    return {"user_id": user_id, "base_uri_id": base_uri_id}


def _keep_an_administrator(username: str, actor: Actor | None) -> None:
    """Pass if another administrator is left, or the operator asks, who can always make one."""
    if actor is None or actor.username is None:
        return
    others = select(func.count(User.id)).where(User.is_admin, User.username != username)
    if not sql_db.session.execute(others).scalar_one():
        raise ConflictError(f"User {username!r} is the last administrator")


def checked_username(username: str) -> str:
    """Return a user name of 1 to 64 characters without control characters, and without spaces round it."""
    if not 1 <= len(username) <= USERNAME_LENGTH:
        raise invalid("username", f"must have 1 to {USERNAME_LENGTH} characters")
    if _CONTROL.search(username):
        raise invalid("username", "contains a control character")
    if username != username.strip():  # which nobody would see, and some databases do not count
        raise invalid("username", "must not begin or end with a space")
    return username


def checked_display_name(display_name: str | None) -> str | None:
    """Return a display name of at most 255 characters, or None."""
    if display_name is not None and len(display_name) > DISPLAY_NAME_LENGTH:
        raise invalid("display_name", f"must have at most {DISPLAY_NAME_LENGTH} characters")
    return display_name
