"""What a document looks like: the dataset's own fields as the original's plugins name them, and what the server adds.

The fields of a registration stand at the top, times as BSON dates (which have milliseconds). The server's own
parts are ``_search`` (see ``index.py``) and ``_retrieve`` (see ``manifests.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pymongo.collection import Collection

from dservercore.dataset.fields import DATASET_KEYS, TIMES
from dservercore.dataset.serialization import json_text, storable_text
from dservercore.dataset.times import (
    datetime_to_timestamp,
    extract_created_at_as_datetime,
    extract_frozen_at_as_datetime,
)

OBJECT_FIELDS = tuple(key for key in DATASET_KEYS if key not in TIMES)


def fields_of(dataset_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the top-level fields of a dataset's document: all that is registered but the manifest, times as datetimes.

    :raises ValidationError: if one of them cannot be stored
    """
    return {
        **{key: value for key, value in dataset_info.items() if key not in ("manifest", "_id")},
        "readme": storable_text("readme", dataset_info["readme"]),
        "annotations": encoded_annotations(dataset_info["annotations"]),
        "tags": list(dataset_info["tags"]),
        "frozen_at": extract_frozen_at_as_datetime(dataset_info),
        "created_at": extract_created_at_as_datetime(dataset_info),
    }


def exact_fields(dataset_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the UUID and the times of a dataset in the form that is searched and sorted by.

    Times are seconds since the epoch, UTC, with the microseconds that BSON dates lack; ``uploaded_at`` may be None. The
    UUID is text, which the original's plugins store in binary.
    """
    uploaded_at = dataset_info.get("uploaded_at")
    return {
        "uuid": dataset_info["uuid"],
        "frozen_at": datetime_to_timestamp(extract_frozen_at_as_datetime(dataset_info)),
        "created_at": datetime_to_timestamp(extract_created_at_as_datetime(dataset_info)),
        "uploaded_at": datetime_to_timestamp(uploaded_at) if isinstance(uploaded_at, datetime) else None,
    }


# -- Annotations -----------------------------------------------------------------------------------------------------

#: {ENCODED: <JSON>} is stored for a value that BSON would change. No annotation of dtool can be called so.
ENCODED = "(json)"


def encoded_annotations(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Return annotations in a form that MongoDB takes, whatever the names in them. See :func:`decoded_annotations`.

    :raises ValidationError: if a value is not JSON
    """
    if not all(isinstance(name, str) and name != ENCODED and _is_name(name) for name in annotations):
        return {ENCODED: json_text("annotations", annotations)}
    return {name: encoded(value) for name, value in annotations.items()}


def encoded(value: Any) -> Any:
    """Return the value of an annotation as it is, or as JSON text where MongoDB would refuse or change it.

    :raises ValidationError: if it is not JSON
    """
    return value if _survives(value) else {ENCODED: json_text("annotations", value)}


def _survives(value: Any) -> bool:
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            if not all(map(_is_plain_key, value)):
                return False
            stack += value.values()
        elif isinstance(value, list):
            stack += value
        elif isinstance(value, str):
            if not is_text(value):
                return False
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                return False
        elif not (value is None or (isinstance(value, float) and math.isfinite(value))):
            return False
    return True


def _is_plain_key(key: Any) -> bool:
    # {"$ref": ..., "$id": ...} comes back as another type, and older servers refuse $ and dots altogether.
    return (
        isinstance(key, str)
        and not key.startswith("$")
        and key != ENCODED
        and "." not in key
        and _is_name(key)
    )


def _is_name(key: str) -> bool:
    return "\0" not in key and is_text(key)


def is_text(text: str) -> bool:
    """Return whether *text* can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decoded_annotations(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations that :func:`encoded_annotations` has made *stored* of."""
    if _is_json(stored):
        annotations: dict[str, Any] = json.loads(stored[ENCODED])
        return annotations
    return {name: json.loads(value[ENCODED]) if _is_json(value) else value for name, value in stored.items()}


def _is_json(stored: Any) -> bool:
    return isinstance(stored, Mapping) and stored.keys() == {ENCODED}


# -- Reading ---------------------------------------------------------------------------------------------------------


def stored_in(collection: Collection[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield URI and UUID of each dataset that has a document in a collection."""
    for document in collection.find({}, {"_id": False, "uri": True, "uuid": True}):
        yield str(document.get("uri")), str(document.get("uuid"))


def is_stored_in(collection: Collection[dict[str, Any]], uri: str) -> bool:
    """Return whether a dataset has a document in a collection."""
    return collection.find_one({"uri": uri}, {"_id": True}) is not None


def dataset_object(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset object of the REST API; times are seconds since the epoch, UTC."""
    found = {field: document.get(field) for field in OBJECT_FIELDS}
    found["uuid"] = str(found["uuid"])  # the original's plugins store it in binary
    exact = document.get("_search", {})
    for field in TIMES:
        found[field] = exact[field] if exact.get(field) is not None else _seconds(document.get(field))
    return found


def describes(document: Mapping[str, Any], dataset_info: Mapping[str, Any]) -> bool:
    """Return whether a stored document has what a dataset is filtered and sorted by.

    Times are compared to the millisecond, as documents of the original have no more.
    """
    stored = dataset_object(document)
    return (
        all(stored[field] == dataset_info.get(field) for field in OBJECT_FIELDS)
        and all(
            abs((stored[time] or 0) - float(dataset_info[time])) < 0.001
            for time in ("created_at", "frozen_at")
        )
        and tags_of(document) == list(dataset_info["tags"])
    )


def _seconds(time: Any) -> Any:
    return datetime_to_timestamp(time) if isinstance(time, datetime) else time


def dataset_info_of(document: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset's document, as it would be registered, of a stored one that another program may have written.

    What that lacks is empty; ``frozen_at`` and ``created_at`` are seconds since the epoch, UTC, 0 where there are none.

    :param manifest: of the dataset, as the stored document need not have it
    """
    frozen_at = _seconds(document.get("frozen_at")) or 0.0
    return {
        **document,
        "frozen_at": frozen_at,
        "created_at": _seconds(document.get("created_at")) or frozen_at,
        "name": str(document.get("name", "")),
        "uuid": str(document.get("uuid", "")),
        "creator_username": str(document.get("creator_username", "")),
        "readme": readme_of(document),
        "annotations": annotations_of(document),
        "tags": tags_of(document),
        "manifest": manifest,
    }


def annotations_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations by name; none where another program has stored something else."""
    stored = document.get("annotations")
    return decoded_annotations(stored) if isinstance(stored, Mapping) else {}


def tags_of(document: Mapping[str, Any]) -> list[str]:
    """Return the tags; none where another program has stored something else."""
    stored = document.get("tags")
    return [tag for tag in stored if isinstance(tag, str)] if isinstance(stored, list) else []


def readme_of(document: Mapping[str, Any]) -> str:
    """Return the README; as JSON, which is YAML, where another program has stored it parsed."""
    readme = document.get("readme")
    if readme is None:
        return ""
    return readme if isinstance(readme, str) else json.dumps(readme, default=str, ensure_ascii=False)
