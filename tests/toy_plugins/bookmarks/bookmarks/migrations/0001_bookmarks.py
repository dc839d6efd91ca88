"""Bookmarks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "bookmark",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("username", sa.String(64)),
        sa.Column("uri", sa.String(1024), nullable=False),
    )


def downgrade():
    op.drop_table("bookmark")
