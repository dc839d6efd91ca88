"""Counting what the documents that match have in common."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Mapping
from typing import Any

from pymongo.collection import Collection

from dservercore.dataset.facets import MAX_ANNOTATION_NAMES, SIZE_CLASSES, Facet
from dservercore.plugins.mongo.documents import ENCODED

_FIELDS: dict[Facet, str] = {
    "creator_usernames": "$creator_username",
    "base_uris": "$base_uri",
    "uploaded_by": "$uploaded_by",
}
_TIMES: dict[Facet, str] = {"created": "$_search.created_at", "frozen": "$_search.frozen_at"}


def count(
    collection: Collection[dict[str, Any]], matching: Mapping[str, Any], names: Some[Facet], milliseconds: int
) -> dict[Facet, dict[str, int]]:
    """Return how many of the documents that match have each value of each of the facets.

    :param matching: the condition that they fulfil
    :param milliseconds: that it may take
    :raises ExecutionTimeout: if it takes longer
    """
    pipeline: list[dict[str, Any]] = [
        {"$match": matching},
        {"$project": {"_id": False, "has": {"$concatArrays": [_pairs(name) for name in names]}}},
        {"$unwind": "$has"},
        {"$group": {"_id": "$has", "datasets": {"$sum": 1}}},
    ]
    counted: dict[Facet, defaultdict[str, int]] = {name: defaultdict(int) for name in names}
    for group in collection.aggregate(pipeline, allowDiskUse=True, maxTimeMS=milliseconds):
        name, value, datasets = group["_id"]["facet"], group["_id"].get("value"), group["datasets"]
        if name in _TIMES and value is not None:
            counted[name][f"{value:04}"] += datasets
        elif name == ENCODED and "annotations" in counted:
            for annotation in list(json.loads(value))[:MAX_ANNOTATION_NAMES]:
                counted["annotations"][annotation] += datasets
        elif isinstance(value, str):
            counted[name][value] += datasets
    return {name: dict(values) for name, values in counted.items()}


def _pairs(name: Facet) -> Any:
    """Return the expression of an array of a facet and each value that a document has of it."""
    if name == "tags":
        return _each("tag", _if_array("$tags"), {"facet": name, "value": "$$tag"})
    if name == "annotations":
        return _each("annotation", _annotations(), _annotation())
    return [{"facet": name, "value": _value(name)}]


def _value(name: Facet) -> Any:
    if name in _TIMES:
        # Rounded down, or the last moment of a year before 1970 would be in the next one.
        return {"$year": {"$toDate": {"$floor": {"$multiply": [_TIMES[name], 1000]}}}}
    if name == "size":
        reached = [
            {"case": {"$gte": ["$size_in_bytes", 1000**power]}, "then": size}
            for power, size in reversed(list(enumerate(SIZE_CLASSES)))
        ]
        unknown = {"case": {"$not": [{"$isNumber": "$size_in_bytes"}]}, "then": None}
        return {"$switch": {"branches": [unknown, *reached], "default": SIZE_CLASSES[0]}}
    return _FIELDS[name]


def _each(variable: str, values: Any, pair: Any) -> Any:
    return {"$map": {"input": values, "as": variable, "in": pair}}


def _if_array(field: str) -> Any:
    return {"$cond": [{"$isArray": field}, {"$setUnion": [field, []]}, []]}


def _annotations() -> Any:
    is_object = {"$eq": [{"$type": "$annotations"}, "object"]}
    names = {"$cond": [is_object, {"$objectToArray": "$annotations"}, []]}
    return {"$slice": [names, MAX_ANNOTATION_NAMES]}


def _annotation() -> Any:
    # All annotations in one text where MongoDB refuses one of their names.
    return {
        "$cond": [
            {"$eq": ["$$annotation.k", ENCODED]},
            {"facet": ENCODED, "value": "$$annotation.v"},
            {"facet": "annotations", "value": "$$annotation.k"},
        ]
    }
