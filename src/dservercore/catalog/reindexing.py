"""Putting datasets into the search index again that an older version of the server has put there otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, store_writes
from dservercore.catalog.full_documents import document_of
from dservercore.catalog.journal import entries
from dservercore.errors import UnknownURIError, ValidationError

_BATCH = 200  # datasets that share one commit
_SECONDS = 1.0  # for which a batch keeps others from writing, or a little longer


def outdated() -> list[str]:
    """Return the URIs of the datasets that an older version has put into the search index.

    :raises UnavailableError: if the index cannot be reached
    """
    return list(plugin_host.plugins().search.list_outdated())


def index_again(uris: Sequence[str], told: Callable[[int], object] = lambda _: None) -> list[str]:
    """Put datasets into the search index again, as the rows and the retrieve plugin describe them.

    Commits after each batch: it may be interrupted, and repeated with what is outdated then. Nobody changes the
    datasets of a batch meanwhile.

    :param told: called with the number of datasets in each batch, after it
    :returns: the URIs of the datasets that were left as they are, because the retrieve plugin does not have them, or
        the search plugin cannot hold them
    :raises UnavailableError: if a store cannot be reached
    """
    left: list[str] = []
    start, size = 0, _BATCH
    while start < len(uris):
        batch = uris[start : start + size]
        try:
            done, undescribed = _index_batch(batch)
            db.commit()
        except ValidationError:
            db.rollback()
            if len(batch) > 1:
                size = 1  # to find out which
                continue
            done, undescribed, size = 1, list(batch), _BATCH
        left += undescribed
        start += done
        told(done)
    return left


def _index_batch(uris: Sequence[str]) -> tuple[int, list[str]]:
    """Put the first of some datasets into the index again: as many as there is time for.

    Return how many these are, and those of them that the retrieve plugin does not have.
    """
    search = plugin_host.plugins().search
    store_writes.begin()
    dataset_rows.keep_others_from(uris)
    end = time.monotonic() + _SECONDS
    done, documents, undescribed = 0, [], []
    for uri in uris:
        done += 1
        row = dataset_rows.find_registered(uri)
        if row is None or entries.is_pending(
            uri
        ):  # whatever is to become of it, it is stored, or removed, then
            continue
        try:
            documents.append(search.prepare_dataset({**document_of(uri), "tags": list(row.tags)}))
        except UnknownURIError:
            undescribed.append(uri)
        if time.monotonic() > end:
            break
    if documents:
        search.register_together(documents)
    return done, undescribed
