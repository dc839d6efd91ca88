"""Which user names have been registered, and from when on a name that was registered again may have tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


names = sa.table("registered_name", sa.column("username"))
user = sa.table("user", sa.column("username"))
audit = sa.table("audit", sa.column("action"), sa.column("subject"))


def upgrade() -> None:
    # Where a backup of an earlier revision was restored, it is there, with the row that says so.
    if op.get_context().as_sql or not sa.inspect(op.get_bind()).has_table("registered_name"):
        op.create_table(
            "registered_name",
            sa.Column("username", sa.String(64), primary_key=True),
            sa.Column("deleted_at", sa.BigInteger),
        )
    op.add_column("user", sa.Column("tokens_since", sa.BigInteger))
    # Who is there keeps all tokens. Of those who were deleted, the names are known as far as the record goes.
    deleted = sa.select(audit.c.subject).where(
        audit.c.action == "user.delete",
        sa.func.char_length(audit.c.subject) <= 64,
        audit.c.subject.not_in(sa.select(names.c.username)),
    )
    op.execute(
        names.insert().from_select(["username"], sa.select(user.c.username).where(user.c.username != ""))
    )
    op.execute(names.insert().from_select(["username"], deleted.distinct()))


def downgrade() -> None:
    op.drop_column("user", "tokens_since")
    op.drop_table("registered_name")
