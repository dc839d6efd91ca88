"""Runs the migrations against the database of the current Flask application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from flask import current_app
from sqlalchemy import Connection

from dservercore.models import CORE_TABLES, SEARCH_INDEX

# A lock of the server, by a name (on PostgreSQL a number) of ours, that belongs to the connection.
_POSTGRESQL = ("SELECT pg_advisory_lock(3845112704)", "SELECT pg_advisory_unlock(3845112704)")
_MARIADB = (
    "SELECT GET_LOCK(CONCAT('dservercore ', MD5(DATABASE())), 86400)",
    "SELECT RELEASE_LOCK(CONCAT('dservercore ', MD5(DATABASE())))",
)
LOCKS = {"postgresql": _POSTGRESQL, "mysql": _MARIADB, "mariadb": _MARIADB}

database = current_app.extensions["migrate"].db
# Of an extension, whose migrations have a history of their own; None: these are those of the server.
version_table = context.config.attributes.get("version_table")


def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _compare_to: object) -> bool:
    """Leave out the tables of the search index, which are of one kind of database: no model describes them.

    And those of extensions, whether they are installed at the moment or not: the migrations know nothing of them.
    """
    if kind != "table" or not name:
        return True
    return name in CORE_TABLES and not name.startswith(SEARCH_INDEX)


def run_offline() -> None:
    """Print the SQL instead of running it (``flask db upgrade --sql``)."""
    url = database.engine.url.render_as_string(hide_password=False)
    context.configure(
        url=url,
        target_metadata=database.metadata,
        literal_binds=True,
        version_table=version_table or "alembic_version",
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run each migration in a transaction of its own, where the database can do that."""
    with database.engine.connect() as connection, held_alone(connection):
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            include_object=is_ours,
            transaction_per_migration=True,
            version_table=version_table or "alembic_version",
            **current_app.extensions["migrate"].configure_args,
        )
        if version_table is None:
            # Before the lock, somebody else may have been in the middle of them.
            current_app.extensions["dservercore-revision-before"] = (
                context.get_context().get_current_revision()
            )
        with context.begin_transaction():
            context.run_migrations()


@contextmanager
def held_alone(connection: Connection) -> Iterator[None]:
    """Let whoever upgrades the same database at this moment wait, and find it upgraded."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one transaction for all of it
        yield
        connection.commit()
        return
    take, give_back = LOCKS[connection.dialect.name]
    connection.exec_driver_sql(take)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql(give_back)
        connection.commit()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
