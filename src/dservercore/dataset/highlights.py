"""Where in a text the words of a query stand, compared as an index compares them.

What the index takes for equal is found: the plural of a word that was asked for in the singular, ``plate_07`` for
``plate 7``, ``Müller`` for ``muller``. Places are in code points of the text as it is written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from dservercore.dataset.analysis import BREAK, analyse, fold, fold_together, tokens_of
from dservercore.dataset.file_names import pattern_of
from dservercore.dataset.query_tree import Column, Exactly, FileName, InBaseURI, Query, Term, Text, leaves

# Characters of a text that are looked at in detail if, on the whole, there is something in them.
_PIECE = 4000

_CHUNK = re.compile(r"\S{1,1000}")
_RUNS = re.compile(r"\d+|\D+")
_LONGEST_REMEMBERED = 40


class Hit(NamedTuple):
    """Where something that was asked for stands in a text.

    :ivar what: a number for each thing that was asked for
    """

    start: int
    end: int
    what: int


class _Placed(NamedTuple):
    """A token of a text, the folded word that it is or is a part of, and where it stands."""

    token: str
    word: str
    start: int
    end: int


@dataclass
class _Wanted:
    """What is asked for in one place of a dataset, with the number of each thing.

    :ivar words: by their token
    :ivar phrases: by the first of their tokens
    """

    words: dict[str, int] = field(default_factory=dict)
    prefixes: list[tuple[str, int]] = field(default_factory=list)
    phrases: dict[str, list[tuple[Term, int]]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.words or self.prefixes or self.phrases or self.patterns)

    def add(self, term: Term, what: int) -> None:
        if not term.tokens:
            self.prefixes.append((term.prefix or "", what))
        elif len(term) == 1:
            self.words[term.tokens[0]] = what
        else:
            self.phrases.setdefault(term.tokens[0], []).append((term, what))

    def may_be_in(self, text: str) -> bool:
        """Return whether a text has something of it, or at least the beginning of it."""
        analysis = analyse(text)
        tokens = {*analysis.tokens, *analysis.forms}
        return not (self.words.keys() | self.phrases.keys()).isdisjoint(tokens) or any(
            token.startswith(prefix) for prefix, _ in self.prefixes for token in tokens
        )


class Highlighter:
    """Finds the words of a query in the texts of a dataset.

    :param query: what was asked; what it excludes is not looked for
    """

    def __init__(self, query: Query) -> None:
        found = list(dict.fromkeys(leaves(*query.nodes)))
        self._wanted: dict[Column, _Wanted] = {}
        self._leaves = list(enumerate(found))
        #: ``(kind, value)`` of the creators and UUIDs that were asked for, exactly.
        self.exact = {(leaf.kind, leaf.value) for leaf in found if isinstance(leaf, Exactly)}
        #: What the base URI must contain, in lower case.
        self.in_base_uri = [leaf.text for leaf in found if isinstance(leaf, InBaseURI)]

    def looks_in(self, column: Column) -> bool:
        """Return whether there is anything to look for in a place of datasets."""
        return bool(self._of(column))

    def hits(self, text: str, column: Column, most: int = 100) -> list[Hit]:
        """Return where in a text something stands that was asked for, in the order of the text.

        :param column: the place of the dataset that the text is from
        :param most: after so many the rest of the text is not looked at
        """
        wanted = self._of(column)
        found: list[Hit] = []
        for start, piece in _pieces_of(text) if wanted else ():
            if len(found) >= most:
                break
            if len(text) <= _PIECE or wanted.may_be_in(piece):
                found += [Hit(start + hit.start, start + hit.end, hit.what) for hit in _hits(piece, wanted)]
        return found[:most]

    def files(self, paths: Sequence[str], most: int) -> list[tuple[str, list[Hit]]]:
        """Return the first paths of files in which something stands that was asked for, and where in each.

        :param most: so many are looked for
        """
        wanted = self._of("files")
        found: list[tuple[str, list[Hit]]] = []
        for start in range(0, len(paths) if wanted else 0, _PATHS_AT_ONCE):
            some = paths[start : start + _PATHS_AT_ONCE]
            if not wanted.patterns and not wanted.may_be_in("\n".join(some)):
                continue
            for path in some:
                hits = _hits(path, wanted) or _pattern_hits(path, wanted)
                if hits:
                    found.append((path, hits))
                if len(found) == most:
                    return found
        return found

    def _of(self, column: Column) -> _Wanted:
        if column not in self._wanted:
            wanted = self._wanted[column] = _Wanted()
            for what, leaf in self._leaves:
                if isinstance(leaf, Text) and leaf.column in (None, column):
                    wanted.add(leaf.term, what)
                elif isinstance(leaf, FileName) and column == "files":
                    wanted.patterns.append((re.compile(pattern_of(leaf).expression), what))
        return self._wanted[column]


_PATHS_AT_ONCE = 100


def _pieces_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each piece of a text begins, and the piece, cut where words end, if they do."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space if space > start else end
        yield start, text[start:end]
        start = end


def _pattern_hits(path: str, wanted: _Wanted) -> list[Hit]:
    """Return a hit that is the whole path if it fits a pattern that was asked for."""
    if not wanted.patterns:
        return []
    tokens = " ".join(analyse(path).tokens)
    return [Hit(0, len(path), what) for fits, what in wanted.patterns if fits.search(f" {tokens} {BREAK} ")]


def _hits(text: str, wanted: _Wanted) -> list[Hit]:
    if not wanted.phrases:
        return sorted(_hits_of_words(text, wanted))
    placed: list[_Placed] = []
    joined: list[_Placed] = []
    for chunk in _CHUNK.finditer(text):
        place = _place_remembered if len(chunk[0]) <= _LONGEST_REMEMBERED else _place
        in_order, read_as_one = place(chunk[0])
        start = chunk.start()
        placed += [each._replace(start=start + each.start, end=start + each.end) for each in in_order]
        joined += [each._replace(start=start + each.start, end=start + each.end) for each in read_as_one]
    found = list(_words_among(joined, wanted))
    for position, each in enumerate(placed):
        found += _words_among([each], wanted)
        for term, what in wanted.phrases.get(each.token, ()):
            if _begins(placed, position, term):
                found.append(Hit(each.start, placed[position + len(term) - 1].end, what))
    return sorted(found)


def _hits_of_words(text: str, wanted: _Wanted) -> Iterator[Hit]:
    """Yield hits where no phrase is looked for: each word is looked at alone, which takes half the time."""
    words, prefixes = wanted.words, wanted.prefixes
    for chunk in _CHUNK.finditer(text):
        place = _place_remembered if len(chunk[0]) <= _LONGEST_REMEMBERED else _place
        for placed in place(chunk[0]):
            for each in placed:
                if prefixes or each.token in words:
                    start = chunk.start()
                    for hit in _words_among([each], wanted):
                        yield Hit(start + hit.start, start + hit.end, hit.what)


def _words_among(placed: Iterable[_Placed], wanted: _Wanted) -> Iterator[Hit]:
    for each in placed:
        what = wanted.words.get(each.token)
        if what is not None:
            yield Hit(each.start, each.end, what)
        for prefix, number in wanted.prefixes:
            if each.token.startswith(prefix) or each.word.startswith(prefix):
                yield Hit(each.start, each.end, number)


def _begins(placed: Sequence[_Placed], position: int, term: Term) -> bool:
    """Return whether a term begins at a position."""
    if position + len(term) > len(placed):
        return False
    tokens = tuple(each.token for each in placed[position : position + len(term.tokens)])
    if tokens != term.tokens:
        return False
    if term.prefix is None:
        return True
    last = placed[position + len(term.tokens)].token
    return last.startswith(term.prefix) or last == term.whole


def _place(chunk: str) -> tuple[tuple[_Placed, ...], tuple[_Placed, ...]]:
    """Return the tokens of what stands between two spaces, and those of words that may be read as one, besides."""
    words = fold(chunk)
    if not words:
        return (), ()
    letters, places = _letters_of(chunk)
    together = [word for word in fold_together(chunk) if word not in words]
    return tuple(_aligned(words, chunk, letters, places)), tuple(_aligned(together, chunk, letters, places))


_place_remembered = lru_cache(maxsize=10_000)(_place)


def _letters_of(chunk: str) -> tuple[str, list[int]]:
    """Return the letters and digits of a text as they are folded, and where each of them stands."""
    if chunk.isascii():
        places = [place for place, character in enumerate(chunk) if character.isalnum()]
        return "".join(chunk[place] for place in places).lower(), places
    letters: list[str] = []
    places = []
    for place, character in enumerate(chunk):
        folded = "".join(fold(character))
        letters.append(folded)
        places += [place] * len(folded)
    return "".join(letters), places


def _aligned(words: Iterable[str], chunk: str, letters: str, places: Sequence[int]) -> Iterator[_Placed]:
    """Yield the tokens of words with their places; where a place cannot be told, it is the whole text."""
    cursor = 0
    for word in words:
        plain = "".join(filter(str.isalnum, word)) if word.isascii() else word.lstrip(_SIGN_OF_WHOLE)
        at = letters.find(plain, cursor)
        tokens = tokens_of(word)
        runs = _RUNS.findall(plain) if len(tokens) > 1 else [plain]
        if at < 0 or len(runs) != len(tokens):
            yield from (_Placed(token, word, 0, len(chunk)) for token in tokens)
            continue
        for token, run in zip(tokens, runs, strict=True):
            yield _Placed(token, run, places[at], _end_of(chunk, places[at + len(run) - 1]))
            at += len(run)
        cursor = at


#: What the analysis puts in front of words that stay whole.
_SIGN_OF_WHOLE = "ꞏ"


def _end_of(chunk: str, last: int) -> int:
    """Return where a word ends whose last letter stands at a place: behind the marks on that."""
    end = last + 1
    while end < len(chunk) and unicodedata.combining(chunk[end]):
        end += 1
    return end
