"""On SQLite, how much the words of each dataset count for its relevance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dservercore.packing import unpack
from dservercore.plugins.sql.columns import WEIGHTS
from dservercore.plugins.sql.fts5_relevance import weight_tokens

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_DOCUMENTS = sa.text("SELECT dataset_id, tokens FROM search_document ORDER BY dataset_id")
_PUT_IN = sa.text("INSERT INTO search_index_weights (rowid, words) VALUES (:id, :words)")
_ROWS_AT_ONCE = 500


def upgrade() -> None:
    context = op.get_context()
    if context.dialect.name != "sqlite":
        return
    op.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS search_index_weights USING fts5("
        "words, content='', detail='none', tokenize=\"ascii tokenchars '='\")"
    )
    if context.as_sql:  # what is in a database is not known: `flask dataset check --repair` fills it then
        return
    connection = op.get_bind()
    for rows in connection.execute(_DOCUMENTS).partitions(_ROWS_AT_ONCE):
        connection.execute(_PUT_IN, [{"id": row.dataset_id, "words": _words(row.tokens)} for row in rows])


def _words(tokens: bytes) -> str:
    return weight_tokens(dict(zip(WEIGHTS, unpack(tokens).decode().split("\n"), strict=True)))


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TABLE IF EXISTS search_index_weights")
