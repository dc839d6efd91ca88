"""How many queries are answered at the same time: some threads are always left for everybody else.

A query can be written so that it takes all the time that it may, with nothing but the right to search what is public.
As many of them as there are threads would keep the server from answering anything. And nobody takes all turns: whoever
asks such queries is in the way of nobody else's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dservercore.errors import UnavailableError

#: Seconds for which a query waits for another one to end.
WAIT_SECONDS = 3.0


class Turns:
    """The queries of one process. One of a user may wait, and one of a visitor.

    :param most: that are answered at the same time; of one user, or of all visitors together, one less
    """

    def __init__(self, most: int) -> None:
        self._most, self._of_one = most, max(1, most - 1)
        self._running: Counter[str | None] = Counter()
        self._waiting: set[bool] = set()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, asker: str | None) -> Iterator[None]:
        """Take a turn, for the ``with`` block.

        :param asker: name of the user; None: a visitor
        :raises UnavailableError: if too many others are waiting for one, or do not end in time
        """
        with self._changed:
            if not self._is_free(asker):
                self._wait(asker)
            self._running[asker] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[asker] -= 1
                self._running += Counter()  # forgets those who ask nothing now
                self._changed.notify_all()

    def _is_free(self, asker: str | None) -> bool:
        return self._running[asker] < self._of_one and self._running.total() < self._most

    def _wait(self, asker: str | None) -> None:
        is_visitor = asker is None
        if is_visitor not in self._waiting:
            self._waiting.add(is_visitor)
            try:
                if self._changed.wait_for(lambda: self._is_free(asker), WAIT_SECONDS):
                    return
            finally:
                self._waiting.discard(is_visitor)
        raise UnavailableError("Too many structured queries are being answered; try again in a moment")
