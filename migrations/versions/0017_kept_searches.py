"""Searches that users have named."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
name = (
    sa.String(80)
    .with_variant(sa.String(80, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(80, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
)


def upgrade() -> None:
    op.create_table(
        "kept_search",
        sa.Column("id", number, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", name, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("user_id", "name", name="uq_kept_search_name"),
    )


def downgrade() -> None:
    op.drop_table("kept_search")
