"""Reads the documentation page that comes with each file of the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Documentation:
    """What a documentation page says about a data file.

    `sections` maps a heading ("Description", "Source", ...) to its text; `variables` maps a column to what it
    means (empty where the page describes the columns in prose).
    """

    title: str = ""
    sections: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


class _PageReader(HTMLParser):
    """Collects the text of a page under its heading, and the entries of the list of variables."""

    HEADINGS = ("h2", "h3")
    NAMES = ("dt", "tr")
    MEANINGS = ("dd", "td")
    BLOCKS = ("p", "br", "li", *NAMES, *MEANINGS)

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.sections: dict[str, list[str]] = {}
        self.entries: list[list[str]] = []
        self._section = ""
        self._heading: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.BLOCKS:
            self.handle_data(" ")
        if tag in self.HEADINGS:
            self._heading = []
        elif self._section == "Format" and tag in self.NAMES:
            self.entries.append([""] if tag == "dt" else [])
        elif self._section == "Format" and tag in self.MEANINGS and self.entries:
            self.entries[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.HEADINGS and self._heading is not None:
            heading = _one_line(self._heading)
            if tag == "h2":
                self.title = heading
            else:
                self._section = heading
            self._heading = None

    def handle_data(self, data: str) -> None:
        if self._heading is not None:
            self._heading.append(data)
        elif self._section:
            self.sections.setdefault(self._section, []).append(data)
            if self._section == "Format" and self.entries and self.entries[-1]:
                self.entries[-1][-1] += data


def read_documentation(page: str) -> Documentation:
    """Return what the HTML text `page` documents."""
    reader = _PageReader()
    reader.feed(page)
    reader.close()
    sections = {heading: _one_line(parts) for heading, parts in reader.sections.items()}
    return Documentation(reader.title, sections, dict(_variables(reader.entries)))


def _variables(entries: list[list[str]]) -> list[tuple[str, str]]:
    pairs = [(_one_line(entry[:1]).rstrip(":"), _one_line(entry[1:])) for entry in entries if len(entry) >= 2]
    return [(name, meaning) for name, meaning in pairs if name and meaning]


def _one_line(parts: list[str]) -> str:
    return " ".join("".join(parts).split())
