"""Trees that are kept on disk: writing that of a large dataset takes seconds, reading it milliseconds.

They are named after the content of the manifest, so that none is ever out of date, and are made anew where they are
gone: nothing is lost with them.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from dservercore.catalog.files import tree
from dservercore.catalog.files.items import chunks_of, items_of
from dservercore.errors import UnavailableError
from dservercore.settings import private_files

logger = logging.getLogger(__name__)

#: Bytes of all trees on disk; those that were not read for longest are removed.
MOST_BYTES = 2 * 10**9

#: Bytes of one of them: what would be larger is listed to nobody.
MOST_BYTES_OF_ONE = 2 * 10**9

#: Seconds that a request waits for a tree that is being made.
PATIENCE = 2.0

#: Seconds for which a tree that could not be made is not tried again: it may have taken a minute to fail.
RESPITE = 300.0

#: Levels of directories for each item of a tree that is made in memory, on the average.
LEVELS_PER_ITEM = 4

_VERSION = 1  # of the tables: a later release writes trees of its own
_CACHE = "PRAGMA cache_size = -2000"  # kilobytes
_FASTER = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;"

_making: dict[Path, _Making] = {}
_making_lock = threading.Lock()


def in_memory(manifest: bytes, is_packed: bool, most: int) -> sqlite3.Connection | None:
    """Return the tree of a manifest; None if it has more than so many items, or very many directories for them.

    :param manifest: JSON, or a zstandard frame of it
    :raises UnavailableError: if it cannot be read
    """
    items = items_of(chunks_of(manifest) if is_packed else [manifest])
    try:
        some = list(islice(items, most + 1))
    except ValueError as error:
        raise _unreadable() from error
    if len(some) > most or _levels(some) > most * LEVELS_PER_ITEM:
        return None
    database = sqlite3.connect(":memory:")
    tree.write(database, some)
    return database


def _levels(items: Iterable[tuple[str, dict[str, Any]]]) -> int:
    """Return how many directories items are in at most: those of all levels, as if no two had one in common."""
    directories = {str(item.get("relpath")).rpartition("/")[0] for _, item in items}
    return sum(directory.count("/") + 1 for directory in directories)


def on_disk(manifest: bytes, is_packed: bool, directory: Path) -> sqlite3.Connection | None:
    """Return the tree of a manifest; None while it is being made, which goes on after this returns.

    :param manifest: JSON, or a zstandard frame of it
    :param directory: of the trees
    :raises UnavailableError: if it cannot be made
    """
    path = directory / f"{_VERSION}-{hashlib.sha256(manifest).hexdigest()}.db"
    if not path.exists():
        making = _begin(path, manifest, is_packed)
        making.join(PATIENCE)
        if making.is_alive():
            return None
        if making.error:
            raise _unreadable() from making.error
    return _opened(path)


def _unreadable() -> UnavailableError:
    return UnavailableError("The files of this dataset cannot be listed now")


def _opened(path: Path) -> sqlite3.Connection | None:
    try:
        database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    except sqlite3.OperationalError:  # it is being made by another process, or has just been removed
        return None
    database.execute(_CACHE)
    with suppress(OSError):
        os.utime(path)
    return database


def _begin(path: Path, manifest: bytes, is_packed: bool) -> _Making:
    with _making_lock:
        for other in [each for each, failed in _making.items() if failed.is_over()]:
            del _making[other]
        making = _making.get(path)
        if making is None:
            making = _making[path] = _Making(path, manifest, is_packed)
            making.start()
        return making


class _Making(threading.Thread):
    """Makes a tree, unless another process makes one.

    :ivar error: why it could not be made; None: nothing has gone wrong
    """

    def __init__(self, path: Path, manifest: bytes, is_packed: bool):
        super().__init__(name="tree of files", daemon=True)
        self.error: Exception | None = None
        self._failed_at = -math.inf
        self._path, self._manifest, self._is_packed = path, manifest, is_packed

    def is_over(self) -> bool:
        """Return whether another one may be begun for the same tree."""
        return not self.is_alive() and time.monotonic() - self._failed_at > RESPITE

    def run(self) -> None:
        """Make the tree."""
        try:
            private_files.make_directory(self._path.parent)
            # One at a time: they take a processor for seconds.
            with FileLock(self._path.parent / "lock", timeout=0):
                self._write()
                _prune(self._path.parent)
        except Timeout:
            pass
        except Exception as error:
            logger.exception("The tree of a dataset's files could not be made")
            # Without the frames, which would keep the manifest in memory.
            self.error, self._failed_at = error.with_traceback(None), time.monotonic()
        finally:
            self._manifest = b""
            if not self.error:
                with _making_lock:
                    _making.pop(self._path, None)

    def _write(self) -> None:
        if self._path.exists():
            return
        for unfinished in self._path.parent.glob("*.new"):
            unfinished.unlink(missing_ok=True)
        new = self._path.with_suffix(".new")
        private_files.make_file(new)
        try:
            with closing(sqlite3.connect(new)) as database:
                (page_size,) = database.execute("PRAGMA page_size").fetchone()
                database.execute(f"PRAGMA max_page_count = {MOST_BYTES_OF_ONE // page_size}")
                database.executescript(f"{_FASTER} {_CACHE};")
                chunks = chunks_of(self._manifest) if self._is_packed else [self._manifest]
                tree.write(database, items_of(chunks))
            os.replace(new, self._path)
        finally:  # what is left where it failed may be what has filled the disk, on which the catalogue is, too
            new.unlink(missing_ok=True)


def _prune(directory: Path) -> None:
    """Remove what was not read for longest, until there is room; the last one always stays."""
    trees = sorted(directory.glob("*.db"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for number, path in enumerate(trees):
        total += path.stat().st_size
        if number and total > MOST_BYTES:
            path.unlink(missing_ok=True)
