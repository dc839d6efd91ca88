"""How documents are put into a collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

Documents = Collection[dict[str, Any]]


def write(collection: Documents, fields: dict[str, Any]) -> None:
    """Set fields of a dataset's document, and make it if there is none; fields that another plugin has set stay.

    :param fields: by name, with the ``uri`` of the dataset
    :raises PyMongoError: if the server cannot be reached or refuses
    """
    by_uri, update = {"uri": fields["uri"]}, _update(fields)
    try:
        collection.update_one(by_uri, update, upsert=True)
    except DuplicateKeyError:  # another request was the first meanwhile: now there is a document to change
        collection.update_one(by_uri, update, upsert=True)


def write_all(collection: Documents, all_fields: Sequence[dict[str, Any]]) -> None:
    """Set fields of the documents of several datasets in one go; a document that is not there is made.

    Fields that another plugin has set stay.

    :param all_fields: those of each document, with its ``uri``; no two have the same
    :raises PyMongoError: if the server cannot be reached or refuses
    """
    updates = [UpdateOne({"uri": fields["uri"]}, _update(fields), upsert=True) for fields in all_fields]
    try:
        collection.bulk_write(updates, ordered=False)
    except BulkWriteError:  # one by one: a lost race is won now, and a refused document raises its own error
        for fields in all_fields:
            write(collection, fields)


def _update(fields: dict[str, Any]) -> dict[str, Any]:
    update = {"$set": fields}
    if "_retrieve" in fields:
        update["$unset"] = {"manifest": ""}  # what the original's plugin has stored in its place
    return update
