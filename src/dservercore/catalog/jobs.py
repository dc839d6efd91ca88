"""The queue: what is to be done later, kept in the database until it is done.

A job is entered in the transaction of the write that makes it necessary, and so exists if the write counts. Whoever
works on the queue takes a job on lease: for so long it is nobody else's. A worker that is killed does not renew its
lease, and another one takes the job. So each job is done at least once.

A job that fails is tried again, after a pause that grows. A job that has failed too often is left for an administrator.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Flask, current_app
from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.exc import DBAPIError

from dservercore import db
from dservercore.dataset.times import datetime_to_timestamp, utcnow
from dservercore.db import sql_db
from dservercore.errors import ConfigurationError
from dservercore.models import JOB_KIND_LENGTH, Job
from dservercore.plugin_api import JobHandler
from dservercore.settings.secrecy import masked

#: How long a lease lasts, unless the worker renews it: nobody else takes the job meanwhile.
LEASE_SECONDS = 60.0
#: After so many attempts a job is left for an administrator.
MAX_ATTEMPTS = 10
#: The pause before the second attempt, which is doubled before each further one; and the longest pause.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 3600.0

MAX_ERROR_LENGTH = 1000

_HANDLERS = "dservercore-job-handlers"
_ENDED = "the process that did it ended before it was done"

_job = Job.__table__


@dataclass(frozen=True)
class Claim:
    """A job that its holder may do, until the lease ends.

    :param attempts: how often the job was begun, this time included
    :param holder: a text that no other worker has, and that stands in the job's row as long as the lease is this one's
    """

    id: int
    kind: str
    payload: Any
    attempts: int
    holder: str


def init_jobs(app: Flask, handlers: Iterable[Mapping[str, JobHandler]]) -> None:
    """Have *app* do the jobs of these kinds.

    :raises ConfigurationError: if two of them are for one kind, or a kind has a name that is too long
    """
    by_kind: dict[str, JobHandler] = {}
    for mapping in handlers:
        for kind, handler in mapping.items():
            if kind in by_kind or not 0 < len(kind) <= JOB_KIND_LENGTH:
                raise ConfigurationError(f"The kind of job {kind!r} is taken, or its name is too long")
            by_kind[kind] = handler
    app.extensions[_HANDLERS] = by_kind


def handlers() -> Mapping[str, JobHandler]:
    """Return the job handlers of the application, by kind of job."""
    by_kind: Mapping[str, JobHandler] = current_app.extensions[_HANDLERS]
    return by_kind


# Entering and looking


def enqueue(kind: str, payload: Any = None, delay: float = 0) -> int:
    """Enter a job in the transaction that is open: it is done if that is committed. Return its number.

    :param payload: what its handler is called with: anything that JSON can hold
    :param delay: seconds to wait before it is begun
    :raises LookupError: if no handler does jobs of this kind
    :raises TypeError: if JSON cannot hold the payload
    """
    if kind not in handlers():
        raise LookupError(f"No extension in use does jobs of the kind {kind!r}")
    now = utcnow()
    job = Job(
        kind=kind,
        payload=json.dumps(payload),
        queued_at=now,
        due_at=now + timedelta(seconds=delay),
        attempts=0,
    )
    sql_db.session.add(job)
    sql_db.session.flush()
    return job.id


def is_entered(kind: str) -> bool:
    """Return whether there is a job of a kind that waits, or is being done."""
    of_kind = select(_job.c.id).where(_job.c.kind == kind, _job.c.failed_at.is_(None))
    return sql_db.session.execute(of_kind.limit(1)).first() is not None


def list_jobs(only_failed: bool = False) -> list[dict[str, Any]]:
    """Return the jobs that are not done, in the order in which they were entered.

    Each has ``id``, ``kind``, ``state``, ``attempts``, ``queued_at`` and ``due_at`` (float, seconds since the epoch,
    UTC), ``error`` (None: no attempt has failed) and ``payload``. ``state`` is ``waiting``, ``running`` (or its worker
    was killed less than a lease ago) or ``failed``.
    """
    statement = select(_job).order_by(_job.c.id)
    if only_failed:
        statement = statement.where(_job.c.failed_at.is_not(None))
    now = utcnow()
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "state": _state(row, now),
            "attempts": row.attempts,
            "queued_at": datetime_to_timestamp(row.queued_at),
            "due_at": datetime_to_timestamp(row.due_at),
            "error": row.error,
            "payload": json.loads(row.payload),
        }
        for row in sql_db.session.execute(statement)
    ]


def _state(row: Any, now: datetime) -> str:
    if row.failed_at is not None:
        return "failed"
    return "running" if row.holder is not None and row.due_at > now else "waiting"


def retry(numbers: Sequence[int] | None = None) -> int:
    """Have failed jobs done again, from their first attempt on. Return how many.

    :param numbers: of the jobs; None: all that have failed
    """
    statement = update(_job).where(_job.c.failed_at.is_not(None), *_among(numbers))
    fresh = {"failed_at": None, "due_at": utcnow(), "attempts": 0, "holder": None}
    return db.changed_rows(statement.values(fresh))


def hurry(number: int, after_failures: bool = False) -> bool:
    """Have a job begun now that was entered with a delay. Return whether there is a job of that number.

    :param after_failures: also if it waits for another attempt
    """
    now = utcnow()
    waits = [_job.c.id == number, _job.c.failed_at.is_(None), _job.c.holder.is_(None), _job.c.due_at > now]
    if not after_failures:
        waits.append(_job.c.attempts == 0)
    if db.changed_rows(update(_job).where(*waits).values(due_at=now)):
        return True
    return exists(number)


def exists(number: int) -> bool:
    """Return whether there is a job of that number: it waits, is being done, or has failed."""
    return sql_db.session.execute(select(_job.c.id).where(_job.c.id == number)).first() is not None


def remove(numbers: Sequence[int] | None = None) -> int:
    """Remove jobs, done or not. Return how many.

    :param numbers: of the jobs; None: all that have failed
    """
    which = _among(numbers) if numbers is not None else [_job.c.failed_at.is_not(None)]
    return db.changed_rows(delete(_job).where(*which))


def _among(numbers: Sequence[int] | None) -> list[ColumnElement[bool]]:
    """Return the conditions for jobs with one of these numbers; none for None."""
    return [] if numbers is None else [_job.c.id.in_(list(numbers))]


# Working


def claim(lease_seconds: float = LEASE_SECONDS) -> Claim | None:
    """Take the job that is due for the longest time, and commit that. Return None if none is due.

    A job whose process ended during its last attempt is marked as failed, and passed over.
    """
    kinds = list(handlers())
    while kinds:
        now = utcnow()
        due = select(_job).where(_job.c.kind.in_(kinds), _job.c.failed_at.is_(None), _job.c.due_at <= now)
        row = sql_db.session.execute(due.order_by(_job.c.due_at, _job.c.id).limit(1)).first()
        if row is None:
            db.rollback()
            return None
        # If another worker has claimed the same row meanwhile, one of these has changed.
        same = (_job.c.id == row.id, _job.c.due_at == row.due_at, _job.c.attempts == row.attempts)
        holder = uuid.uuid4().hex
        values: dict[str, Any] = {
            "holder": holder,
            "due_at": now + timedelta(seconds=lease_seconds),
            "attempts": row.attempts + 1,
        }
        is_dead = row.attempts >= MAX_ATTEMPTS
        if is_dead:
            values = {"holder": None, "failed_at": now, "error": _ENDED}
        is_ours = db.changed_rows(update(_job).where(*same).values(values))
        db.commit()
        if is_ours and not is_dead:
            return Claim(row.id, row.kind, json.loads(row.payload), row.attempts + 1, holder)
    return None


def renew(connection: Connection, claimed: Claim, lease_seconds: float = LEASE_SECONDS) -> bool:
    """Begin the lease of a job anew. Return False if another worker has the job by now, or it was removed."""
    until = utcnow() + timedelta(seconds=lease_seconds)
    return connection.execute(update(_job).where(*_held(claimed)).values(due_at=until)).rowcount > 0


def finish(claimed: Claim) -> bool:
    """Strike off a job that is done, in the transaction that is open.

    Return False if another worker has the job by now, or it was removed: what it did is to be rolled back.
    """
    return bool(db.changed_rows(delete(_job).where(*_held(claimed))))


def fail(claimed: Claim, error: BaseException) -> bool:
    """Note that a job failed, in the transaction that is open. Return whether it will be tried again."""
    is_last = claimed.attempts >= MAX_ATTEMPTS
    now = utcnow()
    values = {
        "holder": None,
        "due_at": now + timedelta(seconds=pause_after(claimed.attempts)),
        "failed_at": now if is_last else None,
        "error": _reason(error),
    }
    sql_db.session.execute(update(_job).where(*_held(claimed)).values(values))
    return not is_last


def pause_after(attempts: int) -> float:
    """Return the seconds to wait after so many attempts, a little less at random, so that jobs spread."""
    pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(0.8, 1)


def _held(claimed: Claim) -> tuple[ColumnElement[bool], ...]:
    return _job.c.id == claimed.id, _job.c.holder == claimed.holder


def _reason(error: BaseException) -> str:
    text = db.reason(error) if isinstance(error, DBAPIError) else masked(str(error))
    return f"{type(error).__name__}: {text}"[:MAX_ERROR_LENGTH]
