"""The tables as they are at first.

A database that the original server made has some of these tables already; they are kept with their rows,
and get the columns and indexes that they lack.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
long_text = sa.Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb")
long_bytes = sa.LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb")
# An index of MariaDB has no room for 1024 characters of up to four bytes each.
uri = sa.String(1024).with_variant(mysql.VARBINARY(2560), "mysql", "mariadb")
large_integer = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    administration()
    datasets()
    figures()
    documents()


def administration() -> None:
    """Users, base URIs, and who may do what where."""
    make_table(
        "user",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(255)),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        unique=["username"],
    )
    make_table(
        "base_uri",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("base_uri", uri, nullable=False),
        unique=["base_uri"],
    )
    for name in ("search_permissions", "register_permissions"):
        make_table(
            name,
            sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
            sa.Column(
                "base_uri_id", sa.Integer, sa.ForeignKey("base_uri.id", ondelete="CASCADE"), primary_key=True
            ),
            indexed=["base_uri_id"],
        )


def datasets() -> None:
    """One row per dataset, and its tags."""
    make_table(
        "dataset",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("base_uri_id", sa.Integer, sa.ForeignKey("base_uri.id"), nullable=False),
        sa.Column("uri", uri, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("creator_username", sa.String(255), nullable=False),
        sa.Column("frozen_at", moment, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("number_of_items", large_integer),
        sa.Column("size_in_bytes", sa.BigInteger),
        sa.Column("uploaded_by", sa.String(255)),
        sa.Column("uploaded_at", moment),
        sa.Column("fingerprint", sa.String(64)),
        unique=["uri"],
        indexed=["uuid", "name", "creator_username", "uploaded_by"],
    )
    if "ix_dataset_base_uri_id_uri" not in indexes_of("dataset"):
        op.create_index("ix_dataset_base_uri_id_uri", "dataset", ["base_uri_id", "uri"])
    make_table(
        "dataset_tag",
        sa.Column(
            "dataset_id", sa.Integer, sa.ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("tag", sa.String(80), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        indexed=["tag"],
    )


def figures() -> None:
    """What the summaries add up."""
    make_table(
        "summary_count",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("value", sa.String(255), primary_key=True),
        sa.Column(
            "base_uri_id", sa.Integer, sa.ForeignKey("base_uri.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("datasets", large_integer, nullable=False),
        sa.Column("size_high", sa.BigInteger, nullable=False),
        sa.Column("size_low", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def documents() -> None:
    """What the bundled search and retrieve plugins keep."""
    make_table(
        "dataset_document",
        sa.Column(
            "dataset_id", sa.Integer, sa.ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("readme", long_text, nullable=False),
        sa.Column("annotations", long_text, nullable=False),
        sa.Column("manifest", long_bytes, nullable=False),
    )
    make_table(
        "search_document",
        sa.Column("dataset_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tokens", long_bytes, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS search_index USING fts5("
            "name, tags, lead, readme, annotations, rest, facets, content='', "
            "tokenize=\"ascii tokenchars '_=|'\")"
        )


def make_table(
    name: str,
    *columns: sa.Column,
    unique: list[str] | None = None,
    indexed: list[str] | None = None,
    **options: object,
) -> None:
    """Create a table, or complete one that is there, with an index of its own for each column named."""
    if name not in tables():
        op.create_table(name, *columns, **options)
    else:
        there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(name)}
        for column in columns:
            if column.name not in there:
                op.add_column(name, column)
    for column_name in [*(unique or []), *(indexed or [])]:
        index = f"ix_{name}_{column_name}"
        if index not in indexes_of(name):
            op.create_index(index, name, [column_name], unique=column_name in (unique or []))


def tables() -> set[str]:
    # `flask db upgrade --sql` prints what a new database needs: there is none to look at.
    return set() if context.is_offline_mode() else set(sa.inspect(op.get_bind()).get_table_names())


def indexes_of(name: str) -> set[str | None]:
    if context.is_offline_mode():
        return set()
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name)}


def downgrade() -> None:
    """Remove everything."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE IF EXISTS search_index")
    for name in (
        "search_document",
        "dataset_document",
        "summary_count",
        "dataset_tag",
        "dataset",
        "register_permissions",
        "search_permissions",
        "base_uri",
        "user",
    ):
        op.drop_table(name)
