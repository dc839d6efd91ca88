"""The search index in SQLite, two FTS5 tables: what is in them. ``fts5_search`` asks them.

``search_index`` has all tokens of a dataset, ``search_index_weights`` those that count most for its relevance. The
tables keep no copy of what is in them, so taking a row out means naming its tokens again; ``search_document``
remembers those of the first, of which those of the second are made.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from dservercore.dataset.query_tree import Node, Query
from dservercore.dataset.serialization import pack, unpack
from dservercore.db import begin_write, sql_db
from dservercore.errors import ConfigurationError, UnknownURIError
from dservercore.models import SEARCH_INDEX, SEARCH_WEIGHTS
from dservercore.plugins.sql import facets, fts5_query, fts5_search
from dservercore.plugins.sql.columns import Columns
from dservercore.plugins.sql.cut_off import cut_off
from dservercore.plugins.sql.fts5_relevance import weight_tokens
from dservercore.plugins.sql.index import Keys, SqlIndex
from dservercore.plugins.tokens.index import Request
from dservercore.plugins.tokens.index_document import ROW, VERSION
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.plugins.tokens.weights import WEIGHTS


class FTS5Index(SqlIndex):
    """The index in SQLite."""

    def require_supported(self) -> None:
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

    def is_there(self) -> bool:
        """Return whether the database has the index."""
        found = _execute("SELECT 1 FROM sqlite_master WHERE name = :name", name=SEARCH_INDEX)
        return found.first() is not None

    def put(self, wanted: Mapping[str, Columns]) -> dict[str, Keys]:
        """Put datasets into the index, in place of what is there of them, and return their keys by URI.

        :param wanted: by URI, what makes the dataset's columns of its row
        :raises UnknownURIError: if a dataset has no row
        """
        begin_write()
        rows = _execute(_ROWS, uris=json.dumps(list(wanted))).all()
        unknown = wanted.keys() - {row.uri for row in rows}
        if unknown:
            raise UnknownURIError(f"No dataset is registered as {min(unknown)}")
        _take_out(rows)
        _put_in([(row.id, wanted[row.uri](row._mapping)) for row in rows], VERSION)
        return {row.uri: Keys(row.id, row.base_uri_id) for row in rows}

    def change(self, uri: str, changed_columns: Columns) -> Keys:
        """Replace some of the columns of a dataset, and return its keys.

        :raises UnknownURIError: if the dataset is not in the index
        """
        row = _row_to_change(uri)
        if row is None or row.tokens is None:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        before = _unpacked(row.tokens)
        after = {**before, **changed_columns(row._mapping)}
        if after != before:
            _take_out([row])
            _put_in([(row.id, after)], row.version)  # the other columns are as old as they were
        return Keys(row.id, row.base_uri_id)

    def remove(self, uri: str) -> None:
        """Take a dataset out of the index, if it is there, while its row still exists."""
        row = _row_to_change(uri)
        if row is not None:
            _take_out([row])
            facets.count_changes(_facet_groups_of([row.id]), [])
            _execute(_FORGET, id=row.id)
            _execute(_FORGET_FACETS, id=row.id)

    def stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each registered dataset that is in the index."""
        yield from _execute(_STORED)

    def contains(self, uri: str) -> bool:
        """Return whether the index has a dataset."""
        row = _execute(_ROW, uri=uri).first()
        return row is not None and row.tokens is not None

    def has(self, uri: str, columns: Columns) -> bool:
        """Return whether the index has a dataset with the columns that *columns* makes of its row."""
        row = _execute(_ROW, uri=uri).first()
        if row is None or row.tokens is None:
            return False
        return _unpacked(row.tokens) == {**columns(row._mapping)}

    def outdated(self) -> Iterator[str]:
        """Yield the URI of each registered dataset that another version of the text analysis has put into the index."""
        yield from _execute(_OUTDATED, version=VERSION).scalars()

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole."""
        if not self.is_there():
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
        if facets.is_miscounted(_execute(_FACET_GROUPS).scalars()):
            found.append("has other numbers of datasets than facets are counted from")
        return found

    def mend(self) -> None:
        """Make the index anew from the tokens in ``search_document``."""
        begin_write()
        _execute(_FORGET_LEFT_OVER)
        _execute(_FORGET_LEFT_OVER_FACETS)
        for statement in _EMPTY:
            _execute(statement)
        for id_, packed in _execute(
            "SELECT dataset_id, tokens FROM search_document ORDER BY dataset_id"
        ).all():
            document = [(id_, _unpacked(packed))]
            _execute_for_all(_PUT_IN, _PUT_IN_WEIGHTS, document)
            _put_facets(document)
        facets.recount(_execute(_FACET_GROUPS).scalars())

    def within(self, limit: TimeLimit) -> AbstractContextManager[None]:
        """Limit the time of the statements in a ``with`` block.

        :raises UnavailableError: if they take longer
        """
        return cut_off(limit)

    def match(
        self, query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]
    ) -> fts5_query.Match:
        """Return what to look for: datasets in *base_uris* that answer *query* and have a facet of each group.

        :param query: what to look for in the words; empty: any dataset answers it
        :param facets: groups of facet tokens, alternatives within a group
        """
        return fts5_query.match(query, facets, base_uris)

    def page(self, match: fts5_query.Match, request: Request) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of the page that *request* asks for.

        :param match: what :meth:`match` has returned
        """
        return fts5_search.find(match, request)

    def number_of(self, match: fts5_query.Match, most: int) -> int:
        """Return how many datasets match: all of them, as counting takes no longer than counting to *most*.

        :param match: what :meth:`match` has returned
        """
        return fts5_search.number_of(match)

    def facet_groups(self, match: fts5_query.Match) -> str:
        """Return the facet groups of all datasets that match, with commas in between (see ``facets``).

        :param match: what :meth:`match` has returned
        """
        return fts5_search.facet_groups(match)

    def ids(self, match: fts5_query.Match, request: Request) -> array[int]:
        """Return the primary keys of all datasets that match, in the order that *request* asks for.

        :param match: what :meth:`match` has returned
        """
        return fts5_search.find_ids(match, request)

    def numbers(self, nodes: Sequence[Node], base_uris: Sequence[str]) -> tuple[int, list[int]]:
        """Return how many datasets there are in the base URIs, and how many of them fulfil each node."""
        return fts5_search.numbers(nodes, base_uris)

    def exist(self, queries: Sequence[Query], base_uris: Sequence[str]) -> list[bool]:
        """Return, for each query, whether any dataset in the base URIs answers it."""
        return fts5_search.exist([self.match(query, [], base_uris) for query in queries])


def _execute(statement: str, **values: Any) -> Any:
    return _connection().exec_driver_sql(statement, values)


def _connection() -> Any:
    return sql_db.session.connection()


# -- Writing ---------------------------------------------------------------------------------------------------------

_OF_ROW = ", ".join(f"d.{column}" for column in ROW)
_ROW = f"""
SELECT d.id, {_OF_ROW}, s.tokens, s.version
FROM dataset d LEFT JOIN search_document s ON s.dataset_id = d.id WHERE d.uri = :uri
"""
# In the order of the keys: FTS5 writes out what it has gathered when a lower key follows on a higher one.
_ROWS = f"""
SELECT d.uri, d.id, {_OF_ROW}, s.tokens
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
_REMEMBER = (
    "INSERT OR REPLACE INTO search_document (dataset_id, tokens, version) VALUES (:id, :tokens, :version)"
)
_FORGET = "DELETE FROM search_document WHERE dataset_id = :id"
_REMEMBER_FACETS = "INSERT OR REPLACE INTO search_facet (dataset_id, facet_groups) VALUES (:id, :groups)"
_FORGET_FACETS = "DELETE FROM search_facet WHERE dataset_id = :id"
_FACET_GROUPS = "SELECT facet_groups FROM search_facet"


def _row_to_change(uri: str) -> Any:
    # To take out other tokens than those in the index ruins it: nobody may change them from here on.
    begin_write()
    return _execute(_ROW, uri=uri).first()


def _take_out(rows: Iterable[Any]) -> None:
    gone = [(row.id, _unpacked(row.tokens)) for row in rows if row.tokens is not None]
    if gone:
        _execute_for_all(_TAKE_OUT, _TAKE_OUT_WEIGHTS, gone)


def _put_in(documents: Iterable[tuple[int, Mapping[str, str]]], version: int) -> None:
    """Put datasets into the index.

    :param documents: primary key and columns of each, those with lower keys first
    :param version: of the text analysis that has made the columns, or the oldest of them
    """
    indexed = list(documents)
    _execute_for_all(_PUT_IN, _PUT_IN_WEIGHTS, indexed)
    _connection().exec_driver_sql(
        _REMEMBER,
        [{"id": id_, "tokens": _packed(columns), "version": version} for id_, columns in indexed],
    )
    _put_facets(indexed)


def _put_facets(documents: Sequence[tuple[int, Mapping[str, str]]]) -> None:
    before = _facet_groups_of([id_ for id_, _ in documents])
    after = facets.groups_of(columns for _, columns in documents)
    if before == after:  # as after most edits
        return
    rows = [{"id": id_, "groups": groups} for (id_, _), groups in zip(documents, after, strict=True)]
    _connection().exec_driver_sql(_REMEMBER_FACETS, rows)
    facets.count_changes(before, after)


def _facet_groups_of(ids: Sequence[int]) -> list[str]:
    statement = f"{_FACET_GROUPS} WHERE dataset_id IN (SELECT value FROM json_each(:ids)) ORDER BY dataset_id"
    return list(_execute(statement, ids=json.dumps(list(ids))).scalars())


def _execute_for_all(
    statement: str, statement_for_weights: str, documents: Sequence[tuple[int, Mapping[str, str]]]
) -> None:
    execute = _connection().exec_driver_sql
    execute(statement, [{"id": id_, **columns} for id_, columns in documents])
    weights = [{"id": id_, "words": weight_tokens(columns)} for id_, columns in documents]
    execute(statement_for_weights, weights)


def _packed(columns: Mapping[str, str]) -> bytes:
    return pack("\n".join([columns[name] for name in WEIGHTS]).encode())


def _unpacked(tokens: bytes) -> dict[str, str]:
    return dict(zip(WEIGHTS, unpack(tokens).decode().split("\n"), strict=True))


# -- Checking --------------------------------------------------------------------------------------------------------

_STORED = "SELECT d.uri, d.uuid FROM search_document s JOIN dataset d ON d.id = s.dataset_id"
_OUTDATED = (
    "SELECT uri FROM dataset WHERE id IN (SELECT dataset_id FROM search_document WHERE version <> :version)"
)
_LEFT_OVER = "SELECT count(*) FROM search_document WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_FORGET_LEFT_OVER = "DELETE FROM search_document WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_FORGET_LEFT_OVER_FACETS = "DELETE FROM search_facet WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_EMPTY = [f"INSERT INTO {table} ({table}) VALUES ('delete-all')" for table in (SEARCH_INDEX, SEARCH_WEIGHTS)]
_VOCABULARY = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_vocabulary USING fts5vocab(main, {SEARCH_INDEX}, col)"
)
_COUNTS = "SELECT col, sum(doc), sum(cnt) FROM temp.search_vocabulary GROUP BY col"
_WEIGHTS_VOCABULARY = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_weights USING fts5vocab(main, {SEARCH_WEIGHTS}, row)"
)
_WEIGHTS_COUNT = "SELECT coalesce(sum(doc), 0) FROM temp.search_weights"


def _remembered() -> tuple[dict[str, tuple[int, int]], int]:
    """Return what the index should have in each column, and how many tokens with weights.

    Of a column: the number of tokens, each counted once in a dataset, and the number of all.
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
