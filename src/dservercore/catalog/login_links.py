"""Links that sign somebody in once: an administrator makes one, and whoever has it is that user."""

from __future__ import annotations

import secrets
import time

from sqlalchemy import delete, insert, select

from dservercore import db
from dservercore.catalog import audit, sessions, users
from dservercore.catalog.scope import Actor
from dservercore.catalog.secret_digests import digest_of
from dservercore.db import sql_db
from dservercore.db.usernames import canonical
from dservercore.models import LoginLink, User

#: Seconds for which a link works.
LIFETIME = 600
_MAX_SECRET = 100

_link, _user = LoginLink.__table__, User.__table__


def make(username: str, *, actor: Actor | None = None) -> str:
    """Return the secret of a new link that signs a user in, which is stored as a digest.

    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account, which cannot sign in
    """
    db.begin_write()
    now, secret = int(time.time()), secrets.token_urlsafe(32)
    user_id = users.hold(username)
    sessions.require_person(username)
    sql_db.session.execute(delete(_link).where(_link.c.expires_at <= now))
    row = {
        "user_id": user_id,
        "digest": digest_of(secret),
        "created_at": now,
        "expires_at": now + LIFETIME,
    }
    sql_db.session.execute(insert(_link), row)
    audit.record(actor, "user.login_link", canonical(username))
    return secret


def use(secret: str) -> str | None:
    """Use a link up. Return the name of the user whom it signs in; None if it has expired, was used, or never was.

    Of two who do so at the same moment, one gets the name.
    """
    if not 0 < len(secret) <= _MAX_SECRET or not secret.isascii():
        return None
    db.begin_write()
    statement = (
        select(_link.c.id, _link.c.created_at, _user.c.username, _user.c.tokens_since, _user.c.is_service)
        .join_from(_link, _user)
        .where(_link.c.digest == digest_of(secret), _link.c.expires_at > int(time.time()))
    )
    row = sql_db.session.execute(statement).first()
    if row is None or not db.changed_rows(delete(_link).where(_link.c.id == row.id)):
        return None
    if row.is_service or row.created_at < (row.tokens_since or 0):
        return None
    return str(row.username)
