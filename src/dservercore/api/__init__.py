"""The REST API: one module per resource. A route parses, calls the catalog and answers."""

from dservercore.api import (
    annotations,
    audit,
    base_uris,
    bulk,
    config,
    manifests,
    me,
    readmes,
    tags,
    uris,
    users,
    uuids,
)
from dservercore.blueprint import Blueprint

RESOURCES: tuple[Blueprint, ...] = (
    uris.blp,
    bulk.blp,
    uuids.blp,
    readmes.blp,
    manifests.blp,
    tags.blp,
    annotations.blp,
    users.blp,
    me.blp,
    base_uris.blp,
    audit.blp,
    config.blp,
)
