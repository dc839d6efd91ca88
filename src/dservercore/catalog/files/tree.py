"""The tree of the files of one dataset, in an SQLite database of its own, where any part of it is found at once."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

#: Levels of directories, and directories of a dataset, at most: what is deeper, or one too many, is part of the name.
MOST_LEVELS, MOST_DIRECTORIES = 100, 1_000_000

_SCHEMA = """
CREATE TABLE directory (
    id INTEGER PRIMARY KEY, parent INTEGER, level INTEGER, name TEXT, sorted TEXT,
    files INTEGER DEFAULT 0, items INTEGER DEFAULT 0, bytes INTEGER DEFAULT 0
);
CREATE UNIQUE INDEX directory_by_name ON directory (parent, name);
CREATE TABLE file (
    id INTEGER PRIMARY KEY, directory INTEGER, name TEXT, sorted TEXT, bytes INTEGER, identifier TEXT, hash TEXT,
    changed_at REAL
);
-- Of each batch of files the paths to look in, in lines; the first one is that of the file ``first``.
CREATE TABLE paths (first INTEGER PRIMARY KEY, folded BLOB);
INSERT INTO directory (id, level, name, sorted) VALUES (1, 0, '', '');
"""
_INDEXES = """
CREATE INDEX file_by_name ON file (directory, sorted, name);
CREATE INDEX file_by_size ON file (directory, bytes);
CREATE INDEX directory_by_level ON directory (level);
CREATE INDEX directory_by_order ON directory (parent, sorted, name);
"""
# A sum beyond the integers of SQLite becomes a number with a point instead of an error.
_ADD_UP = """
UPDATE directory SET items = directory.items + below.items, bytes = directory.bytes + below.bytes
FROM (
    SELECT parent, sum(items) AS items, CAST(total(bytes) AS INTEGER) AS bytes
    FROM directory WHERE level = ? GROUP BY parent
) AS below
WHERE directory.id = below.parent
"""
_ROOT = 1
_BATCH = 2000
_MOST_KNOWN = 10_000
_MOST_BYTES = 2**62
_SORTED_BY = 200  # characters of a name


def write(database: sqlite3.Connection, items: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write the tree of items into an empty database, in memory that does not grow with them.

    :param items: identifier and item, as a manifest has them
    """
    database.executescript(_SCHEMA)
    directories = _Directories(database)
    numbered = enumerate(items, 1)
    while some := list(islice(numbered, _BATCH)):
        files, lines = [], []
        for number, (identifier, item) in some:
            relpath = _text(item.get("relpath"))
            size = _size(item.get("size_in_bytes"))
            directory, name = directories.place(relpath, size)
            stored_identifier = _identifier(identifier, relpath)
            hash_, changed_at = _text(item.get("hash")) or None, _time(item.get("utc_timestamp"))
            files.append(
                (number, directory, name, order_key(name), size, stored_identifier, hash_, changed_at)
            )
            lines.append(relpath.casefold().replace("\n", " "))
        database.executemany("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?)", files)
        database.execute("INSERT INTO paths VALUES (?, ?)", (some[0][0], "\n".join(lines).encode()))
    directories.flush()
    database.executescript(_INDEXES)
    (deepest,) = database.execute("SELECT max(level) FROM directory").fetchone()
    for level in range(deepest, 0, -1):
        database.execute(_ADD_UP, (level,))
    database.commit()


class _Directories:
    """The directories of a tree that is being written, of which the last ones are remembered.

    :param database: with the tables of the tree
    """

    def __init__(self, database: sqlite3.Connection):
        self._database = database
        self._number = 1
        self._known: dict[str, list[int]] = {}  # path -> [key, files, bytes]

    def place(self, relpath: str, size: int) -> tuple[int, str]:
        """Count a file; return the key of its directory, and its name in there."""
        head, slash, name = relpath.rpartition("/")
        known = self._known.get(head + slash)
        if known is None:
            known, path = self._find(relpath)
            name = relpath[len(path) :]
        known[1] += 1
        known[2] += size
        return known[0], name

    def _find(self, relpath: str) -> tuple[list[int], str]:
        """Return the directory of a file, made where there is none, and its path."""
        if len(self._known) >= _MOST_KNOWN:
            self.flush()
        key, path = _ROOT, ""
        for level, name in enumerate(relpath.split("/", MOST_LEVELS + 1)[:-1][:MOST_LEVELS], 1):
            row = self._database.execute(
                "SELECT id FROM directory WHERE parent = ? AND name = ?", (key, name)
            ).fetchone()
            if row is None and self._number >= MOST_DIRECTORIES:
                break
            if row is None:
                self._number += 1
                row = (self._number,)
                self._database.execute(
                    "INSERT INTO directory (id, parent, level, name, sorted) VALUES (?, ?, ?, ?, ?)",
                    (self._number, key, level, name, order_key(name)),
                )
            key, path = row[0], f"{path}{name}/"
        return self._known.setdefault(path, [key, 0, 0]), path

    def flush(self) -> None:
        """Write down what was counted, and forget it."""
        counted = [(files, files, min(size, _MOST_BYTES), key) for key, files, size in self._known.values()]
        self._database.executemany(
            "UPDATE directory SET files = files + ?, items = items + ?, bytes = bytes + ? WHERE id = ?",
            counted,
        )
        self._known.clear()


_DIGITS = re.compile(r"\d+")


@lru_cache(maxsize=4096)
def order_key(name: str) -> str:
    """Return what names are sorted by as people do it: ``plate2`` before ``Plate10``."""
    return _DIGITS.sub(_with_length, name[:_SORTED_BY].casefold())


def _with_length(digits: re.Match[str]) -> str:
    # Not filled up to one length: a name of many numbers would take the room of twenty.
    number = digits[0].lstrip("0")
    return f"{len(number):03}{number}"


def _text(value: Any) -> str:
    if type(value) is str and value.isascii():
        return value
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text.encode(errors="replace").decode()


def _size(value: Any) -> int:
    is_number = isinstance(value, (int, float)) and 0 <= value < _MOST_BYTES
    return int(value) if is_number else 0


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and abs(value) < _MOST_BYTES else None


def _identifier(identifier: str, relpath: str) -> str | None:
    """Return an identifier as it is stored: not at all, where it is what dtool makes of the path."""
    return None if identifier == identifier_of(relpath) else _text(identifier)


def identifier_of(relpath: str) -> str:
    """Return the identifier that dtool gives an item."""
    return hashlib.sha1(relpath.encode(), usedforsecurity=False).hexdigest()
