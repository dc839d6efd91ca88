"""When a base URI was last indexed, and with what result."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from typing import Any, Literal

from sqlalchemy import update

from dservercore import db
from dservercore.db import sql_db
from dservercore.models import BaseURI

logger = logging.getLogger(__name__)

Outcome = Literal["registered", "unchanged", "not frozen", "failed", "pruned"]

_COUNTED: dict[str, Outcome] = {
    "registered": "registered",
    "unchanged": "unchanged",
    "failed": "failed",
    "not_frozen": "not frozen",
    "removed": "pruned",
}
_base_uri = BaseURI.__table__


class IndexRun:
    """One run over the storage of a base URI, which is recorded when it ends, however it does."""

    def __init__(self, base_uri: str) -> None:
        self._base_uri = base_uri
        self._started_at = time.time()
        self._outcomes: Counter[Outcome] = Counter()

    def count(self, outcome: Outcome) -> None:
        """Count what became of one dataset."""
        self._outcomes[outcome] += 1

    def end(self, reason: str | None) -> None:
        """Record the result. A database that does not take it is a warning in the log.

        :param reason: why the run did not do all that it was to do; None: it did
        """
        result = {
            "started_at": self._started_at,
            "finished_at": time.time(),
            "complete": reason is None,
            "reason": reason,
            **{key: self._outcomes[outcome] for key, outcome in _COUNTED.items()},
        }
        try:
            db.rollback()  # what a run that failed has left half done
            db.begin_write()
            mine = update(_base_uri).where(_base_uri.c.base_uri == self._base_uri)
            sql_db.session.execute(mine.values(last_indexed=json.dumps(result)))
            db.commit()
        except Exception as error:  # the reason why the run ended counts more
            logger.warning("The result of indexing was not recorded: %s", error)


def has_failed(recorded: str) -> bool:
    """Return whether a run, from the JSON that was recorded, did not do all that it was to do."""
    result: dict[str, Any] = json.loads(recorded)
    return not result["complete"] or bool(result["failed"])


def result_of(recorded: str | None) -> dict[str, Any] | None:
    """Return the result of the last run, an object, from the JSON that was recorded; None: there was no run."""
    if recorded is None:
        return None
    result: dict[str, Any] = json.loads(recorded)
    return result
