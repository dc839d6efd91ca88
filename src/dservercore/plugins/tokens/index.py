"""The interface of an index, in which a search plugin over our text analysis keeps the tokens of datasets.

A new backend implements it, and a :class:`~dservercore.plugins.tokens.search.TokenSearch` that hands it out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dservercore.dataset.facets import Facet
from dservercore.dataset.query_tree import Exactly, Node, Query, Term, Text, all_of, any_of
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.plugins.tokens.vocabulary import Vocabulary

#: More than any dataset can be relevant: by so much those are ahead that come before others.
AHEAD = 1e6


@dataclass(frozen=True)
class Way:
    """One way in which a dataset may have a part of what is asked for.

    :param terms: it must have all of them
    :param worth: how much it counts, from 0 to 1 for what is asked for itself
    :param condition: what it must fulfil instead, which says where the terms are; None: they may be anywhere
    """

    terms: tuple[Term, ...]
    worth: float = 1.0
    condition: Node | None = None

    @property
    def node(self) -> Node:
        """The condition that a dataset has it."""
        return self.condition or all_of(list(map(Text, self.terms)))


@dataclass(frozen=True)
class Part:
    """A part of what is asked for, such as a word, which a dataset need not have.

    :param ways: to have it; the one that counts most does
    :param rarity: how much the part counts
    """

    ways: tuple[Way, ...]
    rarity: float

    @property
    def node(self) -> Node:
        """The condition that a dataset has the part."""
        return any_of([way.node for way in self.ways])


@dataclass(frozen=True)
class Request:
    """What is looked for, and which of it is wanted.

    :param words: what a dataset must answer by its words; empty: any dataset answers it
    :param filters: any of ``creator_usernames``, ``uuids``, ``tags`` and ``uploaded_by``, and always ``base_uris``, not
        empty: lists of str. A dataset must have all of the tags, and one of the others.
    :param order: ``{field of a dataset object or "relevance": 1 or -1}``; equals are sorted by URI
    :param ranking: what makes a dataset relevant; None: the words are, as rare as they are
    :param named: datasets that fulfil this, being called so, come before all others by relevance; None: none do
    :param is_grouped: whether datasets with the same UUID count as one: the first of them in the order, by itself
    :param offset: how many datasets come before the wanted ones
    :param size: how many are wanted at most; None: all of them, and nobody asks how many there are
    """

    words: Query
    filters: Mapping[str, Any]
    order: Mapping[str, int]
    offset: int = 0
    size: int | None = None
    ranking: tuple[Part, ...] | None = None
    named: Exactly | None = None
    is_grouped: bool = False


class Index(ABC):
    """Keeps tokens of datasets by their URIs, as ``index_document`` makes them, and finds datasets by them."""

    @abstractmethod
    def store(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Put several datasets, each with another URI, into the index, in place of what is there of them.

        :param dataset_infos: their documents; those that are ``AnalysedDataset`` are not analysed again
        """

    @abstractmethod
    def remove(self, uri: str) -> None:
        """Take a dataset out of the index; no error if it is not there."""

    @abstractmethod
    def set_readme(self, uri: str, readme: str) -> None:
        """Replace what is in the index of a dataset's README.

        :raises UnknownURIError: if the dataset is not in the index
        """

    @abstractmethod
    def set_tags(self, uri: str, tags: Iterable[str]) -> None:
        """Replace what is in the index of a dataset's tags.

        :raises UnknownURIError: if the dataset is not in the index
        """

    @abstractmethod
    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace what is in the index of a dataset's annotations.

        :raises UnknownURIError: if the dataset is not in the index
        """

    @abstractmethod
    def stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each dataset that is in the index."""

    @abstractmethod
    def contains(self, uri: str) -> bool:
        """Return whether a dataset is in the index."""

    @abstractmethod
    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the index has a dataset as :meth:`store` would put it there."""

    @abstractmethod
    def outdated(self) -> Iterator[str]:
        """Yield the URI of each dataset that another version of the text analysis has put into the index."""

    @abstractmethod
    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole: a text such as ``is missing`` for each fault."""

    @abstractmethod
    def mend(self) -> None:
        """Mend what :meth:`faults` has found."""

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """The words of the datasets as they are spelled."""

    @abstractmethod
    def count(
        self, nodes: Sequence[Node], base_uris: Sequence[str], limit: TimeLimit
    ) -> tuple[int, list[int]]:
        """Return how many datasets there are in the base URIs, and how many of them fulfil each node.

        :raises UnavailableError: if it takes longer than *limit* allows
        """

    @abstractmethod
    def finds(self, queries: Sequence[Query], base_uris: Sequence[str], limit: TimeLimit) -> list[bool]:
        """Return, for each query, whether any dataset in the base URIs answers it.

        :raises UnavailableError: if it takes longer than *limit* allows
        """

    @abstractmethod
    def number(self, request: Request, most: int, limit: TimeLimit) -> int:
        """Return how many datasets match, or a number from *most* on if these are as many or more.

        :raises UnavailableError: if it takes longer than *limit* allows
        """

    @abstractmethod
    def facet_counts(
        self, request: Request, names: Collection[Facet], limit: TimeLimit
    ) -> dict[Facet, dict[str, int]]:
        """Return how many of the datasets that match have each value of each of the facets.

        :param names: of the facets (``dataset.facets.FACETS``)
        :returns: numbers of datasets, none of them 0, by value, by name; of ``annotations`` the first
            ``MAX_ANNOTATION_NAMES`` names of each dataset count
        :raises UnavailableError: if it takes longer than *limit* allows
        """

    @abstractmethod
    def find(self, request: Request, limit: TimeLimit) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of the page that *request* asks for.

        Times are in seconds since the epoch, UTC. Of datasets in other base URIs, nothing can be told from the order.
        Where copies are grouped, it is the number of different UUIDs.

        :raises UnavailableError: if it takes longer than *limit* allows
        """

    @abstractmethod
    def keys(self, request: Request, limit: TimeLimit) -> Sequence[Any]:
        """Return the keys of all datasets that match, in the order that *request* asks for, whatever page it asks for.

        :raises UnavailableError: if it takes longer than *limit* allows
        """

    @abstractmethod
    def objects(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the dataset objects of some keys, in their order; those of datasets that are gone are left out.

        Times are in seconds since the epoch, UTC.
        """
