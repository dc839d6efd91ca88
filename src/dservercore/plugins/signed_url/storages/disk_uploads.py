"""Datasets that are uploaded into directories of this machine, by a route of this server.

Until a dataset is complete, its files lie in a folder of their own, each under a name that says what it is and holds:
the identifier and the MD5 sum. So what has one of these names is what was announced, however often an upload is broken
off and begun again, and need not be read once more. Then the files get their places, and the dataset is frozen.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

from dtoolcore.storagebroker import DiskStorageBroker
from flask import current_app

from dservercore.catalog.storage import access, dtool_names, stored_text
from dservercore.catalog.storage.disk import DiskBase
from dservercore.catalog.storage.storage_limits import Limit, Limits, UnreadableError, parsed
from dservercore.catalog.storage.stored_files import Directory
from dservercore.errors import (
    ConflictError,
    DserverError,
    FullStorageError,
    StorageError,
    UnknownUploadError,
    UnsupportedError,
    ValidationError,
    invalid,
)
from dservercore.plugins.signed_url.announced import Announcement, by_directory
from dservercore.plugins.signed_url.pending import NOT_PENDING, Pending
from dservercore.plugins.signed_url.storages.file_system import own_url
from dservercore.plugins.signed_url.storages.interface import Validity
from dservercore.plugins.signed_url.storages.uploads import (
    README,
    ROUTE,
    UPLOAD,
    admin_metadata,
    named,
    outdated,
)

_DTOOL, _ADMIN, _MANIFEST, _STRUCTURE, _ABOUT = (
    ".dtool",
    "dtool",
    "manifest.json",
    "structure.json",
    "README.txt",
)
_DATA, _UPLOADS = "data", "uploads"
_PART = ".part"  # ends the name of a file that is coming
_CHUNK = 2**18
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_EXPECTED = 1000  # files beside those that are announced, up to which they are told


class DiskUploads:
    """The directory of one dataset.

    :raises UnsupportedError: if it is on another host
    :raises StorageError: if its base directory cannot be reached
    """

    def __init__(self, base_uri: str, uri: str) -> None:
        self._uri = uri
        self._limits = Limits.of(current_app.config)
        with refusals(base_uri):
            base = access.open_base(base_uri)
        if not isinstance(base, DiskBase):
            raise UnsupportedError(f"This server can take no uploads to {base_uri}")
        self._base = base

    def check(self, announcement: Announcement) -> None:
        """Pass if a directory can hold the items, and there is room for them.

        :raises ValidationError: 422 if an item is to be a directory, too
        :raises FullStorageError: if there is not enough room
        """
        relpaths = sorted((item["relpath"] for item in announcement.items.values()), key=by_directory)
        for relpath, following in pairwise(relpaths):
            if following.startswith(f"{relpath}/"):
                raise invalid("items", f"{following[:200]} is below {relpath[:200]}, which is a file")
        with refusals(self._uri):
            free, uploaded = self._base.free_bytes(), self._uploaded()
        size = sum(
            item["size_in_bytes"]
            for identifier, item in announcement.items.items()
            if f"{identifier}-{item['hash']}" not in uploaded
        )
        if size > free:
            raise FullStorageError(
                f"There is no room for the {size:,} bytes of the items where {self._uri} is to be stored"
            )

    def _uploaded(self) -> set[str]:
        """Return the names of what is there already of an upload that is begun again."""
        try:
            return set(self._uploads().names())
        except UnknownUploadError:
            return set()

    def prepare(self, pending: Pending, before: Pending | None) -> None:
        """Make the directory, with what says that a dataset is being put together in it.

        :raises ConflictError: if something else is stored there
        """
        with refusals(self._uri):
            directory = self._base.made_directory_of(self._uri)
            dtool = directory.made(_DTOOL)
            self._require_ours(_admin_of(dtool), pending, may_be_frozen=before is not None)
            directory.made(_DATA)
            for folder in ("annotations", "overlays", "tags", _UPLOADS):
                dtool.made(folder)
            self._forget(directory, dtool.directory(_UPLOADS), outdated(pending, before))
            broker = DiskStorageBroker(self._uri)
            dtool.write(_STRUCTURE, _as_json(broker._structure_parameters), dtool)
            dtool.write(_ABOUT, broker._dtool_readme_txt.encode(), dtool)
            dtool.write(_ADMIN, json.dumps(admin_metadata(pending, "protodataset")).encode(), dtool)

    def _require_ours(self, admin: Any, pending: Pending, may_be_frozen: bool) -> None:
        if admin is None:
            return
        kinds = ("protodataset", "dataset") if may_be_frozen else ("protodataset",)
        if admin.get("uuid") != pending.uuid or admin.get("type") not in kinds:
            raise ConflictError(f"A dataset is stored as {self._uri} already")

    def _forget(
        self, directory: Directory, uploads: Directory, items: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Remove what was uploaded of items that are no longer announced."""
        for identifier, item in items.items():
            uploads.remove(f"{identifier}-{item.get('hash')}")
            with suppress(FileNotFoundError, NotADirectoryError, KeyError):
                _remove(directory.directory(_DATA), item["relpath"])

    def urls(self, pending: Pending, validity: Validity) -> dict[str, Any]:
        """Return URLs of this server, each for one file of announced size and content."""
        digest = pending.digest

        def url(name: str, **extra: Any) -> str:
            return own_url(ROUTE, "PUT", UPLOAD, self._uri, name, validity, digest=digest, **extra)

        items = {
            identifier: {
                "url": url(identifier, size=item["size_in_bytes"], hash=item["hash"]),
                "relpath": item["relpath"],
                "headers": {},
            }
            for identifier, item in pending.items.items()
        }
        return {"readme": url(README), "items": items}

    def receive(
        self,
        name: str,
        size: int | None,
        md5: str | None,
        chunks: Callable[[int], bytes],
        still: Callable[[], object],
    ) -> None:
        """Write a file while it comes; what is not complete, or not what was announced, leaves nothing.

        :param name: identifier of an item, or :data:`README`
        :param size: in bytes; None: of a README, any up to the limit
        :param md5: MD5 sum of the content; None: any
        :param chunks: given how much, returns so many bytes of it, or fewer; none at its end
        :param still: called before the file counts: raises an error if it may not any more
        :raises ValidationError: 400 if it is not what was announced
        :raises ConflictError: if somebody else is writing it
        :raises UnknownUploadError: if the dataset is complete or was removed
        """
        with refusals(self._uri):
            uploads = self._uploads()
            final = f"{name}-{md5}" if md5 else name
            if md5 and _exists(uploads, final):
                _copy(chunks, lambda _part: None, size or 0, md5)  # the same content once more
                return
            with _part_of(uploads, final) as descriptor:
                most = self._limits.readme.size if size is None else size
                received = _copy(chunks, lambda part: _write(descriptor, part), most, md5)
                if size is not None and received != size:
                    raise _other(f"{received:,} bytes have come, and {size:,} were announced")
                os.fsync(descriptor)
                still()
                try:
                    uploads.move(f"{final}{_PART}", uploads, final)
                except FileNotFoundError:
                    raise UnknownUploadError(NOT_PENDING) from None
            uploads.sync()

    def _uploads(self) -> Directory:
        try:
            return self._base.directory_of(self._uri).directory(_DTOOL).directory(_UPLOADS)
        except (FileNotFoundError, NotADirectoryError):
            raise UnknownUploadError(NOT_PENDING) from None

    def readme(self, pending: Pending) -> str:
        """Return the README, once it and all items are there as they were announced.

        :raises ValidationError: 400 if they are not
        """
        with refusals(self._uri), _gone_is_unknown():
            directory = self._base.directory_of(self._uri)
            dtool = directory.directory(_DTOOL)
            self._require_ours(_admin_of(dtool), pending, may_be_frozen=True)
            uploads, data = dtool.made(_UPLOADS), directory.made(_DATA)
            uploaded = set(uploads.names())
            missing = []
            for identifier, item in pending.items.items():
                name = f"{identifier}-{item['hash']}"
                # Its name says what it holds, and not how long that was said to be.
                is_right = name in uploaded and uploads.status(name).st_size == item["size_in_bytes"]
                if not is_right and (name in uploaded or not _is_there(data, item)):
                    missing.append(item["relpath"])
            if missing:
                raise ValidationError(f"Not uploaded yet, or not as announced: {named(missing)}")
            self._check_nothing_else(data, pending)
            folder = uploads if README in uploaded else directory
            try:
                content = folder.read(README, self._limits.readme)
            except FileNotFoundError:
                raise ValidationError("The README is not uploaded yet") from None
            return stored_text.decoded_readme(content, README, lambda _warning: None)

    def _check_nothing_else(self, data: Directory, pending: Pending) -> None:
        announced = {item["relpath"] for item in pending.items.values()}
        most = _NOT_EXPECTED + sum(relpath.count("/") + 1 for relpath in announced)
        others = [relpath for relpath in data.relpaths(most) if relpath not in announced]
        if others:
            raise ValidationError(f"Files are stored there that were not announced: {named(others)}")

    def freeze(self, pending: Pending) -> None:
        """Give the files their places, write what else makes a dataset, and freeze it."""
        with refusals(self._uri), _gone_is_unknown():
            directory = self._base.directory_of(self._uri)
            dtool = directory.directory(_DTOOL)
            uploads = dtool.made(_UPLOADS)
            self._place_items(directory, uploads, pending)
            if pending.is_described:
                _write_description(dtool, pending.description)
            if _exists(uploads, README):
                uploads.move(README, directory, README)
            dtool.write(_MANIFEST, _as_json(pending.manifest), dtool)
            dtool.sync()
            directory.sync()
            dtool.write(_ADMIN, json.dumps(admin_metadata(pending, "dataset")).encode(), dtool)
            dtool.sync()
            dtool.remove_directory(_UPLOADS)

    def _place_items(self, directory: Directory, uploads: Directory, pending: Pending) -> None:
        uploaded = set(uploads.names())
        data = directory.made(_DATA)
        folders: dict[str, Directory] = {"": data}  # the last one, and those above it
        for identifier, item in sorted(pending.items.items(), key=lambda pair: pair[1]["relpath"]):
            name = f"{identifier}-{item['hash']}"
            if name in uploaded:
                above, _, own_name = item["relpath"].rpartition("/")
                folders = _way_to(above, folders)
                uploads.set_time(name, item["utc_timestamp"])
                uploads.move(name, folders[above], own_name)

    def remove(self, pending: Pending) -> bool:
        """Remove the directory, unless the dataset is frozen. Return whether it was there.

        :raises ConflictError: if it is frozen, or another one
        """
        with refusals(self._uri):
            try:
                dtool = self._base.directory_of(self._uri).directory(_DTOOL)
            except (FileNotFoundError, NotADirectoryError):
                return False
            self._require_ours(_admin_of(dtool), pending, may_be_frozen=False)
            self._base.remove_directory_of(self._uri)
            return True


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn errors of the storage into those of the house.

    :raises FullStorageError: if there is no room
    :raises StorageError: for all others
    """
    try:
        yield
    except DserverError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise FullStorageError(f"There is no room where {what} is to be stored") from error
        raise StorageError(
            f"{what} cannot be written where it is to be stored: {access.reason(error)}"
        ) from error
    except UnreadableError as error:
        raise StorageError(f"{what} cannot be written where it is to be stored: {error}") from error


@contextmanager
def _gone_is_unknown() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ValidationError("The dataset is no longer stored where its upload was begun") from None


def _admin_of(dtool: Directory) -> dict[str, Any] | None:
    """Return the administrative metadata of a dataset; None: there is none."""
    try:
        content = dtool.read(_ADMIN, Limit(2**20))
    except FileNotFoundError:
        return None
    value = parsed(content.decode(errors="replace"), f"{dtool.path}/{_ADMIN}")
    return value if isinstance(value, dict) else {}


@contextmanager
def _part_of(folder: Directory, name: str) -> Iterator[int]:
    """Yield a descriptor by which a file can be written that is nobody else's until the block ends.

    What has not been moved by then is removed.

    :raises ConflictError: if somebody else writes it
    """
    part = f"{name}{_PART}"
    descriptor = _new_part(folder, part)
    try:
        yield descriptor
    except BaseException:
        with suppress(OSError):
            folder.remove(part)
        raise
    finally:
        os.close(descriptor)


def _new_part(folder: Directory, part: str) -> int:
    for _attempt in range(3):
        try:
            descriptor = folder.new_file(part)
        except FileExistsError:
            _remove_if_left(folder, part)
            continue
        if _is_locked(descriptor):
            return descriptor
        os.close(descriptor)
    raise ConflictError("Somebody else is uploading this file at this moment")


def _remove_if_left(folder: Directory, part: str) -> None:
    """Remove a file that was coming when its server was killed."""
    try:
        descriptor = folder.open_file(part)
    except FileNotFoundError:
        return
    try:
        # Under the lock, nobody else takes it for their own.
        if _is_locked(descriptor) and _is_still(folder, part, descriptor):
            folder.remove(part)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(folder: Directory, name: str, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(folder.status(name), os.fstat(descriptor))
    return False


def _copy(chunks: Callable[[int], bytes], write: Callable[[bytes], None], most: int, md5: str | None) -> int:
    """Hand on what comes, to its end. Return how many bytes that were.

    :raises ValidationError: 400 if there are more than *most*, or they have another MD5 sum
    """
    digest, received = hashlib.md5(usedforsecurity=False), 0
    while chunk := chunks(_CHUNK):
        received += len(chunk)
        if received > most:
            raise _other(f"more than {most:,} bytes")
        digest.update(chunk)
        write(chunk)
    if md5 and digest.hexdigest() != md5:
        raise _other(f"{received:,} bytes have come, whose MD5 sum is {digest.hexdigest()}, and not {md5}")
    return received


def _write(descriptor: int, part: bytes) -> None:
    left = memoryview(part)
    while left:
        left = left[os.write(descriptor, left) :]


def _other(what: str) -> ValidationError:
    return ValidationError(f"The body is not the file that was announced: {what}")


def _exists(folder: Directory, name: str) -> bool:
    try:
        return stat.S_ISREG(folder.status(name).st_mode)
    except FileNotFoundError:
        return False


def _is_there(data: Directory, item: Mapping[str, Any]) -> bool:
    """Return whether an item has its place already, because its dataset was being frozen: then it is read once more."""
    *folders, name = item["relpath"].split("/")
    folder = data
    try:
        for each in folders:
            folder = folder.directory(each)
        if folder.status(name).st_size != item["size_in_bytes"]:
            return False
        descriptor = folder.open_file(name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with open(descriptor, "rb") as file:
        return _hash_of(file) == item["hash"]


def _hash_of(file: Any) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _remove(data: Directory, relpath: str) -> None:
    *folders, name = relpath.split("/")
    for each in folders:
        data = data.directory(each)
    data.remove(name)


def _way_to(path: str, known: Mapping[str, Directory]) -> dict[str, Directory]:
    """Return the folder at a path below that at ``""``, which is made if it is not there, and those above it."""
    way = {"": known[""]}
    above = ""
    for name in filter(None, path.split("/")):
        here = f"{above}/{name}" if above else name
        way[here] = known.get(here) or way[above].made(name)
        above = here
    return way


def _write_description(dtool: Directory, description: Mapping[str, Any]) -> None:
    """Make tags, annotations and overlays what they are to be."""
    contents: dict[str, dict[str, bytes]] = {"tags": dict.fromkeys(description["tags"], b"")}
    for kind in ("annotations", "overlays"):
        contents[kind] = {f"{name}.json": _as_json(value) for name, value in description[kind].items()}
    for kind, files in contents.items():
        folder = dtool.made(kind)
        for name in folder.names():
            if name not in files and (dtool_names.is_tag(name) or dtool_names.annotation_of(name)):
                folder.remove(name)
        for name, content in files.items():
            folder.write(name, content, dtool)
        folder.sync()


def _as_json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()
