"""Datasets that are to be looked at, and what each bucket has sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_DATE_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_BIG_INTEGER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "notification_dataset",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("events", _BIG_INTEGER, nullable=False),
        sa.Column("noted_at", _DATE_TIME, nullable=False),
        sa.Column("is_removal", sa.Boolean, nullable=False),
        sa.Column("is_permitted", sa.Boolean, nullable=False),
        sa.Column("job_id", _BIG_INTEGER),
        sa.Column("held", sa.Text),
    )
    op.create_table(
        "notification_bucket",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("bucket", sa.String(255), nullable=False),
        sa.Column("events", _BIG_INTEGER, nullable=False),
        sa.Column("received_at", _DATE_TIME, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("notification_bucket")
    op.drop_table("notification_dataset")
