"""A provenance graph as a picture (SVG), and as text for Graphviz (DOT). What was there first is at the left.

Names come from whoever could write into the storage: they are escaped, and what would act or hide something in them is
written out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from dservercore.plugins.graph.graph import Node, ProvenanceGraph
from dservercore.plugins.graph.layout import Point, layout
from dservercore.printable import printable
from dservercore.web.shown import moment

#: Given a dataset, returns the address of its page; None: it has none.
AddressOf = Callable[[Node], str | None]

# In pixels.
_WIDTH, _HEIGHT = 220, 46  # of a dataset
_ACROSS, _DOWN = 272, 60  # from a dataset to the one beside it, and below it
_MARGIN, _HEAD = 14, 7

# Characters that fit into a dataset, those of East Asia counting twice.
_LONGEST_NAME, _LONGEST_NOTE = 24, 36

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: For a picture that is not on a page, which has the colours of pages itself.
STYLE = """
text { font: 600 13px system-ui, sans-serif; fill: #16211f }
.note { font-size: 11.5px; font-weight: 400; fill: #52605d }
.box { fill: #ffffff; stroke: #52605d }
.centre .box { fill: #f1f6f4; stroke: #0a675f; stroke-width: 2.5 }
.unknown .box { fill: none; stroke-dasharray: 5 4 }
.edges { fill: none; stroke: #52605d; stroke-width: 1.5 }
.heads { fill: #52605d }
a:focus .box, a:hover .box { stroke: #0a675f; stroke-width: 3 }
@media (prefers-color-scheme: dark) {
svg { background: #101716 }
text { fill: #e5ecea }
.note { fill: #a2b0ad }
.box { fill: #101716; stroke: #a2b0ad }
.centre .box { fill: #19221f; stroke: #6fcfc1 }
.edges { stroke: #a2b0ad }
.heads { fill: #a2b0ad }
a:focus .box, a:hover .box { stroke: #6fcfc1 }
}
"""


@dataclass(frozen=True)
class Words:
    """What a picture says of its own, in the language of its reader."""

    title: str = "Provenance of {name}"
    unknown: str = "not registered, or not yours to see"
    is_bounded: str = "There is more than is shown."
    copies: str = "{number} copies"


def name_of(node: Node) -> str:
    """Return the name of a dataset, the same whichever of its copies has which; of an unknown one, its UUID."""
    return node.name


def svg(graph: ProvenanceGraph, address_of: AddressOf = lambda node: None, words: Words = Words()) -> str:
    """Return the picture as an XML document of its own, in the colours of pages, light or dark."""
    return _svg(graph, address_of, words, f"<style>{STYLE}</style>")


def svg_in_page(graph: ProvenanceGraph, address_of: AddressOf, words: Words = Words()) -> str:
    """Return the picture as an element of a page, whose style sheet says how it looks."""
    return _svg(graph, address_of, words, "")


def _svg(graph: ProvenanceGraph, address_of: AddressOf, words: Words, style: str) -> str:
    drawn = layout(graph)
    width = max(drawn.columns - 1, 0) * _ACROSS + _WIDTH + 2 * _MARGIN
    height = round((max(drawn.rows, 1.0) - 1) * _DOWN) + _HEIGHT + 2 * _MARGIN
    centre = graph.nodes.get(graph.centre)
    title = words.title.format(name=name_of(centre) if centre else graph.centre)
    lines = [f"M{_number(x)} {_number(y)}{curve}" for x, y, curve in map(_curve, drawn.routes.values())]
    heads = [_head(points) for points in drawn.routes.values()]
    by_place = sorted(graph.nodes.values(), key=lambda node: drawn.places[node.uuid])
    boxes = [
        _box(node, drawn.places[node.uuid], address_of(node), words, node.uuid == graph.centre)
        for node in by_place
    ]
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="provenance" width="{width}" height="{height}" ',
            f'viewBox="0 0 {width} {height}"><title>{_text(title)}</title>',
            f"<desc>{_text(words.is_bounded)}</desc>" if graph.is_bounded else "",
            style,
            f'<path class="edges" d="{"".join(lines)}"/>' if lines else "",
            f'<path class="heads" d="{"".join(heads)}"/>' if heads else "",
            *boxes,
            "</svg>",
        ]
    )


def _box(node: Node, place: Point, address: str | None, words: Words, is_centre: bool) -> str:
    x, y = _pixels(place)
    kinds = ["dataset", *["centre"] * is_centre, *["unknown"] * node.is_placeholder]
    name, note = name_of(node), _note(node, words)
    box = (
        # One of its own, so that nothing reaches beyond it, however wide the letters are.
        f'<svg class="{" ".join(kinds)}" x="{_number(x - _WIDTH / 2)}" y="{_number(y - _HEIGHT / 2)}" '
        f'width="{_WIDTH}" height="{_HEIGHT}"><title>{_text(f"{name} – {note}" if note else name)}</title>'
        f'<rect class="box" x="2" y="2" width="{_WIDTH - 4}" height="{_HEIGHT - 4}" rx="6"/>'
        f'<text x="12" y="20">{_text(shortened(name, _LONGEST_NAME))}</text>'
        f'<text class="note" x="12" y="36">{_text(shortened(note, _LONGEST_NOTE))}</text></svg>'
    )
    return f"<a href={quoteattr(_xml(address))}>{box}</a>" if address else box


def _note(node: Node, words: Words) -> str:
    """Return the second line of a dataset: when it was frozen, who made it, and how many copies of it there are."""
    if node.is_placeholder:
        return words.unknown
    dataset, parts = node.copies[0], []
    if isinstance(dataset.get("frozen_at"), int | float):
        parts.append(f"{moment(dataset['frozen_at']):%Y-%m-%d}")
    if dataset.get("creator_username"):
        parts.append(str(dataset["creator_username"]))
    if len(node.copies) > 1:
        parts.append(words.copies.format(number=len(node.copies)))
    return " · ".join(parts)


def _pixels(place: Point) -> Point:
    column, row = place
    return _MARGIN + _WIDTH / 2 + column * _ACROSS, _MARGIN + _HEIGHT / 2 + row * _DOWN


def _ends(points: tuple[Point, ...]) -> tuple[list[Point], int]:
    """Return where lines of an edge begin and end, and whether it runs to the right (1) or back (-1)."""
    way = 1 if points[0][0] < points[-1][0] else -1
    # One that runs back, and closes a cycle, a little lower, lest it lies upon one that runs there.
    shift = 0 if way == 1 else _HEIGHT / 4
    half = way * _WIDTH / 2
    (first_x, first_y), *bends, (last_x, last_y) = [_pixels(point) for point in points]
    ends = [(first_x + half, first_y + shift)]
    for x, y in bends:
        ends += [(x - half, y), (x + half, y)]
    return [*ends, (last_x - half - way * _HEAD, last_y + shift)], way


def _curve(points: tuple[Point, ...]) -> tuple[float, float, str]:
    """Return where the line of an edge begins, and the rest of it."""
    ends, way = _ends(points)
    parts = []
    for number, ((from_x, from_y), (to_x, to_y)) in enumerate(pairwise(ends)):
        if number % 2:
            parts.append(f"H{_number(to_x)}")
            continue
        pull = way * max(abs(to_x - from_x) / 2, _ACROSS / 8)
        parts.append(
            f"C{_number(from_x + pull)} {_number(from_y)} {_number(to_x - pull)} {_number(to_y)} "
            f"{_number(to_x)} {_number(to_y)}"
        )
    return *ends[0], "".join(parts)


def _head(points: tuple[Point, ...]) -> str:
    ends, way = _ends(points)
    x, y = ends[-1]
    return f"M{_number(x + way * _HEAD)} {_number(y)}l{-way * (_HEAD + 1)} -4v8z"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def shortened(text: str, room: int) -> str:
    """Return the beginning of a text that is about as wide as *room* letters, on one line, without what acts."""
    text = printable(text[: 4 * room])
    taken = 0
    for place, letter in enumerate(text):
        taken += _letters(letter)
        if taken > room:
            return f"{text[: max(place - 1, 0)]}…"
    return text


def _letters(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def _text(text: str) -> str:
    return escape(_xml(printable(text)))


def dot(graph: ProvenanceGraph, address_of: AddressOf = lambda node: None, words: Words = Words()) -> str:
    """Return the graph in the language of Graphviz: ``dot -Tpdf`` makes a picture of it."""
    return "\n".join(_dot_lines(graph, address_of, words)) + "\n"


def _dot_lines(graph: ProvenanceGraph, address_of: AddressOf, words: Words) -> Iterator[str]:
    yield "digraph provenance {"
    yield "  rankdir=LR;"
    yield '  node [shape=box, style=rounded, fontname="Helvetica"];'
    if graph.is_bounded:
        yield f"  label={_quoted(words.is_bounded)};"
    for node in graph.nodes.values():
        note = _note(node, words)
        label = _escaped(name_of(node)) + (f"\\n{_escaped(note)}" if note else "")
        attributes: dict[str, Any] = {"label": f'"{label}"'}
        if address := address_of(node):
            # Graphviz writes quotes and brackets of addresses into its pictures as they are.
            attributes["URL"] = _quoted(quote(address, safe="/:?#[]@!$&()*+,;=%~"))
        if node.is_placeholder:
            attributes["style"] = '"rounded,dashed"'
        elif node.uuid == graph.centre:
            attributes["penwidth"] = "2"
        yield f"  {_quoted(node.uuid)} [{', '.join(f'{key}={value}' for key, value in attributes.items())}];"
    for derived, source in graph.edges:
        if source in graph.nodes:
            yield f"  {_quoted(source)} -> {_quoted(derived)};"
    yield "}"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    r"""Return a text for between quotes, where Graphviz reads ``\`` and the entities of HTML as more than they are."""
    return _xml(printable(text)).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
