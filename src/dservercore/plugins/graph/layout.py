"""Where the datasets of a provenance graph stand in a drawing: what was there first at the left.

A layered drawing (after Sugiyama, Tagawa and Toda, 1981). Edges that close a cycle are turned round for it; each
dataset has a column to the right of all that it was made from; the order within columns is by the mean of the
neighbours; rows are as near to the neighbours as others in the column let them be. The same graph always gives the same
drawing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dservercore.plugins.graph.graph import Node, ProvenanceGraph

#: Columns and rows; both may lie between two datasets.
Point = tuple[float, float]

#: An edge: a dataset, and one that it was made from.
Edge = tuple[str, str]

#: Places in columns that edges pass through. An edge that needs more goes straight, behind whatever is there.
MOST_BENDS = 4000

_SWEEPS, _PULLS = 6, 6
_EDGE_ROOM = 0.35  # of the room of a dataset, what an edge that passes by needs


@dataclass(frozen=True)
class Layout:
    """Where datasets stand, and where the edges between them run.

    :ivar places: by UUID, column and row of the dataset's middle, from 0 on
    :ivar routes: of each edge, the points it runs through, from what was there first to what was made from it
    :ivar columns: how many there are
    :ivar rows: how many there are room for
    """

    places: Mapping[str, Point]
    routes: Mapping[Edge, tuple[Point, ...]]
    columns: int
    rows: float


def layout(graph: ProvenanceGraph) -> Layout:
    """Return where to draw a graph of any shape, cycles and datasets made from themselves included."""
    by_name = sorted(graph.nodes.values(), key=Node.by_name)
    numbers = {node.uuid: number for number, node in enumerate(by_name)}
    edges = {
        (numbers[source], numbers[derived]): (derived, source)
        for derived, source in graph.edges
        if derived != source and source in numbers
    }
    forward = _without_cycles(len(numbers), sorted(edges))
    column = _columns(len(numbers), forward)
    net = _Net(column, forward)
    order = _ordered(net)
    rows = _rows(net, order)
    places = {uuid: (float(column[number]), rows[number]) for uuid, number in numbers.items()}
    routes = {}
    for (source, derived), edge in edges.items():
        is_turned = (source, derived) not in net.chains
        chain = net.chains[(derived, source) if is_turned else (source, derived)]
        points = tuple((float(net.column[one]), rows[one]) for one in chain)
        routes[edge] = points[::-1] if is_turned else points
    return Layout(places, routes, max(column, default=-1) + 1, max(rows, default=-1.0) + 1)


def _without_cycles(number: int, edges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return edges, those that lead back to where a walk came from turned round."""
    following: list[list[int]] = [[] for _ in range(number)]
    has_source = [False] * number
    for source, derived in edges:
        following[source].append(derived)
        has_source[derived] = True
    forward: dict[tuple[int, int], None] = {}
    state = [0] * number  # 1: on the way, 2: done
    for start in sorted(range(number), key=has_source.__getitem__):
        if state[start]:
            continue
        state[start] = 1
        way: list[tuple[int, Iterator[int]]] = [(start, iter(following[start]))]
        while way:
            here, rest = way[-1]
            onward = next(rest, None)
            if onward is None:
                state[here] = 2
                way.pop()
            elif state[onward] == 1:
                forward[onward, here] = None
            else:
                forward[here, onward] = None
                if not state[onward]:
                    state[onward] = 1
                    way.append((onward, iter(following[onward])))
    return list(forward)


def _columns(number: int, forward: Iterable[tuple[int, int]]) -> list[int]:
    """Return the column of each node: to the right of all before it, and as near as it can be to the first after it."""
    after: list[list[int]] = [[] for _ in range(number)]
    missing = [0] * number
    for source, derived in forward:
        after[source].append(derived)
        missing[derived] += 1
    column = [0] * number
    ready = [node for node in range(number) if not missing[node]]
    has_before = [bool(count) for count in missing]
    for node in ready:
        for derived in after[node]:
            column[derived] = max(column[derived], column[node] + 1)
            missing[derived] -= 1
            if not missing[derived]:
                ready.append(derived)
    for node in reversed(ready):
        if after[node] and not has_before[node]:
            column[node] = min(column[derived] for derived in after[node]) - 1
    return column


class _Net:
    """Nodes and bends of edges, each of which has neighbours in the columns beside its own.

    :ivar column: of each node, and after the nodes of each bend
    :ivar chains: of each edge, the nodes and bends that it runs through
    :ivar left, right: of each node and bend, its neighbours in the column before and after
    """

    def __init__(self, column: Sequence[int], forward: Sequence[tuple[int, int]]):
        self.column, self.number = list(column), len(column)
        self.chains: dict[tuple[int, int], list[int]] = {}
        room = MOST_BENDS
        # Short edges first: they gain the most by their bends.
        for source, derived in sorted(forward, key=lambda edge: column[edge[1]] - column[edge[0]]):
            chain = [source]
            bends = column[derived] - column[source] - 1
            if bends <= room:
                room -= bends
                for place in range(column[source] + 1, column[derived]):
                    chain.append(len(self.column))
                    self.column.append(place)
            self.chains[source, derived] = [*chain, derived]
        self.left: list[list[int]] = [[] for _ in self.column]
        self.right: list[list[int]] = [[] for _ in self.column]
        for chain in self.chains.values():
            for one, other in pairwise(chain):
                if self.column[other] - self.column[one] == 1:
                    self.right[one].append(other)
                    self.left[other].append(one)

    def room(self, one: int) -> float:
        """Return the rows that a node or a bend takes."""
        return 1.0 if one < self.number else _EDGE_ROOM


def _ordered(net: _Net) -> list[list[int]]:
    """Return the nodes and bends of each column, from top to bottom, so that few edges cross."""
    order: list[list[int]] = [[] for _ in range(max(net.column, default=-1) + 1)]
    for one in _in_walking_order(net):
        order[net.column[one]].append(one)
    best, fewest = order, _crossings(net, order)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        order = _swept(net, order, net.left if sweep % 2 == 0 else net.right, sweep % 2 == 1)
        crossings = _crossings(net, order)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _in_walking_order(net: _Net) -> Iterator[int]:
    """Yield nodes and bends as a walk meets them, so that those that belong together come together."""
    seen = [False] * len(net.column)
    for start in range(len(net.column)):
        waiting = [start]
        while waiting:
            one = waiting.pop()
            if not seen[one]:
                seen[one] = True
                yield one
                waiting.extend(
                    other for other in reversed([*net.left[one], *net.right[one]]) if not seen[other]
                )


def _swept(net: _Net, order: list[list[int]], beside: list[list[int]], backwards: bool) -> list[list[int]]:
    """Return an order in which each column follows the one before it, or after it."""
    new = [list(column) for column in order]
    place = [0.0] * len(net.column)
    for column in reversed(new) if backwards else new:
        for position, one in enumerate(column):
            place[one] = float(position)
        means = {
            one: sum(place[other] for other in beside[one]) / len(beside[one])
            for one in column
            if beside[one]
        }
        column.sort(key=lambda one: means.get(one, place[one]))
        for position, one in enumerate(column):
            place[one] = float(position)
    return new


def _crossings(net: _Net, order: list[list[int]]) -> int:
    """Return how many pairs of edges cross."""
    position = [0] * len(net.column)
    for column in order:
        for place, one in enumerate(column):
            position[one] = place
    crossings = 0
    for column in order[:-1]:
        passed: list[int] = []
        for one in column:
            ends = sorted(position[other] for other in net.right[one])
            crossings += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return crossings


def _rows(net: _Net, order: list[list[int]]) -> list[float]:
    """Return the row of each node and bend, from 0 on."""
    rows = [0.0] * len(net.column)
    for column in order:
        _settle(net, column, [0.0] * len(column), rows)
    for pull in range(_PULLS):
        columns = order if pull % 2 == 0 else order[::-1]
        for column in columns:
            # At the end by both sides; before, by those that have been placed.
            wanted = []
            for one in column:
                if pull == _PULLS - 1:
                    near = net.left[one] + net.right[one]
                else:
                    near = net.left[one] if pull % 2 == 0 else net.right[one]
                wanted.append(sum(rows[other] for other in near) / len(near) if near else rows[one])
            _settle(net, column, wanted, rows)
    least = min(rows, default=0.0)
    return [row - least for row in rows]


def _settle(net: _Net, column: Sequence[int], wanted: Sequence[float], rows: list[float]) -> None:
    """Set the rows of a column: as near to the wanted ones as order and room allow, by least squares.

    Neighbours that would be too near to each other are put together into a block, which stands where they want to on
    the average (pool adjacent violators).
    """
    offsets, at = [], 0.0
    for before, one in pairwise([None, *column]):
        at += 0.0 if before is None else (net.room(before) + net.room(one)) / 2  # type: ignore[arg-type]
        offsets.append(at)
    blocks: list[tuple[float, int]] = []  # sum of what is wanted, less the offset, and how many
    for offset, want in zip(offsets, wanted, strict=True):
        total, number = want - offset, 1
        while blocks and blocks[-1][0] * number > total * blocks[-1][1]:
            before_total, before_number = blocks.pop()
            total, number = total + before_total, number + before_number
        blocks.append((total, number))
    starts = [total / number for total, number in blocks for _ in range(number)]
    for one, start, offset in zip(column, starts, offsets, strict=True):
        rows[one] = start + offset
