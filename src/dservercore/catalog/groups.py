"""Groups: users who are granted the same together. No group is in another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, delete, func, select

from dservercore import db
from dservercore.catalog import audit, base_uris, users
from dservercore.catalog.scope import GRANTS, Actor, Grant
from dservercore.dataset.document import check_text
from dservercore.db import sql_db
from dservercore.db.usernames import canonical, checked_name, key_of
from dservercore.errors import ConflictError, UnknownGroupError, invalid
from dservercore.models import GROUP_GRANT_TABLES, BaseURI, Group, User, group_members

_group, _user, _base_uri = Group.__table__, User.__table__, BaseURI.__table__


# Reading


def list_groups(
    order: Mapping[str, int] | None = None, page: slice | None = None, *, containing: str = ""
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the group objects, and how many groups there are.

    A group object: ``group``, ``members`` (user names), ``search_permissions_on_base_uris`` and
    ``register_permissions_on_base_uris``.

    :param order: ``{"group": 1 | -1}``; None: by name
    :param page: positions of the groups to return; None: all
    :param containing: a text that is in the name, in upper or lower case
    """
    descending = (order or {}).get("group", 1) < 0
    statement = select(_group.c.id, _group.c.name).order_by(
        _group.c.name.desc() if descending else _group.c.name
    )
    number = select(func.count()).select_from(_group)
    if containing:
        has_text = _group.c.name_key.contains(key_of(containing), autoescape=True)
        statement, number = statement.where(has_text), number.where(has_text)
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    rows = sql_db.session.execute(statement).all()
    total = sql_db.session.execute(number).scalar_one()
    return _objects({row.id: row.name for row in rows}), total


def first_names(number: int) -> list[str]:
    """Return so many names of groups at most, the first ones in order."""
    return list(sql_db.session.execute(select(_group.c.name).order_by(_group.c.name).limit(number)).scalars())


def get_group(name: str) -> dict[str, Any]:
    """Return the group object.

    :raises UnknownGroupError: if there is no such group
    """
    name = canonical(name)
    [found] = _objects({_id_of(name): name})
    return found


def _id_of(name: str, hold: bool = False) -> int:
    """Return the primary key of a group; with *hold*, of one that nobody deletes until this transaction ends.

    :raises UnknownGroupError: if there is no such group
    """
    statement = select(_group.c.id, _group.c.name).where(_group.c.name == name)
    row = sql_db.session.execute(
        statement.with_for_update(read=True, key_share=True) if hold else statement
    ).first()
    if row is None or row.name != name:  # some databases find names that differ in case
        raise UnknownGroupError(f"There is no group {name!r}")
    return int(row.id)


def _objects(names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the group objects of primary keys, in their order."""
    members = _texts(group_members, _user.c.id == group_members.c.user_id, _user.c.username, names)
    granted = {
        kind: _texts(table, _base_uri.c.id == table.c.base_uri_id, _base_uri.c.base_uri, names)
        for kind, table in GROUP_GRANT_TABLES.items()
    }
    return [
        {
            "group": name,
            "members": members[key],
            **{f"{kind}_permissions_on_base_uris": granted[kind][key] for kind in GRANTS},
        }
        for key, name in names.items()
    ]


def _texts(table: Table, joined_by: Any, column: Any, groups: Mapping[int, str]) -> dict[int, list[str]]:
    """Return, for each group, what is in a column of the rows that a table joins to it, in order."""
    found: dict[int, list[str]] = defaultdict(list)
    for some in db.batched(list(groups)):
        statement = (
            select(table.c.group_id, column).join(column.table, joined_by).where(table.c.group_id.in_(some))
        )
        for key, text in sql_db.session.execute(statement.order_by(column)):
            found[key].append(text)
    return found


# Writing


def add_group(name: str, *, actor: Actor | None = None) -> None:
    """Make a group, which has no members and is granted nothing.

    :raises ConflictError: if there is one of that name
    :raises ValidationError: 422 for a name that no group may have, or that differs from another one in case alone
    """
    if not put_group(name, actor=actor):
        raise ConflictError(f"There is a group {name!r} already")


def put_group(name: str, *, actor: Actor | None = None) -> bool:
    """Make a group, unless there is one of that name. Return whether it is new.

    :raises ValidationError: 422 for a name that no group may have, or that differs from another one in case alone
    """
    check_text(name, "group")
    name = checked_name(name, "group")
    db.begin_write()
    row = {"name": name, "name_key": key_of(name)}
    if not db.insert_if_new(_group, ("name_key",), row):
        other = sql_db.session.execute(
            select(_group.c.name).where(_group.c.name_key == row["name_key"])
        ).scalar_one_or_none()
        if other not in (name, None):
            raise invalid("group", f"differs from that of group {other!r} in upper and lower case alone")
        return False
    audit.record(actor, "group.create", name)
    return True


def delete_group(name: str, *, actor: Actor | None = None) -> bool:
    """Remove a group, and what its members were granted by it. Return whether there was one."""
    name = canonical(name)
    db.begin_write()
    key = sql_db.session.execute(select(_group.c.id).where(_group.c.name == name).with_for_update()).scalar()
    if key is None:
        return False
    [lost] = _objects({key: name})
    audit.record(actor, "group.delete", lost.pop("group"), lost)
    for table in (group_members, *GROUP_GRANT_TABLES.values()):
        sql_db.session.execute(delete(table).where(table.c.group_id == key))
    sql_db.session.execute(delete(_group).where(_group.c.id == key))
    return True


def add_member(name: str, username: str, *, actor: Actor | None = None) -> bool:
    """Make a user a member of a group. Return whether the user was none before.

    :raises UnknownGroupError: if there is no such group
    :raises UnknownUserError: if there is, and nobody is registered under the name
    """
    db.begin_write()
    pair = _member(name, username)
    is_new = db.insert_if_new(group_members, ("group_id", "user_id"), pair)
    if is_new:
        audit.record(actor, "group.add_member", canonical(name), {"user": username})
    return is_new


def remove_member(name: str, username: str, *, actor: Actor | None = None) -> bool:
    """Make a user a member of a group no longer. Return whether the user was one.

    :raises UnknownGroupError: if there is no such group
    :raises UnknownUserError: if there is, and nobody is registered under the name
    """
    db.begin_write()
    was_there = _remove(group_members, _member(name, username))
    if was_there:
        audit.record(actor, "group.remove_member", canonical(name), {"user": username})
    return was_there


def _member(name: str, username: str) -> dict[str, int]:
    group_id = _id_of(canonical(name), hold=True)
    return {"group_id": group_id, "user_id": users.hold(username)}


def grant(kind: Grant, name: str, base_uri: str, *, actor: Actor | None = None) -> dict[str, Any]:
    """Grant the members of a group search or register permission on a base URI. Return the group object.

    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnknownGroupError: if the base URI is registered, and there is no such group
    :raises ConflictError: if the group has the permission already
    """
    db.begin_write()
    if not db.insert_if_new(GROUP_GRANT_TABLES[kind], ("group_id", "base_uri_id"), _granted(name, base_uri)):
        raise ConflictError(f"Group {name!r} already has {kind} permissions")
    audit.record(actor, f"group.grant_{kind}", canonical(name), base_uri=base_uri)
    return get_group(name)


def revoke(kind: Grant, name: str, base_uri: str, *, actor: Actor | None = None) -> dict[str, Any]:
    """Take a permission back from a group; no error if it was not granted. Return the group object.

    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnknownGroupError: if the base URI is registered, and there is no such group
    """
    db.begin_write()
    if _remove(GROUP_GRANT_TABLES[kind], _granted(name, base_uri)):
        audit.record(actor, f"group.revoke_{kind}", canonical(name), base_uri=base_uri)
    return get_group(name)


def _granted(name: str, base_uri: str) -> dict[str, int]:
    base_uri_id = base_uris.hold(base_uri)
    return {"group_id": _id_of(canonical(name), hold=True), "base_uri_id": base_uri_id}


def _remove(table: Table, pair: Mapping[str, int]) -> bool:
    """Remove a row that has just these two keys. Return whether it was there."""
    return bool(db.changed_rows(delete(table).where(*(table.c[name] == key for name, key in pair.items()))))
