"""The words of the search index as they are spelled, and the numbers in annotations.

`flask db upgrade` fills both afterwards, as it puts datasets into the index again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

word = (
    sa.String(64)
    .with_variant(sa.String(64, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
)


def upgrade() -> None:
    op.create_table(
        "search_number",
        sa.Column(
            "dataset_id",
            sa.Integer,
            sa.ForeignKey("dataset.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("value", sa.Double(), primary_key=True),
    )
    op.create_index("ix_search_number_name_value", "search_number", ["name", "value"])
    op.create_table(
        "search_word",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("word", word, nullable=False, unique=True),
    )
    op.create_table(
        "search_word_place",
        sa.Column(
            "word_id",
            sa.Integer,
            sa.ForeignKey("search_word.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column(
            "base_uri_id",
            sa.Integer,
            sa.ForeignKey("base_uri.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_search_word_place_base_uri_id", "search_word_place", ["base_uri_id"])
    op.create_table(
        "search_deletion",
        sa.Column("deletion", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("word_id", sa.Integer, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("search_deletion", "search_word_place", "search_word", "search_number"):
        op.drop_table(table)
