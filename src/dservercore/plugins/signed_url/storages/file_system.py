"""Datasets in directories of this machine: their files are read, and written, by routes of this server."""

from __future__ import annotations

import errno
import functools
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from urllib.parse import quote

from dservercore.catalog.storage import access
from dservercore.catalog.storage.disk import DiskBase
from dservercore.catalog.storage.stored_files import Directory
from dservercore.dataset.uris import uri_to_url_suffix
from dservercore.errors import DserverError, UnknownFileError, UnsupportedError
from dservercore.plugins.signed_url import signatures
from dservercore.plugins.signed_url.signatures import Claims
from dservercore.plugins.signed_url.storages.interface import ChangedError, File, Validity
from dservercore.settings.external_url import external_url

#: Path of the route by which files are read, before the URI of their dataset.
ROUTE = "/signed-urls/files"
logger = logging.getLogger(__name__)

#: Bytes that are read at a time.
CHUNK = 2**18

_NO_FILE = "The dataset has no such file that can be read where it is stored"

#: What a signature is for by which a file is read.
READ = "read"


class FileSystem:
    """The directory of one dataset.

    :raises UnsupportedError: if its base directory cannot be reached
    """

    def __init__(self, base_uri: str, uri: str) -> None:
        self._uri = uri
        with reachable(base_uri):
            self._base = opened(base_uri)

    def overlay_names(self) -> list[str]:
        """Return the names of the overlays, in order."""
        with reachable(self._uri):
            return self._base.overlay_names(self._uri)

    def annotation_names(self) -> list[str]:
        """Return the names of the annotations, in order."""
        with reachable(self._uri):
            return self._base.annotation_names(self._uri)

    def read_url(self, file: File, validity: Validity) -> str:
        """Return a URL of this server by which a file can be read, whether it is there or not."""
        return own_url(ROUTE, "GET", READ, self._uri, path_of(file), validity)

    def open(self, file: File) -> OpenFile:
        """Return the content of a file.

        :raises UnknownFileError: if it is not there, or no regular file
        """
        return self.open_path(path_of(file))

    def open_path(self, path: str) -> OpenFile:
        """Return the content of the file at a path in the directory of the dataset.

        :raises UnknownFileError: if it is not there, or no regular file
        """
        with reachable(self._uri):
            directory = self._base.directory_of(self._uri)
        return open_file(directory, path)


def own_url(
    route: str, method: str, purpose: str, uri: str, name: str, validity: Validity, **extra: object
) -> str:
    """Return a URL of this server that is signed; the arguments are those of the :class:`Claims`.

    :param route: path of the route, before the URI of the dataset
    """
    claims = Claims(
        method, purpose, uri, name, validity.holder, validity.issued_at, validity.expires_at, extra
    )
    # Nothing in a signature needs to be quoted.
    return f"{external_url()}{route}/{_quoted(uri)}?signature={signatures.sign(claims)}"


@functools.lru_cache(maxsize=64)  # of a dataset, there may be as many URLs as it has files
def _quoted(uri: str) -> str:
    return quote(uri_to_url_suffix(uri), safe="/:")


def path_of(file: File) -> str:
    """Return where a file is in the directory of a dataset, as dtoolcore lays it out; it may lead anywhere."""
    in_folder = {"overlay": "overlays", "annotation": "annotations"}
    if file.kind == "item":
        return f"data/{file.relpath}"
    if file.kind in in_folder:
        return f".dtool/{in_folder[file.kind]}/{file.name}.json"
    if file.kind == "tag":
        return f".dtool/tags/{file.name}"
    return {"admin": ".dtool/dtool", "manifest": ".dtool/manifest.json", "readme": "README.yml"}[file.kind]


class OpenFile:
    """A file that is open by its descriptor, whatever becomes of its name.

    :raises OSError: if it cannot be looked at
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._status = os.fstat(descriptor)
        self.size, self.changed_at = self._status.st_size, self._status.st_mtime

    @property
    def tag(self) -> str:
        """An entity tag: another one when the file is another one, or has changed."""
        status = self._status
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return hashlib.blake2b(repr(seen).encode(), digest_size=16).hexdigest()

    def pieces(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a part of the content, all that follows by default.

        :raises ChangedError: if the file changes meanwhile: the last piece was not yielded then
        """
        left = self.size - start if length is None else length
        while left:
            if self._descriptor is None:
                raise ChangedError("the file was closed")
            piece = os.pread(self._descriptor, min(left, CHUNK), start)
            now = os.fstat(self._descriptor)
            if not piece or (now.st_size, now.st_mtime_ns) != (self.size, self._status.st_mtime_ns):
                raise ChangedError("the file was changed while it was read")
            start, left = start + len(piece), left - len(piece)
            yield piece

    def close(self) -> None:
        """Close it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def open_file(directory: Directory, path: str) -> OpenFile:
    """Return a file of a dataset. No link is followed.

    :param directory: of the dataset
    :param path: of the file in it
    :raises UnknownFileError: if it is not there, or no regular file, or reached through a link
    :raises UnsupportedError: if the storage does not answer, or does not let the server read it
    """
    *folders, name = path.split("/")
    try:
        for folder in folders:
            directory = directory.directory(folder)
        return OpenFile(directory.open_file(name))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError) as error:
        # ValueError: a NUL in the path, or a lone surrogate; or UnreadableError
        raise UnknownFileError(_NO_FILE) from error
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP):
            raise UnknownFileError(_NO_FILE) from error
        raise UnsupportedError("The file is out of reach where it is stored") from error


def opened(base_uri: str) -> DiskBase:
    """Return a directory of this machine that is a base URI.

    :raises OSError, UnreadableError: if it cannot be reached
    """
    base = access.open_base(base_uri)
    assert isinstance(base, DiskBase)
    return base


@contextmanager
def reachable(what: str) -> Iterator[None]:
    """Turn errors of the storage into UnsupportedError, which says no more than that *what* is out of reach.

    The log says why.
    """
    try:
        yield
    except DserverError:
        raise
    except (OSError, ValueError) as error:
        logger.warning("No signed URLs for %s: %s", what, access.reason(error))
        raise UnsupportedError(f"{what} is out of reach where it is stored") from error


def file_name(path: str) -> str:
    """Return the name of a file at a path."""
    return PurePosixPath(path).name or path
