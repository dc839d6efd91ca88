"""The tables of documents, and of the values in them that are found by an index."""

from __future__ import annotations

from sqlalchemy import Double, ForeignKey, Index, String, Text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import Mapped, mapped_column

from dservercore.db import sql_db

#: Characters at the beginning of a text that are in the index.
INDEXED_CHARACTERS = 100

_JSON = Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb").with_variant(postgresql.JSONB, "postgresql")
_EXACT = String(INDEXED_CHARACTERS).with_variant(String(INDEXED_CHARACTERS, collation="C"), "postgresql")


class QueryDocument(sql_db.Model):  # type: ignore[name-defined]
    """The document of a dataset, as JSON in the form of ``sql.encoding``."""

    __tablename__ = "query_document"
    __table_args__ = {"info": {"own_migrations": True}}

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    # All of it but the manifest.
    document: Mapped[str] = mapped_column(_JSON)
    # Apart, as it is large, and asked for seldom.
    manifest: Mapped[str] = mapped_column(_JSON)


class QueryIndex(sql_db.Model):  # type: ignore[name-defined]
    """A path whose values are found by an index."""

    __tablename__ = "query_index"
    __table_args__ = {"info": {"own_migrations": True}}

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(500), unique=True)
    # Whether the values of all datasets are in it; until then nothing is looked for in it.
    is_ready: Mapped[bool]


class QueryIndexValue(sql_db.Model):  # type: ignore[name-defined]
    """A value that an indexed path leads to in the document of a dataset, if it is a text, a number or a truth."""

    __tablename__ = "query_index_value"
    __table_args__ = (
        Index("ix_query_index_value_text", "index_id", "text", "dataset_id"),
        Index("ix_query_index_value_number", "index_id", "number", "dataset_id"),
        Index("ix_query_index_value_dataset_id", "dataset_id"),
        {"info": {"own_migrations": True}},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    index_id: Mapped[int] = mapped_column(ForeignKey("query_index.id", ondelete="CASCADE"))
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    # The beginning of a text, in the form of sql.encoding; NULL: it is no text.
    text: Mapped[str | None] = mapped_column(_EXACT)
    # A number as near as a floating-point number is, or 0 or 1 for a truth; NULL: it is neither.
    number: Mapped[float | None] = mapped_column(Double)
