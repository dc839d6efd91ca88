"""What pages show of a provenance graph: which part is asked for, its picture, and the same as lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from flask import url_for
from markupsafe import Markup

from dservercore.catalog.scope import Scope
from dservercore.plugins.graph import drawing, service
from dservercore.plugins.graph.drawing import Words
from dservercore.plugins.graph.graph import Node, ProvenanceGraph
from dservercore.web.texts import gettext

Direction = Literal["both", "ancestors", "descendants"]
DIRECTIONS: tuple[Direction, ...] = ("both", "ancestors", "descendants")

#: Steps and datasets that a picture begins with, and that it grows to.
FIRST_STEPS, MOST_STEPS = 2, 1000
FIRST_DATASETS, MOST_DATASETS = 50, 800

#: By how much each of them grows with "show more".
_GROWTH = {"steps": 2, "datasets": 4}


@dataclass(frozen=True)
class Wanted:
    """Which part of a graph is asked for, by the parameters ``steps``, ``datasets`` and ``direction``."""

    steps: int = FIRST_STEPS
    datasets: int = FIRST_DATASETS
    direction: Direction = "both"

    def url(self, uuid: str, form: str | None = None) -> str:
        """Return the address of the part: of its page, or of a file with it."""
        given = {name: value for name, value in vars(self).items() if value != getattr(Wanted, name)}
        if form is None:
            return url_for("graph_pages.provenance", uuid=uuid, **given)
        return url_for("graph_pages.provenance_file", name=form, uuid=uuid, **given)

    def more(self) -> Wanted | None:
        """Return a larger part; None: it is as large as pages show one."""
        larger = replace(
            self,
            steps=min(self.steps * _GROWTH["steps"], MOST_STEPS),
            datasets=min(self.datasets * _GROWTH["datasets"], MOST_DATASETS),
        )
        return None if larger == self else larger


def wanted_of(parameters: Mapping[str, str]) -> Wanted:
    """Return what the parameters of a page ask for; what makes no sense counts as not given."""
    direction = parameters.get("direction")
    return Wanted(
        _number(parameters.get("steps"), FIRST_STEPS, MOST_STEPS),
        _number(parameters.get("datasets"), FIRST_DATASETS, MOST_DATASETS),
        next((known for known in DIRECTIONS if known == direction), "both"),
    )


def _number(text: str | None, default: int, most: int) -> int:
    with suppress(ValueError):
        return min(max(int((text or "")[:9]), 1), most)
    return default


def graph_of(scope: Scope, uuid: str, wanted: Wanted) -> ProvenanceGraph:
    """Return the part of a graph that is asked for, with what visible datasets name and is not to be seen."""
    return service.connected(
        scope,
        uuid,
        direction=wanted.direction,
        depth=wanted.steps,
        most=wanted.datasets,
        placeholders=True,
    )


@dataclass(frozen=True)
class Shown:
    """What is shown of a graph.

    :ivar ancestors, descendants, others: the datasets beside the one that was asked for, by steps and name
    """

    graph: ProvenanceGraph
    wanted: Wanted
    ancestors: list[Node]
    descendants: list[Node]
    others: list[Node]

    @property
    def centre(self) -> Node:
        """The dataset that was asked for."""
        return self.graph.nodes[self.graph.centre]

    @property
    def has_placeholders(self) -> bool:
        """Whether there are datasets of which nothing but the UUID is known."""
        return any(node.is_placeholder for node in self.graph.nodes.values())

    @property
    def picture(self) -> Markup:
        """The drawing, in which everything that was written by somebody is escaped."""
        return Markup(drawing.svg_in_page(self.graph, address_of, words()))

    def name_of(self, node: Node) -> str:
        """Return the name of a dataset."""
        return drawing.name_of(node)

    def address_of(self, node: Node) -> str | None:
        """Return the address of the page of a dataset; None: there is none, or not for the reader."""
        return address_of(node)

    def url(self, **changes: object) -> str:
        """Return the address of the page with another part of the graph."""
        return replace(self.wanted, **changes).url(self.graph.centre)  # type: ignore[arg-type]

    def file_url(self, form: str) -> str:
        """Return the address of a file with what is shown."""
        return self.wanted.url(self.graph.centre, form)

    @property
    def more_url(self) -> str | None:
        """The address of the page with more of it; None: there is no more, or no page for it."""
        more = self.wanted.more() if self.graph.is_bounded else None
        return more.url(self.graph.centre) if more else None


def shown(graph: ProvenanceGraph, wanted: Wanted) -> Shown:
    """Return what is shown of a graph in which there is the dataset that was asked for."""
    sources = {node.uuid: node.derived_from for node in graph.nodes.values()}
    derived: dict[str, list[str]] = {uuid: [] for uuid in graph.nodes}
    for uuid, source in graph.edges:
        if source in derived:
            derived[source].append(uuid)
    ancestors = _reached(graph, lambda uuid: sources[uuid])
    before = {node.uuid for node in ancestors}
    descendants = [node for node in _reached(graph, lambda uuid: derived[uuid]) if node.uuid not in before]
    near = {graph.centre, *before, *(node.uuid for node in descendants)}
    others = [node for node in graph.nodes.values() if node.uuid not in near]
    return Shown(
        graph, wanted, *(sorted(nodes, key=Node.nearest) for nodes in (ancestors, descendants, others))
    )


def _reached(graph: ProvenanceGraph, onward: Callable[[str], Iterable[str]]) -> list[Node]:
    """Return the datasets that can be reached from the one that was asked for."""
    way, seen = [graph.centre], {graph.centre}
    for uuid in way:
        for next_one in onward(uuid):
            if next_one in graph.nodes and next_one not in seen:
                seen.add(next_one)
                way.append(next_one)
    return [graph.nodes[uuid] for uuid in way[1:]]


def words() -> Words:
    """Return what a picture says, in the language of the reader."""
    return Words(
        title=gettext("Provenance of {name}"),
        unknown=gettext("not registered, or not yours to see"),
        is_bounded=gettext("There is more than is shown."),
        copies=gettext("{number} copies"),
    )


def address_of(node: Node, external: bool = False) -> str | None:
    """Return the address of the page of a dataset, or of that of its copies; None: it is a placeholder.

    :param external: with the name of the server, for a file that is read elsewhere
    """
    if node.is_placeholder:
        return None
    if len(node.copies) > 1:
        return url_for("web.copies", uuid=node.uuid, _external=external)
    return url_for("web.dataset", uri=node.copies[0]["uri"], _external=external)
