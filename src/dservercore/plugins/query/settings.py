"""The settings of the extension ``query``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dservercore.plugins.mongo.defaults import DEFAULTS
from dservercore.settings.parsers import parse_bool, parse_number
from dservercore.settings.table import Setting

#: The settings that say where documents are kept in MongoDB, which may have passwords in them.
MONGO_SETTINGS = ("DSERVER_MONGO_URI", "DSERVER_MONGO_DB", "DSERVER_MONGO_COLLECTION")

SETTINGS: list[Setting] = [
    Setting(
        "DSERVER_ALLOW_DIRECT_QUERY", True, "Answer structured queries; otherwise they get a 404.", parse_bool
    ),
    Setting(
        "DSERVER_ALLOW_DIRECT_AGGREGATION",
        False,
        "Answer aggregations of structured queries, too; otherwise they get a 404.",
        parse_bool,
    ),
    Setting(
        "DSERVER_DIRECT_QUERIES_AT_ONCE",
        2,
        "Structured queries and aggregations that each process answers at the same time, of its"
        " `DSERVER_THREADS`: of one user, or of all visitors, one less. One more waits, and others get a 503.",
        parse_number,
    ),
    Setting(
        "DSERVER_MONGO_URI",
        "",
        "MongoDB server that answers structured queries; empty: that of the retrieve plugin `mongo`, where that is in"
        " use, and otherwise the SQL database answers them.",
    ),
    Setting(
        "DSERVER_MONGO_DB", DEFAULTS["DB"], "Database of the documents of structured queries in MongoDB."
    ),
    Setting(
        "DSERVER_MONGO_COLLECTION",
        DEFAULTS["COLLECTION"],
        "Collection of these documents; where that of the search or retrieve plugin has this name, `_direct` is added.",
    ),
]


def uses_mongo(config: Mapping[str, Any]) -> bool:
    """Return whether MongoDB answers the queries."""
    return bool(config.get("DSERVER_MONGO_URI")) or config.get("DSERVER_RETRIEVE_PLUGIN") == "mongo"
