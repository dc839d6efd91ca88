"""What somebody may be about to type: the last word completed from the vocabulary, if that finds something."""

from __future__ import annotations

from collections.abc import Sequence

from dservercore.dataset import text_query
from dservercore.dataset.analysis import fold_together, is_part_of_word
from dservercore.errors import ValidationError
from dservercore.plugins.tokens.index import Index
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.plugins.tokens.vocabulary import SHORTEST

# Words that are tried for each one that is wanted: some are words of datasets that are gone, or not with the others.
_TRIED = 3


def complete(text: str, index: Index, base_uris: Sequence[str], most: int, limit: TimeLimit) -> list[str]:
    """Return texts that are *text* with its last word completed, each of which finds a dataset in the base URIs.

    :param text: what is typed so far; nothing is completed where it ends with no letter or digit
    :param most: how many texts at most
    :raises UnavailableError: if it takes longer than *limit* allows
    """
    before, beginning = _parted(text)
    prefix = fold_together(beginning)
    if len(prefix) != 1 or len(prefix[0]) < SHORTEST or not prefix[0].isalpha():
        return []
    words = index.vocabulary.beginning(prefix[0], base_uris, _TRIED * most)
    texts = [f"{before}{word}" for word in words if word != beginning]
    found: list[str] = []
    for start in range(0, len(texts), most):
        some = texts[start : start + most]
        try:
            queries = [text_query.parse(each) for each in some]
        except ValidationError:  # it is too long
            return found
        finds = index.finds(queries, base_uris, limit)
        found += [each for each, is_there in zip(some, finds, strict=True) if is_there]
        if len(found) >= most:
            break
    return found[:most]


def _parted(text: str) -> tuple[str, str]:
    """Return a text up to its last word, and that word."""
    start = len(text)
    while start and is_part_of_word(text[start - 1]):
        start -= 1
    return text[:start], text[start:]
