"""What is connected with a dataset, as far as somebody may search it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import current_app
from sqlalchemy import bindparam, func, select

from dservercore import db
from dservercore.catalog.dataset_rows import OBJECT, as_object
from dservercore.catalog.scope import Scope
from dservercore.db.fast_reads import Prepared
from dservercore.models import Dataset, DatasetTag
from dservercore.plugins.graph import settings, walk
from dservercore.plugins.graph.derivation import uuid_of
from dservercore.plugins.graph.graph import Node, ProvenanceGraph
from dservercore.plugins.graph.keys import numbers_of
from dservercore.plugins.graph.time_limit import time_limited
from dservercore.plugins.graph.walk import Direction

#: Datasets of a graph, where nobody says how many, and how many may be asked for.
USUAL_NODES, MOST_NODES = 1000, 10_000

#: Copies of a dataset of which a graph tells, the first by their URIs.
MOST_COPIES = 10

_dataset, _tag = Dataset.__table__, DatasetTag.__table__
_ids: Any = bindparam("ids", expanding=True)
_uuids: Any = bindparam("uuids", expanding=True)
_uris: Any = bindparam("uris", expanding=True)
_numbered = (
    OBJECT.add_columns(
        func.row_number().over(partition_by=_dataset.c.uuid, order_by=_dataset.c.uri).label("number")
    )
    .where(_dataset.c.uuid.in_(_uuids), _dataset.c.base_uri_id.in_(_ids))
    .subquery("numbered")
)
_COPIES = Prepared(
    select(*(column for column in _numbered.c if column.name != "number"))
    .where(_numbered.c.number <= bindparam("copies"))
    .order_by(_numbered.c.uri)
)
_TAGS = Prepared(
    select(_dataset.c.uri, _tag.c.tag)
    .select_from(_dataset.join(_tag, _tag.c.dataset_id == _dataset.c.id))
    .where(_dataset.c.uri.in_(_uris))
    .order_by(_tag.c.position, _tag.c.tag)
)


@dataclass
class _Shape:
    """The nodes of a graph, and who names whom.

    :ivar steps: by the UUID of each node, placeholders too, its distance from the first
    :ivar named: by the UUID of each node that is no placeholder, what its copies name
    """

    steps: dict[str, int] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)
    is_bounded: bool = False


def connected(
    scope: Scope,
    uuid: str,
    *,
    direction: Direction = "both",
    depth: int | None = None,
    most: int = USUAL_NODES,
    placeholders: bool = False,
    keys: Collection[str] | None = None,
) -> ProvenanceGraph:
    """Return what is connected with a dataset; a graph without nodes where no copy of it is in *scope*.

    The walk goes through datasets of *scope* alone, and along what their copies there name.

    :param uuid: in any spelling; a text that is no UUID is connected with nothing
    :param direction: ``ancestors``: what it was made from, what these were made from, and so on; ``descendants``: what
        was made of it, and so on; ``both``: either way at each step
    :param depth: steps to walk at most; None: any number
    :param most: nodes at most, the nearest first
    :param placeholders: have a node for a UUID that a dataset of the graph names, and that is not in *scope*
    :param keys: dependency keys whose edges count; None: those that are configured
    :raises OutOfTimeError: if it takes longer than a search may
    """
    with time_limited():
        shape = _shape(scope, uuid, direction, depth, most, placeholders, keys)
        copies = _copies_of(scope, list(shape.named), MOST_COPIES)
    nodes = {
        one: Node(
            one,
            tuple(copies.get(one, ())),
            tuple(parent for parent in shape.named.get(one, ()) if parent in shape.steps),
            shape.steps[one],
            tuple(parent for parent in shape.named.get(one, ()) if parent not in shape.steps),
        )
        for one in sorted(shape.steps)
        if one in copies or one not in shape.named  # or else it has been deleted since
    }
    return ProvenanceGraph(uuid_of(uuid) or uuid, nodes, shape.is_bounded)


def dependents(scope: Scope, uuid: str, most: int = 100) -> ProvenanceGraph:
    """Return what was made of a dataset, by any number of steps, and the dataset itself: at most *most* nodes.

    Without nodes where no copy of it is in *scope*.
    """
    return connected(scope, uuid, direction="descendants", most=most)


@dataclass(frozen=True)
class Page:
    """A page of the datasets of a graph.

    :ivar datasets: dataset objects with ``type``, ``tags`` and ``derived_from``: every UUID that copies name; of what
        is not in scope ``{"uuid": ..., "derived_from": [], "placeholder": True}``
    :ivar total: of all pages
    """

    datasets: list[dict[str, Any]]
    total: int
    is_bounded: bool


def connected_page(
    scope: Scope,
    uuid: str,
    page: slice,
    *,
    direction: Direction = "both",
    depth: int | None = None,
    most: int = USUAL_NODES,
    placeholders: bool = False,
    keys: Collection[str] | None = None,
) -> Page:
    """Return a page of what is connected with a dataset, by UUID: of each the first copy by its URI.

    The other parameters are those of :func:`connected`.

    :raises OutOfTimeError: if it takes longer than a search may
    """
    with time_limited():
        shape = _shape(scope, uuid, direction, depth, most, placeholders, keys)
        wanted = sorted(shape.steps)[page]
        copies = _copies_of(scope, [one for one in wanted if one in shape.named], 1)
    tags = _tags_of([copy["uri"] for (copy,) in copies.values()])
    datasets: list[dict[str, Any]] = []
    for one in wanted:
        if one not in shape.named:
            datasets.append({"uuid": one, "derived_from": [], "placeholder": True})
        elif one in copies:
            (copy,) = copies[one]
            datasets.append(
                {**copy, "type": "dataset", "tags": tags[copy["uri"]], "derived_from": shape.named[one]}
            )
    return Page(datasets, len(shape.steps), shape.is_bounded)


def keys_in_use(asked: Collection[str] | None) -> Collection[str]:
    """Return the dependency keys that count: those asked for, where that is allowed, or else those configured."""
    if asked is not None and current_app.config[settings.DYNAMIC]:
        return asked
    configured: Collection[str] = current_app.config[settings.KEYS]
    return configured


def _shape(
    scope: Scope,
    uuid: str,
    direction: Direction,
    depth: int | None,
    most: int,
    placeholders: bool,
    keys: Collection[str] | None,
) -> _Shape:
    start = uuid_of(uuid)
    if start is None or not current_app.config[settings.ENABLED]:
        return _Shape()
    return _walked(scope, start, direction, depth, most, placeholders, numbers_of(keys_in_use(keys)))


def _walked(
    scope: Scope,
    start: str,
    direction: Direction,
    depth: int | None,
    most: int,
    placeholders: bool,
    numbers: Sequence[int],
) -> _Shape:
    found = walk.connected_uuids(start, scope.ids, numbers, direction, most + 1)
    if not found:
        return _Shape()
    has_more, found = len(found) > most, found[:most]
    named, has_more_edges = walk.named_by(found, scope.ids, numbers)
    steps = _steps(start, named, direction)
    nearest = {one: steps.get(one, len(found)) for one in found}
    kept = {one: far for one, far in nearest.items() if depth is None or far <= depth}
    shape = _Shape(
        kept,
        {one: named[one] for one in kept},
        is_bounded=has_more or has_more_edges or len(kept) < len(nearest),
    )
    if placeholders and direction != "descendants":
        _add_placeholders(shape, scope, depth, most, is_whole=not has_more)
    return shape


def _steps(start: str, named: Mapping[str, Sequence[str]], direction: Direction) -> dict[str, int]:
    """Return the distance from *start* of each node that can be reached."""
    next_to: defaultdict[str, list[str]] = defaultdict(list)
    for one, parents in named.items():
        for parent in parents:
            if parent in named:
                if direction != "descendants":
                    next_to[one].append(parent)
                if direction != "ancestors":
                    next_to[parent].append(one)
    steps, level, far = {start: 0}, [start], 0
    while level:
        far += 1
        level = list({other: far for one in level for other in next_to[one] if other not in steps})
        steps |= dict.fromkeys(level, far)
    return steps


def _add_placeholders(shape: _Shape, scope: Scope, depth: int | None, most: int, is_whole: bool) -> None:
    """Add the UUIDs that nodes name and that are not in scope, as far as there is room, the nearest first.

    :param is_whole: every dataset of scope that is named by a node within *depth* is a node itself
    """
    far: dict[str, int] = {}
    for one, parents in shape.named.items():
        for parent in parents:
            if parent not in shape.steps:
                far[parent] = min(far.get(parent, shape.steps[one] + 1), shape.steps[one] + 1)
    within = {one: steps for one, steps in far.items() if depth is None or steps <= depth}
    shape.is_bounded |= len(within) < len(far)
    if not is_whole:
        in_scope = walk.visible(within, scope.ids)
        within = {one: steps for one, steps in within.items() if one not in in_scope}
    nearest = sorted(within, key=lambda one: (within[one], one))
    room = most - len(shape.steps)
    shape.is_bounded |= len(nearest) > room
    shape.steps |= {one: within[one] for one in nearest[:room]}


def _copies_of(scope: Scope, uuids: Sequence[str], copies: int) -> dict[str, list[dict[str, Any]]]:
    """Return, by UUID, the dataset objects of its first copies in *scope* by their URIs."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for some in db.batched(uuids):
        for row in _COPIES.all({"uuids": list(some), "ids": scope.ids, "copies": copies}):
            one = as_object(row)
            found[one["uuid"]].append(one)
    return found


def _tags_of(uris: Sequence[str]) -> defaultdict[str, list[str]]:
    """Return, by URI, the tags of datasets in the order in which they were given."""
    tags: defaultdict[str, list[str]] = defaultdict(list)
    for some in db.batched(uris):
        for uri, tag in _TAGS.all({"uris": list(some)}):
            tags[uri].append(tag)
    return tags
