"""What the directives that write reStructuredText have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distribution

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

from dservercore import ExtensionABC


class GeneratedDirective(SphinxDirective):
    """A directive whose content is reStructuredText that :meth:`lines` writes."""

    def lines(self) -> Iterable[str]:
        """Yield the lines of reStructuredText."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return what the lines become, sections included."""
        section = nodes.section()
        section.document = self.state.document
        source = f"{self.env.docname} <{self.name}>"
        nested_parse_with_titles(self.state, StringList(list(self.lines()), source=source), section)
        return section.children


def bundled_extensions() -> dict[str, ExtensionABC]:
    """Return the bundled extensions by name. Their models are then among the tables."""
    found = distribution("dservercore").entry_points.select(group="dservercore.extension")
    return {
        entry_point.name: entry_point.load()() for entry_point in sorted(found, key=lambda point: point.name)
    }


def title(text: str, underline: str) -> Iterator[str]:
    """Yield the heading *text*."""
    yield from (text, underline * len(text), "")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Yield a table; nothing if it has no rows. Cells are reStructuredText of one line."""
    rows = list(rows)
    if not rows:
        return
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield "   :width: 100%"
    yield f"   :widths: {' '.join(map(str, widths))}"
    yield ""
    for row in [header, *rows]:
        for position, cell in enumerate(row):
            yield f"   {'*' if position == 0 else ' '} - {cell}".rstrip()
    yield ""


def as_rst(markdown: str | None) -> str:
    """Return one line of the Markdown that OpenAPI documents are written in: only code in it is special."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", " ".join((markdown or "").split()))
