"""How the API documentation shows the conditions of a search; ``dataset/conditions.py`` says what they mean."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import fields

from dservercore.dataset.conditions import MAX_TEXT_LENGTH, OPERATORS
from dservercore.dataset.text_query import MISSING
from dservercore.rest.body_limits import MAX_FILTER_VALUE_LENGTH
from dservercore.rest.fields import StringList, UUIDString

_NUMBER = {"type": "number"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH}
_SIZE = {"anyOf": [{"type": "number"}, {"type": "string", "example": "1.5GB"}]}
_TIME = {"anyOf": [{"type": "number"}, {"type": "string", "example": "2024-05-31"}]}


class Condition(fields.Raw):
    """A condition as it is sent: all of them are checked together."""


def _text(description: str, example: str) -> Condition:
    return Condition(metadata={**_TEXT, "description": description, "example": example})


def _bounds(value: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return the OpenAPI schema of an object with one operator or more."""
    operators = dict.fromkeys(OPERATORS, value) | others
    return {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": operators}


def _range(value: dict[str, Any], description: str, example: Any) -> Condition:
    """Return the field of something that is compared with one value, or with bounds."""
    either = {"anyOf": [*value.get("anyOf", [value]), _bounds(value)]}
    return Condition(metadata={**either, "description": description, "example": example})


_VALUES = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]
_OF_ANNOTATION = {
    "anyOf": [
        *_VALUES,
        {"type": "array", "minItems": 1, "items": {"anyOf": _VALUES}},
        _bounds(_NUMBER, exists={"type": "boolean"}),
    ]
}


def filter_values(text: str) -> StringList:
    """Return the field of a filter that takes a list of texts.

    :param text: what it does, for the OpenAPI document
    """
    return StringList(longest=MAX_FILTER_VALUE_LENGTH, metadata={"description": text})


FILTERS: dict[str, fields.Field] = {
    "creator_usernames": filter_values("Created by any of these"),
    "uuids": fields.List(UUIDString(), metadata={"description": "Any of these"}),
    "tags": filter_values("Having all of these"),
    "uploaded_by": filter_values("Registered by any of these users"),
}

CONDITIONS: dict[str, fields.Field] = {
    "text": _text(
        "These words next to each other, anywhere; the last may end in `*`. Other than `free_text` it is no query, "
        "and is neither corrected nor left out",
        "lung cancer",
    ),
    "name": _text("The same in the name", "rice"),
    "readme": _text("The same in the README", "smart meters"),
    "tag": _text("The same in a tag; `tags` compares whole tags", "imaging"),
    "annotation": _text("The same in the name or the value of an annotation", "temperature"),
    "file": _text("A file of this path or name, or part of it; `*` stands for anything", "*_R1.fastq.gz"),
    "uri": _text("These words in the URI, the UUID or the creator", "genomes"),
    "base": _text("These characters in the base URI, in upper or lower case", "s3://bucket"),
    "size": _range(_SIZE, "Bytes, or a text such as `1.5GB` or `10MiB`", {"gt": 1000000000}),
    "items": _range(_NUMBER, "Number of files", {"gte": 10, "lt": 100}),
    "created": _range(
        _TIME,
        "Seconds since the epoch, a year (a whole number from 1000 to 9999), or a text: a year, a month, a day (all of "
        "it), or ISO 8601. UTC",
        {"gte": "2023-11", "lte": "2024"},
    ),
    "frozen": _range(_TIME, "The same", "2024"),
    "uploaded": _range(_TIME, "The same", {"gte": 1767225600.5}),
    "annotations": Condition(
        metadata={
            "type": "object",
            "additionalProperties": _OF_ANNOTATION,
            "description": "By the annotation's name, in upper or lower case (nested ones: joined by dots): "
            "the value that it has, one of several, bounds for its numbers, or whether it `exists`. "
            "Texts are compared whole, and case counts",
            "example": {"temperature": {"gt": 300}, "species": "mouse", "donor": {"exists": True}},
        }
    ),
    "missing": StringList(
        metadata={"description": f"Lacking all of these: {', '.join(MISSING)}", "example": ["readme", "tags"]}
    ),
    "any": fields.List(
        fields.Nested(lambda: ConditionsSchema()),
        metadata={
            "minItems": 1,
            "description": "At least one of these holds",
            "example": [{"tag": "rice"}, {"name": "rice"}],
        },
    ),
    "all": fields.List(
        fields.Nested(lambda: ConditionsSchema()),
        metadata={"minItems": 1, "description": "Each of these holds"},
    ),
    "not": fields.Nested(
        lambda: ConditionsSchema(), metadata={"description": "These do not hold, all together"}
    ),
}


class ConditionsSchema(ma.Schema.from_dict({**FILTERS, **CONDITIONS})):  # type: ignore[misc]
    """Conditions on a dataset, all of which must hold; at least one.

    Bounds are `gt` (more than), `gte` (at least), `lt` and `lte`. A search has at most 200 conditions, nested at most
    10 levels deep.
    """

    error_messages: ClassVar[dict[str, str]] = {
        "type": 'Not an object with conditions, such as {"name": "rice"}.'
    }
