"""The REST API: one module per resource. A route parses, calls the catalog and answers."""

from dservercore.api import (
    annotations,
    audit,
    auth,
    base_uris,
    bulk,
    config,
    exports,
    groups,
    manifests,
    me,
    readmes,
    sessions,
    suggestions,
    tags,
    tokens,
    uris,
    users,
    uuids,
)
from dservercore.rest.blueprint import Blueprint

RESOURCES: tuple[Blueprint, ...] = (
    uris.blp,
    exports.blp,
    bulk.blp,
    suggestions.blp,
    uuids.blp,
    readmes.blp,
    manifests.blp,
    tags.blp,
    annotations.blp,
    users.blp,
    me.blp,
    auth.blp,
    sessions.blp,
    tokens.blp,
    groups.blp,
    base_uris.blp,
    audit.blp,
    config.blp,
)
