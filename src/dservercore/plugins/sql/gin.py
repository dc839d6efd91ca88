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
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import text

from dservercore.dataset.analysis import BREAK
from dservercore.dataset.query_tree import Node, Query
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.models import SEARCH_INDEX
from dservercore.plugins.sql import facets, ranking, tsquery
from dservercore.plugins.sql.columns import FIELDS, TIMES, Columns, dataset_object, sorted_by
from dservercore.plugins.sql.cut_off import canceled
from dservercore.plugins.sql.index import Keys, SqlIndex
from dservercore.plugins.tokens.index import AHEAD, Request
from dservercore.plugins.tokens.index_document import ROW, VERSION
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.plugins.tokens.weights import WEIGHTS

#: Bytes of tokens that a row has room for.
PART_BYTES = 1_000_000


class GINIndex(SqlIndex):
    """The index in PostgreSQL."""

    def require_supported(self) -> None:
        """Pass: every PostgreSQL that is still maintained has what it takes."""

    def is_there(self) -> bool:
        """Return whether the database has the index."""
        return _execute("SELECT to_regclass(:name)", name=SEARCH_INDEX).scalar() is not None

    def put(self, wanted: Mapping[str, Columns]) -> dict[str, Keys]:
        """Put datasets into the index, in place of what is there of them, and return their keys by URI.

        :param wanted: by URI, what makes the dataset's columns of its row
        :raises UnknownURIError: if a dataset has no row
        """
        rows = _execute(_ROWS, uris=list(wanted)).all()
        unknown = wanted.keys() - {row.uri for row in rows}
        if unknown:
            raise UnknownURIError(f"No dataset is registered as {min(unknown)}")
        _put_in([(row, wanted[row.uri](row._mapping), VERSION) for row in rows])
        return {row.uri: Keys(row.id, row.base_uri_id) for row in rows}

    def change(self, uri: str, changed_columns: Columns) -> Keys:
        """Replace some of the columns of a dataset, and return its keys.

        :raises UnknownURIError: if the dataset is not in the index
        """
        row = _execute(_ROW_TO_CHANGE, uri=uri).first()
        if row is None:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        before = _columns(row.texts)
        after = {**before, **changed_columns(row._mapping)}
        if after != before:
            _put_in([(row, after, row.version)])  # the other columns are as old as they were
        return Keys(row.id, row.base_uri_id)

    def remove(self, uri: str) -> None:
        """Take a dataset out of the index, if it is there, while its row still exists."""
        facets.count_changes(filter(None, _execute(_TAKE_OUT, uri=uri).scalars()), [])

    def stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each registered dataset that is in the index."""
        yield from _execute(_STORED)

    def contains(self, uri: str) -> bool:
        """Return whether the index has a dataset."""
        return _execute(f"{_STORED} WHERE d.uri = :uri", uri=uri).first() is not None

    def has(self, uri: str, columns: Columns) -> bool:
        """Return whether the index has a dataset with the columns that *columns* makes of its row."""
        row = _execute(_ROW, uri=uri).first()
        if row is None:
            return False
        wanted = columns(row._mapping)
        words, parts = _words(row.id, wanted)
        values = {
            "id": row.id,
            "base_uri_id": row.base_uri_id,
            "uri": uri,
            "weights": ranking.weights(wanted),
        }
        held = _execute(_HELD, **values, words=words, parts=len(parts)).first()
        return held is not None and bool(held.agrees) and held.texts == _texts(wanted)

    def outdated(self) -> Iterator[str]:
        """Yield the URI of each registered dataset that another version of the text analysis has put into the index."""
        yield from _execute(_OUTDATED, version=VERSION).scalars()

    def faults(self) -> list[str]:
        """Return what is wrong with the index as a whole. Its rows are tied to the datasets'."""
        if not self.is_there():
            return ["is missing: `flask db upgrade` makes it"]
        if facets.is_miscounted(_execute(_FACET_GROUPS).scalars()):
            return ["has other numbers of datasets than facets are counted from"]
        return []

    def mend(self) -> None:
        """Make the index anew from the texts that it has."""
        for row in _execute(_ALL).all():
            _put_in([(row, _columns(row.texts), row.version)])
        facets.recount(_execute(_FACET_GROUPS).scalars())

    @contextmanager
    def within(self, limit: TimeLimit) -> Iterator[None]:
        """Limit the time of each statement in a ``with`` block.

        :raises UnavailableError: if a statement takes longer
        """
        # Lists of matches stay in memory. PostgreSQL does not know how long it takes to read what is stored apart from
        # a row: it must not go through all.
        with canceled(limit, "work_mem = '64MB'", "enable_seqscan = off"):
            yield

    def match(
        self, query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]
    ) -> tsquery.Match | None:
        """Return what to look for: datasets in *base_uris* that answer *query* and have a facet of each group.

        :param query: what to look for in the words; empty: any dataset answers it
        :param facets: groups of facet tokens, alternatives within a group
        """
        [found] = self._matches([query], base_uris, facets)
        return found

    def _matches(
        self, queries: Sequence[Query], base_uris: Iterable[str], facets: Sequence[Sequence[str]] = ()
    ) -> list[tsquery.Match | None]:
        """Return what to look for, for each query, as :meth:`match` does, with one statement for all."""
        possible = [base_uri for base_uri in base_uris if _is_text(base_uri)]
        words = list(dict.fromkeys(word for query in queries for word in tsquery.words_in(query)))
        ids, parted = _execute(_ASKED, base_uris=possible, words=words).one()
        having = json.loads(parted or "{}")
        return [tsquery.match(query, facets, ids, having) if ids else None for query in queries]

    def page(self, match: tsquery.Match | None, request: Request) -> tuple[int, list[dict[str, Any]]]:
        """Return how many datasets match, and the dataset objects of the page that *request* asks for.

        :param match: what :meth:`match` has returned
        """
        if match is None:
            return 0, []
        tables, counted, page, values = _matching_and_page(match, request)
        statement = f"""
WITH {tables}, page AS ({page} LIMIT :limit OFFSET :offset)
SELECT (SELECT count(*) FROM {counted}), {", ".join(FIELDS.values())}
FROM page JOIN dataset d ON d.id = page.id JOIN base_uri b ON b.id = d.base_uri_id
ORDER BY {sorted_by(request.order, {**_SORTED, "relevance": "page.relevance"})}
"""
        # No table is larger than a bigint says, and no page begins behind it.
        offset = min(request.offset, 2**62)
        rows = _execute(statement, offset=offset, limit=request.size, **values).all()
        if rows:
            return rows[0][0], [dataset_object(row[1:]) for row in rows]
        return (_count(match, request.is_grouped) if offset else 0), []

    def exist(self, queries: Sequence[Query], base_uris: Sequence[str]) -> list[bool]:
        """Return, for each query, whether any dataset in the base URIs answers it."""
        matches = self._matches(queries, base_uris)
        return [match is not None and _exists(match) for match in matches]

    def number_of(self, match: tsquery.Match | None, most: int) -> int:
        """Return how many datasets match, or *most* if these are as many or more.

        :param match: what :meth:`match` has returned
        """
        return 0 if match is None else _count(match, most=most)

    def facet_groups(self, match: tsquery.Match | None) -> str:
        """Return the facet groups of all datasets that match, with commas in between (see ``facets``).

        :param match: what :meth:`match` has returned
        """
        if match is None:
            return ""
        statement = f"SELECT string_agg(s.facet_groups, ',') FROM {SEARCH_INDEX} s WHERE {match.where()}"
        groups: str | None = _execute(statement, wanted=match.wanted, **match.values).scalar()
        return groups or ""

    def ids(self, match: tsquery.Match | None, request: Request) -> array[int]:
        """Return the primary keys of all datasets that match, in the order that *request* asks for.

        :param match: what :meth:`match` has returned
        """
        if match is None:
            return array("q")
        tables, _, page, values = _matching_and_page(match, request)
        statement = f"WITH {tables} SELECT CAST(json_agg(id) AS text) FROM ({page}) AS page"
        return array("q", orjson.loads(_execute(statement, **values).scalar() or "[]"))

    def numbers(self, nodes: Sequence[Node], base_uris: Sequence[str]) -> tuple[int, list[int]]:
        """Return how many datasets there are in the base URIs, and how many of them fulfil each node."""
        everything, *matches = self._matches([Query(), *(Query((node,)) for node in nodes)], base_uris)
        if everything is None:
            return 0, [0 for _ in nodes]
        number = _execute(_NUMBER, ids=list(everything.base_uri_ids)).scalar()
        return int(number), [0 if match is None else _count(match) for match in matches]


def _matching_and_page(match: tsquery.Match, request: Request) -> tuple[str, str, str, dict[str, Any]]:
    """Return what a SELECT of a page begins with, the table that is counted, the SELECT that sorts it, and the values.

    The table has one row for each dataset that matches; where copies of a UUID count as one, for the first of them.
    """
    order = request.order
    relevance, joined, flags = "", "", ""
    values: dict[str, Any] = {"wanted": match.wanted, **match.values}
    if "relevance" in order:
        expression, flags = _relevance(match, request, values)
        relevance = f", {expression} AS relevance"
        joined = f"JOIN {SEARCH_INDEX}_weights w USING (dataset_id)"
    if request.is_grouped or order.keys() - {"uri", "relevance"}:
        joined += " JOIN dataset d ON d.id = m.dataset_id"
    if "base_uri" in order:
        joined += " JOIN base_uri b ON b.id = d.base_uri_id"
    matching = f"SELECT s.dataset_id, s.uri{flags} FROM {SEARCH_INDEX} s WHERE {match.where()}"
    tables, columns, found = (
        f"matching AS MATERIALIZED ({matching})",
        f"m.dataset_id AS id{relevance}",
        "matching m",
    )
    keys = {**_SORTED, "uri": "m.uri", "relevance": "relevance"}
    if not request.is_grouped:
        page = f"SELECT {columns} FROM {found} {joined} ORDER BY {sorted_by(order, keys)}"
        return tables, "matching", page, values
    sorted_columns = "".join(f", {keys[field]} AS {field}" for field in {"uri", *order} - {"relevance"})
    tables += f""",
first_copies AS MATERIALIZED (
  SELECT DISTINCT ON (d.uuid) {columns}{sorted_columns} FROM {found} {joined} ORDER BY d.uuid, {sorted_by(order, keys)}
)"""
    by_name = {field: field for field in keys}
    columns = "id, relevance" if relevance else "id"
    return (
        tables,
        "first_copies",
        f"SELECT {columns} FROM first_copies ORDER BY {sorted_by(order, by_name)}",
        values,
    )


def _relevance(match: tsquery.Match, request: Request, values: dict[str, Any]) -> tuple[str, str]:
    """Return the expression of how relevant a dataset is, and the columns that it needs of the datasets that match.

    :param values: those of its parameters are added
    """
    columns: list[str] = []

    def having(query: str) -> str:
        flag = f"flag{len(columns)}"
        values[flag] = query
        columns.append(f", (s.words @@ CAST(:{flag} AS tsquery)) AS {flag}")
        return f"m.{flag}"

    if request.ranking is None:
        terms = [
            ranking.Words(tuple(dict.fromkeys(term.tokens)), tuple(tsquery.words_of(term)))
            for term in match.terms
        ]
        expression, words = ranking.expression(terms, _rarities(match.base_uri_ids, terms))
        values |= words
    else:
        expression = ranking.expression_of_parts(request.ranking, having, values)
    if request.named is not None:
        condition = having(match.having.at_least(request.named))
        expression = f"{expression} + CASE WHEN {condition} THEN {AHEAD!r} ELSE 0 END"
    return expression, "".join(columns)


def _execute(statement: str, **values: Any) -> Any:
    return sql_db.session.connection().execute(text(statement), values)


# -- Writing ---------------------------------------------------------------------------------------------------------

_OF_ROW = ", ".join(f"d.{column}" for column in ROW)
_ROWS = f"""
SELECT d.uri, d.id, {_OF_ROW} FROM dataset d WHERE d.uri = ANY (:uris)
"""
_ROW = f"SELECT d.id, {_OF_ROW} FROM dataset d WHERE d.uri = :uri"
# Locks both rows: what somebody else has changed while this waited is in what it returns.
_ROW_TO_CHANGE = f"""
SELECT d.uri, d.id, {_OF_ROW}, s.texts, s.version
FROM dataset d JOIN {SEARCH_INDEX} s ON s.dataset_id = d.id WHERE d.uri = :uri FOR NO KEY UPDATE OF d, s
"""
_BATCH = {
    "ids": "integer",
    "base_uri_ids": "integer",
    "uris": "text",
    "texts": "text",
    "words": "text",
    "weights": "bytea",
    "versions": "smallint",
    "facet_groups": "text",
}
# One statement for any number of datasets: each array has the values of one column.
_PUT_IN = f"""
WITH given (id, base_uri_id, uri, texts, words, weights, version, facet_groups) AS (
  SELECT * FROM unnest({", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _BATCH.items())})
), weighed AS (
  INSERT INTO {SEARCH_INDEX}_weights (dataset_id, weights) SELECT id, weights FROM given
  ON CONFLICT (dataset_id) DO UPDATE SET weights = excluded.weights
), parts AS (
  DELETE FROM {SEARCH_INDEX}_part WHERE dataset_id = ANY (CAST(:ids AS integer[]))
)
INSERT INTO {SEARCH_INDEX} (dataset_id, base_uri_id, uri, texts, words, version, facet_groups)
SELECT id, base_uri_id, uri, texts, array_to_tsvector(string_to_array(words, ' ')), version, facet_groups FROM given
ON CONFLICT (dataset_id) DO UPDATE
SET base_uri_id = excluded.base_uri_id, uri = excluded.uri, texts = excluded.texts, words = excluded.words,
    version = excluded.version, facet_groups = excluded.facet_groups
"""
_FACET_GROUPS = f"SELECT facet_groups FROM {SEARCH_INDEX} WHERE facet_groups IS NOT NULL"
_PUT_PART = f"""
INSERT INTO {SEARCH_INDEX}_part (dataset_id, number, words)
VALUES (:id, :number, array_to_tsvector(string_to_array(:words, ' ')))
"""
_TAKE_OUT = f"""
WITH gone AS (SELECT id FROM dataset WHERE uri = :uri),
     weights AS (DELETE FROM {SEARCH_INDEX}_weights WHERE dataset_id IN (SELECT id FROM gone)),
     parts AS (DELETE FROM {SEARCH_INDEX}_part WHERE dataset_id IN (SELECT id FROM gone))
DELETE FROM {SEARCH_INDEX} WHERE dataset_id IN (SELECT id FROM gone) RETURNING facet_groups
"""


def _put_in(documents: Iterable[tuple[Any, Mapping[str, str], int]]) -> None:
    """Put datasets into the index.

    :param documents: row and columns of each, and the version of the text analysis that has made the columns, or the
        oldest of them
    """
    given = list(documents)
    batch: dict[str, list[Any]] = {name: [] for name in _BATCH}
    all_parts = []
    before = list(
        _execute(
            f"{_FACET_GROUPS} AND dataset_id = ANY (:ids)", ids=[row.id for row, _, _ in given]
        ).scalars()
    )
    after = facets.groups_of(columns for _, columns, _ in given)
    for (row, columns, version), groups in zip(given, after, strict=True):
        words, parts = _words(row.id, columns)
        weights = ranking.weights(columns)
        values = (row.id, row.base_uri_id, row.uri, _texts(columns), words, weights, version, groups)
        for name, value in zip(_BATCH, values, strict=True):
            batch[name].append(value)
        all_parts += [{"id": row.id, "number": number, "words": part} for number, part in enumerate(parts)]
    _execute(_PUT_IN, **batch)
    for part in all_parts:
        _execute(_PUT_PART, **part)
    facets.count_changes(before, after)


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
_OUTDATED = f"""
SELECT d.uri FROM {SEARCH_INDEX} s JOIN dataset d ON d.id = s.dataset_id WHERE s.version <> :version ORDER BY d.id
"""
_ALL = f"""
SELECT d.id, d.base_uri_id, d.uri, s.texts, s.version FROM {SEARCH_INDEX} s JOIN dataset d ON d.id = s.dataset_id
"""


# -- Asking ----------------------------------------------------------------------------------------------------------


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


def _is_text(value: str) -> bool:
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


# By code point, whatever language the database sorts by.
_SORTED = {
    field: column if field in TIMES else f'{column} COLLATE "C"'
    for field, column in FIELDS.items()
    if field not in ("number_of_items", "size_in_bytes")
}


def _exists(match: tsquery.Match) -> bool:
    statement = f"SELECT EXISTS (SELECT 1 FROM {SEARCH_INDEX} s WHERE {match.where()})"
    return bool(_execute(statement, wanted=match.wanted, **match.values).scalar())


def _count(match: tsquery.Match, is_grouped: bool = False, most: int | None = None) -> int:
    """Return how many datasets match, or *most* if these are as many or more; None: all are counted.

    :param is_grouped: count copies of a UUID as one
    """
    statement = f"SELECT count(*) FROM {SEARCH_INDEX} s WHERE {match.where()}"
    if is_grouped:
        statement = (
            f"SELECT count(DISTINCT d.uuid) FROM {SEARCH_INDEX} s JOIN dataset d ON d.id = s.dataset_id"
            f" WHERE {match.where()}"
        )
    elif most is not None:
        statement = f"SELECT count(*) FROM (SELECT FROM {SEARCH_INDEX} s WHERE {match.where()} LIMIT {most}) AS enough"
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
