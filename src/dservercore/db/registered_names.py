"""Which user names have been registered, so that the tokens of a user who was deleted do not become a namesake's.

A name stays here when its user is deleted, by whatever way. Who gets it again gets ``tokens_since`` with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import BigInteger, Connection, String, column, exists, func, select, table
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column

from dservercore import db
from dservercore.db import sql_db
from dservercore.db.usernames import USERNAME_LENGTH, canonical, key_of


class RegisteredName(sql_db.Model):  # type: ignore[name-defined]
    """A user name that was registered once: it stays when its user is deleted, for a namesake to come.

    The row of the empty name, which no user has, says when a backup was restored (see :data:`RESTORED`).
    """

    __tablename__ = "registered_name"

    username: Mapped[str] = mapped_column(String(USERNAME_LENGTH), primary_key=True)
    # Seconds since the epoch, UTC. NULL: not deleted yet, or by a way that did not say so.
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


_names = RegisteredName.__table__
_users = table("user", column("username"), column("name_key"))

# The name of nobody: its row says when a backup was restored. Which names were registered after the backup
# was made is not known, so that any may have been.
RESTORED = ""


def spelling(username: str) -> str:
    """Return how a user name is looked up: as it is given, if a user has exactly that name, otherwise in NFC."""
    stored = canonical(username)
    if stored == username:
        return username
    as_spelt = select(_users.c.username).where(_users.c.username == username)
    return stored if sql_db.session.execute(as_spelt).first() is None else username


def same_but_for_case(username: str) -> list[str]:
    """Return the registered names that differ from a name in upper and lower case alone, itself included."""
    # A user without a key was registered before there were keys, or was written by another program.
    alike = (_users.c.name_key == key_of(username)) | _users.c.name_key.is_(None)
    names = sql_db.session.execute(select(_users.c.username).where(alike)).scalars()
    return [name for name in names if key_of(name) == key_of(username)]


def name_key(context: DefaultExecutionContext) -> str:
    """Return the key of a user who is being inserted: the default of a column of ``user``."""
    return key_of(context.get_current_parameters()["username"])


def tokens_since(context: DefaultExecutionContext) -> int | None:
    """Return from when on a user who is being inserted may have tokens: the default of a column of ``user``.

    In seconds since the epoch, UTC. None for a name that was never registered before: whatever token it has is its own.
    """
    return since(context.connection, context.get_current_parameters()["username"])


def since(connection: Connection, username: str) -> int | None:
    """Register a name; return from when on its new user may have tokens.

    In seconds since the epoch, UTC. None for a name that was never registered before.
    """
    is_taken = exists().where(_users.c.username == username).label("is_taken")
    rows = connection.execute(
        select(_names, is_taken).where(_names.c.username.in_((username, RESTORED)))
    ).all()
    own = [row for row in rows if row.username != RESTORED]
    moments = [row.deleted_at for row in rows if row.deleted_at is not None]
    if not own:
        connection.execute(db.upsert(_names, ("username",)), {"username": username})
        if not moments:
            return None
    if any(row.deleted_at is None and not row.is_taken for row in own):
        moments.append(int(time.time()))  # the deletion, at the latest
    last = max(moments, default=0)
    # Tokens tell the second in which they were made: those of this second may be either user's.
    _wait_until_after(last)
    return max(int(time.time()), last + 1)


def wait_for_another_second(username: str) -> None:
    """Wait for the next second if a user of that name was deleted, or a backup restored, in this one.

    To be called before a lock is taken, for which others would wait meanwhile.
    """
    deleted_at = select(func.max(_names.c.deleted_at)).where(_names.c.username.in_((username, RESTORED)))
    _wait_until_after(sql_db.session.execute(deleted_at).scalar() or 0)


def _wait_until_after(second: int) -> None:
    time.sleep(min(1.0, max(0.0, second + 1 - time.time())))


def restoration() -> list[str]:
    """Return the SQL, for SQLite and PostgreSQL, that notes in a database that it was restored now.

    A database from before names were noted gets the table, for ``flask db upgrade`` to fill.
    """
    return [
        f"CREATE TABLE IF NOT EXISTS registered_name (username VARCHAR({USERNAME_LENGTH}) NOT NULL, deleted_at BIGINT,"
        " PRIMARY KEY (username))",
        f"INSERT INTO registered_name (username, deleted_at) VALUES ('{RESTORED}', {int(time.time())})"
        " ON CONFLICT (username) DO UPDATE SET deleted_at = excluded.deleted_at",
    ]


def note_restoration() -> None:
    """Note in the database in use that it was restored now."""
    values = {"username": RESTORED, "deleted_at": int(time.time())}
    sql_db.session.execute(db.upsert(_names, ("username",), overwrite=("deleted_at",)), values)


def note_deletion(usernames: Iterable[str]) -> None:
    """Remember that users are being deleted now."""
    rows = [{"username": username, "deleted_at": int(time.time())} for username in sorted(usernames)]
    if rows:
        sql_db.session.execute(db.upsert(_names, ("username",), overwrite=("deleted_at",)), rows)
