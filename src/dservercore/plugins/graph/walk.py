"""Walking from a dataset along its edges, through what somebody may search and through nothing else."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, bindparam, exists, literal_column, select, true, union_all

from dservercore import db
from dservercore.db.fast_reads import Prepared
from dservercore.models import Dataset
from dservercore.plugins.graph.models import GraphEdge

Direction = Literal["ancestors", "descendants", "both"]
DIRECTIONS: tuple[Direction, ...] = ("ancestors", "descendants", "both")

#: Edges that are read of the datasets of one walk.
MOST_EDGES_READ = 20_000

_dataset, _edge = Dataset.__table__, GraphEdge.__table__
_up, _down = _edge.alias("up"), _edge.alias("down")
_ids: Any = bindparam("ids", expanding=True)
_keys: Any = bindparam("keys", expanding=True)
_uuids: Any = bindparam("uuids", expanding=True)


def _is_visible(uuid: Any) -> ColumnElement[bool]:
    copy = _dataset.alias("copy")
    return exists(select(literal_column("1")).where(copy.c.uuid == uuid, copy.c.base_uri_id.in_(_ids)))


def _parents_of(is_node: Any) -> Select[Any]:
    """Return the statement for those parents of nodes that are in scope."""
    return select(_up.c.parent.label("uuid")).where(
        is_node(_up.c.uuid),
        _up.c.base_uri_id.in_(_ids),
        _up.c.key_number.in_(_keys),
        _is_visible(_up.c.parent),
    )


def _children_of(is_node: Any) -> Select[Any]:
    """Return the statement for those children of nodes that are in scope: as the copies are that name the nodes."""
    return select(_down.c.uuid.label("uuid")).where(
        is_node(_down.c.parent), _down.c.base_uri_id.in_(_ids), _down.c.key_number.in_(_keys)
    )


def _steps_from(is_node: Any, direction: Direction) -> list[Select[Any]]:
    steps = []
    if direction != "descendants":
        steps.append(_parents_of(is_node))
    if direction != "ancestors":
        steps.append(_children_of(is_node))
    return steps


@functools.lru_cache(maxsize=16)
def _recursion(dialect: str, direction: Direction) -> Prepared:
    """Return the statement for the UUIDs of what is connected: nearer ones first, as databases walk.

    A database stops walking when it has as many as are wanted.
    """
    start = select(_dataset.c.uuid).where(
        _dataset.c.uuid == bindparam("uuid"), _dataset.c.base_uri_id.in_(_ids)
    )
    nodes = start.cte("nodes", recursive=True)
    if dialect == "postgresql":  # which takes one mention of the nodes alone
        steps = [step.correlate(nodes) for step in _steps_from(lambda uuid: uuid == nodes.c.uuid, direction)]
        step = union_all(*steps).lateral("step")
        nodes = nodes.union(select(step.c.uuid).select_from(nodes.join(step, true())))
    else:
        nodes = nodes.union(
            *(
                step.join_from(_table_of(step), nodes, true())
                for step in _steps_from(lambda uuid: uuid == nodes.c.uuid, direction)
            )
        )
    return Prepared(select(nodes.c.uuid).limit(bindparam("limit")))


def _table_of(step: Select[Any]) -> Any:
    return step.get_final_froms()[0]


@functools.lru_cache(maxsize=16)
def _level(direction: Direction) -> list[Prepared]:
    return [
        Prepared(step.distinct().limit(bindparam("limit")))
        for step in _steps_from(lambda uuid: uuid.in_(_uuids), direction)
    ]


_START = Prepared(
    select(_dataset.c.uuid)
    .where(_dataset.c.uuid == bindparam("uuid"), _dataset.c.base_uri_id.in_(_ids))
    .limit(1)
)
_EDGES = Prepared(
    select(_edge.c.uuid, _edge.c.parent)
    .where(_edge.c.uuid.in_(_uuids), _edge.c.base_uri_id.in_(_ids), _edge.c.key_number.in_(_keys))
    .distinct()
    .limit(bindparam("limit"))
)
_VISIBLE = Prepared(
    select(_dataset.c.uuid).where(_dataset.c.uuid.in_(_uuids), _dataset.c.base_uri_id.in_(_ids)).distinct()
)


def connected_uuids(
    uuid: str, base_uri_ids: Sequence[int], keys: Sequence[int], direction: Direction, most: int
) -> list[str]:
    """Return the UUIDs of what is connected with a dataset, and its own, at most *most*; empty: it is not in scope.

    :param uuid: in lower case, with dashes
    :param keys: numbers of the keys whose edges count
    """
    values = {"uuid": uuid, "ids": list(base_uri_ids), "keys": list(keys), "limit": most}
    if not base_uri_ids:
        return []
    if not keys or most < 2:
        return [uuid] if _START.first({"uuid": uuid, "ids": values["ids"]}) else []
    if db.kind() in ("mysql", "mariadb"):  # which does not stop before it has walked everywhere
        return _by_levels(values, direction, most)
    return [row[0] for row in _recursion(db.kind(), direction).all(values)]


def _by_levels(values: dict[str, Any], direction: Direction, most: int) -> list[str]:
    if not _START.first({"uuid": values["uuid"], "ids": values["ids"]}):
        return []
    given = {name: values[name] for name in ("ids", "keys")}
    found = {values["uuid"]: None}
    level = list(found)
    while level and len(found) < most:
        reached: dict[str, None] = {}
        for some in db.batched(level):
            for step in _level(direction):
                # As many as are there already may come again.
                rows = step.all({**given, "uuids": list(some), "limit": most + len(found)})
                reached |= dict.fromkeys(row[0] for row in rows)
        level = [one for one in reached if one not in found]
        found |= dict.fromkeys(level)
    return list(found)[:most]


def named_by(
    uuids: Sequence[str], base_uri_ids: Sequence[int], keys: Sequence[int]
) -> tuple[dict[str, list[str]], bool]:
    """Return, by UUID, the sorted UUIDs that copies in scope name, and whether there were too many to read them all."""
    named: dict[str, list[str]] = {uuid: [] for uuid in uuids}
    if not keys or not base_uri_ids:
        return named, False
    room = MOST_EDGES_READ
    for some in db.batched(uuids):
        given = {"uuids": list(some), "ids": list(base_uri_ids), "keys": list(keys), "limit": room + 1}
        rows = _EDGES.all(given)
        for uuid, parent in rows[:room]:
            named[uuid].append(parent)
        if len(rows) > room:
            return _sorted(named), True
        room -= len(rows)
    return _sorted(named), False


def _sorted(named: dict[str, list[str]]) -> dict[str, list[str]]:
    return {uuid: sorted(parents) for uuid, parents in named.items()}


def visible(uuids: Iterable[str], base_uri_ids: Sequence[int]) -> set[str]:
    """Return those of some UUIDs of which there is a copy in scope."""
    found: set[str] = set()
    for some in db.batched(sorted(uuids)):
        found |= {row[0] for row in _VISIBLE.all({"uuids": list(some), "ids": list(base_uri_ids)})}
    return found
