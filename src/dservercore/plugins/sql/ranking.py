"""Relevance: BM25, each word weighted by where it stands.

What a word adds to the relevance of a dataset is worked out when the dataset is stored, but for the rarity of the word,
and is looked up when it is asked for. How rare a word is, is counted among the datasets that the asker may search: the
order of an answer would otherwise tell how many other datasets have a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from dservercore.plugins.index_document import FORM
from dservercore.plugins.sql.columns import WEIGHTS
from dservercore.text_query import BREAK

# The parameters of BM25, and about how many tokens a dataset has. A million file names must not drown a name: no more
# than some of them are counted.
_K1, _B, _AVERAGE_LENGTH, _REST_LENGTH = 1.2, 0.75, 2000, 1000

#: Words of a dataset that are weighed, those that count most; the row of more would not fit into a page of PostgreSQL.
WEIGHED = 1500

_MANY = 100_000  # datasets

_DIGEST = 4  # bytes that stand for a word


def weights(columns: Mapping[str, str]) -> bytes:
    """Return what each word adds to the relevance of a dataset, from 0 to 255, in a form to be looked up in SQL.

    Pairs of a digest of the word and its share. They come after the share of a word that is not among them, at the
    place where it would be if its digest were at position 0, which is what SQL says of one that is not there.
    """
    ratios = weighed_words(columns)
    packed = bytearray(_DIGEST - 1)
    packed.append(_share(ratios.pop("")))
    for word, ratio in ratios.items():
        packed += _digest(word)
        packed.append(_share(ratio))
    return bytes(packed)


def weighed_words(columns: Mapping[str, str]) -> dict[str, float]:
    """Return the words of a dataset that count most for its relevance, those with the greatest weight first.

    :returns: the weight of each word, by the length of the dataset; under ``""``, first, that of a word that is none of
        them
    """
    # In one order, whoever has made the columns: of words that weigh the same, the first are kept.
    weighed: dict[str, float] = {}
    length = 0
    for name, weight in WEIGHTS.items():
        if name not in ("rest", "facets"):
            words = columns[name].split()
            length += len(words)
            for word in words:
                weighed[word] = weighed.get(word, 0) + weight
    for word in [word for word in weighed if word == BREAK or word[0] == FORM]:
        del weighed[word]
    # File names, by the million: what is there alone has the least weight.
    rest = columns["rest"].split()
    for word in rest:
        if word in weighed:
            weighed[word] += WEIGHTS["rest"]
    norm = _K1 * (1 - _B + _B * (length + min(len(rest), _REST_LENGTH)) / _AVERAGE_LENGTH)
    heaviest = sorted(weighed.items(), key=lambda item: -item[1])[:WEIGHED]
    return {"": WEIGHTS["rest"] / norm} | {word: weight / norm for word, weight in heaviest}


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

    :param number: of the datasets that the asker may search: counted among others, the order of an answer would tell
        how many of those have a word
    :param having: how many of them have each word of :func:`queries_of`
    """
    if not having:
        return [1.0 for _ in terms]
    return [max(_rarity(number, having[query]) for query in term.queries) for term in terms]


def _rarity(number: int, having: int) -> float:
    """Return the inverse document frequency of a word.

    One that half of the datasets have decides between those that are else equal; and nothing among so many that its
    weight in each of them would take long to find.
    """
    least = 1e-6 if number < _MANY else 0.0
    return max(math.log((number - having + 0.5) / (having + 0.5)) if having <= number else 0, least)


def expression(terms: Sequence[Words], rarities: Sequence[float]) -> tuple[str, dict[str, bytes]]:
    """Return the expression of how relevant a dataset is, in PostgreSQL, with the values of its parameters.

    ``w`` is the dataset's row with its weights.

    :param terms: at least one
    :param rarities: how rare each term is
    """
    values: dict[str, bytes] = {}
    shares = []
    for term, rarity in zip(terms, rarities, strict=True):
        digests = []
        for token in term.tokens:
            name = f"word{len(values)}"
            values[name] = _digest(token)
            digests.append(f"get_byte(w.weights, position(:{name} IN w.weights) + {_DIGEST - 1})")
        # A word that begins so weighs as little as any: looking for it would take too long.
        share = f"least({', '.join(digests)})" if digests else f"get_byte(w.weights, {_DIGEST - 1})"
        shares.append(f"CAST({rarity!r} AS float8) * {share}")
    return " + ".join(shares), values
