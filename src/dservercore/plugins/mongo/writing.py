"""How documents are put into a collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

Documents = Collection[dict[str, Any]]


def write(collection: Documents, fields: dict[str, Any]) -> None:
    """Store the fields of a dataset's document; others, which another plugin has put there, stay."""
    by_uri, update = {"uri": fields["uri"]}, _update(fields)
    try:
        collection.update_one(by_uri, update, upsert=True)
    except DuplicateKeyError:  # two were the first at the same time: now there is one to change
        collection.update_one(by_uri, update, upsert=True)


def write_all(collection: Documents, all_fields: Sequence[dict[str, Any]]) -> None:
    """Do so for the documents of different datasets, in one go."""
    updates = [UpdateOne({"uri": fields["uri"]}, _update(fields), upsert=True) for fields in all_fields]
    try:
        collection.bulk_write(updates, ordered=False)
    except (
        BulkWriteError
    ):  # one by one, to have the error of the one that is refused, if it is not a lost race
        for fields in all_fields:
            write(collection, fields)


def _update(fields: dict[str, Any]) -> dict[str, Any]:
    update = {"$set": fields}
    if "_retrieve" in fields:
        update["$unset"] = {"manifest": ""}  # what the original's plugin has stored in its place
    return update
