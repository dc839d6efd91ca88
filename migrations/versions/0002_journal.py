"""The journal of writes to stores outside of the SQL database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
long_bytes = sa.LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "journal_entry",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("uri", sa.String(1024), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("content", long_bytes, nullable=False),
    )
    op.create_index(
        "ix_journal_entry_uri",
        "journal_entry",
        ["uri"],
        mysql_length={"uri": 255},
        mariadb_length={"uri": 255},
    )
    op.create_table(
        "journal_piece",
        sa.Column(
            "entry_id", sa.String(32), sa.ForeignKey("journal_entry.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", long_bytes, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("journal_piece")
    op.drop_table("journal_entry")
