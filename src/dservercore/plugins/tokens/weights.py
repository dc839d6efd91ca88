"""How much each word of a dataset counts for its relevance, the same on every backend: BM25, by where a word stands.

All but the rarity of a word is worked out when a dataset is stored. How rare a word is, is counted when it is asked
for, among the datasets that the asker may search.
"""

from __future__ import annotations

from collections.abc import Mapping

from dservercore.dataset.analysis import BREAK
from dservercore.plugins.tokens.index_document import FACET, FORM

#: The columns of an index, and how much a word found there counts for relevance.
WEIGHTS = {
    "name": 24,
    "tags": 21,
    "lead": 7,
    "readme": 1,
    "annotations": 1,
    "about": 0.5,
    "files": 0.5,
    "facets": 0,
}

# The parameters of BM25, and about how many tokens a dataset has. K1 is greater than usual, as the weights are: with
# 1.2 a word in the depth of a README would count three quarters of one in the name. A million file names must not drown
# a name: no more than some of them are counted.
_K1, _B, _AVERAGE_LENGTH, _FILES_LENGTH = 6, 0.75, 2000, 1000

# A README begins with what a dataset is called, if anything in it does: so many of its tokens count so much more, but
# altogether less than a tag.
_TITLE_TOKENS, _TITLE_WEIGHT = 15, 12

#: Words of a dataset that are weighed, those that count most; the row of more would not fit into a page of PostgreSQL.
WEIGHED = 1500


def weighed_words(columns: Mapping[str, str]) -> dict[str, float]:
    """Return the words of a dataset that count most for its relevance, those with the greatest weight first.

    :param columns: its tokens by column; those of the facets may be missing
    :returns: the weight of each word, divided by a measure of the dataset's length; under ``""``, first, the weight of
        any other word
    """
    # In the order of WEIGHTS, whatever that of the columns: of words that weigh the same, the first are kept.
    weighed: dict[str, float] = {}
    length = 0
    for name, weight in WEIGHTS.items():
        if name not in ("files", "facets"):
            words = columns[name].split()
            if name != "about":  # a URI is no text, and has more words the more digits are in it
                length += len(words) - f" {columns[name]}".count(f" {FACET}")
            for word in words:
                weighed[word] = weighed.get(word, 0) + weight
    for word in [word for word in weighed if word == BREAK or word[0] in (FORM, FACET)]:
        del weighed[word]
    for word in columns["lead"].split()[:_TITLE_TOKENS]:
        if word in weighed:
            weighed[word] += _TITLE_WEIGHT
    # File names, by the million: a word that stands there alone has the least weight.
    files = columns["files"].split()
    for word in files:
        if word in weighed:
            weighed[word] += WEIGHTS["files"]
    norm = _K1 * (1 - _B + _B * (length + min(len(files), _FILES_LENGTH)) / _AVERAGE_LENGTH)
    heaviest = sorted(weighed.items(), key=lambda item: -item[1])[:WEIGHED]
    return {"": WEIGHTS["files"] / norm} | {word: weight / norm for word, weight in heaviest}
