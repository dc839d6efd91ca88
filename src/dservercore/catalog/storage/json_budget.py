"""How much JSON of datasets is in memory at once while many are read in parallel.

In memory, the values of a JSON text take a multiple of its size: up to thirty-five times, if it is made for that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class JsonBudget:
    """Limits the JSON of datasets in memory. They are read in any order, and let go of in the order of their numbers.

    The first of those that have not been let go of may always be read, however large it is, so that nothing waits for
    ever.

    :param size: most characters of JSON
    """

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._of_dataset: dict[int, int] = {}
        self._first, self._waiting, self._is_closed = 0, 0, False
        self._change = threading.Condition()

    @property
    def is_short(self) -> bool:
        """Whether a dataset waits for others to be let go of."""
        return self._waiting > 0

    @contextmanager
    def reading(self, number: int) -> Iterator[None]:
        """Have what this thread parses counted as of the dataset with a number, from 0."""
        _reader.dataset = self, number
        try:
            yield
        finally:
            _reader.dataset = None

    def take(self, number: int, size: int) -> None:
        """Wait until so many characters more may be parsed.

        :param number: of the dataset that they belong to
        :param size: characters
        :raises InterruptedError: if the budget was closed
        """
        with self._change:
            if not self._may_take(number, size):
                self._waiting += 1
                self._change.wait_for(lambda: self._may_take(number, size))
                self._waiting -= 1
            if self._is_closed:
                raise InterruptedError("reading has been interrupted")
            self._held += size
            self._of_dataset[number] = self._of_dataset.get(number, 0) + size

    def let_go(self, datasets: int) -> None:
        """Let go of a number of datasets, the first of those that are held."""
        with self._change:
            for number in range(self._first, self._first + datasets):
                self._held -= self._of_dataset.pop(number, 0)
            self._first += datasets
            self._change.notify_all()

    def close(self) -> None:
        """End all waiting: :meth:`take` raises an error from now on."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()

    def _may_take(self, number: int, size: int) -> bool:
        return self._is_closed or number == self._first or self._held + size <= self._size


class _Reader(threading.local):
    dataset: tuple[JsonBudget, int] | None = None


_reader = _Reader()


def wait_for(size: int) -> None:
    """Wait until this thread may parse so many characters, if what it reads is limited together with others.

    :raises InterruptedError: if the run that reads is over
    """
    if _reader.dataset is not None:
        budget, number = _reader.dataset
        budget.take(number, size)
