"""Deleting datasets, from every store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dservercore import db, plugin_host
from dservercore.catalog import audit, store_writes
from dservercore.catalog import dataset_rows as rows
from dservercore.catalog.datasets import Registered
from dservercore.catalog.journal import changes
from dservercore.catalog.scope import Actor, Scope, require_dataset
from dservercore.dataset import uris
from dservercore.errors import UnknownURIError
from dservercore.plugin_api import Dependents


def delete_dataset(scope: Scope, uri: str, *, actor: Actor | None = None) -> bool:
    """Remove the dataset from every store. Return whether there was one in *scope*.

    :param scope: the base URIs in which the actor may register
    :raises AuthorizationError: if neither the dataset nor the base URI that it would be in is in *scope*
    :raises UnavailableError: if a plugin cannot reach its store
    """
    store_writes.begin()
    registered = rows.hold_registered(uri)
    try:
        require_dataset([scope], uri, registered.base_uri_id if registered else None)
    except UnknownURIError:
        if registered is None:
            changes.adopt_pending([uri])  # what an earlier deletion may have left in the stores
        return False
    assert registered is not None
    remove([registered])
    record_deletion(registered, actor)
    return True


def dependents_of(scope: Scope, dataset: Mapping[str, Any]) -> list[Dependents]:
    """Return what depends on a dataset, as far as extensions know of it, for who is about to delete it.

    :param scope: the base URIs in which whoever deletes it may search: of nothing else is anything told
    :param dataset: the dataset object
    """
    extensions = plugin_host.plugins().extensions
    found = [each for extension in extensions for each in extension.dependents(dataset, scope.base_uris)]
    return [dependents for dependents in found if dependents.datasets]


def record_deletion(registered: Registered, actor: Actor | None = None) -> None:
    """Record in the audit trail that a dataset was deleted.

    :param actor: who deleted it; None: whoever acts in this process
    """
    former = registered.former
    audit.record(actor, "dataset.delete", former.uri, {"uuid": former.uuid}, uris.parent(former.uri))


def delete_all_in(base_uri_id: int) -> int:
    """Remove every dataset of a base URI, whose row the caller has locked, from every store. Return their number.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    found = rows.uris_in([base_uri_id])
    for some in db.batched(found):
        remove(list(rows.find_all_registered(some).values()))
    return len(found)


def remove(doomed: Sequence[Registered]) -> None:
    """Remove datasets, which the caller has locked, from every store: from those outside of SQL after the commit."""
    # The summaries first, as in a registration: two writers that lock rows in different orders wait for each other.
    for registered in doomed:
        rows.uncount(registered)
    changes.delete_from_stores([registered.former for registered in doomed])
    for registered in doomed:
        rows.delete_row(registered)
