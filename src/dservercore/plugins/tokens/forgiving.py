"""What somebody may mean who half remembers something and types it wrong.

Words as they are typed come first. A word that no dataset has which the asker may search is read as one that is spelled
like it, as two words, as one with its neighbour, or as the beginning of one. Then a dataset need not have all of what
is asked for: half of it will do; the more it has, and the rarer that is, the more relevant it is.

All of it is made of what the asker may search: words, and how rare they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise

from dservercore.dataset import text_query
from dservercore.dataset.analysis import fold_together, tokens_in, tokens_of
from dservercore.dataset.query_tree import Annotated, AnyOf, Exactly, Node, Query, Term, Text, all_of, any_of
from dservercore.plugins.tokens.index import Part, Way
from dservercore.plugins.tokens.related_words import SHORTEST_BEGINNING, are_related
from dservercore.plugins.tokens.stop_words import STOP_WORDS
from dservercore.plugins.tokens.vocabulary import (
    CORRECTED,
    Vocabulary,
    allowed_mistakes,
    distance,
    may_be_misspelt,
)

#: Where so many datasets match as it is typed, nobody looks for more.
ENOUGH = 100

# Of so many parts, half will do; of more, half of the rarest.
_COMBINED = 8

# What one request may cost: so many words that no dataset has are read otherwise, the first ones, and so many parts,
# the rarest, make a dataset relevant.
_MOST_UNKNOWN, _MOST_PARTS = 10, 20

# A rare word counts more than a common one, but not so much more that it decides alone: it may be the wrong one.
_RARITY_POWER = 0.5

# How much a word counts that is read otherwise than it is typed.
_ONE_MISTAKE, _TWO_MISTAKES, _TWO_WORDS, _ONE_WORD, _COMPLETED, _APART, _RELATED = (
    0.8,
    0.6,
    0.75,
    0.8,
    0.75,
    0.8,
    0.5,
)

# Other words for one that is typed; words that are looked at to find them.
_READINGS, _LOOKED_AT = 6, 40

_SHORTEST_PART, _SHORTEST_BEGINNING, _SHORTEST_RELATED = 2, 3, 5

# Letters of a part without digits of a word that has some: of fewer, it is rather an identifier, such as BRCA1.
_SHORTEST_PLAIN_PART = 4

# Neighbours that may be one word, and ways to write a word as two.
_MOST_PAIRS, _MOST_SPLITS = 20, 4

_LETTERS = re.compile(r"[^\W\d_]{2,}")

# So many digits are the number of something, such as a sample; fewer may be a year or a size.
_IDENTIFIER = re.compile(r"\d{5}")

_WORD_AND_NUMBER, _YEAR = re.compile(r"(\d{1,4})?([^\W\d_]+)(\d{1,4})?"), re.compile(r"(19|20)\d\d")
_SHORTEST_BY_YEAR, _SHORTEST_BY_NUMBER = 3, 5  # letters of the word

#: Returns how many datasets there are which the asker may search, and how many of them fulfil each node.
Count = Callable[[Sequence[Node]], tuple[int, list[int]]]


@dataclass(frozen=True)
class Forgiven:
    """A query that is answered by more than what it says.

    :ivar queries: what a dataset must fulfil; the second is taken where nothing fulfils the first
    :ivar parts: what makes it relevant
    :ivar corrected: by words as they are typed, the words that they are read as
    :ivar optional: words, as they are typed, that a dataset need not have
    """

    queries: tuple[Query, ...]
    parts: tuple[Part, ...]
    corrected: dict[str, list[str]]
    optional: list[str]


@dataclass
class _Word:
    """A word that is typed, or several that were typed without a space.

    :ivar typed: as it is typed
    :ivar node: the condition for it
    :ivar ways: to read it, that some dataset has, and how many have each
    :ivar halves: where it is read as two words first of all, each of them, and how many datasets have it: a dataset
        needs both, and each makes it relevant
    """

    typed: str
    node: Node
    ways: list[tuple[Way, int]] = field(default_factory=list)
    read_as: list[str] = field(default_factory=list)
    halves: list[tuple[Way, int]] = field(default_factory=list)

    @property
    def folded(self) -> str | None:
        """The word in lower case; None: it is not one word."""
        words = fold_together(self.typed)
        return words[0] if len(words) == 1 else None

    @property
    def terms(self) -> tuple[Term, ...]:
        nodes = self.node.nodes if isinstance(self.node, AnyOf) else (self.node,)
        return tuple(node.term for node in nodes if isinstance(node, Text))

    @property
    def typed_ways(self) -> list[Way]:
        """The ways to read it as it is typed."""
        ways = [Way((term,)) for term in self.terms]
        if isinstance(self.node, AnyOf) and not _is_text(self.node):
            # Of numbers no index tells by itself which annotation has them; but it has their spelling.
            exact = [node for node in self.node.nodes if isinstance(node, Exactly)]
            is_number = any(isinstance(node, Annotated) for node in self.node.nodes)
            way = self.in_annotations
            ways.append(replace(way, worth=1.0, condition=way.condition if is_number else any_of(exact)))
        return ways

    @property
    def in_annotations(self) -> Way:
        """The way to read ``name:value`` in which both are words of annotations."""
        name, _, value = self.typed.partition(":")
        parts = filter(None, map(tokens_in, [*name.split("."), value]))  # nested ones are joined by dots
        terms = tuple(map(Term, parts))
        return Way(terms, _APART, all_of([Text(term, "annotations") for term in terms]))

    @property
    def is_stop_word(self) -> bool:
        return self.folded in STOP_WORDS


def words_of(query: Query) -> list[_Word]:
    """Return the words of a query that may be read otherwise, or left out."""
    found = []
    for node in query.nodes:
        nodes = node.nodes if isinstance(node, AnyOf) else (node,)
        typed = {text.typed for text in nodes if isinstance(text, Text)}
        word = typed.pop() if len(typed) == 1 else None
        if word is not None and (_is_text(node) or text_query.parse(word).nodes == (node,)):
            found.append(_Word(word, node))
    return found


def _is_text(node: Node) -> bool:
    nodes = node.nodes if isinstance(node, AnyOf) else (node,)
    return all(isinstance(each, Text) for each in nodes)


def telling(query: Query) -> Query:
    """Return a query without the words that say nothing, unless it has no others."""
    words = words_of(query)
    saying_nothing = [word.node for word in words if word.is_stop_word]
    if len(saying_nothing) == len(words):
        return query
    return Query(tuple(node for node in query.nodes if all(node is not each for each in saying_nothing)))


def stop_words(query: Query) -> list[str]:
    """Return the words of a query, as they are typed, that say nothing."""
    return [word.typed for word in words_of(query) if word.is_stop_word]


def name_of(query: Query) -> Exactly | None:
    """Return the condition that a dataset is called just what is typed; None: something else is asked for, too."""
    words = words_of(query)
    if not words or len(words) < len(query.nodes):
        return None
    return Exactly("name", " ".join(word.typed for word in words))


def forgive(query: Query, vocabulary: Vocabulary, base_uris: Sequence[str], count: Count) -> Forgiven | None:
    """Return what to look for where a query is not answered as it is typed; None: there is nothing else.

    :param base_uris: in which the asker may search
    """
    words = words_of(query)
    if not words:
        return None
    hard = tuple(node for node in query.nodes if all(node is not word.node for word in words))
    typed = [word.typed_ways for word in words]
    number, having = count([way.node for ways in typed for way in ways])
    counts = iter(having)
    for word, ways in zip(words, typed, strict=True):
        word.ways = [(way, of_way) for way in ways if (of_way := next(counts))]
    _read_otherwise(words, vocabulary, base_uris, count)
    live = [word for word in words if word.ways]
    telling = [word for word in live if not word.is_stop_word] or live
    if not telling or (len(telling) == len(query.nodes) == 1 and not telling[0].read_as):
        return None
    parts = _rarest([_part(word.ways, number) for word in telling])
    relevant = _rarest([_part(ways, number) for word in telling for ways in _ranked_by(word)])
    queries = [Query((*hard, _most_of(parts)))]
    if len(parts) > 1:
        queries.append(Query((*hard, AnyOf(tuple(part.node for part in parts)))))
    optional = [word.typed for word in words if len(telling) > 1 or word not in telling]
    corrected = {word.typed: word.read_as for word in words if word.read_as}
    return Forgiven(tuple(queries), tuple(relevant), corrected, optional)


def _ranked_by(word: _Word) -> list[list[tuple[Way, int]]]:
    """Return what makes a dataset relevant that has a word: one of its ways, or both of its halves."""
    return [[half] for half in word.halves] or [word.ways]


def _rarest(parts: Iterable[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: -part.rarity)[:_MOST_PARTS]


def _part(ways: Sequence[tuple[Way, int]], number: int) -> Part:
    """Return the part that a dataset has by any of these ways.

    :param ways: each with the number of datasets that have it
    :param number: of all datasets
    """
    having = min(number, sum(of_way for _, of_way in ways))
    rarity = math.log(1 + (number - having + 0.5) / (having + 0.5))
    return Part(tuple(way for way, _ in ways), rarity**_RARITY_POWER)


def _most_of(parts: Sequence[Part]) -> Node:
    """Return the condition that a dataset has half of the parts; where there are many, half of the rarest.

    :param parts: the rarest first
    """
    rarest = parts[:_COMBINED]
    enough = math.ceil(len(rarest) / 2)
    return any_of([all_of([part.node for part in some]) for some in combinations(rarest, enough)])


# -- Reading a word otherwise ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """Another way to read a word.

    :ivar words: folded
    :ivar is_phrase: whether they must stand next to each other
    :ivar other: the way that it is; None: that of the words
    """

    words: tuple[str, ...]
    worth: float
    is_phrase: bool = False
    other: Way | None = None

    @property
    def way(self) -> Way:
        if self.other is not None:
            return self.other
        tokens = [tokens_of(word) for word in self.words]
        if self.is_phrase:
            return Way((Term(tuple(token for of_word in tokens for token in of_word)),), self.worth)
        return Way(tuple(map(Term, tokens)), self.worth)


def _read_otherwise(
    words: list[_Word], vocabulary: Vocabulary, base_uris: Sequence[str], count: Count
) -> None:
    """Give words that no dataset has other ways to read them, and read neighbours together that are one word."""
    pairs = _neighbours(words)
    unknown = [word for word in words if not word.ways][:_MOST_UNKNOWN]
    halves = [half for word in unknown for split in _splits(word) for half in split]
    spelled = _spelled([*(joined for _, _, joined in pairs), *halves])
    known = vocabulary.known(spelled, base_uris) if spelled else set()
    _take_together(words, pairs, known, count)
    unknown = [word for word in unknown if not word.ways and word in words]
    if not unknown:
        return
    _take_those_that_exist(unknown, _readings(unknown, words[-1], known, vocabulary, base_uris), count)
    _count_halves([word for word in unknown if _is_rather_two(word)], count)
    rest = [word for word in unknown if not word.ways]
    _take_those_that_exist(rest, [_related(word, vocabulary, base_uris) for word in rest], count)


def _take_those_that_exist(
    words: Sequence[_Word], readings: Sequence[Sequence[_Reading]], count: Count
) -> None:
    """Give each word those of its readings that some dataset has."""
    having = iter(_counts([reading for of_word in readings for reading in of_word], count))
    for word, of_word in zip(words, readings, strict=True):
        _use(word, [(reading, number) for reading in of_word if (number := next(having))])


def _is_rather_two(word: _Word) -> bool:
    """Return whether a word is read as two words first of all, and as none that is spelled nearly like it."""
    ways = [way for way, _ in word.ways]
    return (
        bool(ways)
        and len(ways[0].terms) == 2
        and all(len(way.terms) > 1 or way.worth <= _TWO_MISTAKES for way in ways)
    )


def _count_halves(words: Sequence[_Word], count: Count) -> None:
    """Note the halves of words that are read as two words first of all."""
    halves = [Way((term,), word.ways[0][0].worth) for word in words for term in word.ways[0][0].terms]
    having = iter(count([half.node for half in halves])[1] if halves else ())
    pairs = iter(zip(halves, having, strict=True))
    for word in words:
        word.halves = [next(pairs), next(pairs)]


def _counts(readings: Sequence[_Reading], count: Count) -> list[int]:
    return count([reading.way.node for reading in readings])[1] if readings else []


def _use(word: _Word, readings: Sequence[tuple[_Reading, int]]) -> None:
    best = sorted(readings, key=lambda found: (-found[0].worth, -found[1], found[0].words))[:_READINGS]
    word.ways = [(reading.way, number) for reading, number in best]
    word.read_as = list(dict.fromkeys(" ".join(reading.words) for reading, _ in best))


def _neighbours(words: Sequence[_Word]) -> list[tuple[_Word, _Word, str]]:
    """Return words that stand next to each other, with both of them without the space."""
    pairs = [(first, second, f"{first.folded}{second.folded}") for first, second in pairwise(words)]
    return [
        (first, second, joined)
        for first, second, joined in pairs
        if first.folded and second.folded and not f"{first.folded[-1]}{second.folded[0]}".isdigit()
    ][:_MOST_PAIRS]


def _take_together(
    words: list[_Word], pairs: Sequence[tuple[_Word, _Word, str]], known: Set[str], count: Count
) -> None:
    """Read two neighbours as one word where they are one.

    Where one of them is no word, both are only that; where both are words, each may stand for it.
    """
    found = [
        (first, second, _Reading((joined,), _ONE_WORD))
        for first, second, joined in pairs
        if _may_exist(joined, known)
    ]
    taken: list[_Word] = []
    for (first, second, reading), number in zip(
        found, _counts([each[2] for each in found], count), strict=True
    ):
        if not number or first in taken or second in taken:
            continue
        if first.ways and second.ways:
            first.ways.append((reading.way, number))
            second.ways.append((reading.way, number))
            continue
        first.ways, first.read_as = [(reading.way, number)], list(reading.words)
        first.typed, second.typed = f"{first.typed} {second.typed}", ""
        taken += [first, second]
    words[:] = [word for word in words if word.typed]


def _readings(
    words: Sequence[_Word],
    last: _Word,
    known: Set[str],
    vocabulary: Vocabulary,
    base_uris: Sequence[str],
) -> list[list[_Reading]]:
    """Return, for each word, what it may mean.

    :param known: the halves of words that are words
    """
    misspelt = [word.folded for word in words if word.folded and may_be_misspelt(word.folded)]
    near = vocabulary.near(misspelt, base_uris)
    found = []
    for word in words:
        of_word = [_Reading((other,), worth) for other, worth in _corrections(word.folded, near)]
        splits = [split for split in _splits(word) if all(_may_exist(half, known) for half in split)]
        splits.sort(key=lambda split: -min(map(len, split)))
        of_word += [_Reading(split, _TWO_WORDS, _is_at_digit(split)) for split in splits[:_MOST_SPLITS]]
        if apart := _word_and_number(word.typed):
            of_word.append(_Reading(apart, _APART, other=None if _has_year(apart) else _in_name(apart)))
        if word is last and word.folded and len(word.folded) >= _SHORTEST_BEGINNING:
            completed = vocabulary.beginning(word.folded, base_uris, _LOOKED_AT)
            of_word += [_Reading((other,), _COMPLETED) for other in completed if other not in STOP_WORDS]
        folded = fold_together(word.typed)
        if len(folded) > 1 and not any(map(str.isdigit, word.typed)):
            of_word.append(_Reading(tuple(dict.fromkeys(folded)), _APART))
        elif not _is_text(word.node):
            name, _, value = word.typed.lower().partition(":")
            of_word.append(_Reading((name, value), _APART, other=word.in_annotations))
        found.append(of_word)
    return found


def _corrections(word: str | None, near: dict[str, list[str]]) -> Iterable[tuple[str, float]]:
    """Return words that are spelled like one, those with the fewest mistakes, and what they are worth."""
    by_distance: dict[int, list[str]] = {}
    for other in near.get(word or "", ()):
        if len(other) >= CORRECTED:
            by_distance.setdefault(distance(word or "", other), []).append(other)
    for mistakes in range(1, allowed_mistakes(word or "") + 1):
        if mistakes in by_distance:
            worth = _ONE_MISTAKE if mistakes == 1 else _TWO_MISTAKES
            # The first letter is seldom wrong.
            found = sorted(by_distance[mistakes], key=lambda other: (other[0] != (word or "")[0], other))
            return [
                (other, worth if other[0] == (word or "")[0] else 0.9 * worth) for other in found[:_LOOKED_AT]
            ]
    return []


def _splits(word: _Word) -> list[tuple[str, str]]:
    """Return the ways to write a word as two, without tearing a number apart; none for an identifier.

    Where letters meet digits, that says something new only of a word that is one token: sentinel3a.
    """
    folded = word.folded or ""
    if not folded.isalnum() or _IDENTIFIER.search(folded):
        return []
    splits = [(folded[:place], folded[place:]) for place in range(1, len(folded))]
    shortest = _SHORTEST_PART if folded.isalpha() else _SHORTEST_PLAIN_PART
    return [
        split
        for split in splits
        if not f"{split[0][-1]}{split[1][0]}".isdigit()
        and all(_may_be_half(half, shortest) for half in split)
        and (not _is_at_digit(split) or len(tokens_of(folded)) == 1)
    ]


def _has_year(words: Iterable[str]) -> bool:
    return any(map(_YEAR.fullmatch, words))


def _in_name(words: Iterable[str]) -> Way:
    """Return the way to have words in the name, where numbers say which dataset it is."""
    terms = tuple(Term(tokens_of(word)) for word in words)
    return Way(terms, _APART, all_of([Text(term, "name") for term in terms]))


def _word_and_number(typed: str) -> tuple[str, str] | None:
    """Return the two parts of a word and a number that were written as one, such as ``global1950``.

    None for an identifier: its letters are few, unless a year follows them, or are capitals.
    """
    found = _WORD_AND_NUMBER.fullmatch(typed.lower())
    if found is None or typed[1:] != typed[1:].lower():
        return None
    before, word, after = found.groups("")
    number = before or after
    if bool(before) != bool(after) and len(word) >= (
        _SHORTEST_BY_YEAR if _YEAR.fullmatch(number) else _SHORTEST_BY_NUMBER
    ):
        return (word, number) if after else (number, word)
    return None


def _is_at_digit(split: tuple[str, str]) -> bool:
    """Return whether a word is split where letters meet digits."""
    return split[0][-1].isdigit() or split[1][0].isdigit()


def _may_be_half(part: str, shortest: int) -> bool:
    """Return whether a part of a word may be a word.

    :param shortest: letters of a part that has no digit
    """
    return len(part) >= (shortest if part.isalpha() else _SHORTEST_PART) or part.isdigit()


def _spelled(words: Iterable[str]) -> set[str]:
    """Return the words of letters alone, two or more, that words consist of, of which a vocabulary knows."""
    return {letters for word in words for letters in _LETTERS.findall(word)}


def _may_exist(word: str, known: Set[str]) -> bool:
    """Return whether a word may be in the index.

    :param known: words of letters alone that are
    """
    # In the index it is one token where letters and digits meet twice, and no vocabulary has it.
    return (len(tokens_of(word)) == 1 and not word.isalpha()) or known >= set(_LETTERS.findall(word))


def _related(word: _Word, vocabulary: Vocabulary, base_uris: Sequence[str]) -> list[_Reading]:
    """Return words of the same beginning, such as ``smoking`` for ``smokers``."""
    if not word.folded or not word.folded.isalpha():
        return []
    stem = tokens_of(word.folded)[0]
    if len(stem) < _SHORTEST_RELATED:
        return []
    beginning = stem[: max(SHORTEST_BEGINNING, len(stem) - 2)]
    others = vocabulary.beginning(beginning, base_uris, _LOOKED_AT)
    return [_Reading((other,), _RELATED) for other in others if are_related(word.folded, other)]
