"""The search index in SQLite: everything that only FTS5 understands.

The index keeps no copy of what is in it, so taking a row out means naming its tokens again; ``search_document``
remembers them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import zstandard

from dservercore.date_utils import datetime_to_timestamp
from dservercore.db import sql_db
from dservercore.errors import ConfigurationError, UnknownURIError
from dservercore.models import SEARCH_INDEX
from dservercore.plugins.sql.index_document import FORM
from dservercore.text_query import Query, Term, stem

#: The columns of the index, and how much a word found there counts for relevance.
WEIGHTS = {"name": 10, "tags": 6, "lead": 5, "readme": 1, "annotations": 1, "rest": 0.5, "facets": 0}

_COLUMNS = ", ".join(WEIGHTS)


def require_fts5() -> None:
    """Pass if the SQLite that Python was built with has FTS5.

    :raises ConfigurationError: if not
    """
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        raise ConfigurationError("The sql search plugin needs an SQLite with FTS5; this Python's has none.") from None
    finally:
        connection.close()


def is_there() -> bool:
    """Return whether the database has the index."""
    found = _execute("SELECT 1 FROM sqlite_master WHERE name = :name", name=SEARCH_INDEX)
    return found.first() is not None


def _execute(statement: str, **values: Any) -> Any:
    return sql_db.session.connection().exec_driver_sql(statement, values)


# -- Writing ---------------------------------------------------------------------------------------------------------

_ROW = """
SELECT d.id, b.base_uri, d.creator_username, d.uploaded_by, d.uuid, s.tokens
FROM dataset d JOIN base_uri b ON b.id = d.base_uri_id LEFT JOIN search_document s ON s.dataset_id = d.id
WHERE d.uri = :uri
"""
_VALUES = ", ".join(f":{column}" for column in WEIGHTS)
_INSERT = f"INSERT INTO {SEARCH_INDEX} (rowid, {_COLUMNS}) VALUES (:id, {_VALUES})"
_TAKE_OUT = f"INSERT INTO {SEARCH_INDEX} ({SEARCH_INDEX}, rowid, {_COLUMNS}) VALUES ('delete', :id, {_VALUES})"
_REMEMBER = "INSERT OR REPLACE INTO search_document (dataset_id, tokens) VALUES (:id, :tokens)"
_FORGET = "DELETE FROM search_document WHERE dataset_id = :id"


def store(uri: str, columns: Mapping[str, str]) -> None:
    """Put the tokens of a dataset, by column, into the index, in place of what is there of it.

    :raises UnknownURIError: if the dataset has no row
    """
    row = _row(uri)
    _take_out(row)
    _put_in(row.id, columns)


def change(uri: str, changed_columns: Callable[[Mapping[str, Any]], Mapping[str, str]]) -> None:
    """Replace some columns.

    :param changed_columns: gets ``base_uri``, ``creator_username``, ``uploaded_by`` and ``uuid``
    :raises UnknownURIError: if the dataset is not in the index
    """
    row = _row(uri)
    if row.tokens is None:
        raise UnknownURIError(uri)
    columns = _unpacked(row.tokens) | changed_columns(row._mapping)
    _take_out(row)
    _put_in(row.id, columns)


def remove(uri: str) -> None:
    """Take a dataset out of the index, if it is there, while its row still exists."""
    row = _execute(_ROW, uri=uri).first()
    if row is not None:
        _take_out(row)
        _execute(_FORGET, id=row.id)


def _row(uri: str) -> Any:
    row = _execute(_ROW, uri=uri).first()
    if row is None:
        raise UnknownURIError(uri)
    return row


def _take_out(row: Any) -> None:
    if row.tokens is not None:
        _execute(_TAKE_OUT, id=row.id, **_unpacked(row.tokens))


def _put_in(dataset_id: int, columns: Mapping[str, str]) -> None:
    _execute(_INSERT, id=dataset_id, **columns)
    tokens = "\n".join(columns[name] for name in WEIGHTS)
    _execute(_REMEMBER, id=dataset_id, tokens=zstandard.compress(tokens.encode()))


def _unpacked(tokens: bytes) -> dict[str, str]:
    return dict(zip(WEIGHTS, zstandard.decompress(tokens).decode().split("\n"), strict=True))


# -- Asking ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """What to look for: a MATCH expression, with the limits of the asker's permission and without them.

    The second is used where the base URIs asked for are all that exist, because the index then has less to compare.
    The decision is SQLite's, in the statement that uses it, so that a base URI made in the meantime is not let in.
    """

    restricted: str
    everywhere: str
    base_uris: str  # JSON
    has_words: bool
    has_filters: bool


def match(query: Query | None, facets: Sequence[Sequence[str]], base_uris: Iterable[str], base_facets: Sequence[str]) -> Match:
    """Return the expression for datasets that answer *query*, have a facet of each group, and are in a base URI.

    :param query: None: whatever the words
    :param facets: groups of facet tokens; within a group they are alternatives
    :param base_facets: the facet tokens of *base_uris*
    """
    query = query or Query()
    groups = [[_term(term) for term in any_of.terms] for any_of in query.all_of]
    groups += [[f'"{token}"' for token in group] for group in facets]
    base_group = [f'"{token}"' for token in base_facets]
    excluded = [_term(term) for term in query.none_of]
    restricted = _expression([*groups, base_group], excluded)
    everywhere = _expression(groups, excluded) if groups else restricted
    return Match(restricted, everywhere, json.dumps(list(base_uris)), bool(query.all_of), bool(facets))


def _term(term: Term) -> str:
    words = " ".join(term.tokens)
    if term.prefix is None:
        return f'"{words}"'
    if not words:
        return f'("{term.prefix}" * OR "{FORM}{term.prefix}" *)'
    return f'("{words} {term.prefix}" * OR "{words} {stem(term.prefix)}")'


def _expression(groups: Iterable[Iterable[str]], excluded: Sequence[str]) -> str:
    expression = " AND ".join(f"({' OR '.join(group)})" for group in groups)
    return f"({expression}) NOT ({' OR '.join(excluded)})" if excluded else expression


_RESTRICTED = "EXISTS (SELECT 1 FROM base_uri WHERE base_uri NOT IN (SELECT value FROM json_each(:base_uris)))"
_MATCHES = f"{SEARCH_INDEX} MATCH (CASE WHEN {_RESTRICTED} THEN :restricted ELSE :everywhere END)"
_COUNT = f"""
SELECT (SELECT count(*) FROM {SEARCH_INDEX} WHERE {_MATCHES}) AS matching,
       {_RESTRICTED} AS restricted,
       (SELECT max(id) FROM dataset) AS datasets
"""


@dataclass(frozen=True)
class Count:
    """How many match, and what helps to find a page of them fast."""

    matching: int
    restricted: bool  # whether there are base URIs beyond those asked for
    datasets: int  # about how many there are altogether


def count(match: Match) -> Count:
    """Return the number of datasets that match."""
    row = _execute(_COUNT, **_values(match)).one()
    return Count(row.matching, bool(row.restricted), row.datasets or 0)


def _values(match: Match) -> dict[str, str]:
    return {"restricted": match.restricted, "everywhere": match.everywhere, "base_uris": match.base_uris}


# The dataset object of the REST API.
_FIELDS = {
    "base_uri": "b.base_uri",
    "uri": "d.uri",
    "uuid": "d.uuid",
    "name": "d.name",
    "creator_username": "d.creator_username",
    "created_at": "d.created_at",
    "frozen_at": "d.frozen_at",
    "number_of_items": "d.number_of_items",
    "size_in_bytes": "d.size_in_bytes",
    "uploaded_by": "d.uploaded_by",
    "uploaded_at": "d.uploaded_at",
}
_TIMES = ("created_at", "frozen_at", "uploaded_at")

# bm25() is the lower the better.
_RELEVANCE = f"-bm25({SEARCH_INDEX}, {', '.join(map(str, WEIGHTS.values()))}) AS relevance"


def page(match: Match, count: Count, order: Mapping[str, int], offset: int, limit: int | None) -> list[dict[str, Any]]:
    """Return the dataset objects of one page.

    :param order: ``{field of a dataset object or "relevance": 1 or -1}``, ending in ``uri``
    :param limit: None: all from *offset* on
    """
    ids = _ids_by_walking if _pays_to_walk(match, count, order, offset, limit) else _ids_by_sorting
    statement = f"""
SELECT {", ".join(_FIELDS.values())} FROM ({ids(order)}) page
CROSS JOIN dataset d ON d.id = page.id CROSS JOIN base_uri b ON b.id = d.base_uri_id ORDER BY {_order_by(order)}
"""
    rows = _execute(statement, **_values(match), offset=offset, limit=-1 if limit is None else limit)
    return [_dataset_object(row) for row in rows]


def _ids_by_sorting(order: Mapping[str, int]) -> str:
    """Go through everything that matches, and keep the first few."""
    relevance = f", {_RELEVANCE}" if "relevance" in order else ""
    base_uri = " CROSS JOIN base_uri b ON b.id = d.base_uri_id" if "base_uri" in order else ""
    return (
        f"SELECT d.id AS id{relevance} FROM {SEARCH_INDEX} CROSS JOIN dataset d ON d.id = {SEARCH_INDEX}.rowid{base_uri} "
        f"WHERE {_MATCHES} ORDER BY {_order_by(order)} LIMIT :limit OFFSET :offset"
    )


def _ids_by_walking(order: Mapping[str, int]) -> str:
    """Go along the index of URIs, picking what matches, until the page is full."""
    # The plus keeps SQLite from looking up each match by its id instead.
    return (
        f"SELECT d.id AS id FROM dataset d WHERE +d.id IN (SELECT rowid FROM {SEARCH_INDEX} WHERE {_MATCHES}) "
        f"ORDER BY {_order_by(order)} LIMIT :limit OFFSET :offset"
    )


# Microseconds, on a machine of 2023; only their proportions matter.
_SORT_A_MATCH = 0.45
_COLLECT_A_MATCH = 0.09
_WALK_A_STEP = 0.05


def _pays_to_walk(match: Match, count: Count, order: Mapping[str, int], offset: int, limit: int | None) -> bool:
    if next(iter(order)) != "uri" or limit is None:
        return False
    # What a base URI or a creator holds lies together, maybe at the end.
    clustered = count.restricted or match.has_filters
    steps = count.datasets if clustered else (offset + limit) / count.matching * count.datasets
    walking = _COLLECT_A_MATCH * count.matching + _WALK_A_STEP * steps
    return walking < _SORT_A_MATCH * count.matching


def _order_by(order: Mapping[str, int]) -> str:
    columns = {"relevance": "relevance", **_FIELDS}
    return ", ".join(f"{columns[field]} {'ASC' if direction > 0 else 'DESC'}" for field, direction in order.items())


def _dataset_object(row: Iterable[Any]) -> dict[str, Any]:
    dataset = dict(zip(_FIELDS, row, strict=True))
    for field in _TIMES:
        if dataset[field] is not None:
            dataset[field] = datetime_to_timestamp(datetime.fromisoformat(dataset[field]))
    return dataset
