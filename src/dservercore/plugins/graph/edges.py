"""The table of edges: what a document names is written with the document, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

_uris: Any = bindparam("uris", expanding=True)
_ids: Any = bindparam("ids", expanding=True)
_ROWS = select(_dataset.c.uri, _dataset.c.id, _dataset.c.uuid, _dataset.c.base_uri_id).where(
    _dataset.c.uri.in_(_uris)
)
_COLUMNS = ("dataset_id", "parent", "key_number", "uuid", "base_uri_id")
_EDGES = select(*(_edge.c[name] for name in _COLUMNS)).where(_edge.c.dataset_id.in_(_ids))
_DELETE = delete(_edge).where(*(_edge.c[name] == bindparam(f"old_{name}") for name in _COLUMNS[:3]))


def keys_number() -> int:
    """Return the number of the keys whose UUIDs are kept at present."""
    if current_app.config[settings.DYNAMIC]:
        return EVERY_KEY
    return number_of_all(current_app.config[settings.KEYS])


def write(documents: Iterable[Mapping[str, Any]]) -> None:
    """Write the edges of registered datasets in the place of those that are there. The caller commits.

    :param documents: have ``uri``, ``readme`` and ``annotations``; one that is registered under no URI has no edges
    """
    by_uri = {document["uri"]: document for document in documents}
    for uris in db.batched(list(by_uri)):
        _write([by_uri[uri] for uri in uris])


def _write(documents: Sequence[Mapping[str, Any]]) -> None:
    found = sql_db.session.execute(_ROWS, {"uris": [document["uri"] for document in documents]})
    rows = {uri: row for uri, *row in found}
    if not rows:
        return
    wanted: dict[tuple[Any, ...], None] = {}
    for document in documents:
        if document["uri"] in rows:
            wanted |= dict.fromkeys(_wanted(document, rows[document["uri"]]))
    ids = [row[0] for row in rows.values()]
    present = {tuple(edge) for edge in sql_db.session.execute(_EDGES, {"ids": ids})}
    gone = [edge for edge in present if edge not in wanted]
    if gone:
        names = [f"old_{name}" for name in _COLUMNS[:3]]
        sql_db.session.execute(_DELETE, [dict(zip(names, edge[:3], strict=True)) for edge in gone])
    new = [edge for edge in wanted if edge not in present]
    if new:
        sql_db.session.execute(_edge.insert(), [dict(zip(_COLUMNS, edge, strict=True)) for edge in new])
    number = keys_number()
    upsert = db.upsert(_derived, ("dataset_id",), overwrite=("keys_number",))
    sql_db.session.execute(upsert, [{"dataset_id": id_, "keys_number": number} for id_ in ids])


def _wanted(document: Mapping[str, Any], row: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the edges of a dataset, as their columns.

    :param row: its key, its UUID, and the key of its base URI
    """
    config = current_app.config
    dataset_id, uuid, base_uri_id = row
    pairs = named_in({**document, "uuid": uuid}, config[settings.KEYS], config[settings.DYNAMIC])
    return [(dataset_id, parent, number_of(key), uuid, base_uri_id) for key, parent in pairs]


def are_those_of(document: Mapping[str, Any]) -> bool:
    """Return whether the edges of a registered dataset are those of its document, by the keys of the configuration."""
    [(_, *row)] = sql_db.session.execute(_ROWS, {"uris": [document["uri"]]})
    present = {tuple(edge) for edge in sql_db.session.execute(_EDGES, {"ids": [row[0]]})}
    number = select(_derived.c.keys_number).where(_derived.c.dataset_id == row[0])
    return present == set(_wanted(document, row)) and sql_db.session.scalar(number) is not None
