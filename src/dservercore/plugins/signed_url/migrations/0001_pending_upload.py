"""The uploads that are pending; those of the original server stay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None

#: The columns that the table of the original server has, too.
_OF_ORIGINAL = ("uuid", "uri", "base_uri", "name", "creator_username", "created_at", "frozen_at", "manifest")
_NEW = "new_pending_upload"


def upgrade() -> None:
    """Make the table, and move the rows into it of one that is there."""
    is_there = not context.is_offline_mode() and sa.inspect(op.get_bind()).has_table("pending_upload")
    _create(_NEW if is_there else "pending_upload")
    if is_there:
        columns = ", ".join(_OF_ORIGINAL)
        # Whatever the original server leaves empty or has twice is no upload that can be completed.
        wanted = " AND ".join(f"{name} IS NOT NULL" for name in _OF_ORIGINAL)
        op.execute(f"INSERT INTO {_NEW} ({columns}) SELECT {columns} FROM pending_upload WHERE {wanted}")
        op.drop_table("pending_upload")
        op.rename_table(_NEW, "pending_upload")
    for column in ("uri", "base_uri"):
        op.create_index(
            f"ix_pending_upload_{column}",
            "pending_upload",
            [column],
            mysql_length={column: 255},
            mariadb_length={column: 255},
        )


def _create(name: str) -> None:
    op.create_table(
        name,
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("uri", sa.String(1024), nullable=False),
        sa.Column("base_uri", sa.String(1024), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("creator_username", sa.String(255), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("frozen_at", sa.Double, nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("description", sa.JSON),
        sa.Column("digest", sa.String(64)),
        sa.Column("username", sa.String(64)),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("pending_upload")
