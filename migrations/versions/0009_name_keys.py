"""What the names of users are without the difference of upper and lower case, so that no two are told apart by it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dservercore.db.usernames import KEY_LENGTH, key_of

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# In a table that the original server made, MariaDB may compare texts otherwise.
name_key = sa.String(KEY_LENGTH).with_variant(
    mysql.VARCHAR(KEY_LENGTH, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
)
user = sa.table("user", sa.column("id"), sa.column("username"), sa.column("name_key"))

_ROWS_AT_ONCE = 500


def upgrade() -> None:
    op.add_column("user", sa.Column("name_key", name_key))
    if not op.get_context().as_sql:  # a name without a key is looked at one by one
        _fill(op.get_bind())
    op.create_index("ix_user_name_key", "user", ["name_key"], unique=True)


def _fill(connection: sa.Connection) -> None:
    """Give each user the key of the name, and none to one whose name differs from an earlier one by case alone."""
    rows: dict[str, int] = {}
    for key, username in connection.execute(sa.select(user.c.id, user.c.username).order_by(user.c.id)):
        rows.setdefault(key_of(username), key)
    values = [{"key": key, "name": name} for name, key in rows.items()]
    change = user.update().where(user.c.id == sa.bindparam("key")).values(name_key=sa.bindparam("name"))
    for start in range(0, len(values), _ROWS_AT_ONCE):
        connection.execute(change, values[start : start + _ROWS_AT_ONCE])


def downgrade() -> None:
    op.drop_index("ix_user_name_key", "user")
    op.drop_column("user", "name_key")
