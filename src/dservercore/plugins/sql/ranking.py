"""Relevance on PostgreSQL: BM25, each word weighted by where it stands.

PostgreSQL's own ranking does not know how rare a word is. So what a word adds to the relevance of a dataset is worked
out when the dataset is stored, but for the rarity of the word, and is looked up when it is asked for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

from dservercore.plugins.index_document import FORM
from dservercore.plugins.sql.columns import WEIGHTS
from dservercore.plugins.sql.tsquery import words_of
from dservercore.text_query import BREAK, Term

# The parameters of BM25, and about how many tokens a dataset has. A million file names must not drown a name: no more
# than some of them are counted.
_K1, _B, _AVERAGE_LENGTH, _REST_LENGTH = 1.2, 0.75, 2000, 1000

#: Words of a dataset that are weighed, those that count most; the row of more would not fit into a page.
WEIGHED = 1500

_DIGEST = 4  # bytes that stand for a word

#: From words, each as a tsquery, to the number of datasets, and of those that have each word.
NumberHaving = Callable[[Sequence[str]], tuple[int, list[int]]]


def weights(columns: Mapping[str, str]) -> bytes:
    """Return what each word adds to the relevance of a dataset, from 0 to 255, in a form to be looked up in SQL.

    Pairs of a digest of the word and its share. They come after the share of a word that is not among them, at the
    place where it would be if its digest were at position 0, which is what SQL says of one that is not there.
    """
    # In one order, whoever has made the columns: of words that weigh the same, the first are kept.
    counted = {name: Counter(columns[name].split()) for name in WEIGHTS if name != "facets"}
    rest = counted.pop("rest")  # file names, by the million: what is there alone has the least weight
    length = sum(counter.total() for counter in counted.values()) + min(rest.total(), _REST_LENGTH)
    norm = _K1 * (1 - _B + _B * length / _AVERAGE_LENGTH)
    weighed: dict[str, float] = {}
    for name, counter in counted.items():
        for word, number in counter.items():
            if word != BREAK and not word.startswith(FORM):
                weighed[word] = weighed.get(word, 0) + WEIGHTS[name] * number
    for word in weighed:
        weighed[word] += WEIGHTS["rest"] * rest.get(word, 0)
    heaviest = sorted(weighed.items(), key=lambda item: -item[1])[:WEIGHED]
    packed = bytearray(_DIGEST - 1)
    packed.append(_share(WEIGHTS["rest"], norm))
    for word, weight in heaviest:
        packed += _digest(word)
        packed.append(_share(weight, norm))
    return bytes(packed)


def _share(weight: float, norm: float) -> int:
    return max(1, round(255 * weight / (weight + norm)))


def _digest(word: str) -> bytes:
    return crc32(word.encode()).to_bytes(_DIGEST, "big")


def relevance(terms: Sequence[Term], number_having: NumberHaving) -> tuple[str, dict[str, bytes]]:
    """Return the expression of how relevant a dataset is, with the values of its parameters.

    ``w`` is the dataset's row with its weights.
    """
    words = list(dict.fromkeys(word for term in terms for word in words_of(term)))
    rarities = {words[0]: 1.0}
    if len(terms) > 1:  # of a single one it changes no order
        number, having = number_having(words)
        rarities = {word: _rarity(number, n) for word, n in zip(words, having, strict=True)}
    values: dict[str, bytes] = {}
    shares = []
    for term in terms:
        rarity = max(rarities.get(word, 0) for word in words_of(term))
        digests = []
        for token in dict.fromkeys(term.tokens):
            name = f"word{len(values)}"
            values[name] = _digest(token)
            digests.append(f"get_byte(w.weights, position(:{name} IN w.weights) + {_DIGEST - 1})")
        # A word that begins so weighs as little as any: looking for it would take too long.
        share = f"least({', '.join(digests)})" if digests else "get_byte(w.weights, 3)"
        shares.append(f"CAST({rarity!r} AS float8) * {share}")
    return " + ".join(shares), values


def _rarity(number: int, having: int) -> float:
    """Return the inverse document frequency of a word."""
    return max(math.log((number - having + 0.5) / (having + 0.5)) if having <= number else 0, 1e-6)
