"""Time limits for what other machines answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")

SETTING = "DSERVER_STORAGE_TIMEOUT"


class _Deadline(threading.local):
    end: float | None = None
    seconds: float = 0.0


_deadline = _Deadline()


def _error(seconds: float) -> TimeoutError:
    return TimeoutError(f"its storage took longer than {seconds:g} seconds ({SETTING})")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit the time that this thread has in the block (see :func:`left`). The limit of an outer block still counts."""
    before = _deadline.end, _deadline.seconds
    end = time.monotonic() + seconds
    _deadline.end, _deadline.seconds = min(end, before[0] or end), seconds
    try:
        yield
    finally:
        _deadline.end, _deadline.seconds = before


def left(most: float = 3600.0) -> float:
    """Return the seconds that are left in this thread, or *most* if there is no limit or *most* is less.

    :raises TimeoutError: if no time is left
    """
    if _deadline.end is None:
        return most
    seconds = _deadline.end - time.monotonic()
    if seconds <= 0:
        raise _error(_deadline.seconds)
    return min(seconds, most)


def given_up_after(seconds: float, work: Callable[[], Result]) -> Result:
    """Call *work* in a thread of its own, which is left behind when it takes longer. Return what *work* returns.

    For libraries that have no time limits of their own.

    :raises TimeoutError: if it takes longer; else whatever *work* raises
    """
    done: list[Any] = []

    def run() -> None:
        try:
            done[:] = [work(), None]
        except BaseException as error:
            done[:] = [None, error]

    thread = threading.Thread(target=run, daemon=True, name="storage")
    thread.start()
    thread.join(seconds)
    if not done:
        raise _error(seconds)
    result, error = done
    if error is not None:
        raise error
    return result
