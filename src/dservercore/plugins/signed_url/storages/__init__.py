"""Where datasets are stored: what signs the URLs by which their files are read and written there.

Each kind of storage is a module; which one a dataset has, its base URI says.
"""

from __future__ import annotations

from urllib.parse import urlparse

from dservercore.dataset import uris
from dservercore.errors import UnsupportedError
from dservercore.plugins.signed_url.storages.file_system import FileSystem
from dservercore.plugins.signed_url.storages.interface import File, Kind, Storage, Validity
from dservercore.plugins.signed_url.storages.s3 import S3

__all__ = ["File", "Kind", "Storage", "Validity", "storage_of"]


def storage_of(base_uri: str, uri: str) -> Storage:
    """Return the storage of a dataset.

    :param base_uri: that it is registered in, or is to be
    :raises UnsupportedError: if no URLs can be signed for it, or it is out of reach
    """
    scheme = urlparse(base_uri).scheme
    if scheme == "s3":
        return S3(base_uri, uri)
    if scheme == "file":
        if uris.is_out_of_reach(base_uri):
            raise UnsupportedError(f"{base_uri} is on another host, where this server can sign no URLs")
        return FileSystem(base_uri, uri)
    raise UnsupportedError(f"This server can sign no URLs for datasets in {base_uri}")
