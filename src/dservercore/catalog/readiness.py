"""Whether the server can serve."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from alembic.runtime.migration import MigrationContext
from flask import Flask, current_app
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dservercore import db, plugin_host
from dservercore.db import newest_revision, rollback, sql_db
from dservercore.errors import ConfigurationError
from dservercore.models import BaseURI, Dataset, User
from dservercore.plugin_api import PluginABC

AWAY = "the database cannot be reached"
OLD = "the database is not up to date: run `flask db upgrade`"
INCOMPLETE = "the database lacks a table that it should have: `flask restore` brings back a backup"

logger = logging.getLogger(__name__)


def check() -> dict[str, str]:
    """Return, by ``sql``, ``search`` and ``retrieve``, ``ok`` or what is wrong, without addresses or secrets.

    Stores are asked at the same time, because one that is away is waited for; plugins that keep theirs in the SQL
    database are not asked if that is away.
    """
    held = plugin_host.plugins()
    plugins = {"search": held.search, "retrieve": held.retrieve}
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(len(plugins)) as pool:
        asked = {
            name: pool.submit(_plugin_of, app, plugin)
            for name, plugin in plugins.items()
            if not plugin.shares_sql_session
        }
        sql = _sql()
        here = {
            name: _plugin(plugin) if sql == "ok" else sql
            for name, plugin in plugins.items()
            if name not in asked
        }
        answers = here | {name: answer.result() for name, answer in asked.items()}
    return {"sql": sql, **{name: answers[name] for name in plugins}}


def _sql() -> str:
    try:
        connection = sql_db.session.connection()
        revision = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        logger.warning("Not ready: %s", error)
        return AWAY
    if revision not in (None, newest_revision()):
        return OLD
    try:
        if revision is not None and db.branches_behind():
            return OLD
        for table in (User, BaseURI, Dataset):
            sql_db.session.execute(select(table.id).limit(1))
    except ConfigurationError as error:
        logger.warning("Not ready: %s", error.message)
        return OLD
    except SQLAlchemyError as error:
        logger.warning("Not ready: %s", db.reason(error) if isinstance(error, DBAPIError) else error)
        rollback()
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return AWAY
        return OLD if revision is None else INCOMPLETE
    return "ok"


def _plugin_of(app: Flask, plugin: PluginABC) -> str:
    with app.app_context():
        return _plugin(plugin)


def _plugin(plugin: PluginABC) -> str:
    try:
        return plugin.ready() or "ok"
    except Exception:
        logger.warning("Not ready: %s", type(plugin).__name__, exc_info=True)
        return "the plugin failed"
