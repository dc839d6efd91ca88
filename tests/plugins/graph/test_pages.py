"""The pages of graphs, and the other forms of them: what readers see, and what they do not learn."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token
from prov.model import ProvDocument
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from cli.conftest import CommandLine
from dservercore.plugins.graph.shown import FIRST_DATASETS, MOST_DATASETS, Wanted, wanted_of
from plugins.graph.conftest import Family, graph_app, uuid_of
from support.world import BLUE, CHAMPION, READER, RED
from web.browser import (
    afresh,
    axe_source,
    be_wide,
    browser,
    client_of,
    complaints,
    enter,
    follow,
    needs_browser,
    prefer,
    requests_of,
    run_scripts,
    served,
    until,
    violations,
)
from web.hostile import TEXTS
from web.inspection import Page, faults

pytestmark = pytest.mark.attack

#: A chain of datasets, some of which CHAMPION may not see; one that is registered nowhere; and others.
CHAIN, HIDDEN, NOWHERE, FAN, ALONE, HOSTILE, CYCLE = 1, 5, 6, 100, 400, 500, 700


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    with graph_app(tmp_path_factory.mktemp("pages"), SECRET_KEY="x" * 40) as app:
        family = Family(app)
        family.add(CHAIN, name="raw")
        family.add(2, CHAIN, name="trimmed")
        family.add(3, 2, HIDDEN, NOWHERE, name="aligned")
        family.add(4, 3, name="called")
        family.add(HIDDEN, base_uri=BLUE, name="a secret source")
        family.add(7, 3, base_uri=BLUE, name="a secret result")
        family.add(8, 7, name="made from a secret result")
        family.add(3, 2, uri=f"{RED}/copy", name="aligned")
        family.add(FAN, name="fan")
        for number in range(1, 121):
            family.add(FAN + number, FAN, name=f"part-{number}")
        family.add(ALONE, name="alone")
        for number, text in enumerate(TEXTS):
            before = [HOSTILE + number - 1] if number else []
            family.add(HOSTILE + number, *before, name=text[:80], creator_username=text[:255])
        for number in range(3):
            family.add(CYCLE + number, CYCLE + (number + 1) % 3, name=f"cycle-{number}")
    return app  # outside of its context, which requests would share


@pytest.fixture
def champion(app: Flask) -> FlaskClient:
    return client_of(app, CHAMPION)


@pytest.fixture
def ask(app: Flask) -> Any:
    """``ask(number, form, username)`` returns the graph of a dataset in a form of the API."""

    def send(number: int, form: str, username: str = CHAMPION, query: str = "") -> Any:
        with app.app_context():
            headers = {"Authorization": f"Bearer {create_access_token(username)}"}
        return app.test_client().get(f"/graph/uuids/{uuid_of(number)}/{form}{query}", headers=headers)

    return send


def graph_page(number: int, query: str = "") -> str:
    return f"/provenance/{uuid_of(number)}{query}"


class TestTheSection:
    def page(self, app: Flask, number: int, reader: str = CHAMPION) -> str:
        return client_of(app, reader).get(f"/datasets/s3/red/{uuid_of(number)}").text

    def test_shows_what_is_near(self, app):
        page = self.page(app, 2)
        assert faults(page) == []
        for name in ("raw", "trimmed", "aligned", "called"):
            assert f"{name}</text>" in page
        assert page.count("not registered, or not yours to see</text>") == 2

    def test_tells_nothing_of_what_the_reader_may_not_see(self, app):
        for number in (2, 3, 4, 8):
            assert "secret result" not in self.page(app, number).replace("made from a secret result", "")
            assert "secret source" not in self.page(app, number)
        assert "secret source" in self.page(app, 3, READER)
        # What was made from it and is hidden leaves no trace, nor does what was made from that.
        assert uuid_of(7) not in self.page(app, 3)
        assert uuid_of(8) not in self.page(app, 3)

    def test_begins_with_few_and_leads_to_more(self, app):
        page = self.page(app, FAN)
        assert page.count('<svg class="dataset') == FIRST_DATASETS
        assert f"/provenance/{uuid_of(FAN)}?steps=4&amp;datasets=200" in page

    def test_is_not_there_where_there_is_nothing_to_show(self, app):
        assert "data-graph" not in self.page(app, ALONE)

    def test_where_it_takes_too_long_the_rest_of_the_page_is_there(self, app, monkeypatch):
        monkeypatch.setitem(app.config, "DSERVER_SEARCH_TIMEOUT", 1e-9)
        monkeypatch.setattr(
            "dservercore.plugins.sql.cut_off._STEPS", 10
        )  # which else is not reached by so few
        page = self.page(app, 2)
        assert "data-graph" not in page
        assert "README" in page
        answer = client_of(app, CHAMPION).get(f"/delete/s3/red/{uuid_of(2)}")
        assert (answer.status_code, "were made from it" in answer.text) == (200, False)

    def test_styles_and_script_come_with_those_of_all_pages(self, app, champion):
        static = sorted(set(re.findall(r'"(/static/[^"]+)"', self.page(app, 2))))
        assert len(static) == 4
        css, js = (
            champion.get(next(one for one in static if one.endswith(f"site.{kind}"))).text
            for kind in ("css", "js")
        )
        assert ".graph-window" in css
        assert "[data-graph]" in js


class TestThePage:
    def test_grows_by_its_address(self, champion):
        first = champion.get(graph_page(FAN)).text
        assert (first.count('<svg class="dataset'), "There is more than is shown." in first) == (50, True)
        more = re.search(r'href="(/provenance/[^"]*datasets=200)">Show more', first)[1].replace("&amp;", "&")
        all_of_it = champion.get(more).text
        assert (all_of_it.count('<svg class="dataset'), "There is more" in all_of_it) == (121, False)

    @pytest.mark.parametrize(
        ("direction", "expected"),
        [
            ("both", {"raw", "trimmed", "aligned", "called"}),
            ("ancestors", {"raw", "trimmed", "aligned"}),
            ("descendants", {"aligned", "called"}),
        ],
    )
    def test_shows_what_was_there_before_or_came_after(self, champion, direction, expected):
        page = champion.get(graph_page(3, f"?direction={direction}&steps=9")).text
        assert {
            name for name in ("raw", "trimmed", "aligned", "called") if f">{name}</bdi>" in page
        } == expected
        assert f'<option value="{direction}" selected>' in page

    def test_says_the_same_in_words(self, champion):
        page = champion.get(graph_page(3, "?steps=9")).text
        words = [one.text for one in Page(page).all("h3", "li")]
        lists = [" ".join(text.split()) for text in words]
        start = next(place for place, text in enumerate(lists) if text.startswith("It was made from"))
        assert lists[start : start + 7] == [
            "It was made from 4",
            "trimmed 1 step",
            f"{uuid_of(HIDDEN)} not registered, or not yours to see 1 step",
            f"{uuid_of(NOWHERE)} not registered, or not yours to see 1 step",
            "raw 2 steps",
            "Made from it 1",
            "called 1 step",
        ]

    def test_a_cycle_is_shown_once(self, champion):
        page = champion.get(graph_page(CYCLE, "?steps=1000&datasets=800"))
        assert page.status_code == 200
        assert page.text.count('<svg class="dataset') == 3

    @pytest.mark.parametrize("number", [HIDDEN, NOWHERE, 7])
    def test_what_one_may_not_see_is_answered_as_what_is_not_there(self, champion, number):
        answers = [champion.get(path) for path in (graph_page(number), graph_page(999), "/provenance/x")]
        assert {answer.status_code for answer in answers} == {404}
        texts = [
            re.sub('next=[^"]*', "", answer.text).replace(uuid_of(number), uuid_of(999)) for answer in answers
        ]
        assert texts[0] == texts[1]

    def test_a_visitor_is_led_to_sign_in(self, app):
        answer = client_of(app, None).get(graph_page(2))
        assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")

    @pytest.mark.parametrize("number", range(HOSTILE, HOSTILE + len(TEXTS), 3))
    def test_names_are_texts(self, champion, number):
        page = champion.get(graph_page(number, "?steps=1000"))
        assert faults(page.text) == []
        assert "\u202e" not in page.text.partition("<figure")[2].partition("</figure>")[0]

    @pytest.mark.parametrize("uuid", ["", "x", "%00", "%ff", "..%2f", "a" * 5000, "%F0%9F%A7%AC", "1" * 36])
    def test_other_addresses_are_not_found(self, champion, uuid):
        for path in ("provenance", "provenance-file/svg"):
            assert champion.get(f"/{path}/{uuid}").status_code in (400, 404)

    def test_any_spelling_of_the_uuid_will_do(self, champion):
        for spelling in (uuid_of(2).upper(), uuid_of(2).replace("-", "")):
            assert champion.get(f"/provenance/{spelling}").status_code == 200

    @pytest.mark.parametrize("given", ["", "x", "0", "-1", "1e9", "9" * 5000, "٣", "1.5", "\0", "<script>"])
    def test_parameters_that_make_no_sense_count_as_not_given(self, champion, given):
        wanted = wanted_of({"steps": given, "datasets": given, "direction": given})
        assert 1 <= wanted.steps <= 1000
        assert 1 <= wanted.datasets <= MOST_DATASETS
        assert wanted.direction == "both"
        answer = champion.get(
            graph_page(2), query_string={"steps": given, "datasets": given, "direction": given}
        )
        assert (answer.status_code, faults(answer.text)) == (200, [])

    def test_more_ends_somewhere(self):
        wanted, times = Wanted(), 0
        while (more := wanted.more()) is not None:
            wanted, times = more, times + 1
        assert times < 12
        assert (wanted.steps, wanted.datasets) == (1000, MOST_DATASETS)


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "media_type", "suffix"),
        [
            ("svg", "image/svg+xml", ".svg"),
            ("dot", "text/vnd.graphviz", ".dot"),
            ("prov", "application/json", ".prov.json"),
        ],
    )
    def test_have_what_the_page_shows_and_what_the_api_answers(self, champion, ask, name, media_type, suffix):
        for answer in (
            champion.get(f"/provenance-file/{name}/{uuid_of(3)}?steps=1"),
            ask(3, name, query="?depth=1&placeholders=true"),
        ):
            assert (answer.status_code, answer.mimetype) == (200, media_type)
            assert f'filename="{uuid_of(3)}{suffix}"' in answer.headers["Content-Disposition"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert {number for number in range(1, 9) if uuid_of(number) in answer.text} >= {HIDDEN, NOWHERE}
            assert "trimmed" in answer.text
            assert "secret" not in answer.text
            assert "raw" not in answer.text

    def test_of_the_session_are_kept_nowhere(self, champion):
        answer = champion.get(f"/provenance-file/svg/{uuid_of(3)}")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Cache-Control"] == "no-store"

    def test_there_are_no_others(self, champion):
        assert champion.get(f"/provenance-file/pdf/{uuid_of(3)}").status_code == 404


class TestTheApi:
    @pytest.mark.parametrize("form", ["svg", "dot", "prov"])
    def test_without_placeholders_there_are_none(self, ask, form):
        text = ask(3, form).text
        assert uuid_of(NOWHERE) not in text
        assert uuid_of(HIDDEN) not in text

    @pytest.mark.parametrize("form", ["svg", "dot", "prov"])
    def test_what_one_may_not_see_is_answered_as_what_is_not_there(self, ask, form):
        answers = [ask(number, form) for number in (HIDDEN, NOWHERE, 999)]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.text for answer in answers}) == 1
        assert ask(HIDDEN, form, READER).status_code == 200

    def test_says_where_an_answer_ends(self, ask):
        answer = ask(FAN, "prov", query="?most=10")
        assert json.loads(answer.headers["X-Graph"]) == {"most": 10, "depth": None}
        document = ProvDocument.deserialize(content=answer.text, format="json")
        assert len(document.get_records()) == 10 + 10 + 9
        assert "X-Graph" not in ask(FAN, "prov").headers

    def test_links_lead_to_pages_of_this_server(self, ask):
        picture = ET.fromstring(ask(2, "svg").data)
        links = [one.attrib["href"] for one in picture.iter("{http://www.w3.org/2000/svg}a")]
        assert f"http://localhost/datasets/s3/red/{uuid_of(2)}" in links
        assert f"http://localhost/uuid/{uuid_of(3)}" in links

    @pytest.mark.parametrize(
        "query",
        [
            "?most=0",
            "?most=1001",
            "?depth=-1",
            "?direction=up",
            "?placeholders=x",
            "?page=1",
            "?x=1",
            "?most=1e2",
        ],
    )
    def test_what_makes_no_sense_is_refused(self, ask, query):
        answer = ask(2, "svg", query=query)
        assert answer.status_code == 422
        assert query[1:].partition("=")[0] in answer.json["message"]

    def test_where_there_are_no_pages_nothing_is_a_link(self, tmp_path):
        with graph_app(tmp_path, DSERVER_WEB=False) as app:
            Family(app).add(1)
            headers = {"Authorization": f"Bearer {create_access_token(CHAMPION)}"}
            answer = app.test_client().get(f"/graph/uuids/{uuid_of(1)}/svg", headers=headers)
            assert (answer.status_code, "href" in answer.text) == (200, False)


class TestDeletion:
    def test_says_what_was_made_from_it(self, champion):
        page = champion.get(f"/delete/s3/red/{uuid_of(CHAIN)}").text
        assert "Datasets that were made from it" in page
        assert {
            name
            for name in ("raw", "trimmed", "aligned", "called", "secret")
            if f"<bdi>{name}</bdi></a></li>" in page
        } == {
            *["trimmed", "aligned", "called"],
        }

    def test_says_nothing_where_nothing_was(self, champion):
        assert "were made from it" not in champion.get(f"/delete/s3/red/{uuid_of(4)}").text

    def test_the_command_says_it_too_and_deletes(self, app):
        with app.app_context():
            family = Family(app)
            uri = family.add(800)
            for number in range(801, 815):
                family.add(number, 800, name=f"made-{number}")
        flask = CommandLine(app)
        done = flask("dataset", "delete", uri)
        assert (done.exit_code, done.stdout) == (0, "")
        first, *named, more = done.stderr.splitlines()
        assert first == "Datasets that were made from it:"
        assert len(named) == 10
        assert more == "  and 4 more"
        again = flask("dataset", "delete", uri)
        assert again.stderr == f"Dataset '{uri}' was not registered: nothing deleted\n"


@pytest.fixture(scope="module")
def address(app: Flask) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture(scope="module")
def _chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def chrome(_chrome: webdriver.Chrome, app: Flask, address: str) -> webdriver.Chrome:
    """A browser of CHAMPION."""
    driver = afresh(_chrome)
    enter(driver, app, address, CHAMPION)
    return driver


@needs_browser
class TestInABrowser:
    PAGES = (
        f"/datasets/s3/red/{uuid_of(2)}",
        graph_page(3, "?steps=9"),
        graph_page(HOSTILE + 4, "?steps=1000"),
        graph_page(ALONE),
        f"/delete/s3/red/{uuid_of(CHAIN)}",
    )

    def width(self, driver: webdriver.Chrome) -> float:
        return float(driver.find_element(By.CSS_SELECTOR, "svg.provenance").get_attribute("width") or 0)

    def test_everybody_can_read_them(self, chrome, address, pytestconfig: pytest.Config):
        axe = axe_source(Path(pytestconfig.cache.mkdir("axe")))
        for path in self.PAGES:
            # Colours take a moment to change on a page that is open.
            for scheme in ("dark", "light"):
                prefer(chrome, scheme)
                requests_of(chrome)
                chrome.get(address + path)
                assert len(requests_of(chrome)) <= 6
                assert (path, scheme, violations(chrome, axe)) == (path, scheme, [])
            be_wide(chrome, 320)
            assert chrome.execute_script("return document.documentElement.scrollWidth") <= 320, path
            be_wide(chrome, 1280)
            assert chrome.execute_script("return window.__hit") is None
            assert complaints(chrome) == []

    def test_the_dataset_that_was_asked_for_is_in_sight_and_links_lead_on(self, chrome, address):
        be_wide(chrome, 320)
        chrome.get(address + graph_page(4, "?steps=9"))
        in_sight = """
            const frame = document.querySelector(".graph-window").getBoundingClientRect();
            const box = document.querySelector(".provenance .centre").getBoundingClientRect();
            return box.left >= frame.left - 1 && box.left < frame.right && box.top >= frame.top
              && box.bottom <= frame.bottom;
        """
        assert chrome.execute_script(in_sight)
        be_wide(chrome, 1280)
        chrome.get(address + graph_page(4, "?steps=9"))
        link = chrome.find_element(By.CSS_SELECTOR, f'.provenance a[href$="{uuid_of(2)}"]')
        follow(chrome, link)
        assert chrome.find_element(By.TAG_NAME, "h1").text == "trimmed"

    def test_zooms_by_buttons_keys_and_the_wheel(self, chrome, address):
        chrome.get(address + graph_page(FAN, "?datasets=100"))
        before = self.width(chrome)
        chrome.find_element(By.CSS_SELECTOR, '[data-zoom="in"]').click()
        assert self.width(chrome) == pytest.approx(before * 1.25, rel=0.01)
        assert chrome.find_element(By.ID, "said").get_attribute("textContent") == "Zoom: 125 %"
        frame = chrome.find_element(By.CSS_SELECTOR, ".graph-window")
        frame.send_keys("-")
        assert self.width(chrome) == pytest.approx(before, rel=0.01)
        frame.send_keys("0")
        assert self.width(chrome) < before / 2
        small = self.width(chrome)
        wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -300, ctrlKey: true, cancelable: true}))"
        chrome.execute_script(wheel, frame)
        assert self.width(chrome) > small
        chrome.execute_script(wheel.replace("ctrlKey: true, ", ""), frame)  # scrolls

    def test_is_moved_by_the_mouse_without_following_a_link(self, chrome, address):
        chrome.get(address + graph_page(FAN, "?datasets=100"))
        frame = chrome.find_element(By.CSS_SELECTOR, ".graph-window")
        chrome.execute_script(
            "arguments[0].scrollIntoView({block: 'center'}); arguments[0].scrollTop = 500", frame
        )
        link = chrome.execute_script(
            "const edge = arguments[0].getBoundingClientRect();"
            "return [...document.querySelectorAll('.provenance a')].find((one) => {"
            "  const at = one.getBoundingClientRect();"
            "  return at.top > edge.top + 150 && at.bottom < edge.bottom - 50; });",
            frame,
        )
        ActionChains(chrome).move_to_element(link).perform()  # which may scroll
        before = chrome.execute_script("return arguments[0].scrollTop", frame)
        ActionChains(chrome).click_and_hold().move_by_offset(0, -60).move_by_offset(
            0, -40
        ).release().perform()
        assert chrome.execute_script("return arguments[0].scrollTop", frame) == pytest.approx(
            before + 100, abs=3
        )
        assert "/provenance/" in chrome.current_url

    def test_is_reached_by_the_keyboard(self, chrome, address):
        chrome.get(address + graph_page(3, "?steps=1"))
        frame = chrome.find_element(By.CSS_SELECTOR, ".graph-window")
        chrome.execute_script("arguments[0].focus()", frame)
        reached = []
        for _ in range(3):
            ActionChains(chrome).send_keys(Keys.TAB).perform()
            reached.append(chrome.execute_script("return document.activeElement.getAttribute('href')"))
        assert [href.rpartition("/")[2] for href in reached] == [uuid_of(2), uuid_of(3), uuid_of(4)]
        ActionChains(chrome).send_keys(Keys.ENTER).perform()
        until(chrome, lambda it: it.current_url.endswith(f"/datasets/s3/red/{uuid_of(4)}"))

    def test_works_without_scripts(self, chrome, address):
        run_scripts(chrome, False)
        chrome.get(address + graph_page(3, "?steps=9"))
        assert not chrome.find_element(By.CSS_SELECTOR, ".graph-tools").is_displayed()
        assert chrome.find_element(By.CSS_SELECTOR, "svg.provenance").is_displayed()
        chrome.find_element(By.ID, "steps").clear()
        chrome.find_element(By.ID, "steps").send_keys("1")
        follow(chrome, chrome.find_element(By.CSS_SELECTOR, ".graph-form button"))
        assert "steps=1" in chrome.current_url
        assert len(chrome.find_elements(By.CSS_SELECTOR, ".provenance .dataset")) == 5
