"""Datasets in directories of this machine: their files are read, and written, by routes of this server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from urllib.parse import quote, urlencode

from dservercore.catalog.storage import access
from dservercore.catalog.storage.disk import DiskBase
from dservercore.catalog.storage.stored_files import Directory
from dservercore.errors import DserverError, UnsupportedError
from dservercore.plugins.signed_url import signatures
from dservercore.plugins.signed_url.signatures import Claims
from dservercore.plugins.signed_url.storages.interface import File, Validity
from dservercore.settings.external_url import external_url

#: Path of the route by which files are read, before the URI of their dataset.
ROUTE = "/signed-urls/files"
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


def own_url(
    route: str, method: str, purpose: str, uri: str, name: str, validity: Validity, **extra: object
) -> str:
    """Return a URL of this server that is signed; the arguments are those of the :class:`Claims`.

    :param route: path of the route, before the URI of the dataset
    """
    claims = Claims(
        method, purpose, uri, name, validity.holder, validity.issued_at, validity.expires_at, extra
    )
    query = urlencode({"signature": signatures.sign(claims)})
    return external_url(f"{route}/{quote(uri, safe='')}?{query}")


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


def open_file(directory: Directory, path: str) -> int:
    """Return a descriptor by which a file of a dataset can be read, to be closed. No link is followed.

    :param directory: of the dataset
    :param path: of the file in it
    :raises OSError: if it cannot be opened
    :raises UnreadableError: if it is no regular file, or reached through a link
    """
    *folders, name = path.split("/")
    for folder in folders:
        directory = directory.directory(folder)
    return directory.open_file(name)


def opened(base_uri: str) -> DiskBase:
    """Return a directory of this machine that is a base URI.

    :raises OSError, UnreadableError: if it cannot be reached
    """
    base = access.open_base(base_uri)
    assert isinstance(base, DiskBase)
    return base


@contextmanager
def reachable(what: str) -> Iterator[None]:
    """Turn errors of the storage into UnsupportedError, which says no more than that *what* is out of reach."""
    try:
        yield
    except DserverError:
        raise
    except (OSError, ValueError) as error:
        raise UnsupportedError(f"{what} is out of reach where it is stored") from error


def file_name(path: str) -> str:
    """Return the name of a file at a path."""
    return PurePosixPath(path).name or path
