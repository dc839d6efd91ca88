"""How a document is put into a collection."""

from __future__ import annotations

from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError


def replace(collection: Collection[dict[str, Any]], document: dict[str, Any]) -> None:
    """Put the document of a dataset in place of the one with the same URI, if there is one."""
    by_uri = {"uri": document["uri"]}
    try:
        collection.replace_one(by_uri, document, upsert=True)
    except DuplicateKeyError:  # two were the first at the same time: now there is one to replace
        collection.replace_one(by_uri, document, upsert=True)
