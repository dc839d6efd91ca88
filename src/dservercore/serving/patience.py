"""Waiting for a client, which has to do something now and then."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """Cancels what is awaited in a ``with`` block when nothing has happened for some time.

    To call :meth:`renew` costs next to nothing; ``asyncio.wait_for`` around each step would cost more.

    :param seconds: after so long without a call of :meth:`renew`, the block raises ``asyncio.TimeoutError``
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._is_over = False

    def __enter__(self) -> Patience:
        self._task = asyncio.current_task()
        self.renew()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._is_over and kind is not None and issubclass(kind, asyncio.CancelledError):
            getattr(self._task, "uncancel", int)()  # there is something to undo from Python 3.11 on
            raise asyncio.TimeoutError

    def renew(self) -> None:
        """Take note that something has happened."""
        self._since = self._loop.time()

    def _look(self) -> None:
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._task is not None:
            self._is_over = True
            self._task.cancel()
