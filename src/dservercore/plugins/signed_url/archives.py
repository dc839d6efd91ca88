"""Whole datasets as archives (zip), which are made while they are sent.

An archive has the layout of a dataset in a directory: what is unpacked, dtool can read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Generator, Iterable
from datetime import datetime, timezone

from dservercore.catalog import metadata
from dservercore.plugins.signed_url import reading
from dservercore.plugins.signed_url.file_names import Distinct, safe_path
from dservercore.plugins.signed_url.reading import ARCHIVE, Permit, permit
from dservercore.plugins.signed_url.storages import File, Storage, storage_of
from dservercore.plugins.signed_url.storages.file_system import path_of

# From where on the format needs 64 bits for the size of a file; some way below, as the size may be in a header twice.
_LARGE = 2**31
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=timezone.utc), datetime(2107, 12, 31, tzinfo=timezone.utc)


def open_archive(signature: str, method: str, uri: str) -> tuple[str, Generator[bytes, None, None], Permit]:
    """Return the name of the archive of a dataset that a signature is for, and its content, in pieces.

    The content needs no context of the application. It ends with an error, in the middle, where a file of the dataset
    is missing, cannot be read or changes meanwhile.

    :param method: of the request
    :raises AuthorizationError: if it is no signature for this, or its user may not search the dataset any more
    :raises ExpiredError: if its time is over
    :raises UnknownURIError: if the dataset is no longer registered
    :raises UnsupportedError: if the storage is out of reach, or the dataset has too many items
    """
    allowed = permit(signature, method, ARCHIVE, uri)
    dataset = allowed.look()
    reading.require_few_items(dataset)
    storage = storage_of(dataset["base_uri"], uri)
    scope = allowed.scope()
    files = [File("admin"), File("manifest"), File("readme")]
    files += [File("overlay", name) for name in storage.overlay_names()]
    files += [File("annotation", name) for name in storage.annotation_names()]
    tags = [File("tag", tag) for tag in metadata.get_tags(scope, uri)]
    content = _zipped(storage, dataset["name"], [*files, *reading.items(scope, uri)], tags)
    return f"{dataset['name']}.zip", content, allowed


def _zipped(
    storage: Storage, name: str, files: Iterable[File], empty: Iterable[File]
) -> Generator[bytes, None, None]:
    """Yield an archive of some files, and some that are empty, in a folder."""
    buffer, paths = _Buffer(), Distinct()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in empty:
            archive.writestr(_entry(paths.path(_path(name, file)), _FIRST), b"")
        for file in files:
            content = storage.open(file)
            try:
                moment = datetime.fromtimestamp(content.changed_at, timezone.utc)
                entry = _entry(paths.path(_path(name, file)), moment)
                entry.file_size = content.size
                with archive.open(entry, "w", force_zip64=content.size >= _LARGE) as target:
                    for piece in content.pieces():
                        target.write(piece)
                        yield buffer.take()
            finally:
                content.close()
    yield buffer.take()


def _path(name: str, file: File) -> str:
    return safe_path(f"{name}/{path_of(file)}")


def _entry(path: str, moment: datetime) -> zipfile.ZipInfo:
    moment = min(max(moment, _FIRST), _LAST)
    entry = zipfile.ZipInfo(path, moment.timetuple()[:6])
    entry.external_attr = 0o644 << 16
    return entry


class _Buffer(io.RawIOBase):
    """What is written, until it is taken; it has no place to go back to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        part = bytes(content)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
