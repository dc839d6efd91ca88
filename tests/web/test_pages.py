"""Pages: the first one, static files, errors in HTML, and what a browser makes of them."""

from __future__ import annotations

import gzip
import re
from importlib.metadata import version
from urllib.parse import urlsplit

import pytest

from dservercore import create_app, sql_db
from dservercore.catalog import groups, kept_searches, login_links, passwords, personal_tokens, sessions
from dservercore.web.static_files import FOR_EVER, served_files
from support.world import ADMIN, CHAMPION, NOBODY, READER, RED
from web.browser import (
    axe_source,
    complaints,
    enter,
    needs_browser,
    prefer,
    requests_of,
    violations,
)

PASSWORD = "five tall ships at sea"

#: What browsers send where somebody opens an address.
OF_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
OF_PROGRAMS = [None, "*/*", "application/json", "application/json, text/html", "text/html;q=0.5, */*"]


#: The address of each page, and its heading.
PAGES = {
    "/": "A lookup server for dtool datasets",
    "/sign-in": "Sign in",
    "/sign-in/link": "Sign in with a link",
}
UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"

#: The same of those that only somebody who has signed in can open.
PAGES_OF_USERS = {
    "/account": "Your account",
    "/sign-in/done": "You are signed in",
    "/dashboard": "Dashboard",
    "/dashboard/work-list": "What lacks description",
    "/search/values": "Tags",
    f"/datasets/s3/red/{UUID}": "bean-harvest",
    f"/uuid/{UUID}": "Copies of bean-harvest",
    f"/edit/tags/s3/red/{UUID}": "Edit the tags",
    f"/edit/annotations/s3/red/{UUID}": "Edit the annotations",
    f"/edit/annotations/s3/red/{UUID}?name=object": "Edit the annotations",
    f"/edit/readme/s3/red/{UUID}": "Edit the README",
    f"/delete/s3/red/{UUID}": "Delete the registration?",
}
#: The same of those of administrators.
PAGES_OF_ADMINS = {
    "/admin": "Administration",
    "/admin/users": "Users",
    "/admin/groups": "Groups",
    "/admin/base-uris": "Base URIs",
    "/admin/audit": "Audit",
}
#: By their rules, pages on one thing.
PAGES_ON_ONE = {
    "/admin/users/<username>": {
        f"/admin/users/{READER}": READER,
        f"/admin/users/{READER}?confirm=delete": f"Delete {READER}?",
        f"/admin/users/{NOBODY}?grant=search&on={RED}": NOBODY,
    },
    "/admin/groups/<group>": {
        "/admin/groups/lab": "lab",
        "/admin/groups/lab?confirm=delete": "Delete the group lab?",
    },
    "/admin/base-uris/<base_uri:base_uri>": {
        "/admin/base-uris/s3/red": RED,
        "/admin/base-uris/s3/red?confirm=public": f"Make {RED} public?",
        "/admin/base-uris/s3/red?confirm=delete": f"Delete {RED}?",
        f"/admin/base-uris/s3/red?revoke=search&to={READER}": RED,
    },
}
#: What is for browsers and no page.
FILES = {
    "/static/<digest>/<path:file>",
    "/dataset-readme/<uri:uri>",
    "/dataset-manifest/<uri:uri>",
    "/dataset-export/<name>/<uri:uri>",
    "/dataset-file/<identifier>/<uri:uri>",
    "/dataset-archive/<uri:uri>",
    "/account/dtool.json",
    "/account/README.yml",
    "/search/suggestions",
    "/edit/known-tags",
    "/as-json/tags/<uri:uri>",
    "/as-json/annotations/<uri:uri>",
    "/search.csv",
    "/search.ndjson",
}

OF_EVERY_TYPE = {
    "text": "loam",
    "numbers": [5, 0.5],
    "object": {"list": ["a, b", {"deep": True}], "nothing": None},
    "link": "https://example.org",
    "empty": "",
}


@pytest.fixture
def read(client):
    """``read(path)`` returns the answer that a browser gets."""
    return lambda path, **options: client.get(path, headers={"Accept": OF_BROWSER}, **options)


class TestTheFirstPage:
    def test_says_what_the_server_is_and_where_its_documentation(self, read, client):
        page = read("/")
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert f"dservercore {version('dservercore')}" in page.text
        linked = re.findall(r'href="(/doc/[^"]*)"', page.text)
        assert linked == ["/doc/swagger", "/doc/redoc", "/doc/openapi.json"]
        assert {client.get(address).status_code for address in linked} == {200}

    def test_addresses_begin_with_the_prefix_of_a_proxy(self, read):
        page = read("/", environ_overrides={"SCRIPT_NAME": "/lookup"}).text
        addresses = re.findall(r'(?:href|src)="([^"#]+)"', page)
        assert addresses
        assert all(address.startswith("/lookup/") for address in addresses)

    def test_is_packed_unless_another_site_has_the_browser_ask_for_it(self, client):
        def encoding(**headers: str) -> str | None:
            return client.get("/", headers=headers).headers.get("Content-Encoding")

        packed = client.get("/", headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed.data) == client.get("/").data
        assert encoding(**{"Accept-Encoding": "gzip", "Sec-Fetch-Site": "same-origin"}) == "gzip"
        for site in ("cross-site", "same-site"):
            assert encoding(**{"Accept-Encoding": "gzip", "Sec-Fetch-Site": site}) is None
        assert encoding(**{"Accept-Encoding": "br"}) is None

    def test_without_documentation_it_links_none(self, config):
        page = create_app({**config, "OPENAPI_URL_PREFIX": None}).test_client().get("/").text
        assert "/doc" not in page

    def test_may_load_and_send_nothing_elsewhere(self, read):
        policy = read("/").headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy

    def test_can_be_turned_off(self, config):
        client = create_app({**config, "DSERVER_WEB": "false"}).test_client()
        answer = client.get("/", headers={"Accept": OF_BROWSER})
        assert (answer.status_code, answer.mimetype) == (404, "application/json")
        assert client.get("/static/x/site.css").status_code == 404


class TestStaticFiles:
    def addresses(self, page: str) -> list[str]:
        return re.findall(r'"(/static/[^"]+)"', page)

    def test_are_kept_for_ever_under_an_address_of_their_content(self, read, client):
        addresses = self.addresses(read("/").text)
        names = [address.split("/", 3)[3] for address in addresses]
        assert set(names) == {"site.css", "site.js", "icon.svg", "vendor/htmx.min.js"}
        for address, name in zip(addresses, names, strict=True):
            answer = client.get(address)
            assert answer.data == served_files()[name].content
            assert answer.headers["Cache-Control"] == FOR_EVER

    def test_are_packed_for_who_takes_that(self, read, client):
        for address in self.addresses(read("/").text):
            answer = client.get(address, headers={"Accept-Encoding": "br, gzip"})
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "Accept-Encoding" in answer.headers["Vary"]
            assert gzip.decompress(answer.data) == client.get(address).data
            unchanged = {"Accept-Encoding": "gzip", "If-None-Match": answer.headers["ETag"]}
            assert client.get(address, headers=unchanged).status_code == 304

    def test_a_first_view_is_small(self, read, client):
        page = read("/")
        packed = [client.get(path, headers={"Accept-Encoding": "gzip"}) for path in self.addresses(page.text)]
        assert sum(len(answer.data) for answer in packed) + len(gzip.compress(page.data)) < 60_000

    def test_are_not_kept_under_an_address_of_another_release(self, client):
        answer = client.get("/static/0123456789ab/site.css")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")

    @pytest.mark.parametrize("name", ["none.css", "../pages.py", "%2e%2e/pages.py", "/etc/passwd"])
    def test_nothing_else_is_served(self, client, name):
        assert client.get(f"/static/0123456789ab/{name}").status_code == 404


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "status", "says"),
        [
            ("/nowhere", 404, "There is nothing at this address"),
            ("/users", 401, "Missing Authorization Header"),
            ("/static/x/none.css", 404, "Not Found"),
        ],
    )
    def test_are_pages_for_browsers(self, read, path, status, says):
        page = read(path)
        assert (page.status_code, page.mimetype) == (status, "text/html")
        assert says in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "Accept" in page.headers["Vary"]

    @pytest.mark.parametrize("accept", OF_PROGRAMS)
    def test_are_json_for_programs(self, client, accept):
        answer = client.get("/nowhere", headers={"Accept": accept} if accept else {})
        assert (answer.status_code, answer.mimetype) == (404, "application/json")
        assert answer.json["message"] == "There is nothing at this address"

    def test_keep_the_headers_of_the_answer(self, client):
        page = client.delete("/uuids/x", headers={"Accept": OF_BROWSER})
        assert (page.status_code, page.mimetype) == (405, "text/html")
        assert "GET" in page.headers["Allow"]

    def test_show_what_somebody_wrote_as_text(self, client, bearer, people):
        headers = {**bearer(CHAMPION), "Accept": OF_BROWSER}
        page = client.get("/uris?sort=<script>", headers=headers)
        assert page.status_code == 422
        assert "<script>" not in page.text

    def test_of_the_server_itself_are_pages_too(self, app, caplog):
        @app.route("/breaks")
        def breaks():
            raise RuntimeError("a secret of the code")

        app.config["PROPAGATE_EXCEPTIONS"] = False
        page = app.test_client().get("/breaks", headers={"Accept": OF_BROWSER})
        assert (page.status_code, page.mimetype) == (500, "text/html")
        assert "a secret" not in page.text

    def test_what_succeeds_is_as_ever(self, client):
        answer = client.get("/config/health", headers={"Accept": OF_BROWSER})
        assert answer.json == {"status": "healthy"}


def test_every_page_is_opened(app):
    rules = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("web.") and "GET" in (rule.methods or ())
    }
    adapter = app.url_map.bind("localhost")
    opened = {
        adapter.match(path.partition("?")[0], return_rule=True)[0].rule for path in (*PAGES, *PAGES_OF_USERS)
    }
    assert rules - FILES == opened | PAGES_OF_ADMINS.keys() | PAGES_ON_ONE.keys()


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_them_and_nobody_else_is_asked(
    app, register, address, scheme, chrome, pytestconfig
):
    register(uuid=UUID, readme="", annotations=OF_EVERY_TYPE)
    register(uuid=UUID, uri=f"{RED}/copy", name="bean-harvest")
    with app.app_context():
        groups.add_group("lab")
        groups.add_member("lab", READER)
        groups.grant("search", "lab", RED)
        passwords.set_password(CHAMPION, PASSWORD)
        for means in ("link", "oidc:keycloak"):  # sessions beside that of the browser, to be ended
            sessions.begin(CHAMPION, means, sessions.Client("192.0.2.7", "Mozilla/5.0 (X11)"))
        link = login_links.make(CHAMPION)
        kept_searches.keep(CHAMPION, "barley", "free_text=barley&tags=field")
        personal_tokens.create_token(CHAMPION, personal_tokens.Wish("robot", None, base_uris=[RED]), [RED])
        sql_db.session.commit()
    axe = axe_source(pytestconfig.cache.mkdir("axe"))
    prefer(chrome, scheme)
    pages = {**PAGES, "/nowhere": "Not Found", f"/sign-in/link?code={link}": "Sign in with a link"}
    of_admins = {**PAGES_OF_ADMINS, **{k: v for some in PAGES_ON_ONE.values() for k, v in some.items()}}
    for path, heading in {**pages, **PAGES_OF_USERS, **of_admins}.items():
        if path in PAGES_OF_USERS:
            enter(chrome, app, address, CHAMPION)
        elif path in of_admins:
            enter(chrome, app, address, ADMIN)
        chrome.get(address + path)
        assert chrome.find_element("tag name", "h1").text == heading
        requests = requests_of(chrome)
        assert {urlsplit(url).netloc for url in requests} == {urlsplit(address).netloc}
        assert len(requests) <= 6
        assert violations(chrome, axe) == []
        # Of its own, the browser complains about the status of the page.
        assert [said for said in complaints(chrome) if "404" not in said] == []
