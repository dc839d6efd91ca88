"""Former datasets in the stores of plugins that cannot delete: tombstones, and the UUIDs that a URI has had.

A retrieve plugin is asked by URI, and one that never deletes may hold several documents of it, under the UUIDs of
datasets that had the URI one after the other: it may hand out any of them. So all documents are kept alike, and each
has the UUIDs of all in its manifest.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dservercore.dataset import uris
from dservercore.dataset.fields import FIELDS
from dservercore.dataset.times import datetime_to_timestamp
from dservercore.errors import UnknownURIError
from dservercore.plugin_api import DELETED, UUIDS_NOTE, Former, PluginABC, RetrieveABC

# What a field says where there is no dataset.
_NOTHING = {"text": "", "count": 0}


def tombstone(former: Former) -> dict[str, Any]:
    """Return the document that takes the place of a dataset's own in a store that cannot delete it."""
    return {
        **{field.name: _NOTHING.get(field.kind) for field in FIELDS},
        "uuid": former.uuid,
        "uri": former.uri,
        "base_uri": DELETED,
        "type": "dataset",
        "readme": "",
        "manifest": {"dtoolcore_version": "", "hash_function": "", "items": {}},
        "frozen_at": datetime_to_timestamp(former.frozen_at),
        "created_at": datetime_to_timestamp(former.created_at),
        "annotations": {},
        "tags": [],
        "uploaded_by": None,
        "uploaded_at": former.uploaded_at,
    }


class Undeleting(PluginABC):
    """A plugin without a :meth:`delete_dataset`: it is told to store tombstones."""

    def forget_dataset(self, former: Former) -> None:
        """Store a tombstone in the place of the dataset."""
        self.register_under(tombstone(former), former.other_uuids)

    def forget_replaced(self, former: Former) -> None:
        """Store a tombstone in the place of the dataset, whose URI now belongs to a dataset of another UUID."""
        self.register_dataset(tombstone(former))


class UndeletingRetrieve(Undeleting, RetrieveABC):
    """A retrieve plugin without a :meth:`delete_dataset`: it may hold several documents of a URI."""

    def other_uuids(self, uri: str, uuid: str, *known: str) -> frozenset[str]:
        """Return the UUIDs, other than the dataset's own, under which there may be documents of its URI.

        :param known: UUIDs that are known to have had the URI before
        """
        if _is_of_one_dataset(uri, uuid):
            return frozenset()
        try:
            noted = self.get_manifest(uri).get(UUIDS_NOTE, ())
        except UnknownURIError:
            noted = ()
        return frozenset({*known, *noted} - {uuid})

    def register_under(self, dataset_info: dict[str, Any], other_uuids: Collection[str]) -> None:
        """Store a dataset's document, and for each of *other_uuids* one that differs in UUID and base URI alone."""
        uuid, uri = dataset_info["uuid"], dataset_info["uri"]
        stays_behind = dataset_info["base_uri"] == DELETED and not _is_of_one_dataset(uri, uuid)
        if other_uuids or stays_behind:
            noted = {**dataset_info["manifest"], UUIDS_NOTE: sorted({uuid, *other_uuids})}
            dataset_info = {**dataset_info, "manifest": noted}
            for other in sorted(other_uuids):
                self.register_dataset({**dataset_info, "uuid": other, "base_uri": DELETED})
        self.register_dataset(dataset_info)


def _is_of_one_dataset(uri: str, uuid: str) -> bool:
    """Return whether the URI has the UUID in it, so that no other dataset had it before."""
    return uris.last_segment(uri) == uuid
