"""Connections to the SQL database: how each kind of server is addressed, how long it may take, and how it fails.

What is particular about SQLite is in ``sqlite_files``.
"""

from __future__ import annotations

import functools
import re
import select
import time
from collections.abc import Generator
from typing import Any

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from dservercore.errors import ConfigurationError

#: A server that cannot be reached in this time counts as away.
CONNECT_SECONDS = 5
#: A request waits so long for a row that another one has locked, ...
LOCK_SECONDS = 10
#: ... and so long for the answer to one statement: longer than for a lock, so that the database says what it waits for.
ANSWER_SECONDS = 15
#: A request waits so long for one of the connections that its process holds.
POOL_SECONDS = 10
#: What is said where a server does not answer in this time; the connection is closed then.
TOO_LATE = "the server does not answer in time"

MARIADB = ("mysql", "mariadb")

#: The code of a statement that took longer than PostgreSQL was told to give it.
CANCELED = "57014"
# How often PostgreSQL is told to go back to a savepoint, until a time limit does not end that.
_ATTEMPTS_TO_GO_BACK = 100

# The codes of a transaction that the database gave up in favour of another one: nothing of it happened.
_DEADLOCK_OF_MARIADB = 1213
_LOST_RACES = {"40001", "40P01", _DEADLOCK_OF_MARIADB}
# Another transaction holds what this one needs, for longer than LOCK_SECONDS.
_LOCKED = {"55P03", 1205}
# A table or a column is not there.
_MISSING = {"42P01", "42703", 1146, 1054}
_SAID_WHEN_MISSING = re.compile(r"^no such (table|column)|has no column named")
# There is no server, or it has no room, or it starts or ends: by numbers of MariaDB, and words of PostgreSQL.
_AWAY = {1040, 1053, 2002, 2003, 2005, 2006, 2013, 2055}
_SAID_WHEN_AWAY = re.compile(
    r"refused|time ?out|timed out|unreachable|no route|reset by peer|closed the connection|starting up|shutting down"
    r"|recovery mode|too many c|connection slots|translate host name|resolve host|is the server running|in time",
    re.IGNORECASE,
)


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
    if kind == "postgresql":
        # Whatever PGCLIENTENCODING says.
        arguments |= {"client_encoding": "utf8"}
        arguments |= {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
    if kind in MARIADB:
        arguments |= {"charset": "utf8mb4"}
    if driver == "psycopg":
        arguments |= _arguments_of_psycopg()
    elif driver == "pymysql" and serves:
        # The read time-out is that of the greeting; _limit_answers_of_pymysql sets another one behind it.
        arguments |= {"read_timeout": CONNECT_SECONDS, "write_timeout": ANSWER_SECONDS}
    elif kind in MARIADB and serves:
        arguments |= {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return arguments


def prepare(engine: Engine, serves: bool) -> None:
    """Let each new connection of an engine behave as the server needs it."""
    kind, driver = engine.dialect.name, engine.dialect.driver
    if serves:
        limit_locks(engine)
    if kind == "postgresql":
        event.listen(engine, "connect", _require_unicode_of_postgresql)
        # psycopg forgets how many rows an INSERT has touched once SQLAlchemy has read the key of a new one.
        engine.update_execution_options(preserve_rowcount=True)
    if serves and driver == "psycopg":
        event.listen(engine, "do_connect", _connect_with_limit)
    elif serves and driver == "psycopg2":
        _limit_answers_of_psycopg2()
    elif serves and driver == "pymysql" and "read_timeout" not in engine.url.query:
        event.listen(engine, "connect", _limit_answers_of_pymysql)
    if kind in MARIADB:
        event.listen(engine, "connect", _be_strict)
        event.listen(engine, "connect", _require_unicode_of_mariadb)
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
    if _DEADLOCK_OF_MARIADB in codes_of(context.original_exception):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


# A server that hangs


def _limit_answers_of_pymysql(connection: Any, _record: Any) -> None:
    # PyMySQL asks for one time-out for both, and says nowhere how to change it.
    connection._read_timeout = ANSWER_SECONDS


def _limit_answers_of_psycopg2() -> None:
    """Wait for PostgreSQL for a limited time. psycopg2 itself would wait for a server that hangs without an end."""
    from psycopg2 import extensions

    if extensions.get_wait_callback() is None:  # else another library waits, such as gevent
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
            raise OperationalError(TOO_LATE)  # psycopg2 closes the connection


def _arguments_of_psycopg() -> dict[str, Any]:
    """Return what has psycopg put values into a statement itself, as psycopg2 does.

    A statement may have any number of them then, and nothing stays behind on the server, where a pool such as PgBouncer
    would hand it to another client.
    """
    from psycopg import ClientCursor

    return {"cursor_factory": ClientCursor, "prepare_threshold": None}


def _connect_with_limit(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Connect by psycopg, which itself would wait for a server that hangs without an end."""
    return _limited_connection().connect(*arguments, **options)


@functools.cache
def _limited_connection() -> Any:
    """Return psycopg's class of connections, which gives up waiting for an answer after ``ANSWER_SECONDS``."""
    from psycopg import Connection, OperationalError

    class LimitedConnection(Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            return super().wait(self._limited(gen), *arguments, **options)

        def _limited(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            """Do the steps of talking to the server for as long as there is time."""
            deadline = time.monotonic() + ANSWER_SECONDS
            try:
                state = next(steps)
                while True:
                    ready = yield state
                    if not ready and time.monotonic() > deadline:
                        steps.close()
                        self.close()  # what it may still answer would be taken for another answer
                        raise OperationalError(TOO_LATE)
                    state = steps.send(ready)
            except StopIteration as end:
                return end.value

    return LimitedConnection


# What went wrong


def codes_of(error: BaseException | None) -> set[Any]:
    """Return the SQLSTATE (PostgreSQL) and the number (MariaDB) of a driver's error, as far as it has them."""
    codes = {getattr(error, name, None) for name in ("sqlstate", "pgcode", "errno")}
    if error is not None and error.args and isinstance(error.args[0], int):
        codes.add(error.args[0])
    return codes - {None}


def go_back(connection: Connection, savepoint: str) -> None:
    """Go back to a savepoint of PostgreSQL and release it, with the settings of then.

    A time limit that was set since holds until PostgreSQL has gone back, and may end just that: then it is told again.
    """
    for attempts_left in reversed(range(_ATTEMPTS_TO_GO_BACK)):
        try:
            connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {savepoint}; RELEASE SAVEPOINT {savepoint}")
            return
        except OperationalError as error:
            if not attempts_left or CANCELED not in codes_of(error.orig):
                raise


def lost_a_race(error: DBAPIError) -> bool:
    """Return whether the database gave this transaction up, so that trying once more is safe and may succeed."""
    return bool(codes_of(error.orig) & _LOST_RACES)


def waited_too_long(error: DBAPIError) -> bool:
    """Return whether this transaction waited too long for a lock that another one has."""
    return bool(codes_of(error.orig) & _LOCKED)


def is_away(error: DBAPIError) -> bool:
    """Return whether no server answers at the address, or one that has no room: it may answer in a moment."""
    numbers = codes_of(error.orig) | set(map(int, re.findall(r"\((\d{4}), ", str(error.orig))))
    return bool(numbers & _AWAY) or bool(_SAID_WHEN_AWAY.search(str(error.orig)))


def lacks_table(error: BaseException | None) -> bool:
    """Return whether a driver's error says that a table, or a column, is missing."""
    return bool(codes_of(error) & _MISSING) or bool(_SAID_WHEN_MISSING.search(str(error)))


# Text


def _require_unicode_of_postgresql(connection: Any, _record: Any) -> None:
    """Pass if the database holds any text. The server has told its encoding with its greeting.

    :raises ConfigurationError: otherwise
    """
    if hasattr(connection.info, "parameter_status"):
        encoding = connection.info.parameter_status("server_encoding")
    else:
        encoding = connection.get_parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: the database {connection.info.dbname} is in {encoding}, which cannot hold every"
            " text: make one in UTF8 (createdb --template template0 --encoding UTF8 --locale C.UTF-8 NAME)"
        )


_NOT_UNICODE = """
SELECT table_schema, table_name, table_collation FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name IN ('user', 'base_uri', 'dataset')
AND table_collation NOT LIKE 'utf8mb4%' LIMIT 1
"""


def _require_unicode_of_mariadb(connection: Any, _record: Any) -> None:
    """Pass if the tables hold any text. In which encoding the database makes others does not matter to ours.

    :raises ConfigurationError: otherwise
    """
    cursor = connection.cursor()
    cursor.execute(_NOT_UNICODE)
    found = cursor.fetchone()
    cursor.close()
    connection.commit()
    if found:
        database, table, collation = found
        encoding = collation.partition("_")[0]
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: the table {table} of the database {database} is in {encoding}, which"
            f" cannot hold every text: ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4"
        )


@compiles(CreateTable, *MARIADB)
def _compare_exactly(create: CreateTable, compiler: Any, **options: Any) -> str:
    """Make tables in which texts are equal where each character is, as on the other databases.

    Left alone, MariaDB takes upper for lower case, accented for plain letters, and does not see spaces at the end.
    """
    statement = compiler.visit_create_table(create, **options).rstrip()
    if "COLLATE" in statement.rpartition(")")[2]:
        return statement
    return f"{statement} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
