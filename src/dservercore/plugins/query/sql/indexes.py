"""Values that are found by an index: which paths have one, and how it is filled and used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select

from dservercore.db import execute_many, sql_db
from dservercore.plugins.query.conditions import Compared, Equal, OneOf, Path, Test
from dservercore.plugins.query.language import InvalidQueryError, parse_path
from dservercore.plugins.query.models import INDEXED_CHARACTERS, QueryIndex, QueryIndexValue
from dservercore.plugins.query.paths import values_at
from dservercore.plugins.query.sql import databases
from dservercore.plugins.query.sql.dialect import Parameters
from dservercore.plugins.query.sql.encoding import encode_text
from dservercore.plugins.query.sql.translation import Hint

_index = QueryIndex.__table__
_value = QueryIndexValue.__table__
_Indexes = Mapping[str, int]


def list_indexes() -> dict[str, int]:
    """Return the primary key of each index, by its path."""
    rows = sql_db.session.connection().execute(select(_index.c.path, _index.c.id).order_by(_index.c.path))
    return {row.path: row.id for row in rows}


def create_index(name: str, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    """Make an index of what a path leads to.

    :param documents: the primary key of each dataset, and its document
    :raises InvalidQueryError: if the path is none, or has an index
    """
    path = parse_path(name)
    connection = sql_db.session.connection()
    if name in list_indexes():
        raise InvalidQueryError(name, "has an index")
    connection.execute(insert(_index), {"path": name})
    id_ = list_indexes()[name]
    rows = (row for dataset_id, document in documents for row in _rows(id_, path, dataset_id, document))
    for some in _some(rows):
        execute_many(connection, insert(_value), some)


def drop_index(name: str) -> bool:
    """Drop the index of a path; return whether there was one."""
    id_ = list_indexes().get(name)
    if id_ is None:
        return False
    connection = sql_db.session.connection()
    connection.execute(delete(_value).where(_value.c.index_id == id_))
    connection.execute(delete(_index).where(_index.c.id == id_))
    return True


def put(documents: Mapping[int, Mapping[str, Any]]) -> None:
    """Replace what the indexes have of datasets.

    :param documents: by the primary key of the dataset
    """
    indexes = list_indexes()
    if not indexes:
        return
    connection = sql_db.session.connection()
    connection.execute(delete(_value).where(_value.c.dataset_id.in_(list(documents))))
    rows = [
        row
        for name, id_ in indexes.items()
        for dataset_id, document in documents.items()
        for row in _rows(id_, parse_path(name), dataset_id, document)
    ]
    for some in _some(rows):
        execute_many(connection, insert(_value), some)


def _some(rows: Iterable[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == 1000:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(
    id_: int, path: Path, dataset_id: int, document: Mapping[str, Any]
) -> Iterator[dict[str, int | float | str | None]]:
    keys = {_key(value) for value in values_at(document, path)} - {None}
    for key in keys:
        assert key
        yield {"index_id": id_, "dataset_id": dataset_id, "text": None, "number": None, **dict([key])}


def _key(value: Any) -> tuple[str, Any] | None:
    """Return the column of a value in an index, and what is in it; None: it is in none."""
    if isinstance(value, str):
        return "text", encode_text(value)[:INDEXED_CHARACTERS]
    if isinstance(value, (int, float)):
        return "number", float(value)
    return None


def hint(indexes: _Indexes, parameters: Parameters) -> Hint:
    """Return what finds values by the indexes.

    The index has the beginning of long texts, and numbers nearly: what it finds may be too much, and never too little.
    """

    def find(path: Path, test: Test) -> str | None:
        id_ = indexes.get(".".join(path))
        condition = None if id_ is None else _condition(test, parameters)
        if condition is None:
            return None
        return (
            "q.dataset_id IN (SELECT dataset_id FROM query_index_value"
            f" WHERE index_id = {parameters.add(id_)} AND {condition})"
        )

    return find


def _condition(test: Test, parameters: Parameters) -> str | None:
    if isinstance(test, (Equal, Compared)):
        key = _key(test.value)
        if key is None:
            return None
        order = "=" if isinstance(test, Equal) else f"{test.order[0]}="
        return f"{key[0]} {order} {parameters.add(key[1])}"
    if not isinstance(test, OneOf) or not test.values:
        return None
    keys = [_key(value) for value in test.values]
    conditions = []
    for column in ("text", "number"):
        values = sorted({key[1] for key in keys if key and key[0] == column})
        if values:
            conditions.append(databases.is_in(column, values, parameters))
    return None if None in keys else f"({' OR '.join(conditions)})"
