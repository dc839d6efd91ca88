"""The account: what somebody may see, searches, tokens, settings for dtool, name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from selenium import webdriver
from selenium.webdriver.common.by import By

from dservercore import sql_db
from dservercore.auth import sign_in
from dservercore.catalog import base_uris, groups, kept_searches, passwords, personal_tokens, users
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED
from web.browser import client_of, enter, follow, needs_browser, run_scripts, until

SCRIPT = "<script>alert(1)</script>"
HEBREW = "שלום עולם"


@pytest.fixture
def app(app: Flask, people: None) -> Flask:
    return app


@pytest.fixture
def open_as(app: Flask) -> Any:
    """``open_as(username)`` returns a client in which that user is signed in."""

    return partial(client_of, app)


@pytest.fixture
def carl(open_as: Any) -> FlaskClient:
    """The browser of CHAMPION, who may search and register in RED."""
    return open_as(CHAMPION)


def send(client: FlaskClient, path: str, **fields: Any) -> Any:
    """Send a form of the account."""
    token = re.findall(r'name="csrf_token" value="([^"]+)"', client.get("/account").text)[0]
    return client.post(path, data={"csrf_token": token, **fields})


def text_of(page: Any) -> str:
    """Return what is to be read on a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text.partition("<main")[2])).split())


FORMS = [
    "/account/name",
    "/account/tokens",
    "/account/tokens/1/end",
    "/account/dtool.json",
    "/searches",
    "/searches/1/name",
    "/searches/1/delete",
]


@pytest.mark.attack
@pytest.mark.parametrize("path", FORMS)
def test_forms_need_a_session_and_its_token(
    app: Flask, client: FlaskClient, carl: FlaskClient, path: str
) -> None:
    fields = {
        "display_name": "x",
        "name": "x",
        "query": "",
        "may": "search",
        "expires_in": str(90 * 24 * 3600),
    }
    answer = client.post(path, data=fields)
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
    assert carl.post(path, data=fields).status_code == 400
    other = {"Sec-Fetch-Site": "cross-site"}
    token = re.findall(r'name="csrf_token" value="([^"]+)"', carl.get("/account").text)[0]
    assert carl.post(path, data={**fields, "csrf_token": token}, headers=other).status_code == 400
    with app.app_context():
        assert users.get_user(CHAMPION)["display_name"] != "x"
        assert personal_tokens.list_tokens(CHAMPION) == kept_searches.list_searches(CHAMPION) == []


class TestWhatSomebodyMaySee:
    def test_is_said_with_the_reasons(self, app: Flask, open_as: Any) -> None:
        with app.app_context():
            groups.add_group("imaging lab")
            groups.add_member("imaging lab", READER)
            groups.grant("register", "imaging lab", BLUE)
            base_uris.put_base_uri("s3://open", [], [], public=True)
            sql_db.session.commit()
        page = open_as(READER).get("/account")
        rows = {
            unescape(cells[0]): [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in cells[1:]]
            for cells in re.findall(
                r'<th scope="row">.*?<bdi>(.*?)</bdi>.*?<td>(.*?)</td>\s*<td>(.*?)</td>', page.text, re.S
            )
        }
        assert rows[BLUE][1] == "by the group imaging lab"
        assert rows[RED] == ["granted to you", "–"]
        assert rows["s3://open"] == ["public", "–"]
        assert "Your group: imaging lab" in text_of(page)

    def test_of_who_may_see_nothing(self, open_as: Any) -> None:
        page = open_as(NOBODY).get("/account")
        assert "Nothing yet" in page.text
        assert 'scope="row"' not in page.text

    def test_an_administrator_is_one(self, open_as: Any) -> None:
        assert ", an administrator." in text_of(open_as(ADMIN).get("/account"))


class TestTheName:
    def test_is_changed(self, app: Flask, carl: FlaskClient) -> None:
        answer = send(carl, "/account/name", display_name=f" Carl {HEBREW} ")
        assert (answer.status_code, answer.location) == (303, "/account#name")
        page = carl.get("/account")
        assert "Your name is saved." in page.text
        assert f"<bdi>Carl {HEBREW}</bdi>" in page.text
        send(carl, "/account/name", display_name=" ")
        with app.app_context():
            assert users.get_user(CHAMPION)["display_name"] is None

    @pytest.mark.parametrize(
        ("name", "status"), [("x" * 256, 400), ("a\u202eb", 422), (f"{SCRIPT}\x1b", 422)]
    )
    def test_what_is_wrong_is_said_beside_what_was_typed(
        self, carl: FlaskClient, name: str, status: int
    ) -> None:
        answer = send(carl, "/account/name", display_name=name)
        assert answer.status_code == status
        assert 'id="display_name-error"' in answer.text
        assert "too long" in answer.text or "The name contains a control character" in answer.text
        assert '<a href="#name">see what is wrong</a>' in answer.text
        assert SCRIPT not in answer.text
        assert f'value="{name}"' in unescape(answer.text)


class TestKeptSearches:
    def test_from_the_form_to_the_list_and_on(self, app: Flask, carl: FlaskClient) -> None:
        query = "free_text=spring+barley&tags=field&sort=-frozen_at&page=3&view=compact"
        answer = send(carl, "/searches", name=f"Barley {HEBREW}", query=query)
        assert (answer.status_code, answer.location) == (303, "/account#searches")
        page = carl.get("/account")
        assert (
            f'href="/?free_text=spring+barley&amp;tags=field&amp;sort=-frozen_at"><bdi>Barley {HEBREW}</bdi>'
            in (page.text)
        )
        assert "spring barley · tag field" in text_of(page)
        with app.app_context():
            [kept] = kept_searches.list_searches(CHAMPION)
        assert send(carl, f"/searches/{kept['id']}/name", name="Barley").status_code == 303
        assert "<bdi>Barley</bdi>" in carl.get("/account").text
        assert send(carl, f"/searches/{kept['id']}/delete").status_code == 303
        assert send(carl, f"/searches/{kept['id']}/delete").status_code == 303
        assert send(carl, f"/searches/{kept['id']}/name", name="x").status_code == 404
        with app.app_context():
            assert kept_searches.list_searches(CHAMPION) == []

    def test_what_cannot_be_kept_comes_back_with_the_reason(self, carl: FlaskClient) -> None:
        send(carl, "/searches", name="taken", query="tags=a")
        send(carl, "/searches", name="other", query="tags=b")
        answer = send(carl, "/searches", name="taken", query="tags=c")
        assert (answer.status_code, "already" in answer.text) == (409, True)
        assert 'name="query" value="tags=c"' in answer.text
        assert 'value="taken"' in answer.text
        for name, status in (("", 400), ("x" * 81, 400), ("a\u202eb", 422)):
            answer = send(carl, "/searches", name=name, query="tags=c")
            assert answer.status_code == status
            assert 'name="query" value="tags=c"' in answer.text
        assert send(carl, "/searches", name="x", query="tags=" + "a" * 7000).status_code == 422
        page = carl.get("/account").text
        other = re.findall(r"/searches/(\d+)/name", page)[0]
        assert page.index("<bdi>other</bdi>") < page.index("<bdi>taken</bdi>")
        for name, status in (("taken", 409), ("", 400), ("a\x1bb", 422)):
            answer = send(carl, f"/searches/{other}/name", name=name)
            assert answer.status_code == status
            assert f'id="name-{other}-error"' in answer.text

    def test_whatever_is_in_them_is_text(self, carl: FlaskClient) -> None:
        send(carl, "/searches", name=SCRIPT, query=f"free_text=%22{SCRIPT}&tags='\"%3E")
        page = carl.get("/account").text
        assert SCRIPT not in page
        assert SCRIPT in unescape(page)

    def test_those_of_others_are_not_there(self, app: Flask, carl: FlaskClient, open_as: Any) -> None:
        send(carl, "/searches", name="mine", query="tags=a")
        with app.app_context():
            [kept] = kept_searches.list_searches(CHAMPION)
        rita = open_as(READER)
        assert send(rita, f"/searches/{kept['id']}/name", name="x").status_code == 404
        send(rita, f"/searches/{kept['id']}/delete")
        with app.app_context():
            assert kept_searches.list_searches(CHAMPION) == [kept]

    def test_the_form_is_for_who_is_signed_in(self, app: Flask, carl: FlaskClient) -> None:
        from flask import render_template

        def form(headers: Any) -> str:
            with app.test_request_context("/", headers=headers):
                return render_template("web/keep_search.html", query_string='tags=a&tags="')

        cookie = carl.get_cookie(sign_in.PLAIN_COOKIE)
        assert cookie is not None
        shown = form({"Cookie": f"{sign_in.PLAIN_COOKIE}={cookie.value}"})
        assert 'name="query" value="tags=a&amp;tags=&#34;"' in shown
        assert 'name="csrf_token"' in shown
        assert "<form" not in form({})


class TestTokens:
    def test_one_is_made_shown_once_and_ended(self, app: Flask, carl: FlaskClient) -> None:
        wish = {
            "name": f"robot {SCRIPT}",
            "may": ["search", "register"],
            "expires_in": "86400",
            "base_uris": [RED],
        }
        answer = send(carl, "/account/tokens", **wish)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
        [token] = re.findall(r"dserver_\w+", answer.text)
        program = app.test_client()
        assert program.get("/uris", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        page = carl.get("/account")
        assert token not in page.text
        assert SCRIPT not in page.text
        assert "may search, register in 1 base URI" in text_of(page)
        with app.app_context():
            [made] = personal_tokens.list_tokens(CHAMPION)
        assert made["expires_at"] - made["created_at"] == 86400
        assert (made["may"], made["base_uris"]) == (["search", "register"], [RED])
        assert send(carl, f"/account/tokens/{made['id']}/end").status_code == 303
        assert send(carl, f"/account/tokens/{made['id']}/end").status_code == 303
        assert program.get("/uris", headers={"Authorization": f"Bearer {token}"}).status_code == 401

    @pytest.mark.parametrize(
        ("wish", "status"),
        [
            ({"name": ""}, 400),
            ({"name": "x" * 81}, 400),
            ({"name": "a\x1bb"}, 422),
            ({"may": []}, 422),
            ({"may": ["admin"]}, 400),
            ({"base_uris": [BLUE]}, 400),
            ({"expires_in": "5"}, 400),
        ],
    )
    def test_wishes_that_are_not_granted(
        self, app: Flask, carl: FlaskClient, wish: dict[str, Any], status: int
    ) -> None:
        usual = {"name": "my robot", "may": ["search"], "expires_in": "86400"}
        answer = send(carl, "/account/tokens", **{**usual, **wish})
        assert answer.status_code == status
        assert re.search(r'class="error"', answer.text)
        if "name" not in wish:
            assert 'value="my robot"' in answer.text
        with app.app_context():
            assert personal_tokens.list_tokens(CHAMPION) == []

    def test_none_is_offered_that_the_server_would_not_make(self, app: Flask, carl: FlaskClient) -> None:
        offered = re.findall(r'<option[^>]* value="(\d*)"', carl.get("/account").text)
        assert offered[-1] == ""
        app.config["DSERVER_MAX_TOKEN_LIFETIME"] = 2 * 24 * 3600
        page = carl.get("/account").text
        choices = re.findall(r'<option( selected)? value="(\d*)">([^<]+)<', page)
        assert choices == 2 * [("", "86400", "1 day"), (" selected", "172800", "2 days")]
        assert send(carl, "/account/tokens", name="x", may="search", expires_in="172800").status_code == 201

    def test_of_administrators_may_do_more(self, open_as: Any) -> None:
        ada = open_as(ADMIN)
        assert 'value="admin"' in ada.get("/account").text
        wish = {"name": "x", "may": "admin", "expires_in": "86400"}
        assert send(ada, "/account/tokens", **wish).status_code == 201


class TestSettingsOfDtool:
    def test_without_a_token(self, app: Flask, carl: FlaskClient) -> None:
        with app.app_context():
            users.update_user(CHAMPION, {"display_name": 'Carl "C" Ä'})
            sql_db.session.commit()
        answer = carl.get("/account/dtool.json")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="dtool.json"'
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json == {"DSERVER_URL": "http://localhost", "DTOOL_USER_FULL_NAME": 'Carl "C" Ä'}
        with app.app_context():
            passwords.set_password(CHAMPION, "five tall ships at sea")
            sql_db.session.commit()
        carl = app.test_client()  # the sessions have ended
        assert carl.get("/account/dtool.json").status_code == 303

    def test_of_who_has_a_password(self, app: Flask, open_as: Any) -> None:
        with app.app_context():
            passwords.set_password(CHAMPION, "five tall ships at sea")
            sql_db.session.commit()
        app.config["DSERVER_EXTERNAL_URL"] = "https://data.example.org/lookup"
        settings = open_as(CHAMPION).get("/account/dtool.json").json
        assert settings["DSERVER_URL"] == "https://data.example.org/lookup"
        assert settings["DSERVER_TOKEN_GENERATOR_URL"] == "https://data.example.org/lookup/auth/token"
        assert settings["DSERVER_USERNAME"] == CHAMPION

    @pytest.mark.parametrize("name", [None, "Carl", 'A "quoted": {name} # here', HEBREW])
    def test_the_template_is_yaml_before_and_after_dtool_fills_it_in(
        self, app: Flask, carl: FlaskClient, name: str | None
    ) -> None:
        with app.app_context():
            users.update_user(CHAMPION, {"display_name": name})
            sql_db.session.commit()
        answer = carl.get("/account/README.yml")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="README.yml"'
        assert yaml.safe_load(answer.text)["owners"]
        # As dtool-create does it.
        filled = answer.text.format(
            username="me", DTOOL_USER_FULL_NAME="Full Name", DTOOL_USER_EMAIL="me@x.org", date="2026-02-03"
        )
        readme = yaml.safe_load(filled)
        [owner] = readme["owners"]
        assert owner == {"name": name or "Full Name", "email": "me@x.org", "orcid": "", "username": CHAMPION}
        assert str(readme["creation_date"]) == "2026-02-03"
        assert {"description", "project", "license", "funders"} <= readme.keys()

    def test_the_client_of_dtool_searches_with_the_file(
        self, app: Flask, address: str, carl: FlaskClient, register: Any, tmp_path: Path
    ) -> None:
        register(name="spring-barley", base_uri=RED)
        form = {"expires_in": "86400"}
        token = re.findall(r'name="csrf_token" value="([^"]+)"', carl.get("/account").text)[0]
        app.config["DSERVER_EXTERNAL_URL"] = address
        answer = carl.post("/account/dtool.json", data={**form, "csrf_token": token})
        assert answer.headers["Content-Disposition"] == 'attachment; filename="dtool.json"'
        assert answer.headers["Cache-Control"] == "no-store"
        place = tmp_path / ".config" / "dtool" / "dtool.json"
        place.parent.mkdir(parents=True)
        place.write_text(answer.text)
        [command] = re.findall(r"python3 -c &#34;(.*?)&#34;", carl.get("/account").text)
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "NO_PROXY": "*"}
        done = subprocess.run(
            [sys.executable, "-c", unescape(command)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "spring-barley" in done.stdout
        assert json.loads(answer.text)["DSERVER_TOKEN"].startswith("dserver_")
        with app.app_context():
            [made] = personal_tokens.list_tokens(CHAMPION)
        assert (made["name"], made["may"]) == ("dtool", ["search"])


@needs_browser
@pytest.mark.parametrize("scripts", [True, False])
def test_a_walk_through_the_page(app: Flask, address: str, chrome: webdriver.Chrome, scripts: bool) -> None:
    """From a new name to a token that is copied and ended, and a search that is renamed."""
    with app.app_context():
        kept = kept_searches.keep(CHAMPION, "barley", "free_text=barley")
        sql_db.session.commit()
    enter(chrome, app, address, CHAMPION)
    run_scripts(chrome, scripts)
    chrome.get(f"{address}/account")

    name = chrome.find_element(By.ID, "display_name")
    name.clear()
    name.send_keys(f"Carl {HEBREW}")
    follow(chrome, chrome.find_element(By.ID, "send-name"))
    assert chrome.find_element(By.CLASS_NAME, "notice").text == "Your name is saved."
    assert f"Carl {HEBREW}" in chrome.find_element(By.CLASS_NAME, "lead").text

    chrome.find_element(By.ID, "token-name").send_keys("robot")
    follow(chrome, chrome.find_element(By.XPATH, "//button[text()='Make the token']"))
    token = chrome.find_element(By.CSS_SELECTOR, ".new-token code").text
    assert token.startswith("dserver_")
    if scripts:
        button = chrome.find_element(By.CSS_SELECTOR, ".new-token button")
        until(chrome, lambda _driver: button.is_displayed())
    follow(chrome, chrome.find_element(By.XPATH, "//button[@aria-label='End the token robot']"))
    assert chrome.find_element(By.CLASS_NAME, "notice").text == "The token has ended."

    chrome.find_element(By.XPATH, "//summary[@aria-label='Rename the search barley']").click()
    field = chrome.find_element(By.ID, f"name-{kept['id']}")
    field.clear()
    field.send_keys("spring barley")
    follow(chrome, field.find_element(By.XPATH, "following-sibling::button"))
    assert chrome.find_element(By.LINK_TEXT, "spring barley").get_attribute("href") == (
        f"{address}/?free_text=barley"
    )
