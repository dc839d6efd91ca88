"""Who did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
long_text = sa.Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb")
large_integer = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", large_integer, primary_key=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("actor", sa.String(255)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(1024)),
        sa.Column("base_uri", sa.String(1024)),
        sa.Column("details", long_text, nullable=False),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128)),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_at", "audit", ["at", "id"])
    for name in ("actor", "action"):
        op.create_index(f"ix_audit_{name}", "audit", [name, "at", "id"])
    for name in ("subject", "base_uri"):
        op.create_index(
            f"ix_audit_{name}",
            "audit",
            [name, "at", "id"],
            mysql_length={name: 255},
            mariadb_length={name: 255},
        )


def downgrade() -> None:
    op.drop_table("audit")
