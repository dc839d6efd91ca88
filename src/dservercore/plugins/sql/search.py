"""Search in the SQL database itself: on SQLite with FTS5, on PostgreSQL with GIN indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from dservercore import db, text_query
from dservercore.errors import ConfigurationError
from dservercore.plugin_api import SearchABC
from dservercore.plugins.index_document import (
    AnalysedDataset,
    Facet,
    analysed_edit,
    annotation_columns,
    facet,
    index_document,
    readme_columns,
    tag_columns,
)
from dservercore.plugins.search_order import search_order
from dservercore.plugins.sql import fts5, gin
from dservercore.plugins.time_limit import SEARCH_SECONDS, TimeLimit, search_seconds

if TYPE_CHECKING:
    from flask import Flask
    from flask_smorest.pagination import PaginationParameters

    from dservercore.plugins.sql.columns import Index
    from dservercore.sort import SortParameters

#: What keeps the index, by the name of the database.
_INDEXES: dict[str, Index] = {"sqlite": fts5, "postgresql": gin}

_ANY_OF_FILTERS: dict[str, Facet] = {
    "creator_usernames": "creator",
    "uuids": "uuid",
    "uploaded_by": "uploader",
}


class SqlSearch(SearchABC):
    """Keeps its index in the database that holds the datasets, and changes it in the same transaction.

    A dataset's row is flushed before it is registered here, and deleted after it is deleted here.
    """

    shares_sql_session = True
    version_key = "dserver_search_plugin_sql"
    search_seconds = SEARCH_SECONDS
    filters = SearchABC.filters | {"uploaded_by"}

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

    def ready(self) -> str | None:
        """Return None if the index is there."""
        return None if _index().is_there() else "the search index is missing"

    def prepare_dataset(self, dataset_info: dict[str, Any]) -> dict[str, Any]:
        """Return a dataset's document with the tokens to store of it, for :meth:`register_datasets`."""
        return AnalysedDataset(dataset_info)

    def prepare_edit(self, field: str, value: Any) -> Any:
        """Return a new README or annotations with the tokens to store of it, for the method that sets it."""
        return analysed_edit(field, value)

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Put a dataset into the index, or replace what is there of it.

        :raises UnknownURIError: if the dataset has no row
        """
        self.register_datasets([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Do so for different datasets."""
        _index().store({info["uri"]: partial(index_document, info) for info in dataset_infos})

    def delete_dataset(self, uri: str) -> None:
        """Take a dataset out of the index; no error if it is not there."""
        _index().remove(uri)

    def list_stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each registered dataset that is in the index."""
        return _index().stored()

    def is_stored(self, uri: str) -> bool:
        """Return whether a dataset is in the index."""
        return _index().contains(uri)

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the index has a dataset as :meth:`register_dataset` would put it there."""
        return _index().holds(dataset_info["uri"], lambda row: index_document(dataset_info, row))

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole."""
        return _index().faults()

    def mend_faults(self) -> None:
        """Make the index anew from what is known to be in it."""
        _index().rebuild()

    def set_tags(self, uri: str, tags: Iterable[str]) -> None:
        """Replace what is in the index of a dataset's tags.

        :raises UnknownURIError: if the dataset is not in the index
        """
        _index().change(uri, lambda row: tag_columns(tags, row))

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace what is in the index of a dataset's annotations.

        :raises UnknownURIError: if the dataset is not in the index
        """
        _index().change(uri, lambda _row: annotation_columns(annotations))

    def set_readme(self, uri: str, readme: str) -> None:
        """Replace what is in the index of a dataset's README.

        :raises UnknownURIError: if the dataset is not in the index
        """
        _index().change(uri, lambda _row: readme_columns(readme))

    def search(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters | None = None,
        sort_parameters: SortParameters | None = None,
    ) -> list[dict[str, Any]]:
        """Return one page of the dataset objects that match, times in seconds since the epoch, UTC.

        :raises ValidationError: 422, if ``free_text`` is too long or a sort field unknown
        :raises UnavailableError: if it takes longer than ``DSERVER_SEARCH_TIMEOUT``
        """
        words = text_query.Query()
        if query.get("free_text") is not None:
            words = text_query.parse(query["free_text"])
        order = search_order(sort_parameters, has_words=bool(words.all_of))
        base_uris = query.get("base_uris")
        if not base_uris or (query.get("free_text") is not None and not words):
            if pagination_parameters is not None:
                pagination_parameters.item_count = 0
            return []
        index = _index()
        offset, size = 0, None
        if pagination_parameters is not None:
            offset, size = pagination_parameters.first_item, pagination_parameters.page_size
        limit = TimeLimit(self.search_seconds)
        with index.within(limit):
            match = index.match(words, _facets(query), base_uris)
            number, found = index.find(match, order, offset, size)
        limit.seconds_left()  # several statements have had the time of one each
        if pagination_parameters is not None:
            pagination_parameters.item_count = number
        return found


def _index() -> Index:
    """Return what keeps the index in the database of the current application."""
    return _INDEXES[db.kind()]


def _facets(query: Mapping[str, Any]) -> list[list[str]]:
    """Return groups of facets, of each of which a dataset must have one."""
    groups = [
        [facet(kind, value.lower() if kind == "uuid" else value) for value in query[field]]
        for field, kind in _ANY_OF_FILTERS.items()
        if query.get(field)
    ]
    return groups + [[facet("tag", tag)] for tag in query.get("tags") or []]
