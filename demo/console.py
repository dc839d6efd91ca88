"""One calm line per step; while a step goes on, a terminal sees it count."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Thing = TypeVar("Thing")
LABEL_WIDTH = 16


class DemoError(Exception):
    """The demo cannot go on. The message says why; `details` is what the failing program said."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def say(label: str, text: str) -> None:
    """Print the line of a finished step."""
    _over_the_last_line(f"  {label:<{LABEL_WIDTH}}{text}\n")


def working(label: str, text: str) -> None:
    """Show on a terminal what goes on until the step's own line is printed; elsewhere do nothing."""
    if sys.stdout.isatty():
        _over_the_last_line(f"  {label:<{LABEL_WIDTH}}{text}")


def counting(label: str, things: Iterable[Thing], total: int) -> Iterator[Thing]:
    """Yield the things, showing on a terminal how many of `total` are done."""
    for number, thing in enumerate(things, start=1):
        working(label, f"{number} of {total}")
        yield thing


def _over_the_last_line(text: str) -> None:
    erase = "\r\x1b[K" if sys.stdout.isatty() else ""
    print(f"{erase}{text}", end="", flush=True)
