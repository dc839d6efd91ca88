"""The table of edges: what a document names is written with the document, in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import current_app
from sqlalchemy import bindparam, delete, select

from dservercore import db
from dservercore.db import sql_db
from dservercore.models import Dataset
from dservercore.plugins.graph import settings
from dservercore.plugins.graph.derivation import named_in
from dservercore.plugins.graph.keys import EVERY_KEY, number_of, number_of_all
from dservercore.plugins.graph.models import GraphDataset, GraphEdge

_dataset, _edge, _derived = Dataset.__table__, GraphEdge.__table__, GraphDataset.__table__

_ROW = select(_dataset.c.id, _dataset.c.uuid, _dataset.c.base_uri_id).where(
    _dataset.c.uri == bindparam("uri")
)
_EDGES = select(_edge.c.parent, _edge.c.key_number, _edge.c.uuid, _edge.c.base_uri_id).where(
    _edge.c.dataset_id == bindparam("key")
)
_DELETE_ALL = delete(_edge).where(_edge.c.dataset_id == bindparam("key"))
_DELETE = _DELETE_ALL.where(
    _edge.c.parent == bindparam("old_parent"), _edge.c.key_number == bindparam("old_number")
)


def keys_number() -> int:
    """Return the number of the keys whose UUIDs are kept at present."""
    if current_app.config[settings.DYNAMIC]:
        return EVERY_KEY
    return number_of_all(current_app.config[settings.KEYS])


def write(document: Mapping[str, Any]) -> None:
    """Write the edges of a registered dataset in the place of those that are there. The caller commits.

    :param document: has ``uri``, ``readme`` and ``annotations``; if no dataset is registered as that, nothing is done
    """
    row = sql_db.session.execute(_ROW, {"uri": document["uri"]}).first()
    if row is None:
        return
    dataset_id, uuid, base_uri_id = row
    pairs = named_in(
        {**document, "uuid": uuid},
        current_app.config[settings.KEYS],
        with_others=current_app.config[settings.DYNAMIC],
    )
    wanted = {(parent, number_of(key), uuid, base_uri_id) for key, parent in pairs}
    present = {tuple(edge) for edge in sql_db.session.execute(_EDGES, {"key": dataset_id})}
    if present - wanted:
        gone = [
            {"key": dataset_id, "old_parent": edge[0], "old_number": edge[1]} for edge in present - wanted
        ]
        sql_db.session.execute(_DELETE, gone)
    if wanted - present:
        names = ("parent", "key_number", "uuid", "base_uri_id")
        new = [
            {"dataset_id": dataset_id, **dict(zip(names, edge, strict=True))}
            for edge in sorted(wanted - present)
        ]
        sql_db.session.execute(_edge.insert(), new)
    noted = {"dataset_id": dataset_id, "keys_number": keys_number()}
    sql_db.session.execute(db.upsert(_derived, ("dataset_id",), overwrite=("keys_number",)), noted)
