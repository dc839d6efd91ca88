"""Downloading files from the page of a dataset."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver

from dservercore import sql_db
from dservercore.catalog import base_uris, sessions
from support.world import CHAMPION, NOBODY, dataset_info
from web.browser import (
    axe_source,
    be_wide,
    browser,
    client_of,
    complaints,
    enter,
    needs_browser,
    prefer,
    run_scripts,
    served,
    session_of,
    until,
    violations,
)

from .conftest import FILES, Signed, below, quoted

PODS = "pods/beans.csv"


def path_of_page(uri: str) -> str:
    return f"/datasets/{quoted(uri)}"


def test_each_file_and_all_of_them(signed: Signed) -> None:
    client = client_of(signed.here.app, CHAMPION)
    page = client.get(path_of_page(signed.uri)).text
    offered = re.findall(r'href="(/dataset-file/[^"]+)"', page)
    assert len(offered) == len([path for path in FILES if "/" not in path])  # those at the top
    assert {client.get(link, follow_redirects=True).data for link in offered} == {
        content for path, content in FILES.items() if "/" not in path
    }
    (everything,) = re.findall(r'href="(/dataset-archive/[^"]+)"', page)
    answer = client.get(everything)
    assert answer.status_code == 303
    assert answer.headers["Cache-Control"] == "no-store"
    content = client.get(below(answer.headers["Location"])).data
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None


def test_the_url_ends_with_the_session(signed: Signed) -> None:
    client = signed.here.app.test_client()
    secret = session_of(signed.here.app, CHAMPION)
    client.set_cookie("dserver_session", secret)
    link = f"/dataset-file/{signed.identifier[PODS]}/{quoted(signed.uri)}"
    url = below(client.get(link).headers["Location"])
    assert signed.get(url).data == FILES[PODS]
    with signed.here.app.app_context():
        session = sessions.find(secret)
        assert session
        sessions.end_of(CHAMPION, session.id)
        sql_db.session.commit()
    assert signed.get(url).status_code == 403


@pytest.mark.parametrize("route", ["dataset-archive", "dataset-file/{identifier}"])
def test_for_nobody_else(signed: Signed, route: str) -> None:
    path = f"/{route.format(identifier=signed.identifier[PODS])}/{quoted(signed.uri)}"
    answer = signed.get(path)
    assert answer.status_code == 303
    assert urlsplit(answer.headers["Location"]).path == "/sign-in"
    hidden = client_of(signed.here.app, NOBODY).get(path)
    absent = client_of(signed.here.app, NOBODY).get(path + "x")
    assert hidden.status_code == absent.status_code == 404


@pytest.mark.parametrize("identifier", ["0" * 40, "%00", "..", "<script>", "%ed%a0%80"])
def test_a_file_that_is_not_there(signed: Signed, identifier: str) -> None:
    client = client_of(signed.here.app, CHAMPION)
    answer = client.get(f"/dataset-file/{identifier}/{quoted(signed.uri)}")
    assert answer.status_code == 404
    assert "<script>" not in answer.text


def test_where_nothing_can_be_signed_there_are_no_buttons(signed: Signed) -> None:
    info = dataset_info("azure://harvest")
    with signed.here.app.app_context():
        base_uris.put_base_uri("azure://harvest", [CHAMPION], [CHAMPION])
        sql_db.session.commit()
    assert signed.here.send("PUT", f"/uris/{quoted(info['uri'])}", json=info).status_code == 201
    client = client_of(signed.here.app, CHAMPION)
    page = client.get(path_of_page(info["uri"])).text
    assert "bean-harvest" in page
    assert "/dataset-file/" not in page
    assert "/dataset-archive/" not in page
    answer = client.get(f"/dataset-archive/{quoted(info['uri'])}", headers={"Accept": "text/html"})
    assert answer.status_code == 501
    assert "can sign no URLs" in answer.text


@pytest.fixture
def address(signed: Signed) -> Iterator[str]:
    with served(signed.here.app) as address:
        yield address


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@needs_browser
@pytest.mark.long
class TestInABrowser:
    @pytest.mark.parametrize("with_scripts", [True, False])
    def test_a_click_saves_a_file(
        self, signed: Signed, address: str, chrome: webdriver.Chrome, tmp_path: Path, with_scripts: bool
    ) -> None:
        settings = {"behavior": "allow", "downloadPath": str(tmp_path)}
        chrome.execute_cdp_cmd("Browser.setDownloadBehavior", settings)
        enter(chrome, signed.here.app, address, CHAMPION)
        run_scripts(chrome, with_scripts)
        page = f"{address}{path_of_page(signed.uri)}"
        chrome.get(page)
        for summary in chrome.find_elements("css selector", ".tree summary"):
            if "evil.html" in summary.text:
                summary.click()
        links = chrome.find_elements("css selector", "a[href*='/dataset-file/']")
        next(link for link in links if link.is_displayed()).click()
        assert until(chrome, lambda _: (tmp_path / "evil.html").exists())
        assert (tmp_path / "evil.html").read_bytes() == FILES["evil.html"]
        chrome.find_element("css selector", "a[href*='/dataset-archive/']").click()
        assert until(chrome, lambda _: (tmp_path / "bean-harvest.zip").exists())
        assert zipfile.ZipFile(tmp_path / "bean-harvest.zip").testzip() is None
        assert chrome.current_url.split("#")[0] == page
        run_scripts(chrome, True)
        assert complaints(chrome) == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_everybody_can_use_it(
        self,
        signed: Signed,
        address: str,
        chrome: webdriver.Chrome,
        tmp_path_factory: pytest.TempPathFactory,
        scheme: str,
    ) -> None:
        enter(chrome, signed.here.app, address, CHAMPION)
        prefer(chrome, scheme)
        be_wide(chrome, 320)
        chrome.get(f"{address}{path_of_page(signed.uri)}")
        for summary in chrome.find_elements("css selector", ".tree summary"):
            summary.click()
        assert violations(chrome, axe_source(tmp_path_factory.mktemp("axe"))) == []
        assert chrome.execute_script("return document.documentElement.scrollWidth") <= 320
