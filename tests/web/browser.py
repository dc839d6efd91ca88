"""A browser for the tests of pages, and axe, which looks for what some people could not read or reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from selenium import webdriver

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
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        yield driver
    finally:
        driver.quit()


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
