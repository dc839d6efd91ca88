"""Removing the registrations of datasets that are gone from storage, but never most of a base URI's by mistake.

A share that is not mounted looks like an empty directory, and a bucket that was restored only in part like a smaller
one. What users had added in the catalogue would be gone with the registrations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flask import current_app

from dservercore import db
from dservercore.catalog import dataset_rows, deletion, store_writes
from dservercore.catalog.scope import OPERATOR, Actor
from dservercore.errors import ConflictError

#: Decides whether so many of so many registrations of a base URI may go: (base URI, gone, registered).
Permit = Callable[[str, int, int], bool]


class TooManyGoneError(ConflictError):
    """More of a base URI's datasets are gone from storage than registrations may be removed."""


def require_prunable(base_uri: str, gone: int, registered: int, permit: Permit) -> None:
    """Pass if the registrations of *gone* datasets may be removed from a base URI with *registered* ones.

    :param permit: asked if *gone* is more than the setting ``DSERVER_PRUNE_LIMIT`` lets go
    :raises TooManyGoneError: if *permit* says no
    """
    limit: float = current_app.config["DSERVER_PRUNE_LIMIT"]
    if gone > limit * registered and not permit(base_uri, gone, registered):
        raise TooManyGoneError(
            f"Nothing removed: {gone:,} of the {registered:,} datasets registered in {base_uri} are not in its storage,"
            f" more than {100 * limit:g} % (DSERVER_PRUNE_LIMIT). Is it mounted, and whole? --prune-all removes them"
        )


def never(_base_uri: str, _gone: int, _registered: int) -> bool:
    """Permit nothing beyond the setting ``DSERVER_PRUNE_LIMIT``."""
    return False


def remove(gone: Iterable[str], actor: Actor = OPERATOR) -> list[str]:
    """Remove the registrations of datasets that are gone from storage, and commit. Return the URIs of those removed.

    :param actor: who is on record for that
    """
    pruned = []
    for uri in gone:
        store_writes.begin()
        registered = dataset_rows.hold_registered(uri)
        if registered:
            deletion.remove([registered])
            deletion.record_deletion(registered, actor)
            pruned.append(uri)
    db.commit()
    return pruned
