"""The document that describes a dataset: what it must hold, and how it is read from a dtool dataset."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dtoolcore.utils import MAX_NAME_LENGTH, NAME_VALID_CHARS_STR

from dservercore.dataset import uris
from dservercore.dataset.fields import DATASET_INFO_REQUIRED_KEYS, DATASET_KEYS, FIELDS, TIMES, Field
from dservercore.dataset.times import datetime_to_timestamp, timestamp_to_datetime
from dservercore.dataset.values import MAX_JSON_DEPTH
from dservercore.errors import ValidationError, invalid

#: Characters of the path of a file within a dataset (as in the paths of POSIX), and of its identifier and its hash.
MAX_RELPATH_LENGTH, MAX_HASH_LENGTH = 4096, 255

_MAX_INTEGER = 2**63
# dtoolcore's own expression ends in $, which lets a trailing newline pass.
_VALID_NAME = re.compile(f"[{NAME_VALID_CHARS_STR}]{{1,{MAX_NAME_LENGTH}}}")


def checked(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a dataset's document in the one form in which it is stored.

    The UUID is lower-case with dashes, times are floats (seconds since the epoch, UTC), ``created_at`` defaults to
    ``frozen_at``, numbers that were not given are None, and a tag given twice is there once.

    :raises ValidationError: 400 for a missing key or another type than ``dataset``; 422 naming the field otherwise
    """
    for key in DATASET_INFO_REQUIRED_KEYS:
        if info.get(key) is None:
            raise ValidationError(
                f"{key}: missing from the dataset", {key: ["Missing data for required field."]}
            )
    if info["type"] != "dataset":
        raise ValidationError('type: must be "dataset"', {"type": ['Must be "dataset".']})
    document = {**info, **{field.name: _checked(info, field) for field in FIELDS if field.is_given}}
    document |= {
        "readme": _checked_text(info, "readme"),
        "manifest": _checked_manifest(info["manifest"]),
        "annotations": checked_annotations(info["annotations"]),
        "tags": checked_tags(info["tags"]),
    }
    _check_location(document)
    return document


def _checked(info: Mapping[str, Any], field: Field) -> Any:
    """Return the value of a field in the one form in which it is stored.

    :raises ValidationError: 422 naming the field
    """
    value = info.get(field.name)
    if value is None and field.default:
        return _checked_time(info, field.default)
    if value is None:
        return None
    if field.kind == "uuid":
        return checked_uuid(value)
    if field.kind == "time":
        return _checked_time(info, field.name)
    if field.kind == "count":
        return _checked_count(info, field.name)
    return value if field.kind == "uri" else _checked_text(info, field.name, *field.length)


def has_required_form(dataset_info: Mapping[str, Any]) -> bool:
    """Return whether *dataset_info* looks like a dataset's document at all; a registration looks at the values too.

    It has the required keys, the ``type`` is ``dataset``, the ``uuid`` has 36 characters, and the ``base_uri`` does not
    end in a slash.
    """
    return (
        isinstance(dataset_info, Mapping)
        and all(key in dataset_info for key in DATASET_INFO_REQUIRED_KEYS)
        and dataset_info["type"] == "dataset"
        and len(str(dataset_info["uuid"])) == 36
        and not str(dataset_info["base_uri"]).endswith("/")
    )


def checked_upload(info: Mapping[str, Any]) -> tuple[str | None, datetime | None]:
    """Return the ``uploaded_by`` and ``uploaded_at`` (naive UTC) of a document; None for what it does not have.

    :raises ValidationError: 422 naming the field
    """
    uploaded_by, uploaded_at = info.get("uploaded_by"), info.get("uploaded_at")
    if uploaded_by is not None:
        _checked_text(info, "uploaded_by", 1, 255)
    if uploaded_at is None:
        return uploaded_by, None
    if isinstance(uploaded_at, datetime):
        uploaded_at = datetime_to_timestamp(uploaded_at)
    return uploaded_by, timestamp_to_datetime(_checked_time({"uploaded_at": uploaded_at}, "uploaded_at"))


def _check_location(info: Mapping[str, Any]) -> None:
    _checked_text(info, "base_uri", 1, uris.MAX_LENGTH)
    _checked_text(info, "uri", 1, uris.MAX_LENGTH)
    if info["base_uri"].endswith("/"):
        raise ValidationError("base_uri: must not end in a slash", {"base_uri": ["Must not end in a slash."]})
    segment = uris.check_dataset_uri(info["uri"], info["base_uri"])
    try:
        named = str(uuid.UUID(segment)) if len(segment) == 36 else info["uuid"]
    except ValueError:
        return
    if named != info["uuid"]:
        raise invalid("uuid", "differs from the UUID that the uri ends in")


def checked_uuid(value: Any, field: str = "uuid") -> str:
    """Return a UUID, in any spelling, as lower-case text with dashes.

    :raises ValidationError: 422 naming *field*
    """
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise invalid(field, "not a UUID") from None


def checked_tags(tags: Any, field: str = "tags") -> list[str]:
    """Return the tags in order, each once.

    :raises ValidationError: 422 for one that dtool would not accept
    """
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise invalid(field, "must be a list of tags")
    return list(dict.fromkeys(checked_name(tag, field) for tag in tags))


def checked_annotations(annotations: Any, field: str = "annotations") -> dict[str, Any]:
    """Return the annotations, whose names follow dtool's rules and whose values are JSON.

    :raises ValidationError: 422 naming the annotation
    """
    if not isinstance(annotations, Mapping):
        raise invalid(field, "must be an object")
    for name, value in annotations.items():
        checked_name(name, field)
        check_json(value, f"{field}.{name}")
    return dict(annotations)


def is_valid_name(name: Any) -> bool:
    """Return whether this can be the name of a tag or annotation, and of its file."""
    return isinstance(name, str) and bool(_VALID_NAME.fullmatch(name)) and bool(name.strip("."))


def checked_name(name: Any, field: str) -> str:
    """Return the name of a tag or annotation, if it follows dtool's rules and can be the name of a file.

    :raises ValidationError: 422 naming *field*
    """
    if not isinstance(name, str) or not _VALID_NAME.fullmatch(name):
        raise invalid(
            field,
            f"{str(name)[:MAX_NAME_LENGTH]!r} is not a valid name:"
            f" 1 to {MAX_NAME_LENGTH} letters, digits and the characters - _ .",
        )
    if not name.strip("."):  # a tag would be a directory, and an annotation a file without a name
        raise invalid(field, f"{name!r} is not a valid name: dots alone name no file")
    return name


def check_json(value: Any, field: str, depth: int = 0) -> None:
    """Pass if *value* can be written as JSON that every store keeps as it is.

    :raises ValidationError: 422 for other types, numbers beyond 64 bits, NaN, infinity, NUL, lone surrogates, or too
        deep a nesting
    """
    if depth > MAX_JSON_DEPTH:
        raise invalid(field, f"nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str):
        check_text(value, field)
    elif isinstance(value, int):
        if not -_MAX_INTEGER <= value < _MAX_INTEGER:
            raise invalid(field, "an integer of more than 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise invalid(field, "not a finite number")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            check_json(key, field, depth + 1)
            check_json(inner, field, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_json(inner, field, depth + 1)
    elif value is not None:
        raise invalid(field, f"{type(value).__name__} is not a JSON type")


def check_text(text: str, field: str) -> None:
    """Pass if every store can hold *text*: no NUL, no half of a surrogate pair.

    :raises ValidationError: 422 naming *field*
    """
    if "\0" in text:
        raise invalid(field, "contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(field, "contains half of a surrogate pair, which is not a character") from None


def _checked_text(info: Mapping[str, Any], field: str, least: int = 0, most: int | None = None) -> str:
    text = info[field]
    if not isinstance(text, str):
        raise invalid(field, "must be text")
    if len(text) < least or (most is not None and len(text) > most):
        raise invalid(field, f"must have {least} to {most} characters")
    check_text(text, field)
    return text


def _checked_manifest(manifest: Any) -> Mapping[str, Any]:
    """Return the manifest, if its items are objects; what they say is up to whoever froze the dataset.

    :raises ValidationError: 422 naming the item
    """
    if not isinstance(manifest, Mapping) or not isinstance(manifest.get("items", {}), Mapping):
        raise invalid("manifest", "must be an object, and so must its items")
    for identifier, item in manifest.get("items", {}).items():
        relpath = item.get("relpath", "") if isinstance(item, Mapping) else None
        if not isinstance(relpath, str):
            raise invalid("manifest", f"the item {identifier[:80]!r} must be an object whose relpath is text")
        if len(relpath) > MAX_RELPATH_LENGTH or _is_longer(MAX_HASH_LENGTH, identifier, item.get("hash")):
            raise invalid(
                "manifest",
                f"the item {identifier[:80]!r} has more than {MAX_RELPATH_LENGTH:,} characters in its relpath,"
                f" or {MAX_HASH_LENGTH:,} in its identifier or hash",
            )
    return manifest


def _is_longer(most: int, *texts: Any) -> bool:
    return any(isinstance(text, str) and len(text) > most for text in texts)


def _checked_time(info: Mapping[str, Any], field: str) -> float:
    try:
        if isinstance(info[field], bool):
            raise ValueError
        return datetime_to_timestamp(timestamp_to_datetime(info[field]))
    except (TypeError, ValueError):
        raise invalid(field, "must be seconds since the epoch, a number or a numeric string") from None


def _checked_count(info: Mapping[str, Any], field: str) -> int:
    value = info[field]
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(field, "must be an integer")
    if not 0 <= value < _MAX_INTEGER:
        raise invalid(field, "must be at least 0 and less than 2**63")
    return value


def dataset_object(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset object of the REST API: exactly ``DATASET_KEYS``, whatever a search plugin yields.

    Times become floats (seconds since the epoch, UTC), whether they come as naive UTC datetimes, numbers or text.
    """
    answer = {key: found.get(key) for key in DATASET_KEYS}
    for key in TIMES:
        answer[key] = _as_timestamp(answer[key])
    return answer


def _as_timestamp(value: Any) -> float | None:
    if isinstance(value, float) or value is None:
        return value
    if isinstance(value, datetime):
        return datetime_to_timestamp(value)
    return float(value)


def generate_dataset_info(dataset: Any, base_uri: str) -> dict[str, Any]:
    """Return the document of a frozen dtool dataset, read from its storage: what a registration takes.

    That is its administrative metadata, with times in seconds since the epoch, and ``uri``, ``base_uri``, ``readme``,
    ``manifest``, ``annotations``, ``tags``, ``number_of_items`` and ``size_in_bytes``.

    :param dataset: ``dtoolcore.DataSet``
    :param base_uri: the base URI of the dataset, as it is registered
    """
    return document_of_parts(
        dataset.admin_metadata,
        dataset.uri,
        base_uri,
        manifest=dataset._manifest,  # dtoolcore has no public way to the whole manifest
        readme=dataset.get_readme_content(),
        annotations={name: dataset.get_annotation(name) for name in dataset.list_annotation_names()},
        tags=dataset.list_tags(),
    )


def document_of_parts(
    admin_metadata: Mapping[str, Any],
    uri: str,
    base_uri: str,
    readme: str,
    manifest: Mapping[str, Any],
    annotations: Mapping[str, Any],
    tags: Iterable[str],
) -> dict[str, Any]:
    """Return the document of a frozen dataset, of which the parts have been read from its storage."""
    items = manifest["items"]
    return {
        **admin_metadata,
        "uri": uri,
        "base_uri": base_uri,
        "readme": readme,
        "manifest": manifest,
        "annotations": annotations,
        "tags": sorted(tags),
        "number_of_items": len(items),
        "size_in_bytes": sum(item["size_in_bytes"] for item in items.values()),
    }
