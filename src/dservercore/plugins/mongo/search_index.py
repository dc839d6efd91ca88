"""The search index in MongoDB: a document for each dataset, with its words, and what is too long for it beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as Some
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout, PyMongoError

from dservercore.dataset.facets import Facet
from dservercore.dataset.query_tree import Node, Query
from dservercore.errors import UnknownURIError
from dservercore.plugins.mongo import documents, facets, index, manifests, prepare, vocabulary
from dservercore.plugins.mongo.connection import Connection, Document
from dservercore.plugins.mongo.edits import Editing, Update, also_setting
from dservercore.plugins.mongo.query import Filter, filters_of, relevance_of, relevance_of_parts, words_of
from dservercore.plugins.mongo.vocabulary import MongoVocabulary
from dservercore.plugins.mongo.writing import write_all
from dservercore.plugins.tokens.index import AHEAD, Index, Request
from dservercore.plugins.tokens.index_document import (
    AnalysedDataset,
    annotation_columns,
    facet_of,
    readme_columns,
    tag_columns,
)
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.plugins.tokens.vocabulary import words_by_place

# Fields of a document that have the exact times, and the UUID as text.
_SORT_KEYS = {field: f"_search.{field}" for field in ("created_at", "frozen_at", "uuid")}

_OBJECT = {
    "_id": False,
    **dict.fromkeys(documents.OBJECT_FIELDS + documents.TIMES, True),
    **{f"_search.{time}": True for time in documents.TIMES},
}


class MongoIndex(Editing, Index):
    """Keeps the index in a collection. Its methods raise an ``UnavailableError`` if the server cannot be reached.

    :ivar has_manifests: whether the retrieve plugin reads the same documents, so that manifests are stored in them
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._vocabulary = MongoVocabulary(connection.open)
        self.has_manifests = False

    @property
    def vocabulary(self) -> MongoVocabulary:
        """The words of the datasets as they are spelled."""
        return self._vocabulary

    # -- Writing

    def store(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Store the documents of several datasets, of which no two have the same URI, or replace them.

        :raises ValidationError: if MongoDB cannot hold one of them
        """
        stored: list[Document] = []
        infos = [
            info if isinstance(info, AnalysedDataset) else AnalysedDataset(info) for info in dataset_infos
        ]
        with self._connection.open() as collection:
            try:
                # Before the datasets: words that no dataset has do no harm.
                vocabulary.learn(
                    collection, words_by_place((info["base_uri"], info.columns) for info in infos)
                )
                for dataset_info in infos:
                    stored.append(self._document(collection, dataset_info))
                write_all(collection, stored)
            except Exception:
                with suppress(PyMongoError):  # parts that are left are found by no search
                    for document in stored:
                        index.forget_new(collection, document["_search"])
                raise
            index.forget_others(collection, stored)
            if self.has_manifests:
                manifests.forget_others(collection, stored)

    def _document(self, collection: Collection[Document], dataset_info: Mapping[str, Any]) -> Document:
        """Return the document to store of a dataset. What has no room in it is stored in the collections beside it."""
        document = documents.fields_of(dataset_info)
        document["_search"] = index.index_of(collection, dataset_info)
        if self.has_manifests:
            document["_retrieve"] = manifests.store(collection, dataset_info["uri"], dataset_info["manifest"])
        return document

    def remove(self, uri: str) -> None:
        """Remove the document of a dataset; no error if it is not there."""
        with self._connection.open() as collection:
            collection.delete_one({"uri": uri})
            index.forget(collection, uri)
            if self.has_manifests:
                manifests.forget(collection, uri)

    def _edit(self, uri: str, update: Update) -> None:
        with self._connection.open() as collection:
            # Without its version a document is indexed anew at the next start, should this process not come to it.
            mark = {"_search.version": 0, "_search.revision": ObjectId()}
            document = collection.find_one_and_update(
                {"uri": uri}, also_setting(update, mark), return_document=ReturnDocument.AFTER
            )
            while document is not None:
                if _reindex(collection, document):
                    return
                document = collection.find_one({"uri": uri})  # somebody else has edited it meanwhile
        raise UnknownURIError(f"No dataset is registered as {uri}")

    # -- Checking

    def stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each dataset that is stored."""
        with self._connection.open() as collection:
            yield from documents.stored_in(collection)

    def contains(self, uri: str) -> bool:
        """Return whether a dataset is stored."""
        with self._connection.open() as collection:
            return documents.is_stored_in(collection, uri)

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the document of a dataset has all that :meth:`store` would store to find it."""
        with self._connection.open() as collection:
            document = collection.find_one({"uri": dataset_info["uri"]})
            return (
                document is not None
                and documents.describes(document, dataset_info)
                and index.holds(collection, document, dataset_info)
            )

    def outdated(self) -> Iterator[str]:
        """Yield the URI of each dataset that another version has put into the index, at least in part."""
        with self._connection.open() as collection:
            yield from prepare.outdated(collection)

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole."""
        with self._connection.open() as collection:
            unindexed = prepare.remaining(collection)
            left_over = index.left_over(collection)
        found = [f"lacks the words of {unindexed} datasets"] if unindexed else []
        return found + ([f"has words of {len(left_over)} datasets that are not stored"] if left_over else [])

    def mend(self) -> None:
        """Index the documents that are not indexed, and remove the words of datasets that are not stored."""
        with self._connection.open() as collection:
            prepare.adopt_all(collection)
            for generation in index.left_over(collection):
                index.forget_new(collection, {"parts": generation})

    # -- Searching

    @contextmanager
    def _searching(self, limit: TimeLimit, pings: bool = False) -> Iterator[Collection[Document]]:
        """Yield the collection, for a search that takes no longer than *limit* allows.

        :param pings: find out a server that hangs in PING_SECONDS, and not only when the time for the search is over
        :raises UnavailableError: if the server cannot be reached, or takes longer
        """
        if pings:
            self._connection.ping()
        with self._connection.open() as collection:
            try:
                yield collection
            except ExecutionTimeout:
                raise limit.exceeded() from None

    def count(
        self, nodes: Sequence[Node], base_uris: Sequence[str], limit: TimeLimit
    ) -> tuple[int, list[int]]:
        """Return how many datasets there are in the base URIs, and how many of them fulfil each node.

        :raises UnavailableError: if the server cannot be reached, or takes longer than *limit* allows
        """
        (scope,) = filters_of({"base_uris": base_uris})
        with self._searching(limit) as collection:
            conditions = [{"$and": [scope, *words_of(collection, Query((node,)))]} for node in nodes]
            number, *having = [
                collection.count_documents(condition, maxTimeMS=_milliseconds_left(limit))
                for condition in [scope, *conditions]
            ]
            return number, having

    def number(self, request: Request, most: int, limit: TimeLimit) -> int:
        """Return how many datasets match, or *most* if these are as many or more.

        :raises UnavailableError: if the server cannot be reached, or takes longer than *limit* allows
        """
        with self._searching(limit, pings=True) as collection:
            return collection.count_documents(
                _matching(collection, request), limit=most, maxTimeMS=_milliseconds_left(limit)
            )

    def facet_counts(
        self, request: Request, names: Some[Facet], limit: TimeLimit
    ) -> dict[Facet, dict[str, int]]:
        """Return how many of the datasets that match have each value of each of the facets.

        :raises UnavailableError: if the server cannot be reached, or takes longer than *limit* allows
        """
        with self._searching(limit, pings=True) as collection:
            return facets.count(collection, _matching(collection, request), names, _milliseconds_left(limit))

    def finds(self, queries: Sequence[Query], base_uris: Sequence[str], limit: TimeLimit) -> list[bool]:
        """Return, for each query, whether any dataset in the base URIs answers it.

        :raises UnavailableError: if the server cannot be reached, or takes longer than *limit* allows
        """
        (scope,) = filters_of({"base_uris": base_uris})
        with self._searching(limit) as collection:
            return [
                collection.find_one(
                    {"$and": [scope, *words_of(collection, query)]},
                    {"_id": True},
                    max_time_ms=_milliseconds_left(limit),
                )
                is not None
                for query in queries
            ]

    def find(self, request: Request, limit: TimeLimit) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of the page that *request* asks for.

        :raises UnavailableError: if the server cannot be reached, or takes longer than *limit* allows
        """
        with self._searching(limit, pings=True) as collection:
            return _found(collection, request, limit)

    def keys(self, request: Request, limit: TimeLimit) -> list[Any]:
        """Return the ``_id`` of the documents of all datasets that match, in the order that *request* asks for.

        :raises UnavailableError: if the server cannot be reached, or takes longer than *limit* allows
        """
        request = replace(request, offset=0, size=None)
        with self._searching(limit, pings=True) as collection:
            matching, relevance = _conditions(collection, request, limit)
            documents_ = _documents(collection, matching, relevance, request, limit, {"_id": True})
            return [document["_id"] for document in documents_]

    def objects(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the dataset objects of documents by their ``_id``, in this order; those that are gone are left out.

        :raises UnavailableError: if the server cannot be reached
        """
        with self._connection.open() as collection:
            found = {
                document.pop("_id"): documents.dataset_object(document)
                for document in collection.find({"_id": {"$in": list(keys)}}, {**_OBJECT, "_id": True})
            }
        return [found[key] for key in keys if key in found]


def _matching(collection: Collection[Document], request: Request) -> Filter:
    """Return the condition of the datasets that match."""
    return {"$and": [*filters_of(request.filters), *words_of(collection, request.words)]}


def _found(
    collection: Collection[Document], request: Request, limit: TimeLimit
) -> tuple[int, list[dict[str, Any]]]:
    matching, relevance = _conditions(collection, request, limit)
    if request.size is None:
        found = _page(collection, matching, relevance, request, limit)
        return request.offset + len(found), found
    if request.is_grouped:
        number = _number_of_uuids(collection, matching, limit)
    else:
        number = collection.count_documents(matching, maxTimeMS=_milliseconds_left(limit))
    if request.offset >= number:
        return number, []
    return number, _page(collection, matching, relevance, request, limit)


def _conditions(
    collection: Collection[Document], request: Request, limit: TimeLimit
) -> tuple[Filter, Callable[[], Any]]:
    """Return the conditions that each dataset fulfils, and what returns the expression of how relevant one is."""
    matching = _matching(collection, request)
    (scope,) = filters_of({"base_uris": request.filters["base_uris"]})

    def count(conditions: Filter) -> int:
        return collection.count_documents(conditions, maxTimeMS=_milliseconds_left(limit))

    def relevance() -> Any:
        if request.ranking is None:
            found = relevance_of(request.words, lambda condition: count({**scope, **condition}))
        else:
            found = relevance_of_parts(request.ranking)
        if request.named is None:
            return found
        is_named = {"$eq": ["$_search.named", facet_of(request.named)]}
        return {"$add": [found, {"$cond": [is_named, AHEAD, 0]}]}

    return matching, relevance


def _milliseconds_left(limit: TimeLimit) -> int:
    return max(1, int(1000 * limit.seconds_left()))


def _reindex(collection: Collection[Document], document: Document) -> bool:
    """Bring the words of a document up to date with its README, tags and annotations.

    Return whether that was done; it was not if somebody has changed the document since it was read.
    """
    uri, current = document["uri"], document["_search"]
    if "files" not in current.get("columns", {}):
        return prepare.adopt(collection, document)
    info = documents.dataset_info_of(document, manifest={})
    columns = {
        **tag_columns(info["tags"]),
        **readme_columns(info["readme"]),
        **annotation_columns(info["annotations"]),
    }
    vocabulary.learn(collection, words_by_place([(document["base_uri"], columns)]))
    changes = index.changes_of(collection, uri, current, columns)
    changes["numbers"] = index.numbers_of(info["annotations"])
    changes |= {"version": index.VERSION, "revision": ObjectId()}
    done = collection.update_one(
        {"uri": uri, "_search.revision": current["revision"]},
        {"$set": {f"_search.{name}": value for name, value in changes.items()}},
    )
    return bool(done.matched_count)


def _page(
    collection: Collection[Document],
    matching: Filter,
    relevance: Callable[[], Any],
    request: Request,
    limit: TimeLimit,
) -> list[dict[str, Any]]:
    """Return the dataset objects of the page that *request* asks for.

    :param matching: the conditions that each of them fulfils
    :param relevance: returns the expression of how relevant a dataset is
    """
    found = _documents(collection, matching, relevance, request, limit, _OBJECT)
    return [documents.dataset_object(document) for document in found]


def _documents(
    collection: Collection[Document],
    matching: Filter,
    relevance: Callable[[], Any],
    request: Request,
    limit: TimeLimit,
    projection: Mapping[str, Any],
) -> Iterable[Document]:
    """Return what *projection* has of the documents on the page that *request* asks for.

    :param matching: the conditions that each of them fulfils
    :param relevance: returns the expression of how relevant a dataset is
    """
    order, size = request.order, request.size or 0  # for MongoDB, 0 is no limit
    sort = {
        _SORT_KEYS.get(field, field): direction
        for field, direction in {**order, "uri": order.get("uri", 1)}.items()
    }
    if "relevance" not in order and not request.is_grouped:
        return collection.find(
            matching,
            projection,
            sort=list(sort.items()),
            skip=request.offset,
            limit=size,
            allow_disk_use=True,
            max_time_ms=_milliseconds_left(limit),
        )
    fields: dict[str, Any] = {**_OBJECT, **projection, **dict.fromkeys(_SORT_KEYS.values(), True)}
    if "relevance" in order:
        fields["relevance"] = relevance()
    pipeline: list[dict[str, Any]] = [
        {"$match": matching},
        {"$project": fields},
        {"$sort": sort},
        *(_FIRST_COPIES if request.is_grouped else []),
        *([{"$sort": sort}] if request.is_grouped else []),
        {"$skip": request.offset},
        *([{"$limit": size}] if size else []),
    ]
    return collection.aggregate(pipeline, allowDiskUse=True, maxTimeMS=_milliseconds_left(limit))


# Of documents in their order, the first one with each UUID.
_FIRST_COPIES: list[dict[str, Any]] = [
    {"$group": {"_id": "$_search.uuid", "first": {"$first": "$$ROOT"}}},
    {"$replaceRoot": {"newRoot": "$first"}},
]


def _number_of_uuids(collection: Collection[Document], matching: Filter, limit: TimeLimit) -> int:
    pipeline: list[dict[str, Any]] = [
        {"$match": matching},
        {"$group": {"_id": "$_search.uuid"}},
        {"$count": "number"},
    ]
    found = list(collection.aggregate(pipeline, allowDiskUse=True, maxTimeMS=_milliseconds_left(limit)))
    return int(found[0]["number"]) if found else 0
