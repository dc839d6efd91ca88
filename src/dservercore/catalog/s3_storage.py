"""Datasets in a bucket, as ``dtool-s3`` keeps them, looked at with few requests and few connections.

Its storage broker makes three clients for each dataset, which takes longer than asking for the dataset, and lists a
bucket by asking for each dataset, one after the other. What differs here is how often S3 is asked, not what for: the
keys are those of the broker (https://github.com/jic-dtool/dtool-s3).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

from dservercore.errors import DserverError

REGISTRATION = "dtool-"  # begins the key of each dataset's registration in the bucket
METADATA = ("README.yml", "dtool", "manifest.json")
METADATA_FOLDERS = ("annotations/", "tags/")
KEYS_AT_ONCE = 1000  # that S3 lists at most


class NoMetadataError(DserverError):
    """A dataset is registered in the bucket, and has no administrative metadata, or not yet."""


def knows(broker: type[Any]) -> bool:
    """Return whether this is the storage broker of ``dtool-s3``, and not another one for S3."""
    return all(hasattr(broker, name) for name in ("_get_resource_and_client", "_get_prefix"))


def sharing_connections(broker: type[Any]) -> type[Any]:
    """Return a storage broker for S3 whose instances share clients: as many as there are threads that read."""
    return type(broker.__name__, (broker,), {"_get_resource_and_client": classmethod(_connections)})


class _Connections(threading.local):
    def __init__(self) -> None:
        self.of_bucket: dict[str, Any] = {}


_held = _Connections()
_making = threading.Lock()  # boto3 makes clients in one thread at a time


def _connections(broker: type[Any], bucket: str) -> Any:
    if bucket not in _held.of_bucket:
        with _making:
            _held.of_bucket[bucket] = super(broker, broker)._get_resource_and_client(bucket)
    return _held.of_bucket[bucket]


def list_uris(broker: type[Any], base_uri: str) -> list[str]:
    """Return the URIs of all datasets that are registered in a bucket."""
    bucket = _bucket(base_uri)
    keys = (found["Key"] for found in _objects(_client(broker, bucket), bucket, REGISTRATION))
    return [f"s3://{bucket}/{key.removeprefix(REGISTRATION)}" for key in keys]


def fingerprint(broker: type[Any], uri: str) -> str:
    """Return a digest of keys, sizes and entity tags of a dataset's metadata.

    :raises NoMetadataError: if it has no administrative metadata
    """
    bucket, uuid = _bucket(uri), urlparse(uri).path.strip("/")
    folder = f"{broker(uri, None)._get_prefix()}{uuid}/"
    found = {
        key.removeprefix(folder): (entry["Size"], entry["ETag"])
        for entry in _metadata(_client(broker, bucket), bucket, folder)
        if _is_metadata((key := entry["Key"]).removeprefix(folder))
    }
    if "dtool" not in found:
        raise NoMetadataError("it has no administrative metadata, or not yet")
    return hashlib.blake2b(json.dumps(sorted(found.items())).encode(), digest_size=20).hexdigest()


def _metadata(client: Any, bucket: str, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a dataset's metadata, and others."""
    everything = client.list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=KEYS_AT_ONCE)
    if not everything["IsTruncated"]:
        yield from everything.get("Contents", ())
        return
    # It has many items: they are passed over.
    yield from _objects(client, bucket, folder, Delimiter="/")
    for name in METADATA_FOLDERS:
        yield from _objects(client, bucket, folder + name)


def _is_metadata(key: str) -> bool:
    return key in METADATA or key.startswith(METADATA_FOLDERS)


def _objects(client: Any, bucket: str, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options)
    for page in pages:
        yield from page.get("Contents", ())


def _bucket(uri: str) -> str:
    return urlparse(uri).netloc


def _client(broker: type[Any], bucket: str) -> Any:
    return broker._get_resource_and_client(bucket)[1]
