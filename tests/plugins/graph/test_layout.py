"""Where datasets stand in a drawing."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from dservercore.plugins.graph.layout import Layout, layout
from dservercore.plugins.graph.shown import Wanted, shown
from plugins.graph.graphs import graph_of, random_graph, uuid_of


def column_of(drawn: Layout, number: int) -> float:
    return drawn.places[uuid_of(number)][0]


def apart(drawn: Layout) -> float:
    """Return the least distance of two datasets of a column."""
    columns: dict[float, list[float]] = {}
    for column, row in drawn.places.values():
        columns.setdefault(column, []).append(row)
    gaps = [b - a for rows in columns.values() for a, b in pairwise(sorted(rows))]
    return min(gaps, default=1.0)


SHAPES = {
    "nothing": graph_of([], 0),
    "one": graph_of([], 1),
    "itself": graph_of([(0, 0)], 1),
    "two that were made of each other": graph_of([(0, 1), (1, 0)], 2),
    "cycle": graph_of([(one, (one + 1) % 50) for one in range(50)], 50),
    "apart": graph_of([(1, 0), (3, 2)], 5),
    "fan": graph_of([(one, 0) for one in range(1, 200)], 200),
    "chain": graph_of([(one, one - 1) for one in range(1, 1000)], 1000),
    "long edges": graph_of([(one, source) for one in range(1, 400) for source in {one - 1, 0}], 400),
    "everything with everything": graph_of([(a, b) for a in range(20) for b in range(20)], 20),
    "any": random_graph(300),
}


@pytest.mark.parametrize("graph", SHAPES.values(), ids=list(SHAPES))
def test_every_dataset_has_a_place_of_its_own_and_every_edge_leads_from_one_to_another(graph):
    drawn = layout(graph)
    assert drawn.places.keys() == graph.nodes.keys()
    assert apart(drawn) > 0.999
    assert all(0 <= column < drawn.columns and 0 <= row < drawn.rows for column, row in drawn.places.values())
    assert drawn.routes.keys() == {edge for edge in graph.edges if edge[0] != edge[1]}
    for (derived, source), points in drawn.routes.items():
        assert (points[0], points[-1]) == (drawn.places[source], drawn.places[derived])
        steps = {b[0] - a[0] for a, b in pairwise(points)}
        assert steps in ({1}, {-1}) or len(points) == 2


@pytest.mark.parametrize(
    "graph", [SHAPES["any"], SHAPES["fan"], SHAPES["chain"]], ids=["any", "fan", "chain"]
)
def test_what_was_there_first_is_at_the_left(graph):
    drawn = layout(graph)
    assert all(drawn.places[source][0] < drawn.places[derived][0] for derived, source in graph.edges)


def test_one_edge_alone_of_a_cycle_leads_back():
    drawn = layout(SHAPES["cycle"])
    back = [edge for edge, points in drawn.routes.items() if points[0][0] > points[-1][0]]
    assert len(back) == 1


def test_a_source_stands_beside_what_was_made_of_it():
    drawn = layout(graph_of([(1, 0), (2, 1), (3, 2), (3, 4)], 5))
    assert [column_of(drawn, one) for one in range(5)] == [0, 1, 2, 3, 2]


def test_edges_cross_no_more_than_they_must():
    # As they are named, each edge crosses each other one.
    drawn = layout(graph_of([(10 + one, 9 - one) for one in range(10)], 20))
    rows = [(drawn.places[uuid_of(10 + one)][1], drawn.places[uuid_of(9 - one)][1]) for one in range(10)]
    assert [left for _, left in sorted(rows)] == sorted(left for _, left in rows)


def test_an_edge_that_passes_others_runs_between_them():
    drawn = layout(graph_of([(1, 0), (2, 1), (2, 0), (3, 2), (3, 0)], 4))
    for points in drawn.routes.values():
        for column, row in points[1:-1]:
            beside = [at for at_column, at in drawn.places.values() if at_column == column]
            assert all(abs(at - row) > 0.6 for at in beside)


def test_the_same_graph_is_drawn_the_same_way():
    assert layout(random_graph(200)) == layout(random_graph(200))


def test_300_datasets_take_less_than_a_tenth_of_a_second():
    graph = random_graph(300)
    taken = []
    for _ in range(3):
        before = time.process_time()
        layout(graph)
        taken.append(time.process_time() - before)
    assert min(taken) < 0.1


def test_datasets_that_nothing_else_orders_stand_by_name_and_are_listed_so() -> None:
    names = {0: "scans", 1: "report c", 2: "Report a", 3: "report b"}
    graph = graph_of([(derived, 0) for derived in range(1, 5)], 5, names=names, unknown=[4])
    rows = layout(graph).places
    by_row = sorted((uuid_of(one) for one in range(1, 5)), key=lambda uuid: rows[uuid][1])
    assert by_row == [uuid_of(2), uuid_of(3), uuid_of(1), uuid_of(4)]
    assert [node.uuid for node in shown(graph, Wanted()).descendants] == by_row
