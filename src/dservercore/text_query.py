"""How text becomes tokens, and how what a user types into a search box becomes a query over them.

Every search plugin uses this analyser for what it stores and this parser for what is asked, so that the same
question finds the same datasets on every backend.

The query language: words are AND-ed, ``"a phrase"``, ``-without``, ``a OR b`` (binds tighter than the AND),
``prefi*``. Anything else is text. A word that falls into several tokens, like a file name, is a phrase of them.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import Stemmer

from dservercore.errors import invalid

#: Longer tokens (encoded data, mostly) are cut to this many characters, in what is stored and in what is asked.
TOKEN_LENGTH = 64

#: Stands in a token stream between the texts that :func:`analyse` was given: no phrase reaches across it.
BREAK = "|"

MAX_QUERY_CHARACTERS = 10_000
MAX_QUERY_TOKENS = 200
MAX_QUERY_PREFIXES = 10  # a short one stands for a good part of the index

# -- Folding: one table decides for each character what is left of it ------------------------------------------------

_BREAK_CHARACTER = "\x1f"
_SEPARATOR = " "

# Letters with a stroke, ligatures and the like, which Unicode does not decompose.
_LATIN = dict(zip("æœøłđðþħıŧŋ", ("ae", "oe", "o", "l", "d", "d", "th", "h", "i", "t", "n"), strict=True))

# Scripts that are written without spaces, and Hangul, whose particles are glued to the words: a character is a token.
_ONE_BY_ONE = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17DD),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, zero
    (0x3041, 0x31FF),  # kana, bopomofo
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


class _Folding(dict[int, str]):
    """For ``str.translate``: code point to folded text, worked out at its first use."""

    SIZE = 50_000  # enough for every script in use

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if len(self) < self.SIZE:
            self[code] = folded
        return folded


def _fold_character(character: str) -> str:
    if character == _BREAK_CHARACTER:
        return BREAK
    if any(first <= ord(character) <= last for first, last in _ONE_BY_ONE) and _is_part_of_word(character):
        return f" {character} "
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(_fold_plain(c) for c in plain)


def _fold_plain(character: str) -> str:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me"):
        return _SEPARATOR if character == "\u200b" else ""  # the zero-width space is one
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if "VARIATION SELECTOR" in unicodedata.name(character, "") or not _is_part_of_word(character):
        return _SEPARATOR
    return _LATIN.get(character, character)


def _is_part_of_word(character: str) -> bool:
    # The vowel signs of Indic scripts are marks without being accents.
    return character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")


_folding = _Folding()
for _code in range(128):
    _folding[_code]

_POSSESSIVE = re.compile(r"['’](?<=\w.)[sS]\b")


def _without_break(text: str) -> str:
    return text.replace(_BREAK_CHARACTER, _SEPARATOR) if _BREAK_CHARACTER in text else text


# More marks on a letter than any script piles up. Normalising sorts them, in a time that grows with their square. Two
# letters, the halfwidth sound marks of katakana, become marks when they are normalised.
_MARK = r"(?:[^\x00-\x7f\w\s]|[\uff9e\uff9f])"
_PILED_MARKS = re.compile(f"({_MARK}{{30}}){_MARK}+")


def _normalized(text: str) -> str:
    return unicodedata.normalize("NFKC", _PILED_MARKS.sub(r"\1", text))


#: Characters of a text that are analysed at once: what is made of them takes fifty times the room.
PIECE = 2**16


def normalized_length(text: str, most: int) -> int:
    """Return how many characters a text has when it is normalised, which may be 18 times as many as it has.

    :param most: after more of them the rest is not looked at any more
    """
    length = 0
    for start in range(0, len(text), PIECE):
        length += len(_normalized(text[start : start + PIECE]))
        if length > most:
            break
    return length


def pieces_of(text: str) -> Iterator[str]:
    """Yield a text in pieces of no more than ``PIECE`` characters, cut where words end, if they do."""
    start = 0
    while len(text) - start > PIECE:
        end = start + PIECE
        space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
        end = space if space > start else end
        yield text[start:end]
        start = end
    yield text[start:]


def _fold(text: str) -> list[str]:
    if not text.isascii():
        text = _normalized(text)
    if "'" in text or "’" in text:
        text = _POSSESSIVE.sub("", text)
    return text.translate(_folding).split()


def fold(text: str) -> list[str]:
    """Return the words of *text* in order, in lower case and without accents, not stemmed.

    >>> fold("Müller's my_file-v2.csv")
    ['muller', 'my', 'file', 'v2', 'csv']
    """
    return [word[:TOKEN_LENGTH] for word in _fold(_without_break(text))]


# -- Stemming --------------------------------------------------------------------------------------------------------


class _Stems(dict[str, str]):
    """Word to stem, for the words met lately."""

    SIZE = 50_000

    def __init__(self) -> None:
        super().__init__()
        self._stemmer = Stemmer.Stemmer("english", 0)
        self._lock = threading.Lock()  # a stemmer serves one thread at a time

    def __missing__(self, word: str) -> str:
        if len(word) > TOKEN_LENGTH:
            return word[:TOKEN_LENGTH]
        stem = word
        if word.isascii() and word.isalpha():
            with self._lock:
                stem = self._stemmer.stemWord(word)
        self._keep({word: stem})
        return stem

    def learn(self, words: Iterable[str]) -> None:
        """Stem the words that are new, which takes a third of the time that it takes one by one."""
        new = [w for w in words if w not in self and len(w) <= TOKEN_LENGTH and w.isascii() and w.isalpha()]
        if new:
            with self._lock:
                stems = self._stemmer.stemWords(new)
            self._keep(zip(new, stems, strict=True))

    def _keep(self, stems: Any) -> None:
        if len(self) >= self.SIZE:
            self.clear()
        self.update(stems)


_stems = _Stems()


def stem(word: str) -> str:
    """Return the token that stands for a folded word: its English stem if it is made of the letters a to z alone."""
    return _stems[word]


class Analysis(NamedTuple):
    """What is stored of a text."""

    #: the token of each word, in order, with ``BREAK`` between texts
    tokens: list[str]
    #: the words that do not look like their token, each once, for prefixes to match
    forms: list[str]


def analyse(*texts: str) -> Analysis:
    """Return the tokens of *texts*, such as the file names of a manifest, and the spelling of stemmed words."""
    if len(texts) == 1:
        words = _fold(_without_break(texts[0]))
    else:
        words = _fold(f" {_BREAK_CHARACTER} ".join(map(_without_break, texts)))
    stems = _stems
    stems.learn(dict.fromkeys(words))
    tokens = [stems[word] for word in words]
    stemmed = dict.fromkeys([word for word, token in zip(words, tokens, strict=True) if word != token])
    return Analysis(tokens, [word for word in stemmed if len(word) <= TOKEN_LENGTH])


# -- Queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """One or more tokens next to each other, in this order.

    A ``prefix`` comes after the tokens. On its own it matches every token, and every form, that begins with it.
    After tokens it matches a token that begins with it or is its stem.
    """

    tokens: tuple[str, ...]
    prefix: str | None = None  # None: the tokens are the whole term

    def __len__(self) -> int:
        return len(self.tokens) + (self.prefix is not None)


@dataclass(frozen=True)
class AnyOf:
    """Alternatives: at least one of the terms must match."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Query:
    """All of ``all_of`` must match, and none of ``none_of``. With both empty it matches nothing."""

    all_of: tuple[AnyOf, ...] = ()
    none_of: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all_of or self.none_of)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms to which a dataset can be more or less relevant, each once."""
        return tuple(dict.fromkeys(term for any_of in self.all_of for term in any_of.terms))


@dataclass
class _Item:
    """What stands between two spaces, or in quotes."""

    term: Term
    excluded: bool = False
    is_or: bool = False


_QUOTES = str.maketrans("“”„‟", '""""')  # as word processors and phones type them
_ITEM = re.compile(r'(?P<minus>(?<!\S)-(?=[^\s-]))?(?:"(?P<phrase>[^"]*)"|(?P<word>"?[^\s"]+|"))')


def parse(text: str) -> Query:
    """Return what *text*, typed by a user, asks for.

    Text without any letter or digit asks for nothing, and finds nothing.

    :raises ValidationError: 422, if it has more than ``MAX_QUERY_CHARACTERS`` characters, ``MAX_QUERY_TOKENS`` words
        or ``MAX_QUERY_PREFIXES`` prefixes
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise invalid("free_text", f"Longer than {MAX_QUERY_CHARACTERS} characters.")
    items = [_read_item(match) for match in _ITEM.finditer(_normalized(text).translate(_QUOTES))]
    if sum(len(item.term) for item in items) > MAX_QUERY_TOKENS:
        raise invalid("free_text", f"More than {MAX_QUERY_TOKENS} words.")
    if sum(item.term.prefix is not None for item in items) > MAX_QUERY_PREFIXES:
        raise invalid("free_text", f"More than {MAX_QUERY_PREFIXES} words that end in '*'.")
    none_of = tuple(item.term for item in items if item.excluded and item.term)
    return Query(tuple(_all_of(items)), none_of)


def _read_item(match: re.Match[str]) -> _Item:
    phrase, word = match["phrase"], match["word"]
    term = _read_phrase(phrase) if word is None else _read_word(word)
    return _Item(term, excluded=match["minus"] is not None, is_or=match[0] == "OR")


def _read_phrase(text: str) -> Term:
    return Term(tuple(stem(word) for word in fold(text)))


def _read_word(text: str) -> Term:
    without_star = text.rstrip("*")
    words = fold(without_star)
    if without_star == text or not words or not _is_part_of_word(without_star[-1]):
        return _read_phrase(text)
    return Term(tuple(stem(word) for word in words[:-1]), prefix=words[-1])


def _all_of(items: list[_Item]) -> list[AnyOf]:
    """Return the groups of alternatives, leaving out what holds no letter or digit.

    ``OR`` joins what stands on both sides of it; elsewhere (at an end, next to an exclusion or to another ``OR``)
    it is a word.
    """
    groups: list[list[Term]] = []
    joined = False
    for position, item in enumerate(items):
        if item.excluded:
            continue
        if not joined and _joins(items, position):
            joined = True
        elif joined:
            groups[-1].append(item.term)
            joined = False
        else:
            groups.append([item.term])
    return [AnyOf(terms) for group in groups if (terms := tuple(filter(None, group)))]


def _joins(items: list[_Item], position: int) -> bool:
    if not items[position].is_or or not 0 < position < len(items) - 1:
        return False
    before, after = items[position - 1], items[position + 1]
    return not before.excluded and not after.excluded and not after.is_or
