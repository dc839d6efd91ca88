"""The part of a provenance graph that an answer shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Node:
    """A dataset of a graph, by its UUID.

    :ivar copies: the dataset objects (as ``GET /uris/<uri>`` answers) of those of its copies that the reader may
        search, by URI; empty: a dataset that is not registered, or that the reader may not see, which look the same
    :ivar derived_from: UUIDs of the datasets that it was made from, in order, as far as they are nodes of the graph
    :ivar steps: number of edges between it and the dataset that was asked for
    :ivar elsewhere: UUIDs of the datasets that it was made from, in order, which are no nodes of the graph: not
        registered, not for the reader to see, in another direction, or beyond a bound
    """

    uuid: str
    copies: tuple[Mapping[str, Any], ...]
    derived_from: tuple[str, ...]
    steps: int
    elsewhere: tuple[str, ...] = ()

    @property
    def is_placeholder(self) -> bool:
        """Whether nothing but the UUID is known to the reader."""
        return not self.copies

    @property
    def name(self) -> str:
        """The name of the dataset, the same whichever of its copies has which; of an unknown one, its UUID."""
        return self.uuid if self.is_placeholder else str(self.copies[0].get("name") or self.uuid)

    def by_name(self) -> tuple[bool, str, str]:
        """Return what sorts datasets as people read them: by name, those of which only the UUID is known at the end."""
        return (self.is_placeholder, self.name.casefold(), self.uuid)

    def nearest(self) -> tuple[int, bool, str, str]:
        """Return what sorts datasets by the steps to them, and then by name."""
        return (self.steps, *self.by_name())


@dataclass(frozen=True)
class ProvenanceGraph:
    """What is connected with a dataset.

    :ivar centre: UUID of the dataset that was asked for
    :ivar nodes: by UUID, in order
    :ivar is_bounded: whether there is more than was asked for: steps, or datasets, beyond a bound
    """

    centre: str
    nodes: Mapping[str, Node]
    is_bounded: bool = False

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Pairs of the UUID of a dataset and that of one it was made from, in order."""
        return [(node.uuid, parent) for node in self.nodes.values() for parent in node.derived_from]
