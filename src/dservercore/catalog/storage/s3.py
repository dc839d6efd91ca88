"""Datasets in a bucket, as ``dtool-s3`` keeps them, looked at with few requests and few connections.

Its storage broker makes three clients for each dataset, which takes longer than asking for the dataset, and lists a
bucket by asking for each dataset, one after the other. What differs here is how often S3 is asked, not what for: the
keys are those of the broker (https://github.com/jic-dtool/dtool-s3).
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlparse

from dservercore.catalog.storage import dtool_names, time_limits
from dservercore.catalog.storage.storage_limits import (
    Limit,
    Limits,
    UnreadableError,
    annotations_within,
    parsed,
)
from dservercore.catalog.storage.stored_text import Warn, decoded, decoded_readme, manifest_of
from dservercore.errors import DserverError

REGISTRATION = "dtool-"  # begins the key of each dataset's registration in the bucket
METADATA = ("README.yml", "dtool", "manifest.json")
METADATA_FOLDERS = ("annotations/", "tags/")
KEYS_AT_ONCE = 1000  # that S3 lists at most
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0  # after which a request is given up, or repeated
MAX_KEY_BYTES = 1024  # of S3
_CHUNK = 2**20


class NoMetadataError(DserverError):
    """A dataset is registered in the bucket, and has no administrative metadata, or not yet."""


def knows(broker: type[Any]) -> bool:
    """Return whether this is the storage broker of ``dtool-s3``, and not another one for S3."""
    return all(hasattr(broker, name) for name in ("_get_resource_and_client", "_get_prefix"))


@functools.cache
def limited(broker: type[Any], limits: Limits) -> type[Any]:
    """Return a storage broker for S3 that reads within *limits*, and whose instances share clients.

    There are as many clients as threads that read.
    """

    class Limited(broker):
        _get_resource_and_client = classmethod(_connections)

        @functools.cached_property
        def warnings(self) -> list[str]:
            return []

        def _get_prefix(self) -> str:
            if not hasattr(self, "_prefix"):
                try:
                    content = _content(
                        self.s3client, self.bucket, self.dataset_registration_key, Limit(MAX_KEY_BYTES)
                    )
                    self._prefix = decoded(content, self.dataset_registration_key, self._warn)
                except self.s3client.exceptions.ClientError:
                    self._prefix = self.dataset_prefix or ""
            return self._prefix

        def _text(self, key: str, limit: Limit, decode: Callable[[bytes, str, Warn], str] = decoded) -> str:
            try:
                content = _content(self.s3client, self.bucket, key, limit)
            except self.s3client.exceptions.ClientError as error:
                raise OSError(f"{key}: {error}") from None
            return decode(content, key, self._warn)

        def _warn(self, warning: str) -> None:
            if warning not in self.warnings:
                self.warnings.append(warning)

        def path_of(self, file: str) -> str:
            """Return the key of a file of a dataset, for messages."""
            return f"{self._get_prefix()}{self.uuid}/{file}"

        def get_text(self, key: str) -> str:
            return self._text(key, limits.manifest)

        def get_manifest(self) -> Any:
            key = self.get_manifest_key()
            return manifest_of(parsed(self.get_text(key), key), key)

        def get_readme_content(self) -> str:
            return self._text(self.get_readme_key(), limits.readme, decoded_readme)

        def get_annotations(self) -> dict[str, Any]:
            return annotations_within(
                limits.annotation,
                self.list_annotation_names(),
                read=lambda name, limit: self._text(self.get_annotation_key(name), limit),
                path_of=self.get_annotation_key,
            )

        def put_annotation(self, annotation_name: str, annotation: Any) -> None:
            if "." in annotation_name:
                raise UnreadableError(
                    f"dtool-s3 cannot list an annotation whose name has a dot: {annotation_name}"
                )
            if not dtool_names.is_annotation(annotation_name):
                raise UnreadableError(f"the annotation {annotation_name} would not be read again")
            super().put_annotation(annotation_name, annotation)

        def put_tag(self, tag: str) -> None:
            if not dtool_names.is_tag(tag):
                raise UnreadableError(f"the tag {tag} would not be read again")
            super().put_tag(tag)

        def list_annotation_names(self) -> list[str]:
            names = self._own(self.annotations_key_prefix, limits.annotations, _is_annotation)
            return [name.removesuffix(".json") for name in names]

        def list_overlay_names(self) -> list[str]:
            names = self._own(self.overlays_key_prefix, limits.annotations, _is_annotation)
            return [name.removesuffix(".json") for name in names]

        def list_tags(self) -> list[str]:
            return self._own(self.tags_key_prefix, limits.tags, dtool_names.is_tag)

        def _own(self, prefix: str, most: int, is_own: Callable[[str, int], bool]) -> list[str]:
            """Return what follows *prefix* in the keys of objects that dtool has written; warn of the others."""
            own: list[str] = []
            foreign: list[str] = []
            for entry in _objects(self.s3client, self.bucket, prefix):
                if len(own) + len(foreign) == most:
                    raise UnreadableError(f"{prefix} holds more than the {most:,} objects that are read")
                name = entry["Key"].removeprefix(prefix)
                if name:  # else it is a folder, as consoles make them
                    (own if is_own(name, entry["Size"]) else foreign).append(name)
            for warning in dtool_names.foreign_files(prefix.rstrip("/"), foreign):
                self._warn(warning)
            return own

    return Limited


def _is_annotation(name: str, _size: int) -> bool:
    return dtool_names.annotation_of(name) is not None


def _content(client: Any, bucket: str, key: str, limit: Limit) -> bytes:
    answer = client.get_object(Bucket=bucket, Key=key)
    content = bytearray()
    with answer["Body"] as body:
        if answer["ContentLength"] > limit.size:
            raise limit.error(key)
        while chunk := body.read(_CHUNK):
            content += chunk
            if len(content) > limit.size:
                raise limit.error(key)
            time_limits.left()
    return bytes(content)


class _Connections(threading.local):
    def __init__(self) -> None:
        self.of_bucket: dict[str, Any] = {}


_held = _Connections()
_making = threading.Lock()  # boto3 makes clients in one thread at a time


def _connections(broker: type[Any], bucket: str) -> Any:
    if bucket not in _held.of_bucket:
        with _making:
            resource, client, unsigned = super(broker, broker)._get_resource_and_client(bucket)
        for made in (resource.meta.client, client, unsigned):
            _keep_time(made)
        _held.of_bucket[bucket] = resource, client, unsigned
    return _held.of_bucket[bucket]


def _keep_time(client: Any) -> None:
    """Have a client give up requests that are not answered, and send none when the time of its thread is over."""
    # dtool-s3 takes no options for its clients. botocore's own limits, of a minute each, stay where this is not so.
    with suppress(AttributeError, KeyError, ImportError):
        from urllib3 import Timeout

        settings = client._endpoint.http_session._manager.connection_pool_kw
        settings["timeout"] = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    client.meta.events.register("before-send.s3", _check_time)


def _check_time(**_: Any) -> None:
    time_limits.left()


def list_uris(broker: type[Any], base_uri: str) -> list[str]:
    """Return the URIs of all datasets that are registered in a bucket."""
    bucket = _bucket(base_uri)
    keys = (found["Key"] for found in _objects(_client(broker, bucket), bucket, REGISTRATION))
    return [f"s3://{bucket}/{key.removeprefix(REGISTRATION)}" for key in keys]


def is_gone(broker: type[Any], uri: str) -> bool:
    """Return whether there is certainly no administrative metadata of a dataset in a bucket.

    The storage broker takes every error of S3 for that: of one that is overloaded, or refuses, nothing is known here.

    :raises botocore.exceptions.ClientError: if S3 does not say what is in the bucket
    """
    stored, bucket = broker(uri, None), _bucket(uri)
    client, registration = _client(broker, bucket), stored.dataset_registration_key
    prefix = stored.dataset_prefix or ""
    if _is_listed(client, bucket, registration):
        content = _content(client, bucket, registration, Limit(MAX_KEY_BYTES))
        prefix = decoded(content, registration, lambda _: None)
    return not _is_listed(client, bucket, f"{prefix}{stored.uuid}/dtool")


def _is_listed(client: Any, bucket: str, key: str) -> bool:
    # Asked for the object itself, S3 says that it is not there only to who may list.
    listed = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
    return any(entry["Key"] == key for entry in listed)


def fingerprint(broker: type[Any], uri: str) -> str:
    """Return a digest of keys, sizes and entity tags of a dataset's metadata.

    :raises NoMetadataError: if it has no administrative metadata
    """
    found = {key: (entry["Size"], entry["ETag"]) for key, entry in _entries(broker, uri)}
    if "dtool" not in found:
        raise NoMetadataError("it has no administrative metadata, or not yet")
    return hashlib.blake2b(json.dumps(sorted(found.items())).encode(), digest_size=20).hexdigest()


def changed_at(broker: type[Any], uri: str) -> float | None:
    """Return when a dataset's metadata was last written: seconds since the epoch; removing some does not count."""
    times = [entry["LastModified"].timestamp() for _, entry in _entries(broker, uri)]
    return max(times, default=None)


def _entries(broker: type[Any], uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a dataset's metadata, each with what follows the dataset's folder in its key."""
    bucket, uuid = _bucket(uri), urlparse(uri).path.strip("/")
    folder = f"{broker(uri, None)._get_prefix()}{uuid}/"
    for entry in _metadata(_client(broker, bucket), bucket, folder):
        key = entry["Key"].removeprefix(folder)
        if _is_metadata(key, entry["Size"]):
            yield key, entry


def _metadata(client: Any, bucket: str, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a dataset's metadata, and some that are no metadata."""
    everything = client.list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=KEYS_AT_ONCE)
    if not everything["IsTruncated"]:
        yield from everything.get("Contents", ())
        return
    # It has many items: they are passed over.
    yield from _objects(client, bucket, folder, Delimiter="/")
    for name in METADATA_FOLDERS:
        yield from _objects(client, bucket, folder + name)


def _is_metadata(key: str, size: int) -> bool:
    folder, _, name = key.partition("/")
    if folder == "annotations":
        return _is_annotation(name, size)
    return key in METADATA or (folder == "tags" and dtool_names.is_tag(name, size))


def _objects(client: Any, bucket: str, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options)
    for page in pages:
        yield from page.get("Contents", ())


def _bucket(uri: str) -> str:
    return urlparse(uri).netloc


def _client(broker: type[Any], bucket: str) -> Any:
    return broker._get_resource_and_client(bucket)[1]
