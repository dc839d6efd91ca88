"""Searches that users name and keep, to ask for them again.

A search is kept as the query string of ``GET /uris``: what stands behind the question mark in the address of the page
where one searches, and in a request of a program.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import delete, func, select, update

from dservercore import db
from dservercore.catalog import users
from dservercore.dataset.values import INTEGER_MAX
from dservercore.db import sql_db
from dservercore.db.registered_names import spelling
from dservercore.errors import ConflictError, UnknownKeptSearchError, UnknownUserError, invalid
from dservercore.models import SEARCH_NAME_LENGTH, KeptSearch, User
from dservercore.printable import printable

#: That one user can keep.
MAX_SEARCHES = 100
#: Characters of a query string, percent-encoded: with an address before it, every server and browser takes it.
MAX_QUERY_LENGTH = 6000
#: Values that a query string may have.
_MAX_VALUES = 1000

_search, _user = KeptSearch.__table__, User.__table__


def list_searches(username: str) -> list[dict[str, Any]]:
    """Return the searches that a user keeps, by name.

    Of each: ``id``, ``name``, ``query`` (a query string, percent-encoded, without a question mark) and ``created_at``
    (seconds since the epoch, UTC).

    :raises UnknownUserError: if nobody is registered under the name
    """
    key = users.key_of_user(username)
    rows = sql_db.session.execute(select(_search).where(_search.c.user_id == key))
    return sorted((_as_object(row) for row in rows), key=lambda kept: (kept["name"].casefold(), kept["id"]))


def _as_object(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("id", "name", "query", "created_at")}


def keep(username: str, name: str, query: str) -> dict[str, Any]:
    """Keep a search of a user. Return it, as :func:`list_searches` does.

    :param name: for its owner to know it by
    :param query: a query string; the page that it asks for is not kept
    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the user keeps one of that name already, or has :data:`MAX_SEARCHES`
    :raises ValidationError: 422 naming what is wrong with the name or the query
    """
    values = {"name": _checked_name(name), "query": _checked_query(query)}
    key = _hold(username)
    number = select(func.count()).select_from(_search).where(_search.c.user_id == key)
    if sql_db.session.execute(number).scalar_one() >= MAX_SEARCHES:
        raise ConflictError(f"You keep {MAX_SEARCHES} searches: delete some first")
    row = {"user_id": key, "created_at": int(time.time()), **values}
    if not db.insert_if_new(_search, ("user_id", "name"), row):
        raise _taken(values["name"])
    is_it = (_search.c.user_id == key) & (_search.c.name == values["name"])
    return _as_object(sql_db.session.execute(select(_search).where(is_it)).one())


def change(username: str, search_id: int, changes: Mapping[str, str]) -> dict[str, Any]:
    """Rename a search of a user, or have it ask for something else. Return it, as :func:`list_searches` does.

    :param changes: ``name`` and ``query``; what is absent stays
    :raises UnknownUserError: if nobody is registered under the name
    :raises UnknownKeptSearchError: if the user keeps no such search
    :raises ConflictError: if the user keeps another one of that name
    :raises ValidationError: 422 naming what is wrong with the name or the query
    """
    check = {"name": _checked_name, "query": _checked_query}
    values = {field: check[field](changes[field]) for field in check if field in changes}
    key = _hold(username)
    is_it = (_search.c.user_id == key) & (_search.c.id == min(search_id, INTEGER_MAX))
    before = sql_db.session.execute(select(_search).where(is_it)).first()
    if before is None:
        raise _unknown(search_id)
    if "name" in values:
        others = (_search.c.user_id == key) & (_search.c.name == values["name"]) & (_search.c.id != before.id)
        if sql_db.session.execute(select(_search.c.id).where(others)).first():
            raise _taken(values["name"])
    if values:
        sql_db.session.execute(update(_search).where(is_it).values(values))
    return _as_object(before) | values


def forget(username: str, search_id: int) -> None:
    """Keep a search of a user no longer.

    :raises UnknownUserError: if nobody is registered under the name
    :raises UnknownKeptSearchError: if the user keeps no such search
    """
    key = _hold(username)
    is_it = (_search.c.user_id == key) & (_search.c.id == min(search_id, INTEGER_MAX))
    if not db.changed_rows(delete(_search).where(is_it)):
        raise _unknown(search_id)


def _hold(username: str) -> int:
    """Return the key of a user of whom nobody else changes anything until this transaction ends."""
    username = spelling(username)
    db.begin_write()
    statement = select(_user.c.id).where(_user.c.username == username).with_for_update()
    key: int | None = sql_db.session.execute(statement).scalar()
    if key is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    return key


def _taken(name: str) -> ConflictError:
    return ConflictError(f"You keep a search of the name {name!r} already")


def _unknown(search_id: int) -> UnknownKeptSearchError:
    return UnknownKeptSearchError(f"You keep no search {search_id}")


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= SEARCH_NAME_LENGTH:
        raise invalid("name", f"must have 1 to {SEARCH_NAME_LENGTH} characters")
    if printable(name) != name:
        raise invalid("name", "contains a control character, or one that nobody sees")
    return name


def _checked_query(query: str) -> str:
    """Return a query string as it is kept: without empty values and the page, everything else percent-encoded."""
    if len(query) > MAX_QUERY_LENGTH:
        raise invalid("query", f"must have at most {MAX_QUERY_LENGTH} characters")
    try:
        given = parse_qsl(query.removeprefix("?"), max_num_fields=_MAX_VALUES)
        kept = urlencode([(name, value) for name, value in given if name != "page"])
    except UnicodeEncodeError:
        raise invalid("query", "contains half of a surrogate pair, which is not a character") from None
    except ValueError:
        raise invalid("query", f"must have at most {_MAX_VALUES} values") from None
    if "%00" in kept:
        raise invalid("query", "contains a NUL character")
    if len(kept) > MAX_QUERY_LENGTH:
        raise invalid("query", f"must have at most {MAX_QUERY_LENGTH} characters, percent-encoded")
    return kept
