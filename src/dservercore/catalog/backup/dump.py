"""Writing down what a server holds: the rows of its tables, and the descriptions that its retrieve plugin has.

Each file has one JSON object in a line, and is compressed by zstandard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from sqlalchemy import Table, bindparam, select

from dservercore import db, plugin_host
from dservercore.catalog.backup import tables
from dservercore.catalog.backup.archive import DESCRIPTIONS, BackupError, Counts, Progress, table_file
from dservercore.catalog.journal import entries
from dservercore.dataset.serialization import json_text, manifest_json
from dservercore.db import sql_db
from dservercore.models import Dataset, JournalEntry

_ROWS_AT_ONCE = 1000
_DATASETS_AT_ONCE = 50  # each may have a manifest of some megabytes

_dataset, _entry = Dataset.__table__, JournalEntry.__table__
_NEXT = (
    select(_dataset.c.id, _dataset.c.uri)
    .where(_dataset.c.id > bindparam("last"))
    .order_by(_dataset.c.id)
    .limit(_DATASETS_AT_ONCE)
)
_uris: Any = bindparam("uris", expanding=True)
_STILL_REGISTERED = select(_dataset.c.uri).where(_dataset.c.uri.in_(_uris))


@dataclass(frozen=True)
class Dump:
    """What was written down.

    :ivar files: by their names in a backup
    :ivar rows: number of lines of each of them
    :ivar undescribed: number of datasets that the retrieve plugin does not have
    """

    counts: Counts
    files: dict[str, Path]
    rows: dict[str, int]
    undescribed: int


def write(folder: Path, told: Progress) -> Dump:
    """Write down what the server holds at this moment. Nobody has to wait.

    What a retrieve plugin keeps outside of the database is read dataset by dataset, and so is as it was acknowledged at
    that moment, or a little later. A dataset that has been deleted meanwhile is left out.

    :raises BackupError: if the database is damaged
    """
    with one_moment():
        _require_sound()
        describing = _Describing()
        files, rows = {}, {}

        def write_file(name: str, objects: Iterable[Mapping[str, Any]]) -> None:
            files[name] = folder / name.replace("/", "-")
            rows[name] = _write_lines(files[name], objects, told)

        write_file(DESCRIPTIONS, describing.descriptions())
        for table in tables.carried():
            write_file(table_file(table.name), _rows_of(table, describing.gone))
        counts = tables.counts(sql_db.session.connection())
    return Dump(counts, files, rows, describing.undescribed)


@contextmanager
def one_moment() -> Iterator[None]:
    """Let the session read everything as it is at one moment, whatever others write."""
    session = sql_db.session
    session.remove()
    try:
        if db.locks_rows():
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        else:
            session.connection().exec_driver_sql("BEGIN")
        session.execute(select(_dataset.c.id).limit(1)).all()  # the moment is that of the first look
        yield
    finally:
        db.forget_unfinished()
        session.remove()


def _require_sound() -> None:
    if db.kind() != "sqlite":
        return
    found = sql_db.session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise BackupError(f"The database is damaged: {' '.join(str(found).split())}")


def _write_lines(path: Path, objects: Iterable[Mapping[str, Any]], told: Progress) -> int:
    number, size = 0, 0
    with path.open("xb") as stream, zstandard.ZstdCompressor().stream_writer(stream) as compressed:
        path.chmod(0o600)
        for values in objects:
            line = tables.to_line(values)
            compressed.write(line)
            number += 1
            size += len(line)
            told(f"Reading {path.name.partition('.')[0]}", size, None)
    return number


def _rows_of(table: Table, gone: Set[int]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table, but for those of datasets that are gone."""
    of_dataset = [
        column.name
        for column in table.columns
        if column is _dataset.c.id or any(key.column is _dataset.c.id for key in column.foreign_keys)
    ]
    statement = select(table).order_by(*table.primary_key.columns)
    for row in sql_db.session.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE)).mappings():
        if not any(row[name] in gone for name in of_dataset):
            yield {column.name: row[column] for column in table.columns}


class _Describing:
    """Reads the descriptions of all datasets.

    :ivar gone: primary keys of datasets that were deleted before their descriptions could be read
    :ivar undescribed: number of datasets that are registered without a description
    """

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.undescribed = 0
        self._retrieve = plugin_host.plugins().retrieve
        self._before = _before_pending()

    def descriptions(self) -> Iterator[Mapping[str, Any]]:
        """Yield ``uri``, ``readme``, ``annotations`` and ``manifest`` of each dataset, the last two as JSON text."""
        last = 0
        while rows := sql_db.session.execute(_NEXT, {"last": last}).all():
            last = rows[-1].id
            described = set()
            for uri, texts in self._retrieve.read_texts([row.uri for row in rows]):
                described.add(uri)
                yield {"uri": uri, **texts, **self._before.get(uri, {})}
            missing = [row for row in rows if row.uri not in described]
            still_there = self._still_registered([row.uri for row in missing])
            self.gone |= {row.id for row in missing if row.uri not in still_there}
            self.undescribed += len(still_there)

    def _still_registered(self, uris: Sequence[str]) -> set[str]:
        if not uris:
            return set()
        if self._retrieve.shares_sql_session:
            return set(uris)  # rows and descriptions are of the same moment
        with db.connection_beside() as connection:
            return set(connection.execute(_STILL_REGISTERED, {"uris": list(uris)}).scalars())


def _before_pending() -> dict[str, dict[str, str]]:
    """Return ``{URI: texts}`` as they were before the changes that are in the journal, and so may be undone.

    Texts are those of ``readme``, ``annotations`` and ``manifest`` that the change replaces, as a backup has them.
    """
    if plugin_host.plugins().share_sql_session:
        return {}
    found = {}
    for entry in sql_db.session.execute(select(_entry)).all():
        before = entries.contents_of(entry).get("before")
        if entry.kind == entries.CHANGE and before:
            texts = {}
            if "readme" in before:
                texts["readme"] = before["readme"]
            if "annotations" in before:
                texts["annotations"] = json_text("annotations", before["annotations"])
            if "manifest" in before:
                texts["manifest"] = manifest_json(before["manifest"]).decode()
            found[entry.uri] = texts
    return found
