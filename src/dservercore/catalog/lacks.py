"""What the descriptions of datasets lack, where nobody has noted it with the write: reading their READMEs again.

That is so after an upgrade, or where a plugin has written a README or a row by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlalchemy import bindparam, func, select

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, store_writes
from dservercore.catalog.datasets import Registered
from dservercore.catalog.journal import entries
from dservercore.dataset import lacking
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.models import Dataset

_BATCH = 200  # datasets that share one commit

_dataset = Dataset.__table__
_NUMBER = select(func.count()).select_from(_dataset).where(_dataset.c.lacks.is_(None))
_NEXT = (
    select(_dataset.c.id, _dataset.c.uri)
    .where(_dataset.c.lacks.is_(None), _dataset.c.id > bindparam("last"))
    .order_by(_dataset.c.id)
    .limit(_BATCH)
)


def number_unread() -> int:
    """Return how many datasets there are of which nobody knows what they lack."""
    return int(sql_db.session.execute(_NUMBER).scalar_one())


def read_again(told: Callable[[int], object] = lambda _: None) -> int:
    """Read the READMEs of the datasets of which nobody knows what they lack, and note it.

    Commits after each batch: it may be interrupted, and repeated.

    :param told: called with the number of datasets in each batch, after it
    :returns: how many datasets are left, because the retrieve plugin does not have them
    :raises UnavailableError: if a store cannot be reached
    """
    left = last = 0
    while batch := sql_db.session.execute(_NEXT, {"last": last}).all():
        db.rollback()
        left += note_anew([row.uri for row in batch])
        db.commit()
        last = batch[-1].id
        told(len(batch))
    db.rollback()
    return left


def note_anew(uris: Sequence[str]) -> int:
    """Note what some datasets lack, by their READMEs at present. The caller commits.

    :param uris: no more than go into one statement (see ``db.batched``)
    :returns: how many of those that are registered the retrieve plugin does not have
    :raises UnavailableError: if a store cannot be reached
    """
    store_writes.begin()
    dataset_rows.keep_others_from(uris)
    registered = dataset_rows.find_all_registered(uris)
    changes = list(_read(registered.values()))
    dataset_rows.write_lacks(changes)
    return len(registered) - len(changes)


def _read(registered: Iterable[Registered]) -> Iterator[tuple[Registered, Registered]]:
    retrieve = plugin_host.plugins().retrieve
    for one in registered:
        if entries.is_pending(one.uri):  # whatever is to become of it, it is noted then
            continue
        try:
            readme = retrieve.get_readme(one.uri)
        except UnknownURIError:
            continue
        yield one, one.with_readme(lacking.of_readme(readme))
