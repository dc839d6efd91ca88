"""The dashboard and the work list: what they show, to whom, and what a browser makes of them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selenium import webdriver

from dservercore import db, sql_db
from dservercore.catalog import base_uris, summary
from dservercore.web import dashboard
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED
from web.browser import be_wide, client_of, complaints, enter, follow, needs_browser, run_scripts, until

Register = Callable[..., dict[str, Any]]
COMPLETE = "description: beans\nowners:\n  - name: Olga\nlicense: CC0\n"
HOSTILE = "<script>alert(1)</script><b>\u202eabc\" onmouseover='x'"


@pytest.fixture
def browse(app: Flask, people: None) -> Callable[[str], FlaskClient]:
    """``browse(username)`` gives a client with a session, as a browser has one."""

    return partial(client_of, app)


def texts(page: Any) -> str:
    """Return what a page says, without its tags, and with blanks for all space."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_in_cell = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        self._is_in_cell = tag in ("td", "th") or (self._is_in_cell and tag not in ("tr", "table"))
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_in_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            self.rows[-1][-1] += data.strip()


def rows_of(page: Any) -> list[list[str]]:
    """Return the cells of the rows of all tables."""
    parser = _Tables()
    parser.feed(page.text)
    return parser.rows


def addresses(page: Any) -> list[str]:
    return [html.unescape(address) for address in re.findall(r'href="([^"]+)"', page.text)]


class TestTheDashboard:
    def test_counts_what_its_reader_may_search(self, browse: Any, register: Register) -> None:
        register(RED, readme=COMPLETE, size_in_bytes=1500, number_of_items=3)
        register(RED, readme="", tags=[], creator_username="pim", size_in_bytes=500, frozen_at=1577836800.0)
        register(BLUE, creator_username="secret-person", tags=["secret-tag"], name="secret-name")
        page = browse(CHAMPION).get("/dashboard")
        assert page.status_code == 200
        assert "secret" not in page.text
        assert BLUE not in page.text
        assert "Datasets 2 Size 2 kB Files 4 Lack description 1" in texts(page)
        rows = rows_of(page)
        assert [RED, "2", "4", "2 kB", "", "no price"] in rows
        assert ["olga", "", "1", "1.5 kB"] in rows
        assert ["2018-09", "1", "1.5 kB"] in rows
        assert ["2019-12", "0", "0 B"] in rows
        assert ["2020-01", "1", "500 B"] in rows
        assert [RED, "2", "1", "1", "1", "1", "1", "1"] in rows
        assert ["pim", "1", "1", "1", "1", "1", "1", "1"] in rows
        assert "secret-name" in browse(READER).get("/dashboard").text

    def test_leads_to_the_search_and_to_the_work_list(self, browse: Any, register: Register) -> None:
        info = register(RED, readme="", creator_username="o'neill & co", tags=["a.b"])
        found = addresses(browse(CHAMPION).get("/dashboard"))
        for address in (
            "/?base_uris=s3://red",
            "/?creator_usernames=o'neill+%26+co",
            "/?tags=a.b",
            "/?free_text=frozen:2018-09",
            "/dashboard/work-list?lacks=owner&base_uri=s3://red",
            "/dashboard/work-list?lacks=readme&creator=o'neill+%26+co",
        ):
            assert address in found
        assert any(info["uuid"] in address for address in found)

    def test_says_what_storage_costs(self, app: Flask, browse: Any, register: Register) -> None:
        register(RED, size_in_bytes=12_345 * 10**12)
        with app.app_context():
            base_uris.set_price(RED, {"price_per_tb": "45.5", "currency": "EUR"})
            base_uris.set_price(BLUE, {"price_per_tb": "7", "currency": "CHF"})
            db.commit()
        page = browse(CHAMPION).get("/dashboard")
        assert "Storage a year 561,697.50 EUR" in texts(page)
        assert [RED, "1", "1", "12.3 PB", "", "45.5 EUR", "561,697.50 EUR"] in rows_of(page)
        assert "CHF" not in page.text

    def test_shows_more_where_there_is_more(self, browse: Any, register: Register) -> None:
        for number in range(4):
            register(RED, tags=[f"tag-{n}" for n in range(number, 26 + number)])
        client = browse(CHAMPION)
        short, long = (client.get(f"/dashboard{query}") for query in ("", "?show=more"))
        assert "Show all 29" in texts(short)
        assert [len(re.findall(r"\?tags=", page.text)) for page in (short, long)] == [10, 29]
        assert "Show all" not in texts(long)

    @pytest.mark.parametrize(
        ("who", "says"),
        [
            (ADMIN, "flask base_uri index"),
            (NOBODY, "Ask an administrator"),
            (READER, "Ask an administrator"),
            (CHAMPION, "is registered by an administrator"),
        ],
    )
    def test_says_what_to_do_where_there_is_nothing(self, browse: Any, who: str, says: str) -> None:
        page = browse(who).get("/dashboard")
        assert page.status_code == 200
        nothing = "You may not search any datasets yet" if who in (ADMIN, NOBODY) else "no datasets here yet"
        assert nothing in texts(page)
        assert says in texts(page)
        assert '<svg class="columns' not in page.text

    def test_names_are_text(self, app: Flask, browse: Any, register: Register) -> None:
        long = f"s3://{'x' * 250}/{HOSTILE[:40].replace(' ', '')}"
        with app.app_context():
            base_uris.create_base_uri(long, [CHAMPION], [])
            db.commit()
        register(long, creator_username=HOSTILE, readme="", tags=["a" * 80])
        client = browse(CHAMPION)
        for path in ("/dashboard", "/dashboard/work-list"):
            page = client.get(path)
            assert "<script>alert" not in page.text
            assert "onmouseover='x'" not in re.sub(r">[^<]*<", "><", page.text)
            assert HOSTILE in html.unescape(page.text)
            assert " style=" not in page.text

    def test_what_nobody_has_looked_through_is_said(
        self, app: Flask, browse: Any, register: Register
    ) -> None:
        register(RED)
        with app.app_context():
            sql_db.session.execute(sql_db.text("UPDATE dataset SET lacks = NULL"))
            summary.recount()
            db.commit()
        page = texts(browse(CHAMPION).get("/dashboard"))
        assert "1 dataset has not been looked through yet" in page
        assert "Nothing: each dataset" not in page

    def test_is_shown_to_visitors_of_what_is_public(
        self, app: Flask, client: Any, register: Register
    ) -> None:
        register(RED, name="open-name", readme="")
        register(BLUE, name="secret-name", readme="")
        for path in ("/dashboard", "/dashboard/work-list"):
            answer = client.get(path)
            assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
        with app.app_context():
            base_uris.set_public(RED, True)
            db.commit()
        for path in ("/dashboard", "/dashboard/work-list"):
            page = client.get(path)
            assert "open-name" in page.text
            assert "secret-name" not in page.text
            assert BLUE not in page.text


class TestTheWorkList:
    def test_is_filtered(self, browse: Any, register: Register) -> None:
        register(RED, name="bare", readme="", creator_username="pim")
        register(RED, name="complete", readme=COMPLETE)
        register(RED, name="untagged", readme=COMPLETE, tags=[])
        register(BLUE, name="elsewhere", readme="")
        client = browse(READER)
        for query, names in (
            ("", {"bare", "untagged", "elsewhere"}),
            ("?lacks=&base_uri=&creator=", {"bare", "untagged", "elsewhere"}),
            ("?lacks=tags", {"untagged"}),
            ("?lacks=owner&base_uri=s3://red", {"bare"}),
            ("?creator=pim", {"bare"}),
            ("?base_uri=s3://unknown", set()),
            ("?creator=<script>", set()),
        ):
            page = client.get(f"/dashboard/work-list{query}")
            assert set(re.findall(r'class="name"[^>]*><bdi>([^<]*)', page.text)) == names
            assert "<script>" not in page.text.replace("<script src", "")
            assert ("Nothing is lacking here" in page.text) == (not names)
        assert "elsewhere" not in browse(CHAMPION).get("/dashboard/work-list?base_uri=s3://blue").text

    def test_has_pages_that_keep_the_filter(self, browse: Any, register: Register, monkeypatch: Any) -> None:
        monkeypatch.setattr(dashboard, "PAGE_SIZE", 2)
        for number in range(3):
            register(RED, name=f"n{number}", readme="")
        client = browse(CHAMPION)
        first = client.get("/dashboard/work-list?lacks=owner")
        [following] = re.findall(r'rel="next" href="([^"]+)"', first.text)
        assert html.unescape(following) == "/dashboard/work-list?lacks=owner&page=2"
        second = client.get(html.unescape(following))
        names = [re.findall(r"<bdi>(n\d)", page.text) for page in (first, second)]
        assert sorted(names[0] + names[1]) == ["n0", "n1", "n2"]

    @pytest.mark.parametrize(
        ("query", "status"),
        [("lacks=money", 422), ("page=0", 422), ("page=x", 422), ("page=٣", 422), ("page=2", 404)],
    )
    def test_what_makes_no_sense(self, browse: Any, query: str, status: int) -> None:
        answer = browse(CHAMPION).get(f"/dashboard/work-list?{query}", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.mimetype) == (status, "text/html")


def test_the_newest_are_shown_with_when_they_were_registered(browse: Any, register: Register) -> None:
    register(RED, name="old-but-new-here", frozen_at=0.5, readme=COMPLETE)
    page = browse(READER).get("/dashboard").text
    listed = page[page.index('<ol class="newest">') :].split("</ol>")[0]
    assert "old-but-new-here" in listed
    assert "1970" not in listed


@needs_browser
@pytest.mark.parametrize("scripts", [True, False])
def test_from_the_figures_to_a_dataset(
    app: Flask, address: str, register: Register, chrome: webdriver.Chrome, scripts: bool
) -> None:
    with app.app_context():
        base_uris.create_base_uri(f"s3://{'x' * 250}", [READER], [])
        db.commit()
    register(RED, name="bare", readme="")
    register(RED, name="untagged", readme=COMPLETE, tags=[], frozen_at=1.7e9)
    register(f"s3://{'x' * 250}", name="far-away", readme=COMPLETE, tags=["t" * 80])
    enter(chrome, app, address, READER)
    run_scripts(chrome, scripts)
    be_wide(chrome, 320)
    chrome.get(f"{address}/dashboard")
    columns = chrome.find_elements("css selector", ".columns a")
    assert len(columns) == 4  # of two charts, those with datasets
    chrome.find_element("css selector", "summary").click()
    until(chrome, lambda driver: driver.find_element("link text", "2023").is_displayed())
    wide = "return document.documentElement.scrollWidth"
    assert chrome.execute_script(wide) <= 320
    if scripts:
        for path in ("/account", "/dashboard"):
            chrome.get(f"{address}{path}")
            chrome.execute_script(
                "document.documentElement.style.fontSize = '200%';"
                "for (const each of document.querySelectorAll('details')) each.open = true"
            )
            assert (path, chrome.execute_script(wide) <= 320) == (path, True)
    follow(chrome, chrome.find_element("css selector", "a[href*='lacks=readme&base_uri=s3://red']"))
    assert chrome.find_element("tag name", "h1").text == "What lacks description"
    assert [each.text for each in chrome.find_elements("css selector", ".work .name")] == ["bare"]
    lack = chrome.find_element("name", "lacks")
    assert lack.get_property("value") == "readme"
    lack.find_element("css selector", "option[value=tags]").click()
    follow(chrome, chrome.find_element("css selector", ".work-filters button"))
    assert [each.text for each in chrome.find_elements("css selector", ".work .name")] == ["untagged"]
    link = chrome.find_element("css selector", ".work .name").get_attribute("href")
    assert "s3" in link
    assert complaints(chrome) == []
