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

__all__ = ["File", "Kind", "Storage", "Validity", "is_signable", "storage_of"]


def is_signable(base_uri: str) -> bool:
    """Return whether there is a storage for the datasets in a base URI: it need not be reachable."""
    scheme = urlparse(base_uri).scheme
    return scheme == "s3" or (scheme == "file" and not uris.is_out_of_reach(base_uri))


def storage_of(base_uri: str, uri: str) -> Storage:
    """Return the storage of a dataset.

    :param base_uri: that it is registered in, or is to be
    :raises UnsupportedError: if no URLs can be signed for it, or it is out of reach
    """
    if not is_signable(base_uri):
        raise UnsupportedError(f"This server can sign no URLs for datasets in {base_uri}")
    return S3(base_uri, uri) if urlparse(base_uri).scheme == "s3" else FileSystem(base_uri, uri)
