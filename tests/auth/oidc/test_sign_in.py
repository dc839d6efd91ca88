"""Signing in with a provider of OpenID Connect: what an honest one makes of a browser, and that no other one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import OctKey

from dservercore import db
from dservercore.auth.oidc import outgoing, published
from dservercore.catalog import external_users, groups, users
from support import oidc_provider
from support.oidc_provider import Provider
from support.world import ADMIN

from .conftest import Browser

pytestmark = pytest.mark.attack

#: Seconds since the epoch: the same in every process that collects the tests.
FUTURE = 4_000_000_000

Stored = Callable[[], tuple[list[str], int]]


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class TestHonest:
    def test_somebody_signs_in_and_is_led_to_where_they_wanted_to_go(
        self, browser: Browser, stored: Stored, app: Flask
    ) -> None:
        answer = browser.sign_in()
        assert (answer.status_code, answer.location) == (303, "/account")
        assert browser.is_signed_in()
        assert stored() == (["olga"], 1)
        with app.app_context():
            assert users.get_user("olga")["display_name"] == "Olga O."
            assert not users.get_user("olga")["is_admin"]

    def test_what_the_provider_is_asked_for(self, browser: Browser, provider: Provider) -> None:
        url = browser.begin()
        query = query_of(url)
        assert url.startswith(f"{provider.issuer}/authorize?")
        assert query["redirect_uri"] == "http://localhost/sign-in/lab/callback"
        assert query["scope"] == "openid profile email"
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert len(query["state"]) > 40
        assert len(query["nonce"]) > 40
        again = query_of(browser.begin())
        assert not {again["state"], again["nonce"], again["code_challenge"]} & set(query.values())

    def test_the_cookie_tells_nobody_else_and_is_gone_afterwards(self, browser: Browser) -> None:
        answer = browser.client.get("/sign-in/lab", base_url="https://localhost")
        (cookie,) = answer.headers.getlist("Set-Cookie")
        assert cookie.startswith("__Host-dserver_oidc=")
        for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"):
            assert part in cookie.split("; "), part
        assert answer.headers["Cache-Control"] == "no-store"
        browser.sign_in()
        assert browser.client.get_cookie("dserver_oidc") is None

    def test_the_tokens_of_the_provider_stay_here(self, browser: Browser, provider: Provider) -> None:
        provider.claims = {"preferred_username": None}  # so that its other token is used, too
        provider.userinfo = {"sub": "subject-of-olga", "preferred_username": "olga"}
        made: list[str] = []

        def sign(header: dict[str, Any], claims: dict[str, Any]) -> str:
            made.append(oidc_provider.with_header(header, claims))
            return made[-1]

        provider.sign = sign
        answers = [browser.sign_in(), *(browser.client.get(path) for path in ("/account", "/auth/token"))]
        assert [answer.status_code for answer in answers] == [303, 200, 200]
        shown = "".join(str(answer.headers) + answer.text for answer in answers)
        assert len(made) == 1
        assert made[0] not in shown
        assert "for-user-info" not in shown

    @pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
    def test_each_kind_of_key(self, browser: Browser, provider: Provider, key: str) -> None:
        provider.published = ["other", key]
        provider.header = {"kid": key, "alg": {"rsa": "PS256", "ec": "ES256", "ed": "EdDSA"}[key]}
        assert browser.sign_in().status_code == 303

    def test_the_only_key_need_not_be_named(self, browser: Browser, provider: Provider) -> None:
        provider.header = {"kid": None}
        assert browser.sign_in().status_code == 303

    def test_a_clock_that_differs_by_seconds(self, browser: Browser, provider: Provider) -> None:
        now = int(time.time())
        provider.claims = {"iat": now + 20, "nbf": now + 20, "exp": now - 10}
        assert browser.sign_in().status_code == 303

    def test_the_same_somebody_is_the_same_user_whatever_they_are_called(
        self, browser: Browser, provider: Provider, stored: Stored
    ) -> None:
        browser.sign_in()
        provider.claims = {"preferred_username": "olga-married"}
        browser.sign_in()
        assert stored() == (["olga"], 1)

    def test_what_the_id_token_lacks_is_in_the_user_info(
        self, browser: Browser, provider: Provider, stored: Stored
    ) -> None:
        provider.claims = {"preferred_username": None, "name": None}
        provider.userinfo = {"sub": "subject-of-olga", "preferred_username": "olga"}
        assert browser.sign_in().status_code == 303
        assert stored()[0] == ["olga"]

    def test_keys_that_change_are_fetched_and_not_at_every_word(
        self, browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser.sign_in()
        provider.published, provider.header = ["ec"], {"kid": "ec", "alg": "ES256"}
        assert browser.sign_in().status_code == 503  # too soon after the last time
        monkeypatch.setattr(published, "PAUSE_SECONDS", 0.0)
        assert browser.sign_in().status_code == 303
        monkeypatch.undo()
        number = provider.asked.count("keys")
        provider.header, provider.sign = {"kid": "none-of-these"}, oidc_provider.signed_by_somebody
        assert [browser.sign_in().status_code for _ in range(5)] == [503] * 5
        assert provider.asked.count("keys") == number

    def test_who_is_known_signs_in_by_keys_that_are_known_while_they_cannot_be_fetched(
        self, browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser.sign_in()
        monkeypatch.setattr(published, "LIFETIME_SECONDS", 0.0)
        monkeypatch.setattr(published, "PAUSE_SECONDS", 0.0)
        for path in ("keys", ".well-known/openid-configuration"):
            provider.answers[path] = lambda: ("", 500)
        assert browser.sign_in().status_code == 303
        assert provider.asked.count("keys") > 1

    def test_signing_out_leads_to_the_provider(self, browser: Browser, provider: Provider) -> None:
        browser.sign_in()
        page = browser.client.get("/account").text
        token = page.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
        left = browser.client.post("/sign-out", data={"csrf_token": token})
        assert f"{provider.issuer}/bye?" in left.text
        assert "id_token_hint=" in left.text
        assert "post_logout_redirect_uri=http" in left.text
        assert not browser.is_signed_in()

    def test_the_page_to_sign_in_offers_it(self, client: FlaskClient) -> None:
        page = client.get("/sign-in").text
        assert "Lab" in page
        assert "/sign-in/lab" in page


class TestRefused:
    """Nobody is signed in, and nobody is registered."""

    @pytest.fixture(autouse=True)
    def nothing_happens(self, browser: Browser, stored: Stored) -> Any:
        yield
        assert stored() == ([], 0)
        assert not browser.is_signed_in()

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "made-up"},
            {"state": None},
            {"code": "made-up"},
            {"code": None},
            {"code": ""},
            {"code": "x" * 10_000},
            {"iss": "https://somebody.else.example"},
            {"iss": ""},
            {"error": "access_denied"},
            {"error": "access_denied", "code": None},
        ],
        ids=str,
    )
    def test_an_answer_that_is_not_the_one_to_this_sign_in(
        self, browser: Browser, changes: dict[str, str | None]
    ) -> None:
        refused = browser.come_back(browser.begin(), **changes)
        assert refused.status_code == 401
        assert "made-up" not in refused.text
        assert "denied" not in refused.text

    def test_an_answer_without_issuer_of_a_provider_that_promises_one(
        self, browser: Browser, provider: Provider
    ) -> None:
        provider.document = {"authorization_response_iss_parameter_supported": True}
        assert browser.sign_in().status_code == 401

    def test_two_states(self, browser: Browser, provider: Provider) -> None:
        url = browser.begin()
        query = [("state", query_of(url)["state"]), ("state", "2"), ("code", provider.code_for(url))]
        assert browser.client.get("/sign-in/lab/callback", query_string=query).status_code == 401

    def test_a_browser_that_has_not_begun(self, browser: Browser, app: Flask) -> None:
        url = browser.begin()
        assert Browser(app.test_client(), browser._provider).come_back(url).status_code == 401

    def test_a_cookie_that_somebody_has_made(self, browser: Browser) -> None:
        url = browser.begin()
        cookie = browser.client.get_cookie("dserver_oidc")
        assert cookie is not None
        for made_up in (cookie.value[:-3] + "abc", "", "x.y.z", "é" * 10, "x" * 5000):
            browser.client.set_cookie("dserver_oidc", made_up)
            assert browser.come_back(url).status_code == 401

    def test_a_sign_in_that_takes_too_long(self, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
        url = browser.begin()
        now = time.time()
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 601)
        answer = browser.come_back(url)
        monkeypatch.undo()
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "claims",
        [
            {"nonce": "another"},
            {"nonce": None},
            {"iss": "https://somebody.else.example"},
            {"iss": None},
            {"iss": ["a", "b"]},
            {"aud": "another"},
            {"aud": None},
            {"aud": []},
            {"aud": ["another"]},
            {"aud": [oidc_provider.CLIENT_ID, "another"]},
            {"aud": [oidc_provider.CLIENT_ID, "another"], "azp": "another"},
            {"azp": "another"},
            {"exp": 1},
            {"exp": None},
            {"exp": "tomorrow"},
            {"exp": float("nan")},
            {"exp": float("inf")},
            {"exp": True},
            {"iat": FUTURE},
            {"iat": None},
            {"nbf": FUTURE},
            {"sub": None},
            {"sub": ""},
            {"sub": 7},
            {"sub": "x" * 256},
            {"sub": "a\0b"},
            {"at_hash": "b3RoZXI"},
            {"preferred_username": None},
            {"preferred_username": ["olga"]},
            {"preferred_username": "../olga"},
            {"preferred_username": "ol\0ga"},
            {"preferred_username": "x" * 1000},
        ],
        ids=lambda claims: str(claims)[:60],
    )
    def test_a_token_that_says_what_it_should_not(
        self, browser: Browser, provider: Provider, claims: dict[str, Any]
    ) -> None:
        provider.claims = claims
        refused = browser.sign_in()
        assert refused.status_code in (401, 503)
        assert "Lab does not answer as it should" in refused.text or refused.status_code == 401

    @pytest.mark.parametrize(
        "sign",
        [
            oidc_provider.unsigned,
            oidc_provider.signed_with_public_key,
            oidc_provider.signed_by_somebody,
            lambda header, claims: oidc_provider.signed_by_somebody(header, claims).rpartition(".")[0] + ".",
            lambda header, claims: "no token",
            lambda header, claims: "a.b.c",
            lambda header, claims: "." * 3,
            lambda header, claims: "x" * 100_000,
        ],
    )
    def test_a_token_that_it_has_not_signed(
        self, browser: Browser, provider: Provider, sign: Callable[..., str]
    ) -> None:
        provider.sign = sign
        assert browser.sign_in().status_code == 503

    @pytest.mark.parametrize(
        ("changes", "alg"),
        [({"alg": "PS256"}, "RS256"), ({"alg": "RS256"}, "PS256"), ({"use": "enc"}, "RS256")],
        ids=str,
    )
    def test_a_token_for_which_its_key_is_not_meant(
        self, browser: Browser, provider: Provider, changes: dict[str, str], alg: str
    ) -> None:
        key = oidc_provider.KEYS["rsa"].as_dict(private=False) | changes
        provider.answers["keys"] = lambda: {"keys": [key]}
        provider.header = {"alg": alg}
        assert browser.sign_in().status_code == 503

    def test_a_shared_secret_among_its_keys(self, browser: Browser, provider: Provider) -> None:
        secret = OctKey.generate_key(256, {"kid": "rsa"})
        key = oidc_provider.KEYS["rsa"].as_dict(private=False)
        provider.answers["keys"] = lambda: {"keys": [secret.as_dict(private=True), key]}
        provider.sign = lambda header, claims: jwt.encode(
            {**header, "alg": "HS256"}, claims, secret, algorithms=["HS256"]
        )
        assert browser.sign_in().status_code == 503

    @pytest.mark.parametrize("name", ["ol\0ga", "ol\ud800ga"], ids=ascii)
    def test_a_name_that_no_database_can_be_asked_for(
        self, browser: Browser, provider: Provider, name: str
    ) -> None:
        provider.claims, provider.sign = {"preferred_username": name}, oidc_provider.with_header
        assert browser.sign_in().status_code == 401

    @pytest.mark.parametrize(
        "header", [{"kid": "other"}, {"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}], ids=str
    )
    def test_a_token_with_a_header_that_is_not_understood(
        self, browser: Browser, provider: Provider, header: dict[str, Any]
    ) -> None:
        provider.header, provider.sign = header, oidc_provider.with_header
        assert browser.sign_in().status_code == 503

    def test_a_token_that_does_not_say_which_of_two_keys_is_its(
        self, browser: Browser, provider: Provider
    ) -> None:
        provider.published, provider.header = ["rsa", "ec"], {"kid": None}
        assert browser.sign_in().status_code == 503

    @pytest.mark.parametrize("token", [{"id_token": None}, {"id_token": 7}, {"id_token": ""}], ids=str)
    def test_no_token(self, browser: Browser, provider: Provider, token: dict[str, Any]) -> None:
        provider.token = token
        assert browser.sign_in().status_code == 503

    @pytest.mark.parametrize(
        "document",
        [
            {"issuer": "https://somebody.else.example"},
            {"issuer": None},
            {"token_endpoint": None},
            {"token_endpoint": "http://somebody.else.example/token"},
            {"jwks_uri": "http://10.0.0.1/keys"},
            {"jwks_uri": "file:///etc/passwd"},
            {"authorization_endpoint": "javascript:alert(1)"},
            {"authorization_endpoint": ["https://a.example"]},
        ],
        ids=str,
    )
    def test_a_document_that_is_not_its_own(
        self, browser: Browser, provider: Provider, document: dict[str, Any]
    ) -> None:
        provider.document = document
        assert browser.client.get("/sign-in/lab").status_code == 503

    @pytest.mark.parametrize("path", [".well-known/openid-configuration", "keys", "token"])
    @pytest.mark.parametrize(
        "body",
        [
            "",
            "no JSON",
            "[]",
            "null",
            "[" * 100_000,
            '{"keys": 7, "id_token": {}}',
            '{"keys": [7, {}, {"kty": "oct", "k": "eA"}, {"kty": "RSA", "n": 7}, {"kty": "EC", "crv": "P-1"}]}',
            b"\xff\xfe",
            "x" * (outgoing.MAX_BYTES + 1),
        ],
        ids=lambda body: str(body[:30]),
    )
    def test_an_answer_that_is_none(
        self, browser: Browser, provider: Provider, path: str, body: str | bytes
    ) -> None:
        provider.answers[path] = lambda: Response(body, content_type="application/json")
        answer = browser.client.get("/sign-in/lab")
        if answer.status_code == 303:
            answer = browser.come_back(answer.location)
        assert answer.status_code == 503

    @pytest.mark.parametrize("path", [".well-known/openid-configuration", "keys", "token"])
    def test_one_that_fails(self, browser: Browser, provider: Provider, path: str) -> None:
        provider.answers[path] = lambda: Response("{}", 502, content_type="application/json")
        answer = browser.client.get("/sign-in/lab")
        if answer.status_code == 303:
            answer = browser.come_back(answer.location)
        assert answer.status_code == 503

    @pytest.mark.parametrize("path", [".well-known/openid-configuration", "keys", "token"])
    def test_a_redirect_is_not_followed(self, browser: Browser, provider: Provider, path: str) -> None:
        provider.answers[path] = lambda: Response(
            status=307, headers={"Location": f"{provider.issuer}/elsewhere"}
        )
        answer = browser.client.get("/sign-in/lab")
        if answer.status_code == 303:
            answer = browser.come_back(answer.location)
        assert answer.status_code == 503
        assert "elsewhere" not in provider.asked

    @pytest.mark.parametrize("path", [".well-known/openid-configuration", "token"])
    def test_one_that_takes_too_long(
        self, browser: Browser, provider: Provider, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outgoing, "READ_SECONDS", 0.3)
        over = threading.Event()
        provider.answers[path] = lambda: (over.wait(60), "")[1]
        answer = browser.client.get("/sign-in/lab")
        if answer.status_code == 303:
            answer = browser.come_back(answer.location)
        over.set()
        assert answer.status_code == 503

    def test_one_that_answers_by_drops(
        self, browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outgoing, "WHOLE_SECONDS", 0.5)

        def drops() -> Response:
            return Response((time.sleep(0.1) or b" " for _ in range(600)), content_type="application/json")

        provider.answers["keys"] = drops
        assert browser.sign_in().status_code == 503

    def test_an_answer_that_grows_when_it_is_unpacked(self, browser: Browser, provider: Provider) -> None:
        provider.answers["token"] = lambda: Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
        assert browser.sign_in().status_code == 503

    def test_user_info_of_somebody_else(self, browser: Browser, provider: Provider) -> None:
        provider.claims = {"preferred_username": None}
        provider.userinfo = {"sub": "subject-of-anna", "preferred_username": "anna"}
        assert browser.sign_in().status_code == 503

    def test_a_provider_that_there_is_not(self, browser: Browser) -> None:
        for path in ("/sign-in/another", "/sign-in/another/callback?code=1&state=2"):
            assert browser.client.get(path).status_code == 404
        assert browser.client.post("/sign-in/another/backchannel-logout").status_code == 404


def test_a_sign_in_ends_once_whatever_the_provider_makes_of_its_code(
    browser: Browser, provider: Provider, stored: Stored
) -> None:
    provider.takes_codes_twice = True
    url = browser.begin()
    cookie = browser.client.get_cookie("dserver_oidc")
    code = provider.code_for(url)
    assert cookie is not None
    assert browser.come_back(url, code=code).status_code == 303
    browser.client.set_cookie("dserver_oidc", cookie.value)
    assert browser.come_back(url, code=code).status_code == 401
    assert stored()[1] == 1


def test_the_page_does_not_say_who_else_there_is(
    app: Flask, browser: Browser, provider: Provider, stored: Stored
) -> None:
    with app.app_context():
        users.add_user(ADMIN, is_admin=True)
        users.add_user("olga")
        db.commit()
    messages = set()
    for name in (ADMIN, "olga", "OLGA", "a/b"):
        provider.claims = {"preferred_username": name, "sub": f"subject of {name}"}
        refused = browser.sign_in()
        assert refused.status_code == 401
        messages.add(refused.get_json()["message"])
    assert messages == {"You may not use this server, as far as it knows you: ask an administrator"}
    assert stored() == ([ADMIN, "olga"], 0)


class TestOfGroups:
    @pytest.fixture
    def ends(self) -> dict[str, str]:
        return {
            "ADMITS": "group",
            "ADMITTED_GROUPS": "lab, guests",
            "ADMIN_GROUPS": "lab-admins",
            "GROUPS_CLAIM": "realm_access.roles",
        }

    def test_whoever_is_in_one_comes_and_is_in_those_of_the_same_name_here(
        self, app: Flask, browser: Browser, provider: Provider
    ) -> None:
        with app.app_context():
            groups.put_group("lab")
            groups.put_group("kitchen")
            db.commit()
        provider.claims = {"realm_access": {"roles": ["lab", "lab-admins", "nowhere"]}}
        assert browser.sign_in().status_code == 303
        with app.app_context():
            assert users.get_user("olga")["is_admin"]
            assert users.groups_of(users.key_of_user("olga")) == ["lab"]
        provider.claims = {"realm_access": {"roles": ["kitchen", "guests"]}}
        assert browser.sign_in().status_code == 303
        with app.app_context():
            assert not users.get_user("olga")["is_admin"]
            assert users.groups_of(users.key_of_user("olga")) == ["kitchen"]

    @pytest.mark.parametrize(
        "claims",
        [
            {},
            {"realm_access": None},
            {"realm_access": "lab"},
            {"realm_access": {"roles": "lab-admins"}},
            {"realm_access": {"roles": ["LAB"]}},
            {"realm_access": {"roles": [["lab"], 7, None]}},
            {"realm_access": {"roles": {"lab": True}}},
            {"roles": ["lab"]},
        ],
        ids=str,
    )
    def test_whoever_is_in_none_does_not(
        self, browser: Browser, provider: Provider, stored: Stored, claims: dict[str, Any]
    ) -> None:
        provider.claims = claims
        assert browser.sign_in().status_code == 401
        assert stored() == ([], 0)

    def test_a_group_of_which_no_database_can_be_asked_is_none(
        self, browser: Browser, provider: Provider
    ) -> None:
        roles = ["lab", "a\0b", "\ud800"]
        provider.claims, provider.sign = {"realm_access": {"roles": roles}}, oidc_provider.with_header
        assert browser.sign_in().status_code == 303

    def test_whoever_is_no_longer_in_one_comes_no_longer(self, browser: Browser, provider: Provider) -> None:
        provider.claims = {"realm_access": {"roles": ["lab"]}}
        assert browser.sign_in().status_code == 303
        provider.claims = {"realm_access": {"roles": []}}
        assert browser.sign_in().status_code == 401


class TestOfTheKnown:
    @pytest.fixture
    def ends(self) -> dict[str, str]:
        return {"ADMITS": "known", "USERNAME_CLAIM": "https://lab.example/name"}

    def test_whom_an_administrator_has_added(
        self, app: Flask, browser: Browser, provider: Provider, stored: Stored
    ) -> None:
        provider.claims = {"https://lab.example/name": "olga"}
        assert browser.sign_in().status_code == 401
        assert stored() == ([], 0)
        with app.app_context():
            users.add_user("olga")
            db.commit()
        assert browser.sign_in().status_code == 303
        # From now on, olga is that somebody, and nobody else of that name.
        provider.claims["sub"] = "another"
        assert browser.sign_in().status_code == 401
        assert stored() == (["olga"], 1)

    def test_an_administrator_only_if_it_was_said_who_that_is(
        self, app: Flask, browser: Browser, provider: Provider
    ) -> None:
        with app.app_context():
            users.add_user(ADMIN, is_admin=True)
            db.commit()
        provider.claims = {"https://lab.example/name": ADMIN}
        assert browser.sign_in().status_code == 401
        with app.app_context():
            external_users.link(ADMIN, "oidc:lab")
            db.commit()
        assert browser.sign_in().status_code == 303


@pytest.fixture(scope="module")
def new_rogue() -> Iterator[Callable[[], Provider]]:
    with oidc_provider.provider() as new:
        yield new


class TestOfTwo:
    """There is another provider, ``rogue``, which would like to speak for the users of ``lab``."""

    @pytest.fixture
    def rogue(self, new_rogue: Callable[[], Provider]) -> Provider:
        rogue = new_rogue()
        rogue.published, rogue.header = ["other"], {"kid": "other"}
        return rogue

    @pytest.fixture
    def config(self, config: dict[str, Any], rogue: Provider) -> dict[str, Any]:
        ends = {"ADMITS": "anyone", "AUDIENCE": oidc_provider.AUDIENCE}
        return {
            **config,
            **oidc_provider.settings(rogue, "rogue", **ends),
            "DSERVER_OIDC_PROVIDERS": "lab,rogue",
        }

    def come_from_rogue(self, browser: Browser, rogue: Provider) -> int:
        url = str(browser.client.get("/sign-in/rogue").location)
        answer = {"code": rogue.code_for(url), "state": query_of(url)["state"]}
        return browser.client.get("/sign-in/rogue/callback", query_string=answer).status_code

    def test_a_subject_is_that_of_its_provider(
        self, browser: Browser, rogue: Provider, stored: Stored
    ) -> None:
        browser.sign_in()
        assert self.come_from_rogue(browser, rogue) == 401  # its olga is not this one
        rogue.claims = {"preferred_username": "another"}
        assert self.come_from_rogue(browser, rogue) == 303
        assert stored()[0] == ["another", "olga"]

    def test_a_sign_in_ends_where_it_has_begun(self, browser: Browser, rogue: Provider) -> None:
        url = browser.begin()
        answer = {"code": rogue.code_for(url), "state": query_of(url)["state"]}
        assert browser.client.get("/sign-in/rogue/callback", query_string=answer).status_code == 401
        assert "token" not in rogue.asked

    def test_nor_does_it_speak_in_the_name_of_the_other(
        self, browser: Browser, provider: Provider, rogue: Provider
    ) -> None:
        rogue.claims = {"iss": provider.issuer}
        assert self.come_from_rogue(browser, rogue) == 503
        rogue.document = {"jwks_uri": f"{provider.issuer}/keys"}
        rogue.sign = lambda header, claims: provider.signed(claims)  # a token that it has from there
        assert self.come_from_rogue(browser, rogue) == 503
        token = provider.access_token({"kid": "other"})
        headers = {"Authorization": f"Bearer {token}"}
        assert browser.client.get("/me", headers=headers).status_code == 401

    def test_nor_does_it_end_sessions_of_the_other(
        self, browser: Browser, provider: Provider, rogue: Provider
    ) -> None:
        browser.sign_in()
        token = rogue.logout_token({"kid": "other"})
        for name, status in (("rogue", 200), ("lab", 400)):
            answer = browser.client.post(f"/sign-in/{name}/backchannel-logout", data={"logout_token": token})
            assert answer.status_code == status
        token = rogue.logout_token({"kid": "other"}, iss=provider.issuer)
        answer = browser.client.post("/sign-in/lab/backchannel-logout", data={"logout_token": token})
        assert answer.status_code == 400
        assert browser.is_signed_in()


class TestEndedByTheProvider:
    def test_all_sessions_of_the_user_end(self, browser: Browser, provider: Provider) -> None:
        browser.sign_in()
        form = {"logout_token": provider.logout_token()}
        assert browser.client.post("/sign-in/lab/backchannel-logout", data=form).status_code == 200
        assert not browser.is_signed_in()

    @pytest.mark.parametrize(
        "claims",
        [
            {"sub": "somebody-else"},
            {"events": {}},
            {"events": None},
            {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
            {"nonce": "1"},
            {"aud": "another"},
            {"iss": "https://somebody.else.example"},
            {"exp": 1},
            {"exp": None},
            {"iat": FUTURE},
        ],
        ids=str,
    )
    def test_they_do_not_by_another_token(
        self, browser: Browser, provider: Provider, claims: dict[str, Any]
    ) -> None:
        browser.sign_in()
        form = {"logout_token": provider.logout_token(**claims)}
        answer = browser.client.post("/sign-in/lab/backchannel-logout", data=form)
        assert answer.status_code == (200 if "sub" in claims else 400)
        assert browser.is_signed_in()

    @pytest.mark.parametrize("form", [{}, {"logout_token": ""}, {"logout_token": "a.b.c"}], ids=str)
    def test_nor_by_none(self, browser: Browser, form: dict[str, str]) -> None:
        browser.sign_in()
        assert browser.client.post("/sign-in/lab/backchannel-logout", data=form).status_code == 400
        assert browser.is_signed_in()


@pytest.mark.parametrize(
    ("site", "is_sent_on"),
    [
        (None, True),
        ("none", True),
        ("same-origin", True),
        ("same-site", False),
        ("cross-site", False),
        ("x", False),
    ],
)
def test_who_comes_from_another_site_has_to_press_the_button(
    browser: Browser, provider: Provider, site: str | None, is_sent_on: bool
) -> None:
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    answer = browser.client.get("/sign-in/lab?next=/account", headers=headers)
    assert answer.status_code == 303
    if is_sent_on:
        assert answer.location.startswith(f"{provider.issuer}/authorize?")
    else:
        assert answer.location == "/sign-in?next=%2Faccount"
        assert "Set-Cookie" not in answer.headers
