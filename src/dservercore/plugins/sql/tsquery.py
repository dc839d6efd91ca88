"""From the query language to what PostgreSQL understands.

Words, prefixes, filters and a few base URIs become one ``tsquery``, which a GIN index answers without looking at a row.
What it cannot tell becomes a condition in SQL: that words follow each other, or stand in one column, for which the
tokens themselves are read, of the datasets alone that have all of them; how large a dataset is, and the like; and long
lists of base URIs or facets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dservercore.dataset.analysis import BREAK
from dservercore.dataset.file_names import pattern_of
from dservercore.dataset.query_tree import (
    All,
    AnyOf,
    Column,
    Exactly,
    FileName,
    Node,
    Not,
    Query,
    Term,
    Text,
    every_leaf,
)
from dservercore.models import SEARCH_INDEX
from dservercore.plugins.sql import conditions
from dservercore.plugins.tokens.index_document import BASE_URI, EVERY, FORM, facet_of
from dservercore.plugins.tokens.weights import WEIGHTS

#: The facet of a dataset that has tokens in parts of its own (see gin.py) is this and its id.
PARTED = "=d"

# More alternatives than this cost more in a tsquery, where each is tried for each dataset, than as a list, or than
# looking at the row.
_ALTERNATIVES, _BASE_URIS = 40, 8


@dataclass
class Match:
    """What to look for, and how its parts are called in SQL, where ``s`` is the row in the index.

    A list of datasets in a condition is said to be TRUE or FALSE, so that PostgreSQL makes it once and looks it up: as
    a join it would be made for each dataset anew, where it is thought to be short.
    """

    terms: tuple[Term, ...]  # what can be more or less relevant
    base_uri_ids: Sequence[int] = ()
    wanted: str = ""  # tsquery that everything which matches fulfils
    conditions: list[str] = field(default_factory=list)  # what it has to fulfil besides
    values: dict[str, Any] = field(default_factory=dict)  # of the parameters of the conditions
    having: Having = field(default_factory=lambda: Having({}))  # which datasets have a word in a part

    def value(self, value: Any) -> str:
        """Return the parameter that stands for *value* in a condition."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def where(self) -> str:
        """Return the condition of all this, with ``wanted`` first."""
        return " AND ".join(["s.words @@ CAST(:wanted AS tsquery)", *self.conditions])


def match(
    query: Query,
    facets: Iterable[Sequence[str]],
    base_uri_ids: Sequence[int],
    parted: Mapping[str, Sequence[int]],
) -> Match:
    """Return what to look for: datasets in the base URIs that answer *query* and have a facet of each group.

    :param query: what to look for; empty: any dataset answers it
    :param facets: groups of facet tokens, alternatives within a group
    :param base_uri_ids: at least one
    :param parted: primary keys of the datasets that have a word in a part beside their row, by word
    """
    having = Having(parted)
    found = Match(query.terms, base_uri_ids, having=having)
    wanted = [having.at_least(node) for node in query.nodes if not isinstance(node, Not)]
    wanted += _facets(found, facets) + in_base_uris(found, base_uri_ids)
    # Of exclusions alone, or filters alone that are long lists, no index could be asked.
    wanted = list(filter(None, wanted)) or [quoted(EVERY)]
    without = filter(None, [having.at_least(node) for node in query.nodes if isinstance(node, Not)])
    found.wanted = " & ".join([*(f"({group})" for group in wanted), *without])
    made = _Conditions(found, having)
    found.conditions += [made.on("s", node) for node in query.nodes if not is_exact(node)]
    return found


def _facets(found: Match, groups: Iterable[Sequence[str]]) -> list[str]:
    """Return the conditions for the tsquery; those that are too long for it go into the match at once."""
    short = []
    for group in groups:
        if len(group) <= _ALTERNATIVES:
            short.append(any_of_many([quoted(token) for token in group]))
            continue
        queries = found.value([quoted(token) for token in dict.fromkeys(group)])
        found.conditions.append(
            f"(s.dataset_id IN (SELECT f.dataset_id FROM unnest(CAST({queries} AS text[])) AS facet (token)"
            f" JOIN {SEARCH_INDEX} f ON f.words @@ CAST(facet.token AS tsquery))) IS TRUE"
        )
    return short


def in_base_uris(found: Match, ids: Sequence[int]) -> list[str]:
    """Return the condition that a dataset is in one of the base URIs: for the tsquery, or, if too long, in *found*."""
    if len(ids) <= _BASE_URIS:
        return [any_of_many([quoted(f"{BASE_URI}{id_}") for id_ in ids])]
    found.conditions.append(f"s.base_uri_id = ANY (CAST({found.value(list(ids))} AS int[]))")
    return []


# -- What a tsquery cannot tell --------------------------------------------------------------------------------------


def is_exact(node: Node) -> bool:
    """Return whether :meth:`Having.at_least` says all that a node asks for."""
    if isinstance(node, (All, AnyOf)):
        return all(map(is_exact, node.nodes))
    if isinstance(node, Not):
        return is_exact(node.node)
    return isinstance(node, Exactly) or (
        isinstance(node, Text) and not node.column and not is_phrase(node.term)
    )


class _Conditions:
    """Makes the conditions in SQL on rows that fulfil what :meth:`Having.at_least` says."""

    def __init__(self, found: Match, having: Having) -> None:
        self._found = found
        self._having = having
        self._depth = 0

    def on(self, row: str, node: Node) -> str:
        """Return the condition of a node.

        :param row: name of the row of the index
        """
        if isinstance(node, All):
            return " AND ".join([self.on(row, each) for each in node.nodes if not is_exact(each)])
        if isinstance(node, AnyOf):
            ways = " UNION ALL ".join(self._datasets_with(each) for each in node.nodes)
            return f"({row}.dataset_id IN ({ways})) IS TRUE"
        if isinstance(node, Not):
            return f"({row}.dataset_id IN ({self._datasets_with(node.node)})) IS FALSE"
        if isinstance(node, Text):
            return self._follow(row, node.term, node.column)
        if isinstance(node, FileName):
            expression = self._found.value(pattern_of(node).expression)
            return f"{_text_of(row, 'files')} ~ {expression}"
        assert not isinstance(node, Exactly)
        of_dataset = conditions.condition_of(node, self._found.value, lambda moment: moment)
        return f"({row}.dataset_id IN (SELECT d.id FROM dataset d WHERE {of_dataset})) IS TRUE"

    def _datasets_with(self, node: Node) -> str:
        """Return the SELECT of the datasets that fulfil a node, of those that may be wanted."""
        self._depth += 1
        row = f"x{self._depth}"
        also = self._found.value(" & ".join(filter(None, [self._found.wanted, self._group(node)])))
        exactly = "" if is_exact(node) else f" AND {self.on(row, node)}"
        return (
            f"SELECT {row}.dataset_id FROM {SEARCH_INDEX} {row}"
            f" WHERE {row}.words @@ CAST({also} AS tsquery){exactly}"
        )

    def _group(self, node: Node) -> str:
        group = self._having.at_least(node)
        return f"({group})" if group else ""

    def _follow(self, row: str, term: Term, column: Column | None) -> str:
        """Return the condition that the tokens of a term follow each other in a row of the index."""
        text = _text_of(row, column) if column else f"{row}.texts"
        words = f" {' '.join(term.tokens)} " if term.tokens else " "
        phrases = [words]
        if term.prefix is not None:
            other = f"{words}{term.whole} " if term.tokens else f" {FORM}{term.prefix}"
            phrases = [f"{words}{term.prefix}", other]
        tests = [f"strpos({text}, {self._found.value(phrase)}) > 0" for phrase in phrases]
        return f"({' OR '.join(tests)})"


def _text_of(row: str, column: Column) -> str:
    return f"split_part({row}.texts, chr(10), {list(WEIGHTS).index(column) + 1})"


# -- Words -----------------------------------------------------------------------------------------------------------


def is_phrase(term: Term) -> bool:
    """Return whether a term is more than one word."""
    return len(term) > 1


def words_of(term: Term) -> list[str]:
    """Return the tsquery of each word of a term."""
    words = [quoted(token) for token in dict.fromkeys(term.tokens)]
    if term.prefix is not None:
        begin = f"{quoted(term.prefix)}:*"
        other = quoted(term.whole) if term.tokens else f"{quoted(FORM + term.prefix)}:*"
        words.append(f"({begin} | {other})")
    return words


def words_in(query: Query) -> Iterator[str]:
    """Yield the tsquery of each word that a query asks for, or excludes."""
    for leaf in every_leaf(*query.nodes):
        if isinstance(leaf, Text):
            yield from words_of(leaf.term)
        elif isinstance(leaf, FileName):
            yield from map(quoted, _tokens_of(leaf))
        elif isinstance(leaf, Exactly) and leaf.kind == "value":
            yield quoted(facet_of(leaf))


def _tokens_of(file_name: FileName) -> list[str]:
    tokens = [token for phrase in pattern_of(file_name).phrases for token in phrase if token != BREAK]
    return list(dict.fromkeys(tokens))


def quoted(token: str) -> str:
    """Return a token as it is written in a tsquery. None has quotes or backslashes."""
    return f"'{token}'"


def any_of_many(conditions: Sequence[str]) -> str:
    """Return the tsquery of alternatives, as a tree that is not deeper than it has to be."""
    if len(conditions) <= 2:
        return " | ".join(conditions)
    half = len(conditions) // 2
    return f"({any_of_many(conditions[:half])}) | ({any_of_many(conditions[half:])})"


class Having:
    """Makes the tsquery of the datasets that have a word, be it in their row or in a part beside it.

    :param parted: primary keys of the datasets that have a word in such a part, by word
    """

    def __init__(self, parted: Mapping[str, Sequence[int]]) -> None:
        self._parted = parted

    def at_least(self, node: Node) -> str:
        """Return the tsquery that everything fulfils which a node lets through; empty: there is none."""
        if isinstance(node, AnyOf):
            ways = [self.at_least(each) for each in node.nodes]
            return any_of_many([f"({way})" for way in ways]) if all(ways) else ""
        if isinstance(node, All):
            return " & ".join(f"({group})" for each in node.nodes if (group := self.at_least(each)))
        if isinstance(node, Not):
            return f"!({self.at_least(node.node)})" if is_exact(node.node) else ""
        if isinstance(node, Text):
            return self._all_words(words_of(node.term))
        if isinstance(node, FileName):
            return self._all_words(map(quoted, _tokens_of(node)))
        return self._all_words([quoted(facet_of(node))]) if isinstance(node, Exactly) else ""

    def _all_words(self, words: Iterable[str]) -> str:
        return " & ".join(
            f"({any_of_many([word, *(quoted(f'{PARTED}{id_}') for id_ in self._parted.get(word, ()))])})"
            for word in words
        )
