"""The settings of the extension ``graph``."""

from __future__ import annotations

from dservercore.plugins.graph.keys import parse_keys
from dservercore.settings.parsers import parse_bool
from dservercore.settings.table import Setting

#: Where dtool's own programs and its users name what a dataset was made from.
DEFAULT_KEYS = ["readme.derived_from.uuid", "annotations.source_dataset_uuid"]

KEYS, ENABLED, DYNAMIC = (
    "DSERVER_DEPENDENCY_KEYS",
    "DSERVER_ENABLE_DEPENDENCY_VIEW",
    "DSERVER_DYNAMIC_DEPENDENCY_KEYS",
)

_NO_EFFECT = "Without effect, so that settings of a server on MongoDB can stay."

SETTINGS = [
    Setting(
        KEYS,
        DEFAULT_KEYS,
        "Where READMEs and annotations name the datasets that a dataset was made from: a JSON list, or one key.",
        parse_keys,
    ),
    Setting(ENABLED, True, "Answer what datasets are connected; without, there are none.", parse_bool),
    Setting(
        DYNAMIC,
        True,
        "Let requests name keys of their own, and keep the UUIDs that stand under any key.",
        parse_bool,
    ),
    Setting(
        "DSERVER_FORCE_REBUILD_DEPENDENCY_VIEW",
        False,
        "Without effect: edges are kept with each write, and derived again by `flask graph rebuild`.",
        parse_bool,
    ),
    Setting("DSERVER_MONGO_DEPENDENCY_VIEW_PREFIX", "dep:", _NO_EFFECT),
    Setting("DSERVER_MONGO_DEPENDENCY_VIEW_BOOKKEEPING", "dep_views", _NO_EFFECT),
    Setting("DSERVER_MONGO_DEPENDENCY_VIEW_CACHE_SIZE", "10", _NO_EFFECT),
]
