"""Words of a vocabulary that no dataset has any more: how many there are, and removing them.

They do no harm, as no search uses a word that it finds in no dataset, and are likely to come again. So a few of them
are left where they are. Words are looked at some at a time: there may be millions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from dservercore.dataset.query_tree import AnyOf, Node, Term, Text
from dservercore.plugins.tokens.index import Index
from dservercore.plugins.tokens.index_document import FORM
from dservercore.plugins.tokens.time_limit import TimeLimit

logger = logging.getLogger(__name__)

#: Fewer words than this, or than this part of all words, are no fault.
LEAST, LEAST_PART = 100, 0.1

# For which a batch may be looked up, and words between two lines of the log.
_SECONDS, _WORDS_BETWEEN_LINES = 600, 50_000


def faults(index: Index) -> list[str]:
    """Return what is wrong with the vocabulary of an index: nothing, or a text for the report.

    :raises UnavailableError: if the index cannot be reached
    """
    total = unused = 0
    for _, words, gone in _looked_at(index):
        total += len(words)
        unused += len(gone)
    if unused < max(LEAST, LEAST_PART * total):
        return []
    return [f"has {unused} words in its vocabulary that no dataset has"]


def remove(index: Index) -> None:
    """Remove the words that no dataset has from the vocabulary of an index.

    :raises UnavailableError: if the index cannot be reached
    """
    for base_uri, _, gone in _looked_at(index):
        if gone:
            index.vocabulary.forget(gone, base_uri)
    index.vocabulary.sweep()


def _looked_at(index: Index) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield base URI, words that are said to be in it, and those of them that no dataset in it has."""
    number = 0
    for base_uri in index.vocabulary.base_uris():
        for words in index.vocabulary.batches(base_uri):
            _, having = index.count(list(map(_as_stored, words)), [base_uri], TimeLimit(_SECONDS))
            gone = [word for word, datasets in zip(words, having, strict=True) if not datasets]
            yield base_uri, words, gone
            if number // _WORDS_BETWEEN_LINES < (number + len(words)) // _WORDS_BETWEEN_LINES:
                logger.info("%d words of the vocabulary are looked at", number + len(words))
            number += len(words)


def _as_stored(word: str) -> Node:
    """Return the condition that a dataset has a word as it is spelled."""
    return AnyOf((Text(Term((word,))), Text(Term((f"{FORM}{word}",)))))
