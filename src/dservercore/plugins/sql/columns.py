"""What the search indexes of all SQL databases have in common: their columns, and the dataset objects they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dservercore.dataset_info import TIMES
from dservercore.date_utils import stored_timestamp
from dservercore.plugins.time_limit import TimeLimit
from dservercore.text_query import Query

#: The columns of an index, and how much a word found there counts for relevance.
WEIGHTS = {"name": 12, "tags": 9, "lead": 7, "readme": 1, "annotations": 1, "rest": 0.5, "facets": 0}

#: From the dataset's row (``base_uri_id``, ``creator_username``, ``uploaded_by``, ``uuid``) to tokens by column.
Columns = Callable[[Mapping[str, Any]], Mapping[str, str]]

#: The dataset object of the REST API: ``d`` is the dataset's row, ``b`` that of its base URI.
FIELDS = {
    "base_uri": "b.base_uri",
    "uri": "d.uri",
    "uuid": "d.uuid",
    "name": "d.name",
    "creator_username": "d.creator_username",
    "created_at": "d.created_at",
    "frozen_at": "d.frozen_at",
    "number_of_items": "d.number_of_items",
    "size_in_bytes": "d.size_in_bytes",
    "uploaded_by": "d.uploaded_by",
    "uploaded_at": "d.uploaded_at",
}


class Index(Protocol):
    """A module that keeps the index in one kind of database. What it takes for a match is its own affair."""

    def require_supported(self) -> None:
        """Pass if the index can be used here."""

    def is_there(self) -> bool:
        """Return whether the database has the index."""

    def store(self, wanted: Mapping[str, Columns]) -> None:
        """Put datasets, by their URIs, into the index, in place of what is there of them."""

    def change(self, uri: str, changed_columns: Columns) -> None:
        """Replace some of the columns."""

    def remove(self, uri: str) -> None:
        """Take a dataset out of the index, if it is there, while its row still exists."""

    def stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each registered dataset that is in the index."""

    def contains(self, uri: str) -> bool:
        """Return whether the index has a dataset."""

    def holds(self, uri: str, columns: Columns) -> bool:
        """Return whether the index has these columns of a dataset."""

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole."""

    def rebuild(self) -> None:
        """Make the index anew from what is remembered of it."""

    def within(self, limit: TimeLimit) -> AbstractContextManager[None]:
        """Limit the time of the searches that are made inside.

        :raises UnavailableError: if they take longer
        """

    def match(self, query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]) -> Any:
        """Return what to look for."""

    def find(
        self, match: Any, order: Mapping[str, int], offset: int, limit: int | None
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of one page. Equals are sorted by URI.

        :param order: ``{field of a dataset object or "relevance": 1 or -1}``
        :param limit: None: all from *offset* on
        """


def sorted_by(order: Mapping[str, int], columns: Mapping[str, str]) -> str:
    """Return what stands after ORDER BY. Where *order* leaves datasets equal, their URI decides."""
    terms = [f"{columns[field]} {'ASC' if direction > 0 else 'DESC'}" for field, direction in order.items()]
    return ", ".join(terms if "uri" in order else [*terms, columns["uri"]])


def dataset_object(row: Iterable[Any]) -> dict[str, Any]:
    """Return the dataset object of a row with ``FIELDS``; SQLite has times as text."""
    dataset = dict(zip(FIELDS, row, strict=True))
    for field in TIMES:
        dataset[field] = stored_timestamp(dataset[field])
    return dataset
