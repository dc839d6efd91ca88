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
from dservercore.models import Dataset
from dservercore.plugin_api import PluginABC

AWAY = "the database cannot be reached"
OLD = "the database is not up to date: run `flask db upgrade`"

logger = logging.getLogger(__name__)


def check() -> dict[str, str]:
    """Return ``ok``, or what is wrong without addresses or secrets, for ``sql``, ``search`` and ``retrieve``.

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
            if not getattr(plugin, "shares_sql_session", False)
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
        sql_db.session.execute(select(Dataset.id).limit(1))
    except SQLAlchemyError as error:
        logger.warning("Not ready: %s", db.reason(error) if isinstance(error, DBAPIError) else error)
        rollback()
        return AWAY if isinstance(error, DBAPIError) and error.connection_invalidated else OLD
    return "ok"


def _plugin_of(app: Flask, plugin: PluginABC) -> str:
    with app.app_context():
        return _plugin(plugin)


def _plugin(plugin: PluginABC) -> str:
    # A plugin written before there was such a question has nothing to say to it.
    ask = getattr(plugin, "ready", None)
    try:
        return (ask() if ask else None) or "ok"
    except Exception:
        logger.warning("Not ready: %s", type(plugin).__name__, exc_info=True)
        return "the plugin failed"
