"""A real server and a certified provider, each a process: people sign in and out, and a program has its token."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests
from sqlalchemy import update

from dservercore import db, sql_db
from dservercore.catalog import groups, users
from dservercore.models import User
from support import certified_provider
from support.environments import made_once
from support.live_server import LiveServer
from support.oidc_provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET
from support.waiting import free_port, wait_until

pytestmark = [certified_provider.needs_node, pytest.mark.long]

TIMEOUT = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the provider, which everybody may come from, and a group ``lab``."""
    folder = made_once(tmp_path_factory, "oidc-provider", certified_provider.install)
    data_dir, address = tmp_path_factory.mktemp("server"), f"http://127.0.0.1:{free_port()}"
    with certified_provider.running(folder, f"{address}/sign-in/certified/callback") as issuer:
        settings = {
            "DSERVER_OIDC_PROVIDERS": "certified",
            "DSERVER_OIDC_CERTIFIED_ISSUER": issuer,
            "DSERVER_OIDC_CERTIFIED_CLIENT_ID": CLIENT_ID,
            "DSERVER_OIDC_CERTIFIED_CLIENT_SECRET": CLIENT_SECRET,
            "DSERVER_OIDC_CERTIFIED_ADMITS": "anyone",
            "DSERVER_OIDC_CERTIFIED_GROUPS_CLAIM": "groups",
            "DSERVER_OIDC_CERTIFIED_AUDIENCE": AUDIENCE,
            "SECRET_KEY": secrets.token_hex(32),
        }
        server = LiveServer(data_dir, settings=settings, program="serve", workers=2)
        server.address = address
        with server.app.app_context():
            groups.add_group("lab")
            users.add_user("robot")
            sql_db.session.execute(update(User).values(is_service=True))
            db.commit()
            sql_db.session.remove()
            sql_db.engine.dispose()
        server.start()
        yield server
        server.stop()


def form_of(page: requests.Response) -> tuple[str, dict[str, str]]:
    """Return where the form of a page leads, and what it sends beside what people fill in."""
    action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    assert action, page.text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return urljoin(page.url, action[1]), fields


def signed_in(server: LiveServer, name: str) -> tuple[requests.Session, requests.Response]:
    """Return a browser whose user has signed in at the provider, and the page that it has come to."""
    browser = requests.Session()
    page = browser.get(f"{server.address}/sign-in/certified", params={"next": "/account"}, timeout=TIMEOUT)
    action, fields = form_of(page)
    page = browser.post(action, data={**fields, "login": name, "password": "any"}, timeout=TIMEOUT)
    action, fields = form_of(page)  # whether the server may know who they are
    return browser, browser.post(action, data=fields, timeout=TIMEOUT)


def is_signed_in(server: LiveServer, browser: requests.Session) -> bool:
    return browser.get(f"{server.address}/auth/token", timeout=TIMEOUT).status_code == 200


def test_somebody_signs_in_and_out_again(server: LiveServer) -> None:
    browser, page = signed_in(server, "olga@example.org")
    assert page.url == f"{server.address}/account"
    assert "olga" in page.text
    assert is_signed_in(server, browser)
    with server.app.app_context():
        user = users.get_user("olga")
        assert user["display_name"] == "olga@example.org of the lab"
        assert users.groups_of(users.key_of_user("olga")) == ["lab"]
        sql_db.session.remove()

    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page.text)
    assert token
    page = browser.post(f"{server.address}/sign-out", data={"csrf_token": token[1]}, timeout=TIMEOUT)
    assert not is_signed_in(server, browser)
    there = re.search(r'href="(http[^"]+id_token_hint[^"]+)"', page.text)
    assert there, page.text
    action, fields = form_of(browser.get(there[1].replace("&amp;", "&"), timeout=TIMEOUT))
    home = browser.post(action, data={**fields, "logout": "yes"}, timeout=TIMEOUT)
    assert home.url.partition("?")[0] == f"{server.address}/"
    again = browser.get(f"{server.address}/sign-in/certified", timeout=TIMEOUT)
    assert "password" in again.text


def test_a_code_is_good_once(server: LiveServer) -> None:
    browser, _ = signed_in(server, "anna")
    again = browser.get(f"{server.address}/sign-in/certified", allow_redirects=False, timeout=TIMEOUT)
    back = browser.get(again.headers["Location"], allow_redirects=False, timeout=TIMEOUT)
    callback = back.headers["Location"]
    assert callback.startswith(server.address)
    assert "iss=" in callback
    kept = browser.cookies.copy()
    first = browser.get(callback, allow_redirects=False, timeout=TIMEOUT)
    assert first.status_code == 303
    browser.cookies = kept
    assert browser.get(callback, allow_redirects=False, timeout=TIMEOUT).status_code == 401


def test_who_signs_out_at_the_provider_is_signed_out_here(server: LiveServer) -> None:
    browser, _page = signed_in(server, "vera")
    issuer = server.settings["DSERVER_OIDC_CERTIFIED_ISSUER"]
    action, fields = form_of(browser.get(f"{issuer}/session/end", timeout=TIMEOUT))
    browser.post(action, data={**fields, "logout": "yes"}, timeout=TIMEOUT)
    wait_until(lambda: not is_signed_in(server, browser), seconds=5)


def test_a_program_comes_with_a_token_of_its_own(server: LiveServer) -> None:
    issuer = server.settings["DSERVER_OIDC_CERTIFIED_ISSUER"]
    asked = {"grant_type": "client_credentials", "resource": "urn:dserver"}
    answer = requests.post(f"{issuer}/token", data=asked, auth=("robot", CLIENT_SECRET), timeout=TIMEOUT)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert requests.get(f"{server.address}/me", headers=headers, timeout=TIMEOUT).status_code == 401
    linked = server.flask("user", "link", "robot", "oidc:certified", "--key", "robot")
    assert linked.returncode == 0, linked.stderr
    me = requests.get(f"{server.address}/me", headers=headers, timeout=TIMEOUT)
    assert me.json()["username"] == "robot"


def test_a_browser_is_not_bound_to_what_another_has_begun(server: LiveServer) -> None:
    browser, _ = signed_in(server, "mallory")
    begun = browser.get(f"{server.address}/sign-in/certified", allow_redirects=False, timeout=TIMEOUT)
    back = browser.get(begun.headers["Location"], allow_redirects=False, timeout=TIMEOUT)
    victim = requests.get(back.headers["Location"], allow_redirects=False, timeout=TIMEOUT)
    assert victim.status_code == 401
    assert "Set-Cookie" not in victim.headers
