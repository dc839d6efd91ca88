"""Ends a search in SQLite that takes too long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from dservercore.db.fast_reads import one_moment
from dservercore.plugins.tokens.time_limit import TimeLimit

# SQLite asks whether to go on after so many steps of its machine, which take about a millisecond. Asking costs less
# than a thousandth of that.
_STEPS = 20_000


@contextmanager
def cut_off(limit: TimeLimit) -> Iterator[None]:
    """Give the statements in the ``with`` block no more time than *limit* has left.

    A statement that takes longer is ended; the connection, and a transaction that it has begun, go on.

    :raises UnavailableError: if a statement was ended
    """
    with one_moment() as connection:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_progress_handler(limit.is_over, _STEPS)
        try:
            yield
        except OperationalError as error:
            if limit.is_over() and str(error.orig) == "interrupted":
                raise limit.exceeded() from None
            raise
        finally:
            connection.set_progress_handler(None, 0)
