"""What the search and the retrieve plugin on MongoDB have in common: settings and the connection."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dservercore.plugins.mongo.connection import Connection, Document, have_one_collection

if TYPE_CHECKING:
    from flask import Flask
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database


class MongoPlugin:
    """A plugin with a collection of its own, or one that it shares with the other plugin.

    :param prefix: how the names of its settings begin: ``SEARCH_MONGO`` or ``RETRIEVE_MONGO``
    :param prepare: is called with the collection before its first use in a process
    :ivar connection: connects when it is first used
    :ivar shares_collection: whether search and retrieve plugin are both ours, and have the same collection: then there
        is one document for both, which the search plugin writes
    :ivar longest_seconds: how long the longest operation, a search, may take; 0: none takes longer than others
    """

    longest_seconds = 0.0

    def __init__(self, prefix: str, prepare: Callable[[Collection[Document]], None]) -> None:
        self.connection = Connection(prefix, prepare)
        self.shares_collection = False

    def get_config(self) -> dict[str, str]:
        """Return ``<prefix>_URI``, ``_DB`` and ``_COLLECTION`` as the environment has them, or their defaults."""
        return self.connection.settings_from(os.environ)

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the names of the settings that must not be shown: all three."""
        return self.connection.secrets

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Take the settings from the configuration of *app*, without connecting to the server.

        :raises ConfigurationError: if a setting is missing or wrong
        """
        self.connection.configure(app.config, self.longest_seconds)
        self.shares_collection = have_one_collection(app)

    def require_available(self) -> None:
        """Pass if the MongoDB server answers.

        :raises UnavailableError: if it does not
        """
        self.connection.ping()

    # For tools and tests

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
