"""Who may search, or register in, which base URI, and why: granted to a user, to a group of theirs, or public.

What would change is told before it is done: a :class:`Change` is applied to what was read, and stored nowhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, CompoundSelect, Select, literal, null, select, union_all

from dservercore.catalog import base_uris, groups, users
from dservercore.catalog.scope import GRANTS, Grant
from dservercore.db import sql_db
from dservercore.db.usernames import canonical
from dservercore.errors import UnknownBaseURIError, UnknownGroupError, invalid
from dservercore.models import GRANT_TABLES, GROUP_GRANT_TABLES, BaseURI, Group, User, group_members

_user, _group, _base_uri = User.__table__, Group.__table__, BaseURI.__table__

#: Why somebody has a permission: a word for the way it comes, and the name of the group if it comes by one.
Reason = tuple[str, str | None]
DIRECTLY: Reason = ("directly", None)
PUBLIC: Reason = ("public", None)

#: By user or base URI: why there is a permission.
Reasons = Mapping[str, Sequence[Reason]]


@dataclass(frozen=True)
class Change:
    """Grants, revocations and memberships that are thought of, as texts that name them.

    Of a user: ``search:s3://bucket`` and ``register:s3://bucket``, and names of groups. Of a base URI:
    ``search:alice``, or ``search:group/lab`` for a group; and memberships as ``alice/lab``.
    """

    grant: Sequence[str] = ()
    revoke: Sequence[str] = ()
    member_of: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.grant or self.revoke or self.member_of)


def permissions_of(username: str, change: Change = Change()) -> dict[str, Any]:
    """Return what a user may do where, and why; with a change, what it would add and take away, too.

    :returns: ``username``, ``is_admin``, ``is_service``, ``groups``; ``search`` and ``register``, lists of
        ``base_uri``, ``directly``, ``groups`` and ``public``; and ``would_change``: None without a change, else
        ``gained`` and ``lost`` by permission
    :raises UnknownUserError: if nobody is registered under the name
    :raises ValidationError: 422 naming the part of the change that makes no sense
    """
    user = users.get_user(username)
    key = users.key_of_user(user["username"])
    now: dict[Grant, Reasons] = {
        kind: _reasons(_granted(kind, _base_uri.c.base_uri, _user.c.id == key)) for kind in GRANTS
    }
    found: dict[str, Any] = {
        "username": user["username"],
        "is_admin": user["is_admin"],
        "is_service": users.is_service(key),
        "groups": users.groups_of(key),
        "search": _as_list(now["search"], "base_uri"),
        "register": _as_list(now["register"], "base_uri"),
        "would_change": None,
    }
    if change:
        after = _copy(now)
        for name in change.member_of:
            _join(after, name)
        _apply(after, change, lambda field, text: {_known_base_uri(field, text): DIRECTLY})
        found["would_change"] = _differences(now, after)
    return found


def audience_of(base_uri: str, change: Change = Change()) -> dict[str, Any]:
    """Return who may search, and register in, a base URI, and why; with a change, also what it would add and take away.

    Of a public base URI, everybody who is registered is among those who may search it.

    :returns: ``base_uri``, ``public``; ``search`` and ``register``, lists of ``username``, ``directly``, ``groups`` and
        ``public``; and ``would_change``: None without a change, else ``gained`` and ``lost`` by permission
    :raises UnknownBaseURIError: if it is not registered
    :raises ValidationError: 422 naming the part of the change that makes no sense
    """
    key = base_uris.get_id(base_uri)
    now: dict[Grant, Reasons] = {
        kind: _reasons(_granted(kind, _user.c.username, _base_uri.c.id == key)) for kind in GRANTS
    }
    found: dict[str, Any] = {
        "base_uri": base_uri,
        "public": base_uris.is_public(key),
        "search": _as_list(now["search"], "username"),
        "register": _as_list(now["register"], "username"),
        "would_change": None,
    }
    if change:
        after = _copy(now)
        _apply(after, change, _users_meant)
        for text in change.member_of:
            username, _, name = text.partition("/")
            group = _known_group("member_of", name)
            username = _known_user("member_of", username)
            for kind in GRANTS:
                if base_uri in group[f"{kind}_permissions_on_base_uris"]:
                    after[kind].setdefault(username, set()).add(("group", group["group"]))
        found["would_change"] = _differences(now, after)
    return found


# Reading


def _granted(kind: Grant, name: Column[str], where: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Return the statement for who has a permission where, each with the parts of a reason.

    :param name: the column of users, or of base URIs, that is wanted
    :param where: the condition on the other one
    """
    direct = GRANT_TABLES[kind].join(_user).join(_base_uri)
    by_group = GROUP_GRANT_TABLES[kind].join(_group).join(group_members).join(_user).join(_base_uri)
    ways = [
        _way(name, DIRECTLY[0], null()).select_from(direct).where(where),
        _way(name, "group", _group.c.name).select_from(by_group).where(where),
    ]
    if kind == "search":
        everywhere = _user.join(_base_uri, _base_uri.c.public)
        ways.append(_way(name, PUBLIC[0], null()).select_from(everywhere).where(where))
    return union_all(*ways)


def _way(name: Column[str], way: str, group: ColumnElement[Any]) -> Select[Any]:
    return select(name.label("name"), literal(way).label("way"), group.label("group_name"))


def _reasons(statement: CompoundSelect[Any]) -> Reasons:
    found: dict[str, list[Reason]] = defaultdict(list)
    for name, way, group in sql_db.session.execute(statement):
        found[name].append((way, group))
    return found


def _as_list(reasons: Reasons, what: str) -> list[dict[str, Any]]:
    return [
        {
            what: name,
            "directly": DIRECTLY in why,
            "groups": sorted(group for _, group in why if group is not None),
            "public": PUBLIC in why,
        }
        for name, why in sorted(reasons.items())
    ]


# What would change


#: What is granted, as it would be.
_Thought = dict[Grant, dict[str, set[Reason]]]


def _copy(now: Mapping[Grant, Reasons]) -> _Thought:
    return {kind: {name: set(why) for name, why in reasons.items()} for kind, reasons in now.items()}


def _join(after: _Thought, name: str) -> None:
    group = _known_group("member_of", name)
    for kind in GRANTS:
        for base_uri in group[f"{kind}_permissions_on_base_uris"]:
            after[kind].setdefault(base_uri, set()).add(("group", group["group"]))


def _apply(after: _Thought, change: Change, meant: Any) -> None:
    """Apply grants and revocations to what is granted now.

    :param meant: given a field and what a text names behind the colon, returns those whom it is granted to, or where,
        each with the reason that it would be
    """
    for field, texts in (("grant", change.grant), ("revoke", change.revoke)):
        for text in texts:
            kind, what = _parted(field, text)
            for name, reason in meant(field, what).items():
                if field == "grant":
                    after[kind].setdefault(name, set()).add(reason)
                else:
                    after[kind].get(name, set()).discard(reason)


def _parted(field: str, text: str) -> tuple[Grant, str]:
    for kind in GRANTS:
        if text.startswith(f"{kind}:"):
            return kind, text.partition(":")[2]
    raise invalid(field, f"must begin with {' or '.join(f'{kind}:' for kind in GRANTS)}", "query")


def _users_meant(field: str, text: str) -> Mapping[str, Reason]:
    of_group, is_group, name = text.partition("/")
    if is_group and of_group == "group":
        group = _known_group(field, name)
        return dict.fromkeys(group["members"], ("group", group["group"]))
    return {_known_user(field, text): DIRECTLY}


def _known_base_uri(field: str, base_uri: str) -> str:
    try:
        base_uris.get_id(base_uri)
    except UnknownBaseURIError as error:
        raise invalid(field, error.message, "query") from None
    return base_uri


def _known_group(field: str, name: str) -> dict[str, Any]:
    try:
        return groups.get_group(canonical(name))
    except UnknownGroupError as error:
        raise invalid(field, error.message, "query") from None


def _known_user(field: str, username: str) -> str:
    for found in users.registered([username]):
        return found
    raise invalid(field, f"User {username!r} is not registered", "query")


def _differences(now: Mapping[Grant, Reasons], after: _Thought) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for kind in GRANTS:
        had, has = set(now[kind]), {name for name, why in after[kind].items() if why}
        found[kind] = {"gained": sorted(has - had), "lost": sorted(had - has)}
    return found
