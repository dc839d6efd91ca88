"""Tokens that users make for their programs, and the end of all tokens of a user.

A token is shown once, when it is made; its digest is stored. Whether one that comes with a request is good is for
``auth/personal_tokens`` to say.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from dservercore import db
from dservercore.catalog import audit, users
from dservercore.catalog.scope import MAY, Actor
from dservercore.catalog.secret_digests import digest_of
from dservercore.dataset.values import INTEGER_MAX
from dservercore.db import sql_db
from dservercore.db.registered_names import spelling
from dservercore.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    UnknownTokenError,
    UnknownUserError,
    invalid,
)
from dservercore.models import TOKEN_NAME_LENGTH, BrowserSession, LoginLink, PersonalToken, User
from dservercore.printable import printable

#: By which programs that look for secrets in other places recognise one.
PREFIX = "dserver_"
SECRET_LENGTH = 30  # characters, of 5.95 bits each
CHECKSUM_LENGTH = 6

#: How long a token works whose maker does not say, in seconds; less where ``DSERVER_MAX_TOKEN_LIFETIME`` is.
DEFAULT_LIFETIME = 90 * 24 * 3600
#: That one user can have.
MAX_TOKENS = 100
#: In one token.
MAX_BASE_URIS = 1000

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_token, _user = PersonalToken.__table__, User.__table__


# What a token looks like


def new_token() -> str:
    """Return a new token: a prefix, 178 random bits, and a checksum of those."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_LENGTH))
    return PREFIX + secret + checksum(secret)


def checksum(secret: str) -> str:
    """Return the CRC-32 of the random part, in base 62: a mistyped token need not be looked up, nor a made-up one."""
    rest, digits = zlib.crc32(secret.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


# Reading


def list_tokens(username: str) -> list[dict[str, Any]]:
    """Return the tokens of a user, in the order in which they were made, those that have expired included.

    Of each: ``id``, ``name``, ``may`` (words), ``base_uris`` (None: all that the user may use), and ``created_at``,
    ``expires_at`` (None: never) and ``last_used_at`` (to some minutes; None: not yet) in seconds since the epoch, UTC.

    :raises UnknownUserError: if nobody is registered under the name
    """
    key = users.key_of_user(username)
    rows = sql_db.session.execute(select(_token).where(_token.c.user_id == key).order_by(_token.c.id))
    return [_as_object(row) for row in rows]


def _as_object(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "may": row.may.split(),
        "base_uris": None if row.base_uris is None else json.loads(row.base_uris),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    }


# Making


@dataclass(frozen=True)
class Wish:
    """A token that somebody wants to have.

    :param name: for its owner to know it by
    :param lifetime: seconds; None: for ever
    :param may: some of ``search``, ``register`` and ``admin``
    :param base_uris: where it may search and register; None: wherever its owner may
    """

    name: str
    lifetime: int | None
    may: Collection[str] = ("search",)
    base_uris: Sequence[str] | None = None


def lifetime_of(wish: Mapping[str, Any], longest: int | None) -> int | None:
    """Return the ``expires_in`` of a wish, in seconds; where there is none, the usual one. None: for ever.

    :param longest: seconds that a token may work on this server; None: any number
    :raises ValidationError: 422 if the wish is for longer
    """
    if "expires_in" not in wish:
        return min(DEFAULT_LIFETIME, longest or DEFAULT_LIFETIME)
    wanted: int | None = wish["expires_in"]
    if longest and (wanted is None or wanted > longest):
        raise invalid("expires_in", f"must be at most {longest} seconds on this server")
    return wanted


def create_token(
    username: str, wish: Wish, usable: Collection[str], *, actor: Actor | None = None
) -> dict[str, Any]:
    """Make a token of a user. Return what :func:`list_tokens` has of it, and ``token``, which is told only now.

    :param usable: base URIs that the user may use in one of the ways that the token is for
    :param actor: the user, or an administrator if the user is a service account; or the operator
    :raises UnknownUserError: if nobody is registered under the name
    :raises AuthorizationError: if the actor is an administrator no longer
    :raises AuthenticationError: if all tokens of the actor were revoked at this moment
    :raises ConflictError: if the user is a person, and it is somebody else who acts; or has :data:`MAX_TOKENS`
    :raises ValidationError: 422 naming what is wrong with the wish
    """
    values = {
        "name": _checked_name(wish.name),
        "may": " ".join(_checked_may(wish)),
        "base_uris": _checked_base_uris(wish, usable),
    }
    username = spelling(username)
    db.begin_write()
    owner = _hold_for(username, actor)
    if "admin" in wish.may and not owner.is_admin:
        raise invalid("may", "must not have `admin`, as its owner is no administrator")
    number = select(func.count()).select_from(_token).where(_token.c.user_id == owner.id)
    if sql_db.session.execute(number).scalar_one() >= MAX_TOKENS:
        raise ConflictError(f"User {username!r} has {MAX_TOKENS} tokens: delete some first")
    # Tokens from before `tokens_since` are revoked, which may be the next second.
    now, token = max(int(time.time()), owner.tokens_since or 0), new_token()
    expires_at = None if wish.lifetime is None else now + wish.lifetime
    row = {"user_id": owner.id, "digest": digest_of(token), "created_at": now, "expires_at": expires_at}
    sql_db.session.execute(insert(_token), row | values)
    made = sql_db.session.execute(select(_token).where(_token.c.digest == row["digest"])).one()
    about = _as_object(made)
    audit.record(
        actor,
        "token.create",
        username,
        {k: about[k] for k in ("id", "name", "may", "base_uris", "expires_at")},
    )
    return about | {"token": token}


def _checked_name(name: str) -> str:
    if not 0 < len(name.strip()) <= len(name) <= TOKEN_NAME_LENGTH:
        raise invalid("name", f"must have 1 to {TOKEN_NAME_LENGTH} characters")
    if printable(name) != name:
        raise invalid("name", "contains a control character, or one that nobody sees")
    return name


def _checked_may(wish: Wish) -> list[str]:
    unknown = next((word for word in wish.may if word not in MAY), None)
    if unknown is not None or not wish.may:
        raise invalid("may", f"must have at least one of {', '.join(MAY)}, and nothing else")
    if "admin" in wish.may and wish.base_uris is not None:
        raise invalid(
            "base_uris", "cannot be told for a token that may `admin`, which is not about base URIs"
        )
    return [word for word in MAY if word in wish.may]


def _checked_base_uris(wish: Wish, usable: Collection[str]) -> str | None:
    if wish.base_uris is None:
        return None
    wanted = sorted(set(wish.base_uris))
    if not 0 < len(wanted) <= MAX_BASE_URIS:
        raise invalid("base_uris", f"must be 1 to {MAX_BASE_URIS}; without it, the token is for all")
    # Those that do not exist are answered like those that others have.
    if not set(wanted) <= set(usable):
        raise invalid("base_uris", "must be base URIs where the owner may do what the token is for")
    return json.dumps(wanted)


def _hold_for(username: str, actor: Actor | None) -> Any:
    """Return the row of a user for whom an actor may make a token, locked until this transaction ends.

    With it the actor's: or else somebody whose token is being revoked could make another one at the same moment.
    """
    names = {username} | ({actor.username} if actor and actor.username else set())
    statement = select(_user).where(_user.c.username.in_(names)).order_by(_user.c.id).with_for_update()
    rows = {row.username: row for row in sql_db.session.execute(statement) if row.username in names}
    if actor and actor.username:
        now = rows.get(actor.username)
        if now is None or now.tokens_since != actor.tokens_since:
            raise AuthenticationError("The token was revoked: get a new one")
        if actor.username != username and not now.is_admin:
            raise AuthorizationError("Only an administrator may do this")
    if username not in rows:
        raise UnknownUserError(f"User {username!r} is not registered")
    owner = rows[username]
    if actor and actor.username not in (None, username) and not owner.is_service:
        raise ConflictError(f"User {username!r} is no service account: only a person makes their own tokens")
    return owner


# Ending


def delete_token(username: str, token_id: int, *, actor: Actor | None = None) -> None:
    """End a token of a user.

    :raises UnknownUserError: if nobody is registered under the name
    :raises UnknownTokenError: if the user has no such token, or no longer
    """
    username = spelling(username)
    db.begin_write()
    key = users.hold(username)
    own = (_token.c.user_id == key) & (_token.c.id == min(token_id, INTEGER_MAX))
    name = sql_db.session.execute(select(_token.c.name).where(own)).scalar()
    if name is None or not db.changed_rows(delete(_token).where(own)):
        raise UnknownTokenError(f"User {username!r} has no token {token_id}")
    audit.record(actor, "token.delete", username, {"id": token_id, "name": name})


@dataclass(frozen=True)
class Revocation:
    """All that a user could be known by, ended.

    :param numbers: of ``tokens`` for programs, ``sessions`` and ``links`` to sign in with that there were
    :param since: seconds since the epoch, UTC: what is made from then on is good
    """

    numbers: Mapping[str, int]
    since: int

    def wait(self) -> None:
        """Wait for new tokens to be good: for a second at most. To be called when the revocation is committed."""
        time.sleep(min(1.0, max(0.0, self.since - time.time())))


def revoke_all(username: str, *, actor: Actor | None = None) -> Revocation:
    """End every token, session and sign-in link of a user. What tells no more than a second counts as made before.

    :raises UnknownUserError: if nobody is registered under the name
    """
    username = spelling(username)
    db.begin_write()
    held = select(_user.c.id, _user.c.tokens_since).where(_user.c.username == username).with_for_update()
    row = sql_db.session.execute(held).first()
    if row is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    since = max(int(time.time()) + 1, row.tokens_since or 0)
    sql_db.session.execute(update(_user).where(_user.c.id == row.id).values(tokens_since=since))
    tables = {"tokens": _token, "sessions": BrowserSession.__table__, "links": LoginLink.__table__}
    numbers = {
        name: db.changed_rows(delete(table).where(table.c.user_id == row.id))
        for name, table in tables.items()
    }
    audit.record(actor, "user.revoke_tokens", username, numbers)
    return Revocation(numbers, since)
