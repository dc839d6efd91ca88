"""Signing in, tokens for programs, and base URIs that are public."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
folded_text = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
)
long_text = sa.Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("base_uri", sa.Column("public", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("user", sa.Column("password_hash", sa.String(255)))
    op.add_column("user", sa.Column("is_service", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("user", sa.Column("source", sa.String(64)))
    op.add_column("user", sa.Column("source_key", folded_text))
    op.create_index("ix_user_source", "user", ["source", "source_key"], unique=True)
    op.add_column("audit", sa.Column("credential", sa.String(64)))
    op.add_column("group_member", sa.Column("source", sa.String(64)))
    _create_secrets(
        "personal_token",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("may", sa.String(32), nullable=False),
        sa.Column("base_uris", long_text),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    _create_secrets(
        "browser_session",
        sa.Column("means", sa.String(64), nullable=False),
        sa.Column("last_used_at", sa.BigInteger, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(255), nullable=False),
        sa.Column("id_token", sa.Text),
        sqlite_autoincrement=True,
    )
    _create_secrets("login_link", sa.Column("expires_at", sa.BigInteger, nullable=False))
    op.create_table(
        "sign_in_attempt",
        sa.Column("id", number, primary_key=True),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("has_succeeded", sa.Boolean, nullable=False),
    )
    op.create_index("ix_sign_in_attempt_name_key", "sign_in_attempt", ["name_key", "at"])
    op.create_index("ix_sign_in_attempt_address", "sign_in_attempt", ["address", "at"])
    op.create_index("ix_sign_in_attempt_at", "sign_in_attempt", ["at"])
    op.create_table(
        "spent_sign_in",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("spent_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_spent_sign_in_spent_at", "spent_sign_in", ["spent_at"])


def _create_secrets(table: str, *columns: sa.Column, **options: bool) -> None:
    """Create a table of secrets of users, each kept as its digest."""
    op.create_table(
        table,
        sa.Column("id", number, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        *columns,
        **options,
    )
    op.create_index(f"ix_{table}_user_id", table, ["user_id"])
    op.create_index(f"ix_{table}_digest", table, ["digest"], unique=True)


def downgrade() -> None:
    for table in ("spent_sign_in", "sign_in_attempt", "login_link", "browser_session", "personal_token"):
        op.drop_table(table)
    op.drop_column("audit", "credential")
    op.drop_column("group_member", "source")
    op.drop_index("ix_user_source", "user")
    for column in ("source_key", "source", "is_service", "password_hash"):
        op.drop_column("user", column)
    op.drop_column("base_uri", "public")
