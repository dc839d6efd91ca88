"""A live server, and a browser that the tests of a process share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from selenium import webdriver

from web.browser import afresh, browser, served


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The address of a live server."""
    with served(app) as address:
        yield address


@pytest.fixture(scope="session")
def _chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def chrome(_chrome: webdriver.Chrome) -> webdriver.Chrome:
    """A browser in which nobody is signed in; tests that use it are marked ``@needs_browser``."""
    return afresh(_chrome)
