"""What object stores send, made one list of events: AWS, also through SNS and EventBridge, MinIO, Ceph, StorageGRID.

The shapes are those of the vendors' documentation:

* AWS S3, MinIO and the RADOS gateway of Ceph: a JSON object with ``Records``, one for each event
  (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
* SNS of AWS: a JSON object whose ``Message`` is the JSON text of the former (``sns``).
* StorageGRID: the form of a request to SNS, with the same field ``Message``.
* EventBridge of AWS: a JSON object with one event in its ``detail``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from dservercore.errors import InvalidValueError, ValidationError

#: Records that one message may have: those that fit into the largest message of SNS.
MAX_RECORDS = 250
#: Bytes of a key; S3 has 1024, and each of them may be escaped.
MAX_KEY_LENGTH = 4096

# A UUID of the kind that dtool makes.
_UUID = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?![0-9a-f])",
    re.IGNORECASE | re.ASCII,
)
_CREATED = ("ObjectCreated:",)
_REMOVED = ("ObjectRemoved:", "LifecycleExpiration:", "ObjectLifecycle:Expiration:")
_OF_EVENTBRIDGE = {"Object Created": "ObjectCreated:Put", "Object Deleted": "ObjectRemoved:Delete"}
_ADMIN_METADATA = "/dtool"


@dataclass(frozen=True)
class Event:
    """An object that came or went.

    :ivar uuids: those in its key that may be of the dataset that it is a part of
    :ivar is_removal: whether a dataset's administrative metadata went, and with it the dataset
    :ivar is_item: whether it is one of the files that a dataset holds, of which there may be very many
    """

    bucket: str
    uuids: tuple[str, ...]
    is_removal: bool
    is_item: bool


def events_of(message: Any) -> list[Event]:
    """Return the events of a message that have to do with datasets.

    :param message: as JSON has it
    :raises ValidationError: if it is none of the shapes that are known
    :raises InvalidValueError: if it has more records than a message may have
    """
    if not isinstance(message, dict):
        raise _error("_schema", "Not a JSON object with the list Records.")
    if message.get("Event") == "s3:TestEvent":  # that a bucket sends when it is set up
        return []
    if "detail-type" in message and "Records" not in message:
        return list(_of_eventbridge(message))
    records = message.get("Records")
    if not isinstance(records, list):
        raise _error("Records", "Must be a list of events.")
    if len(records) > MAX_RECORDS:
        raise InvalidValueError(
            f"Records: at most {MAX_RECORDS} events in one message",
            {"Records": [f"Must have at most {MAX_RECORDS} elements."]},
        )
    found: list[Event] = []
    for number, record in enumerate(records):
        found += _of_record(record, f"Records.{number}")
    return found


def _of_record(record: Any, place: str) -> Iterator[Event]:
    if not isinstance(record, dict):
        raise _error(place, "Must be an object.")
    name = _text(record, "eventName", place)
    s3 = _object(record, "s3", place)
    bucket = _text(_object(s3, "bucket", f"{place}.s3"), "name", f"{place}.s3.bucket")
    key = _text(_object(s3, "object", f"{place}.s3"), "key", f"{place}.s3.object")
    # Keys come as in a form: a plus is a space. Where one comes as it is, what is looked for is the same.
    yield from _of_object(name, bucket, unquote_plus(key))


def _of_eventbridge(message: Mapping[str, Any]) -> Iterator[Event]:
    name = _OF_EVENTBRIDGE.get(_text(message, "detail-type", ""), "")
    detail = _object(message, "detail", "")
    bucket = _text(_object(detail, "bucket", "detail"), "name", "detail.bucket")
    key = _text(_object(detail, "object", "detail"), "key", "detail.object")
    yield from _of_object(name, bucket, key)


def _of_object(name: str, bucket: str, key: str) -> Iterator[Event]:
    name = name.removeprefix("s3:")
    is_removal = name.startswith(_REMOVED)
    uuids = tuple(_uuids_of(key))
    if not uuids or not (is_removal or name.startswith(_CREATED)):
        return
    if is_removal and not key.endswith(_ADMIN_METADATA):
        return
    yield Event(bucket, uuids, is_removal, f"{uuids[0]}/data/" in key.lower())


def _uuids_of(key: str) -> Iterator[str]:
    """Yield the first UUID in a key; and, of a dataset below a folder that has one, too, that of the dataset."""
    found = [uuid.lower() for uuid in _UUID.findall(key)]
    yield from found[:1]
    own = key.removesuffix(_ADMIN_METADATA)
    if own != key and (last := own.rpartition("/")[2].lower()) in found[1:] and last != found[0]:
        yield last


def _object(parent: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise _error(f"{place}.{name}".lstrip("."), "Must be an object.")
    return value


def _text(parent: Mapping[str, Any], name: str, place: str) -> str:
    value = parent.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY_LENGTH:
        raise _error(f"{place}.{name}".lstrip("."), "Must be a text.")
    return value


def _error(field: str, reason: str) -> ValidationError:
    message = reason if field == "_schema" else f"{field}: {reason}"
    return ValidationError(message, {field: [reason]})
