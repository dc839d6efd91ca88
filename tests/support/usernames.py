"""Users of whom only the names matter: added, and read without a session."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from dservercore import sql_db
from dservercore.catalog import users
from dservercore.models import User

#: Reads the names of all users, in order.
USERNAMES = select(User.username).order_by(User.username)


def add_users(*names: str) -> None:
    """Add users of these names, commit, and end the session, so that what follows is read without one."""
    for name in names:
        users.add_user(name)
    sql_db.session.commit()
    sql_db.session.remove()


def names_in(rows: Iterable[tuple[str]]) -> list[str]:
    """Return the names in the rows of a statement that reads nothing else."""
    return [name for (name,) in rows]
