"""Ends a search in SQLite, or in PostgreSQL, that takes too long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from dservercore.db import servers, sql_db
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


@contextmanager
def canceled(limit: TimeLimit, *settings: str) -> Iterator[None]:
    """Have PostgreSQL cancel each statement in the ``with`` block that takes longer than *limit* has left now.

    :param settings: of these statements, such as ``enable_seqscan = off``
    :raises UnavailableError: if a statement was canceled
    """
    connection = sql_db.session.connection()
    # What is set goes back with the savepoint, and the transaction goes on even where a statement was canceled. To
    # compile a statement, or to start processes for it, takes longer than what would be won. The time limit comes last,
    # as it holds for what follows it in the same message, too.
    milliseconds = max(1, round(limit.seconds_left() * 1000))
    first = ("jit = off", "max_parallel_workers_per_gather = 0")
    local = [f"SET LOCAL {each}" for each in (*first, *settings, f"statement_timeout = {milliseconds}")]
    connection.exec_driver_sql("; ".join(["SAVEPOINT limited", *local]))
    try:
        yield
    except OperationalError as error:
        if servers.CANCELED in servers.codes_of(error.orig):
            raise limit.exceeded() from error
        raise
    finally:
        if not connection.invalidated:
            servers.go_back(connection, "limited")
