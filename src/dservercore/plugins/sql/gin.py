"""The search index in PostgreSQL.

``search_index`` has a row for each dataset. ``words`` are its tokens, each once and without positions, in a GIN index:
those of PostgreSQL's own parser would be split and stemmed by other rules than the query language has, and be cut off
after some thousand positions. ``texts`` are the columns, one a line, in which phrases are looked for. Both are stored
apart from the row, so that counting and sorting thousands of matches reads few pages.

A ``tsvector`` has room for 1 MB. Tokens beyond are in ``search_index_part``; the few datasets that have some have a
facet of their own, by which they are named in the question. How much words count is in ``search_index_weights``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.models import SEARCH_INDEX
from dservercore.plugins.sql import ranking, tsquery
from dservercore.plugins.sql.columns import FIELDS, TIMES, WEIGHTS, Columns, dataset_object, sorted_by
from dservercore.plugins.time_limit import TimeLimit
from dservercore.text_query import BREAK, Query

#: Bytes of tokens that a row has room for.
PART_BYTES = 1_000_000

_CANCELED = "57014"


def require_supported() -> None:
    """Pass: every PostgreSQL that is still maintained has what it takes."""


def is_there() -> bool:
    """Return whether the database has the index."""
    return _execute("SELECT to_regclass(:name)", name=SEARCH_INDEX).scalar() is not None


def _execute(statement: str, **values: Any) -> Any:
    return sql_db.session.connection().execute(text(statement), values)


# -- Writing ---------------------------------------------------------------------------------------------------------

_ROWS = """
SELECT d.uri, d.id, d.base_uri_id, d.creator_username, d.uploaded_by, d.uuid FROM dataset d WHERE d.uri = ANY (:uris)
"""
_ROW = (
    "SELECT d.id, d.base_uri_id, d.creator_username, d.uploaded_by, d.uuid FROM dataset d WHERE d.uri = :uri"
)
# Both rows: what somebody else has changed while this waited is in what it gets.
_ROW_TO_CHANGE = f"""
SELECT d.uri, d.id, d.base_uri_id, d.creator_username, d.uploaded_by, d.uuid, s.texts
FROM dataset d JOIN {SEARCH_INDEX} s ON s.dataset_id = d.id WHERE d.uri = :uri FOR NO KEY UPDATE OF d, s
"""
_BATCH = {
    "ids": "integer",
    "base_uri_ids": "integer",
    "uris": "text",
    "texts": "text",
    "words": "text",
    "weights": "bytea",
}
# One statement, however many they are: each array has the values of one column.
_PUT_IN = f"""
WITH given (id, base_uri_id, uri, texts, words, weights) AS (
  SELECT * FROM unnest({", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _BATCH.items())})
), weighed AS (
  INSERT INTO {SEARCH_INDEX}_weights (dataset_id, weights) SELECT id, weights FROM given
  ON CONFLICT (dataset_id) DO UPDATE SET weights = excluded.weights
), parts AS (
  DELETE FROM {SEARCH_INDEX}_part WHERE dataset_id = ANY (CAST(:ids AS integer[]))
)
INSERT INTO {SEARCH_INDEX} (dataset_id, base_uri_id, uri, texts, words)
SELECT id, base_uri_id, uri, texts, array_to_tsvector(string_to_array(words, ' ')) FROM given
ON CONFLICT (dataset_id) DO UPDATE
SET base_uri_id = excluded.base_uri_id, uri = excluded.uri, texts = excluded.texts, words = excluded.words
"""
_PUT_PART = f"""
INSERT INTO {SEARCH_INDEX}_part (dataset_id, number, words)
VALUES (:id, :number, array_to_tsvector(string_to_array(:words, ' ')))
"""
_TAKE_OUT = f"""
WITH gone AS (SELECT id FROM dataset WHERE uri = :uri),
     weights AS (DELETE FROM {SEARCH_INDEX}_weights WHERE dataset_id IN (SELECT id FROM gone)),
     parts AS (DELETE FROM {SEARCH_INDEX}_part WHERE dataset_id IN (SELECT id FROM gone))
DELETE FROM {SEARCH_INDEX} WHERE dataset_id IN (SELECT id FROM gone)
"""


def store(wanted: Mapping[str, Columns]) -> None:
    """Put datasets, by their URIs, into the index, in place of what is there of them.

    :raises UnknownURIError: if one has no row
    """
    rows = _execute(_ROWS, uris=list(wanted)).all()
    unknown = wanted.keys() - {row.uri for row in rows}
    if unknown:
        raise UnknownURIError(f"No dataset is registered as {min(unknown)}")
    _put_in([(row, wanted[row.uri](row._mapping)) for row in rows])


def change(uri: str, changed_columns: Columns) -> None:
    """Replace some of the columns.

    :raises UnknownURIError: if the dataset is not in the index
    """
    row = _execute(_ROW_TO_CHANGE, uri=uri).first()
    if row is None:
        raise UnknownURIError(f"No dataset is registered as {uri}")
    before = _columns(row.texts)
    after = {**before, **changed_columns(row._mapping)}
    if after != before:
        _put_in([(row, after)])


def remove(uri: str) -> None:
    """Take a dataset out of the index, if it is there, while its row still exists."""
    _execute(_TAKE_OUT, uri=uri)


def _put_in(documents: Iterable[tuple[Any, Mapping[str, str]]]) -> None:
    """Put datasets into the index, given their rows and columns."""
    batch: dict[str, list[Any]] = {name: [] for name in _BATCH}
    all_parts = []
    for row, columns in documents:
        words, parts = _words(row.id, columns)
        values = (row.id, row.base_uri_id, row.uri, _texts(columns), words, ranking.weights(columns))
        for name, value in zip(_BATCH, values, strict=True):
            batch[name].append(value)
        all_parts += [{"id": row.id, "number": number, "words": part} for number, part in enumerate(parts)]
    _execute(_PUT_IN, **batch)
    for part in all_parts:
        _execute(_PUT_PART, **part)


def _words(dataset_id: int, columns: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the tokens for the row of a dataset, and those that are stored in parts beside it."""
    # The facets first: they are asked for in the row itself. The lead is in the README.
    tokens = dict.fromkeys(columns["facets"].split())
    tokens |= dict.fromkeys(" ".join(columns[name] for name in WEIGHTS if name != "lead").split())
    tokens.pop(BREAK, None)
    words, *parts = _parts(tokens)
    return (f"{words} {tsquery.PARTED}{dataset_id}" if parts else words), parts


def _parts(tokens: Iterable[str]) -> Iterator[str]:
    """Yield the tokens, separated by spaces, in as few pieces as have room in a row each."""
    whole = " ".join(tokens)
    step = PART_BYTES if whole.isascii() else PART_BYTES // 4
    start = 0
    while len(whole) - start > step:
        end = whole.rindex(" ", start, start + step)
        yield whole[start:end]
        start = end + 1
    yield whole[start:]


def _texts(columns: Mapping[str, str]) -> str:
    return "\n".join(f" {columns[name]} " for name in WEIGHTS)


def _columns(texts: str) -> dict[str, str]:
    return {name: column[1:-1] for name, column in zip(WEIGHTS, texts.split("\n"), strict=True)}


# -- Checking --------------------------------------------------------------------------------------------------------

_STORED = f"SELECT d.uri, d.uuid FROM {SEARCH_INDEX} s JOIN dataset d ON d.id = s.dataset_id"
_HELD = f"""
SELECT s.texts, s.base_uri_id = :base_uri_id AND s.uri = :uri AND w.weights = :weights
  AND s.words = array_to_tsvector(string_to_array(:words, ' '))
  AND (SELECT count(*) FROM {SEARCH_INDEX}_part p WHERE p.dataset_id = :id) = :parts AS agrees
FROM {SEARCH_INDEX} s LEFT JOIN {SEARCH_INDEX}_weights w USING (dataset_id) WHERE s.dataset_id = :id
"""
_ALL = f"""
SELECT d.id, d.base_uri_id, d.uri, s.texts FROM {SEARCH_INDEX} s JOIN dataset d ON d.id = s.dataset_id
"""


def stored() -> Iterator[tuple[str, str]]:
    """Yield URI and UUID of each registered dataset that is in the index."""
    yield from _execute(_STORED)


def contains(uri: str) -> bool:
    """Return whether the index has a dataset."""
    return _execute(f"{_STORED} WHERE d.uri = :uri", uri=uri).first() is not None


def holds(uri: str, columns: Columns) -> bool:
    """Return whether the index has these columns of a dataset."""
    row = _execute(_ROW, uri=uri).first()
    if row is None:
        return False
    wanted = columns(row._mapping)
    words, parts = _words(row.id, wanted)
    values = {"id": row.id, "base_uri_id": row.base_uri_id, "uri": uri, "weights": ranking.weights(wanted)}
    held = _execute(_HELD, **values, words=words, parts=len(parts)).first()
    return held is not None and bool(held.agrees) and held.texts == _texts(wanted)


def faults() -> list[str]:
    """Return what is wrong with the index as a whole: that it is missing. Its rows are tied to the datasets'."""
    return [] if is_there() else ["is missing: `flask db upgrade` makes it"]


def rebuild() -> None:
    """Make the index anew from the texts that it has."""
    for row in _execute(_ALL).all():
        _put_in([(row, _columns(row.texts))])


# -- Asking ----------------------------------------------------------------------------------------------------------


@contextmanager
def within(limit: TimeLimit) -> Iterator[None]:
    """Limit the time of each statement of the searches that are made inside.

    :raises UnavailableError: if one takes longer
    """
    connection = sql_db.session.connection()
    # What is set goes back with the savepoint, and the transaction goes on even where a search was cut off. To compile
    # a statement, or to start processes for it, takes longer than what would be won. Lists of matches stay in memory.
    # PostgreSQL does not know how long it takes to read what is stored apart from a row: it must not go through all.
    milliseconds = max(1, round(limit.seconds_left() * 1000))
    connection.exec_driver_sql(
        f"SAVEPOINT search; SET LOCAL statement_timeout = {milliseconds}; SET LOCAL jit = off;"
        " SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '64MB';"
        " SET LOCAL enable_seqscan = off"
    )
    try:
        yield
    except OperationalError as error:
        if _CANCELED in (getattr(error.orig, "sqlstate", None), getattr(error.orig, "pgcode", None)):
            raise limit.exceeded() from error
        raise
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT search; RELEASE SAVEPOINT search")


# In one statement, because asking takes longer than answering: the keys of the base URIs, and of each word the datasets
# that have it in a part.
_KEYS = "SELECT array_agg(id ORDER BY id) FROM base_uri WHERE base_uri = ANY (:base_uris)"
_PARTED = f"""
SELECT CAST(json_object_agg(word, ids) AS text) FROM (
  SELECT word, array_agg(DISTINCT p.dataset_id) AS ids FROM unnest(CAST(:words AS text[])) AS asked (word)
  JOIN {SEARCH_INDEX}_part p ON p.words @@ CAST(word AS tsquery) GROUP BY word
) AS parted
"""
_ASKED = f"SELECT ({_KEYS}), ({_PARTED})"
_NUMBER = (
    "SELECT coalesce(sum(datasets), 0) FROM summary_count"
    " WHERE kind = 'base_uri' AND base_uri_id = ANY (CAST(:ids AS int[]))"
)


def match(query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]) -> tsquery.Match | None:
    """Return what to look for: datasets in *base_uris* that answer *query* and have a facet of each group.

    :param query: empty: whatever the words
    :param facets: groups of facet tokens, alternatives within a group
    """
    possible = [base_uri for base_uri in base_uris if _is_text(base_uri)]
    terms = [*query.none_of, *(term for any_of in query.all_of for term in any_of.terms)]
    words = list(dict.fromkeys(word for term in terms for word in tsquery.words_of(term)))
    ids, parted = _execute(_ASKED, base_uris=possible, words=words).one()
    return tsquery.match(query, facets, ids, json.loads(parted or "{}")) if ids else None


def _is_text(value: str) -> bool:
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


# By code point, whatever language the database sorts by.
_SORTED = {
    field: column if field in TIMES else f'{column} COLLATE "C"'
    for field, column in FIELDS.items()
    if field not in ("number_of_items", "size_in_bytes")
}


def find(
    match: tsquery.Match | None, order: Mapping[str, int], offset: int, limit: int | None
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many datasets match, and the dataset objects of one page. Equals are sorted by URI.

    :param order: ``{field of a dataset object or "relevance": 1 or -1}``
    :param limit: None: all from *offset* on
    """
    if match is None:
        return 0, []
    relevance, joined = "", ""
    values: dict[str, Any] = {"wanted": match.wanted, **match.values}
    if "relevance" in order:
        terms = [
            ranking.Words(tuple(dict.fromkeys(term.tokens)), tuple(tsquery.words_of(term)))
            for term in match.terms
        ]
        expression, words = ranking.expression(terms, _rarities(match.base_uri_ids, terms))
        values |= words
        relevance, joined = (
            f", {expression} AS relevance",
            f"JOIN {SEARCH_INDEX}_weights w USING (dataset_id)",
        )
    if order.keys() - {"uri", "relevance"}:
        joined += " JOIN dataset d ON d.id = m.dataset_id JOIN base_uri b ON b.id = d.base_uri_id"
    inner = sorted_by(order, {**_SORTED, "uri": "m.uri", "relevance": "relevance"})
    statement = f"""
WITH matching AS MATERIALIZED (SELECT s.dataset_id, s.uri FROM {SEARCH_INDEX} s WHERE {match.where()}),
page AS (SELECT m.dataset_id AS id{relevance} FROM matching m {joined} ORDER BY {inner} LIMIT :limit OFFSET :offset)
SELECT (SELECT count(*) FROM matching), {", ".join(FIELDS.values())}
FROM page JOIN dataset d ON d.id = page.id JOIN base_uri b ON b.id = d.base_uri_id
ORDER BY {sorted_by(order, {**_SORTED, "relevance": "page.relevance"})}
"""
    # No table is larger than a bigint says, and no page begins behind it.
    offset = min(offset, 2**62)
    rows = _execute(statement, offset=offset, limit=limit, **values).all()
    if rows:
        return rows[0][0], [dataset_object(row[1:]) for row in rows]
    return (_count(match) if offset else 0), []


def _count(match: tsquery.Match) -> int:
    statement = f"SELECT count(*) FROM {SEARCH_INDEX} s WHERE {match.where()}"
    number: int = _execute(statement, wanted=match.wanted, **match.values).scalar()
    return number


def _rarities(base_uri_ids: Sequence[int], terms: Sequence[ranking.Words]) -> list[float]:
    """Return how rare each term is in the base URIs."""
    words = ranking.queries_of(terms)
    if not words:
        return ranking.rarities(terms, 0, {})
    scope = tsquery.Match(())
    within = [f"({group})" for group in tsquery.in_base_uris(scope, base_uri_ids)]
    condition = " AND ".join([f"{SEARCH_INDEX} s WHERE s.words @@ CAST(:{{}} AS tsquery)", *scope.conditions])
    having = [f"(SELECT count(*) FROM {condition.format(f'w{n}')})" for n in range(len(words))]
    values = {f"w{n}": " & ".join([word, *within]) for n, word in enumerate(words)}
    number, *numbers = _execute(
        f"SELECT ({_NUMBER}), {', '.join(having)}", ids=list(base_uri_ids), **values, **scope.values
    ).one()
    return ranking.rarities(terms, int(number), dict(zip(words, numbers, strict=True)))
