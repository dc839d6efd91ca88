"""What somebody announces who is about to upload a dataset: checked before anything of it is written anywhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dtoolcore
from dtoolcore.utils import generate_identifier

from dservercore.catalog import limits
from dservercore.catalog.storage import dtool_names
from dservercore.dataset.document import MAX_RELPATH_LENGTH, checked, checked_annotations, checked_tags
from dservercore.dataset.document import checked_name as checked_by_rule
from dservercore.dataset.values import INTEGER_MAX
from dservercore.errors import InvalidValueError, ValidationError, invalid

#: The one that dtool itself uses everywhere: what it writes is the MD5 sum, in hexadecimal digits.
HASH_FUNCTION = "md5sum_hexdigest"
#: Bytes of the name of a file, or of a directory in the path of one, that file systems take.
MAX_SEGMENT_BYTES = 255
#: Directories on the way to a file, and to all files of a dataset.
MAX_DEPTH, MAX_DIRECTORIES = 100, 50_000
MAX_OVERLAYS = 100

_HASH = re.compile(r"[0-9a-f]{32}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Announcement:
    """A dataset that is to be uploaded.

    :param frozen_at: seconds since the epoch, UTC
    :param manifest: as it will be that of the dataset
    :param description: ``tags``, ``annotations`` and ``overlays``
    """

    uuid: str
    uri: str
    base_uri: str
    name: str
    creator_username: str
    frozen_at: float
    manifest: Mapping[str, Any]
    description: Mapping[str, Any]

    @property
    def items(self) -> Mapping[str, Mapping[str, Any]]:
        """The items of the manifest, by identifier."""
        items: Mapping[str, Mapping[str, Any]] = self.manifest["items"]
        return items

    @property
    def digest(self) -> str:
        """A digest of what the items are, in hexadecimal digits."""
        lines = sorted(f"{key} {item['size_in_bytes']} {item['hash']}" for key, item in self.items.items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def announced(base_uri: str, given: Mapping[str, Any], most: int) -> Announcement:
    """Return what is announced, if it can be registered once it is uploaded.

    :param given: body of the request, whose members have their types
    :param most: items that it may have
    :raises ValidationError: 400 for a name that dtool refuses, or another hash function; else 422 naming the field
    """
    if given.get("hash_function", HASH_FUNCTION) != HASH_FUNCTION:
        raise ValidationError(
            f"hash_function: must be {HASH_FUNCTION}", {"hash_function": [f"Must be {HASH_FUNCTION}."]}
        )
    items = _manifest_items(given.get("items", []), most)
    announcement = Announcement(
        uuid=given["uuid"],
        uri=f"{base_uri}/{given['uuid']}",
        base_uri=base_uri,
        name=_checked_name(given["name"]),
        creator_username=given["creator_username"],
        frozen_at=given["frozen_at"],
        manifest={
            "dtoolcore_version": dtoolcore.__version__,
            "hash_function": HASH_FUNCTION,
            "items": items,
        },
        description={
            "tags": _checked_tags(given.get("tags", [])),
            "annotations": _checked_annotations(given.get("annotations", {})),
            "overlays": _checked_overlays(given.get("overlays", {}), items),
        },
    )
    check_document(announcement)
    return announcement


def check_document(announcement: Announcement, readme: str = "") -> None:
    """Pass if the dataset can be registered with that README.

    :raises ValidationError: 422 naming the field
    """
    described = announcement.description
    document = checked(
        {
            "uuid": announcement.uuid,
            "uri": announcement.uri,
            "base_uri": announcement.base_uri,
            "name": announcement.name,
            "type": "dataset",
            "creator_username": announcement.creator_username,
            "frozen_at": announcement.frozen_at,
            "readme": readme,
            "manifest": announcement.manifest,
            "annotations": described.get("annotations", {}),
            "tags": described.get("tags", []),
            "size_in_bytes": sum(item["size_in_bytes"] for item in announcement.items.values()),
        }
    )
    limits.check_description(document)
    limits.check_file_names(document["manifest"])


def _checked_name(name: str) -> str:
    try:
        return checked_by_rule(name, "name")
    except InvalidValueError as error:  # which the original answers with a 400
        raise ValidationError(error.message, error.errors) from None


def _manifest_items(given: Sequence[Mapping[str, Any]], most: int) -> dict[str, dict[str, Any]]:
    if len(given) > most:
        raise invalid(
            "items",
            f"{len(given):,} items, and this server takes at most {most:,} (SIGNED_URL_MAX_UPLOAD_ITEMS)",
        )
    items: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(given):
        problem = _problem_of(item)
        identifier = "" if problem else generate_identifier(item["relpath"])
        if identifier in items:
            problem = "its relpath is there twice"
        if problem:
            raise invalid("items", f"item {number}: {problem}")
        items[identifier] = {
            "relpath": item["relpath"],
            "size_in_bytes": item["size_in_bytes"],
            "hash": item["hash"],
            "utc_timestamp": float(item["utc_timestamp"]),
        }
    if number_of_directories(item["relpath"] for item in items.values()) > MAX_DIRECTORIES:
        raise invalid("items", f"they are in more than {MAX_DIRECTORIES:,} directories")
    return items


def number_of_directories(relpaths: Iterable[str]) -> int:
    """Return in how many directories some files are, those above included."""
    number, before = 0, list[str]()
    for relpath in sorted(relpaths, key=by_directory):
        *folders, _name = relpath.split("/")
        shared = 0
        while shared < min(len(folders), len(before)) and folders[shared] == before[shared]:
            shared += 1
        number += len(folders) - shared
        before = folders
    return number


def by_directory(relpath: str) -> str:
    """Return by what paths are sorted so that all that is below a directory stands together."""
    return relpath.replace("/", "\0")


def _problem_of(item: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an item; None: nothing is."""
    if problem := problem_of_relpath(item["relpath"]):
        return problem
    if not 0 <= item["size_in_bytes"] <= INTEGER_MAX:
        return "its size_in_bytes must be at least 0 and less than 2**63"
    if not _HASH.fullmatch(item["hash"]):
        return "its hash must be an MD5 sum: 32 hexadecimal digits in small letters"
    return None


def problem_of_relpath(relpath: str) -> str | None:
    """Return what is wrong with the path of a file in a dataset; None: nothing is."""
    if not 0 < len(relpath) <= MAX_RELPATH_LENGTH:
        return f"its relpath must have 1 to {MAX_RELPATH_LENGTH:,} characters"
    if _CONTROL.search(relpath):
        return "its relpath has control characters"
    try:
        segments = [segment.encode() for segment in relpath.split("/")]
    except UnicodeEncodeError:
        return "its relpath has half of a surrogate pair, which is not a character"
    if not {b"", b".", b".."}.isdisjoint(segments):
        return "its relpath must be relative, without empty segments, . and .."
    if len(segments) > MAX_DEPTH + 1:
        return f"its relpath has more than {MAX_DEPTH} directories"
    if max(map(len, segments)) > MAX_SEGMENT_BYTES:
        return f"its relpath has a segment of more than {MAX_SEGMENT_BYTES} bytes"
    return None


def _checked_tags(given: Sequence[str]) -> list[str]:
    tags = checked_tags(given)
    for tag in tags:
        if not dtool_names.is_tag(tag):
            raise invalid("tags", f"{tag!r} is a name that files have which dtool has not written")
    return tags


def _checked_annotations(given: Mapping[str, Any]) -> dict[str, Any]:
    annotations = checked_annotations(given)
    for name in annotations:
        _check_file_name(name, "annotations")
    return annotations


def _checked_overlays(
    given: Mapping[str, Any], items: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    if len(given) > MAX_OVERLAYS:
        raise invalid("overlays", f"more than {MAX_OVERLAYS} overlays")
    for name, values in given.items():
        _check_file_name(checked_by_rule(name, "overlays"), "overlays")
        if not isinstance(values, Mapping):
            raise invalid("overlays", f"{name} must be an object: a value by the identifier of each item")
        if not values.keys() <= items.keys():
            raise invalid("overlays", f"{name} has a value for what is no identifier of an item")
    return {name: dict(values) for name, values in given.items()}


def _check_file_name(name: str, field: str) -> None:
    if not dtool_names.is_annotation(name):
        raise invalid(field, f"{name!r} is a name that files have which dtool has not written")
