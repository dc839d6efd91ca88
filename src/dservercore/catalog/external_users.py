"""Users whom somebody else vouches for: a provider of OpenID Connect, or a directory.

Whoever is vouched for and may come becomes a user at the first sign-in, under one name for ever. Their groups, as far
as this server has groups of those names, are set at each sign-in, and are then not for administrators of this server
to change; memberships that an administrator has given stay.

A source may let people choose their names. So a user who was here before becomes that of a source only if an
administrator has said so (:func:`link`), or where it admits users whom administrators have named beforehand, and these
have no more to lose than that: administrators and users with a password are never taken over by a name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import bindparam, delete, select, update

from dservercore import db
from dservercore.catalog import audit, sessions, users
from dservercore.catalog.scope import Actor
from dservercore.db import sql_db
from dservercore.db.fast_reads import Remembered, Row
from dservercore.db.registered_names import spelling
from dservercore.db.usernames import canonical
from dservercore.errors import AuthenticationError, ConflictError, ValidationError, invalid
from dservercore.models import SOURCE_KEY_LENGTH, Group, User, group_members

logger = logging.getLogger(__name__)

_user, _group = User.__table__, Group.__table__
_SOURCE = re.compile(r"ldap|oidc:[a-z][a-z0-9_]{0,31}")


def _name_and_kind(rows: Sequence[Row]) -> tuple[str, bool] | None:
    return (str(rows[0][0]), bool(rows[0][1])) if rows else None


_BY_KEY = Remembered(
    select(_user.c.username, _user.c.is_service).where(
        _user.c.source == bindparam("source"), _user.c.source_key == bindparam("source_key")
    ),
    _name_and_kind,
)


@dataclass(frozen=True)
class External:
    """Somebody, as the source that vouches for them says.

    :param source: ``ldap``, or ``oidc:`` and the name of a provider
    :param key: what the source calls them, and will for ever: a subject, a distinguished name
    :param username: what they are to be called here
    :param display_name: the name that people write; None: the source does not say
    :param groups: names of groups; None: the source does not say, and memberships stay as they are
    """

    source: str
    key: str
    username: str
    display_name: str | None = None
    groups: frozenset[str] | None = None


@dataclass(frozen=True)
class Policy:
    """Who of a source may come, and who of them are administrators.

    :param admits: ``anyone`` whom the source vouches for, ``known`` users alone, or ``group``: members of *admitted*
    :param admitted: names of groups of the source
    :param admin_groups: names of groups of the source whose members are administrators here, and others are none;
        empty: who is an administrator is decided here
    """

    admits: Literal["anyone", "known", "group"] = "known"
    admitted: frozenset[str] = frozenset()
    admin_groups: frozenset[str] = frozenset()


def find(source: str, key: str) -> tuple[str, bool] | None:
    """Return the name of the user whom a source calls *key*, and whether that is a service account.

    None: the source has vouched for nobody of that key before.
    """
    return _BY_KEY.get({"source": source, "source_key": key})


def identity_of(username: str) -> dict[str, Any]:
    """Return how a user is known to be who they are.

    That is ``username``, ``is_service``, ``has_password``, and ``source`` and ``source_key``: what else signs the user
    in, and what it calls the user. These are None where only this server does; the key, too, until it has done so.

    :raises UnknownUserError: if nobody is registered under the name
    """
    columns = (_user.c.username, _user.c.is_service, _user.c.source, _user.c.source_key)
    has_password = _user.c.password_hash.is_not(None).label("has_password")
    statement = select(*columns, has_password).where(_user.c.id == users.key_of_user(username))
    found = dict(sql_db.session.execute(statement).one()._mapping)
    return found | {"has_password": bool(found["has_password"])}


def require_admitted(external: External, policy: Policy) -> None:
    """Pass if somebody is in a group that may come, or the policy asks for none.

    :raises AuthenticationError: if not
    """
    if policy.admits == "group" and not (external.groups or frozenset()) & policy.admitted:
        raise AuthenticationError("You are not in a group that may use this server")


def welcome(external: External, policy: Policy, *, actor: Actor | None = None) -> str:
    """Return the name of the user whom a source vouches for; register the user, set groups and administrator first.

    A service account is nobody's, and does not sign in.

    :raises AuthenticationError: if that somebody may not come: the policy does not admit them, or their name is one
        that no user may have, or that of somebody else here. It does not tell which: people may choose their names
    """
    require_admitted(external, policy)
    db.begin_write()
    username = _known(external) or _new(external, policy, actor)
    if external.display_name is not None:
        _rename(username, external.display_name, actor)
    if policy.admin_groups:
        is_admin = bool((external.groups or frozenset()) & policy.admin_groups)
        if users.get_user(username)["is_admin"] != is_admin:
            users.update_user(username, {"is_admin": is_admin}, actor=_of_source(external, actor))
    if external.groups is not None:
        _set_groups(username, external, actor)
    return username


def _known(external: External, hold: bool = False) -> str | None:
    """Return the name of the user whom the source has vouched for before; None if there is none.

    :param hold: look at what is committed by now, and have it stay until this transaction ends
    :raises AuthenticationError: if that is a service account
    """
    statement = select(_user.c.username, _user.c.source_key, _user.c.is_service).where(
        _user.c.source == external.source, _user.c.source_key == external.key
    )
    for row in sql_db.session.execute(statement.with_for_update() if hold else statement):
        if row.source_key == external.key:
            if row.is_service:
                raise _refusal(external, "that is a service account")
            return str(row.username)
    return None


def _new(external: External, policy: Policy, actor: Actor | None) -> str:
    name = canonical(external.username)
    row = _held(name)
    if row is None:
        if policy.admits == "known":
            raise _refusal(external, "nobody is registered under that name")
        try:
            users.add_user(name, display_name=None, actor=actor)
        except ValidationError as error:
            raise _refusal(external, error.message) from None
        except ConflictError:
            # Taken at this very moment, perhaps by the same somebody in another window.
            if username := _known(external, hold=True):
                return username
            raise _refusal(external, "somebody else has just got that name") from None
        row = _held(name)
    elif not row.is_service and (row.source, row.source_key) == (external.source, external.key):
        return name  # since just now, by the same somebody in another window
    elif not _may_become(row, external, policy):
        raise _refusal(
            external,
            "a user of that name is here already, and is not taken over unless an administrator says so "
            "(flask user link)",
        )
    _bind(name, external.source, external.key, actor)
    return name


def _held(name: str) -> Any:
    """Return the user of that very name, whom nobody changes until this transaction ends; None if there is none."""
    statement = select(_user).where(_user.c.username == name).with_for_update()
    return next((row for row in sql_db.session.execute(statement) if row.username == name), None)


def _bind(name: str, source: str | None, key: str | None, actor: Actor | None) -> None:
    values = {"source": source, "source_key": key}
    sql_db.session.execute(update(_user).where(_user.c.username == name).values(values))
    audit.record(actor, "user.link", name, values)


def _refusal(external: External, reason: str) -> AuthenticationError:
    logger.info("%s signs in %r, who may not come: %s", external.source, external.username, reason)
    return AuthenticationError("You may not use this server, as far as it knows you: ask an administrator")


def _may_become(row: Any, external: External, policy: Policy) -> bool:
    """Return whether a user who is here already may be the one whom a source means by that name."""
    if row.is_service:
        return False
    if row.source is not None:
        return row.source == external.source and row.source_key is None
    return policy.admits != "anyone" and not row.is_admin and row.password_hash is None


def link(username: str, source: str, key: str | None = None, *, actor: Actor | None = None) -> None:
    """Have a source sign a user in from now on. What another one has vouched for counts no more: sessions end.

    :param source: ``ldap``, or ``oidc:`` and the name of a provider
    :param key: what the source calls the user for ever; None: whomever it calls by the same name first, which a service
        account cannot be
    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the key is that of another user, or a service account gets none
    :raises ValidationError: 422 for a source or a key that no source has
    """
    _check_source(source, key)
    db.begin_write()
    users.hold(username)
    name = spelling(username)
    if key is not None and (other := find(source, key)) and other[0] != name:
        raise ConflictError(f"{key!r} of {source} is user {other[0]!r} already")
    if key is None and _held(name).is_service:
        raise ConflictError(
            f"User {name!r} is a service account: say what {source} calls it, once and for all"
        )
    _leave_groups(name, source, actor)
    sessions.end_all_of(name, actor=actor)
    _bind(name, source, key, actor)


def unlink(username: str, source: str, *, actor: Actor | None = None) -> bool:
    """Have a source sign a user in no longer, and its groups count no more; sessions end. Return whether it did.

    :raises UnknownUserError: if nobody is registered under the name
    :raises ValidationError: 422 for a source that there cannot be
    """
    _check_source(source, None)
    db.begin_write()
    users.hold(username)
    name = spelling(username)
    if _held(name).source != source:
        return False
    _leave_groups(name, None, actor)
    sessions.end_all_of(name, actor=actor)
    _bind(name, None, None, actor)
    return True


def _check_source(source: str, key: str | None) -> None:
    if not _SOURCE.fullmatch(source):
        raise invalid("source", "expected ldap, or oidc: and the name of a provider, such as oidc:keycloak")
    if key is not None and (not 0 < len(key) <= SOURCE_KEY_LENGTH or not key.isprintable()):
        raise invalid("key", f"expected what the source calls the user: 1 to {SOURCE_KEY_LENGTH} characters")


def _leave_groups(username: str, source: str | None, actor: Actor | None) -> None:
    """Take a user out of the groups that another source than this one has put them in: it would never do so again."""
    user_id = users.key_of_user(username)
    of_others = (group_members.c.user_id == user_id) & group_members.c.source.is_not(None)
    if source is not None:
        of_others &= group_members.c.source != source
    statement = (
        select(_group.c.name, group_members.c.source).join_from(group_members, _group).where(of_others)
    )
    rows = sql_db.session.execute(statement).all()
    sql_db.session.execute(delete(group_members).where(of_others))
    for row in rows:
        audit.record(actor, "group.remove_member", row.name, {"user": username, "source": row.source})


def _rename(username: str, display_name: str, actor: Actor | None) -> None:
    if users.get_user(username)["display_name"] is not None:  # people may have changed it here
        return
    try:
        users.update_user(username, {"display_name": display_name}, actor=actor)
    except ValidationError:  # the source is free to have names that cannot be shown here
        return


def _of_source(external: External, actor: Actor | None) -> Actor | None:
    """Return who acts where a source decides: nobody of this server, who could be the last administrator."""
    return actor and Actor(None, origin=actor.origin)


def _set_groups(username: str, external: External, actor: Actor | None) -> None:
    """Make a user a member of the groups that the source names and this server has, and of no other because of it."""
    user_id = users.key_of_user(username)
    wanted = _ids_of(external.groups or ())
    rows = sql_db.session.execute(
        select(group_members.c.group_id, group_members.c.source, _group.c.name)
        .join(_group, _group.c.id == group_members.c.group_id)
        .where(group_members.c.user_id == user_id)
    ).all()
    is_in = {row.group_id for row in rows}
    for row in rows:
        if row.source == external.source and row.group_id not in wanted:
            pair = (group_members.c.group_id == row.group_id) & (group_members.c.user_id == user_id)
            sql_db.session.execute(delete(group_members).where(pair))
            audit.record(
                actor, "group.remove_member", row.name, {"user": username, "source": external.source}
            )
    for key, name in wanted.items():
        pair_values = {"group_id": key, "user_id": user_id, "source": external.source}
        if key not in is_in and db.insert_if_new(group_members, ("group_id", "user_id"), pair_values):
            audit.record(actor, "group.add_member", name, {"user": username, "source": external.source})


def _ids_of(names: Iterable[str]) -> dict[int, str]:
    """Return the names, by primary key, of those groups that this server has."""
    found: dict[int, str] = {}
    for some in db.batched(sorted(map(canonical, names))):
        statement = select(_group.c.id, _group.c.name).where(_group.c.name.in_(some))
        found |= {row.id: row.name for row in sql_db.session.execute(statement) if row.name in some}
    return found
