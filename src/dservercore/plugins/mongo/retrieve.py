"""Descriptive metadata kept in MongoDB."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugin_api import RetrieveABC
from dservercore.plugins.mongo import documents, manifests, prepare
from dservercore.plugins.mongo.connection import Connection, Document, have_one_collection
from dservercore.plugins.mongo.edits import Editing, Update
from dservercore.plugins.mongo.writing import replace
from dservercore.plugins.packing import parse_manifest

if TYPE_CHECKING:
    from flask import Flask
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database


class MongoRetrieve(Editing, RetrieveABC):
    """Keeps a document for each dataset in the collection that ``RETRIEVE_MONGO_COLLECTION`` names.

    Connects when it is first used. If the search plugin is the bundled one and has the same collection, that one
    registers for both.
    """

    version_key = "dserver_retrieve_plugin_mongo"

    def __init__(self) -> None:
        self.connection = Connection("RETRIEVE_MONGO", prepare.for_retrieval)
        self._search_writes = False

    def get_config(self) -> dict[str, str]:
        """Return the settings ``RETRIEVE_MONGO_URI``, ``RETRIEVE_MONGO_DB`` and ``RETRIEVE_MONGO_COLLECTION``."""
        return self.connection.settings_from(os.environ)

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the names of the three settings."""
        return self.connection.secrets

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Take the settings; nothing is connected to yet.

        :raises ConfigurationError: if a setting is missing or wrong
        """
        self.connection.configure(app.config)
        self._search_writes = have_one_collection(app)

    # -- Access for tools and tests

    @property
    def client(self) -> MongoClient[Document]:
        """The client of this process."""
        return self.connection.client

    @property
    def db(self) -> Database[Document]:
        """The database."""
        return self.connection.db

    @property
    def collection(self) -> Collection[Document]:
        """The collection."""
        return self.connection.collection

    # -- Readiness

    def require_available(self) -> None:
        """Pass if the server answers.

        :raises UnavailableError: if not
        """
        self.connection.ping()

    def ready(self) -> str | None:
        """Return None if the server answers, else what is wrong."""
        try:
            self.connection.ping()
        except UnavailableError as error:
            return error.message
        return None

    # -- Writing

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Store the document of a dataset, or replace it.

        :raises ValidationError: if MongoDB cannot hold it
        :raises UnavailableError: if it cannot be reached
        """
        if self._search_writes:
            return
        uri = dataset_info["uri"]
        with self.connection.open() as collection:
            document = documents.fields_of(dataset_info)
            document["_retrieve"] = manifests.store(collection, uri, dataset_info["manifest"])
            replace(collection, document)
            manifests.forget(collection, uri, but=document["_retrieve"])

    def delete_dataset(self, uri: str) -> None:
        """Forget a dataset; no error if it is not there.

        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            collection.delete_one({"uri": uri})
            manifests.forget(collection, uri)

    def _edit(self, uri: str, update: Update) -> None:
        with (
            self.connection.open() as collection
        ):  # no harm is done where the search plugin has done it already
            if not collection.update_one({"uri": uri}, update).matched_count:
                raise UnknownURIError(f"No dataset is registered as {uri}")

    # -- Reading

    def get_readme(self, uri: str) -> str:
        """Return the README as it was registered.

        :raises UnknownURIError: if the dataset is not stored
        :raises UnavailableError: if the server cannot be reached
        """
        return documents.readme_of(self._read(uri, "readme"))

    def get_annotations(self, uri: str) -> dict[str, Any]:
        """Return the annotations by name. Errors as for README."""
        return documents.decoded_annotations(self._read(uri, "annotations").get("annotations") or {})

    def get_tags(self, uri: str) -> list[str]:
        """Return the tags, in the order in which they were given. Errors as for README."""
        return list(self._read(uri, "tags").get("tags") or [])

    def get_manifest(self, uri: str) -> dict[str, Any]:
        """Return the manifest: ``items``, ``hash_function`` and ``dtoolcore_version``. Errors as for README."""
        return parse_manifest(self.get_manifest_json(uri))

    def get_manifest_json(self, uri: str) -> bytes:
        """Return the manifest as JSON text in UTF-8, to be handed out without being rebuilt. Errors as for README."""
        with self.connection.open() as collection:
            return manifests.load(collection, uri)

    def _read(self, uri: str, field: str) -> Document:
        with self.connection.open() as collection:
            document = collection.find_one({"uri": uri}, {"_id": False, field: True})
        if document is None:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        return document
