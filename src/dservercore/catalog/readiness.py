"""Whether the server can serve."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dservercore import db, plugin_host
from dservercore.db import sql_db
from dservercore.models import Dataset
from dservercore.plugin_api import PluginABC

logger = logging.getLogger(__name__)


def check() -> dict[str, str]:
    """Return ``ok``, or what is wrong without addresses or secrets, for ``sql``, ``search`` and ``retrieve``."""
    held = plugin_host.plugins()
    return {"sql": _sql(), "search": _plugin(held.search), "retrieve": _plugin(held.retrieve)}


def _sql() -> str:
    try:
        sql_db.session.execute(select(Dataset.id).limit(1))
    except SQLAlchemyError as error:
        logger.warning("Not ready: %s", db.reason(error) if isinstance(error, DBAPIError) else error)
        return "the database cannot be reached, or needs `flask db upgrade`"
    return "ok"


def _plugin(plugin: PluginABC) -> str:
    # A plugin written before there was such a question has nothing to say to it.
    ask = getattr(plugin, "ready", None)
    try:
        return (ask() if ask else None) or "ok"
    except Exception:
        logger.warning("Not ready: %s", type(plugin).__name__, exc_info=True)
        return "the plugin failed"
