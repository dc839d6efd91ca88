"""Base URIs, and who has which permission on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Select, Table, delete, func, select
from sqlalchemy.orm import selectinload

from dservercore import db, plugin_writes
from dservercore.catalog import audit, dataset_rows, datasets
from dservercore.db import sql_db
from dservercore.errors import ConflictError, UnknownBaseURIError, invalid
from dservercore.models import (
    GRANT_TABLES,
    BaseURI,
    Dataset,
    User,
    register_permissions,
    search_permissions,
)
from dservercore.scope import Actor
from dservercore.uris import check_base_uri, parent

# So many names go into one statement; every database takes more parameters than that.
_NAMES_AT_ONCE = 500
MAX_NAMED = 20  # unknown users that an error names

_WITH_USERS = (selectinload(BaseURI.search_users), selectinload(BaseURI.register_users))


# Reading


def list_base_uris(
    order: Mapping[str, int] | None = None, page: slice | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the base URI objects with their users, and how many base URIs there are.

    :param order: ``{"base_uri": 1 | -1}``; None: in the order of their registration
    """
    direction = (order or {}).get("base_uri")
    key = BaseURI.id if direction is None else BaseURI.base_uri.desc() if direction < 0 else BaseURI.base_uri
    statement = select(BaseURI).options(*_WITH_USERS).order_by(key)
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    found = sql_db.session.execute(statement).scalars()
    return [base_uri.as_dict() for base_uri in found], sql_db.session.execute(
        select(func.count(BaseURI.id))
    ).scalar_one()


def get_base_uri(base_uri: str) -> dict[str, Any]:
    """Return the base URI object with the users who have permissions on it.

    :raises UnknownBaseURIError: if it is not registered
    """
    statement = select(BaseURI).options(*_WITH_USERS).where(BaseURI.base_uri == base_uri)
    found = sql_db.session.execute(statement.execution_options(populate_existing=True)).scalar_one_or_none()
    if found is None:
        raise UnknownBaseURIError(f"Base URI {base_uri!r} is not registered")
    return found.as_dict()


def get_id(base_uri: str) -> int:
    """Return the primary key of a base URI.

    :raises UnknownBaseURIError: if it is not registered
    """
    return _required(base_uri, _id_of(base_uri))


def hold(base_uri: str) -> int:
    """Return the primary key of a base URI that nobody deletes until this transaction ends.

    :raises UnknownBaseURIError: if it is not registered
    """
    return _required(base_uri, _id_of(base_uri).with_for_update(read=True, key_share=True))


def _id_of(base_uri: str) -> Select[Any]:
    return select(BaseURI.id).where(BaseURI.base_uri == base_uri)


def _required(base_uri: str, statement: Select[Any]) -> int:
    key = sql_db.session.execute(statement).scalar()
    if key is None:
        raise UnknownBaseURIError(f"Base URI {base_uri!r} is not registered")
    return key


def require_base_of(uri: str) -> None:
    """Pass if the base URI of *uri* is registered, whether or not the dataset is.

    :raises UnknownBaseURIError: if not
    """
    if dataset_rows.find_registered(uri) is None:
        get_id(parent(uri))


# Writing


def add_base_uri(base_uri: str, *, actor: Actor | None = None) -> None:
    """Register a base URI, on which nobody has permissions yet.

    :raises ConflictError: if it is registered already
    :raises ValidationError: 422 if it is none
    """
    if not _insert(base_uri, actor):
        raise ConflictError(f"Base URI {base_uri!r} is registered already")


def create_base_uri(
    base_uri: str, searchers: Iterable[str], registrants: Iterable[str], *, actor: Actor | None = None
) -> dict[str, Any]:
    """Register a base URI with the users who have search, and register, permission. Return its object.

    :raises ConflictError: if it is registered already
    :raises ValidationError: 422 naming a user who is not registered
    """
    base_uri = check_base_uri(base_uri)
    add_base_uri(base_uri, actor=actor)
    replace_permissions(base_uri, searchers, registrants, actor=actor)
    return get_base_uri(base_uri)


def put_base_uri(
    base_uri: str, searchers: Iterable[str], registrants: Iterable[str], *, actor: Actor | None = None
) -> bool:
    """Register a base URI if it is new, and replace the permissions on it. Return whether it is new.

    :raises ValidationError: 422 naming a user who is not registered
    """
    base_uri = check_base_uri(base_uri)
    while True:
        is_new = _insert(base_uri, actor)
        try:
            replace_permissions(base_uri, searchers, registrants, actor=actor)
        except UnknownBaseURIError:  # deleted just now
            continue
        return is_new


def _insert(base_uri: str, actor: Actor | None) -> bool:
    base_uri = check_base_uri(base_uri)
    db.begin_write()
    if not db.insert_if_new(BaseURI.__table__, ("base_uri",), {"base_uri": base_uri}):
        return False
    audit.record(actor, "base_uri.create", base_uri, base_uri=base_uri)
    return True


def replace_permissions(
    base_uri: str, searchers: Iterable[str], registrants: Iterable[str], *, actor: Actor | None = None
) -> None:
    """Make exactly these users the ones with search, and register, permission on a base URI.

    :raises UnknownBaseURIError: if it is not registered
    :raises ValidationError: 422 naming a user who is not registered
    """
    db.begin_write()
    # One after the other, and the base URI before the users, and both before the grants: nobody waits in a circle.
    key = _required(base_uri, _id_of(base_uri).with_for_update(key_share=True))
    search, register = list(searchers), list(registrants)
    _hold_users({*search, *register})
    changes = {
        "search": _replace(search_permissions, key, _user_ids(search, "users_with_search_permissions")),
        "register": _replace(
            register_permissions, key, _user_ids(register, "users_with_register_permissions")
        ),
    }
    changed = {kind: change for kind, change in changes.items() if any(change.values())}
    if changed:
        audit.record(actor, "base_uri.permissions", base_uri, changed, base_uri)


def _hold_users(usernames: set[str]) -> None:
    """Keep everybody from deleting these users until the transaction ends."""
    if not db.locks_rows():
        return
    wanted = sorted(usernames)
    for start in range(0, len(wanted), _NAMES_AT_ONCE):
        some = User.username.in_(wanted[start : start + _NAMES_AT_ONCE])
        held = select(User.id).where(some).order_by(User.username).with_for_update(read=True, key_share=True)
        sql_db.session.execute(held).all()


def _user_ids(usernames: Iterable[str], field: str) -> dict[str, int]:
    """Return ``{user name: primary key}``."""
    wanted = sorted(set(usernames))
    known: dict[str, int] = {}
    for start in range(0, len(wanted), _NAMES_AT_ONCE):
        some = wanted[start : start + _NAMES_AT_ONCE]
        found = sql_db.session.execute(select(User.username, User.id).where(User.username.in_(some)))
        known |= {row.username: row.id for row in found}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        named, more = unknown[:MAX_NAMED], len(unknown) - MAX_NAMED
        others = f" and {more} more" if more > 0 else ""
        raise invalid(field, f"not registered as users: {', '.join(named)}{others}")
    return known


def _replace(table: Table, base_uri_id: int, users: Mapping[str, int]) -> dict[str, list[str]]:
    """Grant *users* a permission, and nobody else. Return the names of those ``granted`` and ``revoked``."""
    had = _granted(table, base_uri_id)
    revoked, granted = sorted(had.keys() - users.keys()), sorted(users.keys() - had.keys())
    if revoked:
        keys = [had[name] for name in revoked]
        sql_db.session.execute(
            delete(table).where(table.c.base_uri_id == base_uri_id, table.c.user_id.in_(keys))
        )
    if granted:
        rows = [
            {"user_id": key, "base_uri_id": base_uri_id} for key in sorted(users[name] for name in granted)
        ]
        sql_db.session.execute(db.upsert(table, ("user_id", "base_uri_id")), rows)
    return {"granted": granted, "revoked": revoked}


def _granted(table: Table, base_uri_id: int) -> dict[str, int]:
    """Return ``{user name: primary key}`` of those who have a permission."""
    statement = (
        select(User.username, User.id)
        .join(table, table.c.user_id == User.id)
        .where(table.c.base_uri_id == base_uri_id)
    )
    return {row.username: row.id for row in sql_db.session.execute(statement)}


def delete_base_uri(base_uri: str, with_datasets: bool = False, *, actor: Actor | None = None) -> bool:
    """Remove a base URI and the permissions on it. Return whether it was registered.

    :param with_datasets: remove its datasets too, from every store
    :raises ConflictError: if it holds datasets and *with_datasets* is not set
    :raises UnavailableError: if it is, and a plugin cannot reach its store
    """
    if with_datasets:
        plugin_writes.begin()
    else:
        db.begin_write()
    key = sql_db.session.execute(_id_of(base_uri).with_for_update()).scalar()
    if key is None:
        return False
    held = sql_db.session.execute(
        select(func.count(Dataset.id)).where(Dataset.base_uri_id == key)
    ).scalar_one()
    if held and not with_datasets:
        raise ConflictError(f"Base URI {base_uri!r} still holds {held} dataset{'' if held == 1 else 's'}")
    lost: dict[str, Any] = {"datasets": datasets.delete_all_in(key)}
    for kind, table in GRANT_TABLES.items():
        lost[kind] = sorted(_granted(table, key))
        sql_db.session.execute(delete(table).where(table.c.base_uri_id == key))
    audit.record(actor, "base_uri.delete", base_uri, lost, base_uri)
    sql_db.session.execute(delete(BaseURI).where(BaseURI.id == key))
    return True
