"""How text becomes tokens: what is stored of a text to find it by, and what of a query is compared with that.

Every search plugin uses it for both, so that the same question finds the same datasets on every backend.

A text is folded into words: case, accents and punctuation go. A word becomes one token, its English stem; or several,
where letters meet digits: ``plate07`` is ``plate`` and ``7``, and so are ``plate_7`` and ``Plate 07``. Where a word may
be read as one or as two (``SalesRegion``, ``O'Hara``), its two parts are stored, and the whole of it besides.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import Stemmer

from dservercore.dataset.word_forms import SINGULARS, SPELLINGS, singular

#: Longer tokens (encoded data, mostly) are cut to this many characters, in what is stored and in what is asked.
TOKEN_LENGTH = 64

#: Stands in a token stream between the texts that :func:`analyse` was given: no phrase reaches across it.
BREAK = "|"

# -- Folding: one table decides for each character what is left of it ------------------------------------------------

_BREAK_CHARACTER = "\x1f"
_SEPARATOR = " "

#: Begins a word that stays whole, and keeps its zeros. So do the digits behind a decimal point that begin with a zero
#: (0.05 is not 0.5, while plate_05 is plate 5), and the middle of a UUID, by which every sixth dataset would answer 7.
#: A letter that nobody uses but for the transcription of Chinese.
_WHOLE = "ꞏ"

# Letters with a stroke, ligatures and the like, which Unicode does not decompose.
_LATIN = dict(zip("æœøłđðþħıŧŋ", ("ae", "oe", "o", "l", "d", "d", "th", "h", "i", "t", "n"), strict=True))

# What is written for an apostrophe, some of which Unicode takes for letters.
_APOSTROPHES = "'’‘ʼʻʹ′ʾʿ"

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
    if character in _APOSTROPHES:
        return _SEPARATOR
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


def is_part_of_word(character: str) -> bool:
    """Return whether a character belongs to a word, and does not separate two."""
    return character not in _APOSTROPHES and _is_part_of_word(character)


_folding = _Folding()
for _code in range(128):
    _folding[_code]

_POSSESSIVE = re.compile(r"['’](?<=\w.)[sS]\b")

# A decimal point, or comma, with a zero behind it; and what stands before one. 2020.05.10 and 1.0.05 are no decimal
# numbers, and scan12.0001.tif is none.
_POINT = re.compile(r"[.,](?=0\d+(?![.,]?\d))")
_BEFORE_POINT = re.compile(r"(?<![\w.,])\d+\Z")
_LONGEST_BEFORE_POINT = 20

# A decimal point that a number begins with, and the plus of an exponent, which people leave out.
_LEADING_POINT = re.compile(r"(?<![^\s(\[=<>:;~+-])\.(?=\d)")
_PLUS = re.compile(r"(?<=\d[eE])\+(?=\d)")

# A UUID but for its last part, or the beginning of one with a letter in its first part: 20260102-12 is a date.
_UUID = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}(?=-[0-9a-f]{12}(?![0-9a-z]))"
    r"|(?=[0-9]{0,7}[a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){0,2}-[0-9a-f]{1,4}(?![0-9a-z]))",
    re.ASCII | re.IGNORECASE,
)


def _without_break(text: str) -> str:
    return text.replace(_BREAK_CHARACTER, _SEPARATOR) if _BREAK_CHARACTER in text else text


# More marks on a letter than any script piles up. Normalising sorts them, in a time that grows with their square. Two
# letters, the halfwidth sound marks of katakana, become marks when they are normalised.
_MARK = r"(?:[^\x00-\x7f\w\s]|[\uff9e\uff9f])"
_PILED_MARKS = re.compile(f"({_MARK}{{30}}){_MARK}+")


def normalized(text: str) -> str:
    """Return *text* with each character in its usual form (NFKC), without the most of the marks that are piled up."""
    return unicodedata.normalize("NFKC", _PILED_MARKS.sub(r"\1", text))


#: Characters of a text that are analysed at once: what is made of them takes fifty times the room.
PIECE = 2**16


def normalized_length(text: str, most: int) -> int:
    """Return how many characters a text has when it is normalised, which may be 18 times as many as it has.

    :param most: where there are more, counting may stop
    """
    length = 0
    for start in range(0, len(text), PIECE):
        length += len(normalized(text[start : start + PIECE]))
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


# -- Words that may be read as one or as several ---------------------------------------------------------------------

_LOWER, _UPPER, _OTHER_LETTER, _APOSTROPHE, _NO_LETTER = "l", "U", "o", "'", " "


class _Shapes(dict[int, str]):
    """For ``str.translate``: code point to the kind of character that it is."""

    def __missing__(self, code: int) -> str:
        shape = _shape_of(chr(code))
        if len(self) < _Folding.SIZE:
            self[code] = shape
        return shape


def _shape_of(character: str) -> str:
    if character in _APOSTROPHES:
        return _APOSTROPHE
    category = unicodedata.category(character)
    if category in ("Lu", "Lt"):
        return _UPPER
    if category == "Ll":
        return _LOWER
    return _OTHER_LETTER if category[0] == "L" or category in ("Mn", "Mc") else _NO_LETTER


_shapes = _Shapes()
for _code in range(128):
    _shapes[_code]

_LETTERS = f"{_LOWER}{_UPPER}{_OTHER_LETTER}"
_WORD = re.compile(f"[{_LETTERS}]+(?:{_APOSTROPHE}[{_LETTERS}]+)*")
#: Where parts of a word meet: before a capital, before the last one of several, around an apostrophe. A single letter
#: in front is no part: pH, mRNA, 10 mM.
_JOINT = re.compile(
    f"(?<={_LOWER}{_LOWER})(?={_UPPER})|(?<={_UPPER})(?={_UPPER}{_LOWER}{_LOWER})"
    f"|(?<=[{_LETTERS}]){_APOSTROPHE}(?=[{_LETTERS}])"
)

_SIGNS_OF_A_JOINT = (f"{_LOWER}{_LOWER}{_UPPER}", f"{_UPPER}{_UPPER}{_LOWER}", _APOSTROPHE)


def _taken_apart(text: str) -> tuple[str, list[str]]:
    """Return a text with a space where parts of a word meet, and the words that have such places, each once."""
    shape = text.translate(_shapes)
    if not any(sign in shape for sign in _SIGNS_OF_A_JOINT):
        return text, []
    parts: list[str] = []
    words: dict[str, None] = {}
    done = 0
    for start, end in _jointed(shape):
        joints = list(_JOINT.finditer(shape, start, end))
        if joints:
            words[text[start:end]] = None
        for joint in joints:
            parts += [text[done : joint.start()], _SEPARATOR]
            done = joint.end()
    parts.append(text[done:])
    return "".join(parts), list(words)


def _jointed(shape: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each word that may have a place where parts meet.

    :param shape: the kind of each character
    """
    position = 0
    ahead = dict.fromkeys(_SIGNS_OF_A_JOINT, 0)  # where each comes next
    while True:
        for sign, at in list(ahead.items()):
            if at < position or position == 0:
                ahead[sign] = shape.find(sign, position)
                if ahead[sign] < 0:
                    del ahead[sign]
        if not ahead:
            return
        first = min(ahead.values())
        start = 1 + max(shape.rfind(_NO_LETTER, position, first), position - 1)
        word = _WORD.search(shape, start)
        if word is None:
            return
        yield word.span()
        position = max(word.end(), first + 1)


def _prepared(text: str) -> str:
    """Return a text that is normalised, without what the folding of characters cannot tell: ``'s``, and fractions."""
    if not text.isascii():
        text = normalized(text).replace(_WHOLE, _SEPARATOR)
    if "'" in text or "’" in text:
        text = _POSSESSIVE.sub("", text)
    if "." in text:
        text = _LEADING_POINT.sub("0.", text)
    if "e+" in text or "E+" in text:
        text = _PLUS.sub("", text)
    if ".0" in text or ",0" in text:
        text = _POINT.sub(_separated, text)
    return _UUID.sub(_uuid_in_words, text) if "-" in text else text


def _uuid_in_words(uuid: re.Match[str]) -> str:
    first, *middle = uuid[0].split("-")
    return f" {_WHOLE}".join([first, *middle])


def _separated(point: re.Match[str]) -> str:
    """Return what takes the place of a decimal point: a sign that tells that a fraction begins."""
    end = point.start()
    is_decimal = _BEFORE_POINT.search(point.string, max(0, end - _LONGEST_BEFORE_POINT), end)
    return f" {_WHOLE}" if is_decimal else _SEPARATOR


def fold(text: str) -> list[str]:
    """Return the words of *text* in order, in lower case and without accents, not stemmed.

    >>> fold("Müller's my_file-v2.csv of SalesRegion")
    ['muller', 'my', 'file', 'v2', 'csv', 'of', 'sales', 'region']
    """
    apart, _ = _taken_apart(_prepared(_without_break(text)))
    return _folded(apart)


def fold_together(text: str) -> list[str]:
    """Return the words of *text* as :func:`fold` does, but what may be read as one word or as several as one.

    >>> fold_together("SalesRegion of O'Hara")
    ['salesregion', 'of', 'ohara']
    """
    prepared = _prepared(_without_break(text))
    _, words = _taken_apart(prepared)
    for word in words:
        prepared = prepared.replace(word, _without_apostrophes(word))
    return _folded(prepared)


def _folded(text: str) -> list[str]:
    return [word[:TOKEN_LENGTH] for word in text.translate(_folding).split()]


def _without_apostrophes(word: str) -> str:
    return "".join(character for character in word if character not in _APOSTROPHES)


#: Characters that a completion key has at most.
COMPLETION_KEY_LENGTH = 80


def completion_key(text: str) -> str:
    """Return the folded letters and digits of a text without what separates its words.

    What somebody types who begins to write the text has a key with which that of the text begins.

    >>> completion_key("Rice-Genome 07"), completion_key("rice gen")
    ('ricegenome07', 'ricegen')
    """
    return "".join(fold(text)).replace(_WHOLE, "")[:COMPLETION_KEY_LENGTH]


# -- Tokens ----------------------------------------------------------------------------------------------------------

# A word with more runs of letters and of digits is encoded data, and stays whole. So does one with more than two of
# them, if it is a formula (H2O would be found in H2O2), or hexadecimal: else d7 would be found in many a UUID.
_MOST_RUNS = 6
_FORMULA = re.compile(r"(?:\d(?!\d)|[^\W\d](?![^\W\d]))+")
_HEXADECIMAL = re.compile("[0-9a-f]{8,}")

_RUNS = re.compile(r"\d+|\D+")

#: How the URI of every dataset in a bucket begins, all of which would answer 3.
_S3 = "s3"


class _Tokens(dict[str, str]):
    """Word to tokens, with a space between them if they are several, for the words met lately."""

    SIZE = 50_000

    def __init__(self) -> None:
        super().__init__()
        self._stemmer = Stemmer.Stemmer("english", 0)
        self._lock = threading.Lock()  # a stemmer serves one thread at a time

    def __missing__(self, word: str) -> str:
        if len(word) > TOKEN_LENGTH:
            return word[:TOKEN_LENGTH]
        if _is_english(word):
            with self._lock:
                (tokens,) = _stems(self._stemmer, [word])
        else:
            parts = _parts(word)
            tokens = " ".join([self[part] for part in parts]) if len(parts) > 1 else parts[0]
        self._keep({word: tokens})
        return tokens

    def learn(self, words: Iterable[str]) -> None:
        """Stem the words that are new, without waiting for the stemmer at each."""
        new = [
            word
            for word in words
            if word not in self and word.isalpha() and word.isascii() and len(word) <= TOKEN_LENGTH
        ]
        if new:
            with self._lock:
                found = dict(zip(new, _stems(self._stemmer, new), strict=True))
            self._keep(found)

    def _keep(self, tokens: Mapping[str, str]) -> None:
        if len(self) >= self.SIZE:
            self.clear()
        self.update(tokens)


def _is_english(word: str) -> bool:
    return word.isascii() and word.isalpha()


def _stems(stemmer: Stemmer.Stemmer, words: Sequence[str]) -> list[str]:
    """Return the tokens of words of the letters a to z; one by one they would take three times as long."""
    stems: list[str] = stemmer.stemWords(words)
    for place in [n for n, word in enumerate(words) if word in SINGULARS or word[-2:] == "es"]:
        one = singular(words[place])
        stems[place] = stemmer.stemWord(one)
        if one[-3:] == "ses" and stems[place][-1:] == "s":  # of atlases is atlas, and of that is atla
            stems[place] = stemmer.stemWord(stems[place])
    if not _SPELLED_ALIKE.keys().isdisjoint(stems):
        stems = [_SPELLED_ALIKE.get(stem, stem) for stem in stems]
    return stems


_SPELLED_ALIKE = {
    british: american
    for stems in [Stemmer.Stemmer("english", 0).stemWords]
    for british, american in zip(stems(list(SPELLINGS)), stems(list(SPELLINGS.values())), strict=True)
}


def _parts(word: str) -> tuple[str, ...]:
    """Return the parts of a word in which letters meet digits; numbers without the zeros that they begin with."""
    if word[0] == _WHOLE or word == _S3 or not any(map(str.isdigit, word)):
        return (word,)
    runs = _RUNS.findall(word)
    if len(runs) > 2 and (len(runs) > _MOST_RUNS or _FORMULA.fullmatch(word) or _HEXADECIMAL.fullmatch(word)):
        return (word,)
    return tuple([run.lstrip("0") or "0" if run[0].isdigit() else run for run in runs])


_tokens = _Tokens()


def tokens_of(word: str) -> tuple[str, ...]:
    """Return the tokens that stand for a folded word: one, or one for each part where letters meet digits.

    A token is the English stem of what is made of the letters a to z alone, and a number without leading zeros.

    >>> tokens_of("plates"), tokens_of("sp0500")
    (('plate',), ('sp', '500'))
    """
    return tuple(_tokens[word].split(" "))


def tokens_in(text: str) -> tuple[str, ...]:
    """Return the tokens that stand for the words of a text, in order."""
    return tuple(token for word in fold(text) for token in tokens_of(word))


class Analysis(NamedTuple):
    """What is stored of a text."""

    #: the tokens of each word, in order, with ``BREAK`` between texts
    tokens: list[str]
    #: the words that do not look like their token, each once, for prefixes to match; and those that look like the
    #: token of one of them
    forms: list[str]


def analyse(*texts: str) -> Analysis:
    """Return the tokens of *texts*, such as the file names of a manifest, and the spelling of words that it changes.

    Words that may be read as one or as several (``SalesRegion``) stand as several where they are, and as one behind
    all texts.
    """
    if len(texts) == 1:
        text = _prepared(_without_break(texts[0]))
    else:
        text = _prepared(f" {_BREAK_CHARACTER} ".join(map(_without_break, texts)))
    apart, jointed = _taken_apart(text)
    words = apart.translate(_folding).split()
    if jointed:
        words += [BREAK, *" ".join(map(_without_apostrophes, jointed)).translate(_folding).split()]
    table = _tokens
    spelled = dict.fromkeys(words)
    table.learn(spelled)
    tokens = " ".join([table[word] for word in words]).split()
    changed = [word for word in spelled if table[word] != word]
    stems = {table[word] for word in changed}
    forms = changed + [word for word in stems if word in spelled and table[word] == word]
    return Analysis(tokens, [word for word in forms if len(word) <= TOKEN_LENGTH])
