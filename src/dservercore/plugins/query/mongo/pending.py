"""What is still to be brought to the collection: the jobs of the queue that name a dataset.

Each brings the document of the dataset as it is when the job is done, or removes it if the dataset is not registered by
then. So a job may be done twice, by several at once, and in any order.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from dservercore import db
from dservercore.catalog import full_documents, jobs
from dservercore.db import sql_db
from dservercore.errors import OutOfTimeError, UnknownURIError
from dservercore.models import Dataset, Job
from dservercore.plugins.query.documents import document as document_of
from dservercore.plugins.query.store import BRING

if TYPE_CHECKING:
    from dservercore.plugins.query.mongo.store import MongoDocumentStore
    from dservercore.plugins.query.time_limit import TimeLimit

logger = logging.getLogger(__name__)

#: A query does so many jobs itself, in no more than this part of its time.
MOST_DONE, PART_OF_TIME = 200, 0.25

#: Jobs that a query looks at, to leave out what is deleted.
_MOST_LOOKED_AT = 20_000
_TOGETHER = 20
_MOST_ROUNDS = 5

_job, _dataset = Job.__table__, Dataset.__table__


def enqueue(uri: str) -> None:
    """Queue a dataset, in the transaction that is open."""
    jobs.enqueue(BRING, {"uri": uri})


def is_waiting(uri: str) -> bool:
    """Return whether a dataset is still to be brought, or removed."""
    # The payload as it is queued, and without an index, as this is asked about what seems to be wrong alone.
    waiting = select(_job.c.id).where(_job.c.kind == BRING, _job.c.payload == json.dumps({"uri": uri}))
    return sql_db.session.execute(waiting.limit(1)).first() is not None


def do(store: MongoDocumentStore | None, payload: Any) -> None:
    """Do a job.

    :param store: None: documents are not in MongoDB any more, and nothing is left to do
    :raises UnavailableError: if MongoDB is away
    """
    if store is not None:
        bring(store, [payload["uri"]])


def number_queued() -> int:
    """Return how many of the jobs are not done."""
    queued = select(func.count()).select_from(_job).where(_job.c.kind == BRING)
    return int(sql_db.session.execute(queued).scalar_one())


def number_of_datasets() -> int:
    """Return how many datasets are registered."""
    return int(sql_db.session.execute(select(func.count()).select_from(_dataset)).scalar_one())


def bring_next(store: MongoDocumentStore, after: str) -> str | None:
    """Bring the documents of the first registered datasets behind a URI. Return the last URI; None: there are no more.

    :raises UnavailableError: if MongoDB is away
    """
    behind = select(_dataset.c.uri).where(_dataset.c.uri > after).order_by(_dataset.c.uri)
    uris = sql_db.session.scalars(behind.limit(_TOGETHER)).all()
    if not uris:
        return None
    bring(store, uris)
    return uris[-1]


def bring(store: MongoDocumentStore, uris: Sequence[str]) -> None:
    """Bring the documents of datasets to the collection as they are now, and remove those of unregistered ones.

    Whoever does the same at this moment may have read what is older, and write it later: what was written is compared
    with what is registered afterwards, until that is the same.

    :raises UnavailableError: if MongoDB is away
    """
    stale, written = list(dict.fromkeys(uris)), _current(uris)
    for _ in range(_MOST_ROUNDS):
        store.write(
            [written[uri] for uri in stale if uri in written], [uri for uri in stale if uri not in written]
        )
        current = _current(stale)
        stale = [uri for uri in stale if current.get(uri) != written.get(uri)]
        written = current
        if not stale:
            return
    logger.warning("A dataset changes faster than it can be brought to MongoDB: %s", stale[0])
    for uri in stale:
        enqueue(uri)


def _current(uris: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the documents of those datasets that are registered, by URI, as they are at this moment."""
    db.rollback()  # a transaction that has begun may see what was there then
    found = {}
    for uri in dict.fromkeys(uris):
        try:
            found[uri] = document_of(full_documents.document_of(uri))
        except UnknownURIError:
            continue
    return found


def catch_up(store: MongoDocumentStore, time: TimeLimit) -> list[str]:
    """Do the oldest pending jobs. Return the URIs of datasets whose documents are to be removed, and are still there.

    :raises UnavailableError: if MongoDB is away
    """
    waiting = sql_db.session.execute(
        select(_job.c.id, _job.c.payload)
        .where(_job.c.kind == BRING)
        .order_by(_job.c.id)
        .limit(_MOST_LOOKED_AT)
    ).all()
    if not waiting:
        return []
    pairs = [(row.id, json.loads(row.payload)["uri"]) for row in waiting]
    until = time.seconds_left() * (1 - PART_OF_TIME)
    done = 0
    while done < min(len(pairs), MOST_DONE):
        some = pairs[done : done + _TOGETHER]
        bring(store, [uri for _, uri in some])
        sql_db.session.execute(delete(_job).where(_job.c.id.in_([id_ for id_, _ in some])))
        db.commit()
        done += len(some)
        try:
            if time.seconds_left() < until:
                break
        except OutOfTimeError:
            break
    return _unregistered([uri for _, uri in pairs[done:]])


def rebuild(store: MongoDocumentStore, uris: Sequence[str], told: Callable[[int], object]) -> list[str]:
    """Bring the documents of registered datasets to the collection again, and remove those of all others.

    :param uris: of all registered datasets
    :param told: called with the number of datasets in each batch, after it
    :returns: the URIs of the datasets that the retrieve plugin does not have, which get no document
    :raises UnavailableError: if MongoDB is away
    """
    for start in range(0, len(uris), _TOGETHER):
        some = uris[start : start + _TOGETHER]
        bring(store, some)
        told(len(some))
    stored = list(store.uris())
    store.write([], _unregistered(stored))
    return sorted(set(uris) - set(stored) - set(_unregistered(uris)))


def forget_unregistered(uris: Sequence[str]) -> list[str]:
    """Return the URIs under which no dataset is registered, and have their documents removed.

    There are none but where documents were put into the collection, or the database was restored, by others.
    """
    gone = _unregistered(uris)
    for uri in gone:
        enqueue(uri)
    if gone:
        db.commit()
    return gone


def _unregistered(uris: Sequence[str]) -> list[str]:
    uris = list(dict.fromkeys(uris))
    registered: set[str] = set()
    for start in range(0, len(uris), 500):
        some = uris[start : start + 500]
        registered.update(sql_db.session.scalars(select(_dataset.c.uri).where(_dataset.c.uri.in_(some))))
    return [uri for uri in uris if uri not in registered]
