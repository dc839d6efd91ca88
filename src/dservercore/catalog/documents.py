"""The full document of a registered dataset, put together from its row and what a retrieve plugin holds."""

from __future__ import annotations

from typing import Any

from dservercore import plugin_host, plugin_writes
from dservercore.catalog import dataset_rows
from dservercore.plugin_api import RetrieveABC


def document_of(uri: str, source: RetrieveABC | None = None) -> dict[str, Any]:
    """Return the full document of a registered dataset, as :func:`datasets.register_dataset` gives it to plugins.

    :param source: the plugin that describes it; None: the one in use
    :raises UnknownURIError: if the plugin does not have it
    """
    return {**dataset_rows.stored(uri), "type": "dataset", **description_of(uri, source)}


def description_of(uri: str, source: RetrieveABC | None = None) -> dict[str, Any]:
    """Return the README, manifest, annotations and tags that a retrieve plugin holds. Errors as above."""
    retrieve = source or plugin_host.plugins().retrieve
    return {
        "readme": retrieve.get_readme(uri),
        "manifest": plugin_writes.get_manifest(retrieve, uri),
        "annotations": retrieve.get_annotations(uri),
        "tags": retrieve.get_tags(uri),
    }
