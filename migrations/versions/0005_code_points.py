"""On PostgreSQL, lists are sorted by code point, as on other databases, whatever language the database sorts by."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SORTED = {
    "user": {"username": 64},
    "base_uri": {"base_uri": 1024},
    "dataset": {"uri": 1024, "uuid": 36, "name": 80, "creator_username": 255, "uploaded_by": 255},
}


def upgrade() -> None:
    _collate("C")


def downgrade() -> None:
    _collate("default")


def _collate(collation: str) -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for table, columns in SORTED.items():
        # In one statement for each table, which makes its indexes anew once.
        changes = [
            f'ALTER COLUMN {column} TYPE varchar({length}) COLLATE "{collation}"'
            for column, length in columns.items()
        ]
        op.execute(f'ALTER TABLE "{table}" {", ".join(changes)}')
        op.execute(f'ANALYZE "{table}"')  # what was known of the columns' contents is forgotten
