"""How much a client may give at once: the settings, and what is said of more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from flask import current_app

from dservercore.errors import invalid
from dservercore.schema_fields import MAX_JSON_DEPTH, deeper_than


def check_description(described: Mapping[str, Any]) -> None:
    """Pass if a README, tags and annotations are small enough; what is not among *described* does not count.

    Who takes something away, of a dataset that is too large by now, need not ask.

    :param described: of a dataset's document, after it has been checked for what the stores can hold
    :raises ValidationError: 422 naming the field and the setting
    """
    if "readme" in described:
        _check(len(described["readme"]), "readme", "DSERVER_MAX_README_LENGTH", "characters")
    if "tags" in described:
        _check(len(described["tags"]), "tags", "DSERVER_MAX_TAGS", "tags")
    if "annotations" in described:
        _check_annotations(described["annotations"])


def _check_annotations(annotations: Mapping[str, Any]) -> None:
    depth = current_app.config["DSERVER_MAX_ANNOTATION_DEPTH"]
    if depth < MAX_JSON_DEPTH:  # what is deeper than that has been refused before
        for name, value in annotations.items():
            if deeper_than(value, depth):
                raise invalid(
                    "annotations",
                    f"{name} is nested deeper than the {depth} levels that this server takes"
                    " (DSERVER_MAX_ANNOTATION_DEPTH)",
                )
    length = len(orjson.dumps(annotations, default=dict, option=orjson.OPT_NON_STR_KEYS))
    _check(length, "annotations", "DSERVER_MAX_ANNOTATIONS_LENGTH", "bytes of JSON")


def check_query(query: Mapping[str, Any]) -> None:
    """Pass if the text of a search is short enough.

    :raises ValidationError: 422 naming the field and the setting
    """
    _check(len(query.get("free_text") or ""), "free_text", "DSERVER_MAX_QUERY_LENGTH", "characters")


def _check(size: int, field: str, setting: str, unit: str) -> None:
    most = current_app.config[setting]
    if size > most:
        raise invalid(field, f"{size:,} {unit}, and this server takes at most {most:,} ({setting})")
