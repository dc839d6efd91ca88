"""Forms whose session is over: what was typed comes back, and is sent once somebody has signed in."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask, redirect, render_template_string, request
from flask.testing import FlaskClient
from selenium import webdriver
from selenium.webdriver.common.by import By
from sqlalchemy import delete

from dservercore import sql_db
from dservercore.auth import sign_in
from dservercore.catalog import passwords
from dservercore.catalog.scope import Actor
from dservercore.models import BrowserSession
from dservercore.web.forms import Form
from dservercore.web.page_guards import signed_in
from dservercore.web.pages import Pages
from support.world import CHAMPION, READER
from web.browser import (
    axe_source,
    complaints,
    enter,
    follow,
    needs_browser,
    run_scripts,
    session_of,
    violations,
)

pytestmark = pytest.mark.attack

PASSWORD = "five tall ships at sea"
TEXT = (
    '\n first line is blank\n<script>alert(1)</script> & "quotes" ünï שלום 🌱\n</textarea><b>\n'
    + "word " * 500
)
#: What a browser says of a form that is of a page of this server.
OF_THIS_SERVER = {"Sec-Fetch-Site": "same-origin"}

_PAGE = """
{% extends "web/base.html" %}{% from "web/form.html" import token %}
{% block content %}<h1>Note</h1>
<form method="post" action="/note/text?of=dataset">{{ token(form) }}
<textarea name="text">{{ typed }}</textarea>
<input name="title"><input name="kind" value="a"><input name="kind" value="b">
<input type="password" name="password"><button id="save">Save</button></form>{% endblock %}
"""


@pytest.fixture
def notes(app: Flask, people: None) -> list[Any]:
    """What users have saved on the page ``/note``: who, and the fields."""
    saved: list[Any] = []
    pages = Pages("note", __name__)

    @pages.get("/note")
    @signed_in
    def show(actor: Actor) -> Any:
        return render_template_string(_PAGE, form=Form(formdata=None))

    @pages.get("/note/of/<path:name>")
    @signed_in
    def show_of(name: str, actor: Actor) -> Any:
        return {"name": name, "arguments": request.args}

    @pages.post("/note/text")
    @signed_in
    def save(actor: Actor) -> Any:
        form = Form()
        if not form.validate_on_submit():
            return render_template_string(_PAGE, form=form, typed=request.form.get("text", "")), 400
        saved.append((actor.username, request.args.get("of"), request.form))
        return redirect("/note", 303)

    app.register_blueprint(pages)
    return saved


def end_all_sessions(app: Flask) -> None:
    with app.app_context():
        sql_db.session.execute(delete(BrowserSession))
        sql_db.session.commit()


def enter_here(app: Flask, client: FlaskClient, username: str) -> None:
    client.set_cookie(sign_in.PLAIN_COOKIE, session_of(app, username))


def fields_of(page: Any) -> dict[str, list[str]]:
    """Return the fields that the form of a page would send, as a browser reads them."""
    form = page.text.partition('class="kept"')[2].partition("</form>")[0]
    found: dict[str, list[str]] = {}
    areas = re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.S)
    for name, value in [*areas, *re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)]:
        found.setdefault(name, []).append(unescape(value))
    return found


def action_of(page: Any) -> str:
    return unescape(re.findall(r'<form method="post" action="([^"]+)" class="kept"', page.text)[0])


class TestWhenTheSessionIsOver:
    def test_the_text_comes_back_and_is_sent_later(
        self, app: Flask, client: FlaskClient, notes: list[Any]
    ) -> None:
        fields = {
            "text": TEXT,
            "title": "short",
            "kind": ["a", "b"],
            "password": "secret",
            "csrf_token": "old",
        }
        lost = client.post("/note/text?of=dataset", data=fields, headers=OF_THIS_SERVER)
        assert (lost.status_code, lost.headers["Cache-Control"]) == (401, "no-store")
        assert "secret" not in lost.text
        assert "<script>alert" not in lost.text
        kept = fields_of(lost)
        assert kept == {"text": [TEXT], "title": ["short"], "kind": ["a", "b"]}
        assert notes == []

        enter_here(app, client, CHAMPION)
        to_confirm = client.post(action_of(lost), data=kept, headers=OF_THIS_SERVER)
        assert to_confirm.status_code == 200
        assert f"<bdi>{CHAMPION}</bdi>" in to_confirm.text
        assert notes == []
        again = fields_of(to_confirm)
        assert again.pop("csrf_token")
        assert again == kept
        sent = client.post(action_of(to_confirm), data=fields_of(to_confirm), headers=OF_THIS_SERVER)
        assert (sent.status_code, sent.location) == (303, "/note")
        [(username, of, arrived)] = notes
        assert (username, of) == (CHAMPION, "dataset")
        assert arrived.to_dict(flat=False).items() >= kept.items()

    def test_without_signing_in_it_is_kept_for_the_next_time(
        self, client: FlaskClient, notes: list[Any]
    ) -> None:
        lost = client.post("/note/text", data={"text": TEXT}, headers=OF_THIS_SERVER)
        again = client.post(action_of(lost), data=fields_of(lost), headers=OF_THIS_SERVER)
        assert (again.status_code, fields_of(again)) == (401, fields_of(lost))
        assert action_of(again) == action_of(lost) == "/note/text?sent-again=1"

    def test_whose_session_it_was_does_not_matter_to_the_token(
        self, app: Flask, client: FlaskClient, notes: list[Any]
    ) -> None:
        """A token of another session confirms nothing."""
        enter_here(app, client, READER)
        token = re.findall(r'name="csrf_token" value="([^"]+)"', client.get("/note").text)[0]
        enter_here(app, client, CHAMPION)
        fields = {"text": TEXT, "csrf_token": token}
        page = client.post("/note/text?sent-again=1", data=fields, headers=OF_THIS_SERVER)
        assert (page.status_code, notes) == (200, [])
        assert fields_of(page)["csrf_token"] != [token]

    def test_what_a_page_of_another_site_sends_is_not_shown(
        self, app: Flask, client: FlaskClient, notes: list[Any]
    ) -> None:
        for site in ("cross-site", "same-site", "none"):
            answer = client.post("/note/text", data={"text": "theirs"}, headers={"Sec-Fetch-Site": site})
            assert (answer.status_code, answer.location) == (303, "/sign-in?next=%2Fnote")
        # Without TLS browsers do not say it; they send no cookie that is for the same site.
        assert client.post("/note/text", data={"text": "theirs"}).status_code == 303
        enter_here(app, client, CHAMPION)
        client.get("/note")
        for site in ("cross-site", "same-site", "none"):
            headers = {"Sec-Fetch-Site": site}
            answer = client.post("/note/text?sent-again=1", data={"text": "theirs"}, headers=headers)
            assert answer.status_code == 400
        assert notes == []

    def test_without_tls_the_cookie_of_forms_says_whose_page_it_is(
        self, app: Flask, client: FlaskClient, notes: list[Any]
    ) -> None:
        enter_here(app, client, CHAMPION)
        client.get("/note")
        end_all_sessions(app)
        lost = client.post("/note/text", data={"text": TEXT})
        assert (lost.status_code, fields_of(lost)) == (401, {"text": [TEXT]})

    @pytest.mark.parametrize(
        "fields", [{}, {"csrf_token": "x"}, {"old": "secret", "new": "secret", "csrf_token": "x"}]
    )
    def test_passwords_and_buttons_are_not_kept(self, client: FlaskClient, fields: dict[str, str]) -> None:
        answer = client.post("/account/password", data=fields, headers=OF_THIS_SERVER)
        assert (answer.status_code, answer.location) == (303, "/sign-in?next=%2Faccount")

    def test_below_the_prefix_of_a_proxy(self, client: FlaskClient, notes: list[Any]) -> None:
        below = {"environ_overrides": {"SCRIPT_NAME": "/lookup"}}
        lost = client.post("/note/text?of=a%26b", data={"text": TEXT}, headers=OF_THIS_SERVER, **below)
        assert action_of(lost) == "/lookup/note/text?of=a%26b&sent-again=1"
        assert 'href="/lookup/sign-in?next=/lookup/sign-in/done"' not in lost.text
        assert 'href="/lookup/sign-in?next=/sign-in/done"' in lost.text

    def test_what_htmx_sends_is_answered_in_the_place_of_the_page(
        self, client: FlaskClient, notes: list[Any]
    ) -> None:
        of_htmx = {**OF_THIS_SERVER, "HX-Request": "true", "HX-Current-URL": "http://localhost/note?a=1"}
        lost = client.post("/note/text", data={"text": TEXT}, headers=of_htmx)
        assert (lost.status_code, lost.headers["HX-Retarget"]) == (401, "#content")
        part = client.get("/note/of/x", headers=of_htmx)
        assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/sign-in?next=%2Fnote%3Fa%3D1")
        otherwise = client.get("/note?a=2", headers=of_htmx)
        assert otherwise.headers["HX-Redirect"] == "/sign-in?next=%2Fnote%3Fa%3D2"
        elsewhere = {**of_htmx, "HX-Current-URL": "http://localhost.example.org/x"}
        assert client.get("/note", headers=elsewhere).headers["HX-Redirect"] == "/sign-in?next=%2Fnote"


@pytest.mark.parametrize(
    ("address", "name", "arguments"),
    [
        ("/note/of/s3/red/a b", "s3/red/a b", {}),
        ("/note/of/%C3%BC/%25/%23/%3F?x=%26y&z=%C3%BC", "ü/%/#/?", {"x": "&y", "z": "ü"}),
        (
            "/note/of/a%5Cb?free_text=%22two+words%22&tags=%2F%2Fx",
            "a\\b",
            {"free_text": '"two words"', "tags": "//x"},
        ),
        ("/note/of/x?a=?b&c=d/e", "x", {"a": "?b", "c": "d/e"}),
    ],
)
def test_signing_in_comes_back_to_every_address(
    app: Flask, client: FlaskClient, notes: list[Any], address: str, name: str, arguments: dict[str, str]
) -> None:
    led = client.get(address)
    assert led.status_code == 303
    enter_here(app, client, CHAMPION)
    back = client.get(led.location)
    assert client.get(back.location).json == {"name": name, "arguments": arguments}


def test_a_form_that_was_open_in_another_session_comes_back_with_what_was_typed(
    app: Flask, client: FlaskClient, people: None
) -> None:
    enter_here(app, client, CHAMPION)
    token = re.findall(r'name="csrf_token" value="([^"]+)"', client.get("/account").text)[0]
    end_all_sessions(app)
    enter_here(app, client, CHAMPION)
    fields = {"display_name": "Carl the Champion", "csrf_token": token}
    page = client.post("/account/name", data=fields, headers=OF_THIS_SERVER)
    assert (page.status_code, "open for too long" in page.text) == (400, True)
    assert 'value="Carl the Champion"' in page.text
    fields["csrf_token"] = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
    assert client.post("/account/name", data=fields, headers=OF_THIS_SERVER).status_code == 303


def test_it_is_sent_again_to_the_address_that_it_was_for(client: FlaskClient, notes: list[Any]) -> None:
    path = "/edit/tags/s3/bucket/a%3Fb%23c%25d"
    lost = client.post(path, data={"tag": "peas"}, headers=OF_THIS_SERVER)
    assert action_of(lost) == f"{path}?sent-again=1"


def test_who_is_asked_whether_to_send_it_reads_what_it_is_for(
    app: Flask, client: FlaskClient, notes: list[Any]
) -> None:
    enter_here(app, client, CHAMPION)
    asked = client.post("/note/text?sent-again=1", data={"title": "x"}, headers=OF_THIS_SERVER)
    assert "<code><bdi>/note/text</bdi></code>" in asked.text
    assert notes == []


@pytest.mark.parametrize(
    ("is_signed_in", "query"), [(False, ""), (False, "&sent-again=1"), (True, "&sent-again=1")]
)
def test_a_form_of_very_many_fields_is_refused_before_they_are_taken_apart(
    app: Flask, client: FlaskClient, notes: list[Any], is_signed_in: bool, query: str
) -> None:
    if is_signed_in:
        enter_here(app, client, CHAMPION)
    answer = client.post(
        f"/note/text?of=dataset{query}",
        data="a=&" * 2001,
        content_type="application/x-www-form-urlencoded",
        headers=OF_THIS_SERVER,
    )
    assert answer.status_code == 413
    assert len(answer.text) < 10_000


@needs_browser
@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_that_was_typed_is_lost(
    app: Flask,
    address: str,
    notes: list[Any],
    chrome: webdriver.Chrome,
    scripts: bool,
    pytestconfig: pytest.Config,
) -> None:
    """The session ends between typing and sending; signing in is in another tab."""
    with app.app_context():
        passwords.set_password(CHAMPION, PASSWORD)
        sql_db.session.commit()
    enter(chrome, app, address, CHAMPION)
    run_scripts(chrome, scripts)
    chrome.get(f"{address}/note")
    typed = "A line\n\nand <another> one"
    chrome.find_element(By.NAME, "text").send_keys(typed)
    chrome.find_element(By.NAME, "password").send_keys("a secret")
    end_all_sessions(app)
    follow(chrome, chrome.find_element(By.ID, "save"))
    assert chrome.find_element(By.TAG_NAME, "h1").text == "Your text is still here"
    assert chrome.find_element(By.NAME, "text").get_attribute("value") == typed

    if scripts:
        assert violations(chrome, axe_source(pytestconfig.cache.mkdir("axe"))) == []
    first = chrome.current_window_handle
    link = chrome.find_element(By.CSS_SELECTOR, "a.button")
    assert link.get_attribute("target") == "_blank"
    chrome.switch_to.new_window("tab")
    try:
        run_scripts(chrome, scripts)
        with_link = f"{address}/sign-in?next=/sign-in/done"
        chrome.get(with_link)
        chrome.find_element(By.NAME, "username").send_keys(CHAMPION)
        chrome.find_element(By.NAME, "password").send_keys(PASSWORD)
        follow(chrome, chrome.find_element(By.ID, "send"))
        assert chrome.find_element(By.TAG_NAME, "h1").text == "You are signed in"
    finally:
        chrome.close()
        chrome.switch_to.window(first)

    follow(chrome, chrome.find_element(By.CSS_SELECTOR, ".kept button"))
    assert chrome.find_element(By.TAG_NAME, "strong").text == CHAMPION
    follow(chrome, chrome.find_element(By.CSS_SELECTOR, ".kept button"))
    assert chrome.current_url == f"{address}/note"
    [(username, of, arrived)] = notes
    assert (username, of) == (CHAMPION, "dataset")
    assert arrived["text"].replace("\r\n", "\n") == typed
    assert arrived.getlist("kind") == ["a", "b"]
    assert [said for said in complaints(chrome) if "401" not in said] == []
