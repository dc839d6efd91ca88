"""The search index in an SQL database: from documents to columns of tokens, and from a request to what matches."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from dservercore.dataset.facets import Facet
from dservercore.dataset.query_tree import Node, Query
from dservercore.plugins.sql import facets, numbers, vocabulary
from dservercore.plugins.sql.columns import FIELDS, Columns, dataset_object
from dservercore.plugins.sql.list_values import rows_with_lists
from dservercore.plugins.tokens.index import Index, Request
from dservercore.plugins.tokens.index_document import (
    AnalysedDataset,
    FacetKind,
    annotation_columns,
    annotation_numbers,
    annotation_values,
    facet,
    facet_values,
    index_document,
    readme_columns,
    tag_columns,
    tag_values,
)
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.plugins.tokens.vocabulary import Vocabulary, words_by_place

_VOCABULARY = vocabulary.SqlVocabulary()

_OBJECTS = (
    f"SELECT d.id, {', '.join(FIELDS.values())}"
    " FROM dataset d JOIN base_uri b ON b.id = d.base_uri_id WHERE d.id {in_ids}"
)

_ANY_OF_FILTERS: dict[str, FacetKind] = {
    "creator_usernames": "creator",
    "uuids": "uuid",
    "uploaded_by": "uploader",
}


class Keys(NamedTuple):
    """The primary keys of a dataset and of its base URI."""

    id: int
    base_uri_id: int


class SqlIndex(Index):
    """Keeps the index beside the datasets' rows, and changes it in the same transaction.

    What :meth:`match` returns differs between databases; :meth:`page` of the same class takes it.
    """

    @abstractmethod
    def require_supported(self) -> None:
        """Pass if the index can be used here.

        :raises ConfigurationError: if not
        """

    @abstractmethod
    def is_there(self) -> bool:
        """Return whether the database has the index."""

    @abstractmethod
    def put(self, wanted: Mapping[str, Columns]) -> dict[str, Keys]:
        """Put datasets into the index, in place of what is there of them, and return their keys by URI.

        :param wanted: by URI, what makes the dataset's columns of its row
        :raises UnknownURIError: if a dataset has no row
        """

    @abstractmethod
    def change(self, uri: str, changed_columns: Columns) -> Keys:
        """Replace some of the columns of a dataset, and return its keys.

        :raises UnknownURIError: if the dataset is not in the index
        """

    @abstractmethod
    def has(self, uri: str, columns: Columns) -> bool:
        """Return whether the index has a dataset with the columns that *columns* makes of its row."""

    @abstractmethod
    def within(self, limit: TimeLimit) -> AbstractContextManager[None]:
        """Limit the time of the statements in a ``with`` block.

        :raises UnavailableError: if they take longer
        """

    @abstractmethod
    def match(self, query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]) -> Any:
        """Return what to look for: datasets in *base_uris* that answer *query* and have a facet of each group.

        :param query: what to look for in the words; empty: any dataset answers it
        :param facets: groups of facet tokens, alternatives within a group
        """

    @abstractmethod
    def page(self, match: Any, request: Request) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of the page that *request* asks for.

        :param match: what :meth:`match` has returned
        """

    @abstractmethod
    def ids(self, match: Any, request: Request) -> array[int]:
        """Return the primary keys of all datasets that match, in the order that *request* asks for.

        :param match: what :meth:`match` has returned
        """

    @abstractmethod
    def numbers(self, nodes: Sequence[Node], base_uris: Sequence[str]) -> tuple[int, list[int]]:
        """Return how many datasets there are in the base URIs, and how many of them fulfil each node."""

    @abstractmethod
    def number_of(self, match: Any, most: int) -> int:
        """Return how many datasets match, or a number from *most* on if these are as many or more.

        :param match: what :meth:`match` has returned
        """

    @abstractmethod
    def facet_groups(self, match: Any) -> str:
        """Return the facet groups of all datasets that match, with commas in between (see ``facets``).

        :param match: what :meth:`match` has returned
        """

    @abstractmethod
    def exist(self, queries: Sequence[Query], base_uris: Sequence[str]) -> list[bool]:
        """Return, for each query, whether any dataset in the base URIs answers it."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the datasets as they are spelled."""
        return _VOCABULARY

    def store(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Put several datasets, each with another URI, into the index, in place of what is there of them.

        :raises UnknownURIError: if a dataset has no row
        """
        infos: list[AnalysedDataset] = []
        values: dict[str, str] = {}

        def columns(dataset_info: dict[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
            analysed = (
                dataset_info if isinstance(dataset_info, AnalysedDataset) else AnalysedDataset(dataset_info)
            )
            infos.append(analysed)
            values.update(facet_values(analysed, row))
            return index_document(analysed, row)

        keys = self.put({info["uri"]: partial(columns, info) for info in dataset_infos})
        facets.learn(values)
        numbers.put({keys[info["uri"]].id: annotation_numbers(info["annotations"]) for info in infos})
        vocabulary.learn(words_by_place((keys[info["uri"]].base_uri_id, info.columns) for info in infos))

    def set_readme(self, uri: str, readme: str) -> None:
        """Replace what is in the index of a dataset's README.

        :raises UnknownURIError: if the dataset is not in the index
        """
        columns = readme_columns(readme)
        keys = self.change(uri, lambda _row: columns)
        vocabulary.learn(words_by_place([(keys.base_uri_id, columns)]))

    def set_tags(self, uri: str, tags: Iterable[str]) -> None:
        """Replace what is in the index of a dataset's tags.

        :raises UnknownURIError: if the dataset is not in the index
        """
        tags = list(tags)
        columns = tag_columns(tags)
        keys = self.change(uri, lambda _row: columns)
        facets.learn(tag_values(tags))
        vocabulary.learn(words_by_place([(keys.base_uri_id, columns)]))

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace what is in the index of a dataset's annotations.

        :raises UnknownURIError: if the dataset is not in the index
        """
        columns = annotation_columns(annotations)
        keys = self.change(uri, lambda _row: columns)
        facets.learn(annotation_values(annotations))
        numbers.put({keys.id: annotation_numbers(annotations)})
        vocabulary.learn(words_by_place([(keys.base_uri_id, columns)]))

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the index has a dataset as :meth:`store` would put it there."""
        uri = dataset_info["uri"]
        return numbers.of(uri) == set(annotation_numbers(dataset_info["annotations"])) and self.has(
            uri, lambda row: index_document(dataset_info, row)
        )

    def number(self, request: Request, most: int, limit: TimeLimit) -> int:
        """Return how many datasets match, or a number from *most* on if these are as many or more.

        :raises UnavailableError: if it takes longer than *limit* allows
        """
        with self.within(limit):
            return self.number_of(self._match(request), most)

    def facet_counts(
        self, request: Request, names: Collection[Facet], limit: TimeLimit
    ) -> dict[Facet, dict[str, int]]:
        """Return how many of the datasets that match have each value of each of the facets.

        :raises UnavailableError: if it takes longer than *limit* allows
        """
        with self.within(limit):
            if not request.words and not _facets(request.filters):
                return facets.in_base_uris(request.filters["base_uris"], names)
            return facets.of_datasets(self.facet_groups(self._match(request)), names)

    def _match(self, request: Request) -> Any:
        return self.match(request.words, _facets(request.filters), request.filters["base_uris"])

    def find(self, request: Request, limit: TimeLimit) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of the page that *request* asks for.

        :raises UnavailableError: if it takes longer than *limit* allows
        """
        with self.within(limit):
            return self.page(self._match(request), request)

    def keys(self, request: Request, limit: TimeLimit) -> array[int]:
        """Return the primary keys of all datasets that match, in the order that *request* asks for.

        :raises UnavailableError: if it takes longer than *limit* allows
        """
        with self.within(limit):
            return self.ids(self._match(request), request)

    def objects(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        """Return the dataset objects of primary keys, in their order; those of datasets that are gone are left out."""
        rows = {id_: row for id_, *row in rows_with_lists(_OBJECTS, ids=list(keys))}
        return [dataset_object(rows[key]) for key in keys if key in rows]

    def count(
        self, nodes: Sequence[Node], base_uris: Sequence[str], limit: TimeLimit
    ) -> tuple[int, list[int]]:
        """Return how many datasets there are in the base URIs, and how many of them fulfil each node.

        :raises UnavailableError: if it takes longer than *limit* allows
        """
        with self.within(limit):
            return self.numbers(nodes, base_uris)

    def finds(self, queries: Sequence[Query], base_uris: Sequence[str], limit: TimeLimit) -> list[bool]:
        """Return, for each query, whether any dataset in the base URIs answers it.

        :raises UnavailableError: if it takes longer than *limit* allows
        """
        with self.within(limit):
            return self.exist(queries, base_uris)


def _facets(filters: Mapping[str, Any]) -> list[list[str]]:
    """Return groups of facets; a dataset must have at least one of each group."""
    groups = [
        [facet(kind, value.lower() if kind == "uuid" else value) for value in filters[field]]
        for field, kind in _ANY_OF_FILTERS.items()
        if filters.get(field)
    ]
    return groups + [[facet("tag", tag)] for tag in filters.get("tags") or []]
