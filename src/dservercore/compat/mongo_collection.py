"""Keeps the MongoDB collection of the published extensions apart from those of the search and retrieve plugins.

By their defaults all of them would use one collection, in which an extension overwrites the documents of search and
retrieve with its own, whose READMEs are no text any more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

# The setting of an extension: the variable from which the extension reads it, and its default there.
_READ_FROM = {
    "MONGO_URI": ("DSERVER_MONGO_URI", "mongodb://localhost:27017/"),
    "MONGO_DB": ("DSERVER_MONGO_DB", "dtool_info"),
    "MONGO_COLLECTION": ("DSERVER_MONGO_COLLECTION", "datasets"),
}
_VARIABLE, _ = _READ_FROM["MONGO_COLLECTION"]
_DEFAULT_PORT = ":27017"

Place = tuple[frozenset[str], str, str]  # hosts, database, collection


@contextmanager
def kept_apart(config: MutableMapping[str, Any]) -> Iterator[None]:
    """Choose the collection of the extensions that are imported, and whose settings join *config*, in the block.

    They find its name in the environment, because one of them keeps what it read when it was imported, and afterwards
    in ``config["MONGO_COLLECTION"]``, where they look for it too. A warning says so if it is not the configured one.

    :param config: with the settings of the search and retrieve plugins
    """
    asked, told = _choose(config)
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = told
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
    if "MONGO_COLLECTION" not in config:
        return  # no extension needs one
    configured, used = _choose(config)
    if configured != told:  # settings that come from elsewhere
        asked = configured
    config["MONGO_COLLECTION"] = used
    if used != asked:
        logger.warning(
            "The collection %s belongs to the search or retrieve plugin: extensions use %s instead;"
            " `flask base_uri index --full` fills it",
            asked,
            used,
        )


def _choose(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the collection that is configured for extensions, and the one to use: another, if a plugin uses it."""
    wanted = {
        name: config.get(name) or os.environ.get(variable) or default
        for name, (variable, default) in _READ_FROM.items()
    }
    return wanted["MONGO_COLLECTION"], free_collection(config, *wanted.values())


def free_collection(config: Mapping[str, Any], uri: str, database: str, collection: str) -> str:
    """Return the name of a collection that neither the search nor the retrieve plugin uses: the given one, if possible.

    :param config: with the settings of the search and retrieve plugins
    """
    taken = {_place(config, prefix) for prefix in ("SEARCH_", "RETRIEVE_")}
    wanted = {"MONGO_URI": uri, "MONGO_DB": database, "MONGO_COLLECTION": collection}
    while _place(wanted) in taken:
        wanted["MONGO_COLLECTION"] += "_direct"
    return wanted["MONGO_COLLECTION"]


def _place(config: Mapping[str, Any], prefix: str = "") -> Place | None:
    """Return where a plugin, whose settings begin with *prefix*, keeps its documents; None if that is not known."""
    uri, database, collection = (config.get(prefix + name) for name in _READ_FROM)
    if not uri:
        return None
    address = str(uri).partition("://")[2].partition("/")[0].rpartition("@")[2].lower()
    hosts = (host if ":" in host else host + _DEFAULT_PORT for host in address.split(","))
    return frozenset(hosts), str(database), str(collection)
