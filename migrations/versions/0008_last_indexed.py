"""When each base URI was last indexed, and with what result."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("base_uri", sa.Column("last_indexed", sa.Text))


def downgrade() -> None:
    op.drop_column("base_uri", "last_indexed")
