"""The documentation pages, in a real browser that must not need the internet."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask, jsonify, request
from openapi_spec_validator import validate
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from werkzeug.serving import make_server

from dservercore.rest.blueprint import Blueprint
from dservercore.rest.documentation import Api, init_docs
from dservercore.rest.responses import answers
from dservercore.rest.schemas import ReadmeSchema

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = [
    *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
    *["--disable-background-networking", "--disable-component-update", "--window-size=1400,1000"],
]
SUMMARY = "Return the README of a thing."

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and not os.environ.get("CI"),
    reason="Chromium and ChromeDriver are not installed",
)


def make_app(**config) -> Flask:
    """Return an app with one route, which tells who asked."""
    app = Flask("things")
    app.config.update(
        API_TITLE="Things & <others>",
        API_VERSION="1",
        OPENAPI_VERSION="3.0.2",
        OPENAPI_URL_PREFIX="/doc",
        OPENAPI_REDOC_PATH="/redoc",
        OPENAPI_SWAGGER_UI_PATH="/swagger",
    )
    app.config.update(config)
    api = Api(app)
    blp = Blueprint("things", __name__)

    @blp.route("/readmes/<path:uri>")
    @answers(blp, 200, ReadmeSchema)
    def readme(uri):
        """Return the README of a thing."""
        return jsonify(readme=f"{uri} for {request.headers.get('Authorization')}")

    api.register_blueprint(blp)
    init_docs(app, api)
    return app


def behind_a_proxy(app):
    """Return *app* as it is seen through a proxy that cuts ``/lookup`` off the path and says nothing about it."""

    def proxied(environ, start_response):
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/lookup")
        return app(environ, start_response)

    return proxied


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the address of a live server."""
    server = make_server("127.0.0.1", 0, behind_a_proxy(make_app()), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield browser
    browser.quit()


def shows(browser, text):
    """Wait until the page contains *text*."""
    WebDriverWait(browser, 30).until(lambda page: text in page.find_element(By.TAG_NAME, "body").text)


def find(browser, selector):
    """Return the first element of a CSS selector, once it can be clicked."""
    return WebDriverWait(browser, 30).until(
        lambda page: next(
            (e for e in page.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()), None
        )
    )


def hosts_asked(browser) -> set[str]:
    """Return the hosts that the pages sent a request to."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme in ("http", "https", "ws", "wss")}


def complaints(browser) -> list[str]:
    """Return what the browser's console says about errors, such as a breach of the page's own policy."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@needs_browser
@pytest.mark.parametrize("mount", ["", "/lookup"])
@pytest.mark.parametrize("page", ["swagger", "redoc"])
def test_page_shows_the_routes_without_asking_anybody_else(browser, address, mount, page):
    browser.get(f"{address}{mount}/doc/{page}")
    shows(browser, SUMMARY)
    assert browser.title == "Things & <others>"
    assert hosts_asked(browser) == {urlsplit(address).netloc}
    assert not complaints(browser)


@needs_browser
def test_redoc_can_be_searched(browser, address):
    browser.get(f"{address}/doc/redoc")
    find(browser, "input.search-input").send_keys("readme")
    find(browser, "[data-role='search:results'] li")
    assert not complaints(browser)


@needs_browser
@pytest.mark.parametrize("mount", ["", "/lookup"])
def test_swagger_sends_the_token_that_it_is_given(browser, address, mount):
    browser.get(f"{address}{mount}/doc/swagger")
    find(browser, ".btn.authorize").click()
    find(browser, ".auth-container input").send_keys("the.token")
    find(browser, ".auth-btn-wrapper .authorize").click()
    find(browser, ".btn-done").click()
    find(browser, ".opblock-summary-control").click()
    find(browser, ".try-out__btn").click()
    find(browser, "input[placeholder=uri]").send_keys("s3/bucket")
    find(browser, ".btn.execute").click()
    shows(browser, "for Bearer the.token")
    assert hosts_asked(browser) == {urlsplit(address).netloc}


def links(page: str) -> list[str]:
    """Return the addresses in the attributes of a page."""
    return re.findall(r'(?:href|src|spec-url)="(?!data:)([^"]+)"', page)


@pytest.mark.parametrize(
    "paths",
    [
        {},
        {"OPENAPI_SWAGGER_UI_URL": "", "OPENAPI_REDOC_URL": ""},
        {"OPENAPI_URL_PREFIX": "/api/v1/doc/"},
        {
            "OPENAPI_URL_PREFIX": "doc",
            "OPENAPI_SWAGGER_UI_PATH": "ui/swagger",
            "OPENAPI_REDOC_PATH": "ui/redoc",
        },
        {"OPENAPI_URL_PREFIX": "/", "OPENAPI_JSON_PATH": "/spec/api.json"},
    ],
)
@pytest.mark.parametrize("page", ["SWAGGER_UI", "REDOC"])
def test_pages_find_their_files_wherever_they_are_put(paths, page):
    app = make_app(**paths)
    client = app.test_client()
    parts = [app.config[name].strip("/") for name in ("OPENAPI_URL_PREFIX", f"OPENAPI_{page}_PATH")]
    address = "/".join(["", *filter(None, parts)])
    answer = client.get(address)
    assert answer.status_code == 200
    found = [urljoin(f"http://localhost{address}", link) for link in links(answer.text)]
    assert len(found) >= 3
    for link in found:
        assert client.get(urlsplit(link).path).status_code == 200
    (document,) = {link for link in found if link.endswith(".json")}
    (server,) = client.get(urlsplit(document).path).json["servers"]
    assert urljoin(document, server["url"]) in ("http://localhost", "http://localhost/")


def test_document_is_valid_and_tells_how_to_authenticate():
    document = make_app().test_client().get("/doc/openapi.json").json
    validate(document)
    assert document["openapi"] == "3.0.2"
    assert document["components"]["securitySchemes"]["bearerAuth"]["scheme"] == "bearer"
    assert document["paths"]["/readmes/{uri}"]["get"]["security"] == [{"bearerAuth": []}]


def test_what_the_administrator_says_about_servers_and_tokens_counts():
    scheme = {"type": "http", "scheme": "bearer", "description": "From the institute"}
    options = {
        "servers": [{"url": "https://data.example.org/lookup"}, {"url": "/here"}],
        "components": {"securitySchemes": {"bearerAuth": scheme}},
    }
    client = make_app(API_SPEC_OPTIONS=options).test_client()
    document = client.get("/doc/openapi.json").json
    assert document["servers"] == options["servers"]
    assert document["components"]["securitySchemes"]["bearerAuth"]["description"] == "From the institute"
    policy = client.get("/doc/swagger").headers["Content-Security-Policy"]
    assert "connect-src 'self' https://data.example.org;" in policy


@pytest.mark.parametrize(
    ("page", "setting"), [("swagger", "OPENAPI_SWAGGER_UI_URL"), ("redoc", "OPENAPI_REDOC_URL")]
)
def test_scripts_may_be_taken_from_elsewhere(page, setting):
    client = make_app(**{setting: "https://scripts.example.org/latest/"}).test_client()
    answer = client.get(f"/doc/{page}")
    assert answer.status_code == 200
    assert "https://scripts.example.org/latest/" in answer.text
    assert "Content-Security-Policy" not in answer.headers


def test_swagger_takes_further_settings():
    page = make_app(OPENAPI_SWAGGER_UI_CONFIG={"filter": "'\"<>&"}).test_client().get("/doc/swagger").text
    (text,) = re.findall(r'data-config="([^"]*)"', page)
    assert json.loads(html.unescape(text)) == {"filter": "'\"<>&"}


def test_pages_can_be_left_out():
    client = make_app(OPENAPI_URL_PREFIX=None).test_client()
    assert client.get("/doc/swagger").status_code == 404
    client = make_app(OPENAPI_REDOC_PATH=None).test_client()
    assert client.get("/doc/redoc").status_code == 404
    assert client.get("/doc/swagger").status_code == 200


def test_licences_come_along():
    client = make_app().test_client()
    for path in ("swagger-ui/LICENSE", "swagger-ui/NOTICE", "redoc/LICENSE"):
        assert client.get(f"/doc/assets/{path}").status_code == 200
