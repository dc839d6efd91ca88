"""What every kind of storage does for an upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dservercore.plugins.signed_url.announced import Announcement
from dservercore.plugins.signed_url.pending import Pending
from dservercore.plugins.signed_url.storages.interface import Validity

#: What a signature is for by which a file is uploaded, and the path of the route before the URI of its dataset.
UPLOAD, ROUTE = "upload", "/signed-urls/uploads"

#: Name, in a signature, of the README.
README = "README.yml"

#: Items that a message names at most.
MAX_NAMED = 5


class UploadStorage(Protocol):
    """Where one dataset is to be stored.

    Methods raise StorageError where the storage refuses or cannot be reached, FullStorageError where it is full.
    """

    def check(self, announcement: Announcement) -> None:
        """Pass if the storage can take what is announced.

        :raises ValidationError: 422 naming the field
        """
        ...

    def prepare(self, pending: Pending, before: Pending | None) -> None:
        """Make the dataset, not frozen yet; what is there already of an upload that is begun again stays.

        :param before: what was pending until now; None: nothing
        :raises ConflictError: if something else is stored there
        """
        ...

    def urls(self, pending: Pending, validity: Validity) -> dict[str, Any]:
        """Return ``upload_urls``: ``readme`` and, by identifier, ``items``, each with url, relpath and headers."""
        ...

    def readme(self, pending: Pending) -> str:
        """Return the README, once it and all items are there as they were announced.

        :raises ValidationError: 400 if they are not
        """
        ...

    def freeze(self, pending: Pending) -> None:
        """Write what else makes a dataset, and freeze it; to be done again if it was ended in the middle."""
        ...

    def remove(self, pending: Pending) -> bool:
        """Remove what is there of a dataset that is not frozen. Return whether there was something.

        :raises ConflictError: if it is frozen, or another one
        """
        ...


def admin_metadata(pending: Pending, kind: str) -> dict[str, Any]:
    """Return the administrative metadata of a dataset, as dtool writes it.

    :param kind: ``protodataset``, or ``dataset`` once it is frozen
    """
    return {
        "uuid": pending.uuid,
        "dtoolcore_version": pending.manifest["dtoolcore_version"],
        "name": pending.name,
        "type": kind,
        "creator_username": pending.creator_username,
        "created_at": pending.created_at,
        "frozen_at": pending.frozen_at,
    }


def named(relpaths: list[str]) -> str:
    """Return the first of some paths, for a message, and how many there are beside them."""
    further = f", and {len(relpaths) - MAX_NAMED:,} more" if len(relpaths) > MAX_NAMED else ""
    return ", ".join(relpath[:200] for relpath in sorted(relpaths)[:MAX_NAMED]) + further


def outdated(pending: Pending, before: Pending | None) -> Mapping[str, Mapping[str, Any]]:
    """Return the items, by identifier, of an upload that is begun again with others in their place, or without them."""
    if before is None:
        return {}
    items = pending.items
    return {
        identifier: item
        for identifier, item in before.manifest.get("items", {}).items()
        if identifier not in items or items[identifier]["hash"] != item.get("hash")
    }
