"""Access tokens of a provider as bearer tokens: whose they are, and which are none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from dservercore import create_app, db, sql_db
from dservercore.auth.oidc import published
from dservercore.catalog import external_users, users
from dservercore.models import User
from support import oidc_provider
from support.oidc_provider import CLIENT_ID, Provider

from .conftest import Browser

pytestmark = pytest.mark.attack

#: Seconds since the epoch: the same in every process that collects the tests.
PAST, FUTURE = 1_500_000_000, 4_000_000_000

Stored = Callable[[], tuple[list[str], int]]


@pytest.fixture
def ask(client: FlaskClient) -> Callable[[str], TestResponse]:
    """``ask(token)`` gives the answer of ``/me``."""
    return lambda token: client.get("/me", headers={"Authorization": f"Bearer {token}"})


Ask = Callable[[str], TestResponse]


def test_somebody_whom_the_provider_vouches_for_is_registered_once(
    ask: Ask, provider: Provider, stored: Stored
) -> None:
    for _ in range(2):
        answer = ask(provider.access_token())
        assert answer.status_code == 200, answer.text
        assert answer.get_json()["username"] == "olga"
    assert stored() == (["olga"], 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/me/tokens"), ("PUT", "/me/password"), ("PATCH", "/me"), ("DELETE", "/me/sessions")],
)
def test_it_makes_nothing_that_lives_longer_than_the_account_there(
    client: FlaskClient, provider: Provider, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {provider.access_token()}"}
    answer = client.open(path, method=method, headers=headers, json={})
    assert answer.status_code == 403
    assert "provider" in answer.get_json()["message"]


def test_whoever_has_signed_in_is_the_same_user(ask: Ask, browser: Browser, provider: Provider) -> None:
    browser.sign_in()
    assert ask(provider.access_token(preferred_username="anna")).get_json()["username"] == "olga"


def test_several_audiences_and_a_token_from_before_there_was_a_type(ask: Ask, provider: Provider) -> None:
    token = provider.access_token({"typ": "JWT"}, aud=["account", oidc_provider.AUDIENCE], typ="Bearer")
    assert ask(token).status_code == 200
    assert ask(provider.access_token({"typ": None})).status_code == 200
    assert ask(provider.access_token({"typ": "application/at+jwt"})).status_code == 200


def test_a_clock_that_is_ahead_by_seconds(ask: Ask, provider: Provider) -> None:
    assert ask(provider.access_token(iat=int(time.time()) + 20)).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": None},
        {"aud": "another"},
        {"aud": CLIENT_ID},
        {"aud": [CLIENT_ID, oidc_provider.AUDIENCE]},
        {"aud": []},
        {"aud": {"dserver-api": 1}},
        {"exp": None},
        {"exp": PAST},
        {"exp": "never"},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"iat": None},
        {"iat": FUTURE},
        {"nbf": FUTURE},
        {"sub": None},
        {"sub": ""},
        {"sub": ["subject-of-olga"]},
        {"sub": "x" * 256},
        {"nonce": "1"},
        {"at_hash": "1"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"events": {}},
        {"preferred_username": None},
        {"preferred_username": "a/b"},
    ],
    ids=lambda claims: str(claims)[:60],
)
def test_a_token_that_is_none_for_us(
    ask: Ask, provider: Provider, stored: Stored, claims: dict[str, Any]
) -> None:
    assert ask(provider.access_token(**claims)).status_code == 401
    assert stored() == ([], 0)


@pytest.mark.parametrize(
    "header",
    [{"typ": "logout+jwt"}, {"typ": "dpop+jwt"}, {"typ": 7}, {"kid": "other"}, {"alg": "RS1"}, {"alg": None}],
    ids=str,
)
def test_a_token_with_another_header(
    ask: Ask, provider: Provider, stored: Stored, header: dict[str, Any]
) -> None:
    provider.sign = oidc_provider.with_header
    assert ask(provider.access_token(header)).status_code == 401
    assert stored() == ([], 0)


@pytest.mark.parametrize(
    "sign",
    [oidc_provider.unsigned, oidc_provider.signed_with_public_key, oidc_provider.signed_by_somebody],
)
def test_a_token_that_the_provider_has_not_signed(
    ask: Ask, provider: Provider, stored: Stored, sign: Callable[..., str]
) -> None:
    provider.sign = sign
    assert ask(provider.access_token()).status_code == 401
    assert stored() == ([], 0)


def test_an_id_token_is_none(ask: Ask, browser: Browser, provider: Provider) -> None:
    kept: list[str] = []
    provider.sign = lambda header, claims: (
        kept.append(oidc_provider.with_header(header, claims)) or kept[-1]  # type: ignore[func-returns-value]
    )
    assert browser.sign_in().status_code == 303
    assert ask(kept[0]).status_code == 401


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "....", "e30.e30.", "e30.W10.x", "é.é.é", "x" * 5000 + ".e30.x"]
)
def test_what_names_no_provider_is_for_the_library_to_judge(ask: Ask, token: str, app: Flask) -> None:
    plain = {name: value for name, value in app.config.items() if not name.startswith("DSERVER_OIDC")}
    without = create_app(plain).test_client()
    theirs = without.get("/me", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")})
    ours = ask(token.encode().decode("latin-1"))
    assert (ours.status_code, ours.get_json()) == (theirs.status_code, theirs.get_json())


def test_our_own_tokens_are_as_before(ask: Ask, app: Flask, bearer: Callable[[str], dict[str, str]]) -> None:
    with app.app_context():
        users.add_user("anna")
        db.commit()
    assert ask(bearer("anna")["Authorization"].removeprefix("Bearer ")).get_json()["username"] == "anna"


def test_a_token_from_before_a_revocation(ask: Ask, app: Flask, provider: Provider) -> None:
    token = provider.access_token()
    assert ask(token).status_code == 200
    with app.app_context():
        sql_db.session.execute(update(User).values(tokens_since=int(time.time())))
        db.commit()
    assert ask(token).status_code == 401


def test_a_token_from_before_a_revocation_by_a_clock_that_is_ahead(
    ask: Ask, app: Flask, provider: Provider
) -> None:
    token = provider.access_token(iat=int(time.time()) + 20)
    assert ask(token).status_code == 200
    with app.app_context():
        sql_db.session.execute(update(User).values(tokens_since=int(time.time())))
        db.commit()
    assert ask(token).status_code == 401


def test_a_refusal_is_like_that_of_any_other_token(ask: Ask, provider: Provider) -> None:
    refused = ask(provider.access_token(exp=1)).get_json()
    assert refused == {"msg": refused["message"], "message": "The access token is not good, or has expired"}


def test_a_provider_that_is_away_stops_only_those_whose_keys_are_not_known(
    ask: Ask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "PAUSE_SECONDS", 0.0)
    provider.answers["keys"] = lambda: ("", 500)
    assert ask(provider.access_token()).status_code == 503
    del provider.answers["keys"]
    assert ask(provider.access_token()).status_code == 200
    provider.answers["keys"] = lambda: ("", 500)
    monkeypatch.setattr(published, "LIFETIME_SECONDS", 0.0)
    assert ask(provider.access_token()).status_code == 200
    assert ask(provider.access_token({"kid": "ec", "alg": "ES256"})).status_code == 401


def test_made_up_keys_are_not_asked_for_again_and_again(ask: Ask, provider: Provider) -> None:
    assert ask(provider.access_token()).status_code == 200
    number = len(provider.asked)
    provider.sign = oidc_provider.with_header
    for i in range(10):
        assert ask(provider.access_token({"kid": f"made up {i}"})).status_code == 401
    assert len(provider.asked) == number


class TestServiceAccounts:
    """Programs with credentials at the provider: an administrator says which account theirs is."""

    @pytest.fixture
    def robot(self, app: Flask) -> None:
        with app.app_context():
            users.add_user("robot")
            sql_db.session.execute(update(User).values(is_service=True))
            db.commit()

    def test_one_that_is_linked(self, app: Flask, ask: Ask, provider: Provider, robot: None) -> None:
        with app.app_context():
            external_users.link("robot", "oidc:lab", "subject-of-robot")
            db.commit()
        token = provider.access_token(sub="subject-of-robot", preferred_username=None)
        assert ask(token).get_json()["username"] == "robot"

    def test_one_that_is_not(self, ask: Ask, provider: Provider, robot: None) -> None:
        token = provider.access_token(sub="subject-of-robot", preferred_username="robot")
        assert ask(token).status_code == 401

    def test_it_does_not_sign_in(
        self, app: Flask, browser: Browser, provider: Provider, robot: None, stored: Stored
    ) -> None:
        with app.app_context():
            external_users.link("robot", "oidc:lab", "subject-of-robot")
            db.commit()
        provider.claims = {"sub": "subject-of-robot", "preferred_username": "robot"}
        assert browser.sign_in().status_code == 401
        assert stored() == (["robot"], 0)


class TestOfGroups:
    @pytest.fixture
    def ends(self) -> dict[str, str]:
        return {
            "ADMITS": "group",
            "ADMITTED_GROUPS": "lab",
            "GROUPS_CLAIM": "groups",
            "AUDIENCE": oidc_provider.AUDIENCE,
        }

    def test_who_is_in_one_now(self, ask: Ask, provider: Provider, stored: Stored) -> None:
        assert ask(provider.access_token()).status_code == 401
        assert stored() == ([], 0)
        assert ask(provider.access_token(groups=["lab"])).status_code == 200
        assert ask(provider.access_token()).status_code == 401
        assert ask(provider.access_token(groups=["other"])).status_code == 401


class TestWithoutAudience:
    @pytest.fixture
    def ends(self) -> dict[str, str]:
        return {"ADMITS": "anyone"}

    def test_no_token_is_taken(self, ask: Ask, provider: Provider, stored: Stored) -> None:
        for audience in (oidc_provider.AUDIENCE, "", None, CLIENT_ID):
            assert ask(provider.access_token(aud=audience)).status_code == 422
        assert stored() == ([], 0)


class TestOfShortLife:
    @pytest.fixture
    def config(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "DSERVER_MAX_TOKEN_LIFETIME": 100}

    def test_a_token_that_works_for_too_long(self, ask: Ask, provider: Provider) -> None:
        now = int(time.time())
        assert ask(provider.access_token(exp=now + 90)).status_code == 200
        assert ask(provider.access_token(exp=now + 3600)).status_code == 401
        assert ask(provider.access_token(exp=10**400, iat=now - 0.5)).status_code == 401


class TestWithoutPages:
    @pytest.fixture
    def config(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "DSERVER_WEB": False}

    def test_tokens_are_taken_and_nobody_signs_in(
        self, ask: Ask, client: FlaskClient, provider: Provider
    ) -> None:
        assert ask(provider.access_token()).status_code == 200
        assert client.get("/sign-in/lab").status_code == 404
