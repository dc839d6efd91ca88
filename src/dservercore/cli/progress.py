"""How far a command is: a bar on a terminal; elsewhere a line now and then, so that a log shows that it goes on."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from dservercore.cli.console import say
from dservercore.printable import printable

SECONDS = 30.0  # between two lines


class Progress:
    """The progress of one step, on stderr. What is over sooner than ``SECONDS`` leaves no line in a log.

    :param what: what is done
    :param total: how much there is to do; None: not known
    :param unit: what is counted, in the plural
    :param in_bytes: whether bytes are counted, and *unit* is not used
    """

    def __init__(self, what: str, total: int | None, unit: str, in_bytes: bool = False):
        self._what, self._total, self._unit, self._in_bytes = what, total, unit, in_bytes
        self._done = 0
        self._due = time.monotonic() + SECONDS
        # disable=None: not where stderr is no terminal
        self._bar = tqdm(
            desc=printable(what, sys.stderr.encoding or "utf-8"),
            total=total,
            unit="B" if in_bytes else f" {unit}",
            unit_scale=in_bytes,
            file=sys.stderr,
            disable=None,
            leave=False,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __call__(self, number: int = 1) -> None:
        """Show that *number* more are done."""
        self.reach(self._done + number)

    def reach(self, done: int) -> None:
        """Show that *done* are done altogether."""
        self._bar.update(done - self._done)
        self._done = done
        if self._bar.disable and time.monotonic() > self._due:
            self._due = time.monotonic() + SECONDS
            say(self._line(), err=True)

    def _line(self) -> str:
        done, total = (size_in_words(n) if self._in_bytes else str(n) for n in (self._done, self._total or 0))
        unit = "" if self._in_bytes else f" {self._unit}"
        if not self._total:
            return f"{self._what}: {done}{unit}"
        return f"{self._what}: {done} of {total}{unit} ({100 * self._done // self._total} %)"

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


class Steps:
    """The progress of several steps, one after the other, in bytes."""

    def __init__(self) -> None:
        self._step: tuple[str, int | None] | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._progress:
            self._progress.close()

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """Show that *done* bytes of a step are done altogether.

        :param total: bytes of the step; None: not known
        """
        if self._progress is None or self._step != (step, total):
            if self._progress:
                self._progress.close()
            self._step, self._progress = (step, total), Progress(step, total, "", in_bytes=True)
        self._progress.reach(done)


class Waiting:
    """Waiting for something that says in words what is left."""

    VAIN_SECONDS = 60.0  # without any change

    def __init__(self, what: str):
        self._what = what
        self._left = ""
        self._changed = time.monotonic()
        self._due = self._changed + SECONDS
        self._bar = tqdm(bar_format="{desc} [{elapsed}]", file=sys.stderr, disable=None, leave=False)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def is_in_vain(self, left: str) -> bool:
        """Show what is left; return whether that has not changed for ``VAIN_SECONDS``."""
        now = time.monotonic()
        if left != self._left:
            self._left, self._changed = left, now
        self._bar.set_description_str(printable(f"{self._what}: {left}", sys.stderr.encoding or "utf-8"))
        if self._bar.disable and now > self._due:
            self._due = now + SECONDS
            say(f"{self._what}: {left}", err=True)
        return now - self._changed > self.VAIN_SECONDS


def size_in_words(size: int) -> str:
    """Return a number of bytes as people say it: ``12.3 MB``."""
    if size == 1:
        return "1 byte"
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
