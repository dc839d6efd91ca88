"""The copies of a dataset: whether they still are the same."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from dservercore.catalog import lookup, metadata
from dservercore.catalog.files.items import chunks_of, items_of
from dservercore.catalog.scope import Scope
from dservercore.errors import DserverError

#: The files of copies are compared in datasets of up to so many, and in so many copies.
MOST_ITEMS, MOST_COMPARED = 5000, 5

_FIELDS = ("name", "creator_username", "number_of_items", "size_in_bytes")
_SECOND = 1.0  # storages keep times more or less exactly


def compare_copies(scope: Scope, dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the other copies of a dataset in a scope, by their URIs, at most ``lookup.MOST_COPIES``.

    Each is a dataset object with ``differs``: in which of ``name``, ``creator_username``, ``number_of_items``,
    ``size_in_bytes``, ``frozen_at`` and ``files`` it differs from the dataset.
    """
    page = slice(0, lookup.MOST_COPIES + 1)
    copies, _ = lookup.find_copies(scope, dataset["uuid"], {"uri": 1}, page)
    others = [copy for copy in copies if copy["uri"] != dataset["uri"]][: lookup.MOST_COPIES]
    files = _files_of(scope, dataset) if others else None
    compared = []
    for number, other in enumerate(others):
        differs = [name for name in _FIELDS if other[name] != dataset[name]]
        if abs((other["frozen_at"] or 0) - (dataset["frozen_at"] or 0)) > _SECOND:
            differs.append("frozen_at")
        if files is not None and number < MOST_COMPARED and _files_of(scope, other) not in (files, None):
            differs.append("files")
        compared.append({**other, "differs": differs})
    return compared


def _files_of(scope: Scope, dataset: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return path, size and hash of each file; None if there are too many, or they cannot be read now."""
    uri = dataset["uri"]
    try:
        packed = metadata.get_packed_manifest(scope, uri)
        items = items_of([metadata.get_manifest(scope, uri)] if packed is None else chunks_of(packed))
        some = list(islice(items, MOST_ITEMS + 1))
    except (DserverError, ValueError):
        return None
    kept = ("relpath", "size_in_bytes", "hash")
    return None if len(some) > MOST_ITEMS else {key: [item.get(name) for name in kept] for key, item in some}
