"""The pages to sign in, and the account: forms, what is kept, and what a browser makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of

from dservercore import create_app, sql_db
from dservercore.auth import passwords as checkers
from dservercore.auth import sign_in
from dservercore.catalog import base_uris, login_links, passwords, sessions, users
from dservercore.models import User
from dservercore.web import page_guards
from dservercore.web.pages import Pages
from dservercore.web.sign_in_pages import LINK_REFUSAL
from dservercore.web.static_files import served_files
from support.world import ADMIN, CHAMPION, NOBODY, RED
from web.browser import complaints, follow, needs_browser, run_scripts, until

pytestmark = pytest.mark.attack

PASSWORD, OTHER_PASSWORD = "five tall ships at sea", "seven grey owls in a row"
COOKIE = "dserver_session"


@pytest.fixture
def app(app: Flask, people: None) -> Flask:
    with app.app_context():
        passwords.set_password(CHAMPION, PASSWORD)
        sql_db.session.commit()
    return app


@pytest.fixture
def link(app: Flask) -> str:
    """The secret of a link that signs CHAMPION in."""
    with app.app_context():
        secret = login_links.make(CHAMPION)
        sql_db.session.commit()
    return secret


def token_of(page: Any) -> str:
    """Return the token of the forms of a page."""
    [token, *others] = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', page.text)
    assert set(others) <= {token}
    return token


def send(client: FlaskClient, path: str, page: str = "", **fields: str) -> Any:
    """Send a form as the page does that has it."""
    return client.post(path, data={"csrf_token": token_of(client.get(page or path)), **fields})


def signed_in(client: FlaskClient) -> str | None:
    """Return who is signed in, as the first page says."""
    found = re.search(r'class="user" href="/account">.*<span>([^<]+)</span>', client.get("/").text)
    return found and found[1]


def sign_in_here(client: FlaskClient, path: str = "/sign-in", **fields: str) -> Any:
    return send(client, path, **{"username": CHAMPION, "password": PASSWORD, **fields})


class TestSigningIn:
    def test_with_a_password(self, client: FlaskClient) -> None:
        assert signed_in(client) is None
        answer = sign_in_here(client)
        assert (answer.status_code, answer.location) == (303, "/")
        assert signed_in(client) == CHAMPION
        assert client.get("/sign-in").status_code == 303

    @pytest.mark.parametrize(
        ("wanted", "location"),
        [
            ("/account", "/account"),
            ("/account?x=%261", "/account?x=%261"),
            ("//evil.example.org", "/"),
            ("/\\evil.example.org", "/"),
            ("https://evil.example.org", "/"),
        ],
    )
    def test_leads_to_where_somebody_wanted_to_go(
        self, client: FlaskClient, wanted: str, location: str
    ) -> None:
        page = client.get("/sign-in", query_string={"next": wanted})
        [action] = re.findall(r'action="(/sign-in[^"]*)"', page.text)
        answer = sign_in_here(client, action.replace("&amp;", "&"))
        assert (answer.status_code, answer.location) == (303, location)
        assert client.get("/sign-in", query_string={"next": wanted}).location == location

    def test_below_the_prefix_of_a_proxy(self, client: FlaskClient) -> None:
        below = {"environ_overrides": {"SCRIPT_NAME": "/lookup"}}
        page = client.get("/sign-in?next=/account", **below)
        assert 'action="/lookup/sign-in?next=/account"' in page.text
        fields = {"csrf_token": token_of(page), "username": CHAMPION, "password": PASSWORD}
        answer = client.post("/sign-in?next=/account", data=fields, **below)
        assert answer.location == "/lookup/account"
        assert client.get("/account", **below).status_code == 200

    def test_passwords_are_masked_and_left_to_whatever_fills_them_in(self, client: FlaskClient) -> None:
        page = client.get("/sign-in").text
        sign_in_here(client)
        pages = page + client.get("/account").text
        fields = re.findall(r"<input [^>]*-password[^>]*>", pages)
        kept_as = {"password": "current-password", "old": "current-password", "new": "new-password"}
        assert len(fields) == len(kept_as)
        for name, remembered_as in kept_as.items():
            [field] = [field for field in fields if f'name="{name}"' in field]
            assert 'type="password"' in field
            assert f'autocomplete="{remembered_as}"' in field
            assert "maxlength" not in field
        scripts = served_files()["site.js"].content.decode()
        assert not re.search(r" on\w+=|<script>", pages), "nothing that could hinder pasting"
        assert "paste" not in scripts

    @pytest.mark.parametrize("username", [CHAMPION, NOBODY, "unknown", "<script>alert(1)</script>"])
    def test_with_a_wrong_password(self, client: FlaskClient, username: str) -> None:
        answer = sign_in_here(client, username=username, password="wrong password")
        assert answer.status_code == 401
        assert checkers.REFUSAL in answer.text
        assert "wrong password" not in answer.text
        assert "<script>" not in answer.text
        assert signed_in(client) is None

    def test_too_often(self, client: FlaskClient) -> None:
        answers = [sign_in_here(client, password="wrong") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert "try again in" in answers[-1].text
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 900

    @pytest.mark.parametrize("fields", [{"username": ""}, {"password": ""}, {"username": " "}])
    def test_with_something_missing(self, client: FlaskClient, fields: dict[str, str]) -> None:
        answer = sign_in_here(client, **fields)
        assert answer.status_code in (400, 401)
        assert signed_in(client) is None

    @pytest.mark.parametrize("token", [None, "", "x", "other"])
    @pytest.mark.parametrize("path", ["/sign-in", "/sign-in/link"])
    def test_needs_the_token_of_the_form(
        self, app: Flask, client: FlaskClient, link: str, token: str | None, path: str
    ) -> None:
        client.get(path)
        if token == "other":  # of an attacker's own browser
            token = token_of(app.test_client().get(path))
        fields = {"username": CHAMPION, "password": PASSWORD, "code": link}
        fields |= {} if token is None else {"csrf_token": token}
        assert client.post(path, data=fields).status_code == 400
        assert signed_in(client) is None
        assert send(client, "/sign-in/link", code=link).status_code == 303, "the link is not used up"

    def test_forms_from_before_do_not_work_after(self, client: FlaskClient) -> None:
        before = token_of(client.get("/sign-in"))
        sign_in_here(client)
        after = token_of(client.get("/account"))
        assert before != after
        fields = {"csrf_token": before}
        assert client.post("/sign-out", data=fields).status_code == 400
        assert signed_in(client) == CHAMPION

    def test_forms_of_somebody_else_do_not_work_with_their_cookie_either(
        self, app: Flask, client: FlaskClient
    ) -> None:
        sign_in_here(client)
        stranger, user = app.test_client(), app.test_client()
        sign_in_here(user)
        for other, page in ((stranger, "/sign-in"), (user, "/account")):
            token = token_of(other.get(page))
            cookie = other.get_cookie("session")
            assert cookie is not None
            client.set_cookie("session", cookie.value)  # as another host of the same domain can do
            assert client.post("/sign-out", data={"csrf_token": token}).status_code == 400
            assert signed_in(client) == CHAMPION

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_not_from_a_page_of_another_site(self, client: FlaskClient, site: str) -> None:
        fields = {
            "csrf_token": token_of(client.get("/sign-in")),
            "username": CHAMPION,
            "password": PASSWORD,
        }
        headers = {"Sec-Fetch-Site": site}
        assert client.post("/sign-in", data=fields, headers=headers).status_code == 400
        assert signed_in(client) is None
        assert (
            client.post("/sign-in", data=fields, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
        )

    def test_with_nothing_configured_a_link_is_asked_for(self, config: dict[str, Any], app: Flask) -> None:
        with app.app_context():
            passwords.remove_password(CHAMPION)
            sql_db.session.commit()
        page = app.test_client().get("/sign-in").text
        assert "flask user login-link" in page
        assert "<input" not in page

    def test_other_ways_are_links(self, app: Flask, client: FlaskClient) -> None:
        sign_in.sign_in_ways(app).append(sign_in.Way("Institute <of Ships>", "/sign-in/oidc/institute"))
        page = client.get("/sign-in?next=/account").text
        assert 'href="/sign-in/oidc/institute?next=/account"' in page
        assert "Institute &lt;of Ships&gt;" in page

    def test_without_pages_there_are_none(self, config: dict[str, Any]) -> None:
        bare = create_app({**config, "DSERVER_WEB": "false"}).test_client()
        for path in ("/sign-in", "/sign-in/link", "/account"):
            assert bare.get(path).status_code == 404
        assert bare.get("/auth/token").status_code == 401


class TestLinks:
    def test_opening_one_uses_nothing_up_and_tells_nothing(self, client: FlaskClient, link: str) -> None:
        pages = [client.get(f"/sign-in/link?code={code}") for code in (link, link, "unknown")]
        assert {page.status_code for page in pages} == {200}
        assert CHAMPION not in pages[0].text
        assert pages[0].text.replace(link, "unknown") == pages[2].text
        assert pages[0].headers["Referrer-Policy"] == "no-referrer"
        assert pages[0].headers["Cache-Control"] == "no-store"
        assert client.head(f"/sign-in/link?code={link}").status_code == 200
        assert send(client, "/sign-in/link", code=link).status_code == 303
        assert signed_in(client) == CHAMPION

    def test_that_are_used_expired_or_unknown_look_alike(
        self, app: Flask, client: FlaskClient, link: str
    ) -> None:
        send(client, "/sign-in/link", code=link)
        other = app.test_client()
        pages = [send(other, "/sign-in/link", code=code) for code in (link, "unknown", "", "x" * 500)]
        assert [page.status_code for page in pages] == [403] * 4
        assert {page.text for page in pages} == {pages[0].text}
        assert LINK_REFUSAL in pages[0].text
        assert signed_in(other) is None

    def test_of_a_user_who_is_gone(self, app: Flask, client: FlaskClient, link: str) -> None:
        with app.app_context():
            users.delete_user(CHAMPION)
            sql_db.session.commit()
        assert send(client, "/sign-in/link", code=link).status_code == 403

    def test_code_is_shown_as_text(self, client: FlaskClient) -> None:
        page = client.get("/sign-in/link", query_string={"code": '"><script>alert(1)</script>'})
        assert "<script>" not in page.text


class TestSigningOut:
    def test_ends_the_session(self, client: FlaskClient) -> None:
        sign_in_here(client)
        cookie = client.get_cookie(COOKIE)
        assert cookie is not None
        answer = send(client, "/sign-out", "/account")
        assert (answer.status_code, answer.location) == (303, "/")
        assert signed_in(client) is None
        client.set_cookie(COOKIE, cookie.value)
        assert signed_in(client) is None

    @pytest.mark.parametrize("fields", [{}, {"csrf_token": "x"}])
    def test_not_by_another_site(self, client: FlaskClient, fields: dict[str, str]) -> None:
        sign_in_here(client)
        assert client.post("/sign-out", data=fields).status_code == 400
        assert client.get("/sign-out").status_code == 405
        assert signed_in(client) == CHAMPION

    def test_says_where_else_somebody_may_sign_out(self, app: Flask, client: FlaskClient) -> None:
        ways = {"password": sign_in.Way("Institute", "https://login.example.org/logout?x=1&y=2")}
        sign_in.sign_out_ways(app).append(lambda session: ways.get(session.means))
        sign_in_here(client)
        page = send(client, "/sign-out", "/account")
        assert page.status_code == 200
        assert 'href="https://login.example.org/logout?x=1&amp;y=2"' in page.text
        assert CHAMPION not in page.text
        assert signed_in(client) is None


class TestAccount:
    def test_visitors_are_led_to_sign_in_and_back(self, client: FlaskClient) -> None:
        answer = client.get("/account?x=1")
        assert (answer.status_code, answer.location) == (303, "/sign-in?next=%2Faccount%3Fx%3D1")
        assert client.post("/account/password").location == "/sign-in?next=%2Faccount"

    def test_nothing_of_somebody_who_is_signed_in_is_kept(self, client: FlaskClient) -> None:
        assert client.get("/").headers["Cache-Control"] == "private, no-cache"
        sign_in_here(client)
        headers = {"Accept": "text/html"}
        for path in ("/", "/account", "/nowhere"):
            page = client.get(path, headers=headers)
            assert page.headers["Cache-Control"] == "no-store"
            assert CHAMPION in page.text

    def test_every_page_offers_to_sign_out(self, client: FlaskClient) -> None:
        assert "/sign-out" not in client.get("/").text
        sign_in_here(client)
        for path in ("/", "/account", "/nowhere"):
            page = client.get(path, headers={"Accept": "text/html"}).text
            header = page.partition("<header ")[2].partition("</header>")[0]
            assert 'action="/sign-out"' in header
            assert "Sign out</button>" in header

    def test_a_browser_is_called_what_people_call_it(self, app: Flask, client: FlaskClient) -> None:
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        with app.app_context():
            sessions.begin(CHAMPION, "link", sessions.Client("192.0.2.7", agent))
            sql_db.session.commit()
        sign_in_here(client)
        assert f'title="{agent}"><bdi>Firefox on Linux' in client.get("/account").text

    def test_a_password_manager_is_told_whose_password_it_is(self, client: FlaskClient) -> None:
        sign_in_here(client)
        page = client.get("/account").text
        assert f'name="username" value="{CHAMPION}" autocomplete="username" hidden' in page

    def test_the_password_until_now_cannot_be_tried_for_long(self, client: FlaskClient) -> None:
        sign_in_here(client)
        fields = {"old": "not the password", "new": "plum tractor violin 77"}
        answers = [send(client, "/account/password", "/account", **fields) for _ in range(11)]
        assert [answer.status_code for answer in answers] == [422] * 10 + [429]
        assert 890 <= int(answers[-1].headers["Retry-After"]) <= 900

    def test_sessions_are_shown_as_text_and_ended_by_a_button(self, app: Flask, client: FlaskClient) -> None:
        other = app.test_client()
        sign_in_here(other)
        with app.app_context():
            sessions.begin(CHAMPION, "oidc:keycloak", sessions.Client("192.0.2.7", "<script>alert(1)"))
            sessions.begin(NOBODY, "link", sessions.Client("192.0.2.8", "of somebody else"))
            sql_db.session.commit()
        sign_in_here(client)
        page = client.get("/account").text
        assert "&lt;script&gt;" in page
        assert "at keycloak" in page
        assert "of somebody else" not in page
        buttons = re.findall(r'action="(/account/sessions/\d+/end)"', page)
        assert len(buttons) == 2
        for button in buttons:
            assert client.post(button, data={}).status_code == 400
            assert signed_in(other) == CHAMPION
        for button in buttons:
            assert send(client, button, "/account").status_code == 303
        assert signed_in(other) is None
        assert signed_in(client) == CHAMPION
        assert client.get("/account").text.count("/end") == 0

    def test_nobody_ends_a_session_of_somebody_else(self, app: Flask, client: FlaskClient) -> None:
        with app.app_context():
            secret = sessions.begin(NOBODY, "link", sessions.Client("192.0.2.8", "x"))
            sql_db.session.commit()
            found = sessions.find(secret)
        assert found is not None
        sign_in_here(client)
        assert send(client, f"/account/sessions/{found.id}/end", "/account").status_code == 303
        with app.app_context():
            assert sessions.find(secret) is not None

    def test_the_password_is_changed_and_other_sessions_end(self, app: Flask, client: FlaskClient) -> None:
        other = app.test_client()
        sign_in_here(other)
        sign_in_here(client)
        fields = {"old": PASSWORD, "new": OTHER_PASSWORD}
        for wrong, says in (
            ({"old": OTHER_PASSWORD}, "is not your password"),
            ({"new": "short"}, "at least 12"),
            ({"new": "passwordpassword"}, "easy to guess"),
            ({"old": ""}, "is missing"),
        ):
            page = send(client, "/account/password", "/account", **{**fields, **wrong})
            assert page.status_code in (400, 422)
            assert says in page.text
            assert OTHER_PASSWORD not in page.text
        assert client.post("/account/password", data=fields).status_code == 400
        assert signed_in(other) == CHAMPION
        assert send(client, "/account/password", "/account", **fields).status_code == 303
        assert "Your password is set" in client.get("/account").text
        assert (signed_in(other), signed_in(client)) == (None, CHAMPION)
        assert sign_in_here(other).status_code == 401
        assert sign_in_here(other, password=OTHER_PASSWORD).status_code == 303

    def test_whose_password_is_kept_elsewhere_is_told(
        self, app: Flask, client: FlaskClient, link: str
    ) -> None:
        with app.app_context():
            passwords.remove_password(CHAMPION)
            sql_db.session.execute(User.__table__.update().values(source="ldap"))
            sql_db.session.commit()
        send(client, "/sign-in/link", code=link)
        page = send(client, "/account/password", "/account", new=OTHER_PASSWORD)
        assert page.status_code == 409
        assert "not kept here" in page.text


class TestGuards:
    @pytest.fixture
    def client(self, config: dict[str, Any], app: Flask) -> Iterator[FlaskClient]:
        """A browser at an application with pages of an extension."""
        pages = Pages("ours", __name__)

        @pages.route("/ours/found")
        @page_guards.with_scope("search", visitors=True)
        def found(actor: Any, search_scope: Any) -> dict[str, Any]:
            return {"user": actor.username, "in": list(search_scope.base_uris)}

        @pages.route("/ours/administered")
        @page_guards.admin_only
        def administered(actor: Any) -> dict[str, Any]:
            return {"user": actor.username}

        other = create_app(config)
        other.register_blueprint(pages)
        yield other.test_client()
        with other.app_context():
            sql_db.engine.dispose()

    def test_users_see_what_they_may_search_and_visitors_what_is_public(
        self, app: Flask, client: FlaskClient
    ) -> None:
        assert client.get("/ours/found").location == "/sign-in?next=%2Fours%2Ffound"
        sign_in_here(client)
        assert client.get("/ours/found").json == {"user": CHAMPION, "in": [RED]}
        with app.app_context():
            base_uris.create_base_uri("s3://open", [], [])
            table = sql_db.metadata.tables["base_uri"]
            sql_db.session.execute(table.update().where(table.c.base_uri == "s3://open").values(public=True))
            sql_db.session.commit()
        assert client.get("/ours/found").json == {"user": CHAMPION, "in": ["s3://open", RED]}
        send(client, "/sign-out", "/account")
        assert client.get("/ours/found").json == {"user": None, "in": ["s3://open"]}

    def test_administrators_alone(self, app: Flask, client: FlaskClient) -> None:
        assert client.get("/ours/administered").status_code == 303
        sign_in_here(client)
        assert client.get("/ours/administered").status_code == 403
        with app.app_context():
            secret = login_links.make(ADMIN)
            sql_db.session.commit()
        send(client, "/sign-in/link", code=secret)
        assert client.get("/ours/administered").json == {"user": ADMIN}


@needs_browser
class TestInABrowser:
    def test_from_the_link_to_going_back_after_signing_out(
        self, address: str, link: str, chrome: webdriver.Chrome
    ) -> None:
        def press(css: str) -> None:
            follow(chrome, chrome.find_element("css selector", css))

        chrome.get(f"{address}/sign-in/link?code={link}")
        press("main input[type=submit]")
        assert chrome.find_element("css selector", "header a.user").text == CHAMPION
        assert chrome.execute_script("return document.cookie") == "", "no script sees the cookie"
        press("header a.user")
        assert chrome.find_element("tag name", "h1").text == "Your account"
        press("header button")
        chrome.back()
        assert CHAMPION not in chrome.find_element("tag name", "body").text
        chrome.get(f"{address}/account")
        chrome.find_element("name", "username").send_keys(CHAMPION)
        chrome.find_element("name", "password").send_keys(PASSWORD)
        press("main input[type=submit]")
        assert chrome.current_url == f"{address}/account"
        assert complaints(chrome) == []

    def test_by_the_keyboard_alone_and_without_scripts(self, address: str, chrome: webdriver.Chrome) -> None:
        run_scripts(chrome, False)
        chrome.get(f"{address}/sign-in")
        for _ in range(20):  # past the links of the top, to the name
            ActionChains(chrome).send_keys(Keys.TAB).perform()
            if chrome.switch_to.active_element.get_attribute("name") == "username":
                break
        ActionChains(chrome).send_keys(CHAMPION, Keys.TAB, PASSWORD).perform()
        page = chrome.find_element("tag name", "html")
        ActionChains(chrome).send_keys(Keys.ENTER).perform()
        until(chrome, staleness_of(page))
        assert CHAMPION in chrome.find_element("css selector", "header").text
