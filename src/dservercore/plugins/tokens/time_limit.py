"""How long a search may take, and the error of a search that would take longer."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from dservercore.errors import OutOfTimeError

logger = logging.getLogger(__name__)

#: Seconds that a search may take where nothing is configured.
SEARCH_SECONDS = 10.0


def search_seconds(config: Mapping[str, Any]) -> float:
    """Return how many seconds a search may take: ``DSERVER_SEARCH_TIMEOUT``, if *config* has it."""
    return float(config.get("DSERVER_SEARCH_TIMEOUT", SEARCH_SECONDS))


class TimeLimit:
    """The time that a search has; it runs from the moment that this is made."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Return whether there is no time left."""
        return time.monotonic() >= self._end

    def seconds_left(self) -> float:
        """Return how many seconds are left.

        :raises OutOfTimeError: if there are none
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> OutOfTimeError:
        """Return the error that says that the search took too long, and what would take less."""
        logger.warning("A search was ended after %g seconds (DSERVER_SEARCH_TIMEOUT)", self.seconds)
        return OutOfTimeError(
            f"The search took longer than {self.seconds:g} seconds and was ended: ask for more words or rarer ones,"
            " for fewer that end in '*', or in fewer base URIs"
        )
