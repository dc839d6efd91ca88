"""How a document is put into a collection."""

from __future__ import annotations

from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError


def write(collection: Collection[dict[str, Any]], fields: dict[str, Any]) -> None:
    """Store the fields of a dataset's document; others, which another plugin has put there, stay."""
    by_uri, update = {"uri": fields["uri"]}, {"$set": fields}
    if "_retrieve" in fields:
        update["$unset"] = {"manifest": ""}  # what the original's plugin has stored in its place
    try:
        collection.update_one(by_uri, update, upsert=True)
    except DuplicateKeyError:  # two were the first at the same time: now there is one to change
        collection.update_one(by_uri, update, upsert=True)
