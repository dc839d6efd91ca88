"""Relevance: BM25, each word weighted by where it stands.

What a word adds to the relevance of a dataset is worked out when the dataset is stored, but for the rarity of the word,
and is looked up when it is asked for. How rare a word is, is counted among the datasets that the asker may search: the
order of an answer would otherwise tell how many other datasets have a word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from dservercore.plugins.sql import tsquery
from dservercore.plugins.tokens.index import Part
from dservercore.plugins.tokens.weights import weighed_words

_MANY = 100_000  # datasets

_DIGEST = 4  # bytes that stand for a word


def weights(columns: Mapping[str, str]) -> bytes:
    """Return what each word adds to the relevance of a dataset, from 0 to 255, in a form to be looked up in SQL.

    For each word its digest and, behind that, its share in one byte. In front of all stands the share of any other
    word, where SQL finds it: for a digest that is not there it answers position 0, and looks behind that.
    """
    ratios = weighed_words(columns)
    packed = bytearray(_DIGEST - 1)
    packed.append(_share(ratios.pop("")))
    for word, ratio in ratios.items():
        packed += _digest(word)
        packed.append(_share(ratio))
    return bytes(packed)


def _share(ratio: float) -> int:
    return max(1, round(255 * ratio / (ratio + 1)))


def _digest(word: str) -> bytes:
    return crc32(word.encode()).to_bytes(_DIGEST, "big")


@dataclass(frozen=True)
class Words:
    """What a term is made of.

    :param tokens: each once
    :param queries: what finds the datasets that have each word, in the language of the index; one more than tokens for
        a term that ends in a prefix
    """

    tokens: tuple[str, ...]
    queries: tuple[str, ...]


def queries_of(terms: Sequence[Words]) -> list[str]:
    """Return the words that have to be counted to tell how rare each term is: none for a single term."""
    return list(dict.fromkeys(query for term in terms for query in term.queries)) if len(terms) > 1 else []


def rarities(terms: Sequence[Words], number: int, having: Mapping[str, int]) -> list[float]:
    """Return how rare each term is: as its rarest word.

    :param number: how many datasets the asker may search; if others counted, the order of an answer would tell how many
        of them have a word
    :param having: how many of these datasets have each word of :func:`queries_of`
    """
    if not having:
        return [1.0 for _ in terms]
    return [max(_rarity(number, having[query]) for query in term.queries) for term in terms]


def _rarity(number: int, having: int) -> float:
    """Return the inverse document frequency of a word.

    A word that half of the datasets have is worth a little, which decides between datasets that are otherwise equal;
    among many datasets it is worth 0, as its weight in each of them would take long to find.

    :param number: how many datasets are counted
    :param having: how many of them have the word
    """
    least = 1e-6 if number < _MANY else 0.0
    return max(math.log((number - having + 0.5) / (having + 0.5)) if having <= number else 0, least)


def expression(terms: Sequence[Words], rarities: Sequence[float]) -> tuple[str, dict[str, Any]]:
    """Return the expression of how relevant a dataset is, in PostgreSQL, with the values of its parameters.

    ``w`` is the dataset's row with its weights.

    :param terms: at least one
    :param rarities: how rare each term is
    """
    values: dict[str, Any] = {}
    shares = [
        f"CAST({rarity!r} AS float8) * {_share_of(term.tokens, values)}"
        for term, rarity in zip(terms, rarities, strict=True)
    ]
    return " + ".join(shares), values


def _share_of(tokens: Sequence[str], values: dict[str, Any]) -> str:
    """Return the expression of what words that stand together add to the relevance of a dataset, from 0 to 255."""
    digests = []
    for token in tokens:
        name = f"word{len(values)}"
        values[name] = _digest(token)
        digests.append(f"get_byte(w.weights, position(:{name} IN w.weights) + {_DIGEST - 1})")
    # The words that a prefix stands for weigh as little as any: looking for them would take too long.
    return f"least({', '.join(digests)})" if digests else f"get_byte(w.weights, {_DIGEST - 1})"


def expression_of_parts(parts: Sequence[Part], having: Callable[[str], str], values: dict[str, Any]) -> str:
    """Return the expression of how relevant a dataset is that need not have every part.

    It is what the parts add, each as the best of its ways, times the share of all parts that the dataset has.

    :param having: makes of a tsquery the column that says whether a dataset fulfils it
    :param values: those of the parameters are added
    """
    shares, covered = [], []
    for part in parts:
        ways, has = [], []
        for way in part.ways:
            words = [word for term in way.terms for word in tsquery.words_of(term)]
            flag = having(" & ".join(dict.fromkeys(words)))
            tokens = list(dict.fromkeys(token for term in way.terms for token in term.tokens))
            ways.append(f"CASE WHEN {flag} THEN {way.worth!r} * {_share_of(tokens, values)} ELSE 0 END")
            has.append(flag)
        shares.append(f"{part.rarity!r} * greatest({', '.join(ways)})")
        covered.append(f"CASE WHEN {' OR '.join(has)} THEN 1 ELSE 0 END")
    return f"CAST(({' + '.join(shares)}) * ({' + '.join(covered)}) / {len(parts)} AS float8)"
