"""Relevance on SQLite: BM25, each word weighted by where it stands.

What FTS5 has for it counts everybody's datasets: the order of an answer would tell how many of those that one may not
search have a word. So ``search_index_weights``, a second index, has for each dataset the words that count most, each
behind the level of its weight in the dataset, two digits; and the facet of its base URI.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import islice

import orjson

from dservercore.models import SEARCH_WEIGHTS
from dservercore.plugins.index_document import BASE_URI
from dservercore.plugins.sql.ranking import Words, weighed_words
from dservercore.reading import rows_of

# Other levels are other tokens: with other numbers here, the index has to be made anew by a migration.
# They are so many that a tag still counts more than a word of the lead.
_LEVELS = 56
_LOWEST, _STEP = -1.0, 0.165  # binary logarithms of a weight by the length of a dataset

#: What a word of each level adds to the relevance of a dataset, before its rarity.
_SHARES = [1 / (1 + 2 ** -(_LOWEST + _STEP * level)) for level in range(_LEVELS)]
#: And one that is not among those that count most, such as a part of a file name.
_SHARE_OF_OTHERS = 0.9 * _SHARES[0]

_ROWS = f"""
SELECT (SELECT json_group_array(rowid) FROM {SEARCH_WEIGHTS} WHERE {SEARCH_WEIGHTS} MATCH value)
FROM json_each(:matches)
"""

#: Datasets that are equally relevant: how much, and their primary keys.
Equals = tuple[float, list[int]]


def weight_tokens(columns: Mapping[str, str]) -> str:
    """Return what the second index has of a dataset, given the columns of the first."""
    ratios = weighed_words(columns)
    del ratios[""]
    levels = {ratio: _level(ratio) for ratio in set(ratios.values())}  # many words weigh the same
    facets = [facet for facet in columns["facets"].split() if facet.startswith(BASE_URI)]
    return " ".join([*facets, *[levels[ratio] + word for word, ratio in ratios.items()]])


def _level(ratio: float) -> str:
    level = round((math.log2(ratio) - _LOWEST) / _STEP)
    return f"{min(_LEVELS - 1, max(0, level)):02}"


def by_relevance(
    ids: Sequence[int], terms: Sequence[Words], rarities: Sequence[float], match: Callable[[str], str]
) -> list[Equals]:
    """Return datasets in groups of the equally relevant, the most relevant first.

    :param ids: the datasets, all in scope
    :param terms: what they are relevant to; at least one
    :param rarities: how rare each term is in scope
    :param match: makes the MATCH expression of a word in scope, or in everything, of that of the word: which of the two
        changes how long it takes, and nothing else
    """
    weighed = [(term, rarity) for term, rarity in zip(terms, rarities, strict=True) if rarity]
    tokens = dict.fromkeys(token for term, _ in weighed for token in term.tokens)
    relevance = dict.fromkeys(ids, 0.0)
    shares_of = _shares(list(tokens), match, relevance.keys())
    for term, rarity in weighed:
        _add(relevance, _lightest([shares_of[token] for token in term.tokens]), rarity)
    groups = defaultdict(list)
    for id_, value in relevance.items():
        groups[value].append(id_)
    return sorted(groups.items(), reverse=True)


def _shares(tokens: Sequence[str], match: Callable[[str], str], ids: Set[int]) -> dict[str, dict[int, float]]:
    """Return, by token, what it adds to the relevance of those datasets in which it is among those that count most."""
    matches = [match(f'"{level:02}{token}"') for token in tokens for level in range(_LEVELS)]
    rows = iter(rows_of(_ROWS, {"matches": json.dumps(matches)}) if matches else ())
    shares: dict[str, dict[int, float]] = {}
    for token in tokens:
        shares[token] = {}
        for share, (row,) in zip(_SHARES, islice(rows, _LEVELS), strict=True):
            shares[token] |= dict.fromkeys(ids & set(orjson.loads(row)), share)
    return shares


def _lightest(shares: Sequence[Mapping[int, float]]) -> Mapping[int, float]:
    """Return what a term adds to the relevance of the datasets in which all of its words count: as the lightest word.

    A word that is the beginning of others is none of them: looking for all of them would take too long.
    """
    if len(shares) < 2:
        return shares[0] if shares else {}
    return {id_: min(of_word[id_] for of_word in shares) for id_ in set.intersection(*map(set, shares))}


def _add(relevance: dict[int, float], shares: Mapping[int, float], rarity: float) -> None:
    others = rarity * _SHARE_OF_OTHERS
    for id_, value in relevance.items():
        share = shares.get(id_)
        relevance[id_] = value + (others if share is None else rarity * share)
