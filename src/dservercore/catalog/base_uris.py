"""Base URIs, and who has which permission on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Table,
    cast,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.orm import selectinload

from dservercore import db
from dservercore.catalog import audit, dataset_rows, deletion, store_writes, summary
from dservercore.catalog.scope import Actor
from dservercore.catalog.storage import index_runs
from dservercore.dataset import prices
from dservercore.dataset.uris import check_base_uri, parent
from dservercore.db import sql_db
from dservercore.db.registered_names import spelling
from dservercore.errors import ConflictError, UnknownBaseURIError, invalid
from dservercore.models import (
    GRANT_TABLES,
    GROUP_GRANT_TABLES,
    BaseURI,
    Dataset,
    Group,
    User,
)

MAX_NAMED = 20  # users who are not registered, named in an error

_WITH_USERS = (selectinload(BaseURI.search_users), selectinload(BaseURI.register_users))


# Reading


def list_base_uris(
    order: Mapping[str, int] | None = None,
    page: slice | None = None,
    *,
    containing: str = "",
    figures: bool = False,
    with_users: bool = True,
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the base URI objects with their users, and how many base URIs there are.

    A base URI that has been indexed has ``last_indexed``, an object that says when, and with what result; one that is
    public has ``public``, which is true; one with a price has ``price_per_tb`` and ``currency``.

    :param order: ``{"base_uri" | "number_of_datasets" | "size_in_bytes" | "last_indexed": 1 | -1}``, ties by base URI;
        what was never indexed comes before all that was. None: in the order of their registration
    :param page: positions of the base URIs to return; None: all
    :param containing: a text that is in the base URI, in upper or lower case
    :param figures: tell of each ``number_of_datasets`` and ``size_in_bytes``, too
    :param with_users: tell of each who has permissions on it, who may be thousands
    """
    statement, number = select(BaseURI), select(func.count(BaseURI.id))
    if with_users:
        statement = statement.options(*_WITH_USERS)
    if containing:
        has_text = _contains(containing)
        statement, number = statement.where(has_text), number.where(has_text)
    if order and order.keys() & summary.SORTED_BY.keys():
        statement = statement.outerjoin(summary.WITH_TOTALS, BaseURI.id == summary.TOTALS_OF)
    statement = statement.order_by(*_order_by(order))
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    found = sql_db.session.execute(statement).scalars().all()
    totals = summary.totals_of([base_uri.id for base_uri in found]) if figures else {}
    listed = [_in_list(base_uri, with_users) | _figures(totals.get(base_uri.id)) for base_uri in found]
    return listed, sql_db.session.execute(number).scalar_one()


def _contains(text: str) -> ColumnElement[bool]:
    # On MariaDB, the column is one of bytes.
    return func.lower(cast(BaseURI.base_uri, String)).contains(text.lower(), autoescape=True)


def _order_by(order: Mapping[str, int] | None) -> list[ColumnElement[Any]]:
    if not order:
        return [BaseURI.id.expression]
    keys: dict[str, ColumnElement[Any]] = {
        "base_uri": BaseURI.base_uri.expression,
        # A run is recorded as JSON that begins with the moment at which it began.
        "last_indexed": func.coalesce(BaseURI.last_indexed, ""),
        **{name: func.coalesce(column, 0) for name, column in summary.SORTED_BY.items()},
    }
    ordered = [keys[name].desc() if direction < 0 else keys[name] for name, direction in order.items()]
    return ordered if "base_uri" in order else [*ordered, keys["base_uri"]]


def _figures(totals: tuple[int, int] | None) -> dict[str, int]:
    return {} if totals is None else dict(zip(("number_of_datasets", "size_in_bytes"), totals, strict=True))


def number_of_unindexed() -> tuple[int, int]:
    """Return how many base URIs were never indexed, and of how many the last run did not do all that it was to do."""
    never = select(func.count(BaseURI.id)).where(BaseURI.last_indexed.is_(None))
    recorded = select(BaseURI.last_indexed).where(BaseURI.last_indexed.is_not(None))
    failed = sum(index_runs.has_failed(str(text)) for text in sql_db.session.execute(recorded).scalars())
    return sql_db.session.execute(never).scalar_one(), failed


def last_run(base_uri: str) -> dict[str, Any] | None:
    """Return when a base URI was last indexed, and with what result; None: never.

    :raises UnknownBaseURIError: if it is not registered
    """
    key = get_id(base_uri)
    recorded = sql_db.session.execute(select(BaseURI.last_indexed).where(BaseURI.id == key)).scalar()
    return index_runs.result_of(recorded)


def totals_of(base_uri: str) -> tuple[int, int]:
    """Return how many datasets a base URI holds, and how many bytes these have.

    :raises UnknownBaseURIError: if it is not registered
    """
    key = get_id(base_uri)
    return summary.totals_of([key])[key]


def groups_granted(base_uri: str) -> dict[str, list[str]]:
    """Return, by permission, the names of the groups that have it on a base URI, in order.

    :raises UnknownBaseURIError: if it is not registered
    """
    key = get_id(base_uri)
    return {kind: _granted_groups(table, key) for kind, table in GROUP_GRANT_TABLES.items()}


def _in_list(base_uri: BaseURI, with_users: bool) -> dict[str, Any]:
    last_run = index_runs.result_of(base_uri.last_indexed)
    return _as_object(base_uri, with_users) | ({"last_indexed": last_run} if last_run else {})


def _as_object(base_uri: BaseURI, with_users: bool = True) -> dict[str, Any]:
    about = base_uri.as_dict() if with_users else {"base_uri": base_uri.base_uri}
    # Clients of the original compare the whole of an object: what is not set is no key.
    about |= {"public": True} if base_uri.public else {}
    if base_uri.price_per_tb is not None:
        about |= {"price_per_tb": base_uri.price_per_tb, "currency": base_uri.currency}
    return about


def get_base_uri(base_uri: str) -> dict[str, Any]:
    """Return the base URI object with the users who have permissions on it.

    With ``public``, True, if it is; with ``price_per_tb`` and ``currency``, texts, if it has a price.

    :raises UnknownBaseURIError: if it is not registered
    """
    statement = select(BaseURI).options(*_WITH_USERS).where(BaseURI.base_uri == base_uri)
    found = sql_db.session.execute(statement.execution_options(populate_existing=True)).scalar_one_or_none()
    if found is None:
        raise UnknownBaseURIError(f"Base URI {base_uri!r} is not registered")
    return _as_object(found)


def is_registered(base_uri: str) -> bool:
    """Return whether there is a base URI of that name."""
    return sql_db.session.execute(_id_of(base_uri)).scalar() is not None


def is_public(key: int) -> bool:
    """Return whether whoever comes may search the base URI of a primary key."""
    return bool(sql_db.session.execute(select(BaseURI.public).where(BaseURI.id == key)).scalar())


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
    """Pass if a dataset is registered as *uri*, or the base URI is in which it would be.

    :raises UnknownBaseURIError: if neither is registered
    """
    if dataset_rows.find_registered(uri) is None:
        get_id(parent(uri))


# Writing


def add_base_uri(base_uri: str, *, actor: Actor | None = None) -> None:
    """Register a base URI, on which nobody has permissions yet.

    :raises ConflictError: if it is registered already
    :raises ValidationError: 422 if it is no base URI (a scheme and a place)
    """
    if not _insert(base_uri, actor):
        raise ConflictError(f"Base URI {base_uri!r} is registered already")


def create_base_uri(
    base_uri: str,
    searchers: Iterable[str] | None,
    registrants: Iterable[str] | None,
    public: bool | None = None,
    price: Mapping[str, Any] | None = None,
    *,
    actor: Actor | None = None,
) -> dict[str, Any]:
    """Register a base URI, and grant permissions on it. Return the base URI object.

    :param searchers: names of the users who get search permission; None: nobody
    :param registrants: names of the users who get register permission; None: nobody
    :param public: whether whoever comes may search it; None: no
    :param price: as :func:`set_price` takes it; None: it has none
    :raises ConflictError: if it is registered already
    :raises ValidationError: 422 if it is no base URI or no price, or naming a user who is not registered
    """
    base_uri = check_base_uri(base_uri)
    add_base_uri(base_uri, actor=actor)
    replace_permissions(base_uri, searchers, registrants, actor=actor)
    if public is not None:
        set_public(base_uri, public, actor=actor)
    if price:
        set_price(base_uri, price, actor=actor)
    return get_base_uri(base_uri)


def put_base_uri(
    base_uri: str,
    searchers: Iterable[str] | None,
    registrants: Iterable[str] | None,
    public: bool | None = None,
    price: Mapping[str, Any] | None = None,
    *,
    actor: Actor | None = None,
) -> bool:
    """Register a base URI if it is new, and replace the permissions on it. Return whether it is new.

    :param searchers: names of the users who are to have search permission; None: those who have it now
    :param registrants: names of the users who are to have register permission; None: those who have it now
    :param public: whether whoever comes may search it; None: if it is so now
    :param price: as :func:`set_price` takes it; None: the one that it has now
    :raises ValidationError: 422 if it is no base URI or no price, or naming a user who is not registered
    """
    base_uri = check_base_uri(base_uri)
    while True:
        is_new = _insert(base_uri, actor)
        try:
            replace_permissions(base_uri, searchers, registrants, actor=actor)
            if public is not None:
                set_public(base_uri, public, actor=actor)
            if price:
                set_price(base_uri, price, actor=actor)
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
    base_uri: str,
    searchers: Iterable[str] | None,
    registrants: Iterable[str] | None,
    *,
    actor: Actor | None = None,
) -> None:
    """Replace the permissions on a base URI.

    :param searchers: names of the users who are to have search permission; None: those who have it now
    :param registrants: names of the users who are to have register permission; None: those who have it now
    :raises UnknownBaseURIError: if it is not registered
    :raises ValidationError: 422 naming a user who is not registered
    """
    db.begin_write()
    # Every writer locks the base URI first, then the users, then the grants: so no two wait for each other.
    key = _required(base_uri, _id_of(base_uri).with_for_update(key_share=True))
    wanted = {
        kind: list(map(spelling, names))
        for kind, names in (("search", searchers), ("register", registrants))
        if names is not None
    }
    _hold_users({name for names in wanted.values() for name in names})
    changes = {
        kind: _replace(GRANT_TABLES[kind], key, _user_ids(names, f"users_with_{kind}_permissions"))
        for kind, names in wanted.items()
    }
    changed = {kind: change for kind, change in changes.items() if any(change.values())}
    if changed:
        audit.record(actor, "base_uri.permissions", base_uri, changed, base_uri)


def set_public(base_uri: str, public: bool, *, actor: Actor | None = None) -> bool:
    """Let whoever comes search a base URI, without a token, or let it be no longer so. Return whether that is new.

    :raises UnknownBaseURIError: if it is not registered
    """
    db.begin_write()
    statement = select(BaseURI.id, BaseURI.public).where(BaseURI.base_uri == base_uri)
    found = sql_db.session.execute(statement.with_for_update(key_share=True)).first()
    if found is None:
        raise UnknownBaseURIError(f"Base URI {base_uri!r} is not registered")
    if found.public == public:
        return False
    sql_db.session.execute(update(BaseURI).where(BaseURI.id == found.id).values(public=public))
    audit.record(actor, "base_uri.update", base_uri, {"public": [found.public, public]}, base_uri)
    return True


def set_price(base_uri: str, price: Mapping[str, Any], *, actor: Actor | None = None) -> bool:
    """Say what a TB (10**12 bytes) in a base URI costs a year. Return whether that is new.

    :param price: ``price_per_tb``, a number or a text, and ``currency``, as ISO 4217 calls it; what is missing stays as
        it is, and a ``price_per_tb`` of None takes both away
    :raises UnknownBaseURIError: if it is not registered
    :raises ValidationError: 422 naming what is wrong, or missing
    """
    wanted = _checked_price(price)
    db.begin_write()
    columns = BaseURI.id, BaseURI.price_per_tb, BaseURI.currency
    statement = select(*columns).where(BaseURI.base_uri == base_uri)
    found = sql_db.session.execute(statement.with_for_update(key_share=True)).first()
    if found is None:
        raise UnknownBaseURIError(f"Base URI {base_uri!r} is not registered")
    before = {"price_per_tb": found.price_per_tb, "currency": found.currency}
    after = before | wanted
    for given, missing in (("price_per_tb", "currency"), ("currency", "price_per_tb")):
        if after[given] is not None and after[missing] is None:
            raise invalid(missing, f"is missing: there is a {given} without it")
    changes = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
    if changes:
        sql_db.session.execute(update(BaseURI).where(BaseURI.id == found.id).values(**after))
        audit.record(actor, "base_uri.update", base_uri, changes, base_uri)
    return bool(changes)


def _checked_price(price: Mapping[str, Any]) -> dict[str, str | None]:
    if price.get("price_per_tb", "") is None:
        if price.get("currency") is not None:
            raise invalid("price_per_tb", "is missing: there is a currency without it")
        return {"price_per_tb": None, "currency": None}
    checks = {"price_per_tb": prices.checked_price, "currency": prices.checked_currency}
    wanted: dict[str, str | None] = {}
    for field, check in checks.items():
        if field in price:
            try:
                wanted[field] = check(price[field])
            except ValueError as error:
                raise invalid(field, str(error)) from None
    return wanted


def _hold_users(usernames: set[str]) -> None:
    """Keep everybody from deleting these users until the transaction ends."""
    if not db.locks_rows():
        return
    wanted = sorted(usernames)
    for some in db.batched(wanted):
        these = User.username.in_(some)
        held = select(User.id).where(these).order_by(User.username).with_for_update(read=True, key_share=True)
        sql_db.session.execute(held).all()


def _user_ids(usernames: Iterable[str], field: str) -> dict[str, int]:
    """Return ``{user name: primary key}``.

    :raises ValidationError: 422 naming *field* and users who are not registered
    """
    wanted = sorted(set(usernames))
    known: dict[str, int] = {}
    for some in db.batched(wanted):
        found = sql_db.session.execute(select(User.username, User.id).where(User.username.in_(some)))
        known |= {row.username: row.id for row in found}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        named, more = unknown[:MAX_NAMED], len(unknown) - MAX_NAMED
        others = f" and {more} more" if more > 0 else ""
        raise invalid(field, f"not registered as users: {', '.join(named)}{others}")
    return known


def _replace(table: Table, base_uri_id: int, users: Mapping[str, int]) -> dict[str, list[str]]:
    """Grant *users* a permission, and nobody else. Return user names, by ``granted`` and ``revoked``."""
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


def _granted_groups(table: Table, base_uri_id: int) -> list[str]:
    """Return the names of the groups that have a permission, in order."""
    statement = select(Group.name).join(table, table.c.group_id == Group.id)
    wanted = statement.where(table.c.base_uri_id == base_uri_id).order_by(Group.name)
    return list(sql_db.session.execute(wanted).scalars())


def delete_base_uri(base_uri: str, with_datasets: bool = False, *, actor: Actor | None = None) -> bool:
    """Remove a base URI and the permissions on it. Return whether it was registered.

    :param with_datasets: remove its datasets too, from every store
    :raises ConflictError: if it holds datasets and *with_datasets* is not set
    :raises UnavailableError: if *with_datasets* is set, and a plugin cannot reach its store
    """
    if with_datasets:
        store_writes.begin()
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
    lost: dict[str, Any] = {"datasets": deletion.delete_all_in(key)}
    if is_public(key):
        lost["public"] = True
    for kind, table in GRANT_TABLES.items():
        lost[kind] = sorted(_granted(table, key))
        sql_db.session.execute(delete(table).where(table.c.base_uri_id == key))
    for kind, table in GROUP_GRANT_TABLES.items():
        if groups := _granted_groups(table, key):
            lost[f"{kind}_groups"] = groups
        sql_db.session.execute(delete(table).where(table.c.base_uri_id == key))
    audit.record(actor, "base_uri.delete", base_uri, lost, base_uri)
    sql_db.session.execute(delete(BaseURI).where(BaseURI.id == key))
    return True
