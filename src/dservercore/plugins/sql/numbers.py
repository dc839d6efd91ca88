"""The numbers in the annotations of datasets, by which they are found with bounds: ``temperature:>300``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, insert, select

from dservercore import db
from dservercore.db import sql_db
from dservercore.models import Dataset, SearchNumber

_number, _dataset = SearchNumber.__table__, Dataset.__table__

_FORGET = delete(_number).where(_number.c.dataset_id == bindparam("id"))
_OF = (
    select(_number.c.name, _number.c.value)
    .join(_dataset, _dataset.c.id == _number.c.dataset_id)
    .where(_dataset.c.uri == bindparam("uri"))
)


def put(wanted: Mapping[int, Sequence[tuple[str, float]]]) -> None:
    """Store the numbers of datasets in place of what is there of them.

    :param wanted: names and numbers by the primary key of the dataset
    """
    connection = sql_db.session.connection()
    # Each by its key: a list of keys would be another statement for each length.
    db.execute_many(connection, _FORGET, [{"id": id_} for id_ in wanted])
    rows = [
        {"dataset_id": id_, "name": name, "value": value}
        for id_, numbers in wanted.items()
        for name, value in numbers
    ]
    if rows:
        db.execute_many(connection, insert(_number), rows)


def of(uri: str) -> set[tuple[str, float]]:
    """Return names and numbers that are stored of a dataset."""
    rows = sql_db.session.connection().execute(_OF, {"uri": uri})
    return {(row.name, row.value) for row in rows}
