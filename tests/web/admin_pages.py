"""An administrator's browser without the browser: what the tests of the administration send and read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from flask import Flask

from web.browser import client_of


class Browser:
    """Somebody who opens pages, and sends their forms.

    ``page`` is the page that is open: its answer.
    """

    def __init__(self, app: Flask, username: str):
        self.client = client_of(app, username)
        self.page: Any = None

    def open(self, path: str, **query: str) -> str:
        """Open a page, and return its source."""
        self.page = self.client.get(path, query_string=query or None, headers={"Accept": "text/html"})
        return str(self.page.text)

    def token(self) -> str:
        """Return the token of the forms of the page that is open."""
        tokens = set(re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', self.page.text))
        [token] = tokens
        return str(token)

    def send(self, path: str, act: str, page: str = "", **fields: str) -> Any:
        """Send a form as the page does that has it, and return the answer, before whatever it leads to.

        :param page: the page with the form, if it is at another address
        """
        self.open(page or path)
        data = {"csrf_token": self.token(), "act": act, **fields}
        return self.client.post(path, data=data, headers={"Accept": "text/html"})

    def do(self, path: str, act: str, page: str = "", **fields: str) -> str:
        """Send a form, and return the source of the page that it leads to.

        :raises AssertionError: if it is refused
        """
        answer = self.send(path, act, page, **fields)
        assert answer.status_code == 303, (answer.status_code, text_of(answer.text))
        return self.open(answer.location)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(page: str) -> str:
    """Return what somebody reads on a page, with one blank between words, and without signs for the direction."""
    parser = _Text()
    parser.feed(page)
    return " ".join(" ".join(parser.parts).translate(dict.fromkeys((0x2068, 0x2069))).split())


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self._href: str | None = None
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._href, self._parts = dict(attrs).get("href"), []

    def handle_data(self, data: str) -> None:
        self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href is not None:
            self.links["".join(self._parts).strip()] = self._href
            self._href = None


def links_of(page: str) -> dict[str, str]:
    """Return the addresses of the links of a page by what they say; of several that say the same, the last one."""
    parser = _Links()
    parser.feed(page)
    return parser.links
