"""Values that are found by an index: which paths have one, and how it is filled and used.

An index is a part of one table, whatever the path: what a path leads to may be several values, in lists, and no index
of a single expression has all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from dservercore.db import execute_many, sql_db
from dservercore.plugins.query.conditions import Compared, Equal, OneOf, Path, Test
from dservercore.plugins.query.language import parse_path
from dservercore.plugins.query.models import INDEXED_CHARACTERS, QueryIndex, QueryIndexValue
from dservercore.plugins.query.paths import values_at
from dservercore.plugins.query.sql import databases
from dservercore.plugins.query.sql.dialect import Parameters
from dservercore.plugins.query.sql.encoding import encode_text
from dservercore.plugins.query.sql.translation import Hint

_index = QueryIndex.__table__
_value = QueryIndexValue.__table__
_Indexes = Mapping[str, int]


def list_indexes() -> dict[str, bool]:
    """Return whether each index is ready, by its path."""
    return {row.path: row.is_ready for row in _all()}


def ready_indexes() -> dict[str, int]:
    """Return the primary key of each index that is ready, by its path."""
    return {row.path: row.id for row in _all() if row.is_ready}


def _all() -> Sequence[Any]:
    return sql_db.session.connection().execute(select(_index).order_by(_index.c.path)).all()


def begin_index(path: str) -> None:
    """Have what a path leads to noted from now on, in each document that is put; no error if it is.

    :raises InvalidQueryError: if it is no path
    """
    parse_path(path)
    if path not in list_indexes():
        sql_db.session.connection().execute(insert(_index), {"path": path, "is_ready": False})


def end_index(path: str) -> None:
    """Have documents looked for in an index, which has the values of all of them."""
    sql_db.session.connection().execute(update(_index).where(_index.c.path == path), {"is_ready": True})


def drop_index(path: str) -> bool:
    """Drop the index of a path; return whether there was one."""
    ids = [row.id for row in _all() if row.path == path]
    connection = sql_db.session.connection()
    for id_ in ids:
        connection.execute(delete(_value).where(_value.c.index_id == id_))
        connection.execute(delete(_index).where(_index.c.id == id_))
    return bool(ids)


def put(documents: Mapping[int, Mapping[str, Any]]) -> None:
    """Replace what the indexes have of datasets.

    :param documents: by the primary key of the dataset
    """
    indexes = {row.path: row.id for row in _all()}
    if not indexes:
        return
    connection = sql_db.session.connection()
    connection.execute(delete(_value).where(_value.c.dataset_id.in_(list(documents))))
    rows = (
        row
        for name, id_ in indexes.items()
        for dataset_id, document in documents.items()
        for row in _rows(id_, parse_path(name), dataset_id, document)
    )
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
