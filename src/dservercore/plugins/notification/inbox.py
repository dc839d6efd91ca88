"""What is still to be done because of events: one job for each dataset, however many events tell of it.

The row of a dataset is there from its first event until a job has looked at the dataset and no event has come
meanwhile. Events that come while one is queued are added to the row; those that come while it is done have it followed
by another one. So two jobs are never about the same dataset, and what the last one sees is newer than every event.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import func, select, update

from dservercore import db
from dservercore.catalog import jobs
from dservercore.dataset.times import datetime_to_timestamp, utcnow
from dservercore.db import sql_db
from dservercore.errors import ConflictError, UnavailableError, UnregisteredBaseURIError, ValidationError
from dservercore.models import BaseURI, Job
from dservercore.plugins.notification.messages import Event
from dservercore.plugins.notification.models import NotifiedDataset, NotifyingBucket
from dservercore.plugins.notification.settings import BUCKETS

LOOK, CONFIRM = "notification.look", "notification.confirm"

#: Seconds for which files of a dataset are waited for before somebody looks at it: a thousand may follow.
ITEM_SECONDS = 5.0
#: Seconds between two looks at a dataset of which events have come during the first one.
AGAIN_SECONDS = 3.0

_ATTEMPTS = 5

_dataset = NotifiedDataset.__table__
_bucket = NotifyingBucket.__table__


@dataclass(frozen=True)
class Noted:
    """A dataset that events have told of.

    :ivar events: how many they were when this was read
    :ivar is_removal: whether one of them said that it is gone
    :ivar is_permitted: whether its registration may go, however many others go
    """

    uri: str
    events: int
    is_removal: bool
    is_permitted: bool


# Events


def note(events: Sequence[Event]) -> None:
    """Queue a look at each dataset that events tell of, in the transaction that is open.

    :raises ValidationError: if a bucket has no base URI, or its base URI is not registered; then nothing is queued
    """
    base_uris = _base_uris_of({event.bucket for event in events})
    by_uri: dict[str, list[Event]] = {}
    for event in events:
        for uuid in event.uuids:
            by_uri.setdefault(f"{base_uris[event.bucket]}/{uuid}", []).append(event)
    db.begin_write()
    now = utcnow()
    # In order: two requests that lock rows in different orders wait for each other.
    for uri in sorted(by_uri):
        _note_dataset(uri, by_uri[uri], now)
    for bucket, number in sorted(Counter(event.bucket for event in events).items()):
        values = {"digest": _digest(bucket), "bucket": bucket, "events": number, "received_at": now}
        counting = db.upsert(_bucket, ("digest",), overwrite=("received_at",), add=("events",))
        sql_db.session.execute(counting, values)


def _base_uris_of(buckets: Iterable[str]) -> Mapping[str, str]:
    """Return the base URIs of buckets.

    :raises ValidationError: if one has none, or one that is not registered
    """
    configured = current_app.config[BUCKETS]
    found: dict[str, str] = {}
    for bucket in sorted(buckets):
        if bucket not in configured:
            raise ValidationError(
                f"bucket: {bucket[:100]!r} has no base URI here ({BUCKETS})", {"bucket": ["Has no base URI."]}
            )
        found[bucket] = configured[bucket]
    wanted = set(found.values())
    registered = sql_db.session.execute(
        select(BaseURI.base_uri).where(BaseURI.base_uri.in_(wanted))
    ).scalars()
    if missing := sorted(wanted - set(registered)):
        raise UnregisteredBaseURIError(
            f"bucket: its base URI {missing[0]} is not registered",
            {"bucket": ["Its base URI is not registered."]},
        )
    return found


def _note_dataset(uri: str, events: Sequence[Event], now: datetime) -> None:
    digest = _digest(uri)
    is_removal = any(event.is_removal for event in events)
    is_urgent = not all(event.is_item for event in events)
    fresh = {
        "digest": digest,
        "uri": uri,
        "events": 0,
        "noted_at": now,
        "is_removal": False,
        "is_permitted": False,
    }
    job_id = _held_job_id(digest, fresh)
    values: dict[str, Any] = {
        "events": _dataset.c.events + len(events),
        "noted_at": now,
        "held": None,
        "job_id": job_id,
    }
    if is_removal:
        values["is_removal"] = True
    if job_id is None or not _is_queued(job_id, is_urgent):
        values["job_id"] = jobs.enqueue(LOOK, {"uri": uri}, 0 if is_urgent else ITEM_SECONDS)
    sql_db.session.execute(update(_dataset).where(_dataset.c.digest == digest).values(values))


def _held_job_id(digest: str, fresh: Mapping[str, Any]) -> int | None:
    """Return the number of the job of a dataset, whose row is locked then, and made if there is none.

    :raises UnavailableError: if others make and delete it again and again at the same moment
    """
    job_id = select(_dataset.c.job_id).where(_dataset.c.digest == digest).with_for_update()
    for _ in range(_ATTEMPTS):
        db.insert_if_new(_dataset, ("digest",), fresh)
        if row := sql_db.session.execute(job_id).first():
            return row.job_id
    raise UnavailableError("Others note the same dataset at this moment; try again")


def _is_queued(job_id: int, is_urgent: bool) -> bool:
    """Return whether a job is still to be done, or being done; it is begun now if *is_urgent*."""
    if jobs.retry([job_id]):  # it had failed for good, and what it failed at may be there now
        return True
    return jobs.hurry(job_id) if is_urgent else jobs.exists(job_id)


def note_subscription(topic: str, path: str) -> None:
    """Queue the confirmation of a subscription, unless it is queued already.

    :param path: path and query of the address that confirms it
    """
    db.begin_write()
    digest = _digest(f"{topic} {path}")
    payload = {"topic": topic, "path": path, "digest": digest}
    waiting = select(Job.id).where(Job.kind == CONFIRM, Job.payload.contains(digest, autoescape=True))
    if sql_db.session.execute(waiting.limit(1)).first() is None:
        jobs.enqueue(CONFIRM, payload)


# Jobs


def read(uri: str) -> Noted | None:
    """Return what is noted of a dataset; None: nothing is left to be done."""
    row = sql_db.session.execute(select(_dataset).where(_dataset.c.digest == _digest(uri))).first()
    return Noted(uri, row.events, row.is_removal, row.is_permitted) if row else None


def settle(seen: Noted, held: str | None = None) -> None:
    """Strike off a dataset that was looked at, or have it looked at again if events have come meanwhile.

    :param held: why its registration is not removed until an administrator says so; None: nothing is left to be done
    """
    db.begin_write()
    same = (_dataset.c.digest == _digest(seen.uri), _dataset.c.events == seen.events)
    if held is None:
        is_settled = db.changed_rows(_dataset.delete().where(*same))
    else:
        is_settled = db.changed_rows(update(_dataset).where(*same).values(job_id=None, held=held))
    if not is_settled and read(seen.uri):
        values = {"job_id": jobs.enqueue(LOOK, {"uri": seen.uri}, AGAIN_SECONDS)}
        sql_db.session.execute(update(_dataset).where(same[0]).values(values))


# What an administrator sees and settles


def list_buckets() -> list[dict[str, Any]]:
    """Return the buckets of the configuration, and those that have sent something, in order.

    Each has ``bucket``, ``base_uri`` (None: it is no longer in the configuration), ``events`` (how many there were that
    had to do with a dataset) and ``received_at`` (float, seconds since the epoch, UTC; None: none has come).
    """
    base_uris = current_app.config[BUCKETS]
    rows = {row.bucket: row for row in sql_db.session.execute(select(_bucket))}
    return [
        {
            "bucket": bucket,
            "base_uri": base_uris.get(bucket),
            "events": rows[bucket].events if bucket in rows else 0,
            "received_at": datetime_to_timestamp(rows[bucket].received_at) if bucket in rows else None,
        }
        for bucket in sorted({*base_uris, *rows})
    ]


def list_datasets() -> list[dict[str, Any]]:
    """Return the datasets about which something is left to be done, those first of which an event came first.

    Each has ``uri``, ``state`` (``waiting``; ``trying``: an attempt has failed, and another one follows; ``failed``: it
    has failed too often; ``held``: an administrator is to decide), ``events``, ``noted_at`` (float, seconds since the
    epoch, UTC: when the last one came), ``is_removal``, ``attempts`` and ``reason`` (of the failure, or why it is held;
    None: there is none).
    """
    statement = (
        select(_dataset, Job.id.label("job"), Job.attempts, Job.failed_at, Job.error)
        .outerjoin(Job, Job.id == _dataset.c.job_id)
        .order_by(_dataset.c.noted_at, _dataset.c.digest)
    )
    return [
        {
            "uri": row.uri,
            "state": _state(row),
            "events": row.events,
            "noted_at": datetime_to_timestamp(row.noted_at),
            "is_removal": row.is_removal,
            "attempts": row.attempts or 0,
            "reason": row.held or row.error or (None if row.job else "its job was deleted"),
        }
        for row in sql_db.session.execute(statement)
    ]


def _state(row: Any) -> str:
    if row.held is not None:
        return "held"
    if row.job is None or row.failed_at is not None:
        return "failed"
    return "trying" if row.error else "waiting"


def number_held() -> int:
    """Return how many datasets are held."""
    held = select(func.count()).select_from(_dataset).where(_dataset.c.held.is_not(None))
    return sql_db.session.execute(held).scalar_one()


def retry(uris: Sequence[str] = (), *, removals: bool = False) -> int:
    """Have datasets looked at again that have failed, for good or so far. Return how many.

    :param uris: of the datasets; empty: all
    :param removals: also those that are held, and let their registrations go
    :raises ConflictError: if nothing is to be done again about one of *uris*
    """
    states = {"failed", "trying", "held"} if removals else {"failed", "trying"}
    db.begin_write()
    wanted = [one for one in list_datasets() if one["state"] in states and (not uris or one["uri"] in uris)]
    if missing := sorted(set(uris) - {one["uri"] for one in wanted}):
        raise ConflictError(
            f"Nothing about {missing[0]} has failed" + ("" if removals else ", or is only held")
        )
    for one in wanted:
        where = _dataset.c.digest == _digest(one["uri"])
        job_id = sql_db.session.execute(select(_dataset.c.job_id).where(where)).scalar_one()
        if job_id is None or not (jobs.retry([job_id]) or jobs.hurry(job_id, after_failures=True)):
            job_id = jobs.enqueue(LOOK, {"uri": one["uri"]})
        values = {"job_id": job_id, "held": None, "is_permitted": one["state"] == "held"}
        sql_db.session.execute(update(_dataset).where(where).values(values))
    return len(wanted)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
