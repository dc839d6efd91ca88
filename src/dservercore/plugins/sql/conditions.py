"""Conditions on the row of a dataset, in the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dservercore.dataset.fields import TIMES
from dservercore.dataset.query_tree import Annotated, Bounds, InBaseURI, Within
from dservercore.dataset.times import timestamp_to_datetime

#: Makes a parameter of a value, and returns how the statement calls it.
Parameter = Callable[[Any], str]

# Times that can be stored; beyond them there is none.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0


def condition_of(
    leaf: Within | Annotated | InBaseURI, parameter: Parameter, time: Callable[[Any], Any]
) -> str:
    """Return the condition of a leaf; ``d`` is the dataset's row.

    :param time: makes of a datetime what the database compares with a time
    """
    if isinstance(leaf, InBaseURI):
        named = f"strpos(lower(base_uri), {parameter(leaf.text)}) > 0"
        return f"d.base_uri_id IN (SELECT id FROM base_uri WHERE {named})"
    if isinstance(leaf, Annotated):
        within = _within("value", leaf.bounds, lambda number: parameter(float(number)))
        return (
            "d.id IN (SELECT dataset_id FROM search_number"
            f" WHERE name = {parameter(leaf.name)}{''.join(f' AND {each}' for each in within)})"
        )
    is_time = leaf.field in TIMES

    def value(number: float) -> str:
        return parameter(time(timestamp_to_datetime(min(max(number, _FIRST), _LAST))) if is_time else number)

    column = f"d.{leaf.field}"
    return " AND ".join([f"{column} IS NOT NULL", *_within(column, leaf.bounds, value)])


def _within(column: str, bounds: Bounds, value: Callable[[float], str]) -> list[str]:
    found = []
    if bounds.least is not None:
        found.append(f"{column} {'>' if bounds.without_least else '>='} {value(bounds.least)}")
    if bounds.most is not None:
        found.append(f"{column} {'<' if bounds.without_most else '<='} {value(bounds.most)}")
    return found
