"""How long a structured query may take."""

from __future__ import annotations

from dservercore.errors import OutOfTimeError
from dservercore.plugins.tokens import time_limit


class TimeLimit(time_limit.TimeLimit):
    """The time that a structured query has; it runs from the moment that this is made."""

    def exceeded(self) -> OutOfTimeError:
        """Return the error that says that the query took too long, and what would take less."""
        super().exceeded()
        return OutOfTimeError(
            f"The query took longer than {self.seconds:g} seconds and was ended: ask for fewer datasets, by a field"
            " that has an index, or in fewer base URIs"
        )
