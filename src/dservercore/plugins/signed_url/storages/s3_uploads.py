"""Datasets that are uploaded into buckets, by presigned requests to S3 itself.

A presigned request for an item says how long its content is, and what MD5 sum it has: S3 refuses any other, also after
the dataset is frozen. Of the README nothing is known beforehand. So it goes to a place of its own, beside the dataset,
from which this server takes it when the dataset is frozen.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import current_app

from dservercore.catalog.storage import access, stored_text
from dservercore.catalog.storage.storage_limits import Limit, Limits, UnreadableError
from dservercore.errors import (
    ConflictError,
    DserverError,
    StorageError,
    UnsupportedError,
    ValidationError,
    invalid,
)
from dservercore.plugins.signed_url.announced import Announcement
from dservercore.plugins.signed_url.pending import Pending
from dservercore.plugins.signed_url.storages.interface import Validity
from dservercore.plugins.signed_url.storages.s3 import S3
from dservercore.plugins.signed_url.storages.uploads import README, admin_metadata, named, outdated

#: Bytes that S3 takes in one request.
MAX_BYTES = 5 * 2**30
#: Bytes of the path of a file, which S3 keeps with the object, in base64 and beside the MD5 sum: 2 KiB altogether.
MAX_RELPATH_BYTES = 1400
#: Objects beside those that are announced, up to which they are told.
_NOT_EXPECTED = 1000
_KEYS_AT_ONCE = 1000  # that S3 deletes at most


class S3Uploads(S3):
    """The objects of one dataset in a bucket.

    :raises UnsupportedError: if a dataset there would have another URI
    :raises StorageError: if the bucket cannot be asked
    """

    def __init__(self, base_uri: str, uri: str) -> None:
        try:
            super().__init__(base_uri, uri)
        except UnsupportedError as error:
            raise StorageError(error.message) from error
        if f"s3://{self.bucket}" != base_uri:
            raise UnsupportedError(f"{base_uri} is no bucket, and dtool keeps datasets in nothing else")
        self._limits = Limits.of(current_app.config)

    def check(self, announcement: Announcement) -> None:
        """Pass if S3, and dtool's way to keep datasets there, can take what is announced.

        :raises ValidationError: 422 naming the field
        """
        for item in announcement.items.values():
            if item["size_in_bytes"] > MAX_BYTES:
                raise invalid(
                    "items", f"{item['relpath'][:200]} is larger than the 5 GiB that S3 takes at once"
                )
            if len(item["relpath"].encode()) > MAX_RELPATH_BYTES:
                raise invalid(
                    "items",
                    f"{item['relpath'][:80]}...: S3 has room for no more than {MAX_RELPATH_BYTES:,} bytes of a path",
                )
        for field in ("annotations", "overlays"):
            if name := next((name for name in announcement.description[field] if "." in name), None):
                raise invalid(field, f"{name}: dtool-s3 cannot list a name with a dot")

        with self._refusals():  # before anything is written anywhere
            self._in_time(self._broker.has_admin_metadata)

    def prepare(self, pending: Pending, before: Pending | None) -> None:
        """Make the objects that say that a dataset is being put together.

        :raises ConflictError: if something else is stored there
        """
        with self._refusals():
            self._in_time(lambda: self._prepare(pending, before))

    def _prepare(self, pending: Pending, before: Pending | None) -> None:
        broker = self._broker
        self._require_ours(pending, may_be_frozen=before is not None)
        self._delete([f"{broker.data_key_prefix}{key}" for key in outdated(pending, before)])
        # The broker has these in one dictionary for all datasets, which another thread may be changing.
        broker._structure_parameters = copy.copy(broker._structure_parameters)
        broker._structure_parameters["dataset_registration_key"] = f"dtool-{pending.uuid}"
        broker.create_structure()
        broker.put_admin_metadata(admin_metadata(pending, "protodataset"))

    def _require_ours(self, pending: Pending, may_be_frozen: bool) -> None:
        broker = self._broker
        if not broker.has_admin_metadata():
            return
        admin = broker.get_admin_metadata()
        kinds = ("protodataset", "dataset") if may_be_frozen else ("protodataset",)
        if admin.get("uuid") != pending.uuid or admin.get("type") not in kinds:
            raise ConflictError(f"A dataset is stored as {self._uri} already")

    def urls(self, pending: Pending, validity: Validity) -> dict[str, Any]:
        """Return URLs of S3, each for one object; the headers are to be sent as they are."""
        # Found out once where the bucket is, its objects are signed for four times as quickly as by its client.
        place = self.presigned("put_object", {"Key": f"{self._broker.data_key_prefix}0"}, validity).partition(
            "?"
        )[0]
        items = {
            identifier: self._item_url(f"{place[:-1]}{identifier}", item, validity)
            for identifier, item in pending.items.items()
        }
        return {"readme": self.presigned("put_object", {"Key": self._readme_key}, validity), "items": items}

    def _item_url(self, place: str, item: Any, validity: Validity) -> dict[str, Any]:
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        headers = {
            "Content-MD5": base64.b64encode(bytes.fromhex(item["hash"])).decode(),
            "x-amz-meta-checksum": item["hash"],
            "x-amz-meta-handle": base64.b64encode(item["relpath"].encode()).decode(),
        }
        # An empty body is sent by some without its length.
        length = {"Content-Length": str(item["size_in_bytes"])} if item["size_in_bytes"] else {}
        request = AWSRequest("PUT", place, headers={**headers, **length})
        client = self._signing_client
        credentials, region = client._request_signer._credentials, client.meta.region_name
        S3SigV4QueryAuth(credentials, "s3", region, expires=validity.seconds).add_auth(request)
        return {"url": request.url, "relpath": item["relpath"], "headers": headers}

    @property
    def _readme_key(self) -> str:
        # Where dtool itself keeps what it removes once a dataset is frozen.
        return f"{self._broker.fragments_key_prefix}{README}"

    def readme(self, pending: Pending) -> str:
        """Return the README, once it and all items are there as they were announced.

        :raises ValidationError: 400 if they are not
        """
        with self._refusals():
            return self._in_time(lambda: self._readme(pending))

    def _readme(self, pending: Pending) -> str:
        self._require_ours(pending, may_be_frozen=True)
        if not self._broker.has_admin_metadata():
            raise ValidationError("The dataset is no longer stored where its upload was begun")
        self._check_items(pending)
        content = self._uploaded_readme()
        if content is None:
            raise ValidationError("The README is not uploaded yet")
        return stored_text.decoded_readme(content, README, lambda _warning: None)

    def _check_items(self, pending: Pending) -> None:
        stored: dict[str, tuple[int, str]] = {}
        prefix, most = self._broker.data_key_prefix, len(pending.items) + _NOT_EXPECTED
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                stored[entry["Key"].removeprefix(prefix)] = entry["Size"], entry["ETag"].strip('"')
            if len(stored) > most:
                raise ValidationError(f"More than {most:,} objects are stored in {prefix}")
        missing = [
            item["relpath"]
            for identifier, item in pending.items.items()
            if not self._is_there(identifier, item, stored.get(identifier))
        ]
        if missing:
            raise ValidationError(f"Not uploaded yet, or not as announced: {named(missing)}")
        others = list(stored.keys() - pending.items.keys())
        if others:
            raise ValidationError(f"Objects are stored in {prefix} that were not announced: {named(others)}")

    def _is_there(self, identifier: str, item: Any, stored: tuple[int, str] | None) -> bool:
        if stored is None or stored[0] != item["size_in_bytes"]:
            return False
        if stored[1] == item["hash"]:
            return True
        # Of an object that S3 encrypts with a key of its customer, the entity tag is another digest. What came through
        # the presigned request was compared by S3; nobody else but who owns the bucket can have put it there.
        head = self.client.head_object(Bucket=self.bucket, Key=f"{self._broker.data_key_prefix}{identifier}")
        is_encrypted = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
        return is_encrypted and head["Metadata"].get("checksum") == item["hash"]

    def _uploaded_readme(self) -> bytes | None:
        """Return the README that was uploaded last; None: there is none."""
        for key in (self._readme_key, self._broker.get_readme_key()):
            content = self._content(key, self._limits.readme)
            if content is not None:
                return content
        return None

    def _content(self, key: str, limit: Limit) -> bytes | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
        except self.client.exceptions.NoSuchKey:
            return None
        with answer["Body"] as body:
            content: bytes = body.read(limit.size + 1)
        if len(content) > limit.size:
            raise limit.error(key)
        return content

    def freeze(self, pending: Pending) -> None:
        """Write what else makes a dataset, and freeze it."""
        with self._refusals():
            self._in_time(lambda: self._freeze(pending))

    def _freeze(self, pending: Pending) -> None:
        broker = self._broker
        content = self._content(self._readme_key, self._limits.readme)
        if content is not None:
            self.client.put_object(Bucket=self.bucket, Key=broker.get_readme_key(), Body=content)
        if pending.is_described:
            self._write_description(pending)
        broker.put_manifest(dict(pending.manifest))
        broker.put_admin_metadata(admin_metadata(pending, "dataset"))
        broker.post_freeze_hook()

    def _write_description(self, pending: Pending) -> None:
        broker, described = self._broker, pending.description
        for tag in set(broker.list_tags()) - set(described["tags"]):
            broker.delete_tag(tag)
        for tag in described["tags"]:
            broker.put_tag(tag)
        for name in set(broker.list_annotation_names()) - described["annotations"].keys():
            broker.delete_key(broker.get_annotation_key(name))
        for name, value in described["annotations"].items():
            broker.put_annotation(name, value)
        for name in set(broker.list_overlay_names()) - described["overlays"].keys():
            broker.delete_key(broker.get_overlay_key(name))
        for name, overlay in described["overlays"].items():
            broker.put_overlay(name, overlay)

    def remove(self, pending: Pending) -> bool:
        """Remove the objects, unless the dataset is frozen. Return whether there were any.

        :raises ConflictError: if it is frozen, or another one
        """
        with self._refusals():
            return self._in_time(lambda: self._remove(pending))

    def _remove(self, pending: Pending) -> bool:
        broker = self._broker
        self._require_ours(pending, may_be_frozen=False)
        prefix = f"{broker._get_prefix()}{pending.uuid}/"
        keys = [
            entry["Key"]
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            for entry in page.get("Contents", ())
        ]
        # What tells where the dataset is goes last.
        self._delete(keys)
        self._delete([broker.dataset_registration_key])
        return bool(keys)

    def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = [{"Key": key} for key in keys[start : start + _KEYS_AT_ONCE]]
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": some, "Quiet": True})
            if errors := answer.get("Errors"):
                raise OSError(f"{errors[0].get('Key')}: {errors[0].get('Message')}")

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn errors of S3 into those of the house.

        :raises StorageError: for all of them
        """
        try:
            yield
        except DserverError:
            raise
        except UnreadableError as error:
            raise ValidationError(str(error)) from error
        except Exception as error:  # each storage has errors of its own
            raise StorageError(
                f"{self._uri} cannot be written where it is to be stored: {access.reason(error)}"
            ) from error
