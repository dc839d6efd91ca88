"""Search in MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dservercore.errors import UnavailableError
from dservercore.plugins.mongo import prepare
from dservercore.plugins.mongo.base import MongoPlugin
from dservercore.plugins.mongo.search_index import MongoIndex
from dservercore.plugins.tokens.search import TokenSearch
from dservercore.plugins.tokens.time_limit import search_seconds

if TYPE_CHECKING:
    from flask import Flask


class MongoSearch(MongoPlugin, TokenSearch):
    """Keeps a document for each dataset, with its words, in the collection that ``SEARCH_MONGO_COLLECTION`` names.

    Connects when it is first used. If the retrieve plugin is the bundled one and has the same collection, there is
    one document for both, and this plugin writes it.
    """

    version_key = "dserver_search_plugin_mongo"

    def __init__(self) -> None:
        super().__init__("SEARCH_MONGO", prepare.for_search)
        self._index = MongoIndex(self.connection)

    @property
    def index(self) -> MongoIndex:
        """The index in the collection."""
        return self._index

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Take the settings from the configuration of *app*, without connecting to the server.

        :raises ConfigurationError: if a setting is missing or wrong
        """
        self.search_seconds = self.longest_seconds = search_seconds(app.config)
        super().init_app(app, *args, **kwargs)
        self.index.has_manifests = self.shares_collection

    def ready(self) -> str | None:
        """Return None if every dataset can be found, else a text that says what is wrong."""
        try:
            self.connection.ping()
            with self.connection.open() as collection:
                unindexed = prepare.remaining(collection)
                if unindexed:  # another program may have written them since the start
                    prepare.adopt_beside(collection)
        except UnavailableError as error:
            return error.message
        return f"{unindexed} datasets are still to be indexed" if unindexed else None

    # Edits that leave alone what somebody else changes at the same time

    def add_tag(self, uri: str, tag: str) -> None:
        """Add a tag, if it is not there.

        :raises UnknownURIError: if the dataset is not stored
        """
        self.index.add_tag(uri, tag)

    def remove_tag(self, uri: str, tag: str) -> None:
        """Remove a tag, if it is there.

        :raises UnknownURIError: if the dataset is not stored
        """
        self.index.remove_tag(uri, tag)

    def set_annotation(self, uri: str, name: str, value: Any) -> None:
        """Set one annotation.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold it
        """
        self.index.set_annotation(uri, name, value)

    def delete_annotation(self, uri: str, name: str) -> None:
        """Remove one annotation, if it is there.

        :raises UnknownURIError: if the dataset is not stored
        """
        self.index.delete_annotation(uri, name)
