"""Search in MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import ExecutionTimeout, PyMongoError

from dservercore import text_query
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugin_api import SearchABC
from dservercore.plugins.index_document import AnalysedDataset, annotation_columns, readme_columns, tag_words
from dservercore.plugins.mongo import documents, index, manifests, prepare
from dservercore.plugins.mongo.base import MongoPlugin
from dservercore.plugins.mongo.connection import Document
from dservercore.plugins.mongo.edits import Update, also_setting
from dservercore.plugins.mongo.query import Filter, filters_of, relevance_of, words_of
from dservercore.plugins.mongo.writing import write_all
from dservercore.plugins.search_order import search_order
from dservercore.plugins.time_limit import TimeLimit, search_seconds

if TYPE_CHECKING:
    from flask import Flask
    from flask_smorest.pagination import PaginationParameters
    from pymongo.collection import Collection

    from dservercore.sort import SortParameters

# Where the exact times are, and the UUID as text.
_SORT_KEYS = {field: f"_search.{field}" for field in ("created_at", "frozen_at", "uuid")}

_OBJECT = {
    "_id": False,
    **dict.fromkeys(documents.OBJECT_FIELDS + documents.TIMES, True),
    **{f"_search.{time}": True for time in documents.TIMES},
}


class MongoSearch(MongoPlugin, SearchABC):
    """Keeps a document for each dataset, with its words, in the collection that ``SEARCH_MONGO_COLLECTION`` names.

    Connects when it is first used. If the retrieve plugin is the bundled one and has the same collection, there is
    one document for both, and this plugin writes it.
    """

    version_key = "dserver_search_plugin_mongo"
    filters = frozenset({"free_text", "creator_usernames", "base_uris", "uuids", "tags", "uploaded_by"})

    def __init__(self) -> None:
        super().__init__("SEARCH_MONGO", prepare.for_search)

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Take the settings; nothing is connected to yet.

        :raises ConfigurationError: if a setting is missing or wrong
        """
        self.search_seconds = self.longest_seconds = search_seconds(app.config)
        super().init_app(app, *args, **kwargs)

    # -- Readiness

    def ready(self) -> str | None:
        """Return None if everything can be found, else what is wrong."""
        try:
            self.connection.ping()
            with self.connection.open() as collection:
                unindexed = prepare.remaining(collection)
                if unindexed:  # another program may have written them since the start
                    prepare.adopt_beside(collection)
        except UnavailableError as error:
            return error.message
        return f"{unindexed} datasets are still to be indexed" if unindexed else None

    # -- Writing

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Store the document of a dataset, or replace it.

        :raises ValidationError: if MongoDB cannot hold it
        :raises UnavailableError: if it cannot be reached
        """
        self.register_datasets([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Do so for different datasets."""
        stored: list[Document] = []
        with self.connection.open() as collection:
            try:
                for dataset_info in dataset_infos:
                    stored.append(self._document(collection, dataset_info))
                write_all(collection, stored)
            except Exception:
                with suppress(PyMongoError):  # what is left is found by nobody
                    for document in stored:
                        index.forget_new(collection, document["_search"])
                raise
            index.forget_others(collection, stored)
            if self.shares_collection:
                manifests.forget_others(collection, stored)

    def _document(self, collection: Collection[Document], dataset_info: Mapping[str, Any]) -> Document:
        """Return the document to store, having stored what has no room in it."""
        document = documents.fields_of(dataset_info)
        document["_search"] = index.index_of(collection, dataset_info)
        if self.shares_collection:
            document["_retrieve"] = manifests.store(collection, dataset_info["uri"], dataset_info["manifest"])
        return document

    def prepare_dataset(self, dataset_info: dict[str, Any]) -> dict[str, Any]:
        """Return a dataset's document with the tokens to store of it, for :meth:`register_datasets`."""
        return AnalysedDataset(dataset_info)

    def delete_dataset(self, uri: str) -> None:
        """Forget a dataset; no error if it is not there.

        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            collection.delete_one({"uri": uri})
            index.forget(collection, uri)
            if self.shares_collection:
                manifests.forget(collection, uri)

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether a dataset is found by what :meth:`register_dataset` would store of it."""
        with self.connection.open() as collection:
            document = collection.find_one({"uri": dataset_info["uri"]})
            return (
                document is not None
                and documents.describes(document, dataset_info)
                and index.holds(collection, document, dataset_info)
            )

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole."""
        with self.connection.open() as collection:
            unindexed = prepare.remaining(collection)
            left_over = index.left_over(collection)
        found = [f"lacks the words of {unindexed} datasets"] if unindexed else []
        return found + ([f"has words of {len(left_over)} datasets that are not stored"] if left_over else [])

    def mend_faults(self) -> None:
        """Index what is not indexed, and remove the words of what is not stored."""
        with self.connection.open() as collection:
            prepare.adopt_all(collection)
            for generation in index.left_over(collection):
                index.forget_new(collection, {"parts": generation})

    def _edit(self, uri: str, update: Update) -> None:
        with self.connection.open() as collection:
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

    # -- Searching

    def search(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters | None = None,
        sort_parameters: SortParameters | None = None,
    ) -> list[dict[str, Any]]:
        """Return one page of the dataset objects that match, times in seconds since the epoch, UTC.

        :raises ValidationError: 422, if ``free_text`` is too long or a sort field unknown
        :raises UnavailableError: if the server cannot be reached, or takes too long
        """
        words = text_query.Query()
        if query.get("free_text") is not None:
            words = text_query.parse(query["free_text"])
        order = search_order(sort_parameters, has_words=bool(words.all_of))
        nothing = not query.get("base_uris") or (query.get("free_text") is not None and not words)
        if nothing:
            if pagination_parameters is not None:
                pagination_parameters.item_count = 0
            return []
        limit = TimeLimit(self.search_seconds)
        # One that hangs is known in PING_SECONDS, and not only when the time for the search is over.
        self.connection.ping()
        with self.connection.open() as collection:
            try:
                return _found(collection, query, words, order, pagination_parameters, limit)
            except ExecutionTimeout:
                raise limit.exceeded() from None


def _found(
    collection: Collection[Document],
    query: Mapping[str, Any],
    words: text_query.Query,
    order: Mapping[str, int],
    pagination_parameters: PaginationParameters | None,
    limit: TimeLimit,
) -> list[dict[str, Any]]:
    """Return the dataset objects of the page, and set ``item_count`` on the pagination."""
    matching = {"$and": [*filters_of(query), *words_of(collection, words)]}
    (scope,) = filters_of({"base_uris": query["base_uris"]})

    def relevance() -> Any:
        return relevance_of(
            words,
            lambda condition: collection.count_documents(
                {**scope, **condition}, maxTimeMS=_milliseconds_left(limit)
            ),
        )

    if pagination_parameters is None:
        return _page(collection, matching, relevance, order, 0, 0, limit)
    pagination_parameters.item_count = collection.count_documents(
        matching, maxTimeMS=_milliseconds_left(limit)
    )
    offset, size = pagination_parameters.first_item, pagination_parameters.page_size
    if offset >= pagination_parameters.item_count:
        return []
    return _page(collection, matching, relevance, order, offset, size, limit)


def _milliseconds_left(limit: TimeLimit) -> int:
    return max(1, int(1000 * limit.seconds_left()))


def _reindex(collection: Collection[Document], document: Document) -> bool:
    """Bring the words of a document up to date with what can be edited. Return whether it still was as it is here."""
    uri, current = document["uri"], document["_search"]
    if "columns" not in current:
        return prepare.adopt(collection, document)
    info = documents.dataset_info_of(document, manifest={})
    columns = {
        "tags": tag_words(info["tags"]),
        **readme_columns(info["readme"]),
        **annotation_columns(info["annotations"]),
    }
    changes = index.changes_of(collection, uri, current, columns)
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
    order: Mapping[str, int],
    offset: int,
    size: int,
    limit: TimeLimit,
) -> list[dict[str, Any]]:
    """Return the dataset objects of one page. Where *order* leaves datasets equal, their URI decides.

    :param relevance: returns the expression of it
    :param size: 0: all from *offset* on
    """
    sort = {
        _SORT_KEYS.get(field, field): direction
        for field, direction in {**order, "uri": order.get("uri", 1)}.items()
    }
    if "relevance" not in order:
        found = collection.find(
            matching,
            _OBJECT,
            sort=list(sort.items()),
            skip=offset,
            limit=size,
            allow_disk_use=True,
            max_time_ms=_milliseconds_left(limit),
        )
        return [documents.dataset_object(document) for document in found]
    pipeline: list[dict[str, Any]] = [
        {"$match": matching},
        {"$project": {**_OBJECT, "relevance": relevance()}},
        {"$sort": sort},
        {"$skip": offset},
        *([{"$limit": size}] if size else []),
    ]
    return [
        documents.dataset_object(document)
        for document in collection.aggregate(pipeline, allowDiskUse=True, maxTimeMS=_milliseconds_left(limit))
    ]
