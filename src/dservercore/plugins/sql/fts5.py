"""The search index in SQLite: everything that only FTS5 understands.

The index keeps no copy of what is in it, so taking a row out means naming its tokens again; ``search_document``
remembers them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dservercore.db import begin_write, sql_db
from dservercore.errors import ConfigurationError, UnknownURIError
from dservercore.models import SEARCH_INDEX
from dservercore.packing import pack, unpack
from dservercore.plugins.index_document import BASE_URI, EVERY, FORM, NONE
from dservercore.plugins.sql.columns import FIELDS, WEIGHTS, Columns, dataset_object, sorted_by
from dservercore.plugins.sql.cut_off import cut_off
from dservercore.plugins.time_limit import TimeLimit
from dservercore.reading import remember, remembered, rows_of
from dservercore.text_query import Query, Term, stem


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
    return sql_db.session.connection().exec_driver_sql(statement, values)


# -- Writing ---------------------------------------------------------------------------------------------------------

_ROW = """
SELECT d.id, d.base_uri_id, d.creator_username, d.uploaded_by, d.uuid, s.tokens
FROM dataset d LEFT JOIN search_document s ON s.dataset_id = d.id WHERE d.uri = :uri
"""
_COLUMNS = ", ".join(WEIGHTS)
_VALUES = ", ".join(f":{column}" for column in WEIGHTS)
_PUT_IN = f"INSERT INTO {SEARCH_INDEX} (rowid, {_COLUMNS}) VALUES (:id, {_VALUES})"
_TAKE_OUT = (
    f"INSERT INTO {SEARCH_INDEX} ({SEARCH_INDEX}, rowid, {_COLUMNS}) VALUES ('delete', :id, {_VALUES})"
)
_REMEMBER = "INSERT OR REPLACE INTO search_document (dataset_id, tokens) VALUES (:id, :tokens)"
_FORGET = "DELETE FROM search_document WHERE dataset_id = :id"


def store(uri: str, columns: Columns) -> None:
    """Put a dataset into the index, in place of what is there of it.

    :raises UnknownURIError: if the dataset has no row
    """
    row = _row_to_change(uri)
    if row is None:
        raise UnknownURIError(f"No dataset is registered as {uri}")
    _take_out(row)
    _put_in(row, columns(row._mapping))


def change(uri: str, changed_columns: Columns) -> None:
    """Replace some of the columns.

    :raises UnknownURIError: if the dataset is not in the index
    """
    row = _row_to_change(uri)
    if row is None or row.tokens is None:
        raise UnknownURIError(f"No dataset is registered as {uri}")
    _take_out(row)
    _put_in(row, {**_unpacked(row.tokens), **changed_columns(row._mapping)})


def remove(uri: str) -> None:
    """Take a dataset out of the index, if it is there, while its row still exists."""
    row = _row_to_change(uri)
    if row is not None:
        _take_out(row)
        _execute(_FORGET, id=row.id)


def _row_to_change(uri: str) -> Any:
    # Whoever names other tokens than those in the index when taking them out ruins it.
    begin_write()
    return _execute(_ROW, uri=uri).first()


def _take_out(row: Any) -> None:
    if row.tokens is not None:
        _execute(_TAKE_OUT, id=row.id, **_unpacked(row.tokens))


def _put_in(row: Any, columns: Mapping[str, str]) -> None:
    _execute(_PUT_IN, id=row.id, **columns)
    tokens = "\n".join([columns[name] for name in WEIGHTS])
    _execute(_REMEMBER, id=row.id, tokens=pack(tokens.encode()))


def _unpacked(tokens: bytes) -> dict[str, str]:
    return dict(zip(WEIGHTS, unpack(tokens).decode().split("\n"), strict=True))


# -- Checking --------------------------------------------------------------------------------------------------------

_STORED = "SELECT d.uri, d.uuid FROM search_document s JOIN dataset d ON d.id = s.dataset_id"
_LEFT_OVER = "SELECT count(*) FROM search_document WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_FORGET_LEFT_OVER = "DELETE FROM search_document WHERE dataset_id NOT IN (SELECT id FROM dataset)"
_EMPTY = f"INSERT INTO {SEARCH_INDEX} ({SEARCH_INDEX}) VALUES ('delete-all')"
_VOCABULARY = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_vocabulary USING fts5vocab(main, {SEARCH_INDEX}, col)"
)
_COUNTS = "SELECT col, sum(doc), sum(cnt) FROM temp.search_vocabulary GROUP BY col"


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
    indexed = {column: (documents, tokens) for column, documents, tokens in _execute(_COUNTS)}
    if indexed != _remembered():
        found.append("has other words than are known to be in it")
    return found


def _remembered() -> dict[str, tuple[int, int]]:
    """Return how many tokens the index should have in each column: each counted once in a dataset, and altogether."""
    counts = dict.fromkeys(WEIGHTS, (0, 0))
    for (packed,) in _execute("SELECT tokens FROM search_document"):
        for column, text in _unpacked(packed).items():
            tokens = text.split()
            once, all_ = counts[column]
            counts[column] = once + len(set(tokens)), all_ + len(tokens)
    return {column: count for column, count in counts.items() if count[1]}


def rebuild() -> None:
    """Make the index anew from what is remembered of it."""
    begin_write()
    _execute(_FORGET_LEFT_OVER)
    _execute(_EMPTY)
    for id_, packed in _execute("SELECT dataset_id, tokens FROM search_document").all():
        _execute(_PUT_IN, id=id_, **_unpacked(packed))


# -- Asking ----------------------------------------------------------------------------------------------------------


def within(limit: TimeLimit) -> AbstractContextManager[None]:
    """Limit the time of the searches that are made inside."""
    return cut_off(limit)


@dataclass(frozen=True)
class Match:
    """What to look for, in parts of a MATCH expression; SQLite adds the base URIs that the asker may search."""

    wanted: str  # what a dataset must have, whatever its base URI
    unwanted: str  # " OR "-joined; empty: nothing
    base_uris: str  # JSON array
    has_words: bool
    has_filters: bool

    def values(self) -> dict[str, str]:
        """Return the values of the parameters of a statement that contains ``_MATCHES``."""
        return {
            "base_uris": self.base_uris,
            "wanted": self.wanted,
            "wanted_and": f"{self.wanted} AND " if self.has_words or self.has_filters else "",
            "not_unwanted": f" NOT ({self.unwanted})" if self.unwanted else "",
            "or_unwanted": f" OR {self.unwanted}" if self.unwanted else "",
        }


def match(query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]) -> Match:
    """Return what to look for: datasets in *base_uris* that answer *query* and have a facet of each group.

    :param query: empty: whatever the words
    :param facets: groups of facet tokens, alternatives within a group
    """
    groups = [[_term(term) for term in any_of.terms] for any_of in query.all_of]
    groups += [[f'"{token}"' for token in group] for group in facets]
    return Match(
        wanted=" AND ".join(f"({' OR '.join(group)})" for group in groups or [[f'"{EVERY}"']]),
        unwanted=" OR ".join(_term(term) for term in query.none_of),
        base_uris=json.dumps(list(base_uris)),
        has_words=bool(query.all_of),
        has_filters=bool(facets),
    )


def _term(term: Term) -> str:
    words = " ".join(term.tokens)
    if term.prefix is None:
        return f'"{words}"'
    if not words:
        return f'("{term.prefix}" * OR "{FORM}{term.prefix}" *)'
    return f'("{words} {term.prefix}" * OR "{words} {stem(term.prefix)}")'


# Permission costs the less the fewer base URIs are named: those inside the scope, those outside of it, or none where
# the scope is everything. What there is to name is read at the same moment as the datasets, so that a base URI made in
# the meantime is not let in; as long as nobody commits anything, a connection remembers it, which takes a quarter off
# the search for a rare word. Two rows at most come from the inner query: the base URIs outside, and those inside.
_SCOPE = f"""
SELECT coalesce(max(inside), 0) AS has_inside, coalesce(max(NOT inside), 0) AS has_outside,
       coalesce(sum(number * NOT inside) < sum(number * inside), 0) AS is_most,
       max(CASE WHEN inside THEN facets END) AS inside, max(CASE WHEN NOT inside THEN facets END) AS outside,
       coalesce(1.0 * sum(number * NOT inside) / sum(number), 0) AS part_outside,
       (SELECT coalesce(max(id), 0) FROM dataset) AS datasets
FROM (
  SELECT inside, count(*) AS number, group_concat('"{BASE_URI}' || id || '"', ' OR ') AS facets
  FROM (SELECT id, base_uri IN (SELECT value FROM json_each(:base_uris)) AS inside FROM base_uri)
  GROUP BY inside
)
"""
_SCOPE_COLUMNS = ("has_inside", "has_outside", "is_most", "inside", "outside", "part_outside", "datasets")
_REMEMBERED_SCOPE = f"SELECT {', '.join(f':{name} AS {name}' for name in _SCOPE_COLUMNS)}"

_EXPRESSION = f"""CASE
  WHEN NOT has_inside THEN '"{NONE}"'
  WHEN NOT has_outside THEN '(' || :wanted || ')' || :not_unwanted
  WHEN is_most THEN '(' || :wanted || ') NOT (' || outside || :or_unwanted || ')'
  ELSE '(' || :wanted_and || '(' || inside || '))' || :not_unwanted
END"""
_COUNT = f"""
WITH scope AS MATERIALIZED ({{scope}}), asked AS MATERIALIZED (SELECT {_EXPRESSION} AS expression FROM scope)
SELECT (SELECT count(*) FROM {SEARCH_INDEX} WHERE {SEARCH_INDEX} MATCH (SELECT expression FROM asked)),
       (SELECT expression FROM asked), {", ".join(_SCOPE_COLUMNS)} FROM scope
"""
_COUNT_IN_NEW_SCOPE = _COUNT.format(scope=_SCOPE)
_COUNT_IN_REMEMBERED_SCOPE = _COUNT.format(scope=_REMEMBERED_SCOPE)
_MATCHES = f"{SEARCH_INDEX} MATCH :expression"


@dataclass(frozen=True)
class Count:
    """How many match, and what helps to find a page of them fast."""

    matching: int
    expression: str  # what they match
    part_outside: float  # which part of the base URIs is outside of the scope
    datasets: int  # about how many there are altogether


def find(
    match: Match, order: Mapping[str, int], offset: int, limit: int | None
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many datasets match, and the dataset objects of one page. Equals are sorted by URI.

    :param order: ``{field of a dataset object or "relevance": 1 or -1}``
    :param limit: None: all from *offset* on
    """
    counted = _count(match)
    found = _page(match, counted, order, offset, limit) if offset < counted.matching else []
    return counted.matching, found


def _count(match: Match) -> Count:
    scope = remembered(match.base_uris)
    if scope:
        ((matching, expression, *_),) = rows_of(_COUNT_IN_REMEMBERED_SCOPE, {**match.values(), **scope})
    else:
        ((matching, expression, *found),) = rows_of(_COUNT_IN_NEW_SCOPE, match.values())
        scope = dict(zip(_SCOPE_COLUMNS, found, strict=True))
        remember(match.base_uris, scope)
    return Count(matching, expression, scope["part_outside"], scope["datasets"])


# bm25() is the lower the better.
_RELEVANCE = f"-bm25({SEARCH_INDEX}, {', '.join(map(str, WEIGHTS.values()))}) AS relevance"


def _page(
    match: Match, count: Count, order: Mapping[str, int], offset: int, limit: int | None
) -> list[dict[str, Any]]:
    if list(order) == ["relevance"] and limit is not None:
        ids = _ids_by_relevance(order)
    elif limit is not None and _pays_to_walk(match, count, order, offset + limit):
        ids = _ids_by_walking(order)
    else:
        ids = _ids_by_sorting(order)
    statement = f"""
SELECT {", ".join(FIELDS.values())} FROM ({ids} LIMIT :limit OFFSET :offset) page
CROSS JOIN dataset d ON d.id = page.id CROSS JOIN base_uri b ON b.id = d.base_uri_id ORDER BY {_by(order)}
"""
    values = {"expression": count.expression, "offset": offset, "limit": -1 if limit is None else limit}
    return [dataset_object(row) for row in rows_of(statement, values)]


def _ids_by_relevance(order: Mapping[str, int]) -> str:
    """Rank everything that matches, and look at the URIs of those alone that can be on the page."""
    ahead, direction = (">=", "DESC") if order["relevance"] < 0 else ("<=", "ASC")
    return f"""
WITH ranked AS (SELECT rowid AS id, {_RELEVANCE} FROM {SEARCH_INDEX} WHERE {_MATCHES}),
     last AS (SELECT relevance FROM ranked ORDER BY relevance {direction} LIMIT 1 OFFSET :offset + :limit - 1)
SELECT ranked.id AS id, relevance FROM ranked CROSS JOIN dataset d ON d.id = ranked.id
WHERE NOT EXISTS (SELECT 1 FROM last) OR relevance {ahead} (SELECT relevance FROM last) ORDER BY {_by(order)}"""


def _ids_by_sorting(order: Mapping[str, int]) -> str:
    """Go through everything that matches, and keep the first few."""
    relevance = f", {_RELEVANCE}" if "relevance" in order else ""
    base_uri = "CROSS JOIN base_uri b ON b.id = d.base_uri_id" if "base_uri" in order else ""
    return (
        f"SELECT d.id AS id{relevance} FROM {SEARCH_INDEX} CROSS JOIN dataset d ON d.id = {SEARCH_INDEX}.rowid "
        f"{base_uri} WHERE {_MATCHES} ORDER BY {_by(order)}"
    )


def _ids_by_walking(order: Mapping[str, int]) -> str:
    """Go along the SQL index of the first field, picking what matches, until the page is full."""
    # The plus keeps SQLite from looking up each match by its id instead.
    return (
        f"SELECT d.id AS id FROM dataset d WHERE +d.id IN (SELECT rowid FROM {SEARCH_INDEX} WHERE {_MATCHES}) "
        f"ORDER BY {_by(order)}"
    )


_WALKABLE = ("uri", "name", "uuid", "creator_username")  # those with an SQL index

# Microseconds, roughly; only their proportions matter.
_SORT_A_MATCH = 0.45
_COLLECT_A_MATCH = 0.09
_WALK_A_STEP = 0.05


def _pays_to_walk(match: Match, count: Count, order: Mapping[str, int], needed: int) -> bool:
    """Return whether going along until *needed* matches are found costs less than sorting all of them."""
    if next(iter(order), "uri") not in _WALKABLE or "base_uri" in order or "relevance" in order:
        return False
    # What a creator holds may lie together at the end, and so may what is in scope.
    outside = 1 if match.has_filters else count.part_outside
    steps = count.datasets * (outside + (1 - outside) * needed / count.matching)
    return _COLLECT_A_MATCH * count.matching + _WALK_A_STEP * steps < _SORT_A_MATCH * count.matching


def _by(order: Mapping[str, int]) -> str:
    return sorted_by(order, {**FIELDS, "relevance": "relevance"})
