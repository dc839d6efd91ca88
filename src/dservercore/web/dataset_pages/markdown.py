"""Descriptions that are Markdown, as HTML that is safe whoever wrote them: no HTML of theirs, no images, no scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

#: Of all descriptions of a page together; those that are beyond are shown as they are written.
MOST_CHARACTERS = 20_000

#: Cells that a table of a description may come to have: rows that are short are filled up.
MOST_CELLS = 10_000

#: What a link may begin with; others are no links.
_SCHEMES = ("http://", "https://", "mailto:")


class _Part(Protocol):
    """A part of a text, and where it leads to."""

    @property
    def text(self) -> str: ...
    @property
    def href(self) -> str | None: ...
    @property
    def is_here(self) -> bool: ...


class Markdown:
    """Renders the descriptions of one page.

    :param parts_of: splits a text into parts, some of which lead somewhere
    """

    def __init__(self, parts_of: Callable[[str], Iterable[_Part]]):
        self._parts_of = parts_of
        self._room = MOST_CHARACTERS
        # What is in HTML is shown as it is written; an image, which would be loaded from elsewhere, as a link to it.
        self._parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._parser.validateLink = _is_safe  # type: ignore[method-assign]
        rules: dict[str, Any] = self._parser.renderer.rules  # type: ignore[attr-defined]
        # The page has headings of its own: those of a description are no part of its outline.
        rules |= {"heading_open": _paragraph, "heading_close": _end_of_paragraph}
        rules |= {"link_open": _link, "link_close": _end_of_link, "text": self._text, "image": _image}
        for name in ("th_open", "td_open"):
            rules[name] = _cell

    def render(self, text: str) -> Markup:
        """Return a text as HTML."""
        if len(text) > self._room or _may_be_huge(text):
            return Markup('<p class="as-written">{}</p>').format(text)
        self._room -= len(text)
        # All that it has of the text is escaped.
        return Markup(self._parser.render(text, {"links": 0}))

    def _text(self, tokens: Sequence[Token], index: int, options: Any, env: dict[str, int]) -> str:
        token = tokens[index]
        if env["links"]:  # no link within a link
            return str(escape(token.content))
        return "".join(map(str, map(_part, self._parts_of(token.content))))


def _may_be_huge(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) * max((line.count("|") for line in lines), default=0) > MOST_CELLS


def _part(part: _Part) -> Markup:
    if part.href is None:
        return escape(part.text)
    relation = Markup("") if part.is_here else Markup(' rel="noopener noreferrer"')
    return Markup('<a href="{}"{}>{}</a>').format(part.href, relation, part.text)


def _is_safe(url: str) -> bool:
    return url.lower().startswith(_SCHEMES)


def _paragraph(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<p class="heading">'


def _end_of_paragraph(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</p>\n"


def _cell(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f"<{tokens[index].tag}>"  # without a style, which pages may not have


def _link(tokens: Sequence[Token], index: int, options: Any, env: dict[str, int]) -> str:
    env["links"] += 1
    return str(Markup('<a href="{}" rel="noopener noreferrer">').format(tokens[index].attrGet("href")))


def _end_of_link(tokens: Sequence[Token], index: int, options: Any, env: dict[str, int]) -> str:
    env["links"] -= 1
    return "</a>"


def _image(tokens: Sequence[Token], index: int, options: Any, env: dict[str, int]) -> str:
    token = tokens[index]
    text = token.content or token.attrGet("src")
    if env["links"]:
        return str(escape(text))
    return str(Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(token.attrGet("src"), text))
