"""Reading a collection as another program has left it, to move what is in it elsewhere."""

from __future__ import annotations

from typing import Any

from pymongo.collection import Collection

from dservercore.errors import UnknownURIError
from dservercore.plugins.mongo.prepare import age

Documents = Collection[dict[str, Any]]


class Source:
    """Finds the document of a dataset, without an index on URIs, even where several documents have the same URI.

    The collection is gone through once, and the identifiers of the documents are remembered: about 300 bytes each.
    """

    def __init__(self) -> None:
        self._ids: dict[str, Any] | None = None

    def selector(self, collection: Documents, uri: str) -> dict[str, Any]:
        """Return the filter that finds the document of a dataset, of several the one that was registered last.

        :raises UnknownURIError: if the collection has none
        """
        if self._ids is None:
            self._ids = _newest(collection)
        if uri not in self._ids:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        return {"_id": self._ids[uri]}


def _newest(collection: Documents) -> dict[str, Any]:
    ids: dict[str, Any] = {}
    several: dict[str, list[Any]] = {}
    for document in collection.find({}, {"uri": True}).batch_size(10_000):
        uri, key = document.get("uri"), document["_id"]
        if not isinstance(uri, str):
            continue
        if uri in ids:
            several.setdefault(uri, [ids[uri]]).append(key)
        ids[uri] = key
    for uri, keys in several.items():
        ids[uri] = max(collection.find({"_id": {"$in": keys}}), key=age)["_id"]
    return ids
