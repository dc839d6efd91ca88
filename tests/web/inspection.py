"""What a page is made of, as a browser reads it, and what is wrong with that for some readers or for their safety."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

#: An address of the server whose pages are looked at.
HERE = "http://localhost/here/and/there"

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_LOADED = {"src", "srcset", "poster", "data", "background", "formaction", "action", "ping", "manifest"}
#: Where htmx sends requests to.
_REQUESTED = {
    f"{prefix}hx-{verb}" for prefix in ("", "data-") for verb in ("get", "post", "put", "patch", "delete")
}
_UNLABELLED = {"hidden", "submit", "button", "reset", "image"}
_NAMES = ("aria-label", "aria-labelledby", "title")


@dataclass
class Element:
    """An element of a page: its attributes, and the text in it."""

    tag: str
    attributes: dict[str, str]
    within: list[str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """The elements of a page, in their order."""

    source: str
    elements: list[Element] = field(default_factory=list)
    is_whole: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []
        self.feed(self.source)
        self.close()

    def handle_decl(self, declaration: str) -> None:
        self.is_whole = self.is_whole or declaration.lower() == "doctype html"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        element = Element(tag, values, [outer.tag for outer in self._open])
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in [element.tag for element in self._open]:
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, text: str) -> None:
        for element in self._open:
            element.text += text

    def all(self, *tags: str) -> list[Element]:
        """Return the elements with one of the tags."""
        return [element for element in self.elements if element.tag in tags]

    def addresses(self) -> list[str]:
        """Return what the page links, loads, and sends forms to."""
        names = _LOADED | _REQUESTED | {"href"}
        return [value for e in self.elements for name, value in e.attributes.items() if name in names]


def leads_elsewhere(address: str) -> bool:
    """Return whether a browser takes an address, found in a page or in ``Location``, for one of another server."""
    # Browsers drop these before they look, and read a backslash as a slash.
    plain = address.strip("".join(map(chr, range(33)))).replace("\t", "").replace("\n", "").replace("\r", "")
    url = urlsplit(urljoin(HERE, plain.replace("\\", "/")))
    return (url.scheme, url.hostname) != ("http", "localhost")


def faults(source: str) -> list[str]:
    """Return a line on each fault of a page, or of a part of one that a script asks for."""
    page = Page(source)
    return [*_unsafe(page), *(_unreadable(page) if page.is_whole else []), *_unlabelled(page)]


def _unsafe(page: Page) -> list[str]:
    found = []
    for element in page.elements:
        name = f"<{element.tag} {element.attributes}>"
        if element.tag == "style":
            found.append("a style sheet in the page")
        if element.tag == "script" and (not element.attributes.get("src") or element.text.strip()):
            found.append(f"a script in the page: {element.text[:80]!r}")
        if element.tag in ("iframe", "object", "embed", "base", "frame", "applet", "portal"):
            found.append(f"{name}: not of a page of ours")
        for attribute, value in element.attributes.items():
            if attribute == "style":
                found.append(f"{name}: style in the page")
            is_of_htmx = attribute.startswith(("hx-", "data-hx-"))
            if attribute.startswith(("on", "hx-on", "data-hx-on")) or (
                is_of_htmx and value.lstrip().startswith(("js:", "javascript:"))
            ):
                found.append(f"{name}: code in the page")
            if attribute in _LOADED | _REQUESTED and leads_elsewhere(value):
                found.append(f"{name}: loads from or sends to another server")
            if attribute == "href" and element.tag not in ("a", "area") and leads_elsewhere(value):
                found.append(f"{name}: loads from another server")
            scheme = urlsplit(urljoin(HERE, value.strip())).scheme
            if attribute == "href" and scheme not in ("http", "https", "mailto"):
                found.append(f"{name}: no link that may be followed")
    return found


def _unreadable(page: Page) -> list[str]:
    found = []
    [html] = page.all("html")
    if not html.attributes.get("lang"):
        found.append("the page does not say its language")
    titles = [title.text.strip() for title in page.all("title") if "svg" not in title.within]
    if len(titles) != 1 or not titles[0]:
        found.append(f"the titles of the page are {titles}")
    headings = [h1.text.strip() for h1 in page.all("h1")]
    if len(headings) != 1 or not headings[0]:
        found.append(f"the first headings of the page are {headings}")
    for landmark in ("main", "nav", "footer"):
        if not page.all(landmark) or (landmark == "main" and len(page.all(landmark)) > 1):
            found.append(f"{len(page.all(landmark))} elements {landmark}")
    if not any(meta.attributes.get("name") == "viewport" for meta in page.all("meta")):
        found.append("the page has no viewport")
    found += [f"{len(page.all('link'))} files"] if len(page.all("link")) > 2 else []
    return found


def _unlabelled(page: Page) -> list[str]:
    labelled = {label.attributes.get("for") for label in page.all("label")}
    found = []
    for control in page.all("input", "select", "textarea"):
        attributes = control.attributes
        is_named = (
            attributes.get("type") in _UNLABELLED
            or "hidden" in attributes
            or (attributes.get("id") or None) in labelled
            or "label" in control.within
            or any(attributes.get(name) for name in _NAMES)
        )
        if not is_named:
            found.append(f"<{control.tag} {attributes}>: no label")
    for control in page.all("a", "button"):
        if not control.text.strip() and not any(control.attributes.get(name) for name in _NAMES):
            found.append(f"<{control.tag} {control.attributes}>: no text")
    found += [f"{image.attributes}: no alt" for image in page.all("img") if "alt" not in image.attributes]
    ids = Counter(element.attributes["id"] for element in page.elements if "id" in element.attributes)
    return found + [f"the id {name!r} is there {times} times" for name, times in ids.items() if times > 1]
