"""What the search and the retrieve plugin have in common: settings, the connection, edits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dservercore.plugins.mongo.connection import Connection, Document, have_one_collection
from dservercore.plugins.mongo.edits import Editing

if TYPE_CHECKING:
    from flask import Flask
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database


class MongoPlugin(Editing):
    """A plugin with a collection of its own, or one that it shares with the other plugin.

    :ivar connection: connects when it is first used
    :ivar shares_collection: whether search and retrieve plugin are both ours, and have the same collection: then there
        is one document for both, which the search plugin writes
    :ivar longest_seconds: how long an operation may take that is expected to take longer than others
    """

    longest_seconds = 0.0

    def __init__(self, prefix: str, prepare: Callable[[Collection[Document]], None]) -> None:
        self.connection = Connection(prefix, prepare)
        self.shares_collection = False

    def get_config(self) -> dict[str, str]:
        """Return the settings ``<prefix>_URI``, ``<prefix>_DB`` and ``<prefix>_COLLECTION``."""
        return self.connection.settings_from(os.environ)

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the names of the three settings."""
        return self.connection.secrets

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Take the settings; nothing is connected to yet.

        :raises ConfigurationError: if a setting is missing or wrong
        """
        self.connection.configure(app.config, self.longest_seconds)
        self.shares_collection = have_one_collection(app)

    def require_available(self) -> None:
        """Pass if the server answers.

        :raises UnavailableError: if not
        """
        self.connection.ping()

    def list_stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each dataset that is stored.

        :raises UnavailableError: if the server cannot be reached
        """
        with self.connection.open() as collection:
            for document in collection.find({}, {"_id": False, "uri": True, "uuid": True}):
                yield str(document.get("uri")), str(document.get("uuid"))

    def is_stored(self, uri: str) -> bool:
        """Return whether a dataset is stored. Errors as above."""
        with self.connection.open() as collection:
            return collection.find_one({"uri": uri}, {"_id": True}) is not None

    # What tools and tests look at

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
