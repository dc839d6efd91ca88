"""Makes a collection ready to be used: new, or written by the original's plugins."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pymongo
from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from dservercore.plugins.mongo import index, manifests, vocabulary
from dservercore.plugins.mongo.connection import is_too_large
from dservercore.plugins.mongo.documents import dataset_info_of
from dservercore.plugins.tokens.index_document import AnalysedDataset
from dservercore.plugins.tokens.vocabulary import words_to_learn

logger = logging.getLogger(__name__)

#: Seconds that the first request waits for documents of the original to be indexed; a thread does the rest.
ADOPTION_SECONDS = 3.0

#: Of a collection with more documents than this, only the unique index is waited for.
LARGE = 20_000

#: Seconds that making indexes may take: while a request waits, and in a thread that nobody waits for.
INDEXING_SECONDS, INDEXING_SECONDS_BESIDE = 20, 6 * 3600

_DUPLICATE_KEY, _NO_SUCH_NAMESPACE, _NO_SUCH_INDEX = 11000, 26, 27

_BY_URI = IndexModel("uri", unique=True, name="dserver_uri")


def _by(*fields: str) -> IndexModel:
    """Return an index on these fields; the URI at the end gives results in the order of their URIs."""
    names = [*fields, "uri"]
    return IndexModel(
        [(name, ASCENDING) for name in names], name=f"dserver_{'_'.join(names).replace('.', '_')}"
    )


SEARCH_INDEXES = [
    _BY_URI,
    _by("base_uri"),
    _by("_search.uuid"),
    _by("name"),
    _by("creator_username"),
    _by("uploaded_by"),
    _by("tags", "base_uri"),
    _by("_search.tokens", "base_uri"),
    _by("_search.created_at"),
    _by("_search.frozen_at"),
    _by("_search.numbers.name", "_search.numbers.value"),
    IndexModel("_search.version", name="dserver_version"),
    IndexModel("_search.parts", name="dserver_parts", sparse=True),
]
RETRIEVE_INDEXES = [_BY_URI]
PARTS_INDEXES = [
    IndexModel("tokens", name="dserver_tokens"),
    IndexModel("uri", name="dserver_uri"),
    IndexModel("generation", name="dserver_generation"),
]
PIECES_INDEXES = [
    IndexModel(
        [("uri", ASCENDING), ("digest", ASCENDING), ("number", ASCENDING)], unique=True, name="dserver_piece"
    )
]


def for_search(collection: Collection[dict[str, Any]]) -> None:
    """Make the indexes of a collection to search in, and index its documents, whichever program has written them.

    What takes long is left to a thread.
    """
    _drop_text_index(collection)
    _create(index.parts_of(collection), PARTS_INDEXES)
    _create(vocabulary.words_of(collection), vocabulary.INDEXES)
    if collection.estimated_document_count() > LARGE and not _has(collection, SEARCH_INDEXES):
        _create(collection, [_BY_URI])
        logger.warning("The indexes of %s are being made", collection.full_name)
        adopt_beside(collection)
        return
    _create(collection, SEARCH_INDEXES)
    if not _adopt(collection, time.monotonic() + ADOPTION_SECONDS):
        logger.warning(
            "%d datasets of %s are still to be indexed", remaining(collection), collection.full_name
        )
        adopt_beside(collection)


def for_retrieval(collection: Collection[dict[str, Any]]) -> None:
    """Make the indexes of a collection that READMEs, annotations, tags and manifests are read from."""
    _create(collection, RETRIEVE_INDEXES)
    _create(manifests.pieces_of(collection), PIECES_INDEXES)


# -- Indexes ---------------------------------------------------------------------------------------------------------


def _drop_text_index(collection: Collection[dict[str, Any]]) -> None:
    """Drop the index that the original searches by; its server makes it anew when it starts.

    It is of no use here, covers all that is stored here for searching, and refuses a dataset with an annotation
    ``language`` whose value it does not know.
    """
    for name, description in _indexes(collection).items():
        if any(kind == "text" for _, kind in description["key"]):
            logger.warning("Dropping the text index %s of %s", name, collection.full_name)
            try:
                collection.drop_index(name)
            except OperationFailure as error:
                if error.code != _NO_SUCH_INDEX:  # another process was faster
                    raise


def _indexes(collection: Collection[dict[str, Any]]) -> Mapping[str, Any]:
    try:
        return collection.index_information()
    except OperationFailure as error:
        if error.code == _NO_SUCH_NAMESPACE:
            return {}
        raise


def _has(collection: Collection[dict[str, Any]], wanted: Sequence[IndexModel]) -> bool:
    return {model.document["name"] for model in wanted} <= _indexes(collection).keys()


def _create(
    collection: Collection[dict[str, Any]], wanted: Sequence[IndexModel], seconds: float = INDEXING_SECONDS
) -> None:
    """Create the indexes that are missing. The server goes on answering reads and writes meanwhile."""
    there = _indexes(collection)
    missing = [model for model in wanted if model.document["name"] not in there]
    if not missing:
        return
    with pymongo.timeout(seconds):
        while True:
            try:
                collection.create_indexes(missing)
                return
            except OperationFailure as error:
                if error.code != _DUPLICATE_KEY:
                    raise
                resolve_duplicates(collection)


# -- Duplicates ------------------------------------------------------------------------------------------------------


def resolve_duplicates(collection: Collection[dict[str, Any]]) -> None:
    """Leave one document for each URI, the one registered last; the log names the URIs that had several.

    Nothing is lost: the others go to the collection ``<name>.duplicates``.
    """
    aside = collection.database[f"{collection.name}.duplicates"]
    groups: list[dict[str, Any]] = [
        {"$group": {"_id": "$uri", "number": {"$sum": 1}}},
        {"$match": {"number": {"$gt": 1}}},
    ]
    for group in collection.aggregate(groups, allowDiskUse=True):
        uri = group["_id"]
        documents = list(collection.find({"uri": uri}))
        documents.sort(key=age, reverse=True)
        for older in documents[1:]:
            aside.replace_one({"_id": older["_id"]}, older, upsert=True)
            collection.delete_one({"_id": older["_id"]})
        logger.warning(
            "%s had %d documents for %s: the one registered last stays, the others are in %s",
            collection.full_name,
            len(documents),
            uri,
            aside.full_name,
        )


def age(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a key that sorts documents with the same URI by when they were registered, the oldest first."""
    # As text, because documents of old servers lack some of them, and dates compare as they are written.
    times = [document.get("uploaded_at"), document.get("frozen_at")]
    return (*["" if time is None else str(time) for time in times], str(document["_id"]))  # type: ignore[return-value]


# -- Documents of others ---------------------------------------------------------------------------------------------

_OTHERS = {"_search.version": {"$ne": index.VERSION}}
_OUTDATED = {"$or": [_OTHERS, {"_search.has_old_files": True}]}


def remaining(collection: Collection[dict[str, Any]]) -> int:
    """Return how many datasets cannot be found by their words yet, as this version has not indexed them."""
    return collection.count_documents(_OTHERS)


def outdated(collection: Collection[dict[str, Any]]) -> Iterator[str]:
    """Yield the URIs of the datasets that this version has not indexed, or not with their file names."""
    for document in collection.find(_OUTDATED, {"_id": False, "uri": True}):
        yield str(document.get("uri"))


def _adopt(collection: Collection[dict[str, Any]], deadline: float) -> bool:
    """Index the documents that this version has not indexed. Return whether none is left.

    :param deadline: when to stop, on the clock of ``time.monotonic``
    """
    adopted = 0
    for document in _unindexed(collection):
        if time.monotonic() > deadline:
            return False
        adopt(collection, document)
        adopted += 1
    if adopted:
        logger.info("Indexed %d datasets that were in %s", adopted, collection.full_name)
    return True


def adopt_all(collection: Collection[dict[str, Any]]) -> None:
    """Index the documents that this version has not indexed, however long that takes."""
    _adopt(collection, float("inf"))


def _unindexed(collection: Collection[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    # The identifiers first: what is changed must not come up again in the same cursor.
    for found in collection.find(_OTHERS, {"_id": True}).batch_size(1000):
        document = collection.find_one({"_id": found["_id"]})
        if document is not None:
            yield document


def adopt(collection: Collection[dict[str, Any]], document: Mapping[str, Any]) -> bool:
    """Index a document that another program, or another version, has written.

    Return whether that was done; it was not if somebody has changed the document since it was read.
    """
    try:
        fields = _fields(collection, document)
    except PyMongoError:
        raise
    except Exception as error:  # whatever another program has put into the document
        logger.warning(
            "Cannot index the words of %s: %s: %s", document.get("uri"), type(error).__name__, error
        )
        fields = {"version": index.VERSION, "revision": ObjectId()}
    unchanged = {"_id": document["_id"], "_search.revision": document.get("_search", {}).get("revision")}
    try:
        done = collection.update_one(unchanged, {"$set": {"_search": fields}})
    except PyMongoError as error:
        if not is_too_large(error):
            raise
        logger.warning(
            "The document of %s has no room for its words: filters alone find it", document.get("uri")
        )
        with suppress(OperationFailure):  # there may not even be room for this
            collection.update_one(unchanged, {"$set": {"_search": {"version": index.VERSION}}})
        return True
    if done.matched_count and document.get("_search", {}).get("parts"):
        index.forget_others(collection, [{"uri": document["uri"], "_search": {"parts": None, **fields}}])
    return bool(done.matched_count)


def _fields(collection: Collection[dict[str, Any]], document: Mapping[str, Any]) -> dict[str, Any]:
    info = AnalysedDataset(dataset_info_of(document, manifests.parsed(collection, document)))
    vocabulary.learn(collection, {info["base_uri"]: words_to_learn(info.columns)})
    current = document.get("_search", {})
    if "columns" in current and not document.keys() & {"_retrieve", "manifest"}:
        return index.index_without_manifest(collection, info, current)
    return index.index_of(collection, info)


_adopting: dict[str, threading.Thread] = {}
_lock = threading.Lock()


def adopt_beside(collection: Collection[dict[str, Any]]) -> None:
    """Index the documents that are not indexed yet in a thread, unless a thread of this process is at it already."""
    with _lock:
        running = _adopting.get(collection.full_name)
        if running is None or not running.is_alive():
            thread = threading.Thread(target=_adopt_the_rest, args=[collection], daemon=True)
            _adopting[collection.full_name] = thread
            thread.start()


def _adopt_the_rest(collection: Collection[dict[str, Any]]) -> None:
    while True:
        try:
            _create(collection, SEARCH_INDEXES, INDEXING_SECONDS_BESIDE)
            if _adopt(collection, float("inf")):
                return
        except PyMongoError as error:
            logger.warning("Indexing of %s interrupted: %s", collection.full_name, error)
            time.sleep(5)
