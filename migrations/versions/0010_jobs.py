"""The queue of what is to be done later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
long_text = sa.Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb")
large_integer = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", large_integer, primary_key=True),
        sa.Column("kind", sa.String(128), nullable=False),
        sa.Column("payload", long_text, nullable=False),
        sa.Column("queued_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(32)),
        sa.Column("failed_at", moment),
        sa.Column("error", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_due_at", "job", ["failed_at", "due_at", "id"])


def downgrade() -> None:
    op.drop_table("job")
