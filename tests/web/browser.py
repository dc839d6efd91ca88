"""A browser for the tests of pages, and axe, which looks for what some people could not read or reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from flask import Flask
from flask.testing import FlaskClient
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from werkzeug.serving import make_server

from dservercore import sql_db
from dservercore.auth import sign_in
from dservercore.catalog import sessions

T = TypeVar("T")
SECONDS = 30  # that a page may take on a machine that does much else

CHROMIUM, CHROMEDRIVER, NPM = (shutil.which(name) for name in ("chromium", "chromedriver", "npm"))
AXE = "axe-core@4.14.1"
FLAGS = [
    *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
    *["--disable-background-networking", "--disable-component-update", "--window-size=1200,900"],
]

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER and NPM) and not os.environ.get("CI"),
    reason="Chromium, ChromeDriver and npm are not installed",
)


@contextmanager
def browser(profile: Path, scheme: str = "light") -> Iterator[webdriver.Chrome]:
    """Give a browser that notes its requests and complaints.

    :param scheme: of colours that its user prefers: ``light`` or ``dark``
    """
    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    prefer(driver, scheme)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an application, and yield its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


def prefer(driver: webdriver.Chrome, scheme: str) -> None:
    """Have the user of the browser prefer colours: ``light`` or ``dark``."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def be_wide(driver: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Show pages in a window of so many CSS pixels, also fewer than the browser would make its own window."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def run_scripts(driver: webdriver.Chrome, wanted: bool) -> None:
    """Have the browser run the scripts of pages, or not."""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not wanted})


def afresh(driver: webdriver.Chrome) -> webdriver.Chrome:
    """Return the browser as if it were new: without cookies, notes and other wishes of who had it before."""
    run_scripts(driver, True)
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    prefer(driver, "light")
    for log in ("performance", "browser"):
        driver.get_log(log)
    return driver


def follow(driver: webdriver.Chrome, element: WebElement) -> None:
    """Click on what leads to another page, or to the same one anew, and wait until that is there.

    Without waiting, what comes next may still meet the page before, or stop the request.
    """
    before = driver.find_element("tag name", "html")
    element.click()
    WebDriverWait(driver, SECONDS).until(lambda _driver: _is_gone(before))


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException as error:
        if not _is_between_pages(error):
            raise
        return True
    return False


def _is_between_pages(error: WebDriverException) -> bool:
    """Return whether ChromeDriver was asked for an element of a page that was going away just then."""
    return "inspector error" in str(error)


def until(driver: webdriver.Chrome, condition: Callable[[webdriver.Chrome], T]) -> T:
    """Return what a condition gives, once that is true; elements that have gone meanwhile are looked for again."""
    waiting = WebDriverWait(
        driver, SECONDS, ignored_exceptions=[NoSuchElementException, StaleElementReferenceException]
    )

    def on_one_page(of: webdriver.Chrome) -> T | Literal[False]:
        try:
            return condition(of)
        except WebDriverException as error:
            if not _is_between_pages(error):
                raise
            return False

    return cast(T, waiting.until(on_one_page))


def session_of(app: Flask, username: str) -> str:
    """Begin a session of a user, and return its secret, which a browser has in the cookie ``sign_in.PLAIN_COOKIE``."""
    with app.app_context():
        secret = sessions.begin(username, "link", sessions.Client("127.0.0.1", "Mozilla/5.0 (X11)"))
        sql_db.session.commit()
    return secret


def client_of(app: Flask, username: str | None) -> FlaskClient:
    """Return a client with a session of a user; None: without any."""
    client = app.test_client()
    if username is not None:
        client.set_cookie(sign_in.PLAIN_COOKIE, session_of(app, username))
    return client


def enter(driver: webdriver.Chrome, app: Flask, address: str, username: str) -> None:
    """Sign a user in, as a session that the browser has had."""
    secret = session_of(app, username)
    driver.execute_cdp_cmd(
        "Network.setCookie",
        {"name": sign_in.PLAIN_COOKIE, "value": secret, "url": address, "httpOnly": True, "sameSite": "Lax"},
    )


def axe_source(cache: Path) -> str:
    """Return the source of axe, which npm fetches once into a directory."""
    place = cache / "package" / "axe.min.js"
    with FileLock(cache / "lock"):
        if not place.exists():
            assert NPM is not None
            pack = [NPM, "pack", "--silent", AXE]
            name = subprocess.run(pack, cwd=cache, check=True, capture_output=True, text=True).stdout.strip()
            shutil.unpack_archive(cache / name, cache, filter="data")
    return place.read_text()


def violations(driver: webdriver.Chrome, axe: str) -> list[str]:
    """Return a line on each thing of the page that axe finds fault with."""
    driver.execute_script(axe)
    report: dict[str, Any] = driver.execute_async_script("axe.run().then(arguments[0])")
    return [
        f"{fault['id']}: {node['html']} ({node['failureSummary']})"
        for fault in report["violations"]
        for node in fault["nodes"]
    ]


def requests_of(driver: webdriver.Chrome) -> list[str]:
    """Return the addresses that pages have asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")]


def complaints(driver: webdriver.Chrome) -> list[str]:
    """Return what the console says about errors, such as a breach of the page's own policy."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
