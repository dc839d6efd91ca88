"""How long a walk through a graph may take: as long as a search.

Most nodes that are asked for bound what is found. Where each of them names a thousand others, to find them takes long
all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from flask import current_app

from dservercore import db
from dservercore.errors import OutOfTimeError
from dservercore.plugins.sql.cut_off import canceled, cut_off
from dservercore.plugins.tokens.time_limit import TimeLimit, search_seconds

logger = logging.getLogger(__name__)


class _LimitOfWalk(TimeLimit):
    def exceeded(self) -> OutOfTimeError:
        """Return the error that says that the walk took too long, and what would take less."""
        logger.warning(
            "A provenance graph was given up after %g seconds (DSERVER_SEARCH_TIMEOUT)", self.seconds
        )
        return OutOfTimeError(
            f"The graph took longer than {self.seconds:g} seconds and was given up: ask for fewer datasets (`most`)"
        )


@contextmanager
def time_limited() -> Iterator[None]:
    """Give the statements in the ``with`` block no more time than a search has (``DSERVER_SEARCH_TIMEOUT``).

    On MariaDB each of them reads a bounded number of rows.

    :raises OutOfTimeError: if they take longer
    """
    limit = _LimitOfWalk(search_seconds(current_app.config))
    kind = db.kind()
    if kind == "sqlite":
        with cut_off(limit):
            yield
    elif kind == "postgresql":
        # The edges of a dataset are near each other in an index: it is never better to go through all.
        with canceled(limit, "enable_seqscan = off"):
            yield
    else:
        yield
