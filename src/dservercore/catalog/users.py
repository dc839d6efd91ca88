"""Users, and what is granted to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import selectinload

from dservercore import db, registered_names
from dservercore.catalog import audit, base_uris
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


def _get(username: str, hold: bool = False) -> User:
    statement = select(User).options(*_WITH_GRANTS).where(User.username == username)
    if hold:
        statement = statement.with_for_update(key_share=True)
    user = sql_db.session.execute(statement.execution_options(populate_existing=True)).scalar_one_or_none()
    if user is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    return user


# Writing


def add_user(
    username: str, is_admin: bool = False, display_name: str | None = None, *, actor: Actor | None = None
) -> None:
    """Register a user.

    :raises ConflictError: if the name is taken
    :raises ValidationError: 422 for a name that is empty, too long or has control characters
    """
    if not _insert(username, {"is_admin": is_admin, "display_name": display_name}, actor):
        raise ConflictError(f"User {username!r} is registered already")


def put_user(username: str, properties: Mapping[str, Any], *, actor: Actor | None = None) -> bool:
    """Register a user, or set the properties of one. Return whether the user is new.

    :param properties: ``is_admin`` (absent: False) and ``display_name`` (absent: as it is). Permissions stay.
    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    while not _insert(username, properties, actor):
        try:
            update_user(username, {"is_admin": False, **properties}, actor=actor)
        except UnknownUserError:  # deleted just now
            continue
        return False
    return True


def _insert(username: str, properties: Mapping[str, Any], actor: Actor | None) -> bool:
    """Add a user with these properties, unless the name is taken. Return whether it was free."""
    values: dict[str, Any] = {
        "username": checked_username(username),
        "is_admin": bool(properties.get("is_admin")),
        "display_name": checked_display_name(properties.get("display_name")),
    }
    registered_names.wait_for_another_second(values["username"])
    db.begin_write()
    if not db.insert_if_new(User.__table__, ("username",), values):
        return False
    audit.record(actor, "user.create", values.pop("username"), values)
    return True


def update_user(username: str, changes: Mapping[str, Any], *, actor: Actor | None = None) -> dict[str, Any]:
    """Set ``is_admin`` (None: leave it) and ``display_name`` (None: clear it); what is absent stays. Return the user.

    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    db.begin_write()
    is_admin = changes.get("is_admin")
    if is_admin is not None and not is_admin:
        _keep_an_administrator(username, actor)
    user = _get(username, hold=True)
    before = {"is_admin": user.is_admin, "display_name": user.display_name}
    if is_admin is not None:
        user.is_admin = bool(is_admin)
    if "display_name" in changes:
        user.display_name = checked_display_name(changes["display_name"])
    sql_db.session.flush()
    changed = {name: [old, getattr(user, name)] for name, old in before.items() if old != getattr(user, name)}
    # How people call themselves is their own affair.
    if changed and not (actor and actor.username == username and set(changed) == {"display_name"}):
        audit.record(actor, "user.update", username, changed)
    return user.as_dict()


def delete_user(username: str, *, actor: Actor | None = None) -> bool:
    """Remove a user and the grants; datasets stay. Return whether there was one.

    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    db.begin_write()
    _keep_an_administrator(username, actor)
    # The user before the grants: who grants one holds the user first, too.
    sql_db.session.execute(select(User.id).where(User.username == username).with_for_update())
    try:
        found = _get(username)
    except UnknownUserError:
        return False
    lost = found.as_dict()
    audit.record(actor, "user.delete", lost.pop("username"), lost)
    registered_names.note_deletion([username])
    for table in GRANT_TABLES.values():
        sql_db.session.execute(delete(table).where(table.c.user_id == found.id))
    # The table, as its deletion through the model is watched, and has been noted.
    sql_db.session.execute(delete(User.__table__).where(User.__table__.c.id == found.id))
    sql_db.session.expunge(found)
    return True


def grant(kind: Grant, username: str, base_uri: str, *, actor: Actor | None = None) -> dict[str, Any]:
    """Grant a user search or register permission on a base URI. Return the user object.

    :raises UnknownBaseURIError, UnknownUserError: in this order
    :raises ConflictError: if it is granted already
    """
    db.begin_write()
    row = _grant_row(username, base_uri)
    if not db.insert_if_new(GRANT_TABLES[kind], ("user_id", "base_uri_id"), row):
        raise ConflictError(f"User {username!r} already has {kind} permissions")
    audit.record(actor, f"grant.{kind}", username, base_uri=base_uri)
    return get_user(username)


def revoke(kind: Grant, username: str, base_uri: str, *, actor: Actor | None = None) -> dict[str, Any]:
    """Take a permission back; no error if it was not granted. Return the user object.

    :raises UnknownBaseURIError, UnknownUserError: in this order
    """
    db.begin_write()
    table, row = GRANT_TABLES[kind], _grant_row(username, base_uri)
    granted = delete(table).where(
        table.c.user_id == row["user_id"], table.c.base_uri_id == row["base_uri_id"]
    )
    if db.changed_rows(granted):
        audit.record(actor, f"revoke.{kind}", username, base_uri=base_uri)
    return get_user(username)


def _grant_row(username: str, base_uri: str) -> dict[str, int]:
    base_uri_id = base_uris.hold(base_uri)
    held = select(User.id).where(User.username == username).with_for_update(read=True, key_share=True)
    user_id = sql_db.session.execute(held).scalar()
    if user_id is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    return {"user_id": user_id, "base_uri_id": base_uri_id}


def _keep_an_administrator(username: str, actor: Actor | None) -> None:
    """Pass if somebody else is an administrator, or this user is none, or the operator asks, who can make one."""
    if actor is None or actor.username is None:
        return
    # Held until the transaction ends, or two who remove each other at the same moment would leave none.
    held = select(User.username).where(User.is_admin).order_by(User.id).with_for_update(key_share=True)
    if set(sql_db.session.execute(held).scalars()) == {username}:
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
