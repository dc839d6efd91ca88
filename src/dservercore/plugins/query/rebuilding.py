"""Documents, and indexes of them, of the datasets that were registered before there were any."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

from dservercore import db
from dservercore.catalog import dataset_rows, jobs, store_writes
from dservercore.catalog.full_documents import document_of
from dservercore.catalog.journal import entries
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugins.query.sql import indexes
from dservercore.plugins.query.sql.store import SqlDocumentStore
from dservercore.plugins.query.store import REBUILD

_BATCH = 100  # datasets that share one commit
_SECONDS = 1.0  # for which a batch keeps others from writing, or a little longer

Told = Callable[[int], object]

logger = logging.getLogger(__name__)


class Store(Protocol):
    """What takes documents."""

    def count_missing(self) -> int:
        """Return how many datasets have no document."""

    def put_all(self, dataset_infos: Sequence[Mapping[str, Any]]) -> None:
        """Store the documents of registered datasets, or replace them."""


def rebuild(store: Store, uris: Sequence[str], told: Told = lambda _: None) -> list[str]:
    """Store the documents of registered datasets again, as the rows and the retrieve plugin describe them.

    Commits after each batch: it may be interrupted, and repeated. Nobody changes the datasets of a batch meanwhile.

    :param told: called with the number of datasets in each batch, after it
    :returns: the URIs of the datasets that the retrieve plugin does not have, which get no document
    :raises UnavailableError: if a store cannot be reached
    """
    undescribed: list[str] = []
    _in_batches(uris, lambda batch: _put_first(store, batch, undescribed), told)
    return undescribed


def begin_if_needed(store: Store) -> None:
    """Enter the job, and say so, if there are datasets that have no document. Commits.

    A store that cannot be asked now is asked again when the next process begins to serve.
    """
    try:
        number = store.count_missing()
        if number <= 0 or jobs.is_entered(REBUILD):
            return
        jobs.enqueue(REBUILD, {"after": ""})
        db.commit()
    except (DBAPIError, UnavailableError) as error:
        reason = error.message if isinstance(error, UnavailableError) else db.reason(error)
        logger.warning("Whether structured queries find everything is not known: %s", reason)
        return
    finally:
        db.rollback()
    logger.warning(
        "Structured queries do not find %d dataset(s), registered without them: a job adds them,"
        " or `flask query rebuild --missing`",
        number,
    )


def rebuild_batch(store: SqlDocumentStore, payload: Any) -> None:
    """Do the job: make the documents of the next datasets that have none, and enter the job again behind them."""
    batch = store.missing(after=payload["after"], most=_BATCH)
    if batch:
        store_writes.begin()
        dataset_rows.keep_others_from(batch)
        done = _put_first(store, batch, [])
        jobs.enqueue(REBUILD, {"after": batch[done - 1]})


def _put_first(store: Store, batch: Sequence[str], undescribed: list[str]) -> int:
    """Put as many documents of a batch as there is time for, and return how many datasets these are.

    :param undescribed: the URIs of those that the retrieve plugin does not have are added to it
    """
    end = time.monotonic() + _SECONDS
    for done, uri in enumerate(batch, 1):
        # Whatever is to become of one that is not through, its document is stored, or removed, then.
        if dataset_rows.find_registered(uri) is not None and not entries.is_pending(uri):
            try:
                store.put_all([document_of(uri)])
            except UnknownURIError:
                undescribed.append(uri)
        if time.monotonic() > end:
            return done
    return len(batch)


def create_index(path: str, uris: Sequence[str], told: Told = lambda _: None) -> None:
    """Make an index of what a path leads to, or go on with one that was cut short. Commits after each batch.

    :param uris: of all registered datasets
    :param told: called with the number of datasets in each batch, after it
    :raises InvalidQueryError: if it is no path
    """
    db.begin_write()
    indexes.begin_index(path)
    db.commit()
    # Whoever is writing now may not know of the index. Whoever begins after this does.
    db.begin_write()
    dataset_rows.keep_everybody_out()
    db.commit()
    store = SqlDocumentStore()

    def put_all(batch: Sequence[str]) -> int:
        store.index_values_of(batch)
        return len(batch)

    _in_batches(uris, put_all, told)
    db.begin_write()
    indexes.end_index(path)
    db.commit()


def _in_batches(uris: Sequence[str], do: Callable[[Sequence[str]], int], told: Told) -> None:
    """Do something to datasets, and commit after each batch of them.

    :param do: is given a batch, and returns with how many of it it is through
    """
    start = 0
    while start < len(uris):
        batch = uris[start : start + _BATCH]
        store_writes.begin()
        dataset_rows.keep_others_from(batch)
        done = do(batch)
        db.commit()
        start += done
        told(done)
