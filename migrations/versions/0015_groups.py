"""Groups of users, and what they are granted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

name = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
key = sa.String(192).with_variant(
    mysql.VARCHAR(192, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    op.create_table(
        "user_group",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", name, nullable=False),
        sa.Column("name_key", key, nullable=False),
    )
    op.create_index("ix_user_group_name", "user_group", ["name"], unique=True)
    op.create_index("ix_user_group_name_key", "user_group", ["name_key"], unique=True)
    _create_pairs("group_member", "user_id", "user.id")
    _create_pairs("group_search_permissions", "base_uri_id", "base_uri.id")
    _create_pairs("group_register_permissions", "base_uri_id", "base_uri.id")


def _create_pairs(table: str, column: str, refers_to: str) -> None:
    op.create_table(
        table,
        sa.Column(
            "group_id", sa.Integer, sa.ForeignKey("user_group.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column(column, sa.Integer, sa.ForeignKey(refers_to, ondelete="CASCADE"), primary_key=True),
    )
    op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table in ("group_register_permissions", "group_search_permissions", "group_member", "user_group"):
        op.drop_table(table)
