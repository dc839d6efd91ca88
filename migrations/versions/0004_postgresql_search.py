"""The search index on PostgreSQL."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS search_index (
          dataset_id integer PRIMARY KEY REFERENCES dataset (id) ON DELETE CASCADE,
          base_uri_id integer NOT NULL,
          uri text COLLATE "C" NOT NULL,
          texts text NOT NULL,
          words tsvector NOT NULL
        ) WITH (toast_tuple_target = 128)
        """
    )
    op.execute("ALTER TABLE search_index ALTER COLUMN uri SET STORAGE PLAIN")
    op.execute(
        "CREATE INDEX IF NOT EXISTS ix_search_index_words ON search_index USING gin (words)"
        " WITH (gin_pending_list_limit = 512)"
    )
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS search_index_part (
          dataset_id integer REFERENCES dataset (id) ON DELETE CASCADE,
          number integer,
          words tsvector NOT NULL,
          PRIMARY KEY (dataset_id, number)
        )
        """
    )
    op.execute("CREATE INDEX IF NOT EXISTS ix_search_index_part_words ON search_index_part USING gin (words)")
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS search_index_weights (
          dataset_id integer PRIMARY KEY REFERENCES dataset (id) ON DELETE CASCADE,
          weights bytea NOT NULL
        )
        """
    )
    op.execute("ALTER TABLE search_index_weights ALTER COLUMN weights SET STORAGE PLAIN")


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP TABLE IF EXISTS search_index, search_index_part, search_index_weights")
