"""Relevance on SQLite: BM25, each word weighted by where it stands.

FTS5's own function for it counts everybody's datasets: the order of an answer would tell how many of those that the
asker may not search have a word. So ``search_index_weights``, a second index, has for each dataset the words that count
most, each behind the level of its weight in the dataset, two digits; and the facet of its base URI.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import orjson

from dservercore.dataset.query_tree import Node
from dservercore.db.fast_reads import rows_of
from dservercore.models import SEARCH_WEIGHTS
from dservercore.plugins.sql.ranking import Words
from dservercore.plugins.tokens.index import AHEAD, Part
from dservercore.plugins.tokens.index_document import BASE_URI
from dservercore.plugins.tokens.weights import weighed_words

# Other levels are other tokens: with other numbers here, the index has to be made anew by a migration.
# They are so many that a tag still counts more than a word of the lead.
_LEVELS = 56
_LOWEST, _STEP = -3.3, 0.165  # binary logarithms of a weight by the length of a dataset

#: What a word of each level adds to the relevance of a dataset, before its rarity.
_SHARES = [1 / (1 + 2 ** -(_LOWEST + _STEP * level)) for level in range(_LEVELS)]
#: What a word adds that is not among those that count most, such as a part of a file name.
_SHARE_OF_OTHERS = 0.9 * _SHARES[0]

_ROWS = f"""
SELECT (SELECT json_group_array(rowid) FROM {SEARCH_WEIGHTS} WHERE {SEARCH_WEIGHTS} MATCH value)
FROM json_each(:matches)
"""

Key = TypeVar("Key", bound=Hashable)

#: Datasets that are equally relevant: how much, and their primary keys.
Equals = tuple[float, list[int]]


def weight_tokens(columns: Mapping[str, str]) -> str:
    """Return the words that ``search_index_weights`` has of a dataset, separated by spaces.

    :param columns: the tokens that ``search_index`` has of it
    """
    ratios = weighed_words(columns)
    del ratios[""]
    levels = {ratio: _level(ratio) for ratio in set(ratios.values())}  # many words weigh the same
    facets = [facet for facet in columns["facets"].split() if facet.startswith(BASE_URI)]
    return " ".join([*facets, *[levels[ratio] + word for word, ratio in ratios.items()]])


def _level(ratio: float) -> str:
    level = round((math.log2(ratio) - _LOWEST) / _STEP)
    return f"{min(_LEVELS - 1, max(0, level)):02}"


#: Datasets that have something, by how much it adds to their relevance, the most first; none is in two of the sets.
_Levels = list[tuple[float, set[int]]]


def by_relevance(
    ids: Sequence[int], terms: Sequence[Words], rarities: Sequence[float], match: Callable[[str], str]
) -> list[Equals]:
    """Return datasets in groups of the equally relevant, the most relevant first.

    :param ids: primary keys of the datasets, all in scope
    :param terms: what they are relevant to; at least one
    :param rarities: how rare each term is in scope
    :param match: given the MATCH expression of a word, returns the one to ask with: that, or that limited to the scope.
        Which of the two changes how long it takes, and nothing else
    """
    weighed = [(term, rarity) for term, rarity in zip(terms, rarities, strict=True) if rarity]
    tokens = dict.fromkeys(token for term, _ in weighed for token in term.tokens)
    relevance = {0.0: set(ids)}
    levels_of = _levels_of(list(tokens), match, relevance[0.0])
    for term, rarity in weighed:
        relevance = _with_term(relevance, _lightest([levels_of[token] for token in term.tokens]), rarity)
    return sorted(((value, list(equals)) for value, equals in relevance.items()), reverse=True)


def _with_term(relevance: Mapping[float, set[int]], levels: _Levels, rarity: float) -> dict[float, set[int]]:
    """Return datasets by their relevance with what a term adds to it."""
    others = rarity * _SHARE_OF_OTHERS
    found: dict[float, set[int]] = defaultdict(set)
    for value, share, equals in _parted(relevance, levels):
        found[value + (others if share is None else rarity * share)] |= equals
    return found


def _parted(groups: Mapping[Key, set[int]], levels: _Levels) -> Iterator[tuple[Key, float | None, set[int]]]:
    """Yield the parts of each group that are in the same level: the key of the group, what the level adds, the part.

    Those that are in no level come last, with None.
    """
    # Where 137,000 datasets have one of two words, a search takes 0.19 s by sets, and took 0.97 s by a loop over the
    # datasets; of many small groups a loop takes less.
    if len(groups) * len(levels) > sum(map(len, groups.values())):
        yield from _parted_one_by_one(groups, levels)
        return
    for key, equals in groups.items():
        rest = set(equals)
        for share, having in levels:
            if part := rest & having:
                rest -= part
                yield key, share, part
        if rest:
            yield key, None, rest


def _parted_one_by_one(
    groups: Mapping[Key, set[int]], levels: _Levels
) -> Iterator[tuple[Key, float | None, set[int]]]:
    shares = {id_: share for share, having in levels for id_ in having}
    for key, equals in groups.items():
        parts: dict[float | None, set[int]] = defaultdict(set)
        for id_ in equals:
            parts[shares.get(id_)].add(id_)
        for share, part in parts.items():
            yield key, share, part


def ahead_of_all(groups: Sequence[Equals], named: set[int]) -> list[Equals]:
    """Return groups of datasets, the most relevant first, with some datasets before all others.

    :param named: those that come before
    """
    found: list[Equals] = []
    for value, ids in groups:
        before = named.intersection(ids) if named else set()
        if before:
            found.append((value + AHEAD, list(before)))
            ids = [id_ for id_ in ids if id_ not in before]
        if ids:
            found.append((value, ids))
    return sorted(found, reverse=True)


def by_parts(
    ids: Sequence[int],
    parts: Sequence[Part],
    matching: Callable[[Sequence[Node]], list[set[int]]],
) -> list[Equals]:
    """Return datasets in groups of the equally relevant, the most relevant first, where they need not have everything.

    How relevant one is, is what its parts add, each as the best of its ways, times the share of all parts that it has.

    :param ids: primary keys of the datasets, all in scope
    :param matching: given nodes, returns those of the datasets that fulfil each
    """
    ways = [way for part in parts for way in part.ways]
    having = iter(matching([way.node for way in ways]))
    tokens = dict.fromkeys(token for way in ways for term in way.terms for token in term.tokens)
    everything = set(ids)
    levels_of = _levels_of(list(tokens), str, everything)
    # By what the parts add together, and how many of them there are.
    groups = {(0.0, 0): everything}
    for part in parts:
        levels: _Levels = []
        for way in part.ways:
            shares = _lightest([levels_of[token] for term in way.terms for token in term.tokens])
            levels += _of_way(way.worth, shares, next(having))
        found: dict[tuple[float, int], set[int]] = defaultdict(set)
        for (value, covered), share, equals in _parted(groups, _best(levels)):
            key = (value, covered) if share is None else (value + part.rarity * share, covered + 1)
            found[key] |= equals
        groups = found
    relevance: dict[float, list[int]] = defaultdict(list)
    for (value, covered), equals in groups.items():
        relevance[value * covered / len(parts)] += equals
    return sorted(relevance.items(), reverse=True)


def _of_way(worth: float, levels: _Levels, having: set[int]) -> _Levels:
    """Return what a way to have a part adds to the relevance of the datasets that have it."""
    found: _Levels = []
    rest = set(having)
    for share, equals in levels:
        if of_level := rest & equals:
            rest -= of_level
            found.append((worth * share, of_level))
    return [*found, (worth * _SHARE_OF_OTHERS, rest)] if rest else found


def _best(levels: _Levels) -> _Levels:
    """Return levels, of which some have datasets in common, with each dataset in the highest of its levels alone."""
    found: _Levels = []
    seen: set[int] = set()
    for share, equals in sorted(levels, key=lambda level: -level[0]):
        if new := equals - seen:
            seen |= new
            found.append((share, new))
    return found


def _levels_of(tokens: Sequence[str], match: Callable[[str], str], ids: set[int]) -> dict[str, _Levels]:
    """Return, by token, what it adds to the relevance of those datasets in which it is among those that count most."""
    matches = [match(f'"{level:02}{token}"') for token in tokens for level in reversed(range(_LEVELS))]
    rows = iter(rows_of(_ROWS, {"matches": json.dumps(matches)}) if matches else ())
    found: dict[str, _Levels] = {}
    for token in tokens:
        shares = zip(reversed(_SHARES), islice(rows, _LEVELS), strict=True)
        levels = [(share, ids & set(orjson.loads(row))) for share, (row,) in shares if row != "[]"]
        found[token] = [level for level in levels if level[1]]
    return found


def _lightest(words: Sequence[_Levels]) -> _Levels:
    """Return what a term adds to the relevance of the datasets in which all of its words count: as the lightest word.

    The words that a prefix stands for are left out: looking for all of them would take too long.
    """
    if len(words) < 2:
        return words[0] if words else []
    shares = [{id_: share for share, equals in levels for id_ in equals} for levels in words]
    found: dict[float, set[int]] = defaultdict(set)
    for id_ in set.intersection(*map(set, shares)):
        found[min(of_word[id_] for of_word in shares)].add(id_)
    return sorted(found.items(), key=lambda level: -level[0])
