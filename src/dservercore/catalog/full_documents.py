"""The full document of a registered dataset, put together from its row and what a retrieve plugin holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dservercore import plugin_host
from dservercore.catalog import dataset_rows
from dservercore.dataset.document import checked
from dservercore.dataset.times import timestamp_to_datetime
from dservercore.plugin_api import RetrieveABC

#: What may be edited in the catalogue, and elsewhere, after a dataset is frozen.
EDITABLE = ("readme", "annotations", "tags")
_COMPARED = ("uuid", "name", "creator_username", "readme", "manifest", "annotations")
_TIMES = ("frozen_at", "created_at")


def document_of(uri: str, source: RetrieveABC | None = None) -> dict[str, Any]:
    """Return the full document of a registered dataset, as plugins are given it when it is registered.

    :param source: the retrieve plugin to read the description from; None: the one in use
    :raises UnknownURIError: if the dataset is not registered, or the plugin does not have it
    """
    return {**dataset_rows.stored(uri), "type": "dataset", **description_of(uri, source)}


def description_of(uri: str, source: RetrieveABC | None = None) -> dict[str, Any]:
    """Return the README, manifest, annotations and tags that a retrieve plugin holds of a dataset.

    :param source: the plugin; None: the one in use
    :raises UnknownURIError: if the plugin does not have the dataset
    """
    retrieve = source or plugin_host.plugins().retrieve
    return {
        "readme": retrieve.get_readme(uri),
        "manifest": retrieve.get_registered_manifest(uri),
        "annotations": retrieve.get_annotations(uri),
        "tags": retrieve.get_tags(uri),
    }


def differences(info: Mapping[str, Any], registered: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a document differs from that of a registered dataset.

    :param info: the document, not checked yet
    :param registered: the document of the registered dataset
    :raises DserverError: if *info* could not be registered
    """
    document = checked(info)
    changed = [field for field in _COMPARED if document[field] != registered[field]]
    changed += [
        time
        for time in _TIMES
        if timestamp_to_datetime(document[time]) != timestamp_to_datetime(registered[time])
    ]
    return changed + (["tags"] if sorted(document["tags"]) != sorted(registered["tags"]) else [])
