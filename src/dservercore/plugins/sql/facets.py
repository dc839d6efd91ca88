"""What datasets are counted under in an SQL database, so that facets of a hundred thousand matches are counted at once.

What a dataset is counted under falls into *groups*: one has all that there is one of (base URI, creator, uploader,
years, size), one the names of its annotations, and each of its tags is one. Many datasets share each of these, and a
dataset is stored with the numbers of its groups as one text. The texts of all that match, joined, are read once, and
how often a number occurs is counted; only then comes what the numbers stand for. A group belongs to one base URI, and
knows how many datasets have it: nothing else is read to count everything that somebody may search.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
from sqlalchemy import bindparam, text, update

from dservercore import db
from dservercore.dataset.facets import Facet, size_class
from dservercore.db import sql_db
from dservercore.models import SearchFacetGroup, SearchFacetValue
from dservercore.plugins.sql.list_values import rows_with_lists
from dservercore.plugins.tokens.index_document import (
    BASE_URI,
    CREATED,
    FROZEN,
    SIZE,
)

_group, _value = SearchFacetGroup.__table__, SearchFacetValue.__table__

# The facets of a dataset by the column that they stand in: together, each alone, and together again.
_OF_ROW = re.compile(r"=(?:yc|yf|[bcpz])[^ ]*")
_TAG = re.compile(r"=t[^ ]*")
_ANNOTATION = re.compile(r"=a[^ ]*")

#: The sign that facet tokens begin with, by the name of the facet.
_SIGNS: dict[Facet, str] = {
    "tags": "=t",
    "creator_usernames": "=c",
    "base_uris": BASE_URI,
    "uploaded_by": "=p",
    "created": CREATED,
    "frozen": FROZEN,
    "size": SIZE,
    "annotations": "=a",
}
#: Those of which the rest of the token says what it stands for.
_PLAIN: dict[Facet, Callable[[str], str]] = {
    "created": str,
    "frozen": str,
    "size": lambda power: size_class(int(power)),
}

_IDS = "SELECT g.digest, g.id FROM search_facet_group g WHERE g.digest {in_digests}"
_GROUPS = "SELECT g.id, g.facets FROM search_facet_group g WHERE g.id {in_ids}"
_TOTALS = """
SELECT g.id, g.facets, g.datasets FROM search_facet_group g
WHERE g.datasets > 0 AND g.base_uri_id IN (SELECT id FROM base_uri WHERE base_uri {in_base_uris})
"""
_BASE_URIS = "SELECT b.id, b.base_uri FROM base_uri b WHERE b.id {in_ids}"
_VALUES = "SELECT v.facet, v.value FROM search_facet_value v WHERE v.facet {in_facets}"
_COUNTED = "SELECT g.id, g.datasets FROM search_facet_group g WHERE g.datasets <> 0"

# On PostgreSQL rows are locked in one order, so that two writers never wait for each other.
_ADD_MANY = """
WITH changed (id, datasets) AS (SELECT * FROM unnest(CAST(:ids AS int[]), CAST(:datasets AS int[]))),
     locked AS (SELECT g.id FROM search_facet_group g JOIN changed USING (id) ORDER BY g.id FOR UPDATE OF g)
UPDATE search_facet_group g SET datasets = g.datasets + changed.datasets
FROM changed JOIN locked USING (id) WHERE g.id = changed.id
"""
_ADD = (
    update(_group)
    .where(_group.c.id == bindparam("of_id"))
    .values(datasets=_group.c.datasets + bindparam("more"))
)


# -- Writing ---------------------------------------------------------------------------------------------------------


def learn(values: Mapping[str, str]) -> None:
    """Store what facets stand for.

    :param values: creators, uploaders, tags and names of annotations by token
    """
    known = {facet for facet, _ in _rows(_VALUES, facets=sorted(values))}
    # In one order, or two transactions could wait for each other.
    new = [
        {"facet": facet, "value": json.dumps(values[facet])} for facet in sorted(values) if facet not in known
    ]
    if new:
        db.execute_many(sql_db.session.connection(), db.upsert(_value, ("facet",)), new)


def groups_of(documents: Iterable[Mapping[str, str]]) -> list[str]:
    """Return, for each dataset, the numbers of its groups with commas in between; groups that are new are stored.

    :param documents: the tokens of each dataset by column, with the facets of its row
    """
    wanted = [list(_groups_in(columns)) for columns in documents]
    groups = {_digest(*group): group for groups in wanted for group in groups}
    ids = dict(_rows(_IDS, digests=sorted(groups)))
    new = [
        {"digest": digest, "base_uri_id": groups[digest][0], "facets": groups[digest][1], "datasets": 0}
        for digest in sorted(groups)
        if digest not in ids
    ]
    if new:
        db.execute_many(sql_db.session.connection(), db.upsert(_group, ("digest",)), new)
        ids |= dict(_rows(_IDS, digests=[row["digest"] for row in new]))
    return [",".join(str(ids[_digest(*group)]) for group in groups) for groups in wanted]


def _groups_in(columns: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield the groups of a dataset: the primary key of its base URI, and facets."""
    of_row = _OF_ROW.findall(columns["facets"])
    base_uri_id = next(int(facet[len(BASE_URI) :]) for facet in of_row if facet.startswith(BASE_URI))
    yield base_uri_id, " ".join(of_row)
    annotations = _ANNOTATION.findall(columns["annotations"])
    if annotations:
        yield base_uri_id, " ".join(sorted(annotations))
    for tag in dict.fromkeys(_TAG.findall(columns["tags"])):
        yield base_uri_id, tag


def _digest(base_uri_id: int, facets: str) -> str:
    return blake2b(f"{base_uri_id} {facets}".encode(), digest_size=16).hexdigest()


def count_changes(before: Iterable[str], after: Iterable[str]) -> None:
    """Bring the numbers of datasets up to date.

    :param before: the groups of datasets as they were, with commas in between
    :param after: the groups of the same datasets as they are
    """
    changes = _counted(after)
    changes.subtract(_counted(before))
    changed = sorted(id_ for id_, more in changes.items() if more)
    if not changed:
        return
    connection = sql_db.session.connection()
    if db.kind() == "postgresql":
        values = {"ids": changed, "datasets": [changes[id_] for id_ in changed]}
        connection.execute(text(_ADD_MANY), values)
    else:
        connection.execute(_ADD, [{"of_id": id_, "more": changes[id_]} for id_ in changed])


def recount(groups: Iterable[str]) -> None:
    """Store anew how many datasets have each group.

    :param groups: of every dataset that is in the index
    """
    connection = sql_db.session.connection()
    counted = _counted(groups)
    connection.execute(update(_group).values(datasets=0))
    if counted:
        connection.execute(_ADD, [{"of_id": id_, "more": counted[id_]} for id_ in sorted(counted)])


def is_miscounted(groups: Iterable[str]) -> bool:
    """Return whether the stored numbers differ from those of the datasets.

    :param groups: of every dataset that is in the index
    """
    return dict(_rows(_COUNTED)) != dict(_counted(groups))


# Characters that are read at once: the numbers in them take ten times as much memory.
_PIECE = 50_000


def _counted(groups: Iterable[str]) -> Counter[int]:
    """Return how often each number occurs in texts of numbers with commas in between; a text may be empty."""
    counted: Counter[int] = Counter()
    pieces: list[str] = []
    size = 0
    for numbers in filter(None, groups):
        start = 0
        while start < len(numbers):
            end = len(numbers) if len(numbers) - start <= _PIECE else numbers.index(",", start + _PIECE - 20)
            pieces.append(numbers[start:end])
            size += end - start
            start = end + 1
            if size > _PIECE:
                counted.update(orjson.loads(f"[{','.join(pieces)}]"))
                pieces, size = [], 0
    counted.update(orjson.loads(f"[{','.join(pieces)}]"))
    return counted


# -- Counting --------------------------------------------------------------------------------------------------------


def in_base_uris(base_uris: Sequence[str], names: Collection[Facet]) -> dict[Facet, dict[str, int]]:
    """Return how many datasets in the base URIs have each value of the facets.

    :param names: of the facets
    """
    rows = _rows(_TOTALS, base_uris=list(base_uris))
    return _named([(facets, number) for _, facets, number in rows], names)


def of_datasets(groups: str, names: Collection[Facet]) -> dict[Facet, dict[str, int]]:
    """Return how many of some datasets have each value of the facets.

    :param groups: of all of them, with commas in between
    :param names: of the facets
    """
    counted = _counted([groups])
    rows = _rows(_GROUPS, ids=list(counted))
    return _named([(facets, counted[id_]) for id_, facets in rows], names)


def _named(groups: Iterable[tuple[str, int]], names: Collection[Facet]) -> dict[Facet, dict[str, int]]:
    """Return the values of the facets and how many datasets have each.

    :param groups: facets, and how many datasets have them
    """
    wanted = tuple(_SIGNS[name] for name in names)
    counted: defaultdict[str, int] = defaultdict(int)
    for facets, number in groups:
        for facet in facets.split(" "):
            if facet.startswith(wanted):
                counted[facet] += number
    by_name: dict[Facet, dict[str, int]] = {}
    for name in names:
        sign = _SIGNS[name]
        of_facet = {facet[len(sign) :]: n for facet, n in counted.items() if facet.startswith(sign)}
        by_name[name] = {value: of_facet[rest] for rest, value in _values(name, list(of_facet)).items()}
    return by_name


def _values(name: Facet, rests: list[str]) -> dict[str, str]:
    """Return what tokens of a facet stand for, by what follows their sign."""
    if name in _PLAIN:
        return {rest: _PLAIN[name](rest) for rest in rests}
    if name == "base_uris":
        return {str(id_): base_uri for id_, base_uri in _rows(_BASE_URIS, ids=list(map(int, rests)))}
    sign = _SIGNS[name]
    rows = _rows(_VALUES, facets=[sign + rest for rest in rests])
    return {facet[len(sign) :]: json.loads(value) for facet, value in rows}


def _rows(statement: str, **values: Any) -> Sequence[Any]:
    """Return the rows of a statement with lists; none where a list is empty."""
    return [] if any(value == [] for value in values.values()) else rows_with_lists(statement, **values)
