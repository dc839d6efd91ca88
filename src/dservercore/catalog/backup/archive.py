"""The file that holds a backup: a tar archive of tables, descriptions and keys, with a manifest before them.

``tar xf`` takes it apart on any machine. The manifest has the size and the checksum of everything that follows it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from dservercore.errors import DserverError
from dservercore.settings import keys

FORMAT = 2
MANIFEST = "manifest.json"
DESCRIPTIONS = "descriptions.ndjson.zst"
# Format 1 had the database itself, which only a database of the same kind can take.
DATABASE = {"sqlite": "database.sqlite", "postgresql": "database.pgdump"}
KEYS = "keys/"
KEY_FILES = [KEYS + name for name in (keys.PRIVATE_KEY_NAME, keys.PUBLIC_KEY_NAME, keys.SECRET_KEY_NAME)]

_TABLE_FILE = re.compile(r"tables/([a-z_][a-z0-9_]{0,62})\.ndjson\.zst")
_BLOCK = 2**20
_LARGEST_MANIFEST = 2**20

# What a crafted header of a tar archive can make tarfile raise, beside its own errors.
_MADE_TO_DO_HARM = (ValueError, OverflowError, RecursionError, MemoryError)

#: ``told(step, done, total)``, in bytes; total None: not known.
Progress = Callable[[str, int, int | None], object]


class BackupError(DserverError):
    """A backup cannot be made or restored. The message is for the administrator."""


@dataclass(frozen=True)
class Counts:
    """What a database holds, at one moment.

    :param revision: the migration that it is at; None: none has run
    """

    revision: str | None
    users: int
    base_uris: int
    datasets: int


@dataclass(frozen=True)
class Manifest:
    """What is in a backup.

    :param format: number of the archive's format: 1 or 2
    :param server: version of the package that made it
    :param made_at: ISO 8601, UTC; what was acknowledged before is in the backup
    :param database: the kind that it was made of, such as ``sqlite``
    :param revision: the migration that the tables are at
    :param search: ``name``, the key of the search plugin in ``/config/versions``, and ``in_database``, whether its
        store is in the database
    :param retrieve: ``name`` and ``in_database`` of the retrieve plugin
    :param files: ``{name: {"size": bytes, "sha256": hexadecimal}}``
    :param rows: ``{name of a file: number of its lines}``
    :param undescribed: number of datasets that the retrieve plugin did not have
    """

    format: int
    server: str
    made_at: str
    database: str
    revision: str
    users: int
    base_uris: int
    datasets: int
    search: dict[str, Any]
    retrieve: dict[str, Any]
    files: dict[str, dict[str, Any]]
    rows: dict[str, int] = field(default_factory=dict)
    undescribed: int = 0

    @property
    def holds_database(self) -> bool:
        """Whether it has the database itself, as format 1 had."""
        return self.format == 1

    @property
    def tables(self) -> list[str]:
        """The names of the tables in it."""
        return [found[1] for name in self.files if (found := _TABLE_FILE.fullmatch(name))]

    @property
    def keys(self) -> list[str]:
        """The names of the key files in it. Nothing else is ever taken out of an archive."""
        return [name for name in KEY_FILES if name in self.files]


def table_file(table: str) -> str:
    """Return the name of the file with the rows of a table."""
    return f"tables/{table}.ndjson.zst"


def described(files: Mapping[str, Path], told: Progress) -> dict[str, dict[str, Any]]:
    """Return the size and checksum of each file: ``{name: {"size": bytes, "sha256": hexadecimal}}``."""
    found = {}
    for name, path in files.items():
        digest, size, total = hashlib.sha256(), 0, path.stat().st_size
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                told("Checksums", size, total)
        found[name] = {"size": size, "sha256": digest.hexdigest()}
    return found


def write(stream: IO[bytes], manifest: Manifest, files: Mapping[str, Path], told: Progress) -> None:
    """Write the archive: the manifest, then the files, by their names in it. *stream* need not be seekable."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        text = json.dumps(asdict(manifest), indent=2).encode()
        tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        for name, path in files.items():
            size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(_member(name, size), _Watched(content, size, told))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class _Watched:
    """A stream that tells how far it has been read."""

    def __init__(self, stream: IO[bytes], total: int, told: Progress):
        self._stream, self._total, self._told = stream, total, told
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._done += len(block)
        self._told("Writing", self._done, self._total)
        return block


class Archive:
    """A backup that is being read."""

    def __init__(self, path: Path, tar: tarfile.TarFile, manifest: Manifest):
        self.path = path
        self.manifest = manifest
        self._tar = tar

    @cached_property
    def _members(self) -> dict[str, tarfile.TarInfo]:
        return _members_of(self.path, self._tar, self.manifest)

    def extract(self, name: str, to: Path, told: Progress) -> Path:
        """Write the file *name* of the backup to a new file, which only its owner can read. Return *to*.

        :raises BackupError: if its size or checksum is not that of the manifest
        """
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            for block in self._blocks(name, told):
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        return to

    def require_sound(self, name: str, told: Progress) -> None:
        """Pass if the file *name* of the backup has the size and checksum of the manifest.

        :raises BackupError: if it has not
        """
        for _ in self._blocks(name, told):
            pass

    def member(self, name: str) -> IO[bytes]:
        """Return a stream of the file *name* of the backup.

        :raises BackupError: if it is not there, or is not as large as it should be
        """
        source = self._tar.extractfile(self._members[name]) if name in self._members else None
        if source is None:
            raise BackupError(f"{self.path} is not complete: {name} is missing")
        if self._members[name].size != self.manifest.files[name]["size"]:
            raise BackupError(f"{self.path} is damaged: {name} is not as large as the backup says")
        return source

    def _blocks(self, name: str, told: Progress) -> Iterator[bytes]:
        """Yield the file *name* of the backup in blocks.

        :raises BackupError: at the latest at its end, if size or checksum is not that of the manifest
        """
        wanted = self.manifest.files[name]
        digest, size = hashlib.sha256(), 0
        source = self.member(name)
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            yield block
            told("Checking", size, wanted["size"])
        if (size, digest.hexdigest()) != (wanted["size"], wanted["sha256"]):
            raise BackupError(f"{self.path} is damaged: the checksum of {name} is wrong")


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open the backup in a file, for the block.

    :raises BackupError: if the file is no backup, is cut off, or was made by a later version
    """
    if not path.is_file():  # a pipe would be waited for
        raise BackupError(f"{path} is not a regular file")
    try:
        with _opened_tar(path) as tar:
            yield Archive(path, tar, _manifest_of(path, tar))
    except tarfile.ReadError as error:
        if "unexpected end" in str(error):
            raise BackupError(f"{path} is cut off: it is not the whole backup") from error
        raise _foreign(path) from error
    except tarfile.TarError as error:
        raise _foreign(path) from error


def _opened_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, mode="r:")  # which reads the first header
    except _MADE_TO_DO_HARM as error:
        raise _foreign(path) from error


def _members_of(path: Path, tar: tarfile.TarFile, manifest: Manifest) -> dict[str, tarfile.TarInfo]:
    """Return what follows the manifest, by name: the plain files that it lists, each once.

    :raises BackupError: if there is anything else, which no backup has: links, devices, other files
    """
    members: dict[str, tarfile.TarInfo] = {}
    while (member := _next(path, tar)) is not None:
        is_file = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
        if not is_file or member.name not in manifest.files or member.name in members or member.size < 0:
            raise BackupError(
                f"{path} is no backup made by `flask backup`: {member.name!r} does not belong into one"
            )
        members[member.name] = member
    return members


def _next(path: Path, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except _MADE_TO_DO_HARM as error:
        raise _foreign(path) from error


def _foreign(path: Path) -> BackupError:
    return BackupError(f"{path} is no backup made by `flask backup`")


def _manifest_of(path: Path, tar: tarfile.TarFile) -> Manifest:
    first = _next(path, tar)
    if first is None or first.name != MANIFEST or not 0 < first.size <= _LARGEST_MANIFEST:
        raise _foreign(path)
    if first.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or first.issparse():
        raise _foreign(path)
    stream = tar.extractfile(first)
    try:
        content = json.loads(stream.read() if stream else b"")
        if content["format"] > FORMAT:
            raise BackupError(
                f"{path} was made by dservercore {content['server']}, a later version: install that to restore it"
            )
        names = [known.name for known in fields(Manifest)]
        if content["format"] == 1:
            content |= {"rows": {}, "undescribed": 0}
        manifest = Manifest(**{name: content[name] for name in names})
        _require_meaningful(path, manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _foreign(path) from error
    return manifest


def _require_meaningful(path: Path, manifest: Manifest) -> None:
    texts = (
        manifest.server,
        manifest.made_at,
        manifest.database,
        manifest.revision,
        manifest.search["name"],
        manifest.retrieve["name"],
    )
    numbers = [manifest.format, manifest.users, manifest.base_uris, manifest.datasets, manifest.undescribed]
    numbers += [file["size"] for file in manifest.files.values()]
    numbers += manifest.rows.values()
    checksums = [file["sha256"] for file in manifest.files.values()]
    if manifest.holds_database:
        contents = {DATABASE[manifest.database]}
    else:
        contents = {DESCRIPTIONS, *map(table_file, manifest.tables)}
    if not (
        all(isinstance(text, str) for text in (*texts, *checksums))
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(isinstance(plugin["in_database"], bool) for plugin in (manifest.search, manifest.retrieve))
        and contents <= set(manifest.files) <= {*contents, *KEY_FILES}
        and (manifest.holds_database or set(manifest.rows) == contents)
    ):
        raise _foreign(path)
