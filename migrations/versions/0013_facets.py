"""What datasets are counted under in facets that follow a query.

`flask db upgrade` fills it afterwards, as it puts datasets into the index again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

long_text = sa.Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "search_facet",
        sa.Column("dataset_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("facet_groups", long_text, nullable=False),
    )
    op.create_table(
        "search_facet_group",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(32), nullable=False, unique=True),
        sa.Column(
            "base_uri_id", sa.Integer, sa.ForeignKey("base_uri.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("facets", sa.Text, nullable=False),
        sa.Column("datasets", sa.Integer, nullable=False),
    )
    op.create_index("ix_search_facet_group_base_uri_id", "search_facet_group", ["base_uri_id"])
    op.create_table(
        "search_facet_value",
        sa.Column("facet", sa.String(32), primary_key=True),
        sa.Column("value", long_text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE search_index ADD COLUMN facet_groups text")
        op.execute("ALTER TABLE search_index ALTER COLUMN facet_groups SET STORAGE MAIN")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE search_index DROP COLUMN facet_groups")
    for table in ("search_facet_value", "search_facet_group", "search_facet"):
        op.drop_table(table)
