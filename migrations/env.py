"""Runs the migrations against the database of the current Flask application."""

from __future__ import annotations

from alembic import context
from flask import current_app

from dservercore.models import SEARCH_INDEX

database = current_app.extensions["migrate"].db


def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _compare_to: object) -> bool:
    """Leave out the tables of the search index, which are of one kind of database: no model describes them."""
    return not (kind == "table" and name and name.startswith(SEARCH_INDEX))


def run_offline() -> None:
    """Print the SQL instead of running it (``flask db upgrade --sql``)."""
    url = database.engine.url.render_as_string(hide_password=False)
    context.configure(url=url, target_metadata=database.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run each migration in a transaction of its own, where the database can do that."""
    with database.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            include_object=is_ours,
            transaction_per_migration=True,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
