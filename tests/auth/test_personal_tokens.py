"""Personal tokens where it hurts: several workers, long requests, busy databases, routes of plugins, and leaks."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from flask_jwt_extended.exceptions import NoAuthorizationError

from auth.test_authorization import ANSWERS, BASE_URIS, Target, options_of, path_of
from auth.test_authorization import target as target  # a fixture
from dservercore import create_app, sql_db, utils, utils_auth
from dservercore.auth import permissions, personal_tokens
from dservercore.catalog import base_uris, groups, last_use, users
from dservercore.catalog.personal_tokens import Wish, create_token, list_tokens
from dservercore.errors import AuthenticationError
from dservercore.models import PersonalToken
from support.live_server import LiveServer
from support.world import ADMIN, BLUE, CHAMPION, READER, RED, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def new_token(app: Flask, username: str, **wish: Any) -> tuple[str, int]:
    """Make a token of a user behind the server's back; return it, and its id."""
    with app.app_context():
        wanted = Wish("robot", **{"lifetime": 3600, **wish})
        made = create_token(username, wanted, permissions.usable_base_uris(username, wanted.may))
        sql_db.session.commit()
        return made["token"], made["id"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("personal"), key_pair) as here:
        yield here


# -- Every route -----------------------------------------------------------------------------------------------------

#: Routes that look at no token: every one of the table gets the same answer.
WITHOUT_TOKENS = {request for request, answers in ANSWERS.items() if len(set(answers)) == 1}

#: Requests that read, though their method is POST.
QUESTIONS = {
    "POST /uris",
    "POST /uris/facets",
    "POST /uris.csv",
    "POST /uris.ndjson",
    "POST /graph/uuids/{uuid}",
    "POST /mongo/query",
    "POST /mongo/aggregate",
}


@pytest.mark.parametrize("who", ["search", "register", "elsewhere", "admin"])
def test_one_that_may_search_changes_nothing_on_any_route(target: Target, who: str) -> None:
    target.headers["program"] = bearer(new_token(target.standing.app, who)[0])
    assert target.standing.client.get("/me", headers=target.headers["program"]).status_code == 200
    try:
        for request in ANSWERS:
            method = request.split()[0]
            if method == "GET" or request in QUESTIONS or request in WITHOUT_TOKENS:
                continue
            for place in range(len(BASE_URIS)):
                path, options = path_of(request, place, who), options_of(request, place)
                assert target.ask(method, path, "program", **options) == 403, f"{request} at {place}"
    finally:
        del target.headers["program"]
        target.restore()


@pytest.mark.parametrize("who", ["search", "elsewhere", "admin"])
def test_one_that_may_register_reads_nothing_on_any_route(target: Target, who: str) -> None:
    target.headers["program"] = bearer(new_token(target.standing.app, who, may=("register",))[0])
    may_be_asked = {
        "/config/info",
        "/me",
        "/me/summary",
        "/users/{username}",
        "/users/{username}/permissions",
    }
    try:
        for request in ANSWERS:
            method, rule = request.split()
            if method != "GET" or request in WITHOUT_TOKENS or rule in may_be_asked:
                continue
            for place in range(len(BASE_URIS)):
                path = path_of(request, place, who)
                answer = target.standing.client.get(path, headers=target.headers["program"])
                is_empty = answer.status_code == 200 and "s3://" not in answer.text
                # A graph is that of a UUID, which is answered as one that no dataset has.
                is_empty |= answer.status_code == 404 and rule.startswith("/graph/uuids/{uuid}/")
                assert answer.status_code == 403 or is_empty, f"{request} at {place}: {answer.text}"
    finally:
        del target.headers["program"]
        target.restore()


# -- Several workers -------------------------------------------------------------------------------------------------


class TestSeveralWorkers:
    TIMES = 15

    @pytest.fixture(scope="class")
    def live(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
        live = LiveServer(tmp_path_factory.mktemp("workers"), workers=3, threads=2)
        live.add_people()
        live.start()
        yield live
        live.stop()

    def statuses(self, live: LiveServer, token: str, path: str = "/me") -> set[int]:
        """Ask so often that every worker has answered."""
        url = f"{live.address}{path}"
        return {requests.get(url, headers=bearer(token), timeout=20).status_code for _ in range(self.TIMES)}

    def test_one_that_is_ended(self, live: LiveServer) -> None:
        token, key = new_token(live.app, CHAMPION)
        assert self.statuses(live, token) == {200}
        assert live.request("DELETE", f"/users/{CHAMPION}/tokens/{key}", ADMIN).status_code == 200
        assert self.statuses(live, token) == {401}

    def test_all_that_are_ended_by_a_command(self, live: LiveServer) -> None:
        with live.app.app_context():
            users.add_user("leaving")
            sql_db.session.commit()
        tokens = [new_token(live.app, "leaving")[0] for _ in range(2)]
        tokens.append(live.bearer("leaving")["Authorization"].removeprefix("Bearer "))
        assert [self.statuses(live, token) for token in tokens] == [{200}] * 3
        done = live.flask("user", "revoke-tokens", "leaving")
        assert done.stdout == (
            "Ended 2 tokens for programs, 0 sessions, 0 sign-in links, and every other token of user 'leaving'\n"
        )
        assert [self.statuses(live, token) for token in tokens] == [{401}] * 3
        fresh = live.flask("user", "token", "leaving").stdout.strip()
        assert self.statuses(live, fresh) == {200}

    def test_what_the_group_of_its_owner_loses(self, live: LiveServer) -> None:
        with live.app.app_context():
            users.add_user("member")
            base_uris.put_base_uri("s3://lab", None, None)
            groups.put_group("lab")
            groups.add_member("lab", "member")
            groups.grant("search", "lab", "s3://lab")
            sql_db.session.commit()
        token, _ = new_token(live.app, "member", base_uris=["s3://lab"])
        path = "/uris/s3/lab/x"
        assert self.statuses(live, token, path) == {404}
        assert live.request("DELETE", "/groups/lab/members/member", ADMIN).status_code == 200
        assert self.statuses(live, token, path) == {403}

    @pytest.mark.parametrize("end", ["/me/tokens/{}", "/me/tokens"])
    def test_a_long_registration_stops_when_it_is_ended(self, live: LiveServer, end: str) -> None:
        token, key = new_token(live.app, CHAMPION, may=("register",))
        base_uri = f"s3://long-{uuid.uuid4().hex}"
        with live.app.app_context():
            base_uris.create_base_uri(base_uri, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
        infos = [dataset_info(base_uri) for _ in range(6000)]
        with live.app.app_context():
            fresh = create_access_token(CHAMPION)
        answers: list[requests.Response] = []

        def register() -> None:
            body = "\n".join(map(json.dumps, infos))
            headers = {**bearer(token), "Content-Type": "application/x-ndjson"}
            answers.append(
                requests.post(f"{live.address}/uris/bulk", data=body, headers=headers, timeout=120)
            )

        thread = threading.Thread(target=register)
        thread.start()
        live_database = sqlite3.connect(live.database)
        deadline = time.monotonic() + 60
        while not live_database.execute(
            "SELECT 1 FROM dataset WHERE uri LIKE ? LIMIT 1", (f"{base_uri}/%",)
        ).fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        path = end.format(key)
        ended = requests.delete(f"{live.address}{path}", headers=bearer(fresh), timeout=60)
        assert ended.status_code == 200
        thread.join()
        number = live_database.execute("SELECT count(*) FROM dataset WHERE uri LIKE ?", (f"{base_uri}/%",))
        registered = number.fetchone()[0]
        live_database.close()
        statuses = [json.loads(line)["status"] for line in answers[0].text.splitlines()]
        assert statuses.count(201) == registered
        assert set(statuses) == {201, 401}
        assert self.statuses(live, token) == {401}


# -- When it was used last -------------------------------------------------------------------------------------------


class TestLastUse:
    @staticmethod
    def last_use(app: Flask, username: str = CHAMPION) -> int | None:
        with app.app_context():
            return list_tokens(username)[-1]["last_used_at"]

    def test_nobody_waits_for_a_long_write(self, here: World) -> None:
        token, _ = new_token(here.app, CHAMPION)
        writer = sqlite3.connect(here.database, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        try:
            began = time.monotonic()
            for _ in range(5):
                assert here.client.get("/me", headers=bearer(token)).status_code == 200
            assert time.monotonic() - began < 2
        finally:
            writer.execute("ROLLBACK")
            writer.close()
        assert self.last_use(here.app) is None
        time.sleep(last_use.REST)
        assert here.client.get("/me", headers=bearer(token)).status_code == 200
        assert self.last_use(here.app) is not None

    def test_a_database_that_may_not_be_written(self, here: World) -> None:
        token, _ = new_token(here.app, CHAMPION)
        with here.app.app_context():
            sql_db.engine.dispose()
        here.database.chmod(0o400)
        try:
            assert here.client.get("/me", headers=bearer(token)).status_code == 200
        finally:
            here.database.chmod(0o600)
            with here.app.app_context():
                sql_db.engine.dispose()

    @pytest.fixture(params=["file", "memory"])
    def app(
        self, request: pytest.FixtureRequest, tmp_path: Path, key_pair: tuple[Path, Path]
    ) -> Iterator[Flask]:
        private, public = (path.read_text() for path in key_pair)
        place = "" if request.param == "memory" else f"/{tmp_path / 'x.db'}"
        app = create_app(
            {
                "SQLALCHEMY_DATABASE_URI": f"sqlite://{place}",
                "JWT_PRIVATE_KEY": private,
                "JWT_PUBLIC_KEY": public,
            }
        )
        with app.app_context():
            sql_db.create_all()
            users.add_user(CHAMPION)
            sql_db.session.commit()
        yield app
        with app.app_context():
            sql_db.engine.dispose()

    def test_a_request_writes_it_down(self, app: Flask) -> None:
        token, _ = new_token(app, CHAMPION)
        time.sleep(last_use.REST)  # if another test's could not be written down
        assert app.test_client().get("/me", headers=bearer(token)).status_code == 200
        assert self.last_use(app) is not None

    def test_nothing_else_is_committed(self, app: Flask) -> None:
        _, key = new_token(app, CHAMPION)
        with app.app_context():
            users.add_user("unfinished")
            last_use.note(PersonalToken.__table__, key, None)
            sql_db.session.rollback()
            assert users.registered(["unfinished"]) == set()

    def test_what_is_gone(self, here: World) -> None:
        with here.app.app_context():
            last_use.note(PersonalToken.__table__, 10**6, None)
            assert (
                sql_db.session.execute(sql_db.text("SELECT 1 FROM personal_token WHERE id = 1000000")).all()
                == []
            )


# -- Plugins ---------------------------------------------------------------------------------------------------------


class TestRoutesOfExtensions:
    def ask(self, here: World, token: str, view: Any, **options: Any) -> Any:
        guarded = utils_auth.jwt_required(**options)(view)
        with here.app.test_request_context("/", headers=bearer(token)):
            return guarded()

    def test_the_faces_know_what_it_may(self, here: World) -> None:
        token, _ = new_token(here.app, READER, base_uris=[RED])

        def view() -> Any:
            name = utils_auth.get_jwt_identity()
            return (
                name,
                utils_auth.user_exists(name),
                utils_auth.may_search(name, RED),
                utils_auth.may_search(name, BLUE),
                utils_auth.list_search_base_uris(name),
                utils_auth.list_register_base_uris(name),
                utils_auth.may_access(name, f"{BLUE}/x"),
            )

        assert self.ask(here, token, view) == (READER, True, True, False, [RED], [], False)

    def test_an_administrator_by_it(self, here: World) -> None:
        def view() -> bool:
            return utils_auth.has_admin_rights(utils_auth.get_jwt_identity())

        assert self.ask(here, new_token(here.app, ADMIN)[0], view) is False
        assert self.ask(here, new_token(here.app, ADMIN, may=("admin",))[0], view) is True

    def test_what_is_told_of_its_owner(self, here: World) -> None:
        def view() -> Any:
            return utils.get_user_info(utils_auth.get_jwt_identity())

        assert self.ask(here, new_token(here.app, ADMIN)[0], view)["is_admin"] is False
        assert self.ask(here, new_token(here.app, ADMIN, may=("admin",))[0], view)["is_admin"] is True
        token, _ = new_token(here.app, READER, base_uris=[RED])
        assert self.ask(here, token, view)["search_permissions_on_base_uris"] == [RED]
        assert self.ask(here, token, lambda: utils.get_user_info(ADMIN))["is_admin"] is True

    def test_what_somebody_else_may_is_not_narrowed(self, here: World) -> None:
        token, _ = new_token(here.app, CHAMPION, may=("register",))
        assert self.ask(here, token, lambda: utils_auth.list_search_base_uris(READER)) == [BLUE, RED]

    @pytest.mark.parametrize("options", [{"fresh": True}, {"refresh": True}])
    def test_one_of_another_kind_is_wanted(self, here: World, options: dict[str, bool]) -> None:
        token, _ = new_token(here.app, CHAMPION)
        with pytest.raises(AuthenticationError):
            self.ask(here, token, lambda: None, **options)

    def test_optional_is_no_excuse_for_a_bad_one(self, here: World) -> None:
        with pytest.raises(NoAuthorizationError):
            self.ask(here, "dserver_" + "0" * 36, lambda: None, optional=True)

    def test_a_manager_of_another_extension(self, here: World) -> None:
        token, _ = new_token(here.app, CHAMPION)
        ours = here.app.extensions["flask-jwt-extended"]
        here.app.extensions["flask-jwt-extended"] = JWTManager()
        try:
            assert self.ask(here, token, utils_auth.get_jwt_identity) == CHAMPION
        finally:
            here.app.extensions["flask-jwt-extended"] = ours


# -- Leaks -----------------------------------------------------------------------------------------------------------


def test_it_is_kept_nowhere(tmp_path: Path) -> None:
    """Neither in the database nor in the audit, nor in the log or an error, whatever is done with it."""
    live = LiveServer(tmp_path, workers=1, settings={"DSERVER_LOG_LEVEL": "DEBUG"})
    live.add_people()
    live.start()
    try:
        made = live.request(
            "POST", "/me/tokens", CHAMPION, json={"name": "robot", "may": ["search", "register"]}
        )
        token = made.json()["token"]
        info = dataset_info(RED)
        answers = [
            requests.request(method, f"{live.address}{path}", headers=bearer(sent), json=body, timeout=20)
            for sent in (token, token[:-1], token + "x")
            for method, path, body in (
                ("GET", "/me", None),
                ("PUT", f"/uris/{info['uri']}", info),
                ("GET", "/config/info", None),
                ("POST", "/me/tokens", {"name": "x"}),
                ("GET", "/nowhere", None),
            )
        ]
        answers.append(live.request("GET", "/me/tokens", CHAMPION))
        answers.append(live.request("GET", "/audit", ADMIN))
        answers.append(live.request("DELETE", f"/me/tokens/{made.json()['id']}", CHAMPION))
    finally:
        live.stop()
    secret = token[len("dserver_") : -7]
    texts = {f"{answer.request.method} {answer.request.url}": answer.text for answer in answers}
    texts |= {path.name: path.read_bytes().decode("latin-1") for path in tmp_path.glob("*") if path.is_file()}
    assert {"app.db", "gunicorn.log"} <= set(texts)
    assert [name for name, text in texts.items() if secret in text] == []


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, -7), slice(0, len("dserver_"))])
def test_one_that_was_not_copied_whole(here: World, cut: slice) -> None:
    token, _ = new_token(here.app, CHAMPION)
    answer = here.client.get("/me", headers=bearer(token[cut]))
    assert answer.status_code == 401
    assert answer.json["message"] == "The personal token is not whole: some of it is missing, or mistyped"


def test_what_is_stored_is_no_token(here: World) -> None:
    token, _ = new_token(here.app, CHAMPION)
    stored = sqlite3.connect(here.database)
    digests = [digest for (digest,) in stored.execute("SELECT digest FROM personal_token")]
    stored.close()
    assert personal_tokens.digest_of(token) in digests
    for digest in digests:
        for text in (
            digest,
            "dserver_" + digest,
            "dserver_" + digest[:30] + personal_tokens.checksum(digest[:30]),
        ):
            assert here.client.get("/me", headers=bearer(text)).status_code in (401, 422)
