"""Bodies of answers that are too long to be made before they are sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator


class Paced:
    """A body of which each piece is made when the client has taken those before it.

    ``flask serve`` makes the pieces in any thread, and keeps none of its threads for a client that is slow. So they
    must need no context of the application, and no more than a moment each. To be given to a response with
    ``direct_passthrough``.

    :param pieces: an error in the middle ends the answer visibly: the connection is closed before its end
    :param close: is called once, when no more pieces are wanted
    """

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], object]) -> None:
        self._pieces, self._close = pieces, close
        self._lock = threading.Lock()
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            if self._is_closed:
                raise StopIteration
            return next(self._pieces)

    def close(self) -> None:
        """Have no more pieces made. A piece that is being made is waited for."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._close()

    def __del__(self) -> None:
        self.close()
