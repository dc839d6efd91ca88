"""What holds for every page, whoever looks at it: those that there are, and those that will be added."""

from __future__ import annotations

import gzip
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selenium import webdriver
from sqlalchemy import select
from werkzeug.routing import Rule

from dservercore import sql_db
from dservercore.auth import sign_in
from dservercore.catalog import login_links
from dservercore.web.static_files import DIRECTORY
from support.world import ADMIN, CHAMPION, NOBODY, READER
from web import hostile
from web.browser import axe_source, be_wide, client_of, complaints, enter, needs_browser, until, violations
from web.hostile import INJECTED, PASSWORD
from web.inspection import Page, faults, leads_elsewhere

pytestmark = pytest.mark.attack

#: What stands for each part of an address that is not the same for all: every page has to be looked at.
FILLERS: dict[str, Any] = {
    "uri": hostile.URI,
    "uuid": hostile.UUID,
    "base_uri": hostile.BASE_URI,
    "username": hostile.USER,
    "user": hostile.USER,
    "group": hostile.GROUP,
    "group_name": hostile.GROUP,
    "session_id": 1,
    "name": "text",
    "tag": "tag1",
    "annotation": "text",
    "identifier": f"{0:040x}",
    "number": 1,
    "token_id": 1,
    "search_id": 1,
}
#: Those that mean something else at a page: (endpoint, part) -> what stands for it.
FILLERS_OF_PAGES: dict[tuple[str, str], Any] = {}
#: Answers that no reader sees as pages.
NOT_LOOKED_AT = {"web.static_file"}
#: What is sent there is looked at and forgotten, so that no other site gains by having it sent.
CHANGE_NOTHING = {"web.check_readme"}

#: None is a visitor, who may see what is public.
READERS = {"visitor": None, "nobody": NOBODY, "reader": READER, "champion": CHAMPION, "administrator": ADMIN}
OTHER_READERS = {"hostile": hostile.USER, "long": hostile.LONG_USER}
FOR_BROWSERS = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
#: What pages take in their addresses, filled with what nobody means.
QUERY = dict.fromkeys(
    [
        *["free_text", "q", "query", "creator_usernames", "base_uris", "uuids", "uploaded_by", "tags"],
        *["sort", "page", "page_size", "path", "file", "next", "user", "username", "group", "action"],
        *["since", "until", "from", "to", "by", "name", "view", "raw", "code"],
    ],
    hostile.EVERYTHING,
)
TEXT = INJECTED[1]
EVIL = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "%2f%2fevil.example",
    "/%09/evil.example",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "http://localhost@evil.example/",
    "//evil.example/%2f..",
    "/.//evil.example",
    "evil.example",
    "//evil。example",
]


def rules(app: Flask, *methods: str) -> list[Rule]:
    """Return the routes of pages with one of the methods."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("web.")
        and rule.endpoint not in NOT_LOOKED_AT
        and set(methods) & (rule.methods or set())
    ]


def address_of(app: Flask, rule: Rule) -> str:
    """Return the address of a route, its parts filled."""
    parts = {
        name: FILLERS_OF_PAGES.get((rule.endpoint, name), FILLERS.get(name))
        for name in rule.arguments
        if not (rule.defaults and name in rule.defaults)
    }
    missing = [name for name, value in parts.items() if value is None]
    assert not missing, f"FILLERS has nothing for {missing} of {rule.endpoint}, {rule.rule}"
    with app.test_request_context():
        return app.url_for(rule.endpoint, **parts)


def pages_of(app: Flask) -> dict[str, str]:
    """Return the addresses of all pages by their endpoints."""
    return {rule.endpoint: address_of(app, rule) for rule in rules(app, "GET")}


def token_of(client: FlaskClient) -> str:
    """Return the token of the forms that the server gives a browser."""
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get("/account").text)
    assert found
    return found[1]


@pytest.fixture
def app(app: Flask) -> Flask:
    hostile.populate(app)
    return app


@pytest.mark.parametrize(
    "reader", [*READERS.values(), *OTHER_READERS.values()], ids=[*READERS, *OTHER_READERS]
)
class TestEveryPage:
    def test_is_safe_and_can_be_read(self, app: Flask, reader: str | None) -> None:
        client = client_of(app, reader)
        seen = 0
        for path in [*pages_of(app).values(), "/nowhere"]:
            answer = client.get(path, headers=FOR_BROWSERS)
            assert answer.status_code in (200, 303, 401, 403, 404), path
            policy = answer.headers.get("Content-Security-Policy", "")
            if answer.mimetype == "text/html":
                assert "default-src 'none'" in policy, path
                assert "unsafe" not in policy, path
                assert "frame-ancestors 'none'" in policy, path
                assert "Cookie" in answer.vary, path
            if answer.mimetype == "text/html" and answer.status_code != 303:
                seen += 1
                assert (path, faults(answer.text)) == (path, [])
            assert answer.headers["X-Frame-Options"] == "DENY", path
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert seen > 3

    def test_is_kept_by_nobody_but_its_reader(self, app: Flask, reader: str | None) -> None:
        client = client_of(app, reader)
        for path in [*pages_of(app).values(), "/nowhere"]:
            answer = client.get(path, headers=FOR_BROWSERS)
            kept = answer.cache_control
            assert kept.no_store or (kept.private is not None and kept.no_cache is not None), path
            if reader and answer.mimetype == "text/html" and answer.status_code == 200:
                assert kept.no_store, path


@pytest.mark.parametrize("reader", [None, ADMIN])
def test_what_an_address_says_is_shown_as_text(app: Flask, reader: str | None) -> None:
    client = client_of(app, reader)
    # All at once, and one at a time, as one that is refused hides what the others would do.
    queries = [
        QUERY,
        *({name: value} for name, value in QUERY.items()),
        *({"free_text": t} for t in INJECTED),
    ]
    for path in [*pages_of(app).values(), "/nowhere"]:
        for query in queries:
            answer = client.get(f"{path}?{urlencode(query)}", headers=FOR_BROWSERS)
            assert answer.status_code < 500, (path, query)
            if answer.mimetype == "text/html" and answer.status_code != 303:
                assert (path, query, faults(answer.text)) == (path, query, [])


@pytest.mark.parametrize("reader", [None, ADMIN])
def test_a_first_view_is_small(app: Flask, reader: str | None) -> None:
    client = client_of(app, reader)
    for path in pages_of(app).values():
        page = client.get(path, headers=FOR_BROWSERS)
        if page.mimetype != "text/html":
            continue
        static = sorted(set(re.findall(r'"(/static/[^"]+)"', page.text)))
        assert len(static) <= 5, path  # and the page
        sizes = [len(client.get(file, headers={"Accept-Encoding": "gzip"}).data) for file in static]
        assert sum(sizes) + len(gzip.compress(page.data, 5)) <= 60_000, path


class TestForms:
    def contents(self, app: Flask) -> dict[str, list[Any]]:
        """Return all that the database holds, but for what any request may note."""
        noted = {"sign_in_attempt", "metric", "browser_session", "audit", "audit_entry"}
        with app.app_context():
            return {
                table.name: sorted(map(repr, sql_db.session.execute(select(table)).all()))
                for table in sql_db.metadata.sorted_tables
                if table.name not in noted
            }

    @pytest.mark.parametrize("reader", [None, ADMIN])
    @pytest.mark.parametrize("attempt", ["no token", "another token", "another site", "another host"])
    def test_are_taken_from_pages_of_this_server_alone(
        self, app: Flask, reader: str | None, attempt: str
    ) -> None:
        client = client_of(app, reader)
        before, token = self.contents(app), token_of(client) if reader else ""
        headers = {"another site": "cross-site", "another host": "same-site"}
        tokens = {"no token": "", "another token": f"{token[:-3]}abc"}
        for rule in rules(app, "POST", "PUT", "PATCH", "DELETE"):
            for method in {"POST", "PUT", "PATCH", "DELETE"} & (rule.methods or set()):
                answer = client.open(
                    address_of(app, rule),
                    method=method,
                    data={"csrf_token": tokens.get(attempt, token), **FILLED},
                    headers={**FOR_BROWSERS, "Sec-Fetch-Site": headers.get(attempt, "same-origin")},
                )
                refused = answer.status_code in (400, 401, 403, 404, 405, 409, 410, 422)
                # Whoever is not signed in is led to where one can.
                is_led = reader is None and answer.status_code == 303
                assert refused or is_led or rule.endpoint in CHANGE_NOTHING, rule
                assert self.contents(app) == before, rule

    def test_lead_nowhere_else(self, app: Flask) -> None:
        for rule in rules(app, "POST"):
            for evil in EVIL[:3]:
                client = client_of(app, ADMIN)
                fields = {"csrf_token": token_of(client), **FILLED, "next": evil}
                answer = client.post(f"{address_of(app, rule)}?{urlencode({'next': evil})}", data=fields)
                assert answer.status_code < 500, rule
                assert not leads_elsewhere(answer.headers.get("Location", "")), (rule, evil)
                break_in = Page(answer.text) if answer.mimetype == "text/html" else None
                assert not break_in or "evil.example" not in {
                    leads_elsewhere(address) and address for address in break_in.addresses()
                }
            with app.app_context():
                sql_db.session.rollback()

    @pytest.mark.parametrize("reader", [None, ADMIN])
    def test_pages_that_are_led_back_to_are_of_this_server(self, app: Flask, reader: str | None) -> None:
        client = client_of(app, reader)
        for path in pages_of(app).values():
            for evil in EVIL[:3]:
                answer = client.get(f"{path}?{urlencode({'next': evil})}", headers=FOR_BROWSERS)
                assert not leads_elsewhere(answer.headers.get("Location", "")), (path, evil)
                for address in Page(answer.text).addresses() if answer.mimetype == "text/html" else []:
                    assert not (leads_elsewhere(address) and "evil" in address), (path, evil)

    def test_signing_in_leads_nowhere_else(self, app: Flask) -> None:
        for evil in EVIL:
            client = client_of(app, None)
            page = client.get("/sign-in", query_string={"next": evil}).text
            token = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', page)[0]
            fields = {"csrf_token": token, "username": ADMIN, "password": PASSWORD, "next": evil}
            answer = client.post("/sign-in", query_string={"next": evil}, data=fields)
            assert answer.status_code == 303, evil
            assert not leads_elsewhere(answer.location), evil
            assert client.get_cookie(sign_in.PLAIN_COOKIE)

    def test_a_link_that_signs_in_leads_nowhere_else(self, app: Flask) -> None:
        for evil in EVIL:
            with app.app_context():
                link = login_links.make(ADMIN)
                sql_db.session.commit()
            client = client_of(app, None)
            page = client.get("/sign-in/link", query_string={"code": link, "next": evil}).text
            token = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', page)[0]
            fields = {"csrf_token": token, "code": link, "next": evil}
            answer = client.post("/sign-in/link", query_string={"next": evil}, data=fields)
            assert answer.status_code == 303
            assert not leads_elsewhere(answer.location)


#: Fields as forms of pages have them, so that nothing but the token is missing.
FILLED = {
    "username": NOBODY,
    "name": "somebody",
    "display_name": "x",
    "old": PASSWORD,
    "new": "plum tractor violin 77",
    "password": PASSWORD,
    "tag": "new",
    "tags": "new",
    "value": '"new"',
    "annotation": "new",
    "readme": "description: new",
    "base_uri": "s3://new",
    "group": "new",
    "public": "y",
    "confirm": "y",
    "free_text": "new",
    "query": "new",
}


@needs_browser
class TestInABrowser:
    def look(self, chrome: webdriver.Chrome, scheme: str) -> None:
        """Have the reader prefer a theme, and no motion: colours that are on their way are nobody's."""
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        wishes = [{"name": name, "value": value} for name, value in features.items()]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wishes})

    def overflow(self, chrome: webdriver.Chrome) -> str:
        """Return what reaches beyond the window; empty if nothing does."""
        return str(
            chrome.execute_script(
                """
                const width = document.documentElement.clientWidth;
                if (document.documentElement.scrollWidth <= width) return "";
                const isCut = (one) => one !== document.body && getComputedStyle(one).overflowX !== "visible";
                const reach = (one) => {
                  let right = one.getBoundingClientRect().right;
                  for (let outer = one.parentElement; outer; outer = outer.parentElement)
                    if (isCut(outer)) right = Math.min(right, outer.getBoundingClientRect().right);
                  return right;
                };
                const all = [...document.querySelectorAll("body *")];
                const wide = all.filter((one) => reach(one) > width + 0.5);
                return wide.map((one) => `${one.outerHTML.slice(0, 120)} to ${reach(one)} of ${width}`).join("; ");
                """
            )
        )

    @pytest.mark.parametrize("reader", [None, hostile.LONG_USER], ids=["visitor", "administrator"])
    def test_fits_is_read_by_everybody_and_runs_nothing_of_others(
        self,
        app: Flask,
        address: str,
        chrome: webdriver.Chrome,
        reader: str | None,
        pytestconfig: pytest.Config,
    ) -> None:
        axe = axe_source(pytestconfig.cache.mkdir("axe"))
        if reader:
            enter(chrome, app, address, reader)
        client = client_of(app, reader)
        paths = [
            *pages_of(app).values(),
            "/nowhere",
            f"/?{urlencode({'free_text': INJECTED[1]})}",
            f"/?{urlencode({'free_text': hostile.LONG})}",
        ]
        for path in paths:
            answer = client.get(path, headers=FOR_BROWSERS)
            if answer.mimetype != "text/html" or "attachment" in answer.headers.get(
                "Content-Disposition", ""
            ):
                continue
            chrome.get(address + path)
            until(chrome, lambda it: it.execute_script("return document.readyState === 'complete'"))
            if not chrome.execute_script("return document.doctype"):
                continue  # a part of a page
            for scheme in ("light", "dark"):
                self.look(chrome, scheme)
                for width in (1280, 320):
                    be_wide(chrome, width)
                    assert (path, width, self.overflow(chrome)) == (path, width, "")
                assert (path, scheme, violations(chrome, axe)) == (path, scheme, [])
            for width in (320, 1280):
                be_wide(chrome, width)
                chrome.execute_script("document.documentElement.style.fontSize = '200%'")
                assert (path, "200 %", self.overflow(chrome)) == (path, "200 %", "")
            assert chrome.execute_script("return window.__hit") is None, path
            # Of its own, the browser complains about the status of the page.
            said = [
                said for said in complaints(chrome) if "the server responded with a status of" not in said
            ]
            assert (path, said) == (path, [])


class TestColours:
    def themes(self) -> list[dict[str, str]]:
        css = (DIRECTORY / "css/base.css").read_text()
        blocks = re.findall(r":root \{([^}]*--paper[^}]*)\}", css)
        return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks[:2]]

    def luminance(self, colour: str) -> float:
        def linear(part: str) -> float:
            value = int(part, 16) / 255
            return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

        red, green, blue = (linear(colour[place : place + 2]) for place in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    @pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
    @pytest.mark.parametrize("text", ["ink", "quiet", "accent", "wrong"])
    @pytest.mark.parametrize("ground", ["paper", "tint"])
    def test_text_stands_out(self, theme: int, text: str, ground: str) -> None:
        colours = self.themes()[theme]
        one, other = sorted(self.luminance(colours[name]) for name in (text, ground))
        assert (other + 0.05) / (one + 0.05) >= 4.5

    def test_no_other_colours_are_used(self) -> None:
        for file in sorted((DIRECTORY / "css").glob("*.css")):
            css = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL)
            css = re.sub(r":root \{[^}]*\}", "", css)
            found = re.findall(r":[^;{}]*?(#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|oklch)a?\()", css)
            assert (file.name, found) == (file.name, [])


class TestStyleSheets:
    """All sheets are one file: what is named in one of them must not touch the pages of another one."""

    #: The templates of each sheet. What is not here has what is in ``base.css``.
    TEMPLATES = {
        "admin.css": ("admin/",),
        "dashboard.css": ("dashboard", "work_list", "charts"),
        "dataset.css": ("dataset/",),
        "edit.css": ("dataset/",),
        "mine.css": ("account", "keep_search", "lost_session"),
        "search.css": ("search",),
    }

    def leading(self, sheet: str) -> set[str]:
        """Return the classes that a sheet gives a look to wherever they are, or gives one to what is in them."""
        css = re.sub(r"/\*.*?\*/", "", (DIRECTORY / "css" / sheet).read_text(), flags=re.DOTALL)
        apart = re.compile(r",(?![^()]*\))")  # not what :is() has in it
        selectors = [one.strip() for some in re.findall(r"([^{}]+)\{", css) for one in apart.split(some)]
        return {found[1] for one in selectors if (found := re.match(r"\.([\w-]+)", one))}

    def test_each_names_what_is_on_its_own_pages(self) -> None:
        templates = DIRECTORY.parent / "templates/web"
        used: dict[str, set[str]] = {}
        for file in templates.rglob("*.html"):
            words = " ".join(re.findall(r'class="([^"]*)"', file.read_text()))
            used[str(file.relative_to(templates))] = set(re.findall(r"[a-z][\w-]*", words))
        assert {file.name for file in (DIRECTORY / "css").glob("*.css")} == {*self.TEMPLATES, "base.css"}
        for sheet, own in self.TEMPLATES.items():
            elsewhere = {name: words for name, words in used.items() if not name.startswith(own)}
            leaks = [(name, words & self.leading(sheet)) for name, words in sorted(elsewhere.items())]
            assert (sheet, [leak for leak in leaks if leak[1]]) == (sheet, [])
