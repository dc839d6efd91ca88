"""The search index in SQLite, two FTS5 tables: what is in them. ``fts5_search`` asks them.

``search_index`` has all tokens of a dataset, ``search_index_weights`` those that count most for its relevance. The
tables keep no copy of what is in them, so taking a row out means naming its tokens again; ``search_document``
remembers those of the first, of which those of the second are made.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dservercore.db import begin_write, sql_db
from dservercore.errors import ConfigurationError, UnknownURIError
from dservercore.models import SEARCH_INDEX, SEARCH_WEIGHTS
from dservercore.packing import pack, unpack
from dservercore.plugins.sql.columns import WEIGHTS, Columns
from dservercore.plugins.sql.fts5_relevance import weight_tokens
from dservercore.plugins.sql.fts5_search import find, match, within

__all__ = [
    "change",
    "contains",
    "faults",
    "find",
    "holds",
    "is_there",
    "match",
    "rebuild",
    "remove",
    "require_supported",
    "store",
    "stored",
    "within",
]


def require_supported() -> None:
    """Pass if the SQLite that Python was built with has FTS5.

    :raises ConfigurationError: if not
    """
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        raise ConfigurationError(
            "The sql search plugin needs an SQLite with FTS5; this Python's has none."
        ) from None
    finally:
        connection.close()


def is_there() -> bool:
    """Return whether the database has the index."""
    found = _execute("SELECT 1 FROM sqlite_master WHERE name = :name", name=SEARCH_INDEX)
    return found.first() is not None


def _execute(statement: str, **values: Any) -> Any:
    return _connection().exec_driver_sql(statement, values)


def _connection() -> Any:
    return sql_db.session.connection()


# -- Writing ---------------------------------------------------------------------------------------------------------

_ROW = """
SELECT d.id, d.base_uri_id, d.creator_username, d.uploaded_by, d.uuid, s.tokens
FROM dataset d LEFT JOIN search_document s ON s.dataset_id = d.id WHERE d.uri = :uri
"""
# In the order of the keys: FTS5 writes out what it has gathered when a lower key follows on a higher one.
_ROWS = """
SELECT d.uri, d.id, d.base_uri_id, d.creator_username, d.uploaded_by, d.uuid, s.tokens
FROM dataset d LEFT JOIN search_document s ON s.dataset_id = d.id
WHERE d.uri IN (SELECT value FROM json_each(:uris)) ORDER BY d.id
"""
_COLUMNS = ", ".join(WEIGHTS)
_VALUES = ", ".join(f":{column}" for column in WEIGHTS)
_PUT_IN = f"INSERT INTO {SEARCH_INDEX} (rowid, {_COLUMNS}) VALUES (:id, {_VALUES})"
_TAKE_OUT = (
    f"INSERT INTO {SEARCH_INDEX} ({SEARCH_INDEX}, rowid, {_COLUMNS}) VALUES ('delete', :id, {_VALUES})"
)
_PUT_IN_WEIGHTS = f"INSERT INTO {SEARCH_WEIGHTS} (rowid, words) VALUES (:id, :words)"
_TAKE_OUT_WEIGHTS = (
    f"INSERT INTO {SEARCH_WEIGHTS} ({SEARCH_WEIGHTS}, rowid, words) VALUES ('delete', :id, :words)"
)
_REMEMBER = "INSERT OR REPLACE INTO search_document (dataset_id, tokens) VALUES (:id, :tokens)"
_FORGET = "DELETE FROM search_document WHERE dataset_id = :id"


def store(wanted: Mapping[str, Columns]) -> None:
    """Put datasets, by their URIs, into the index, in place of what is there of them.

    :raises UnknownURIError: if one has no row
    """
    begin_write()
    rows = _execute(_ROWS, uris=json.dumps(list(wanted))).all()
    unknown = wanted.keys() - {row.uri for row in rows}
    if unknown:
        raise UnknownURIError(f"No dataset is registered as {min(unknown)}")
    _take_out(rows)
    _put_in([(row.id, wanted[row.uri](row._mapping)) for row in rows])


def change(uri: str, changed_columns: Columns) -> None:
    """Replace some of the columns.

    :raises UnknownURIError: if the dataset is not in the index
    """
    row = _row_to_change(uri)
    if row is None or row.tokens is None:
        raise UnknownURIError(f"No dataset is registered as {uri}")
    before = _unpacked(row.tokens)
    after = {**before, **changed_columns(row._mapping)}
    if after != before:
        _take_out([row])
        _put_in([(row.id, after)])


def remove(uri: str) -> None:
    """Take a dataset out of the index, if it is there, while its row still exists."""
    row = _row_to_change(uri)
    if row is not None:
        _take_out([row])
        _execute(_FORGET, id=row.id)


def _row_to_change(uri: str) -> Any:
    # Whoever names other tokens than those in the index when taking them out ruins it.
    begin_write()
    return _execute(_ROW, uri=uri).first()


def _take_out(rows: Iterable[Any]) -> None:
    gone = [(row.id, _unpacked(row.tokens)) for row in rows if row.tokens is not None]
    if gone:
        _execute_for_all(_TAKE_OUT, _TAKE_OUT_WEIGHTS, gone)


def _put_in(documents: Iterable[tuple[int, Mapping[str, str]]]) -> None:
    """Put datasets into the index: those with lower primary keys first."""
    indexed = list(documents)
    _execute_for_all(_PUT_IN, _PUT_IN_WEIGHTS, indexed)
    _connection().exec_driver_sql(
        _REMEMBER,
        [
            {"id": id_, "tokens": pack("\n".join([columns[name] for name in WEIGHTS]).encode())}
            for id_, columns in indexed
        ],
    )


def _execute_for_all(
    statement: str, statement_for_weights: str, documents: Sequence[tuple[int, Mapping[str, str]]]
) -> None:
    execute = _connection().exec_driver_sql
    execute(statement, [{"id": id_, **columns} for id_, columns in documents])
    weights = [{"id": id_, "words": weight_tokens(columns)} for id_, columns in documents]
    execute(statement_for_weights, weights)


def _unpacked(tokens: bytes) -> dict[str, str]:
    return dict(zip(WEIGHTS, unpack(tokens).decode().split("\n"), strict=True))


# -- Checking --------------------------------------------------------------------------------------------------------

_STORED = "SELECT d.uri, d.uuid FROM search_document s JOIN dataset d ON d.id = s.dataset_id"
_LEFT_OVER = "SELECT count(*) FROM search_document WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_FORGET_LEFT_OVER = "DELETE FROM search_document WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_EMPTY = [f"INSERT INTO {table} ({table}) VALUES ('delete-all')" for table in (SEARCH_INDEX, SEARCH_WEIGHTS)]
_VOCABULARY = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_vocabulary USING fts5vocab(main, {SEARCH_INDEX}, col)"
)
_COUNTS = "SELECT col, sum(doc), sum(cnt) FROM temp.search_vocabulary GROUP BY col"
_WEIGHTS_VOCABULARY = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_weights USING fts5vocab(main, {SEARCH_WEIGHTS}, row)"
)
_WEIGHTS_COUNT = "SELECT coalesce(sum(doc), 0) FROM temp.search_weights"


def stored() -> Iterator[tuple[str, str]]:
    """Yield URI and UUID of each registered dataset that is in the index."""
    yield from _execute(_STORED)


def contains(uri: str) -> bool:
    """Return whether the index has a dataset."""
    row = _execute(_ROW, uri=uri).first()
    return row is not None and row.tokens is not None


def holds(uri: str, columns: Columns) -> bool:
    """Return whether the index has these columns of a dataset."""
    row = _execute(_ROW, uri=uri).first()
    if row is None or row.tokens is None:
        return False
    return _unpacked(row.tokens) == {**columns(row._mapping)}


def faults() -> list[str]:
    """Return what is wrong with the index as a whole."""
    if not is_there():
        return ["is missing: `flask db upgrade` makes it"]
    found = []
    left_over = _execute(_LEFT_OVER).scalar_one()
    if left_over:
        found.append(f"has {left_over} datasets that are not registered")
    _execute(_VOCABULARY)
    _execute(_WEIGHTS_VOCABULARY)
    remembered, weights = _remembered()
    indexed = {column: (documents, tokens) for column, documents, tokens in _execute(_COUNTS)}
    if indexed != remembered:
        found.append("has other words than are known to be in it")
    if _execute(_WEIGHTS_COUNT).scalar_one() != weights:
        found.append("has the weights of other words than are known to be in it")
    return found


def _remembered() -> tuple[dict[str, tuple[int, int]], int]:
    """Return how many tokens the index should have in each column, and how many with weights.

    Of a column: each token counted once in a dataset, and altogether.
    """
    counts = dict.fromkeys(WEIGHTS, (0, 0))
    weights = 0
    for (packed,) in _execute("SELECT tokens FROM search_document"):
        columns = _unpacked(packed)
        weights += len(weight_tokens(columns).split())
        for column, text in columns.items():
            tokens = text.split()
            once, all_ = counts[column]
            counts[column] = once + len(set(tokens)), all_ + len(tokens)
    return {column: count for column, count in counts.items() if count[1]}, weights


def rebuild() -> None:
    """Make the index anew from what is remembered of it."""
    begin_write()
    _execute(_FORGET_LEFT_OVER)
    for statement in _EMPTY:
        _execute(statement)
    for id_, packed in _execute("SELECT dataset_id, tokens FROM search_document ORDER BY dataset_id").all():
        _execute_for_all(_PUT_IN, _PUT_IN_WEIGHTS, [(id_, _unpacked(packed))])
