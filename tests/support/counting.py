"""Collecting the statements that a database is asked, whichever way they take to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from dservercore.db import fast_reads, postgresql_reader
from dservercore.db.postgresql_reader import PostgreSQLReader, Words


@contextmanager
def noted_in(seen: list[str]) -> Iterator[None]:
    """Have what is executed in the block appended to a list: by SQLAlchemy, or straight through a driver.

    Connections that read begin anew, so nothing is left out because one remembers it. Their question whether anybody
    has committed since is left out.
    """
    executing: list[str] = []

    def begins(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        executing.append(statement)
        seen.append(statement)

    def ends(*_arguments: Any) -> None:
        executing.clear()

    def note(statement: str) -> None:
        is_of_fts5_itself = "'main'.'search_index_" in statement
        reads = statement.lstrip().upper().startswith(("SELECT", "WITH"))
        if reads and not executing and not is_of_fts5_itself:
            seen.append(statement)

    def trace(connection: Any, *_rest: Any) -> None:
        if hasattr(connection, "set_trace_callback"):
            connection.set_trace_callback(note)

    def leave(connection: Any, *_rest: Any) -> None:
        if hasattr(connection, "set_trace_callback"):
            connection.set_trace_callback(None)

    listeners = [
        (Engine, "before_cursor_execute", begins),
        (Engine, "after_cursor_execute", ends),
        (Engine, "handle_error", ends),
        (Pool, "checkout", trace),
        (Pool, "checkin", leave),
    ]
    answer = PostgreSQLReader._answer

    def note_answer(reader: PostgreSQLReader, words: Words, values: Mapping[str, Any]) -> Any:
        if words is not postgresql_reader._VERSION:
            seen.append(words.plain)
        return answer(reader, words, values)

    fast_reads.close_idle()
    PostgreSQLReader._answer = note_answer  # type: ignore[method-assign]
    for target, name, listener in listeners:
        event.listen(target, name, listener)
    try:
        yield
    finally:
        PostgreSQLReader._answer = answer  # type: ignore[method-assign]
        for target, name, listener in listeners:
            event.remove(target, name, listener)
        fast_reads.close_idle()
