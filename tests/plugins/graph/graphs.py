"""Graphs to draw, of which no server knows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from dservercore.plugins.graph.graph import Node, ProvenanceGraph


def uuid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def graph_of(
    edges: Iterable[tuple[int, int]],
    number: int,
    names: Mapping[int, str] = {},
    unknown: Iterable[int] = (),
    is_bounded: bool = False,
    copies: int = 1,
) -> ProvenanceGraph:
    """Return a graph of datasets 0, 1 ..., of which 0 was asked for.

    :param edges: pairs of a dataset and one that it was made from
    """
    sources: dict[int, list[int]] = {one: [] for one in range(number)}
    for derived, source in edges:
        sources[derived].append(source)
    hidden = set(unknown)
    nodes = {}
    for one in range(number):
        objects = [_dataset(one, names.get(one, f"dataset {one}"), place) for place in range(copies)]
        nodes[uuid_of(one)] = Node(
            uuid_of(one),
            () if one in hidden else tuple(objects),
            tuple(uuid_of(source) for source in sorted(sources[one])),
            0 if one == 0 else 1,
        )
    return ProvenanceGraph(uuid_of(0), nodes, is_bounded)


def _dataset(number: int, name: str, place: int) -> dict[str, Any]:
    return {
        "uri": f"s3://bucket{place}/{uuid_of(number)}",
        "base_uri": f"s3://bucket{place}",
        "uuid": uuid_of(number),
        "name": name,
        "creator_username": "anna",
        "frozen_at": 1536238185.881941,
        "created_at": 1536236399.19497,
        "number_of_items": 1,
        "size_in_bytes": 5741810,
    }


def random_graph(number: int, seed: int = 1, most_sources: int = 2, reach: int = 20) -> ProvenanceGraph:
    """Return a connected graph, each of whose datasets was made from up to *most_sources* before it."""
    dice = random.Random(seed)
    edges = {
        (one, max(0, one - dice.randint(1, reach))) for one in range(1, number) for _ in range(most_sources)
    }
    return graph_of(sorted(edges), number)
