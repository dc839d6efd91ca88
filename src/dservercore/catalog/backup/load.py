"""Putting what was written down into a database, whatever its kind, and into the stores of the plugins.

Nothing of a backup is ever run: its lines become values of columns that have their type, and documents that plugins
are given as if they were registered. All of it is one transaction of the database.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import zstandard
from sqlalchemy import Table, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from dservercore import db
from dservercore.catalog import dataset_rows, store_writes, summary
from dservercore.catalog.backup import tables
from dservercore.catalog.backup.archive import DESCRIPTIONS, Archive, BackupError, Progress, table_file
from dservercore.catalog.datasets import Document
from dservercore.dataset import lacking
from dservercore.dataset.serialization import parse_manifest
from dservercore.db import registered_names, sql_db
from dservercore.errors import ValidationError
from dservercore.models import (
    CREATE_SEARCH_INDEX,
    CREATE_SEARCH_WEIGHTS,
    DROP_SEARCH_INDEX,
    DROP_SEARCH_WEIGHTS,
    SEARCH_INDEX,
)

_ROWS_AT_ONCE = 1000
_DATASETS_AT_ONCE = 200
_TEXT_AT_ONCE = 2**24  # bytes of descriptions, though one of them may be longer
_LOCK_SECONDS = 10

#: Bytes of a line; nothing that a server takes is as long.
LONGEST_LINE = 2**29
# Most bytes that zstandard keeps in memory to unpack a file, which says itself how many it needs.
_LARGEST_WINDOW = 2**27


def load(backup: Archive, told: Progress) -> None:
    """Replace everything that the server holds by what is in a backup, whose checksums have been checked.

    The tables must be those of this version. The caller commits. What a store outside of the database has been given
    stays there, also where this fails.

    :raises BackupError: if the backup has something that cannot be stored here
    """
    store_writes.begin()
    watched = _Watched(backup, told)
    _clear()
    for one in tables.carried():
        if one.name in backup.manifest.tables:
            _load_table(one, watched)
    summary.recount()
    registered_names.note_restoration()
    _load_descriptions(watched)


def _clear() -> None:
    """Take everything out of the tables, and make the search index anew."""
    session = sql_db.session
    there = set(inspect(session.connection()).get_table_names())
    ours = [one for one in reversed(sql_db.metadata.sorted_tables) if one.name in there]
    if db.kind() == "postgresql":
        session.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
        quoted = session.connection().dialect.identifier_preparer.quote
        names = {*(one.name for one in ours), *(name for name in there if name.startswith(SEARCH_INDEX))}
        session.execute(text(f"TRUNCATE {', '.join(quoted(name) for name in sorted(names))}"))
        return
    for one in ours:
        session.execute(one.delete())
    if db.kind() == "sqlite":
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        if SEARCH_INDEX in there:
            for statement in (
                DROP_SEARCH_INDEX,
                CREATE_SEARCH_INDEX,
                DROP_SEARCH_WEIGHTS,
                CREATE_SEARCH_WEIGHTS,
            ):
                session.execute(statement)


class _Watched:
    """Reads the files of a backup, and reports the progress through all of them together."""

    def __init__(self, backup: Archive, told: Progress):
        self._backup, self._told = backup, told
        self._total = sum(backup.manifest.files[name]["size"] for name in backup.manifest.rows)
        self._before = 0

    def lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a file, with their numbers.

        :raises BackupError: if it is not as the backup says
        """
        source = self._backup.member(name)
        wanted = self._backup.manifest.rows[name]
        number = 0
        try:
            unpacked = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(source)
            stream = io.BufferedReader(unpacked, 2**20)
            while line := stream.readline(LONGEST_LINE):
                number += 1
                if number > wanted or not line.endswith(b"\n"):
                    raise self.failure(name, number, "it should not be there")
                yield number, line
                self._told("Restoring", self._before + source.tell(), self._total)
        except zstandard.ZstdError as error:
            raise self.failure(name, number + 1, str(error)) from None
        if number != wanted:
            raise self.failure(name, number + 1, "it is missing")
        self._before += self._backup.manifest.files[name]["size"]

    def failure(self, name: str, number: int, reason: str) -> BackupError:
        """Return the error of a line that cannot be restored."""
        return BackupError(f"{self._backup.path}: {name}, line {number}: {reason}")


# -- Tables ----------------------------------------------------------------------------------------------------------


def _load_table(one: Table, watched: _Watched) -> None:
    name, reader = table_file(one.name), tables.RowReader(one)
    insert = one.insert()
    rows: list[dict[str, Any]] = []
    number = 0

    def store() -> None:
        try:
            db.execute_many(sql_db.session.connection(), insert, rows)
        except (SQLAlchemyError, ValueError, OverflowError) as error:
            if isinstance(error, SQLAlchemyError) and _is_away(error):
                raise
            first = number - len(rows) + 1
            reason = db.reason(error) if hasattr(error, "orig") else str(error).partition("\n")[0]  # type: ignore[arg-type]
            raise watched.failure(
                name, first, f"this or a later row cannot be stored here: {reason}"
            ) from error
        rows.clear()

    for number, line in watched.lines(name):
        try:
            rows.append(reader.row(line))
        except ValueError as error:
            raise watched.failure(name, number, str(error)) from None
        if len(rows) == _ROWS_AT_ONCE:
            store()
    if rows:
        store()
    _count_on(one)


def _is_away(error: SQLAlchemyError) -> bool:
    return bool(getattr(error, "connection_invalidated", False))


def _count_on(one: Table) -> None:
    """Let new rows get numbers behind those that were restored; PostgreSQL alone does not see to that itself."""
    counted = one.autoincrement_column
    if db.kind() != "postgresql" or counted is None:
        return
    quoted = sql_db.session.connection().dialect.identifier_preparer.quote(one.name)
    sequence = func.pg_get_serial_sequence(quoted, counted.name)
    last = select(func.max(counted)).scalar_subquery()
    sql_db.session.execute(
        select(func.setval(sequence, last)).where(sequence.is_not(None), last.is_not(None))
    )


# -- Descriptions ----------------------------------------------------------------------------------------------------


def _load_descriptions(watched: _Watched) -> None:
    batch: list[dict[str, Any]] = []
    size = 0
    for number, line in watched.lines(DESCRIPTIONS):
        if batch and (len(batch) == _DATASETS_AT_ONCE or size + len(line) > _TEXT_AT_ONCE):
            _register(batch)
            batch, size = [], 0
        try:
            batch.append(_description(tables.from_line(line)))
        except (ValueError, KeyError, RecursionError) as error:
            raise watched.failure(DESCRIPTIONS, number, f"no description of a dataset ({error})") from None
        size += len(line)
    if batch:
        _register(batch)


def _description(given: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(given[name], str) for name in ("uri", "readme", "annotations", "manifest")):
        raise ValueError("a value is no text")
    annotations, manifest = json.loads(given["annotations"]), parse_manifest(given["manifest"].encode())
    if not isinstance(annotations, dict) or not (
        isinstance(manifest, dict) and isinstance(manifest.get("items"), dict)
    ):
        raise ValueError("annotations or manifest are no JSON object")
    return {
        "uri": given["uri"],
        "readme": given["readme"],
        "annotations": annotations,
        "manifest": manifest,
    }


def _register(descriptions: Sequence[dict[str, Any]]) -> None:
    """Let the plugins store datasets whose rows are there."""
    uris = [description["uri"] for description in descriptions]
    objects = dataset_rows.find_objects(uris)
    registered = dataset_rows.find_all_registered(uris)
    documents = []
    for description in descriptions:
        uri = description["uri"]
        if uri not in registered:
            raise BackupError(f"The backup describes a dataset that is not in it: {uri}")
        documents.append(
            {
                **objects[uri],
                "uploaded_at": registered[uri].uploaded_at,
                "type": "dataset",
                "tags": list(registered[uri].tags),
                **description,
            }
        )
    try:
        store_writes.register_all([Document(document) for document in documents])
        dataset_rows.write_lacks(
            (one, one.with_readme(lacking.of_readme(document["readme"])))
            for document in documents
            for one in [registered[document["uri"]]]
        )
    except ValidationError as error:
        raise BackupError(
            f"One of {len(uris)} datasets, the first of which is {uris[0]}, cannot be stored here: {error.message}"
        ) from None
