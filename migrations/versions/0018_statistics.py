"""What storage costs, what descriptions lack, and figures for months, items and what is lacking.

What descriptions lack is in READMEs, which may be anywhere: `flask db upgrade` reads them afterwards.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_MONTH = {
    "sqlite": "substr(frozen_at, 1, 7)",
    "postgresql": "to_char(frozen_at, 'YYYY-MM')",
    "mysql": "date_format(frozen_at, '%Y-%m')",
}
_COUNT = """
INSERT INTO summary_count (kind, value, base_uri_id, datasets, size_high, size_low, folded)
SELECT '{kind}', named, base_uri_id, count(*), sum({high}), sum({low}), ''
FROM (SELECT {named} AS named, base_uri_id, {number} AS number FROM dataset) counted
WHERE number >= 0 GROUP BY named, base_uri_id
"""


def upgrade() -> None:
    op.add_column("base_uri", sa.Column("price_per_tb", sa.String(24)))
    op.add_column("base_uri", sa.Column("currency", sa.String(3)))
    op.add_column("dataset", sa.Column("lacks", sa.SmallInteger))
    op.create_index("ix_dataset_lacks_base_uri_id", "dataset", ["lacks", "base_uri_id"])
    dialect = op.get_context().dialect.name
    month = _MONTH.get(dialect, _MONTH["mysql"])
    _count("month", month, "coalesce(size_in_bytes, 0)", dialect)
    _count("-unread", "creator_username", "coalesce(size_in_bytes, 0)", dialect)
    _count("items", "''", "nullif(number_of_items, 0)", dialect)


def _count(kind: str, named: str, number: str, dialect: str) -> None:
    divided, rest = {
        "sqlite": ("number / 4294967296", "number % 4294967296"),
        "postgresql": ("number / 4294967296", "mod(number, 4294967296)"),
    }.get(dialect, ("number DIV 4294967296", "mod(number, 4294967296)"))
    # As text: a percent sign is no parameter.
    op.execute(sa.text(_COUNT.format(kind=kind, named=named, number=number, high=divided, low=rest)))


def downgrade() -> None:
    op.execute("DELETE FROM summary_count WHERE kind NOT IN ('base_uri', 'creator', 'tag', 'uploader')")
    op.drop_index("ix_dataset_lacks_base_uri_id", "dataset")
    op.drop_column("dataset", "lacks")
    op.drop_column("base_uri", "currency")
    op.drop_column("base_uri", "price_per_tb")
