"""The tables of the extension, which its migrations make."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from dservercore.db import sql_db

_OWN: dict[str, Any] = {"info": {"own_migrations": True}, "sqlite_with_rowid": False}


def _uuid(primary_key: bool = False) -> Mapped[str]:
    # As that of a dataset, with which it is compared.
    return mapped_column(
        String(36).with_variant(String(36, collation="C"), "postgresql"), primary_key=primary_key
    )


class GraphEdge(sql_db.Model):  # type: ignore[name-defined]
    """That one copy of a dataset names the UUID of another dataset.

    The UUID and the base URI of the copy stand here, too, so that a walk through what somebody may search reads an
    index alone.
    """

    __tablename__ = "graph_edge"
    __table_args__ = (
        Index("ix_graph_edge_uuid", "uuid", "base_uri_id", "key_number", "parent"),
        Index("ix_graph_edge_parent", "parent", "base_uri_id", "key_number", "uuid"),
        _OWN,
    )

    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    # UUID of the dataset that is named; it need not be registered.
    parent: Mapped[str] = _uuid(primary_key=True)
    # The dependency key under which it is named (keys.number_of).
    key_number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    uuid: Mapped[str] = _uuid()
    base_uri_id: Mapped[int] = mapped_column(Integer)


class GraphDataset(sql_db.Model):  # type: ignore[name-defined]
    """A dataset whose edges are in the table, if it has any."""

    __tablename__ = "graph_dataset"
    __table_args__ = (Index("ix_graph_dataset_keys_number", "keys_number"), _OWN)

    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    # The keys whose UUIDs are kept: keys.EVERY_KEY, or keys.number_of_all of those that were configured.
    keys_number: Mapped[int] = mapped_column(BigInteger)
