"""The document of a dataset that queries are about: the same on every backend."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from dservercore.dataset.fields import DATASET_KEYS, TIMES
from dservercore.dataset.times import datetime_to_timestamp
from dservercore.plugins.query.readme import parsed_readme

#: Bytes of the manifest, as JSON, that is part of a document; of a larger one all but its items is.
MOST_MANIFEST_BYTES = 4_000_000

#: Levels of a document; what is deeper in it is a text, as JSON.
MOST_LEVELS = 80

#: What a list of documents does not have of them.
LONG_FIELDS = ("_id", "readme", "manifest", "annotations")

_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1


def document(dataset_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a dataset.

    It has the fields of a dataset object, ``type``, ``tags``, ``annotations``, ``manifest`` and ``readme``; the README
    is an object or a list if it is YAML. Times are seconds since the epoch, UTC. Whatever MongoDB cannot
    hold is something near: an integer beyond 64 bits is a floating-point number, a number that is not finite a text.

    :param dataset_info: as plugins are given it when a dataset is registered
    """
    fields: dict[str, Any] = {key: dataset_info.get(key) for key in DATASET_KEYS}
    for time in TIMES:
        fields[time] = _seconds(fields[time])
    if fields.get("created_at") is None:
        fields["created_at"] = fields["frozen_at"]
    fields["uuid"] = str(fields["uuid"])
    parts = {
        "type": dataset_info.get("type", "dataset"),
        "tags": list(dataset_info.get("tags") or []),
        "annotations": dataset_info.get("annotations") or {},
        "readme": parsed_readme(dataset_info.get("readme") or ""),
        "manifest": _bounded_manifest(dataset_info.get("manifest") or {}),
    }
    whole: dict[str, Any] = plain({**fields, **parts})
    return whole


def _seconds(time: Any) -> float | None:
    if time is None:
        return None
    return datetime_to_timestamp(time) if isinstance(time, datetime) else float(time)


def _bounded_manifest(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        size = len(orjson.dumps(manifest))
    except TypeError:
        size = len(json.dumps(manifest, default=str))
    if size <= MOST_MANIFEST_BYTES:
        return manifest
    return {key: value for key, value in manifest.items() if key != "items"}


def plain(value: Any, level: int = 0) -> Any:
    """Return a value of JSON as MongoDB can hold it."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if _LEAST_INTEGER <= value <= _MOST_INTEGER else _float(value)
    if isinstance(value, float):
        return _float(value)
    if not isinstance(value, (Mapping, list, tuple)):
        return _text(str(value))
    if level == MOST_LEVELS:
        return _text(json.dumps(value, default=str))
    if isinstance(value, Mapping):
        return {
            _text(str(key)).replace("\0", "\ufffd"): plain(inner, level + 1) for key, inner in value.items()
        }
    return [plain(inner, level + 1) for inner in value]


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _float(number: float) -> float | str:
    try:
        number = float(number)
    except OverflowError:
        number = math.copysign(math.inf, number > 0 or -1)
    return number if math.isfinite(number) else str(number)
