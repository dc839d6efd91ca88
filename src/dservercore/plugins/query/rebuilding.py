"""Documents, and indexes of them, of the datasets that were registered before there were any."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dservercore import db
from dservercore.catalog import dataset_rows, store_writes
from dservercore.catalog.full_documents import document_of
from dservercore.catalog.journal import entries
from dservercore.errors import UnknownURIError
from dservercore.plugins.query.sql import indexes
from dservercore.plugins.query.sql.store import SqlDocumentStore

_BATCH = 100  # datasets that share one commit
_SECONDS = 1.0  # for which a batch keeps others from writing, or a little longer

Told = Callable[[int], object]


class Store(Protocol):
    """What takes documents."""

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

    def put_first(batch: Sequence[str]) -> int:
        """Put as many as there is time for, and return how many these are."""
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

    _in_batches(uris, put_first, told)
    return undescribed


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
