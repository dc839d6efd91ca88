"""Which user names have been registered, so that the tokens of a user who was deleted do not become a namesake's.

A name stays here when its user is deleted, by whatever way. Who gets it again gets ``tokens_since`` with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import BigInteger, String, select
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column

from dservercore import db
from dservercore.db import sql_db

USERNAME_LENGTH = 64


class RegisteredName(sql_db.Model):  # type: ignore[name-defined]
    """A user name that was registered once: it stays when its user is deleted, for a namesake to come."""

    __tablename__ = "registered_name"

    username: Mapped[str] = mapped_column(String(USERNAME_LENGTH), primary_key=True)
    # Seconds since the epoch, UTC. NULL: not deleted yet, or by a way that did not say so.
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


_names = RegisteredName.__table__


def tokens_since(context: DefaultExecutionContext) -> int | None:
    """Return from when on a user who is being inserted may have tokens: the default of a column of ``user``.

    In seconds since the epoch, UTC. None for a name that was never registered before: whatever token it has is its own.
    """
    username = context.get_current_parameters()["username"]
    connection = context.connection
    deleted_at = select(_names.c.deleted_at).where(_names.c.username == username)
    row = connection.execute(deleted_at).first()
    if row is None:
        connection.execute(db.upsert(_names, ("username",)), {"username": username})
        return None
    if row.deleted_at is None or row.deleted_at < int(time.time()):
        return int(time.time())
    # Tokens tell the second in which they were made: those of this second may be either user's.
    time.sleep(min(1.0, max(0.0, row.deleted_at + 1 - time.time())))
    return max(int(time.time()), row.deleted_at + 1)


def wait_for_another_second(username: str) -> None:
    """Wait until a name was not deleted in this second: before a lock is taken, for which others wait."""
    deleted_at = sql_db.session.execute(
        select(_names.c.deleted_at).where(_names.c.username == username)
    ).scalar()
    if deleted_at is not None:
        time.sleep(min(1.0, max(0.0, deleted_at + 1 - time.time())))


def note_deletion(usernames: Iterable[str]) -> None:
    """Remember that users are being deleted now."""
    rows = [{"username": username, "deleted_at": int(time.time())} for username in sorted(usernames)]
    if rows:
        sql_db.session.execute(db.upsert(_names, ("username",), overwrite=("deleted_at",)), rows)
