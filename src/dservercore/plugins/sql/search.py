"""Search in the SQL database itself: on SQLite with FTS5, on PostgreSQL with GIN indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from dservercore import db
from dservercore.errors import ConfigurationError
from dservercore.plugins.sql.fts5 import FTS5Index
from dservercore.plugins.sql.gin import GINIndex
from dservercore.plugins.sql.index import SqlIndex
from dservercore.plugins.tokens.index_document import analysed_edit
from dservercore.plugins.tokens.search import TokenSearch
from dservercore.plugins.tokens.time_limit import search_seconds

if TYPE_CHECKING:
    from flask import Flask

#: By the name of the database.
_INDEXES: dict[str, SqlIndex] = {"sqlite": FTS5Index(), "postgresql": GINIndex()}


class SqlSearch(TokenSearch):
    """Keeps its index in the database that holds the datasets, and changes it in the same transaction.

    A dataset's row is flushed before it is registered here, and deleted after it is deleted here.
    """

    shares_sql_session = True
    version_key = "dserver_search_plugin_sql"

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Check that the database is one that this plugin can search.

        :raises ConfigurationError: if it is not
        """
        database = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
        if database not in _INDEXES:
            raise ConfigurationError(
                "DSERVER_SEARCH_PLUGIN: the sql search plugin works on SQLite and PostgreSQL alone, and"
                f" SQLALCHEMY_DATABASE_URI is {database}; DSERVER_SEARCH_PLUGIN=mongo works with it"
            )
        _INDEXES[database].require_supported()
        self.search_seconds = search_seconds(app.config)

    @property
    def index(self) -> SqlIndex:
        """The index in the database of the current application."""
        return _INDEXES[db.kind()]

    def ready(self) -> str | None:
        """Return None if the index is there, else what is wrong."""
        return None if self.index.is_there() else "the search index is missing"

    def prepare_edit(self, field: str, value: Any) -> Any:
        """Return a new README or annotations with the tokens to store of it, for the method that sets it."""
        return analysed_edit(field, value)
