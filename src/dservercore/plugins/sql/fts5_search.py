"""Searching the index in SQLite: from a query to a MATCH expression of FTS5, and to a page of what matches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from dservercore.models import SEARCH_INDEX
from dservercore.plugins.index_document import BASE_URI, EVERY, FORM, NONE
from dservercore.plugins.sql import ranking
from dservercore.plugins.sql.columns import FIELDS, dataset_object, sorted_by
from dservercore.plugins.sql.cut_off import cut_off
from dservercore.plugins.sql.fts5_relevance import Equals, by_relevance
from dservercore.plugins.sql.ranking import Words
from dservercore.plugins.time_limit import TimeLimit
from dservercore.reading import remember, remembered, rows_of
from dservercore.text_query import Query, Term, stem


def within(limit: TimeLimit) -> AbstractContextManager[None]:
    """Limit the time of the searches that are made inside."""
    return cut_off(limit)


@dataclass(frozen=True)
class Match:
    """What to look for, in parts of a MATCH expression; SQLite adds the base URIs that the asker may search."""

    wanted: str  # what a dataset must have, whatever its base URI
    unwanted: str  # " OR "-joined; empty: nothing
    base_uris: tuple[str, ...]
    terms: tuple[Term, ...]  # what can be more or less relevant
    has_filters: bool

    def values(self) -> dict[str, str]:
        """Return the values of the parameters of ``_EXPRESSION``."""
        return {
            "wanted": self.wanted,
            "wanted_and": f"{self.wanted} AND " if self.terms or self.has_filters else "",
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
        base_uris=tuple(base_uris),
        terms=query.terms,
        has_filters=bool(facets),
    )


def _term(term: Term) -> str:
    words = " ".join(term.tokens)
    if term.prefix is None:
        return f'"{words}"'
    if not words:
        return f'("{term.prefix}" * OR "{FORM}{term.prefix}" *)'
    return f'("{words} {term.prefix}" * OR "{words} {stem(term.prefix)}")'


def _words(term: Term) -> Words:
    """Return the words of a term, each as a MATCH expression."""
    tokens = tuple(dict.fromkeys(term.tokens))
    queries = [f'"{token}"' for token in tokens]
    if term.prefix is not None:
        other = f'"{stem(term.prefix)}"' if tokens else f'"{FORM}{term.prefix}" *'
        queries.append(f'("{term.prefix}" * OR {other})')
    return Words(tokens, tuple(queries))


# Permission costs the less the fewer base URIs are named: those inside the scope, those outside of it, or none where
# the scope is everything. What there is to name is read at the same moment as the datasets, so that a base URI made in
# the meantime is not let in; as long as nobody commits anything, a connection remembers it, which takes a tenth off
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

# Of matches that are few, all are noted when they are counted: looking for them again to make a page of them would
# take as long once more.
_FEW = 50
_COUNT = f"""
WITH scope AS MATERIALIZED ({{scope}}),
     asked AS MATERIALIZED (SELECT {_EXPRESSION} AS expression FROM scope),
     few AS MATERIALIZED (
       SELECT rowid AS id FROM {SEARCH_INDEX} WHERE {SEARCH_INDEX} MATCH (SELECT expression FROM asked)
       LIMIT {_FEW + 1}
     )
SELECT CASE WHEN (SELECT count(*) FROM few) <= {_FEW} THEN (SELECT count(*) FROM few) ELSE
         (SELECT count(*) FROM {SEARCH_INDEX} WHERE {SEARCH_INDEX} MATCH (SELECT expression FROM asked)) END,
       (SELECT json_group_array(id) FROM few), (SELECT expression FROM asked), {", ".join(_SCOPE_COLUMNS)}
FROM scope
"""
_COUNT_IN_NEW_SCOPE = _COUNT.format(scope=_SCOPE)
_COUNT_IN_REMEMBERED_SCOPE = _COUNT.format(scope=_REMEMBERED_SCOPE)
_MATCHES = f"{SEARCH_INDEX} MATCH :expression"


@dataclass(frozen=True)
class Count:
    """How many match, and what helps to find a page of them fast."""

    matching: int
    few: str | None  # JSON array of the ids of all that match, if they are few
    expression: str  # what they match
    scope: Mapping[str, Any]  # see _SCOPE

    @property
    def part_outside(self) -> float:
        """Which part of the base URIs is outside of the scope."""
        return float(self.scope["part_outside"])

    @property
    def datasets(self) -> int:
        """About how many there are altogether."""
        return int(self.scope["datasets"])


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
    values = match.values()
    scope = remembered(match.base_uris)
    if scope:
        ((matching, few, expression, *_),) = rows_of(_COUNT_IN_REMEMBERED_SCOPE, {**values, **scope})
    else:
        values["base_uris"] = json.dumps(match.base_uris)
        ((matching, few, expression, *found),) = rows_of(_COUNT_IN_NEW_SCOPE, values)
        scope = dict(zip(_SCOPE_COLUMNS, found, strict=True))
        remember(match.base_uris, scope)
    few = few if matching <= _FEW else None
    return Count(matching, few, expression, scope)


# -- Relevance -------------------------------------------------------------------------------------------------------

_SMALL_SCOPE = 1000  # datasets
_IDS_AND_NUMBER = f"""
SELECT (SELECT json_group_array(rowid) FROM {SEARCH_INDEX} WHERE {_MATCHES}),
  (SELECT coalesce(sum(datasets), 0) FROM summary_count WHERE kind = 'base_uri' AND base_uri_id IN
    (SELECT id FROM base_uri WHERE base_uri IN (SELECT value FROM json_each(:base_uris)))),
  (SELECT json_group_array((SELECT count(*) FROM {SEARCH_INDEX} WHERE {SEARCH_INDEX} MATCH value))
    FROM json_each(:words))
"""


def _groups(match: Match, count: Count) -> list[Equals]:
    """Return what matches in groups of the equally relevant, the most relevant first."""
    terms = [_words(term) for term in match.terms]
    in_scope = partial(_in_scope, count.scope)
    words = ranking.queries_of(terms)
    values = {"expression": count.expression, "base_uris": json.dumps(match.base_uris)}
    values["words"] = json.dumps([in_scope(word) for word in words])
    ((ids, number, having),) = rows_of(_IDS_AND_NUMBER, values)
    rarities = ranking.rarities(terms, number, dict(zip(words, json.loads(having), strict=True)))
    # In a large scope, looking at all datasets that have a word takes less time than looking in each base URI.
    return by_relevance(json.loads(ids), terms, rarities, in_scope if number <= _SMALL_SCOPE else str)


def _in_scope(scope: Mapping[str, Any], wanted: str) -> str:
    """Return the MATCH expression of what is in scope, where something is, and answers another one."""
    if not scope["has_outside"]:
        return wanted
    if scope["is_most"]:
        return f"{wanted} NOT ({scope['outside']})"
    return f"{wanted} AND ({scope['inside']})"


# -- Pages -----------------------------------------------------------------------------------------------------------


def _page(
    match: Match, count: Count, order: Mapping[str, int], offset: int, limit: int | None
) -> list[dict[str, Any]]:
    values: dict[str, Any] = {"offset": offset, "limit": -1 if limit is None else limit}
    values["expression"] = count.expression
    if "relevance" in order:
        groups = _groups(match, count)
        if list(order) == ["relevance"] and limit is not None:
            groups, values["offset"] = _groups_on_page(groups, order["relevance"], offset, limit)
        ids = _ids_by_sorting_ranked(order)
        if len(groups) == 1 and order.keys() == {"relevance"}:
            ids, order = _ids_of_equals(match, count, len(groups[0][1]), values["offset"] + (limit or 0)), {}
            values["few"] = json.dumps(groups[0][1])
            values["base_uris"] = json.dumps(match.base_uris)
        else:
            values["ranked"] = json.dumps([(id_, relevance) for relevance, group in groups for id_ in group])
    elif count.few is not None:
        ids = _ids_of_few(order)
        values["few"] = count.few
    elif limit is not None and _pays_to_walk(match, count, order, offset + limit):
        ids = _ids_by_walking(match, order, _MATCHING)
        values["base_uris"] = json.dumps(match.base_uris)
    else:
        ids = _ids_by_sorting(order)
    statement = f"""
SELECT {", ".join(FIELDS.values())} FROM ({ids} LIMIT :limit OFFSET :offset) page
CROSS JOIN dataset d ON d.id = page.id CROSS JOIN base_uri b ON b.id = d.base_uri_id ORDER BY {_by(order)}
"""
    return [dataset_object(row) for row in rows_of(statement, values)]


def _groups_on_page(
    groups: list[Equals], direction: int, offset: int, limit: int
) -> tuple[list[Equals], int]:
    """Return the groups of which some are on a page, and how many of them come before it.

    :param groups: the most relevant first
    :param direction: 1: the least relevant come first; -1: the most relevant do
    """
    on_page: list[Equals] = []
    skipped, end = 0, 0
    for group in groups if direction < 0 else reversed(groups):
        if end + len(group[1]) <= offset:
            skipped += len(group[1])
        else:
            on_page.append(group)
        end += len(group[1])
        if end >= offset + limit:
            break
    return on_page, offset - skipped


def _ids_of_equals(match: Match, count: Count, equals: int, needed: int) -> str:
    """Sort those that are equally relevant by their URIs."""
    if needed and _pays_to_walk(match, replace(count, matching=equals), {}, needed):
        return _ids_by_walking(match, {}, _FEW_IDS)
    return _ids_of_few({})


_MATCHING = f"(SELECT rowid FROM {SEARCH_INDEX} WHERE {_MATCHES})"
_FEW_IDS = "(SELECT value FROM json_each(:few))"


def _ids_of_few(order: Mapping[str, int]) -> str:
    """Sort those that are known to match."""
    return (
        "SELECT d.id AS id FROM json_each(:few) CROSS JOIN dataset d ON d.id = value "
        f"{_base_uri_for(order)} ORDER BY {_by(order)}"
    )


def _ids_by_sorting_ranked(order: Mapping[str, int]) -> str:
    """Sort those of which it is known how relevant they are."""
    return (
        "SELECT d.id AS id, json_extract(value, '$[1]') AS relevance "
        "FROM json_each(:ranked) CROSS JOIN dataset d ON d.id = json_extract(value, '$[0]') "
        f"{_base_uri_for(order)} ORDER BY {_by(order)}"
    )


def _ids_by_sorting(order: Mapping[str, int]) -> str:
    """Go through everything that matches, and keep the first few."""
    return (
        f"SELECT d.id AS id FROM {SEARCH_INDEX} CROSS JOIN dataset d ON d.id = {SEARCH_INDEX}.rowid "
        f"{_base_uri_for(order)} WHERE {_MATCHES} ORDER BY {_by(order)}"
    )


def _base_uri_for(order: Mapping[str, int]) -> str:
    return "CROSS JOIN base_uri b ON b.id = d.base_uri_id" if "base_uri" in order else ""


def _ids_by_walking(match: Match, order: Mapping[str, int], ids: str) -> str:
    """Go along the SQL index of the first field, picking what is in *ids*, until the page is full."""
    if _first_field(order) == "uri" and _stand_together(match.base_uris):
        return _ids_by_walking_base_uris(order["uri"] if order else 1, ids)
    # The plus keeps SQLite from looking up each match by its id instead.
    return f"SELECT d.id AS id FROM dataset d WHERE +d.id IN {ids} ORDER BY {_by(order)}"


def _ids_by_walking_base_uris(direction: int, ids: str) -> str:
    """Go along the URIs of each base URI in scope, and not past those outside: 1 ms instead of up to 21."""
    return (
        "SELECT d.id AS id FROM base_uri b CROSS JOIN dataset d ON d.base_uri_id = b.id "
        f"WHERE b.base_uri IN (SELECT value FROM json_each(:base_uris)) AND +d.id IN {ids} "
        f"ORDER BY {sorted_by({'base_uri': direction, 'uri': direction}, FIELDS)}"
    )


def _stand_together(base_uris: Iterable[str]) -> bool:
    """Return whether datasets are sorted by URI where they are sorted by base URI, and by URI in each of them.

    Not so in ``s3://a`` and ``s3://a-b``: ``s3://a-b/x`` comes before ``s3://a/x``.
    """
    return not any(longer.startswith(shorter) for shorter, longer in pairwise(sorted(base_uris)))


_WALKABLE = ("uri", "name", "uuid", "creator_username")  # those with an SQL index

# Microseconds, roughly; only their proportions matter.
_SORT_A_MATCH = 0.45
_COLLECT_A_MATCH = 0.09
_WALK_A_STEP = 0.05


def _pays_to_walk(match: Match, count: Count, order: Mapping[str, int], needed: int) -> bool:
    """Return whether going along until *needed* matches are found costs less than sorting all of them."""
    first = _first_field(order)
    if first not in _WALKABLE or "base_uri" in order or "relevance" in order:
        return False
    # What a creator holds may lie together at the end, and so may what is in scope, unless one goes along that alone.
    outside, datasets = count.part_outside, float(count.datasets)
    if first == "uri" and _stand_together(match.base_uris):
        outside, datasets = 0, datasets * (1 - count.part_outside)
    if match.has_filters:
        outside = 1
    steps = datasets * (outside + (1 - outside) * needed / count.matching)
    return _COLLECT_A_MATCH * count.matching + _WALK_A_STEP * steps < _SORT_A_MATCH * count.matching


def _first_field(order: Mapping[str, int]) -> str:
    return next(iter(order), "uri")


def _by(order: Mapping[str, int]) -> str:
    return sorted_by(order, {**FIELDS, "relevance": "relevance"})
