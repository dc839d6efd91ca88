"""Signing in with a browser: sessions and their cookies, passwords, links, and how often somebody may try."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token
from sqlalchemy import func, select, update

from dservercore import create_app, sql_db
from dservercore.auth import passwords as checkers
from dservercore.auth import sign_in
from dservercore.catalog import (
    attempts,
    audit,
    last_use,
    login_links,
    passwords,
    personal_tokens,
    sessions,
    users,
)
from dservercore.catalog.sessions import Client, Limits
from dservercore.errors import ConflictError, TooManyAttemptsError, UnavailableError, ValidationError
from dservercore.models import ADDRESS_LENGTH, BrowserSession, LoginLink, PersonalToken, SignInAttempt, User
from support.databases import new_database
from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins

pytestmark = pytest.mark.attack

ALICE, BOB, ROBOT, ROOT = "alice", "bob", "robot", "root"
PASSWORD, OTHER_PASSWORD = "five tall ships at sea", "seven grey owls in a row"
SITE = "https://lookup.example.org"
PLAIN, SECURE = "dserver_session", "__Host-dserver_session"
DATABASES = ["sqlite", *(pytest.param(name, marks=pytest.mark.long) for name in ("postgresql", "mariadb"))]
LIMITS = Limits(idle=8 * 3600, lifetime=7 * 86400)

_session, _attempt, _user, _link = (
    model.__table__ for model in (BrowserSession, SignInAttempt, User, LoginLink)
)


@contextmanager
def stores(kind: str, directory: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of an empty database, and of plugins that work beside it."""
    if kind == "sqlite":
        yield {"SQLALCHEMY_DATABASE_URI": f"sqlite:///{directory / 'app.db'}"}
        return
    with new_database(kind) as address:
        plugins = {}
        if kind == "mariadb":
            mongod: Mongod = request.getfixturevalue("mongod")
            plugins = mongo_plugins(mongod.uri, f"sign_in_{uuid.uuid4().hex}")
        yield {"SQLALCHEMY_DATABASE_URI": address, **plugins}


@pytest.fixture(scope="module", params=DATABASES)
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    with stores(request.param, tmp_path_factory.mktemp("sign-in"), request) as settings:
        yield settings


@pytest.fixture(scope="module")
def settings(databases: dict[str, str], key_pair: tuple[Path, Path]) -> dict[str, Any]:
    private, public = (path.read_text() for path in key_pair)
    return {
        "SECRET_KEY": "for tests alone",
        **databases,
        "JWT_PRIVATE_KEY": private,
        "JWT_PUBLIC_KEY": public,
        "DSERVER_CORS_ORIGINS": SITE,
    }


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    """What is stored of passwords, made once."""
    return {password: passwords._hash(password) for password in (PASSWORD, OTHER_PASSWORD)}


@pytest.fixture(scope="module")
def shared_app(settings: dict[str, Any]) -> Iterator[Flask]:
    app = create_app(settings)
    with app.app_context():
        sql_db.create_all()
        for name in (ALICE, BOB, ROBOT):
            users.add_user(name)
        users.add_user(ROOT, is_admin=True)
        sql_db.session.execute(update(_user).where(_user.c.username == ROBOT).values(is_service=True))
        sql_db.session.commit()
    yield app
    with app.app_context():
        sql_db.engine.dispose()


@pytest.fixture
def app(shared_app: Flask, hashes: dict[str, str]) -> Flask:
    """The application, in which nobody has signed in yet, and all but BOB have a password."""
    with shared_app.app_context():
        for table in (_session, _attempt, _link):
            sql_db.session.execute(table.delete())
        sql_db.session.execute(
            update(_user).values(password_hash=hashes[PASSWORD], tokens_since=None, source=None)
        )
        sql_db.session.execute(update(_user).where(_user.c.username == BOB).values(password_hash=None))
        sql_db.session.commit()
    return shared_app


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


def sign_in_at(client: FlaskClient, username: str = ALICE, password: str = PASSWORD, **options: Any) -> Any:
    return client.post("/auth/token", json={"username": username, "password": password}, **options)


def cookie_of(answer: Any) -> tuple[str, str, str]:
    """Return the name, the value and the attributes of the session's cookie."""
    [header] = [line for line in answer.headers.getlist("Set-Cookie") if "dserver_session" in line]
    name, _, rest = header.partition("=")
    value, _, attributes = rest.partition(";")
    return name, value, attributes


def bearer(app: Flask, username: str) -> dict[str, str]:
    with app.app_context():
        return {"Authorization": f"Bearer {create_access_token(username)}"}


def change(app: Flask, statement: Any) -> None:
    with app.app_context():
        sql_db.session.execute(statement)
        sql_db.session.commit()


class TestPasswords:
    def test_bring_a_token_and_a_session(self, browser: FlaskClient) -> None:
        answer = sign_in_at(browser)
        assert answer.status_code == 200
        headers = {"Authorization": f"Bearer {answer.json['token']}"}
        assert browser.get("/me", headers=headers).json["username"] == ALICE
        again = browser.get("/auth/token")
        assert again.status_code == 200
        assert again.headers["Cache-Control"] == answer.headers["Cache-Control"] == "no-store"
        assert browser.get("/me").status_code == 401, "the API takes no session"

    @pytest.mark.parametrize(
        ("username", "password"),
        [
            (ALICE, PASSWORD + " "),
            (ALICE, PASSWORD.upper()),
            (ALICE, ""),
            (ALICE, "x" * 5000),
            (ALICE + " ", PASSWORD),
            (ALICE.upper(), PASSWORD),
            (BOB, PASSWORD),
            (BOB, ""),
            (ROBOT, PASSWORD),
            ("nobody", PASSWORD),
            ("' OR 1=1 --", PASSWORD),
            ("é" * 255, PASSWORD),
        ],
    )
    def test_that_are_wrong_are_refused_in_one_sentence(
        self, browser: FlaskClient, username: str, password: str
    ) -> None:
        answer = sign_in_at(browser, username, password)
        expected = {"code": 401, "status": "Unauthorized", "message": checkers.REFUSAL}
        assert (answer.status_code, answer.json) == (401, expected)
        assert "Set-Cookie" not in answer.headers
        assert browser.get("/auth/token").status_code == 401

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 422),
            ({"username": ALICE}, 422),
            ({"username": ALICE, "password": None}, 422),
            ({"username": [ALICE], "password": PASSWORD}, 422),
            ({"username": ALICE, "password": 5}, 422),
            ({"username": "x" * 256, "password": PASSWORD}, 422),
            ({"username": "a\0", "password": PASSWORD}, 422),
            ({"username": ALICE, "password": "\ud800"}, 422),
            ({"username": ALICE, "password": PASSWORD, "is_admin": True}, 422),
            ([], 422),
        ],
    )
    def test_bodies_that_are_none(self, browser: FlaskClient, body: Any, status: int) -> None:
        assert browser.post("/auth/token", json=body).status_code == status

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
    def test_a_form_of_another_site_is_no_body(self, browser: FlaskClient, content_type: str | None) -> None:
        body = f'{{"username": "{ALICE}", "password": "{PASSWORD}"}}'
        answer = browser.post("/auth/token", data=body, content_type=content_type)
        assert answer.status_code == 415

    def test_take_as_long_for_nobody_as_for_somebody(self, app: Flask) -> None:
        """Each of them makes one hash, which is nearly all the time that it takes."""
        with app.app_context():
            passwords.check("warm", "up")
            took = {}
            for name in (ALICE, BOB, ROBOT, "nobody", "a\0b", "x" * 300):
                started = time.thread_time()
                assert passwords.check(name, "not the password") is None
                took[name] = time.thread_time() - started
        assert min(took.values()) > max(took.values()) / 4, took

    @pytest.mark.parametrize(
        ("stored", "typed"),
        [
            ("über den Wolken am Meer", "u\u0308ber den Wolken am Meer"),
            ("five tall\u3000ships at sea", "five tall ships\u00a0at sea"),
            ("🐙 in the garden, 海 in the house", "🐙 in the garden, 海 in the house"),
            (" begins and ends with blanks ", " begins and ends with blanks "),
            ("five\0tall\nships\tat sea", "five\0tall\nships\tat sea"),
        ],
    )
    def test_are_the_same_however_they_are_typed(self, app: Flask, stored: str, typed: str) -> None:
        with app.app_context():
            passwords.set_password(ALICE, stored)
            assert passwords.check(ALICE, typed) == ALICE
            assert passwords.check(ALICE, typed + "x") is None
            sql_db.session.rollback()

    def test_nothing_of_a_long_one_is_cut_off(self, app: Flask) -> None:
        longest = "many ships, " * 85
        with app.app_context():
            passwords.set_password(ALICE, "five owls, " + longest[: 1024 - 11])
            assert passwords.check(ALICE, "five owls, " + longest[: 1024 - 12] + "x") is None
            with pytest.raises(ValidationError, match="1024 bytes"):
                passwords.set_password(ALICE, "five owls, " + longest[: 1024 - 11] + "x")
            sql_db.session.rollback()

    @pytest.mark.parametrize(
        "password",
        [
            *("", "short", "elevenchars", "passwordpassword", "password1234", "123456789012", "qwertyuiop12"),
            *("alicealice12", "dserverdserver", "            ", "e\u0301" * 11, "\ud800" * 12, "x" * 1025),
        ],
    )
    def test_that_can_be_guessed_are_not_taken(self, app: Flask, password: str) -> None:
        with app.app_context(), pytest.raises(ValidationError) as caught:
            passwords.set_password(ALICE, password)
        assert set(caught.value.errors or {}) == {"password"}

    @pytest.mark.parametrize(
        ("word", "other"), [("dservercore", "qservurcxre"), ("wolkenkratzerin", "wilkenkrotzeran")]
    )
    def test_words_of_this_place_make_none(self, word: str, other: str) -> None:
        """What the server and the user are called; other words of that length with a year do."""
        about = ["olga", "Frau Wolkenkratzerin"]
        passwords.checked_password(f"{other}1997", about)
        with pytest.raises(ValidationError, match="easy to guess"):
            passwords.checked_password(f"{word}1997", about)

    def test_what_is_stored_is_a_hash_that_takes_memory(self, app: Flask) -> None:
        with app.app_context():
            stored = sql_db.session.execute(
                select(_user.c.password_hash).where(_user.c.username == ALICE)
            ).scalar()
        assert re.match(r"\$argon2id\$v=19\$m=47104,t=1,p=1\$", stored)

    def test_a_hash_of_other_parameters_is_made_anew(self, app: Flask) -> None:
        from argon2 import PasswordHasher

        old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
        change(app, update(_user).where(_user.c.username == ALICE).values(password_hash=old))
        assert sign_in_at(app.test_client()).status_code == 200
        self.test_what_is_stored_is_a_hash_that_takes_memory(app)

    def test_not_more_hashes_than_there_is_memory_for_are_made_at_a_time(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "_MAX_WAIT", 0.01)
        for _ in range(passwords.HASHES_AT_ONCE):
            passwords._turns.acquire()
        try:
            with app.app_context():
                with pytest.raises(UnavailableError):
                    passwords.check(ALICE, PASSWORD)
                sql_db.session.rollback()
            assert sign_in_at(app.test_client()).status_code == 503
            with app.app_context():
                assert sql_db.session.execute(select(func.count()).select_from(_attempt)).scalar() == 0
        finally:
            for _ in range(passwords.HASHES_AT_ONCE):
                passwords._turns.release()

    def test_other_checkers_are_asked_in_turn(self, app: Flask) -> None:
        class Directory:
            means = "ldap"

            def check(self, username: str, password: str) -> str | None:
                if username == "down":
                    raise UnavailableError("The directory does not answer")
                if password == "of the directory":
                    return {"b": BOB, "r": ROBOT, "n": "nobody"}.get(username)
                return None

        checkers.password_checkers(app).append(Directory())
        try:
            client = app.test_client()
            assert sign_in_at(client, "b", "of the directory").status_code == 200
            [session] = client.get("/me/sessions", headers=bearer(app, BOB)).json
            assert session["means"] == "ldap"
            for name in ("r", "n", "x"):  # a service account, nobody, unknown
                answer = sign_in_at(app.test_client(), name, "of the directory")
                assert (answer.status_code, answer.json["message"]) == (401, checkers.REFUSAL)
            assert sign_in_at(client, "down", "x").status_code == 503
        finally:
            checkers.password_checkers(app).pop()


class TestMyPassword:
    def test_is_changed_by_who_knows_it_and_ends_the_sessions(self, app: Flask, browser: FlaskClient) -> None:
        sign_in_at(browser)
        me = bearer(app, ALICE)
        body: dict[str, Any] = {"new": OTHER_PASSWORD}
        for old in ({}, {"old": None}, {"old": ""}, {"old": OTHER_PASSWORD}):
            answer = browser.put("/me/password", headers=me, json={**body, **old})
            assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["old"])
        assert browser.get("/auth/token").status_code == 200
        assert browser.put("/me/password", headers=me, json={**body, "old": PASSWORD}).status_code == 200
        assert browser.get("/auth/token").status_code == 401
        assert sign_in_at(browser).status_code == 401
        assert sign_in_at(browser, password=OTHER_PASSWORD).status_code == 200

    def test_whoever_signs_in_with_the_old_one_meanwhile_does_not(
        self, app: Flask, browser: FlaskClient, hashes: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verify = passwords._verify

        def change_after(stored: str, password: str) -> bool:
            is_right = verify(stored, password)
            with ThreadPoolExecutor(1) as pool:
                new = (
                    update(_user)
                    .where(_user.c.username == ALICE)
                    .values(password_hash=hashes[OTHER_PASSWORD])
                )
                pool.submit(change, app, new).result()
            return is_right

        monkeypatch.setattr(passwords, "_verify", change_after)
        assert sign_in_at(browser).status_code == 401
        assert browser.get("/auth/token").status_code == 401
        change(app, update(_user).values(password_hash=hashes[PASSWORD]))
        body = {"old": PASSWORD, "new": "a third one that nobody has guessed"}
        assert browser.put("/me/password", headers=bearer(app, ALICE), json=body).status_code == 422

    def test_that_is_not_good_enough_is_named(self, app: Flask, browser: FlaskClient) -> None:
        for new in ("short", "passwordpassword", "x" * 1025):
            body = {"old": PASSWORD, "new": new}
            answer = browser.put("/me/password", headers=bearer(app, ALICE), json=body)
            assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["new"])
        assert sign_in_at(browser).status_code == 200

    def test_the_first_one_needs_no_old_one(self, app: Flask, browser: FlaskClient) -> None:
        answer = browser.put("/me/password", headers=bearer(app, BOB), json={"new": OTHER_PASSWORD})
        assert answer.status_code == 200
        assert sign_in_at(browser, BOB, OTHER_PASSWORD).status_code == 200

    def test_a_service_account_has_none_nor_who_is_known_elsewhere(
        self, app: Flask, browser: FlaskClient
    ) -> None:
        body = {"old": PASSWORD, "new": OTHER_PASSWORD}
        assert browser.put("/me/password", headers=bearer(app, ROBOT), json=body).status_code == 409
        change(app, update(_user).where(_user.c.username == BOB).values(source="ldap"))
        body = {"new": OTHER_PASSWORD}
        assert browser.put("/me/password", headers=bearer(app, BOB), json=body).status_code == 409

    def test_guessing_the_old_one_is_limited(self, app: Flask, browser: FlaskClient) -> None:
        me = bearer(app, ALICE)
        statuses = [
            browser.put("/me/password", headers=me, json={"old": "x", "new": OTHER_PASSWORD}).status_code
            for _ in range(12)
        ]
        assert statuses == [422] * 10 + [429] * 2


class TestSessions:
    def test_what_is_stored_is_no_secret(self, app: Flask, browser: FlaskClient) -> None:
        _, secret, _ = cookie_of(sign_in_at(browser, headers={"User-Agent": "Firefox/1"}))
        with app.app_context():
            [row] = sql_db.session.execute(select(_session)).all()
            records = str(audit.list_records(audit.Filter(subject=ALICE))[0])
        assert secret not in str(row)
        assert secret not in records
        assert "session.begin" in records
        assert (row.means, row.address, row.agent) == ("password", "127.0.0.1", "Firefox/1")

    def test_a_session_from_before_is_not_the_one_after(self, app: Flask, browser: FlaskClient) -> None:
        """Whoever has planted a cookie in somebody's browser has nothing of it."""
        _, planted, _ = cookie_of(sign_in_at(browser))
        _, after, _ = cookie_of(sign_in_at(browser))
        assert planted != after
        attacker = app.test_client()
        attacker.set_cookie(PLAIN, planted)
        assert attacker.get("/auth/token").status_code == 401
        assert browser.get("/auth/token").status_code == 200

    def test_a_secret_that_somebody_chooses_is_not_taken_over(self, app: Flask, browser: FlaskClient) -> None:
        browser.set_cookie(PLAIN, "chosen")
        _, after, _ = cookie_of(sign_in_at(browser))
        assert after != "chosen"
        attacker = app.test_client()
        attacker.set_cookie(PLAIN, "chosen")
        assert attacker.get("/auth/token").status_code == 401

    @pytest.mark.parametrize("secret", ["", "x", "x" * 101, "x" * 3000, "%00", "é", "' OR 1=1 --"])
    def test_a_cookie_of_nothing_is_none(self, browser: FlaskClient, secret: str) -> None:
        browser.set_cookie(PLAIN, secret)
        assert browser.get("/auth/token").status_code == 401
        assert browser.get("/").status_code == 200

    @pytest.mark.parametrize(
        ("column", "seconds", "status"),
        [
            ("created_at", 7 * 86400 - 60, 200),
            ("created_at", 7 * 86400, 401),
            ("last_used_at", 8 * 3600 - 60, 200),
            ("last_used_at", 8 * 3600, 401),
        ],
    )
    def test_last_for_so_long(
        self, app: Flask, browser: FlaskClient, column: str, seconds: int, status: int
    ) -> None:
        sign_in_at(browser)
        change(app, update(_session).values({column: int(time.time()) - seconds}))
        assert browser.get("/auth/token").status_code == status
        listed = browser.get("/me/sessions", headers=bearer(app, ALICE)).json
        assert len(listed) == (status == 200)

    def test_a_use_is_written_down_now_and_then(self, app: Flask, browser: FlaskClient) -> None:
        sign_in_at(browser)
        before = int(time.time()) - 2 * last_use.PRECISION
        change(app, update(_session).values(last_used_at=before))
        browser.get("/auth/token")
        with app.app_context():
            noted = sql_db.session.execute(select(_session.c.last_used_at)).scalar()
            sql_db.session.rollback()
        assert noted >= time.time() - 60

    def test_end_when_tokens_are_revoked(self, app: Flask, browser: FlaskClient) -> None:
        sign_in_at(browser)
        since = int(time.time()) + 1
        change(app, update(_user).where(_user.c.username == ALICE).values(tokens_since=since))
        assert browser.get("/auth/token").status_code == 401
        assert browser.get("/account").status_code == 303

    def test_end_when_somebody_becomes_a_service_account_or_goes(
        self, app: Flask, browser: FlaskClient, hashes: dict[str, str]
    ) -> None:
        with app.app_context():
            users.add_user("leaving")
            passwords.set_password("leaving", PASSWORD)
            sql_db.session.commit()
        sign_in_at(browser, "leaving")
        service = update(_user).where(_user.c.username == "leaving")
        change(app, service.values(is_service=True))
        assert browser.get("/auth/token").status_code == 401
        change(app, service.values(is_service=False))
        assert browser.get("/auth/token").status_code == 200
        assert browser.delete("/users/leaving", headers=bearer(app, ROOT)).status_code == 200
        assert browser.get("/auth/token").status_code == 401
        with app.app_context():
            assert sql_db.session.execute(select(func.count()).select_from(_session)).scalar() == 0

    def test_of_a_service_account_none_begins(self, app: Flask) -> None:
        with app.app_context(), pytest.raises(ConflictError):
            sessions.begin(ROBOT, "password", Client("x", "y"))

    def test_nobody_has_more_than_a_hundred(self, app: Flask) -> None:
        with app.app_context():
            first = sessions.begin(ALICE, "password", Client("x", "y"))
            last = [sessions.begin(ALICE, "password", Client("x", "y")) for _ in range(100)]
            sql_db.session.commit()
            assert sessions.find(first) is None
            assert None not in [sessions.find(secret) for secret in last]
            assert len(sessions.list_of(ALICE, LIMITS)) == 100

    def test_are_listed_and_ended_by_their_user_alone(self, app: Flask, browser: FlaskClient) -> None:
        sign_in_at(browser)
        me, somebody = bearer(app, ALICE), bearer(app, BOB)
        [session] = browser.get("/me/sessions", headers=me).json
        assert set(session) == {"id", "means", "created_at", "last_used_at", "address", "agent"}
        assert browser.get("/me/sessions", headers=somebody).json == []
        path = f"/me/sessions/{session['id']}"
        assert browser.delete(path, headers=somebody).status_code == 200  # as if there were none
        assert browser.delete(f"/me/sessions/{10**30}", headers=me).status_code == 200
        assert browser.get("/auth/token").status_code == 200
        assert browser.delete(path, headers=me).status_code == 200
        assert browser.get("/auth/token").status_code == 401

    def test_are_listed_and_ended_by_administrators(self, app: Flask, browser: FlaskClient) -> None:
        root = bearer(app, ROOT)
        sign_in_at(browser)
        [session] = browser.get(f"/users/{ALICE}/sessions", headers=root).json
        path = f"/users/{BOB}/sessions/{session['id']}"  # of another user
        assert browser.delete(path, headers=root).status_code == 200
        assert browser.get("/auth/token").status_code == 200
        assert browser.delete(f"/users/{ALICE}/sessions", headers=root).status_code == 200
        assert browser.get("/auth/token").status_code == 401
        assert browser.get(f"/users/{ALICE}/sessions", headers=bearer(app, BOB)).status_code == 403
        assert browser.get("/users/nobody/sessions", headers=root).status_code == 404

    def test_a_personal_token_has_no_business_there(self, app: Flask, browser: FlaskClient) -> None:
        token = personal_tokens.new_token()
        with app.app_context():
            row = {
                "user_id": users.key_of_user(ALICE),
                "name": "robot",
                "digest": personal_tokens.digest_of(token),
                "may": "search register admin",
                "created_at": int(time.time()),
            }
            sql_db.session.execute(PersonalToken.__table__.insert(), row)
            sql_db.session.commit()
        headers = {"Authorization": f"Bearer {token}"}
        assert browser.get("/me", headers=headers).status_code == 200
        for method, path in (("GET", "/me/sessions"), ("DELETE", "/me/sessions"), ("PUT", "/me/password")):
            answer = browser.open(path, method=method, headers=headers, json={"new": OTHER_PASSWORD})
            assert answer.status_code == 403

    def test_signing_out_ends_one_and_is_no_error_without(self, app: Flask, browser: FlaskClient) -> None:
        _, secret, _ = cookie_of(sign_in_at(browser))
        answer = browser.post("/auth/logout")
        assert (answer.status_code, answer.json) == (200, "")
        assert cookie_of(answer)[1] == ""
        browser.set_cookie(PLAIN, secret)
        assert browser.get("/auth/token").status_code == 401
        assert browser.post("/auth/logout").status_code == 200


class TestCookies:
    def test_over_http(self, browser: FlaskClient) -> None:
        name, secret, attributes = cookie_of(sign_in_at(browser))
        assert name == PLAIN
        assert len(secret) >= 43
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(re.split("; ?", attributes))
        assert "Secure" not in attributes
        assert "Domain" not in attributes

    def test_over_https_behind_a_proxy_below_a_prefix(self, settings: dict[str, Any], app: Flask) -> None:
        proxied = create_app({**settings, "DSERVER_TRUSTED_PROXIES": "127.0.0.1"})
        browser = proxied.test_client()
        headers = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Prefix": "/lookup",
            "X-Forwarded-For": "192.0.2.9",
        }
        name, secret, attributes = cookie_of(sign_in_at(browser, headers=headers))
        assert name == SECURE
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(re.split("; ?", attributes))
        with app.app_context():
            assert sessions.list_of(ALICE, LIMITS)[0]["address"] == "192.0.2.9"
        asked = proxied.test_client(use_cookies=False)
        for cookie, status in ((f"{SECURE}={secret}", 200), (f"{PLAIN}={secret}", 401)):
            asked_with = {**headers, "Cookie": cookie}
            assert asked.get("/auth/token", headers=asked_with).status_code == status
        # And what anybody at another address says of a proxy is not believed.
        stranger = {"environ_overrides": {"REMOTE_ADDR": "198.51.100.7"}}
        assert cookie_of(sign_in_at(proxied.test_client(), headers=headers, **stranger))[0] == PLAIN
        with proxied.app_context():
            sql_db.engine.dispose()


class TestOtherSites:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 200),
            ({"Origin": "http://localhost"}, 200),
            ({"Origin": SITE}, 200),
            ({"Origin": SITE.upper()}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "https://evil.example.org"}, 403),
            ({"Origin": SITE + ".evil.example.org"}, 403),
            ({"Origin": SITE + ":8443"}, 403),
            ({"Origin": "https://localhost"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": ""}, 403),
            ({"Origin": "*"}, 403),
        ],
    )
    def test_may_not_sign_in_unless_they_are_listed(
        self, browser: FlaskClient, headers: dict[str, str], status: int
    ) -> None:
        assert sign_in_at(browser, headers=headers).status_code == status
        if status == 403:
            sign_in_at(browser)
        assert browser.get("/auth/token", headers=headers).status_code == status
        assert browser.post("/auth/logout", headers=headers).status_code == status
        assert browser.get("/auth/token").status_code == (401 if status == 200 else 200)

    def test_to_let_every_site_read_lists_none(self, settings: dict[str, Any], app: Flask) -> None:
        open_app = create_app({**settings, "DSERVER_CORS_ORIGINS": "*"})
        answer = sign_in_at(open_app.test_client(), headers={"Origin": SITE})
        assert answer.status_code == 403
        assert "Access-Control-Allow-Credentials" not in answer.headers
        with open_app.app_context():
            sql_db.engine.dispose()

    def test_the_address_that_people_use_is_our_own(self, settings: dict[str, Any], app: Flask) -> None:
        url = "https://dserver.example.org/prefix"
        named = create_app({**settings, "DSERVER_EXTERNAL_URL": url})
        for origin, status in (("https://dserver.example.org", 200), ("https://example.org", 403)):
            assert sign_in_at(named.test_client(), headers={"Origin": origin}).status_code == status
        with named.app_context():
            sql_db.engine.dispose()

    @pytest.mark.parametrize("path", ["/auth/token", "/auth/logout"])
    @pytest.mark.parametrize("method", ["POST", "OPTIONS"])
    def test_cookies_are_allowed_there_alone(self, browser: FlaskClient, path: str, method: str) -> None:
        headers = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
        for asked, expected in ((path, "true"), ("/uris", None), ("/me", None), ("/authx", None)):
            answer = browser.open(asked, method=method, headers=headers, json={})
            assert answer.headers.get("Access-Control-Allow-Credentials") == expected, asked
            assert answer.headers["Access-Control-Allow-Origin"] == SITE
        answer = browser.open(path, method=method, headers={**headers, "Origin": "https://evil.example.org"})
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


class TestTokens:
    @pytest.mark.parametrize("how", ["signed out", "ended elsewhere", "signed in anew"])
    def test_ends_with_its_session(self, app: Flask, browser: FlaskClient, how: str) -> None:
        tokens = [sign_in_at(browser).json["token"], browser.get("/auth/token").json["token"]]
        headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
        for given in headers * 2:  # the second time it is remembered
            assert browser.get("/me", headers=given).status_code == 200
        if how == "signed out":
            browser.post("/auth/logout")
        elif how == "signed in anew":
            sign_in_at(browser)
        else:
            assert app.test_client().delete("/me/sessions", headers=bearer(app, ALICE)).status_code == 200
        for given in headers:
            answer = browser.get("/me", headers=given)
            assert answer.status_code == 401
            assert answer.json["message"] == "The session of this token has ended"

    @pytest.mark.parametrize("session", ["1", 1.0, True, -1, 2**70, [1], {"id": 1}, None])
    def test_of_a_session_that_is_none(self, app: Flask, browser: FlaskClient, session: Any) -> None:
        sign_in_at(browser)
        with app.app_context():
            token = create_access_token(ALICE, additional_claims={"dserver_session": session})
        assert browser.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401

    def test_live_as_long_as_the_server_accepts(self, settings: dict[str, Any], app: Flask) -> None:
        short = create_app({**settings, "DSERVER_MAX_TOKEN_LIFETIME": "1m"})
        client = short.test_client()
        token = sign_in_at(client).json["token"]
        assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        with short.app_context():
            sql_db.engine.dispose()

    def test_without_a_key_there_are_none(self, settings: dict[str, Any], app: Flask) -> None:
        keyless = create_app({**settings, "JWT_PRIVATE_KEY": ""})
        answer = sign_in_at(keyless.test_client())
        assert answer.status_code == 501
        assert "private key" in answer.json["message"]
        assert "Set-Cookie" not in answer.headers
        with keyless.app_context():
            sql_db.engine.dispose()


class TestAttempts:
    def fail(self, name: str, address: str, times: int = 1) -> None:
        for _ in range(times):
            attempts.begin(name, address)

    def test_of_a_name_from_an_address(self, browser: FlaskClient) -> None:
        statuses = [sign_in_at(browser, password="wrong").status_code for _ in range(10)]
        assert statuses == [401] * 10
        answer = sign_in_at(browser)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 900
        assert answer.headers["Retry-After"] in answer.json["message"]
        elsewhere = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.8"}}
        assert sign_in_at(browser, **elsewhere).status_code == 200

    def test_the_same_is_said_of_names_that_nobody_has(self, browser: FlaskClient) -> None:
        def answers(name: str) -> list[tuple[int, str]]:
            got = [sign_in_at(browser, name, "wrong") for _ in range(11)]
            return [(answer.status_code, re.sub(r"\d+", "N", answer.json["message"])) for answer in got]

        assert answers(ALICE) == answers("nobody") == answers(ROBOT) == answers(BOB)

    def test_names_that_differ_in_case_count_as_one(self, app: Flask) -> None:
        with app.app_context():
            for name in ("Zoë", "zoë", "ZOË", "zoe\u0308", "ZoË"):
                self.fail(name, "192.0.2.1", 2)
            with pytest.raises(TooManyAttemptsError):
                self.fail("zoë", "192.0.2.1")

    def test_of_an_address(self, app: Flask) -> None:
        with app.app_context():
            for number in range(100):
                self.fail(f"name-{number}", "192.0.2.1")
            with pytest.raises(TooManyAttemptsError):
                self.fail("another", "192.0.2.1")
            self.fail("another", "192.0.2.2")

    def test_of_a_name_from_everywhere(self, app: Flask) -> None:
        with app.app_context():
            for number in range(30):
                self.fail(ALICE, f"192.0.2.{number}")
            with pytest.raises(TooManyAttemptsError) as caught:
                self.fail(ALICE, "192.0.2.200")
            assert 900 < caught.value.seconds <= 3600

    def test_strangers_lock_nobody_out_where_he_has_signed_in(self, app: Flask) -> None:
        home = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.77"}}
        assert sign_in_at(app.test_client(), **home).status_code == 200
        with app.app_context():
            for number in range(30):
                self.fail(ALICE, f"198.51.100.{number}")
            for number in range(100):
                self.fail(f"name-{number}", "192.0.2.77")
        assert sign_in_at(app.test_client(), **home).status_code == 200
        elsewhere = {"environ_overrides": {"REMOTE_ADDR": "198.51.100.200"}}
        assert sign_in_at(app.test_client(), **elsewhere).status_code == 429
        # But there, too, not every password can be tried.
        statuses = [sign_in_at(app.test_client(), password="x", **home).status_code for _ in range(11)]
        assert statuses == [401] * 10 + [429]

    def test_no_refusal_makes_the_wait_longer(self, app: Flask) -> None:
        with app.app_context():
            self.fail(ALICE, "192.0.2.1", 10)
            change(app, update(_attempt).values(at=int(time.time()) - 890))
            for _ in range(20):
                with pytest.raises(TooManyAttemptsError) as caught:
                    self.fail(ALICE, "192.0.2.1")
                assert caught.value.seconds <= 10
            change(app, update(_attempt).values(at=int(time.time()) - 900))
            self.fail(ALICE, "192.0.2.1", 10)

    def test_success_counts_for_none(self, app: Flask) -> None:
        assert [sign_in_at(app.test_client()).status_code for _ in range(12)] == [200] * 12

    def test_at_the_same_moment_are_no_more_than_one_after_another(self, app: Flask) -> None:
        def attempt(_number: int) -> int:
            with app.app_context():
                try:
                    attempts.begin(ALICE, "192.0.2.1")
                except TooManyAttemptsError:
                    return 0
                return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(40))) <= 10

    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("unix", "unix"),
            ("x" * 300, "x" * ADDRESS_LENGTH),
        ],
    )
    def test_of_a_network_of_ipv6_count_as_one(self, address: str, network: str) -> None:
        assert attempts.network_of(address) == network

    def test_are_forgotten(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        now = int(time.time())
        rows = [
            {"name_key": "a", "address": "x", "at": now - 3601, "has_succeeded": False},
            {"name_key": "b", "address": "x", "at": now - 3500, "has_succeeded": False},
            {"name_key": "c", "address": "x", "at": now - 29 * 86400, "has_succeeded": True},
            {"name_key": "d", "address": "x", "at": now - 30 * 86400, "has_succeeded": True},
        ]
        change(app, _attempt.insert().values(rows))
        monkeypatch.setattr(attempts, "_pruned_at", 0.0)
        with app.app_context():
            self.fail(ALICE, "192.0.2.1")
            kept = set(sql_db.session.execute(select(_attempt.c.name_key)).scalars())
            sql_db.session.rollback()
        assert {"b", "c"} < kept
        assert len(kept) == 3

    def test_hold_no_name_that_may_be_a_password(self, app: Flask) -> None:
        sign_in_at(app.test_client(), "hunter2hunter2", "x")
        with app.app_context():
            assert "hunter2" not in str(sql_db.session.execute(select(_attempt)).all())
            sql_db.session.rollback()


class TestLinks:
    def make(self, app: Flask, username: str = ALICE) -> str:
        with app.app_context():
            secret = login_links.make(username)
            sql_db.session.commit()
        return secret

    def use(self, app: Flask, secret: str) -> str | None:
        with app.app_context():
            username = login_links.use(secret)
            sql_db.session.commit()
        return username

    def test_work_once(self, app: Flask) -> None:
        secret = self.make(app)
        assert [self.use(app, secret) for _ in range(3)] == [ALICE, None, None]

    def test_of_two_who_use_one_at_the_same_moment_one_wins(self, app: Flask) -> None:
        for _ in range(5):
            secret = self.make(app)
            with ThreadPoolExecutor(6) as pool:
                used = list(pool.map(lambda _: self.use_or_lose(app, secret), range(6)))  # noqa: B023
            assert used.count(ALICE) == 1

    def use_or_lose(self, app: Flask, secret: str) -> str | None:
        from sqlalchemy.exc import OperationalError

        try:
            return self.use(app, secret)
        except OperationalError:  # the victim of a deadlock, whose request would be repeated
            with app.app_context():
                sql_db.session.rollback()
            return None

    def test_cannot_be_guessed(self, app: Flask) -> None:
        secrets = {self.make(app) for _ in range(5)}
        assert len(secrets) == 5
        assert all(re.fullmatch(r"[\w-]{43}", secret, re.ASCII) for secret in secrets), "256 bits"

    def test_expire(self, app: Flask) -> None:
        secret = self.make(app)
        with app.app_context():
            [row] = sql_db.session.execute(select(_link.c.created_at, _link.c.expires_at)).all()
            sql_db.session.rollback()
        assert row.expires_at - row.created_at == 600
        change(app, update(_link).values(expires_at=int(time.time())))
        assert self.use(app, secret) is None

    def test_end_when_tokens_are_revoked_or_somebody_becomes_a_service_account(self, app: Flask) -> None:
        for values in ({"tokens_since": int(time.time()) + 1}, {"is_service": True}):
            secret = self.make(app, BOB)
            change(app, update(_user).where(_user.c.username == BOB).values(values))
            assert self.use(app, secret) is None
            change(
                app,
                update(_user).where(_user.c.username == BOB).values(tokens_since=None, is_service=False),
            )

    @pytest.mark.parametrize("secret", ["", "x", "x" * 5000, "é", "\0", "' OR 1=1 --"])
    def test_that_are_none(self, app: Flask, secret: str) -> None:
        assert self.use(app, secret) is None

    def test_are_not_made_for_service_accounts(self, app: Flask) -> None:
        with app.app_context(), pytest.raises(ConflictError):
            login_links.make(ROBOT)

    def test_what_is_stored_is_no_secret(self, app: Flask) -> None:
        secret = self.make(app)
        with app.app_context():
            assert secret not in str(sql_db.session.execute(select(_link)).all())
            records = str(audit.list_records(audit.Filter(action="user.login_link"))[0])
            sql_db.session.rollback()
        assert ALICE in records
        assert secret not in records


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/account", "/account"),
        ("/datasets?q=a%20b&page=2", "/datasets?q=a%20b&page=2"),
        (None, "/"),
        ("", "/"),
        ("//evil.example.org", "/"),
        ("/\\evil.example.org", "/"),
        ("\\\\evil.example.org", "/"),
        ("https://evil.example.org", "/"),
        ("https:evil.example.org", "/"),
        ("javascript:alert(1)", "/"),
        ("evil.example.org", "/"),
        ("/\t/evil.example.org", "/"),
        ("/\n/evil.example.org", "/"),
        ("\t//evil.example.org", "/"),
        (" /account", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/é", "/"),
    ],
)
def test_nobody_is_led_elsewhere(path: str | None, expected: str) -> None:
    assert sign_in.safe_path(path) == expected


class TestSeveralWorkers:
    @pytest.fixture(scope="class", params=DATABASES)
    @classmethod
    def live(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[LiveServer]:
        directory = tmp_path_factory.mktemp("workers")
        with stores(request.param, directory, request) as settings:
            yield from cls.running(directory, settings)

    @classmethod
    def running(cls, directory: Path, settings: dict[str, str]) -> Iterator[LiveServer]:
        live = LiveServer(directory, workers=2, threads=4, settings=settings)
        with live.app.app_context():
            users.add_user(ROOT, is_admin=True)
            for name in (ALICE, BOB):
                users.add_user(name)
                passwords.set_password(name, PASSWORD)
            sql_db.session.commit()
        live.start()
        yield live
        live.stop()
        with live.app.app_context():
            sql_db.engine.dispose()

    def post(self, live: LiveServer, name: str, password: str) -> requests.Response:
        body = {"username": name, "password": password}
        return requests.post(f"{live.address}/auth/token", json=body, timeout=60)

    def test_a_session_that_ends_has_ended_everywhere_at_once(self, live: LiveServer) -> None:
        cookies = self.post(live, ALICE, PASSWORD).cookies
        url = f"{live.address}/auth/token"

        def statuses() -> set[int]:  # each on a connection of its own, so that every worker has its share
            return {requests.get(url, cookies=cookies, timeout=60).status_code for _ in range(30)}

        assert statuses() == {200}
        [session] = live.request("GET", "/me/sessions", ALICE).json()
        ended = live.request("DELETE", f"/users/{ALICE}/sessions/{session['id']}", ROOT)
        assert ended.status_code == 200
        assert statuses() == {401}

    def test_attempts_at_all_of_them_count_together(self, live: LiveServer) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: self.post(live, BOB, f"wrong {number}"), range(40)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {401, 429}
        assert 1 <= statuses.count(401) <= 10
        assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 429)

    def test_no_secret_is_in_the_log_or_the_configuration(self, live: LiveServer) -> None:
        answer = self.post(live, ALICE, PASSWORD)
        with live.app.app_context():
            link = login_links.make(ALICE)
            sql_db.session.commit()
        requests.get(f"{live.address}/sign-in/link", params={"code": link}, timeout=60)
        requests.post(f"{live.address}/sign-in/link", data={"code": link}, timeout=60)
        requests.post(f"{live.address}/sign-in", data={"username": "x", "password": PASSWORD}, timeout=60)
        live.request("PUT", "/me/password", ALICE, json={"old": "wrong guess of mine", "new": OTHER_PASSWORD})
        shown = live.log.read_text() + live.request("GET", "/config/info", ROOT).text
        shown += live.request("GET", "/audit", ROOT).text
        assert "POST /sign-in/link 400" in shown
        for secret in (
            PASSWORD,
            OTHER_PASSWORD,
            "wrong guess of mine",
            link,
            answer.cookies[PLAIN],
            answer.json()["token"],
            "$argon2",
        ):
            assert secret not in shown
        assert "Traceback" not in shown
