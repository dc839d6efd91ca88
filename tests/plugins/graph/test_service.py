"""What is connected with a dataset, on each kind of database."""

from __future__ import annotations

import pytest

from dservercore import db
from dservercore.errors import OutOfTimeError
from dservercore.plugins.graph import service
from support.world import BLUE, RED

from .conftest import uuid_of


def test_a_family_is_connected_in_either_direction(family) -> None:
    family.add(1)
    family.add(2, 1)
    family.add(3, 2)
    family.add(4, 2, 1)
    family.add(5)
    whole = {1: [], 2: [1], 3: [2], 4: [1, 2]}
    for number in whole:
        assert family.connected(number) == whole
    assert family.connected(3, direction="ancestors") == {1: [], 2: [1], 3: [2]}
    assert family.connected(2, direction="descendants") == {2: [], 3: [2], 4: [2]}
    assert family.connected(5) == {5: []}
    assert family.connected(6) == {}
    assert family.connected(1, direction="both", depth=0) == {1: []}
    assert family.connected(3, depth=1) == {2: [], 3: [2]}
    graph = service.connected(family.scope(), uuid_of(3).upper(), depth=2)
    assert {int(uuid[:8]): node.steps for uuid, node in graph.nodes.items()} == {1: 2, 2: 1, 3: 0, 4: 2}
    assert not graph.is_bounded
    assert service.connected(family.scope(), uuid_of(3), depth=1).is_bounded
    assert service.dependents(family.scope(), uuid_of(2)).edges == [
        (uuid_of(3), uuid_of(2)),
        (uuid_of(4), uuid_of(2)),
    ]


def test_cycles_end(family) -> None:
    family.add(11, 13)
    family.add(12, 11)
    family.add(13, 12, 13)
    assert family.connected(12) == {11: [13], 12: [11], 13: [12]}
    assert family.connected(12, direction="ancestors") == {11: [13], 12: [11], 13: [12]}


def test_the_walk_does_not_go_through_what_is_hidden(family) -> None:
    family.add(21, base_uri=BLUE)
    family.add(22, 21, 29)
    family.add(23, 21)
    family.add(24, 22, base_uri=BLUE)
    assert family.connected(22, RED) == {22: []}
    assert family.connected(22, RED, placeholders=True) == {21: [], 22: [21, 29], 29: []}
    assert family.connected(22, RED, placeholders=True, direction="descendants") == {22: []}
    assert family.connected(21, RED, placeholders=True) == {}
    assert family.connected(22) == {21: [], 22: [21], 23: [21], 24: [22]}
    graph = service.connected(family.scope(RED), uuid_of(22), placeholders=True)
    hidden, missing = graph.nodes[uuid_of(21)], graph.nodes[uuid_of(29)]
    assert hidden.is_placeholder
    assert missing.is_placeholder
    assert (hidden.steps, hidden.derived_from) == (missing.steps, missing.derived_from)


def test_copies_are_one_dataset_that_names_what_visible_copies_name(family) -> None:
    family.add(31)
    family.add(32)
    family.add(33, 31)
    family.add(33, 32, base_uri=BLUE)
    assert family.connected(33) == {31: [], 32: [], 33: [31, 32]}
    assert family.connected(33, RED) == {31: [], 33: [31]}
    copies = service.connected(family.scope(), uuid_of(33)).nodes[uuid_of(33)].copies
    assert [copy["base_uri"] for copy in copies] == [BLUE, RED]


def test_a_wide_fan_is_bounded_and_says_so(family) -> None:
    family.add(40)
    for number in range(41, 61):
        family.add(number, 40)
    for direction in ("both", "descendants"):
        graph = service.connected(family.scope(), uuid_of(40), most=10, direction=direction)
        assert len(graph.nodes) == 10
        assert graph.is_bounded
        assert uuid_of(40) in graph.nodes
    assert not service.connected(family.scope(), uuid_of(40), most=21).is_bounded
    assert len(family.connected(40, most=1)) == 1
    family.add(61, *range(100, 120))
    graph = service.connected(family.scope(), uuid_of(61), most=10, placeholders=True)
    assert (len(graph.nodes), graph.is_bounded) == (10, True)
    graph = service.connected(family.scope(), uuid_of(50), most=5, placeholders=True)
    assert not any(node.is_placeholder for node in graph.nodes.values())


def test_a_walk_that_takes_too_long_is_given_up(family, monkeypatch) -> None:
    if db.kind() in ("mysql", "mariadb"):  # there it goes by levels, each of which is bounded
        assert len(family.connected(200)) == 0
        return
    crowd = range(200, 260)
    for number in crowd:
        family.add(number, *crowd)
    assert len(family.connected(200)) == len(crowd)
    monkeypatch.setitem(family.app.config, "DSERVER_SEARCH_TIMEOUT", 1e-6)
    with pytest.raises(OutOfTimeError, match="fewer datasets"):
        service.connected(family.scope(), uuid_of(200))
    monkeypatch.undo()
    assert len(family.connected(200)) == len(crowd)
