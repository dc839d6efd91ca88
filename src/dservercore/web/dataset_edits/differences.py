"""What differs between two texts, line by line, no longer than a page can bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

#: Lines that are shown; and those, on either side, that are compared with each other: the time grows with their square.
MOST_SHOWN, MOST_COMPARED = 400, 600

#: Equal lines that are shown around those that differ, and characters of a line.
AROUND, MOST_CHARACTERS = 3, 500


@dataclass(frozen=True)
class Line:
    """A line of one of the texts, or of both.

    :param kind: ``same``, ``before`` (in the first text alone), ``after`` (in the second alone), or ``gap``: lines
        that are the same are left out here
    """

    kind: str
    text: str = ""


def differences(before: str, after: str) -> tuple[list[Line], bool]:
    """Return the lines in which two texts differ, with some around them, and whether there are more than are shown."""
    left, right = before.splitlines(), after.splitlines()
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
    rest = zip(reversed(left[head:]), reversed(right[head:]), strict=False)
    tail = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], rest))
    left_rest, right_rest = left[head : len(left) - tail], right[head : len(right) - tail]
    is_long = max(len(left_rest), len(right_rest)) > MOST_COMPARED
    lines = [
        *_same(left[:head], is_first=True),
        *(_cut(left_rest, right_rest) if is_long else _compared(left_rest, right_rest)),
        *_same(left[len(left) - tail :], is_last=True),
    ]
    return lines[:MOST_SHOWN], is_long or len(lines) > MOST_SHOWN


def _cut(left: Sequence[str], right: Sequence[str]) -> list[Line]:
    return [*_lines("before", left[: MOST_SHOWN // 2]), *_lines("after", right[: MOST_SHOWN // 2])]


def _compared(left: Sequence[str], right: Sequence[str]) -> list[Line]:
    lines: list[Line] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, left, right).get_opcodes():
        if kind == "equal":
            lines += _same(left[i1:i2])
        else:
            lines += [*_lines("before", left[i1:i2]), *_lines("after", right[j1:j2])]
    return lines


def _same(lines: Sequence[str], is_first: bool = False, is_last: bool = False) -> list[Line]:
    begin, end = 0 if is_first else AROUND, 0 if is_last else AROUND
    if len(lines) <= begin + end + 1:
        return _lines("same", lines)
    return [
        *_lines("same", lines[:begin]),
        Line("gap"),
        *_lines("same", lines[len(lines) - end :]),
    ]


def _lines(kind: str, lines: Sequence[str]) -> list[Line]:
    return [
        Line(kind, line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…") for line in lines
    ]
