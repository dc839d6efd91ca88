"""How long a structured query may take."""

from __future__ import annotations

from dservercore.errors import OutOfTimeError
from dservercore.plugins.tokens import time_limit

#: Seconds of the processor for which a regular expression is looked for in a text. What takes longer takes for ever.
MOST_FOR_ONE_TEXT = 1.0


class TimeLimit(time_limit.TimeLimit):
    """The time that a structured query has; it runs from the moment that this is made."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._is_given_up = False

    def seconds_for_one_text(self) -> float:
        """Return how many seconds are left for a regular expression and a text.

        :raises OutOfTimeError: if there are none
        """
        return min(self.seconds_left(), MOST_FOR_ONE_TEXT)

    def give_up(self) -> None:
        """Have no time left, as a regular expression has taken too long for one text."""
        self._is_given_up, self._end = True, 0.0

    def exceeded(self) -> OutOfTimeError:
        """Return the error that says that the query took too long, and what would take less."""
        super().exceeded()
        if self._is_given_up:
            return OutOfTimeError(
                "A regular expression of the query takes too long: write it so that it can match in one way alone"
            )
        return OutOfTimeError(
            f"The query took longer than {self.seconds:g} seconds and was ended: ask for fewer datasets, by a field"
            " that has an index, or in fewer base URIs"
        )
