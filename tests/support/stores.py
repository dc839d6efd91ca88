"""Looks into the database file behind an application's back: what is stored, and whether its parts agree."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zstandard
from flask import Flask
from sqlalchemy import make_url

from dservercore.plugins.graph.derivation import named_in
from dservercore.plugins.graph.keys import number_of
from dservercore.plugins.graph.settings import DEFAULT_KEYS

Rows = list[tuple[Any, ...]]

# What comes under one of these names belongs to SQLite or to the full-text index, which is read in its own way.
_INTERNAL = ("sqlite_", "search_index")


def database_file(app: Flask) -> Path:
    """Return the path of the SQLite file."""
    database = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).database
    assert database
    return Path(database)


#: Words that no dataset has any more may stay in the vocabulary, and so may values and groups of facets.
VOCABULARY = {
    "search_word",
    "search_word_place",
    "search_deletion",
    "search_facet_group",
    "search_facet_value",
}


def contents(database: Path) -> dict[str, Rows]:
    """Return every row of every table but the vocabulary's, and every token of the search index with its place."""
    with _opened(database) as connection:
        tables = [name for name in _tables(connection) if name not in VOCABULARY]
        found = {name: _rows(connection, f'SELECT * FROM "{name}"') for name in tables}
        connection.execute("CREATE VIRTUAL TABLE temp.token USING fts5vocab(main, search_index, instance)")
        return {**found, "search_index": _rows(connection, "SELECT * FROM token")}


def disagreements(database: Path) -> list[str]:
    """Return what one part of the database says and another does not; each dataset is to be in every part, once."""
    with _opened(database) as connection:
        datasets = set(_column(connection, "SELECT id FROM dataset"))
        connection.execute("CREATE VIRTUAL TABLE temp.token USING fts5vocab(main, search_index, instance)")
        keys = {
            "document": _column(connection, "SELECT dataset_id FROM dataset_document"),
            "search document": _column(connection, "SELECT dataset_id FROM search_document"),
            "search index": _column(connection, "SELECT DISTINCT doc FROM token"),
        }
        tagged = set(_column(connection, "SELECT dataset_id FROM dataset_tag"))
        found = [
            f"{part}: {sorted(datasets ^ set(ids))}" for part, ids in keys.items() if datasets ^ set(ids)
        ]
        found += [f"tags without a dataset: {sorted(tagged - datasets)}"] if tagged - datasets else []
        found += [f"stored name and tags not in the index: {id_}" for id_ in _unfindable(connection)]
        found += [f"edges that are not those of dataset {id_}" for id_ in _with_wrong_edges(connection)]
        return found + _miscounted(connection)


def _unfindable(connection: sqlite3.Connection) -> Iterator[int]:
    """Yield the datasets whose tokens in the index are not those that are remembered of them."""
    indexed: defaultdict[int, list[str]] = defaultdict(list)
    for id_, term in connection.execute("SELECT doc, term FROM token"):  # asked for one, it looks through all
        indexed[id_].append(term)
    for id_, packed in connection.execute("SELECT dataset_id, tokens FROM search_document").fetchall():
        columns = zstandard.ZstdDecompressor().decompress(packed).decode().split("\n")
        remembered = sorted(token for column in columns for token in column.split())
        if remembered != sorted(indexed[id_]):
            yield id_


def _with_wrong_edges(connection: sqlite3.Connection) -> Iterator[int]:
    """Yield the datasets whose edges in the graph, if they are in it, are not what their documents say."""
    if "graph_edge" not in _tables(connection):
        return
    stored: defaultdict[int, set[tuple[Any, ...]]] = defaultdict(set)
    for id_, *edge in connection.execute(
        "SELECT dataset_id, parent, key_number, uuid, base_uri_id FROM graph_edge"
    ):
        stored[id_].add(tuple(edge))
    documents = connection.execute(
        "SELECT d.id, d.uuid, d.base_uri_id, t.readme, t.annotations FROM graph_dataset g"
        " JOIN dataset d ON d.id = g.dataset_id JOIN dataset_document t ON t.dataset_id = d.id"
    ).fetchall()
    for id_, uuid, base_uri_id, readme, annotated in documents:
        document = {"uuid": uuid, "readme": readme, "annotations": annotated}
        pairs = named_in(document, DEFAULT_KEYS, with_others=True)
        if stored.pop(id_, set()) != {(parent, number_of(key), uuid, base_uri_id) for key, parent in pairs}:
            yield id_
    yield from stored


_COUNTED = {
    "base_uri": "SELECT base_uri_id, base_uri_id, {} FROM dataset d",
    "creator": "SELECT creator_username, base_uri_id, {} FROM dataset d",
    "uploader": "SELECT uploaded_by, base_uri_id, {} FROM dataset d WHERE uploaded_by IS NOT NULL",
    "tag": "SELECT tag, base_uri_id, {} FROM dataset d JOIN dataset_tag t ON t.dataset_id = d.id",
    "month": "SELECT substr(frozen_at, 1, 7), base_uri_id, {} FROM dataset d",
    "-unread": "SELECT creator_username, base_uri_id, {} FROM dataset d WHERE lacks IS NULL",
    "-any": "SELECT creator_username, base_uri_id, {} FROM dataset d WHERE lacks > 0",
    "items": "SELECT '', base_uri_id, number_of_items FROM dataset d WHERE number_of_items > 0",
}
for _place, _kind in enumerate(("-tags", "-licence", "-owner", "-text", "-readme")):
    _COUNTED[_kind] = (
        f"SELECT creator_username, base_uri_id, {{}} FROM dataset d WHERE lacks & {1 << _place} > 0"
    )


def _miscounted(connection: sqlite3.Connection) -> list[str]:
    figures = "coalesce(size_in_bytes, 0)"
    wanted: dict[tuple[str, str, int], tuple[int, int]] = {}
    for kind, statement in _COUNTED.items():
        for value, base_uri_id, size in connection.execute(statement.format(figures)):
            number, total = wanted.get((kind, str(value), base_uri_id), (0, 0))
            wanted[kind, str(value), base_uri_id] = number + 1, total + size
    stored = {
        (kind, value, base_uri_id): (number, high * 2**32 + low)
        for kind, value, base_uri_id, number, high, low in connection.execute(
            "SELECT kind, value, base_uri_id, datasets, size_high, size_low FROM summary_count"
        )
    }
    return [
        f"summary of {key}: stored {stored.get(key)}, counted {wanted.get(key)}"
        for key in sorted(wanted.keys() | stored.keys())
        if wanted.get(key) != stored.get(key)
    ]


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN")  # one moment for all of it
        yield connection
    finally:
        connection.close()


def _tables(connection: sqlite3.Connection) -> list[str]:
    names = _column(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for name in names if not name.startswith(_INTERNAL)]


def _rows(connection: sqlite3.Connection, statement: str) -> Rows:
    return sorted(connection.execute(statement).fetchall(), key=repr)


def _column(connection: sqlite3.Connection, statement: str, *values: Any) -> list[Any]:
    return [row[0] for row in connection.execute(statement, values)]
