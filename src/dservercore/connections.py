"""Connections to the SQL database: how each kind of server is addressed, how long it may take, and how it fails.

What is particular about SQLite is in ``db``.
"""

from __future__ import annotations

import select
import time
from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

#: Who cannot be reached in this time is away.
CONNECT_SECONDS = 5
#: A request waits so long for a row that another one has locked, ...
LOCK_SECONDS = 10
#: ... and so long for the answer to one statement: longer than for a lock, so that the database says what it waits for.
ANSWER_SECONDS = 15
#: A request waits so long for one of the connections that its process holds.
POOL_SECONDS = 10

MARIADB = ("mysql", "mariadb")

# The codes of a transaction that the database gave up in favour of another one: nothing of it happened.
_LOST_RACES = {"40001", "40P01", 1213}
# Another transaction holds what this one needs, for longer than LOCK_SECONDS.
_LOCKED = {"55P03", 1205}


def engine_options(url: URL, serves: bool) -> dict[str, Any]:
    """Return the options of the engine for a database server; ``{}`` for SQLite, which needs none.

    :param serves: whether requests wait for the database. Commands may take as long as they need
    """
    kind = url.get_backend_name()
    if kind == "sqlite":
        return {}
    connect = _connect_arguments(kind, url.get_driver_name(), serves)
    return {
        # What one statement of a transaction reads is what others have committed, on every database alike.
        "isolation_level": "READ COMMITTED",
        # A connection that broke while nobody used it is replaced before a request meets it.
        "pool_pre_ping": True,
        "pool_timeout": POOL_SECONDS,
        "connect_args": {key: value for key, value in connect.items() if key not in url.query},
    }


def _connect_arguments(kind: str, driver: str, serves: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if driver == "pymysql" and serves:
        # The read time-out is that of the greeting; _limit_answers_of_pymysql sets another one behind it.
        arguments |= {"read_timeout": CONNECT_SECONDS, "write_timeout": ANSWER_SECONDS}
    if kind == "postgresql":
        arguments |= {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
    return arguments


def prepare(engine: Engine, serves: bool) -> None:
    """Let each new connection of an engine behave as the server needs it."""
    kind = engine.dialect.name
    if serves:
        limit_locks(engine)
    if kind == "postgresql":
        if serves and engine.dialect.driver == "psycopg2":
            _limit_answers_of_psycopg2()
    elif kind in MARIADB:
        event.listen(engine, "connect", _be_strict)
        if serves and engine.dialect.driver == "pymysql" and "read_timeout" not in engine.url.query:
            event.listen(engine, "connect", _limit_answers_of_pymysql)
        event.listen(engine, "handle_error", _end_transaction)


def limit_locks(engine: Engine) -> None:
    """Let each new connection of an engine give up waiting for a lock after ``LOCK_SECONDS``."""
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _limit_locks_of_postgresql)
    elif engine.dialect.name in MARIADB:
        event.listen(engine, "connect", _limit_locks_of_mariadb)


def _limit_locks_of_postgresql(connection: Any, _record: Any) -> None:
    # Not as an option of the connection: a pool such as PgBouncer refuses those.
    _execute(connection, f"SET lock_timeout = '{LOCK_SECONDS}s'")


def _be_strict(connection: Any, _record: Any) -> None:
    # However the server is configured: what does not fit is an error, and is never cut.
    _execute(connection, "SET SESSION sql_mode = 'TRADITIONAL'")


def _limit_locks_of_mariadb(connection: Any, _record: Any) -> None:
    _execute(
        connection,
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}, SESSION lock_wait_timeout = {LOCK_SECONDS}",
    )


def _execute(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()
    connection.commit()


def _end_transaction(context: Any) -> None:
    """Keep everybody from going on in a transaction that MariaDB has rolled back.

    It does so where it finds a deadlock, savepoints included, and would take what follows for a new transaction.
    """
    if _code(context.original_exception) == 1213:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


# A server that hangs


def _limit_answers_of_pymysql(connection: Any, _record: Any) -> None:
    # PyMySQL asks for one time-out for both, and says nowhere how to change it.
    connection._read_timeout = ANSWER_SECONDS


def _limit_answers_of_psycopg2() -> None:
    """Wait for PostgreSQL for a limited time. psycopg2 itself would wait for a server that hangs without an end."""
    from psycopg2 import extensions

    if extensions.get_wait_callback() is None:  # else somebody else waits, such as gevent
        extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    from psycopg2 import OperationalError, extensions

    is_new = connection.status == extensions.STATUS_SETUP
    deadline = time.monotonic() + (CONNECT_SECONDS if is_new else ANSWER_SECONDS)
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        poll = select.poll()
        poll.register(connection.fileno(), events[state])
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            raise OperationalError("the server does not answer in time")  # psycopg2 closes the connection


# What went wrong


def _code(error: BaseException | None) -> Any:
    """Return the SQLSTATE (PostgreSQL) or the number (MariaDB) of a driver's error; None if it has none."""
    code = getattr(error, "pgcode", None)
    if code is None and error is not None and error.args:
        code = error.args[0]
    return code


def lost_a_race(error: DBAPIError) -> bool:
    """Return whether the database gave this transaction up, so that trying once more is safe and may do."""
    return _code(error.orig) in _LOST_RACES


def waited_too_long(error: DBAPIError) -> bool:
    """Return whether another transaction held for too long what this one needs."""
    return _code(error.orig) in _LOCKED


# Text


@compiles(CreateTable, *MARIADB)
def _compare_exactly(create: CreateTable, compiler: Any, **options: Any) -> str:
    """Make tables in which texts are equal where each character is, as on the other databases.

    Left alone, MariaDB takes upper for lower case, accented for plain letters, and does not see spaces at the end.
    """
    statement = compiler.visit_create_table(create, **options).rstrip()
    if "COLLATE" in statement.rpartition(")")[2]:
        return statement
    return f"{statement} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
