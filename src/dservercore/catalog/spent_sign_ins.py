"""Which sign-ins with a provider have come to an end: each does so once, whatever the provider makes of its code."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import delete

from dservercore import db
from dservercore.db import sql_db
from dservercore.models import SpentSignIn

_spent = SpentSignIn.__table__


def spend(state: str, seconds: int) -> bool:
    """Note that a sign-in ends. Return whether it is the first time. To be committed before anything comes of it.

    :param state: the secret that the sign-in is known by, of which a digest is kept
    :param seconds: how long a sign-in is good, after which nobody need know any more that it has ended
    """
    db.begin_write()
    now = int(time.time())
    sql_db.session.execute(delete(_spent).where(_spent.c.spent_at < now - 2 * seconds))
    row = {"digest": hashlib.sha256(state.encode()).hexdigest(), "spent_at": now}
    return bool(db.insert_if_new(_spent, ("digest",), row))
