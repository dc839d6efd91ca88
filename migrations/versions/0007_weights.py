"""On SQLite, how much the words of each dataset count for its relevance."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # It stays empty: 0011 makes it anew, and fills it.
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS search_index_weights USING fts5("
            "words, content='', detail='none', tokenize=\"ascii tokenchars '='\")"
        )


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TABLE IF EXISTS search_index_weights")
