"""The words of an index as they are spelled, by which mistakes in a query are found out.

A word is found from a mistaken spelling by what is left of both when letters are deleted: of ``helth`` and ``health``
that is ``helth`` itself. So the index has, for each word, a number for each way to delete letters from its beginning,
and there is nothing to go through (Symmetric Delete, W. Garbe).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import combinations
from typing import TypeVar
from zlib import crc32

from rapidfuzz.distance import OSA

from dservercore.dataset.analysis import tokens_of
from dservercore.plugins.tokens.index_document import FORM

#: What stands for a base URI.
Place = TypeVar("Place", bound=Hashable)

#: Letters of the words that a vocabulary has.
SHORTEST, LONGEST = 2, 30

#: Words with fewer letters are not corrected: too many look alike.
CORRECTED = 4

#: Words from so many letters on may have two mistakes.
LONG = 9

# Letters from which some are deleted: what follows makes no difference for how many words are compared in the end.
_BEGINNING = 7

# The columns whose words a vocabulary has, those that say most first. What is in ``lead`` is in ``readme``, too.
_LEARNT = ("name", "tags", "annotations", "readme", "about", "files")

# So many words of a dataset go into the vocabulary, all its texts taken together: each takes up to 29 rows, while
# others wait.
_MOST_WORDS = 400

# So many tokens at the beginning, and at the end, of a long text are looked at to find them.
_FIRST, _LAST = 3000, 800
# So many tokens at the end of each tell which words are stems.
_LAST_FORMS = 5000


class Vocabulary(ABC):
    """The words of the datasets in each base URI."""

    def near(self, words: Iterable[str], base_uris: Sequence[str]) -> dict[str, list[str]]:
        """Return words of datasets in the base URIs that may be meant by mistaken ones, by these.

        Some may be words of datasets that have been deleted since.
        """
        asked = {word: deletions(word, allowed_mistakes(word)) for word in words}
        wanted = sorted(set().union(*asked.values())) if asked else []
        found = self.by_deletion(wanted, base_uris) if wanted else {}
        return {
            word: list(dict.fromkeys(near for deletion in left for near in found.get(deletion, ())))
            for word, left in asked.items()
        }

    @abstractmethod
    def by_deletion(self, wanted: Sequence[int], base_uris: Sequence[str]) -> Mapping[int, list[str]]:
        """Return the words of datasets in the base URIs of which one of these is left, by what is left."""

    @abstractmethod
    def known(self, words: Iterable[str], base_uris: Sequence[str]) -> set[str]:
        """Return those of the words that datasets in the base URIs have, or have had."""

    @abstractmethod
    def beginning(self, prefix: str, base_uris: Sequence[str], most: int) -> list[str]:
        """Return words of datasets in the base URIs that begin so, the shortest first.

        Of more than some thousand, it may be the shortest of those.

        :param most: how many at most
        """

    @abstractmethod
    def base_uris(self) -> list[str]:
        """Return the base URIs whose datasets have words, or have had them."""

    @abstractmethod
    def batches(self, base_uri: str) -> Iterator[list[str]]:
        """Yield the words that datasets in a base URI have, or have had, some at a time.

        Those that were yielded may be forgotten meanwhile.
        """

    @abstractmethod
    def forget(self, words: Sequence[str], base_uri: str) -> None:
        """Take words out that no dataset in a base URI has any more."""

    @abstractmethod
    def sweep(self) -> None:
        """Remove the words that are in no base URI."""


def may_be_misspelt(word: str) -> bool:
    """Return whether a folded word may be corrected: numbers, identifiers and short words never are."""
    return CORRECTED <= len(word) <= LONGEST + 2 and word.isalpha()


def words_to_learn(columns: Mapping[str, str], known: Set[str] = frozenset()) -> list[str]:
    """Return the words of a dataset that a vocabulary has, each once.

    :param columns: its tokens by column
    :param known: words that are left out
    """
    found: dict[str, None] = {}
    for name in _LEARNT:
        words = _ends(columns.get(name, "").split())
        forms = [word[1:] for word in words if word[0] == FORM]
        stems = _stems_of(forms)
        if len(words) > _FIRST + _LAST:  # what is said first; and forms, which stand at the end
            words = words[:_FIRST] + words[-_LAST:]
        # Signs that tokens begin with are no letters.
        spelled = [word for word in words if word not in known and word.isalpha() and word not in stems]
        spelled += [word for word in forms[-_LAST:] if word not in known and word.isalpha()]
        for word in spelled:
            if SHORTEST <= len(word) <= LONGEST:
                found[word] = None
                if len(found) >= _MOST_WORDS:
                    return list(found)
    return list(found)


def _ends(words: list[str]) -> list[str]:
    """Return the tokens of a column, each once; of very many those at the beginning, and the end, where forms are."""
    if len(words) > _FIRST + _LAST_FORMS:
        words = words[:_FIRST] + words[-_LAST_FORMS:]
    return list(dict.fromkeys(words))


def _stems_of(forms: Sequence[str]) -> set[str]:
    """Return the tokens that stand for words which are spelled otherwise, unless another of the words is spelled so."""
    # What stands beside digits in a word (OC3) is one.
    return {tokens[0] for form in forms if len(tokens := tokens_of(form)) == 1}.difference(forms)


def words_by_place(texts: Iterable[tuple[Place, Mapping[str, str]]]) -> dict[Place, set[str]]:
    """Return the words of datasets that a vocabulary has, by the place that each dataset is in.

    :param texts: for each dataset, its place, such as its base URI, and its tokens by column
    """
    words: dict[Place, set[str]] = defaultdict(set)
    for place, columns in texts:
        words[place].update(words_to_learn(columns, words[place]))
    return words


def deletions(word: str, mistakes: int | None = None) -> list[int]:
    """Return a number for each way to delete letters from the beginning of a word, up to 31 bits; none for short words.

    :param mistakes: letters to delete at most; None: as many as a word of this length is found by
    """
    if len(word) < CORRECTED:
        return []
    if mistakes is None:
        mistakes = 2 if len(word) >= LONG - 2 else 1
    beginning = word[:_BEGINNING]
    left = {
        "".join(letter for place, letter in enumerate(beginning) if place not in deleted)
        for number in range(mistakes + 1)
        for deleted in combinations(range(len(beginning)), number)
    }
    return sorted({crc32(text.encode()) >> 1 for text in left})


def allowed_mistakes(word: str) -> int:
    """Return how many mistakes somebody may have made who typed a word."""
    return 2 if len(word) >= LONG else 1


def distance(typed: str, word: str) -> int:
    """Return by how many mistakes two words differ, two letters that are swapped being one; 4: by more than three."""
    return int(OSA.distance(typed, word, score_cutoff=3))
