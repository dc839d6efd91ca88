"""Descriptive metadata kept in MongoDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dservercore.dataset.serialization import parse_manifest, unpack
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugin_api import RetrieveABC
from dservercore.plugins.mongo import documents, manifests, prepare
from dservercore.plugins.mongo.base import MongoPlugin
from dservercore.plugins.mongo.connection import Document
from dservercore.plugins.mongo.edits import Editing, Update
from dservercore.plugins.mongo.source import Source
from dservercore.plugins.mongo.writing import write_all

if TYPE_CHECKING:
    from pymongo.collection import Collection


class MongoRetrieve(MongoPlugin, Editing, RetrieveABC):
    """Keeps a document for each dataset in the collection that ``RETRIEVE_MONGO_COLLECTION`` names.

    Connects when it is first used. If the search plugin is the bundled one and has the same collection, the search
    plugin stores the documents of both.
    """

    version_key = "dserver_retrieve_plugin_mongo"

    def __init__(self) -> None:
        super().__init__("RETRIEVE_MONGO", prepare.for_retrieval)
        self._source: Source | None = None

    # -- Readiness

    def ready(self) -> str | None:
        """Return None if the MongoDB server answers, else a sentence that says what is wrong."""
        try:
            self.connection.ping()
        except UnavailableError as error:
            return error.message
        return None

    # -- Writing

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Store the document of a dataset, or replace it.

        :raises ValidationError: if MongoDB cannot hold it
        :raises UnavailableError: if the server cannot be reached
        """
        self.register_datasets([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Store the documents of several datasets, of which no two have the same URI, or replace them.

        :raises ValidationError: if MongoDB cannot hold one of them
        :raises UnavailableError: if the server cannot be reached
        """
        if self.shares_collection:
            return
        with self.connection.open() as collection:
            stored = [
                {
                    **documents.fields_of(info),
                    "_retrieve": manifests.store(collection, info["uri"], info["manifest"]),
                }
                for info in dataset_infos
            ]
            write_all(collection, stored)
            manifests.forget_others(collection, stored)

    def delete_dataset(self, uri: str) -> None:
        """Remove the document and the manifest of a dataset; no error if it is not stored.

        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            collection.delete_one({"uri": uri})
            manifests.forget(collection, uri)

    def _edit(self, uri: str, update: Update) -> None:
        # Where both plugins share the document, the search plugin has edited it already: twice does no harm.
        with self.connection.open() as collection:
            if not collection.update_one({"uri": uri}, update).matched_count:
                raise UnknownURIError(f"No dataset is registered as {uri}")

    # -- Checking

    def list_stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each dataset that is stored.

        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            yield from documents.stored_in(collection)

    def is_stored(self, uri: str) -> bool:
        """Return whether a dataset is stored.

        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            return documents.is_stored_in(collection, uri)

    # -- Reading

    def only_read(self) -> None:
        """Read from the collection as it is: without an index, and with several documents for a dataset."""
        self.connection.leave_as_it_is()
        self._source = Source()

    def _selector(self, collection: Collection[Document], uri: str) -> dict[str, Any]:
        return self._source.selector(collection, uri) if self._source else {"uri": uri}

    def get_readme(self, uri: str) -> str:
        """Return the README as it was registered.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        return documents.readme_of(self._read(uri, "readme"))

    def get_annotations(self, uri: str) -> dict[str, Any]:
        """Return the annotations by name.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        return documents.annotations_of(self._read(uri, "annotations"))

    def get_tags(self, uri: str) -> list[str]:
        """Return the tags, in the order in which they were registered.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        return documents.tags_of(self._read(uri, "tags"))

    def get_manifest(self, uri: str) -> dict[str, Any]:
        """Return the manifest: ``items``, ``hash_function`` and ``dtoolcore_version``.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        return parse_manifest(self.get_manifest_json(uri))

    def get_manifest_json(self, uri: str) -> bytes:
        """Return the manifest as JSON text in UTF-8, to be handed out without being rebuilt.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        return unpack(self.get_packed_manifest(uri))

    def get_packed_manifest(self, uri: str) -> bytes:
        """Return the manifest as JSON in one zstandard frame, as it is stored.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            return manifests.load(collection, uri, self._selector(collection, uri))

    def _read(self, uri: str, field: str) -> Document:
        with self.connection.open() as collection:
            document = collection.find_one(self._selector(collection, uri), {"_id": False, field: True})
        if document is None:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        return document
