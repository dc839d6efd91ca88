"""How many queries are answered at the same time: some threads are always left for everybody else.

A query can be written so that it takes all the time that it may, with nothing but the right to search what is public.
As many of them as there are threads would keep the server from answering anything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dservercore.errors import UnavailableError

#: Seconds for which a query waits for another one to end.
WAIT_SECONDS = 3.0


class Turns:
    """The queries of one process, one of which may wait.

    :param most: that are answered at the same time
    """

    def __init__(self, most: int) -> None:
        self._running = threading.BoundedSemaphore(most)
        self._waiting = threading.BoundedSemaphore(1)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a turn, for the ``with`` block.

        :raises UnavailableError: if too many others are waiting for one, or do not end in time
        """
        if not self._running.acquire(blocking=False) and not self._waited():
            raise UnavailableError("Too many structured queries are being answered; try again in a moment")
        try:
            yield
        finally:
            self._running.release()

    def _waited(self) -> bool:
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._running.acquire(timeout=WAIT_SECONDS)
        finally:
            self._waiting.release()
