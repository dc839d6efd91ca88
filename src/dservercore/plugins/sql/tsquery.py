"""From the query language to what PostgreSQL understands.

Words, prefixes, filters and a few base URIs become one ``tsquery``, which a GIN index answers without looking at a row.
What it cannot tell becomes a condition in SQL: that words follow each other, for which the tokens themselves are read,
of the datasets alone that have all of them; and long lists of base URIs or facets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dservercore.models import SEARCH_INDEX
from dservercore.plugins.index_document import BASE_URI, EVERY, FORM
from dservercore.text_query import AnyOf, Query, Term, stem

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

    :param query: empty: whatever the words
    :param facets: groups of facet tokens, alternatives within a group
    :param base_uri_ids: at least one
    :param parted: which datasets have a word in parts of their own, by :func:`words_of`
    """
    found = Match(query.terms, base_uri_ids)
    has = _Having(parted)
    groups = [any_of_many([has.all_words(term) for term in any_of.terms]) for any_of in query.all_of]
    groups += _facets(found, facets) + in_base_uris(found, base_uri_ids)
    # Of exclusions alone, or filters alone that are long lists, no index could be asked.
    groups = groups or [quoted(EVERY)]
    without = [f"!({has.all_words(term)})" for term in query.none_of if not is_phrase(term)]
    found.wanted = " & ".join(f"({group})" for group in groups + without)
    for any_of in query.all_of:
        if any(map(is_phrase, any_of.terms)):
            found.conditions.append(_in_order(found, has, any_of))
    for term in filter(is_phrase, query.none_of):
        also = f"{found.wanted} & {has.all_words(term)}"
        found.conditions.append(
            f"(s.dataset_id IN (SELECT x.dataset_id FROM {SEARCH_INDEX} x WHERE"
            f" x.words @@ CAST({found.value(also)} AS tsquery) AND {_follow(found, term, 'x')})) IS FALSE"
        )
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


def _in_order(found: Match, has: _Having, any_of: AnyOf) -> str:
    """Return the condition that one of the alternatives holds, of which some are phrases."""
    if len(any_of.terms) == 1:
        return _follow(found, any_of.terms[0], "s")
    ways = []
    for term in any_of.terms:
        also = found.value(f"{found.wanted} & {has.all_words(term)}")
        follow = f" AND {_follow(found, term, 'x')}" if is_phrase(term) else ""
        ways.append(
            f"SELECT x.dataset_id FROM {SEARCH_INDEX} x WHERE x.words @@ CAST({also} AS tsquery){follow}"
        )
    return f"(s.dataset_id IN ({' UNION ALL '.join(ways)})) IS TRUE"


def _follow(found: Match, term: Term, row: str) -> str:
    """Return the condition that the tokens of a phrase follow each other in a row of the index."""
    phrases = [f" {' '.join(term.tokens)} "]
    if term.prefix is not None:
        phrases = [f"{phrases[0]}{term.prefix}", f"{phrases[0]}{stem(term.prefix)} "]
    tests = [f"strpos({row}.texts, {found.value(phrase)}) > 0" for phrase in phrases]
    return f"({' OR '.join(tests)})"


# -- Words -----------------------------------------------------------------------------------------------------------


def is_phrase(term: Term) -> bool:
    """Return whether a term is more than one word."""
    return len(term) > 1


def words_of(term: Term) -> list[str]:
    """Return the tsquery of each word of a term."""
    words = [quoted(token) for token in dict.fromkeys(term.tokens)]
    if term.prefix is not None:
        begin = f"{quoted(term.prefix)}:*"
        other = quoted(stem(term.prefix)) if term.tokens else f"{quoted(FORM + term.prefix)}:*"
        words.append(f"({begin} | {other})")
    return words


def quoted(token: str) -> str:
    """Return a token as it is written in a tsquery. None has quotes or backslashes."""
    return f"'{token}'"


def any_of_many(conditions: Sequence[str]) -> str:
    """Return the tsquery of alternatives, as a tree that is not deeper than it has to be."""
    if len(conditions) <= 2:
        return " | ".join(conditions)
    half = len(conditions) // 2
    return f"({any_of_many(conditions[:half])}) | ({any_of_many(conditions[half:])})"


class _Having:
    """Which tsquery finds what has a word, be it in a part of its own."""

    def __init__(self, parted: Mapping[str, Sequence[int]]) -> None:
        self._parted = parted

    def all_words(self, term: Term) -> str:
        words = [
            f"({any_of_many([word, *(quoted(f'{PARTED}{id_}') for id_ in self._parted.get(word, ()))])})"
            for word in words_of(term)
        ]
        return " & ".join(words)
