"""Users, and what is granted to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from dservercore import db
from dservercore.catalog import audit, base_uris
from dservercore.catalog.scope import Actor, Grant
from dservercore.dataset.document import check_text
from dservercore.db import registered_names, sql_db
from dservercore.db.registered_names import same_but_for_case, spelling
from dservercore.db.usernames import canonical, checked_username, key_of
from dservercore.errors import ConflictError, UnknownUserError, ValidationError, invalid
from dservercore.models import DISPLAY_NAME_LENGTH, GRANT_TABLES, Group, User, group_members

_WITH_GRANTS = (selectinload(User.search_base_uris), selectinload(User.register_base_uris))
# Control characters, what breaks lines or turns the direction of text, halves of surrogate pairs.
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# Reading


def list_users(
    order: Mapping[str, int] | None = None,
    page: slice | None = None,
    *,
    services_only: bool = False,
    containing: str = "",
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the user objects, and how many users there are.

    :param order: ``{"username" | "is_admin": 1 | -1}``, ties by username; None: in the order of their registration
    :param page: positions of the users to return; None: all
    :param services_only: leave out people
    :param containing: a text that is in the name, or in the display name, in upper or lower case
    """
    keys = [getattr(User, field) for field in order or ()]
    ordered = [
        key.desc() if direction < 0 else key
        for key, direction in zip(keys, (order or {}).values(), strict=True)
    ]
    statement = select(User).options(*_WITH_GRANTS).order_by(*ordered, User.username if order else User.id)
    number = select(func.count(User.id))
    if services_only:
        statement, number = statement.where(User.is_service), number.where(User.is_service)
    if containing:
        has_text = _contains(containing)
        statement, number = statement.where(has_text), number.where(has_text)
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    users = sql_db.session.execute(statement).scalars()
    return [user.as_dict() for user in users], sql_db.session.execute(number).scalar_one()


def _contains(text: str) -> ColumnElement[bool]:
    name = func.coalesce(User.name_key, User.username)
    return or_(
        name.contains(key_of(text), autoescape=True), User.display_name.icontains(text, autoescape=True)
    )


def registered(usernames: Iterable[str]) -> set[str]:
    """Return those of *usernames* under which users are registered, in the spelling that is stored."""
    wanted = set(map(spelling, usernames))
    return set(sql_db.session.execute(select(User.username).where(User.username.in_(wanted))).scalars())


def get_user(username: str) -> dict[str, Any]:
    """Return the user object.

    :raises UnknownUserError: if nobody is registered under the name
    """
    return _get(spelling(username)).as_dict()


def key_of_user(username: str) -> int:
    """Return the primary key of a user.

    :raises UnknownUserError: if nobody is registered under the name
    """
    return _key_of(username, select(User.id))


def is_service(user_id: int) -> bool:
    """Return whether the user with a primary key is a service account: a program, which cannot sign in."""
    return bool(sql_db.session.execute(select(User.is_service).where(User.id == user_id)).scalar())


def first_names(number: int) -> list[str]:
    """Return so many user names at most, the first ones in order."""
    return list(sql_db.session.execute(select(User.username).order_by(User.username).limit(number)).scalars())


def services_among(usernames: Iterable[str]) -> set[str]:
    """Return those of *usernames* that are service accounts."""
    statement = select(User.username).where(User.is_service, User.username.in_(set(usernames)))
    return set(sql_db.session.execute(statement).scalars())


def groups_of(user_id: int) -> list[str]:
    """Return the names of the groups that the user with a primary key is in, in order."""
    statement = select(Group.name).join(group_members, group_members.c.group_id == Group.id)
    wanted = statement.where(group_members.c.user_id == user_id).order_by(Group.name)
    return list(sql_db.session.execute(wanted).scalars())


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
    username: str,
    is_admin: bool = False,
    display_name: str | None = None,
    *,
    is_service: bool = False,
    actor: Actor | None = None,
) -> None:
    """Register a user.

    :param is_service: whether it is a service account: a program, which has tokens and cannot sign in
    :raises ConflictError: if the name is taken
    :raises ValidationError: 422 for a name that nobody may have, or that differs from another one in case alone
    """
    properties = {"is_admin": is_admin, "display_name": display_name, "is_service": is_service}
    if not _insert(username, properties, actor):
        raise ConflictError(f"User {username!r} is registered already")


def put_user(username: str, properties: Mapping[str, Any], *, actor: Actor | None = None) -> bool:
    """Register a user, or set the properties of a registered one. Return whether the user is new.

    :param properties: ``is_admin`` (absent: False), ``display_name`` and ``is_service`` (absent: as they are).
        Permissions stay.
    :raises ConflictError: if *actor* is a user and this would leave no administrator; if ``is_service`` would change
    :raises ValidationError: 422 for a new name that nobody may have, or that differs from another one in case alone
    """
    while not _insert(username, properties, actor):
        try:
            _require_same_kind(username, properties.get("is_service"))
            update_user(username, {"is_admin": False, **properties}, actor=actor)
        except UnknownUserError:  # deleted just now
            continue
        return False
    return True


def _require_same_kind(username: str, is_wanted: bool | None) -> None:
    """Pass if a user is a service account, or is none, as it is wanted; None: either is.

    :raises ConflictError: otherwise: a person would lose sessions and passwords, and a program must never have had any
    """
    if is_wanted is not None and is_service(key_of_user(username)) != is_wanted:
        what = "no service account" if is_wanted else "a service account"
        raise ConflictError(
            f"User {username!r} is {what}, and stays that: delete and add the user for another kind"
        )


def _insert(username: str, properties: Mapping[str, Any], actor: Actor | None) -> bool:
    """Add a user with these properties, unless the name is taken. Return whether it was free."""
    check_text(username, "username")
    username = spelling(username)
    if username != canonical(username):  # registered so before names were stored in NFC
        return False
    try:
        checked_username(username)
    except ValidationError:
        if registered([username]):
            return False
        raise
    values: dict[str, Any] = {
        "username": username,
        "is_admin": bool(properties.get("is_admin")),
        "display_name": checked_display_name(properties.get("display_name")),
        **({"is_service": True} if properties.get("is_service") else {}),
    }
    registered_names.wait_for_another_second(username)
    db.begin_write()
    if _is_taken(username) or not _insert_row(values):
        return False
    audit.record(actor, "user.create", values.pop("username"), values)
    return True


def _is_taken(username: str) -> bool:
    """Return whether somebody is registered under a name.

    :raises ValidationError: 422 if nobody is, but a user's name differs from it in upper and lower case alone
    """
    names = same_but_for_case(username)
    if names and username not in names:
        raise invalid("username", f"differs from that of user {names[0]!r} in upper and lower case alone")
    return bool(names)


def _insert_row(values: Mapping[str, Any]) -> bool:
    """Insert the row of a user. Return False if the name is taken, also by a request at the same moment.

    :raises ValidationError: 422 if a name taken at the same moment differs from it in upper and lower case alone
    """
    if not db.locks_rows():
        return db.insert_if_new(User.__table__, ("username",), values)
    try:
        with sql_db.session.begin_nested():
            return db.insert_if_new(User.__table__, ("username",), values)
    except IntegrityError:
        if _is_taken(values["username"]):
            return False
        raise


def update_user(username: str, changes: Mapping[str, Any], *, actor: Actor | None = None) -> dict[str, Any]:
    """Set properties of a user. Return the user object.

    :param changes: ``is_admin`` (None: leave it as it is) and ``display_name`` (None: clear it); what is absent stays
    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if *actor* is a user and this would leave no administrator
    :raises ValidationError: 422 for a display name that is too long, or has control characters
    """
    username = spelling(username)
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
    """Remove a user and the permissions granted to that user; datasets stay. Return whether the user was registered.

    :raises ConflictError: if *actor* is a user and this would leave no administrator
    """
    username = spelling(username)
    db.begin_write()
    _keep_an_administrator(username, actor)
    # The user's row is locked before the grants, as it is by whoever grants a permission.
    sql_db.session.execute(select(User.id).where(User.username == username).with_for_update())
    try:
        found = _get(username)
    except UnknownUserError:
        return False
    groups = groups_of(found.id)
    lost = found.as_dict() | ({"groups": groups} if groups else {})
    audit.record(actor, "user.delete", lost.pop("username"), lost)
    registered_names.note_deletion([username])
    for table in (*GRANT_TABLES.values(), group_members):
        sql_db.session.execute(delete(table).where(table.c.user_id == found.id))
    # Through the table: a deletion through the model would be noted once more (see catalog/orm_rows.py).
    sql_db.session.execute(delete(User.__table__).where(User.__table__.c.id == found.id))
    sql_db.session.expunge(found)
    return True


def grant(kind: Grant, username: str, base_uri: str, *, actor: Actor | None = None) -> dict[str, Any]:
    """Grant a user search or register permission on a base URI. Return the user object.

    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnknownUserError: if the base URI is registered, and the user is not
    :raises ConflictError: if the user has the permission already
    """
    username = spelling(username)
    db.begin_write()
    row = _grant_row(username, base_uri)
    if not db.insert_if_new(GRANT_TABLES[kind], ("user_id", "base_uri_id"), row):
        raise ConflictError(f"User {username!r} already has {kind} permissions")
    audit.record(actor, f"grant.{kind}", username, base_uri=base_uri)
    return get_user(username)


def revoke(kind: Grant, username: str, base_uri: str, *, actor: Actor | None = None) -> dict[str, Any]:
    """Take a permission back; no error if it was not granted. Return the user object.

    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnknownUserError: if the base URI is registered, and the user is not
    """
    username = spelling(username)
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
    return {"user_id": hold(username), "base_uri_id": base_uri_id}


def hold(username: str) -> int:
    """Return the primary key of a user whom nobody deletes until this transaction ends.

    :raises UnknownUserError: if nobody is registered under the name
    """
    return _key_of(username, select(User.id).with_for_update(read=True, key_share=True))


def _key_of(username: str, statement: Select[Any]) -> int:
    username = spelling(username)
    user_id = sql_db.session.execute(statement.where(User.username == username)).scalar()
    if user_id is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    return user_id


def _keep_an_administrator(username: str, actor: Actor | None) -> None:
    """Pass if an administrator is left without this user, or if the operator acts, who can always make one.

    :raises ConflictError: if this user is the last administrator
    """
    if actor is None or actor.username is None:
        return
    # Locked until the transaction ends: else two administrators could remove each other at the same moment.
    held = select(User.username).where(User.is_admin).order_by(User.id).with_for_update(key_share=True)
    if set(sql_db.session.execute(held).scalars()) == {username}:
        raise ConflictError(f"User {username!r} is the last administrator")


def checked_display_name(display_name: str | None) -> str | None:
    """Return a display name of at most 255 characters, none of which controls how text is shown; None stays None.

    :raises ValidationError: 422 that says what is wrong
    """
    if display_name is None:
        return None
    if len(display_name) > DISPLAY_NAME_LENGTH:
        raise invalid("display_name", f"must have at most {DISPLAY_NAME_LENGTH} characters")
    if acting := _NOT_SHOWN.search(display_name):
        code = f"U+{ord(acting[0]):04X}"
        raise invalid("display_name", f"contains a control character, or one that turns text round ({code})")
    return display_name
