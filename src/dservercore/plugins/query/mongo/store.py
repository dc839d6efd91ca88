"""Documents in a collection of MongoDB, which answers the queries itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo import ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from dservercore.catalog.scope import Scope
from dservercore.compat.mongo_collection import free_collection
from dservercore.dataset.times import datetime_to_timestamp
from dservercore.errors import OutOfTimeError, UnavailableError, ValidationError
from dservercore.plugins.mongo.connection import Connection
from dservercore.plugins.query.aggregation import PageOfResults, Pipeline
from dservercore.plugins.query.conditions import Filter
from dservercore.plugins.query.documents import LONG_FIELDS
from dservercore.plugins.query.documents import document as document_of
from dservercore.plugins.query.expressions import refused
from dservercore.plugins.query.mongo import pending
from dservercore.plugins.query.store import Restrictions
from dservercore.plugins.query.time_limit import TimeLimit

if TYPE_CHECKING:
    from flask import Flask

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Documents = Collection[Document]

PREFIX = "DSERVER_MONGO"

#: Of deleted datasets that are still stored, so many can be left out of an answer.
MOST_LEFT_OUT = 5000

# Error codes of the server.
_TOO_MUCH_TO_SORT = {146, 292, 16820, 16945}
_TOO_LONG = {50, 262}
_TOO_LARGE = {10334, 13548, 17419, 17420}
_TOO_DEEP = {15, 17279}
_ABOUT_THE_QUERY = {2, 9, 14, 40, 51, 168}
#: From here on, a code is that of a single check in the server, nearly all of which are about a query.
_FIRST_OF_CHECKS = 10_000


class MongoDocumentStore:
    """The documents of all registered datasets, each brought there after its transaction.

    MongoDB is no part of a transaction of the database. So a write only queues what is to be brought to the collection;
    that is done by whoever works on the queue, and before each query.
    """

    def __init__(self) -> None:
        self.connection = Connection(PREFIX, _prepare, "query")

    def init_app(self, app: Flask) -> None:
        """Take the settings from the configuration of *app*, without connecting to the server.

        :raises ConfigurationError: if one of them is wrong
        """
        config = app.config
        uri = config.get(f"{PREFIX}_URI") or config.get("RETRIEVE_MONGO_URI")
        database, asked = config[f"{PREFIX}_DB"], config[f"{PREFIX}_COLLECTION"]
        if not config.get(f"{PREFIX}_URI") and uri:
            database = config.get("RETRIEVE_MONGO_DB") or database
        used = free_collection(config, str(uri), database, asked)
        if used != asked:
            logger.debug("The collection %s is that of another plugin: queries use %s", asked, used)
        settings = {f"{PREFIX}_URI": uri, f"{PREFIX}_DB": database, f"{PREFIX}_COLLECTION": used}
        self.connection.configure(settings, float(config["DSERVER_SEARCH_TIMEOUT"]))

    # Writing

    def put_all(self, dataset_infos: Sequence[Mapping[str, Any]]) -> None:
        """Have the documents of datasets brought to the collection, once the open transaction is committed."""
        for info in dataset_infos:
            pending.enqueue(info["uri"])

    def remove(self, uri: str) -> None:
        """Have the document of a dataset removed, once the open transaction is committed."""
        pending.enqueue(uri)

    def write(self, documents: Sequence[Document], gone: Sequence[str] = ()) -> None:
        """Replace documents, by their ``uri``, and remove those of other URIs.

        :raises UnavailableError: if MongoDB is away
        """
        try:
            self._replace(documents)
        except (
            ValidationError
        ):  # one by one: of a document that is too large, all but what makes it so is stored
            for document in documents:
                try:
                    self._replace([document])
                except ValidationError as error:
                    logger.warning(
                        "%s is in MongoDB without what is long: %s", document["uri"], error.message
                    )
                    self._replace([{key: document[key] for key in document if key not in LONG_FIELDS}])
        with self.connection.open() as collection:
            if gone:
                collection.delete_many({"uri": {"$in": list(gone)}})

    def _replace(self, documents: Sequence[Document]) -> None:
        if not documents:
            return
        by_uri = [ReplaceOne({"uri": document["uri"]}, document, upsert=True) for document in documents]
        with self.connection.open() as collection:
            collection.bulk_write(by_uri, ordered=False)

    def count_missing(self) -> int:
        """Return about how many datasets have no document, beside those that are queued.

        :raises UnavailableError: if MongoDB is away
        """
        with self.connection.open() as collection:
            stored = collection.estimated_document_count()
        return pending.number_of_datasets() - stored - pending.number_queued()

    def holds(self, dataset_info: Mapping[str, Any]) -> bool:
        """Return whether the document of a dataset is the one that follows from its description, or is to be brought.

        :raises UnavailableError: if MongoDB is away
        """
        with self.connection.open() as collection:
            stored = collection.find_one({"uri": dataset_info["uri"]}, {"_id": False})
        return stored == document_of(dataset_info) or pending.is_waiting(dataset_info["uri"])

    def uris(self) -> Iterator[str]:
        """Yield the URI of each document."""
        with self.connection.open() as collection:
            for document in collection.find({}, {"_id": False, "uri": True}):
                yield str(document.get("uri"))

    # Reading

    def find(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        *,
        sort: Mapping[str, int] | None,
        skip: int,
        limit: int,
        seconds: float,
    ) -> tuple[list[Document], int]:
        """Return documents in scope that match, without their long fields, and how many match altogether.

        :raises OutOfTimeError: if it takes longer than *seconds*
        :raises UnavailableError: if MongoDB is away
        """
        time = TimeLimit(seconds)
        match = self._match(scope, restrictions, filter, time)
        order = {**(sort or {})}
        order.setdefault("uri", 1)
        page: list[Document] = [{"$sort": order}, {"$skip": skip}, {"$limit": limit}]
        short: list[Document] = [{"$unset": list(LONG_FIELDS)}]
        # An index has the documents in the order of their URIs; in another order, they are sorted without what is long.
        stages: list[Document] = [*page, *short] if next(iter(order)) == "uri" else [*short, *page]
        with self._errors() as collection:
            total = collection.count_documents(match, maxTimeMS=_milliseconds(time))
            if skip >= total:
                return [], total
            found = list(self._run(collection, [{"$match": match}, *stages], time))
        gone = set(pending.forget_unregistered([document["uri"] for document in found]))
        return [document for document in found if document["uri"] not in gone], total - len(gone)

    def stream(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        *,
        most: int,
        seconds: float,
        with_manifest: bool = True,
    ) -> Iterator[Document]:
        """Yield the documents that match, whole, by ``uri``, up to *most* of them.

        :param with_manifest: False: without ``manifest``, which takes the longest to read
        :raises OutOfTimeError: if it takes longer than *seconds*
        :raises UnavailableError: if MongoDB is away
        """
        time = TimeLimit(seconds)
        match = self._match(scope, restrictions, filter, time)
        stages: list[Document] = [
            {"$match": match},
            {"$sort": {"uri": 1}},
            {"$limit": most},
            {"$unset": "_id"},
        ]
        with self._errors() as collection:
            yield from self._run(collection, stages, time)

    def aggregate(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        pipeline: Pipeline,
        page: slice,
        limit: TimeLimit,
    ) -> tuple[list[Document], int]:
        """Return a page of what an aggregation makes of the documents that match, and how many there are altogether.

        :raises InvalidValueError: if an operator is given what it does not take, or too much is to be kept
        :raises OutOfTimeError: if it takes too long
        :raises UnavailableError: if MongoDB is away
        """
        # Nobody but MongoDB knows of its own identifiers.
        stages: list[Document] = [
            {"$match": self._match(scope, restrictions, filter, limit)},
            {"$unset": "_id"},
        ]
        stages += pipeline.as_mongo()
        answer = PageOfResults()
        with self._errors() as collection:
            counted = list(self._run(collection, [*stages, {"$count": "number"}], limit))
            total = counted[0]["number"] if counted else 0
            if page.start < total:
                cut = [{"$skip": page.start}, {"$limit": page.stop - page.start}]
                for document in self._run(collection, [*stages, *cut], limit):
                    answer.take(document)
        return answer.documents, total

    def _match(self, scope: Scope, restrictions: Restrictions, filter: Filter, time: TimeLimit) -> Document:
        """Return the filter for what may be answered, after what is pending is done.

        The query is one of the conditions that all must hold, and so cannot take back another one.
        """
        bases = list(scope.base_uris)
        if restrictions.base_uris is not None:
            bases = [base_uri for base_uri in bases if base_uri in set(restrictions.base_uris)]
        conditions: list[Document] = [{"base_uri": {"$in": bases}}]
        for field, values in (
            ("creator_username", restrictions.creator_usernames),
            ("uuid", restrictions.uuids),
        ):
            if values:
                conditions.append({field: {"$in": list(values)}})
        if restrictions.tags:
            conditions.append({"tags": {"$all": list(restrictions.tags)}})
        gone = pending.catch_up(self, time)
        if len(gone) > MOST_LEFT_OUT:
            raise UnavailableError("Queries are behind what was deleted just now; try again in a moment")
        if gone:
            conditions.append({"uri": {"$nin": gone}})
        return {"$and": [*conditions, *([filter.query] if filter.query else [])]}

    def _run(
        self, collection: Documents, stages: Sequence[Mapping[str, Any]], time: TimeLimit
    ) -> Iterator[Document]:
        options = {"allowDiskUse": False, "maxTimeMS": _milliseconds(time)}
        with collection.aggregate(list(stages), **options) as cursor:  # type: ignore[arg-type]
            for document in cursor:
                time.seconds_left()
                yield _plain(document)

    @contextmanager
    def _errors(self) -> Iterator[Documents]:
        """Yield the collection. What the server has against a query becomes a domain error."""
        with self.connection.open() as collection:
            try:
                yield collection
            except OperationFailure as error:
                code = error.code or 0
                if code in _TOO_LONG:
                    raise OutOfTimeError(
                        "The query took too long and was ended: ask for fewer datasets, or by a field with an index"
                    ) from error
                if code in _TOO_MUCH_TO_SORT:
                    raise refused(
                        "its groups or sorted documents take more memory than MongoDB gives: match fewer datasets, or"
                        " project the fields that are needed, first."
                    ) from error
                if code in _TOO_LARGE:
                    raise refused("one of its results has more than 16 MB.") from error
                if code in _TOO_DEEP:
                    raise refused("what it makes is nested too deeply.") from error
                if code in _ABOUT_THE_QUERY or code >= _FIRST_OF_CHECKS:
                    logger.info("MongoDB refused a query: %s", error)
                    raise refused(_reason(code)) from error
                raise


def _reason(code: int) -> str:
    if code in (16608, 16609, 16610, 16611, 4848401, 4848403):
        return "a division by zero, or by what is no number."
    return f"an operator was given a value of a type that it does not take (MongoDB's error {code})."


def _milliseconds(time: TimeLimit) -> int:
    return max(1, int(1000 * time.seconds_left()))


def _plain(value: Any) -> Any:
    """Return a value with nothing in it but what JSON has: another program may have stored something else."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return datetime_to_timestamp(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _prepare(collection: Documents) -> None:
    """Have the collection find documents by what they are restricted by."""
    try:
        collection.create_index("uri", unique=True)
    except OperationFailure as error:  # documents of another program, of which several may have a URI
        logger.warning("The collection %s has another index on uri: %s", collection.name, error)
    for field in ("uuid", "base_uri", "creator_username", "tags"):
        collection.create_index(field)
