"""The vocabulary of an index in MongoDB: a collection beside that of the datasets, with a document for each word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.collection import Collection

from dservercore.plugins.mongo.documents import is_text
from dservercore.plugins.tokens.vocabulary import Vocabulary, deletions

Opened = Callable[[], AbstractContextManager[Collection[dict[str, Any]]]]

#: The words of the datasets, each with the numbers of what is left of it, and the base URIs in which it is.
INDEXES = [
    IndexModel("deletions", name="dserver_deletions"),
    IndexModel([("base_uris", ASCENDING), ("_id", ASCENDING)], name="dserver_base_uris_word"),
]

_LAST = chr(0x10FFFF)
_LOOKED_AT = 5000

_WORDS_AT_ONCE = 500


def words_of(collection: Collection[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """Return the collection of the words of a collection of datasets."""
    return collection.database[f"{collection.name}.vocabulary"]


class MongoVocabulary(Vocabulary):
    """The vocabulary of a collection of datasets.

    :param opened: opens the collection of the datasets
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def by_deletion(self, wanted: Sequence[int], base_uris: Sequence[str]) -> Mapping[int, list[str]]:
        """Return the words of datasets in the base URIs of which one of these is left, by what is left."""
        found = defaultdict(list)
        with self._opened() as collection:
            for word in words_of(collection).find({"deletions": {"$in": list(wanted)}, **_in(base_uris)}):
                for deletion in word["deletions"]:
                    found[deletion].append(word["_id"])
        return found

    def known(self, words: Iterable[str], base_uris: Sequence[str]) -> set[str]:
        """Return those of the words that datasets in the base URIs have, or have had."""
        wanted = [word for word in words if is_text(word)]
        if not wanted:
            return set()
        with self._opened() as collection:
            found = words_of(collection).find({"_id": {"$in": wanted}, **_in(base_uris)}, {"_id": True})
            return {word["_id"] for word in found}

    def beginning(self, prefix: str, base_uris: Sequence[str], most: int) -> list[str]:
        """Return words of datasets in the base URIs that begin so, the shortest first."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": {"$gte": prefix, "$lt": prefix + _LAST}, **_in(base_uris)}},
            {"$limit": _LOOKED_AT},
            {"$project": {"length": {"$strLenCP": "$_id"}}},
            {"$sort": {"length": 1, "_id": 1}},
            {"$limit": most},
        ]
        with self._opened() as collection:
            # Along the words of these base URIs alone: how long it takes tells nothing of others.
            found = words_of(collection).aggregate(pipeline, hint="dserver_base_uris_word")
            return [word["_id"] for word in found]

    def base_uris(self) -> list[str]:
        """Return the base URIs whose datasets have words, or have had them."""
        with self._opened() as collection:
            return sorted(words_of(collection).distinct("base_uris"))

    def batches(self, base_uri: str) -> Iterator[list[str]]:
        """Yield the words that datasets in a base URI have, or have had, some at a time.

        Those that were yielded may be forgotten meanwhile.
        """
        after = ""
        while True:
            with self._opened() as collection:
                wanted = {"_id": {"$gt": after}, "base_uris": base_uri}
                found = words_of(collection).find(wanted, {"_id": True}).sort("_id").limit(_WORDS_AT_ONCE)
                words = [word["_id"] for word in found]
            if not words:
                return
            yield words
            after = words[-1]

    def forget(self, words: Sequence[str], base_uri: str) -> None:
        """Take words out that no dataset in a base URI has any more."""
        with self._opened() as collection:
            wanted = {"_id": {"$in": list(words)}}
            words_of(collection).update_many(wanted, {"$pull": {"base_uris": base_uri}})

    def sweep(self) -> None:
        """Remove the words that are in no base URI."""
        with self._opened() as collection:
            words_of(collection).delete_many({"base_uris": {"$size": 0}})


def _in(base_uris: Sequence[str]) -> dict[str, Any]:
    return {"base_uris": {"$in": [base_uri for base_uri in base_uris if is_text(base_uri)]}}


def learn(collection: Collection[dict[str, Any]], wanted: Mapping[str, Iterable[str]]) -> None:
    """Add words of datasets to the vocabulary.

    :param collection: that of the datasets
    :param wanted: words by base URI
    """
    words = words_of(collection)
    for base_uri, its_words in wanted.items():
        its_words = sorted(set(its_words))
        there = {
            word["_id"]
            for word in words.find({"_id": {"$in": its_words}, "base_uris": base_uri}, {"_id": True})
        }
        updates = [
            UpdateOne(
                {"_id": word},
                {"$setOnInsert": {"deletions": deletions(word)}, "$addToSet": {"base_uris": base_uri}},
                upsert=True,
            )
            for word in its_words
            if word not in there
        ]
        if updates:
            words.bulk_write(updates, ordered=False)
