"""Limits on what a client may send at once: the settings that set them, and the errors for what exceeds them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson
from flask import current_app

from dservercore.dataset.analysis import normalized_length
from dservercore.dataset.document import MAX_RELPATH_LENGTH
from dservercore.dataset.values import (
    MAX_ANNOTATION_ELEMENTS,
    MAX_JSON_DEPTH,
    deeper_than,
    number_of_elements,
)
from dservercore.errors import invalid

_NAMES_AT_ONCE = 10_000


def check_description(described: Mapping[str, Any]) -> None:
    """Pass if a README, tags and annotations are small enough; those that are not in *described* are not looked at.

    Not to be called for an edit that takes something away: it must be possible on a dataset that is too large by now.

    :param described: ``readme``, ``tags`` and ``annotations``, or some of them, checked for what the stores can hold
    :raises ValidationError: 422 naming the field and the setting
    """
    if "readme" in described:
        readme = described["readme"]
        _check(len(readme), "readme", "DSERVER_MAX_README_LENGTH", "characters")
        _check_growth(readme, "readme", "DSERVER_MAX_README_LENGTH")
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
    text = orjson.dumps(annotations, default=dict, option=orjson.OPT_NON_STR_KEYS)
    _check(len(text), "annotations", "DSERVER_MAX_ANNOTATIONS_LENGTH", "bytes of JSON")
    # The limit of a request's body; here also for annotations that come from storage, or one at a time.
    elements = sum(map(text.count, (b"[", b"{", b",")))
    if elements > MAX_ANNOTATION_ELEMENTS and number_of_elements(annotations) > MAX_ANNOTATION_ELEMENTS:
        raise invalid(
            "annotations", f"more than {MAX_ANNOTATION_ELEMENTS:,} members and elements, however deep"
        )
    _check_growth(text.decode(), "annotations", "DSERVER_MAX_ANNOTATIONS_LENGTH")


def check_file_names(manifest: Mapping[str, Any]) -> None:
    """Pass if the names of files do not become much longer when they are normalised (NFKC), as the index needs them.

    One character can become eighteen.

    :param manifest: after it has been checked for what the stores can hold
    :raises ValidationError: 422 if the names become more than twice as long
    """
    length, normalized = 0, 0
    names = (item.get("relpath", "") for item in manifest.get("items", {}).values())
    while batch := list(islice(names, _NAMES_AT_ONCE)):
        text = "\n".join(batch)
        length += len(text)
        normalized += len(text) if text.isascii() else normalized_length(text, len(text) * 18)
        if normalized > 2 * length + MAX_RELPATH_LENGTH:
            raise invalid(
                "manifest", "the names of files are more than twice as long when they are normalised (NFKC)"
            )


def check_query(query: Mapping[str, Any]) -> None:
    """Pass if the text of a search is short enough.

    :raises ValidationError: 422 naming the field and the setting
    """
    _check(len(query.get("free_text") or ""), "free_text", "DSERVER_MAX_QUERY_LENGTH", "characters")


def _check_growth(text: str, field: str, setting: str) -> None:
    # What is analysed is the normalised text, in which one character can become eighteen.
    most = current_app.config[setting]
    if not text.isascii() and normalized_length(text, most) > most:
        raise invalid(
            field,
            f"more than {most:,} characters when it is normalised (NFKC), the most that this server takes ({setting})",
        )


def _check(size: int, field: str, setting: str, unit: str) -> None:
    most = current_app.config[setting]
    if size > most:
        raise invalid(field, f"{size:,} {unit}, and this server takes at most {most:,} ({setting})")
