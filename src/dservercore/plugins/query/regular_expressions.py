r"""Regular expressions: the part of them that every database understands alike.

An expression is parsed, and written anew in the few signs that the engines of PostgreSQL and of Python's ``regex``
share: what options mean is written out in it (``a`` with the option ``i`` becomes ``[Aa]``), and so is what ``\w``,
``\b``, ``.`` and ``$`` mean to MongoDB, which reads the expression as it was typed. What only some engines have
(looking around, references to groups, classes of Unicode) is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

#: Characters of an expression, repetitions of one thing, and size with all repetitions written out, at most.
MOST_CHARACTERS, MOST_REPETITIONS, MOST_SIZE = 1000, 255, 2000
_MOST_GROUPS_IN_EACH_OTHER = 20
# Characters of a class whose case is ignored.
_MOST_FOLDED = 70_000
_LAST = 0x10FFFF

Ranges = list[tuple[int, int]]


class InvalidExpressionError(ValueError):
    """An expression is none, or not of the part that is understood."""


class InvalidOptionsError(ValueError):
    """There are no such options."""


@dataclass(frozen=True)
class Expression:
    r"""A regular expression.

    :ivar portable: as PostgreSQL reads it, and Python's ``regex``, where ``.`` is any character
    """

    pattern: str
    options: str
    portable: str


def parse(pattern: str, options: str = "") -> Expression:
    """Return an expression.

    :param options: any of ``i`` (case is ignored), ``m`` (``^`` and ``$`` at each line), ``s`` (``.`` is any
        character), ``x`` (blanks and comments are ignored)
    :raises InvalidOptionsError: if there are others
    :raises InvalidExpressionError: if the expression is not understood
    """
    if set(options) - set("imsx"):
        raise InvalidOptionsError("has others than i, m, s and x")
    if len(pattern) > MOST_CHARACTERS:
        raise InvalidExpressionError(f"has more than {MOST_CHARACTERS} characters")
    if "\0" in pattern:
        raise InvalidExpressionError("has a NUL character")
    parser = _Parser(pattern)
    whole = parser.alternatives(_Flags(*(letter in options for letter in "imsx")), 0)
    if not parser.is_at_end():
        raise InvalidExpressionError("has a ) without a (")
    return Expression(pattern, options, whole.text)


@dataclass(frozen=True)
class _Flags:
    i: bool
    m: bool
    s: bool
    x: bool


@dataclass(frozen=True)
class _Part:
    """A part of an expression as it is written anew.

    :ivar size: how many characters or classes it has, with repetitions
    :ivar is_place: whether it is a place in the text, and no character
    """

    text: str
    size: int = 1
    is_place: bool = False


_DIGIT: Ranges = [(48, 57)]
_WORD: Ranges = [(48, 57), (65, 90), (95, 95), (97, 122)]
_SPACE: Ranges = [(9, 13), (32, 32)]
_NAMED: dict[str, Ranges] = {
    "alpha": [(65, 90), (97, 122)],
    "digit": _DIGIT,
    "alnum": [(48, 57), (65, 90), (97, 122)],
    "upper": [(65, 90)],
    "lower": [(97, 122)],
    "space": _SPACE,
    "blank": [(9, 9), (32, 32)],
    "punct": [(33, 47), (58, 64), (91, 96), (123, 126)],
    "xdigit": [(48, 57), (65, 70), (97, 102)],
    "word": _WORD,
    "graph": [(33, 126)],
    "print": [(32, 126)],
}


def _inverse(ranges: Iterable[tuple[int, int]]) -> Ranges:
    inverse, next_ = [], 1
    for first, last in _merged(ranges):
        if next_ < first:
            inverse.append((next_, first - 1))
        next_ = last + 1
    if next_ <= _LAST:
        inverse.append((next_, _LAST))
    return inverse


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: Ranges = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


_CLASSES: dict[str, Ranges] = {
    "d": _DIGIT,
    "D": _inverse(_DIGIT),
    "w": _WORD,
    "W": _inverse(_WORD),
    "s": _SPACE,
    "S": _inverse(_SPACE),
}
_CONTROL = {"n": 10, "r": 13, "t": 9, "f": 12, "a": 7, "e": 27}
_IN_WORD = "[0-9A-Z_a-z]"
_AT_WORD = f"(?:(?<={_IN_WORD})(?!{_IN_WORD})|(?<!{_IN_WORD})(?={_IN_WORD}))"
_NOT_AT_WORD = f"(?:(?<={_IN_WORD})(?={_IN_WORD})|(?<!{_IN_WORD})(?!{_IN_WORD}))"
_AT_LAST = r"(?=\u000A?\Z)"
_PLACES = {"A": r"\A", "z": r"\Z", "Z": _AT_LAST, "b": _AT_WORD, "B": _NOT_AT_WORD}


def _escaped(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _one_of(ranges: Iterable[tuple[int, int]]) -> _Part:
    merged = _merged((max(first, 1), last) for first, last in ranges if last > 0)
    if not merged:
        return _Part(r"[^\u0001-\U0010FFFF]")
    if merged[-1][1] == _LAST and merged != [(1, _LAST)]:  # with NUL, which PostgreSQL does not let us name
        return _Part(f"[^{''.join(map(_range, _inverse(merged)))}]")
    if len(merged) == 1 and merged[0][0] == merged[0][1]:
        return _Part(_escaped(merged[0][0]))
    return _Part(f"[{''.join(map(_range, merged))}]")


def _range(range_: tuple[int, int]) -> str:
    first, last = range_
    return _escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}"


@functools.cache
def _of_same_letter() -> dict[str, list[int]]:
    """Return the characters that differ from each other in case alone, by what they have in common."""
    letters: dict[str, list[int]] = {}
    for code in range(0x20000):
        character = chr(code)
        if character.lower() != character or character.upper() != character:
            letters.setdefault(_letter(character), []).append(code)
    return letters


def _letter(character: str) -> str:
    for letter in (character.casefold(), character.lower()):
        if len(letter) == 1:
            return letter
    return character


def _ignoring_case(ranges: Ranges) -> Ranges:
    if sum(last - first + 1 for first, last in ranges) > _MOST_FOLDED:
        raise InvalidExpressionError("has a class that is too wide to ignore case")
    folded = list(ranges)
    letters = _of_same_letter()
    for first, last in ranges:
        for code in range(first, last + 1):
            folded += [(other, other) for other in letters.get(_letter(chr(code)), ()) if other != code]
    return folded


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def is_at_end(self) -> bool:
        return self._at >= len(self._pattern)

    def _peek(self, length: int = 1) -> str:
        return self._pattern[self._at : self._at + length]

    def _take(self, what: str = "") -> str:
        """Return the next character."""
        if self.is_at_end():
            raise InvalidExpressionError(f"ends within {what}")
        self._at += 1
        return self._pattern[self._at - 1]

    def alternatives(self, flags: _Flags, level: int) -> _Part:
        """Parse to the end, or to the ``)`` that ends a group."""
        branches: list[list[_Part]] = [[]]
        while not self.is_at_end() and self._peek() != ")":
            if self._peek() == "|":
                self._at += 1
                branches.append([])
                continue
            if self._skipped(flags):
                continue
            changed = self._changed_flags(flags)
            if changed is not None:
                flags = changed
                continue
            part = self._repeated(self._atom(flags, level), flags)
            branches[-1].append(part)
        size = sum(part.size for branch in branches for part in branch)
        if size > MOST_SIZE:
            raise InvalidExpressionError("is too large with all its repetitions")
        return _Part("|".join("".join(part.text for part in branch) for branch in branches), size)

    def _skipped(self, flags: _Flags) -> bool:
        """Skip a comment, or a blank that says nothing."""
        if self._peek(3) == "(?#":
            end = self._pattern.find(")", self._at)
            if end < 0:
                raise InvalidExpressionError("ends within a comment")
            self._at = end + 1
            return True
        if flags.x and self._peek() in tuple("\t\n\v\f\r "):
            self._at += 1
            return True
        if flags.x and self._peek() == "#":
            end = self._pattern.find("\n", self._at)
            self._at = len(self._pattern) if end < 0 else end + 1
            return True
        return False

    def _changed_flags(self, flags: _Flags) -> _Flags | None:
        """Return the flags that something like ``(?i)`` sets up to the end of the group; None: that is not there."""
        if self._peek(2) != "(?":
            return None
        end = self._at + 2
        while self._pattern[end : end + 1] in tuple("imsx-"):
            end += 1
        if self._pattern[end : end + 1] != ")":
            return None
        changed = _flags_with(flags, self._pattern[self._at + 2 : end])
        self._at = end + 1
        return changed

    def _atom(self, flags: _Flags, level: int) -> _Part:
        character = self._take()
        if character == "(":
            return self._group(flags, level + 1)
        if character == "[":
            return _one_of(self._class(flags))
        if character == "\\":
            return self._escape(flags)
        if character == ".":
            return _Part(".") if flags.s else _Part(r"[^\u000A]")
        if character == "^":
            line = r"(?:\A|(?<=\u000A)(?!\Z))"
            return _Part(line if flags.m else r"\A", is_place=True)
        if character == "$":
            return _Part(r"(?=\u000A|\Z)" if flags.m else _AT_LAST, is_place=True)
        if character in "*+?":
            raise InvalidExpressionError(f"has a {character} with nothing before it that can be repeated")
        return self._character(ord(character), flags)

    def _character(self, code: int, flags: _Flags) -> _Part:
        return _one_of(_ignoring_case([(code, code)]) if flags.i else [(code, code)])

    def _group(self, flags: _Flags, level: int) -> _Part:
        if level > _MOST_GROUPS_IN_EACH_OTHER:
            raise InvalidExpressionError(f"has more than {_MOST_GROUPS_IN_EACH_OTHER} groups in each other")
        if self._peek() == "?":
            self._at += 1
            flags = self._group_flags(flags)
        elif self._peek() == "*":
            raise InvalidExpressionError("has a verb such as (*FAIL), which is not supported")
        inner = self.alternatives(flags, level)
        if self._take("a group") != ")":
            raise InvalidExpressionError("has a ( without a )")
        return _Part(f"(?:{inner.text})", inner.size + 1)

    def _group_flags(self, flags: _Flags) -> _Flags:
        start = self._at
        if self._peek() == "P" or (self._peek() == "<" and self._peek(2) not in ("<=", "<!")):
            end = self._pattern.find(">", start)
            name = self._pattern[start : max(end, start)].lstrip("P").lstrip("<")
            if end > 0 and name.isidentifier() and self._pattern[start : end + 1].endswith(f"<{name}>"):
                self._at = end + 1
                return flags
        end = start
        while self._pattern[end : end + 1] in tuple("imsx-"):
            end += 1
        if self._pattern[end : end + 1] != ":":
            sign = f"(?{self._peek(2 if self._peek() == '<' else 1)}"
            raise InvalidExpressionError(f"has a group that begins with {sign}, which is not supported")
        self._at = end + 1
        return _flags_with(flags, self._pattern[start:end])

    def _escape(self, flags: _Flags) -> _Part:
        letter = self._take("an escape")
        if letter in _PLACES:
            return _Part(_PLACES[letter], is_place=True)
        if letter in _CLASSES:
            return _one_of(_CLASSES[letter])
        return self._character(self._code(letter), flags)

    def _code(self, letter: str) -> int:
        """Return the character that an escape stands for."""
        if letter in _CONTROL:
            return _CONTROL[letter]
        if letter == "x":
            return self._hexadecimal()
        if letter.isascii() and letter.isalnum():
            what = "a reference to a group" if letter.isdigit() else "an escape"
            raise InvalidExpressionError(f"has \\{letter}, {what} that is not supported")
        return ord(letter)

    def _hexadecimal(self) -> int:
        if self._peek() == "{":
            end = self._pattern.find("}", self._at)
            digits = self._pattern[self._at + 1 : max(end, self._at + 1)]
            self._at = end + 1
        else:
            digits = self._peek(2)
            self._at += 2
        if not 0 < len(digits) <= 6 or set(digits.lower()) - set("0123456789abcdef"):
            raise InvalidExpressionError("has a \\x without two hexadecimal digits, or some in braces")
        code = int(digits, 16)
        if not 0 < code <= _LAST or 0xD800 <= code <= 0xDFFF:
            raise InvalidExpressionError(f"has \\x{{{digits}}}, which is no character")
        return code

    def _class(self, flags: _Flags) -> Ranges:
        is_negated = self._peek() == "^"
        self._at += is_negated
        members = list(self._members(flags))
        plain = [range_ for ranges, can_fold in members if can_fold for range_ in ranges]
        ranges = [range_ for ranges, can_fold in members if not can_fold for range_ in ranges]
        ranges += _ignoring_case(_merged(plain)) if flags.i else plain
        return _inverse(ranges) if is_negated else ranges

    def _members(self, flags: _Flags) -> Iterator[tuple[Ranges, bool]]:
        """Yield characters of a class, and whether their case matters."""
        is_first = True
        while True:
            character = self._take("a class of characters")
            if character == "]" and not is_first:
                return
            is_first = False
            if character == "[" and self._peek() in (":", ".", "="):
                yield self._named(flags), False
                continue
            first = self._member(character)
            if isinstance(first, list):
                if self._peek() == "-" and self._peek(2) != "-]":
                    raise InvalidExpressionError("has a range that begins with a class")
                yield first, False
                continue
            last = first
            if self._peek() == "-" and self._peek(2) not in ("-]", "-"):
                self._at += 1
                end = self._take("a class of characters")
                if end == "[" and self._peek() in (":", ".", "="):
                    raise InvalidExpressionError("has a range that ends with a class")
                member = self._member(end)
                if isinstance(member, list) or member < first:
                    raise InvalidExpressionError("has a range that ends before it begins")
                last = member
            yield [(first, last)], True

    def _member(self, character: str) -> int | Ranges:
        if character != "\\":
            return ord(character)
        letter = self._take("a class of characters")
        if letter in _CLASSES:
            return _CLASSES[letter]
        return 8 if letter == "b" else self._code(letter)

    def _named(self, flags: _Flags) -> Ranges:
        """Return the characters of a class in a class: where case is ignored, both cases of ASCII, and no others."""
        end = self._pattern.find(":]", self._at + 1)
        name = self._pattern[self._at + 1 : max(end, self._at + 1)]
        is_negated = name.startswith("^")
        if self._peek() != ":" or name.lstrip("^") not in _NAMED:
            raise InvalidExpressionError(f"has [:{name[:20]}:], which is no class")
        self._at = end + 2
        name = name.lstrip("^")
        ranges = _NAMED["alpha" if flags.i and name in ("upper", "lower") else name]
        return _inverse(ranges) if is_negated else ranges

    def _repeated(self, part: _Part, flags: _Flags) -> _Part:
        while self._skipped(flags):
            pass
        repetition = self._repetition()
        if repetition is None:
            return part
        if part.is_place:
            raise InvalidExpressionError("repeats a place, such as ^ or \\b")
        text, most = repetition
        if self._peek() == "+":
            raise InvalidExpressionError(f"has {text}+, which is not supported")
        if self._peek() == "?":  # as little as possible: found is found
            self._at += 1
        if self._peek() in ("*", "+", "?") or self._is_counted():
            raise InvalidExpressionError("repeats a repetition: put it into a group")
        size = part.size * max(most, 1)
        if size > MOST_SIZE:
            raise InvalidExpressionError("is too large with all its repetitions")
        return replace(part, text=part.text + text, size=size)

    def _is_counted(self) -> bool:
        at = self._at
        try:
            return self._peek() == "{" and self._counts() is not None
        finally:
            self._at = at

    def _repetition(self) -> tuple[str, int] | None:
        """Return a repetition as it is written, and how often that is written out; None: there is none."""
        sign = self._peek()
        if sign and sign in "*+?":
            self._at += 1
            return sign, 1
        counts = self._counts() if sign == "{" else None
        if counts is None:
            return None
        least, most = counts
        if max(least, most or 0) > MOST_REPETITIONS:
            raise InvalidExpressionError(f"has more than {MOST_REPETITIONS} repetitions")
        if most is not None and most < least:
            raise InvalidExpressionError("has a repetition that ends before it begins")
        if most is None:
            return f"{{{least},}}", least + 1
        return f"{{{least},{most}}}", most

    def _counts(self) -> tuple[int, int | None] | None:
        """Return the numbers in braces; None: the brace is a character as any other."""
        end = self._pattern.find("}", self._at, self._at + 20)
        inner = self._pattern[self._at + 1 : max(end, self._at)]
        least, comma, most = inner.partition(",")
        digits = least + most
        if end < 0 or not least or not digits.isascii() or not digits.isdigit():
            return None
        self._at = end + 1
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None


def _flags_with(flags: _Flags, letters: str) -> _Flags:
    on, _, off = letters.partition("-")
    if "-" in off:
        raise InvalidExpressionError("has a group with two -")
    return replace(flags, **{**dict.fromkeys(on, True), **dict.fromkeys(off, False)})
