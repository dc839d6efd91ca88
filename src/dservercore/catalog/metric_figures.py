"""How much there is of what, at the moment: datasets, what is left to do. Asked of the database, and not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError

from dservercore import db
from dservercore.catalog.summary import TOTALS
from dservercore.dataset.times import utcnow
from dservercore.db import sql_db
from dservercore.models import BaseURI, Job, JournalEntry, User

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_STATES = ("waiting", "running", "failed")
_job = Job.__table__


def figures() -> list[Metric]:
    """Return the figures; where the database does not answer, that it does not, and no others."""
    from prometheus_client.core import GaugeMetricFamily

    try:
        plain = _plain_figures()
        jobs = _jobs_by_state()
    except SQLAlchemyError:
        db.rollback()
        return [GaugeMetricFamily("dserver_database_up", _UP, value=0)]
    by_state = GaugeMetricFamily("dserver_jobs", "Jobs that are not done", labels=["state"])
    for state in _STATES:
        by_state.add_metric([state], jobs.get(state, 0))
    return [
        GaugeMetricFamily("dserver_database_up", _UP, value=1),
        *(GaugeMetricFamily(name, about, value=value) for name, about, value in plain),
        by_state,
    ]


_UP = "Whether the database answers"


def _plain_figures() -> list[tuple[str, str, int]]:
    def number(statement: object) -> int:
        return int(sql_db.session.execute(statement).scalar() or 0)  # type: ignore[call-overload]

    return [
        ("dserver_datasets", "Registered datasets", number(select(func.sum(TOTALS.c.datasets)))),
        ("dserver_base_uris", "Registered base URIs", number(select(func.count(BaseURI.id)))),
        ("dserver_users", "Registered users", number(select(func.count(User.id)))),
        (
            "dserver_journal_entries",
            "Writes that are not known to be done in every store",
            number(select(func.count(JournalEntry.id))),
        ),
    ]


def _jobs_by_state() -> dict[str, int]:
    state = case(
        (_job.c.failed_at.is_not(None), "failed"),
        (_job.c.holder.is_not(None) & (_job.c.due_at > utcnow()), "running"),
        else_="waiting",
    ).label("state")
    counted = select(state, func.count().label("number")).group_by(state)
    return {row.state: int(row.number) for row in sql_db.session.execute(counted)}
