"""Tables for a terminal: columns that are aligned whatever script they are in, and no wider than they have to be."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence

from dservercore.printable import printable


def width_of_terminal() -> int | None:
    """Return how many columns standard output has; None: it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cell(value: object) -> str:
    """Return what stands in a cell for a value: one line, with escapes for what would act on a terminal."""
    return printable("-" if value in (None, "") else str(value), sys.stdout.encoding or "utf-8")


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for each ideograph, none for an accent by itself."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, most: int) -> str:
    """Return a text that takes at most so many columns; of a longer one, the beginning and three dots."""
    if width(text) <= most:
        return text
    while text and width(text) > most - 3:
        text = text[:-1]
    return f"{text}..."


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows of cells as lines with aligned columns.

    :param right: numbers of the columns that are aligned to the right
    """
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths, right)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> list[str]:
    padded = []
    for number, (text, most) in enumerate(zip(row, widths, strict=True)):
        space = " " * (most - width(text))
        padded.append(f"{space}{text}" if number in right else f"{text}{space}")
    return padded
