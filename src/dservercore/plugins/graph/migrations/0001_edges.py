"""Edges between datasets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

UUID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "graph_edge",
        sa.Column(
            "dataset_id",
            sa.Integer,
            sa.ForeignKey("dataset.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("parent", UUID, primary_key=True),
        sa.Column("key_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("uuid", UUID, nullable=False),
        sa.Column("base_uri_id", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_graph_edge_uuid", "graph_edge", ["uuid", "base_uri_id", "key_number", "parent"])
    op.create_index("ix_graph_edge_parent", "graph_edge", ["parent", "base_uri_id", "key_number", "uuid"])
    op.create_table(
        "graph_dataset",
        sa.Column(
            "dataset_id",
            sa.Integer,
            sa.ForeignKey("dataset.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("keys_number", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_graph_dataset_keys_number", "graph_dataset", ["keys_number"])


def downgrade() -> None:
    op.drop_table("graph_dataset")
    op.drop_table("graph_edge")
