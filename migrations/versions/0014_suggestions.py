"""What names, tags, creators and words of the vocabulary are looked up by while somebody types; copies by base URI."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dservercore.dataset.analysis import completion_key

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

logger = logging.getLogger("dservercore.migrations")


def _text(length: int) -> sa.types.TypeEngine[str]:
    in_mysql = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(in_mysql, "mysql", "mariadb")
    )


_FILL_WORDS = """
UPDATE search_word_place SET word = (SELECT w.word FROM search_word w WHERE w.id = search_word_place.word_id)
WHERE word_id IN (SELECT id FROM search_word)
"""
_NAMES = sa.text("SELECT id, name FROM dataset WHERE id > :after ORDER BY id LIMIT 1000")
_FILL_NAMES = sa.text("UPDATE dataset SET folded_name = :folded WHERE id = :key")
_VALUES = sa.text("SELECT DISTINCT kind, value FROM summary_count WHERE kind IN ('creator', 'tag')")
_FILL_VALUES = sa.text(
    "UPDATE summary_count SET folded = :folded WHERE kind = :of_kind AND value = :of_value"
)
_ROWS_BETWEEN_LINES = 50_000


def upgrade() -> None:
    op.add_column("search_word_place", sa.Column("word", _text(64), nullable=False, server_default=""))
    op.execute(_FILL_WORDS)
    op.create_index("ix_search_word_place_base_uri_id_word", "search_word_place", ["base_uri_id", "word"])
    op.drop_index("ix_search_word_place_base_uri_id", "search_word_place")
    op.add_column("dataset", sa.Column("folded_name", _text(80), nullable=False, server_default=""))
    op.add_column("summary_count", sa.Column("folded", _text(80), nullable=False, server_default=""))
    if not op.get_context().as_sql:  # SQL alone cannot fold: then only what is registered again is suggested
        _fill(op.get_bind())
    op.create_index("ix_dataset_base_uri_id_folded_name", "dataset", ["base_uri_id", "folded_name"])
    op.create_index("ix_dataset_uuid_base_uri_id", "dataset", ["uuid", "base_uri_id"])
    op.drop_index("ix_dataset_uuid", "dataset")  # a beginning of ix_dataset_uuid_base_uri_id
    op.create_index(
        "ix_summary_count_kind_base_uri_id_folded", "summary_count", ["kind", "base_uri_id", "folded"]
    )


def _fill(connection: sa.Connection) -> None:
    values = [
        {"of_kind": kind, "of_value": value, "folded": completion_key(value)}
        for kind, value in connection.execute(_VALUES).all()
    ]
    if values:
        connection.execute(_FILL_VALUES, values)
    done, after = 0, -1
    while rows := connection.execute(_NAMES, {"after": after}).all():
        connection.execute(
            _FILL_NAMES, [{"key": row.id, "folded": completion_key(row.name or "")} for row in rows]
        )
        after, done = rows[-1].id, done + len(rows)
        if done % _ROWS_BETWEEN_LINES == 0:
            logger.info("Names can be completed: of %d datasets", done)


def downgrade() -> None:
    op.drop_index("ix_summary_count_kind_base_uri_id_folded", "summary_count")
    op.create_index("ix_dataset_uuid", "dataset", ["uuid"])
    op.drop_index("ix_dataset_uuid_base_uri_id", "dataset")
    # On MariaDB an index of a foreign key goes once there is another one.
    op.create_index("ix_search_word_place_base_uri_id", "search_word_place", ["base_uri_id"])
    op.drop_index("ix_search_word_place_base_uri_id_word", "search_word_place")
    op.drop_index("ix_dataset_base_uri_id_folded_name", "dataset")
    for table, column in (
        ("summary_count", "folded"),
        ("dataset", "folded_name"),
        ("search_word_place", "word"),
    ):
        op.drop_column(table, column)
