"""What is in one directory of a dataset, or which of its files have a name that somebody looks for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from flask import current_app

from dservercore.catalog import metadata
from dservercore.catalog.files import kept, tree
from dservercore.catalog.scope import Scope
from dservercore.errors import UnknownDirectoryError
from dservercore.settings import configuration

Order = Literal["name", "size"]

#: Of a dataset of so many files, the tree is made for each request, in milliseconds.
FEW_ITEMS = 5000

#: Files that a search counts at most, and words of it.
MOST_FOUND, MOST_WORDS = 10_000, 10


class Entry(NamedTuple):
    """A directory, or a file.

    ``path`` is relative to the dataset; that of a directory ends in a slash. ``items`` and ``size`` (bytes) are of all
    that is below a directory. ``identifier``, ``hash`` and ``changed_at`` (seconds since the epoch, UTC) are those of a
    file; None: it has none.
    """

    path: str
    name: str
    items: int | None
    size: int
    identifier: str | None = None
    hash: str | None = None
    changed_at: float | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.items is not None


@dataclass(frozen=True)
class Listing:
    """A page of entries.

    :param number: of all entries
    :param is_cut: whether there are more than that, which were not counted
    :param path: of the directory; empty: of the dataset itself
    :param parents: names and paths of the directories that lead to it, from the outermost to itself
    :param items: files in it and below it; 0: of a search
    :param size: of these, in bytes; 0: of a search
    :param example: identifier of any file of the dataset; None: of none that is known
    """

    entries: list[Entry]
    number: int
    is_cut: bool = False
    path: str = ""
    parents: list[tuple[str, str]] = field(default_factory=list)
    items: int = 0
    size: int = 0
    example: str | None = None


def list_directory(
    scope: Scope, uri: str, number_of_items: int, path: str, order: Order, page: slice
) -> Listing | None:
    """Return a page of a directory of a dataset: its directories, then its files; None while it is being made ready.

    :param number_of_items: of the dataset, as it says itself
    :param path: of the directory, with a slash at its end; empty: the dataset itself
    :param order: ``name``, as people sort, or ``size``, the largest first
    :param page: positions of the entries to return
    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and there is no such dataset
    :raises UnknownDirectoryError: if the dataset has no such directory
    :raises UnavailableError: if the manifest cannot be read
    """
    database = _tree_of(scope, uri, number_of_items)
    if database is None:
        return None
    with closing(database):
        return _directory(database, path, order, page)


def find_files(
    scope: Scope, uri: str, number_of_items: int, text: str, order: Order, page: slice
) -> Listing | None:
    """Return a page of the files whose paths have all words of a text; None while the dataset is being made ready.

    Words may be parts of a name; capitals do not count. At most ``MOST_FOUND`` files are counted.

    :param number_of_items: of the dataset, as it says itself
    :param order: ``name``, as people sort, or ``size``, the largest first
    :param page: positions of the files to return
    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and there is no such dataset
    :raises UnavailableError: if the manifest cannot be read
    """
    database = _tree_of(scope, uri, number_of_items)
    if database is None:
        return None
    with closing(database):
        return _found(database, text.casefold().split()[:MOST_WORDS], order, page)


def _tree_of(scope: Scope, uri: str, number_of_items: int) -> sqlite3.Connection | None:
    packed = metadata.get_packed_manifest(scope, uri)
    manifest = metadata.get_manifest(scope, uri) if packed is None else packed
    # What the dataset says of itself need not be true.
    few = kept.in_memory(manifest, packed is not None, FEW_ITEMS) if number_of_items <= FEW_ITEMS else None
    if few:
        return few
    directory = Path(current_app.config.get("DSERVER_DATA_DIR") or configuration.data_directory())
    return kept.on_disk(manifest, packed is not None, directory / "file-trees")


# -- A directory -----------------------------------------------------------------------------------------------------

_DIRECTORIES = {
    "name": "SELECT name, items, bytes FROM directory WHERE parent = ? ORDER BY sorted, name LIMIT ? OFFSET ?",
    "size": "SELECT name, items, bytes FROM directory WHERE parent = ? ORDER BY bytes DESC, sorted LIMIT ? OFFSET ?",
}
_FILES = {
    "name": "SELECT name, bytes, identifier, hash, changed_at FROM file WHERE directory = ?"
    " ORDER BY sorted, name LIMIT ? OFFSET ?",
    "size": "SELECT name, bytes, identifier, hash, changed_at FROM file WHERE directory = ?"
    " ORDER BY bytes DESC LIMIT ? OFFSET ?",
}


def _directory(database: sqlite3.Connection, path: str, order: Order, page: slice) -> Listing:
    key, parents = _walk(database, path)
    files, items, size = _row(database, "SELECT files, items, bytes FROM directory WHERE id = ?", key)
    (directories,) = _row(database, "SELECT count(*) FROM directory WHERE parent = ?", key)
    wanted = page.stop - page.start
    entries = [
        Entry(f"{path}{name}/", name, below, bytes_)
        for name, below, bytes_ in database.execute(_DIRECTORIES[order], (key, wanted, page.start))
    ]
    if len(entries) < wanted:
        first = max(page.start - directories, 0)
        rows = database.execute(_FILES[order], (key, wanted - len(entries), first))
        entries += [_file(f"{path}{name}", name, *rest) for name, *rest in rows]
    return Listing(entries, directories + files, False, path, parents, items, size, _example(database))


def _example(database: sqlite3.Connection) -> str | None:
    row = database.execute("SELECT directory, name, identifier FROM file ORDER BY id LIMIT 1").fetchone()
    if row is None:
        return None
    directory, name, identifier = row
    return identifier or tree.identifier_of(f"{_path_of(database, directory)}{name}")


def _walk(database: sqlite3.Connection, path: str) -> tuple[int, list[tuple[str, str]]]:
    """Return the key of a directory, and the directories that lead to it."""
    key, parents, reached = 1, [], ""
    for name in path.split("/")[:-1]:
        row = database.execute(
            "SELECT id FROM directory WHERE parent = ? AND name = ?", (key, name)
        ).fetchone()
        if row is None:
            break
        key, reached = row[0], f"{reached}{name}/"
        parents.append((name, reached))
    if reached != path:
        raise UnknownDirectoryError("There is no such directory in this dataset")
    return key, parents


def _row(database: sqlite3.Connection, statement: str, key: int) -> Any:
    return database.execute(statement, (key,)).fetchone()


def _file(
    path: str, name: str, size: int, identifier: str | None, hash_: str | None, changed_at: float | None
) -> Entry:
    return Entry(path, name, None, size, identifier or tree.identifier_of(path), hash_, changed_at)


# -- Searching -------------------------------------------------------------------------------------------------------

_OF_FILE = "SELECT directory, name, bytes, identifier, hash, changed_at FROM file WHERE id = ?"


def _found(database: sqlite3.Connection, words: list[str], order: Order, page: slice) -> Listing:
    hits = list(islice(_hits(database, [word.encode() for word in words]), MOST_FOUND + 1))
    is_cut = len(hits) > MOST_FOUND
    hits = hits[:MOST_FOUND]
    hits.sort(key=lambda hit: (tree.order_key(hit[1]), hit[1]))
    if order == "size":
        sizes = {key: _row(database, "SELECT bytes FROM file WHERE id = ?", key)[0] for key, _ in hits}
        hits.sort(key=lambda hit: -sizes[hit[0]])
    paths: dict[int, str] = {}
    entries = []
    for key, _ in hits[page]:
        directory, name, *rest = _row(database, _OF_FILE, key)
        path = paths.get(directory)
        if path is None:
            path = paths[directory] = _path_of(database, directory)
        entries.append(_file(f"{path}{name}", name, *rest))
    return Listing(entries, len(hits), is_cut)


def _hits(database: sqlite3.Connection, words: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield key and folded path of each file whose path has all words."""
    for first, lines in database.execute("SELECT first, folded FROM paths ORDER BY first"):
        if not all(word in lines for word in words):
            continue  # so it is for most of them, and nothing need be taken apart
        found = list(enumerate(lines.split(b"\n"), first))
        for word in sorted(words, key=len, reverse=True):  # of the long ones there are few
            found = [hit for hit in found if word in hit[1]]
        for key, line in found:
            yield key, line.decode()


def _path_of(database: sqlite3.Connection, directory: int) -> str:
    path = ""
    while True:
        parent, name = _row(database, "SELECT parent, name FROM directory WHERE id = ?", directory)
        if parent is None:
            return path
        directory, path = parent, f"{name}/{path}"
