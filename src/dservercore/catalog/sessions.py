"""Sessions of browsers: who has signed in, when, how and from where. Each is a row; its secret is in a cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, or_, select

from dservercore import db
from dservercore.catalog import audit, last_use, users
from dservercore.catalog.scope import Actor
from dservercore.catalog.secret_digests import digest_of
from dservercore.db import sql_db
from dservercore.db.fast_reads import Remembered, Row
from dservercore.errors import ConflictError, UnknownUserError
from dservercore.models import ADDRESS_LENGTH, BrowserSession, User

#: Sessions that a user may have; the oldest ends when one more begins.
MAX_SESSIONS = 100

_session, _user = BrowserSession.__table__, User.__table__
_MAX_AGENT = 255
_MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class Client:
    """The browser that somebody signs in with.

    :param address: IP address
    :param agent: what it says that it is (``User-Agent``), which may be anything
    """

    address: str
    agent: str


@dataclass(frozen=True)
class Limits:
    """How long a session lasts, in seconds.

    :param idle: since it was last used
    :param lifetime: since it began
    """

    idle: int
    lifetime: int


@dataclass(frozen=True)
class Session:
    """A session that has begun and was not ended. Times are seconds since the epoch, UTC.

    ``tokens_since`` and ``is_service`` are those of its user.
    """

    id: int
    username: str
    means: str
    created_at: int
    last_used_at: int
    tokens_since: int | None
    is_service: bool
    id_token: str | None

    def is_good(self, limits: Limits) -> bool:
        """Return whether its user may still have it: it is not too old, and nothing of the user's was revoked since."""
        now = time.time()
        return (
            self.last_used_at + limits.idle > now
            and self.created_at + limits.lifetime > now
            and self.created_at >= (self.tokens_since or 0)
            and not self.is_service
        )


def _made(rows: Sequence[Row]) -> Session | None:
    for row in rows:
        return Session(*row)
    return None


_BY_DIGEST = Remembered(
    select(
        _session.c.id,
        _user.c.username,
        _session.c.means,
        _session.c.created_at,
        _session.c.last_used_at,
        _user.c.tokens_since,
        _user.c.is_service,
        _session.c.id_token,
    )
    .join_from(_session, _user)
    .where(_session.c.digest == bindparam("digest")),
    _made,
)


_OPEN = Remembered(select(_session.c.id).where(_session.c.id == bindparam("id")), bool)


def is_open(session_id: object) -> bool:
    """Return whether a session with that number has begun, and has not been ended, nor been forgotten as too old."""
    return type(session_id) is int and 0 < session_id <= _MAX_ID and _OPEN.get({"id": session_id})


def begin(
    username: str, means: str, client: Client, *, id_token: str | None = None, actor: Actor | None = None
) -> str:
    """Begin a session of a user who has just signed in. Return its secret, for the cookie: it is stored as a digest.

    :param means: ``password``, ``link``, ``ldap``, or ``oidc:`` and the name of a provider
    :param id_token: of the provider, which asks for it at sign-out
    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account, which cannot sign in
    """
    db.begin_write()
    now, secret = int(time.time()), secrets.token_urlsafe(32)
    user_id = users.hold(username)
    require_person(username)
    row = {
        "user_id": user_id,
        "digest": digest_of(secret),
        "means": means,
        "created_at": now,
        "last_used_at": now,
        "address": client.address[:ADDRESS_LENGTH],
        "agent": client.agent[:_MAX_AGENT],
        "id_token": id_token,
    }
    sql_db.session.execute(insert(_session), row)
    _end_oldest_of(user_id)
    audit.record(actor, "session.begin", username, {"means": means})
    return secret


def _end_oldest_of(user_id: int) -> None:
    of_user = _session.c.user_id == user_id
    ids = select(_session.c.id).where(of_user).order_by(_session.c.id.desc())
    first_too_many = sql_db.session.execute(ids.offset(MAX_SESSIONS).limit(1)).scalar()
    if first_too_many is not None:
        sql_db.session.execute(delete(_session).where(of_user, _session.c.id <= first_too_many))


def require_person(username: str) -> None:
    """Pass if a user can sign in.

    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account
    """
    statement = select(_user.c.is_service).where(_user.c.id == users.key_of_user(username))
    is_service = sql_db.session.execute(statement).scalar()
    if is_service is None:
        raise UnknownUserError(f"User {username!r} is not registered")
    if is_service:
        raise ConflictError(f"User {username!r} is a service account, which cannot sign in")


def find(secret: str) -> Session | None:
    """Return the session that a cookie has the secret of; None if there is none, or it was ended.

    Whether it still is good is for :meth:`Session.is_good` to say.
    """
    return _BY_DIGEST.get({"digest": digest_of(secret)})


def note_use(session: Session, limits: Limits) -> None:
    """Write down, at most once in some minutes, that a session is used now (see :func:`last_use.note`).

    :param limits: a session that is in use must not end because its use is not written down
    """
    last_use.note(_session, session.id, session.last_used_at, min(last_use.PRECISION, limits.idle // 4))


def list_of(username: str, limits: Limits) -> list[dict[str, Any]]:
    """Return the sessions of a user, the newest first.

    A session: ``id``, ``means``, ``created_at``, ``last_used_at`` (to some minutes; both in seconds since the epoch,
    UTC), ``address`` and ``agent`` of the browser that signed in.

    :raises UnknownUserError: if nobody is registered under the name
    """
    columns = [_session.c[name] for name in ("id", "means", "created_at", "last_used_at", "address", "agent")]
    statement = select(*columns).join_from(_session, _user).order_by(_session.c.id.desc())
    wanted = statement.where(
        _session.c.user_id == users.key_of_user(username),
        ~_is_too_old(limits),
        or_(_user.c.tokens_since.is_(None), _session.c.created_at >= _user.c.tokens_since),
    )
    return [dict(row._mapping) for row in sql_db.session.execute(wanted)]


def end_of(username: str, session_id: int, *, actor: Actor | None = None) -> bool:
    """End a session if it is one of a user. Return whether it was, and had not been ended before.

    :raises UnknownUserError: if nobody is registered under the name
    """
    db.begin_write()
    is_it = (_session.c.id == session_id) & (_session.c.user_id == users.key_of_user(username))
    is_ended = session_id <= _MAX_ID and bool(db.changed_rows(delete(_session).where(is_it)))
    if is_ended:
        audit.record(actor, "session.end", username, {"session": session_id})
    return is_ended


def end_all_of(username: str, *, but: int | None = None, actor: Actor | None = None) -> int:
    """End the sessions of a user. Return how many they were.

    :param but: the id of one that goes on; None: none does
    :raises UnknownUserError: if nobody is registered under the name
    """
    db.begin_write()
    statement = delete(_session).where(_session.c.user_id == users.key_of_user(username))
    number = db.changed_rows(statement if but is None else statement.where(_session.c.id != but))
    if number:
        audit.record(actor, "session.end", username, {"sessions": number})
    return number


def prune(limits: Limits) -> None:
    """Forget the sessions that are too old."""
    db.begin_write()
    sql_db.session.execute(delete(_session).where(_is_too_old(limits)))


def _is_too_old(limits: Limits) -> ColumnElement[bool]:
    now = int(time.time())
    return or_(_session.c.last_used_at <= now - limits.idle, _session.c.created_at <= now - limits.lifetime)
