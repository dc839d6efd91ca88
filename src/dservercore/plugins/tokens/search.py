"""The base of search plugins over our text analysis: all that does not depend on where the index is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dservercore.dataset import conditions, text_query
from dservercore.dataset.facets import Facet
from dservercore.dataset.query_tree import AnyOf, Query, all_of
from dservercore.plugin_api import FacetCounts, Matches, SearchABC
from dservercore.plugins.tokens import completion, forgiving, unused_words
from dservercore.plugins.tokens.index import Index, Request
from dservercore.plugins.tokens.index_document import AnalysedDataset
from dservercore.plugins.tokens.search_order import search_order
from dservercore.plugins.tokens.time_limit import SEARCH_SECONDS, TimeLimit

if TYPE_CHECKING:
    from flask_smorest.pagination import PaginationParameters

    from dservercore.rest.sort import SortParameters


class TokenSearch(SearchABC):
    """Finds datasets by the tokens that an index keeps of them.

    :ivar search_seconds: seconds that a search may take (``DSERVER_SEARCH_TIMEOUT``)
    """

    filters = SearchABC.filters | {"uploaded_by"} | conditions.CONDITIONS
    is_forgiving = True
    groups_copies = True
    search_seconds = SEARCH_SECONDS

    @property
    @abstractmethod
    def index(self) -> Index:
        """The index that has the tokens."""

    # -- Writing

    def prepare_dataset(self, dataset_info: dict[str, Any]) -> dict[str, Any]:
        """Return a dataset's document with the tokens to store of it, for :meth:`register_datasets`."""
        return AnalysedDataset(dataset_info)

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Put a dataset into the index, or replace what is there of it.

        :raises ValidationError: if the index cannot hold it
        """
        self.register_datasets([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Put several datasets, each with another URI, into the index, or replace what is there of them.

        :raises ValidationError: if the index cannot hold one of them
        """
        self.index.store(dataset_infos)

    def delete_dataset(self, uri: str) -> None:
        """Take a dataset out of the index; no error if it is not there."""
        self.index.remove(uri)

    def set_readme(self, uri: str, readme: str) -> None:
        """Replace what is in the index of a dataset's README.

        :raises UnknownURIError: if the dataset is not in the index
        """
        self.index.set_readme(uri, readme)

    def set_tags(self, uri: str, tags: Iterable[str]) -> None:
        """Replace what is in the index of a dataset's tags.

        :raises UnknownURIError: if the dataset is not in the index
        """
        self.index.set_tags(uri, tags)

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace what is in the index of a dataset's annotations.

        :raises UnknownURIError: if the dataset is not in the index
        """
        self.index.set_annotations(uri, annotations)

    # -- Checking

    def list_stored(self) -> Iterable[tuple[str, str]]:
        """Yield URI and UUID of each dataset that is in the index."""
        return self.index.stored()

    def is_stored(self, uri: str) -> bool:
        """Return whether a dataset is in the index."""
        return self.index.contains(uri)

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the index has a dataset as :meth:`register_dataset` would put it there."""
        return self.index.holds(dataset_info)

    def list_outdated(self) -> Iterable[str]:
        """Yield the URI of each dataset that another version of the server has put into the index."""
        return self.index.outdated()

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole: a text such as ``is missing`` for each fault."""
        return self.index.faults() or unused_words.faults(self.index)

    def mend_faults(self) -> None:
        """Mend what :meth:`faults` has found."""
        if self.index.faults():
            self.index.mend()
        unused_words.remove(self.index)

    # -- Searching

    def search(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters | None = None,
        sort_parameters: SortParameters | None = None,
    ) -> list[dict[str, Any]]:
        """Return the dataset objects that match, one page or all of them; times are seconds since the epoch, UTC.

        :raises ValidationError: 422, if ``free_text`` is too long or a sort field unknown
        :raises UnavailableError: if it takes longer than ``DSERVER_SEARCH_TIMEOUT``, or the index cannot be reached
        """
        offset, size = 0, None
        if pagination_parameters is not None:
            offset, size = pagination_parameters.first_item, pagination_parameters.page_size
        limit = TimeLimit(self.search_seconds)
        answer = self._answer(query, sort_parameters, offset, size, limit)
        if pagination_parameters is not None:
            pagination_parameters.item_count = answer.number
            pagination_parameters.search_report = answer.done
            pagination_parameters.answered_query = answer.query
        return answer.found

    def complete(self, text: str, base_uris: Sequence[str], most: int) -> list[str]:
        """Return texts that are *text* with its last word completed, each of which finds a dataset in the base URIs.

        :param most: how many texts at most
        :raises UnavailableError: if it takes longer than ``DSERVER_SEARCH_TIMEOUT``, or the index cannot be reached
        """
        return completion.complete(text, self.index, base_uris, most, TimeLimit(self.search_seconds))

    def search_all(self, query: dict[str, Any], sort_parameters: SortParameters | None = None) -> Matches:
        """Return the keys of all datasets that answer a query: just those that its total counts.

        :raises ValidationError: 422, if ``free_text`` is too long or a sort field unknown
        :raises UnavailableError: if finding out what answers it, or finding all of that, takes longer than
            ``DSERVER_SEARCH_TIMEOUT``, or the index cannot be reached
        """
        limit = TimeLimit(self.search_seconds)
        answer = self._answer(query, sort_parameters, 0, 1, limit)
        if answer.request is None or not answer.number:
            return Matches((), answer.done)
        request = replace(answer.request, size=None)
        return Matches(self.index.keys(request, TimeLimit(self.search_seconds)), answer.done)

    def fetch(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the dataset objects of keys, in their order; times are seconds since the epoch, UTC.

        :param keys: some of those that :meth:`search_all` has returned; those of datasets that are gone are left out
        :raises UnavailableError: if the index cannot be reached
        """
        return self.index.objects(keys)

    def _answer(
        self,
        query: Mapping[str, Any],
        sort_parameters: SortParameters | None,
        offset: int,
        size: int | None,
        limit: TimeLimit,
    ) -> _Answer:
        """Return the answer to a query, with *size* dataset objects of it from *offset* on; None: with all of them.

        With none of them, it says what was looked for, in the end, and only that.

        :raises ValidationError: 422, if ``free_text`` is too long or a sort field unknown
        :raises UnavailableError: if it takes longer than ``DSERVER_SEARCH_TIMEOUT``, or the index cannot be reached
        """
        has_text = query.get("free_text") is not None
        words = text_query.parse(query["free_text"]) if has_text else Query()
        asked = Query((*words.nodes, *conditions.nodes_of(query)))
        order = search_order(sort_parameters, has_words=bool(words.terms))
        request = Request(
            asked,
            query,
            order,
            offset,
            size,
            named=forgiving.name_of(words) if "relevance" in order else None,
            is_grouped=query.get("group") == "uuid",
        )
        if has_text and not words:
            return _Answer(None)
        if size == 0 and (not words or query.get("strict") or not query.get("base_uris")):
            return _Answer(request)
        if not query.get("base_uris"):
            return _Answer(None)
        if not words or query.get("strict") or size is None:
            answer = self._found(request, limit)
        else:
            has_order = getattr(sort_parameters, "is_given", bool(order))
            answer = self._forgiving(request, len(asked.nodes) - len(words.nodes), has_order, limit)
        limit.seconds_left()  # each of several statements may have taken as long as all may
        return answer

    def count_facets(
        self,
        query: dict[str, Any],
        facets: Sequence[Facet],
        base_uris: Sequence[str],
        sort_parameters: SortParameters | None = None,
    ) -> FacetCounts:
        """Return how many of the datasets that match have each value of facets, without the values that none has.

        Each facet is counted without its own filter. The words are those that the whole query is answered with: if each
        facet were counted with what may be meant without its filter, the facets would be about different questions.

        :param facets: names of those to count
        :param base_uris: all that the asker may search, in which the facet ``base_uris`` is counted
        :raises ValidationError: 422, if ``free_text`` is too long or a sort field unknown
        :raises UnavailableError: if it takes longer than ``DSERVER_SEARCH_TIMEOUT``, or the index cannot be reached
        """
        limit = TimeLimit(self.search_seconds)
        answer = self._answer(query, sort_parameters, 0, 0, limit)
        counts: dict[Facet, dict[str, int]] = {name: {} for name in facets}
        if answer.request is not None:
            for request, names in _without_own_filters(answer.request, facets, base_uris):
                if request.filters["base_uris"]:
                    counts |= self.index.facet_counts(request, names, limit)
        return FacetCounts(counts, answer.done)

    def _found(self, request: Request, limit: TimeLimit, done: dict[str, Any] | None = None) -> _Answer:
        if request.size == 0:
            return _Answer(request, self.index.number(request, forgiving.ENOUGH, limit), [], done)
        number, found = self.index.find(request, limit)
        return _Answer(request, number, found, done)

    def _forgiving(self, request: Request, conditions: int, has_order: bool, limit: TimeLimit) -> _Answer:
        """Return the answer to a query that has words: what answers it as it is typed comes first.

        The rest follows only where little answers it as it is typed, or nothing unless the best is to come first.

        :param conditions: how many of its nodes are none of the text
        :param has_order: whether the order is somebody's wish
        """
        by_relevance = "relevance" in request.order
        typed = forgiving.telling(request.words) if by_relevance else request.words
        strict = self._found(replace(request, words=typed), limit)
        strict_total = strict.number
        if typed != request.words:
            strict_total, _ = self.index.find(replace(request, order={}, offset=0, size=1), limit)
            optional = forgiving.stop_words(request.words)
            strict = replace(
                strict, done={"corrected": {}, "optional": optional, "strict_total": strict_total}
            )
        if strict.number >= (forgiving.ENOUGH if by_relevance else 1) or (
            strict.number and len(typed.nodes) - conditions == 1
        ):
            return strict
        base_uris = request.filters["base_uris"]
        forgiven = forgiving.forgive(
            request.words,
            self.index.vocabulary,
            base_uris,
            lambda nodes: self.index.count(nodes, base_uris, limit),
        )
        if forgiven is None:
            return strict
        order = request.order if by_relevance or has_order else {"relevance": -1}
        done = {
            "corrected": forgiven.corrected,
            "optional": forgiven.optional,
            "strict_total": strict_total,
        }
        for query in forgiven.queries:
            words = _either(typed, query) if strict.number else query
            wider = replace(request, words=words, order=order, ranking=forgiven.parts)
            answer = self._found(wider, limit, done)
            if answer.number > strict.number:
                return answer
        return strict


def _without_own_filters(
    request: Request, facets: Sequence[Facet], base_uris: Sequence[str]
) -> list[tuple[Request, list[Facet]]]:
    """Return facets by what is asked for where they are counted: everything but what they are filtered by themselves.

    :param base_uris: in which the facet ``base_uris`` is counted
    """
    alike: list[Facet] = []
    found: list[tuple[Request, list[Facet]]] = [(request, alike)]
    for name in facets:
        if name == "base_uris":
            filters = {**request.filters, name: list(base_uris)}
        else:
            filters = {key: value for key, value in request.filters.items() if key != name}
        if filters == request.filters:
            alike.append(name)
        else:
            own = conditions.nodes_of({name: request.filters[name]})
            words = Query(tuple(node for node in request.words.nodes if node not in own))
            found.append((replace(request, filters=filters, words=words), [name]))
    return found if alike else found[1:]


@dataclass(frozen=True)
class _Answer:
    """What a query was answered with.

    :ivar request: what was found, in the end; None: nothing was looked for, because nothing can be found
    :ivar number: how many datasets it has; where none of them was wanted, of many only that they are enough
    :ivar found: the dataset objects of the page
    :ivar done: what was done to the query, as the search report has it; None: nothing
    """

    request: Request | None
    number: int = 0
    found: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, Any] | None = None

    @property
    def query(self) -> Query | None:
        """What the datasets have of what was asked, or may have, without words that say nothing; None: no words."""
        if self.request is None or not self.request.words:
            return None
        parts = [part.node for part in self.request.ranking or ()]
        return forgiving.telling(Query((*self.request.words.nodes, *parts)))


def _either(first: Query, second: Query) -> Query:
    """Return what one of two queries asks for."""
    both = tuple(node for node in first.nodes if node in second.nodes)
    rest = [[node for node in query.nodes if node not in both] for query in (first, second)]
    return Query((*both, AnyOf(tuple(map(all_of, rest))))) if all(rest) else Query(both)
