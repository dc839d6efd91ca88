"""The two forms in which a write knows a dataset: its document, on the way into the stores, and what is registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dservercore.dataset import lacking
from dservercore.dataset.times import timestamp_to_datetime, utcnow
from dservercore.plugin_api import Former, PluginABC


@dataclass(frozen=True)
class Document:
    """The document of a dataset to register.

    :param info: as it was handed over; once accepted, as ``dataset.document.checked`` returns it, with ``uploaded_by``
        and ``uploaded_at``
    :param fingerprint: what its storage looked like, if it was read from there
    :param uploaded_at: naive UTC; None: nobody knows
    :param keeps_upload: whether ``uploaded_by`` and ``uploaded_at`` of an earlier registration stay
    :param prepared: what each plugin has made of it before the write, once it is accepted
    :param lacks: what its README lacks (see ``dataset.lacking``), once it is accepted; None: nobody knows
    """

    info: Mapping[str, Any]
    fingerprint: str | None = None
    uploaded_at: datetime | None = field(default_factory=utcnow)
    keeps_upload: bool = False
    prepared: Mapping[PluginABC, Any] = field(default_factory=dict)
    lacks: int | None = None

    @property
    def uri(self) -> str:
        """The URI; to be asked only once the document is accepted."""
        return str(self.info["uri"])

    @property
    def former(self) -> Former:
        """What plugins are told of it when its registration is undone; only of an accepted document."""
        return Former(
            self.info["uri"],
            self.info["uuid"],
            timestamp_to_datetime(self.info["frozen_at"]),
            timestamp_to_datetime(self.info["created_at"]),
            self.info["uploaded_at"],
        )

    def registered_in(self, base_uri_id: int) -> Registered:
        """Return the dataset as it will be registered; only of an accepted document."""
        info = self.info
        return Registered(
            id=None,
            base_uri_id=base_uri_id,
            uri=info["uri"],
            uuid=info["uuid"],
            creator_username=info["creator_username"],
            size_in_bytes=info["size_in_bytes"],
            uploaded_by=info["uploaded_by"],
            tags=tuple(info["tags"]),
            frozen_at=timestamp_to_datetime(info["frozen_at"]),
            created_at=timestamp_to_datetime(info["created_at"]),
            uploaded_at=info["uploaded_at"],
            number_of_items=info["number_of_items"],
            lacks=lacking.with_tags(self.lacks, bool(info["tags"])),
        )


@dataclass(frozen=True)
class Registered:
    """A dataset as its row and its tags have it.

    :param id: primary key of the row; None: of one that is about to be written
    :param base_uri_id: of the base URI that it is registered in, which need not be the parent of its URI
    :param size_in_bytes: None: nobody knows; it counts nothing in the summaries
    :param uploaded_by: None: nobody knows; it is counted for no uploader in the summaries
    :param number_of_items: None: nobody knows; it counts nothing in the summaries
    :param lacks: what its description lacks (see ``dataset.lacking``); None: nobody knows
    """

    id: int | None
    base_uri_id: int
    uri: str
    uuid: str
    creator_username: str
    size_in_bytes: int | None
    uploaded_by: str | None
    tags: tuple[str, ...]
    frozen_at: datetime
    created_at: datetime
    uploaded_at: datetime | None
    number_of_items: int | None
    lacks: int | None

    @classmethod
    def of(cls, row: Any, tags: Iterable[str]) -> Registered:
        """Return the dataset of a row, or of an ORM object, that has these attributes."""
        return cls(
            row.id,
            row.base_uri_id,
            row.uri,
            row.uuid,
            row.creator_username,
            row.size_in_bytes,
            row.uploaded_by,
            tuple(tags),
            row.frozen_at,
            row.created_at,
            row.uploaded_at,
            row.number_of_items,
            row.lacks,
        )

    def with_tags(self, tags: Iterable[str]) -> Registered:
        """Return the dataset with other tags."""
        wanted = tuple(tags)
        return replace(self, tags=wanted, lacks=lacking.with_tags(self.lacks, bool(wanted)))

    def with_readme(self, lacks: int) -> Registered:
        """Return the dataset with another README.

        :param lacks: what that lacks, as ``lacking.of_readme`` returns it
        """
        return replace(self, lacks=lacking.with_tags(lacks, bool(self.tags)))

    @property
    def former(self) -> Former:
        """What plugins are told of it when it is replaced or deleted."""
        return Former(self.uri, self.uuid, self.frozen_at, self.created_at, self.uploaded_at)
