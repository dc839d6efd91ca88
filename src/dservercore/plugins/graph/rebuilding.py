"""Deriving edges again: of datasets that were registered without the extension, or by other dependency keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, jobs, store_writes
from dservercore.catalog.journal import entries
from dservercore.db import sql_db
from dservercore.models import Dataset
from dservercore.plugins.graph import edges, settings
from dservercore.plugins.graph.keys import EVERY_KEY, number_of_all
from dservercore.plugins.graph.models import GraphDataset

#: The kind of the job that derives edges of a batch, and enters itself again for the next one.
JOB = "dservercore.graph.rebuild"

_BATCH = 200  # datasets that share one commit

_dataset, _derived = Dataset.__table__, GraphDataset.__table__

logger = logging.getLogger(__name__)


def number_left() -> int:
    """Return how many datasets there are whose edges were not derived, or not by the keys that count at present."""
    datasets = sql_db.session.execute(select(func.count()).select_from(_dataset)).scalar_one()
    derived = select(func.count()).select_from(_derived).where(_is_up_to_date())
    return int(datasets) - int(sql_db.session.execute(derived).scalar_one())


def number_of_datasets() -> int:
    """Return how many datasets are registered."""
    return int(sql_db.session.execute(select(func.count()).select_from(_dataset)).scalar_one())


def rebuild(everything: bool = False, told: Callable[[int], object] = lambda _: None) -> int:
    """Derive the edges of datasets again, in batches that are committed one by one: it may be interrupted.

    :param everything: of all datasets, not of those alone that lack it
    :param told: called with the number of datasets in each batch, after it
    :returns: how many datasets are left, because the retrieve plugin does not have them, or they are being written
    :raises UnavailableError: if a store cannot be reached
    """
    left = last = 0
    while batch := _next_batch(last, everything):
        db.rollback()
        left += _derive_anew([row.uri for row in batch])
        db.commit()
        last = batch[-1].id
        told(len(batch))
    db.rollback()
    return left


def rebuild_batch(payload: Any) -> None:
    """Do the job: derive the edges of the next datasets that lack it, and enter the job again behind them."""
    after = payload.get("after", 0) if isinstance(payload, dict) else 0
    batch = _next_batch(after, everything=False)
    if batch:
        _derive_anew([row.uri for row in batch])
        jobs.enqueue(JOB, {"after": batch[-1].id})


def begin_if_needed() -> None:
    """Enter the job, and say so, if there are datasets whose edges are not derived. Commits.

    A database that cannot be asked now is asked again when the next process begins to serve.
    """
    try:
        number = number_left()
        if not number or jobs.is_entered(JOB):  # by one of the processes that begin together, which says so
            return
        jobs.enqueue(JOB, {"after": 0})
        db.commit()
    except DBAPIError as error:
        logger.warning("Whether the provenance graph is complete is not known: %s", db.reason(error))
        return
    finally:
        db.rollback()
    logger.warning(
        "The provenance graph lacks %d dataset(s), registered without it or by other DSERVER_DEPENDENCY_KEYS:"
        " a job adds them, or `flask graph rebuild`",
        number,
    )


def _is_up_to_date() -> ColumnElement[bool]:
    numbers = [EVERY_KEY]
    if not current_app.config[settings.DYNAMIC]:
        numbers.append(number_of_all(current_app.config[settings.KEYS]))
    return _derived.c.keys_number.in_(numbers)


def _next_batch(after: int, everything: bool) -> Sequence[Any]:
    statement = select(_dataset.c.id, _dataset.c.uri).where(_dataset.c.id > after)
    if not everything:
        joined = _dataset.outerjoin(_derived, and_(_derived.c.dataset_id == _dataset.c.id, _is_up_to_date()))
        statement = statement.select_from(joined).where(_derived.c.dataset_id.is_(None))
    return sql_db.session.execute(statement.order_by(_dataset.c.id).limit(_BATCH)).all()


def _derive_anew(uris: Sequence[str]) -> int:
    """Write the edges of datasets by their descriptions at present. Return how many the retrieve plugin lacks.

    Whoever changes one of them meanwhile waits, where the database has locks for rows, or else is the only writer.
    """
    store_writes.begin()
    dataset_rows.keep_others_from(uris)
    # What is to become of those in the journal, extensions are told then.
    settled = [uri for uri in uris if not entries.is_pending(uri)]
    documents = list(_documents(settled))
    edges.write(documents)
    return len(uris) - len(documents)


def _documents(uris: Sequence[str]) -> Iterator[dict[str, Any]]:
    for uri, texts in list(plugin_host.plugins().retrieve.read_texts(uris)):
        yield {"uri": uri, "readme": texts["readme"], "annotations": texts["annotations"]}
