"""Documents that are asked for what is in them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None


def upgrade():
    json = (
        sa.Text()
        .with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
        .with_variant(postgresql.JSONB(), "postgresql")
    )
    exact = sa.String(100).with_variant(sa.String(100, collation="C"), "postgresql")
    op.create_table(
        "query_document",
        sa.Column("dataset_id", sa.Integer, primary_key=True),
        sa.Column("document", json, nullable=False),
        sa.Column("manifest", json, nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "query_index",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.String(500), nullable=False, unique=True),
        sa.Column("is_ready", sa.Boolean, nullable=False),
    )
    op.create_table(
        "query_index_value",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("index_id", sa.Integer, nullable=False),
        sa.Column("dataset_id", sa.Integer, nullable=False),
        sa.Column("text", exact),
        sa.Column("number", sa.Double),
        sa.ForeignKeyConstraint(["index_id"], ["query_index.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_query_index_value_text", "query_index_value", ["index_id", "text", "dataset_id"])
    op.create_index("ix_query_index_value_number", "query_index_value", ["index_id", "number", "dataset_id"])
    op.create_index("ix_query_index_value_dataset_id", "query_index_value", ["dataset_id"])


def downgrade():
    op.drop_table("query_index_value")
    op.drop_table("query_index")
    op.drop_table("query_document")
