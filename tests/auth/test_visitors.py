"""Every route for whoever comes without a token while a base URI is public, and what several workers make of it.

What a visitor is answered stands in docs/reference/without-a-token.txt; any other route answers as if nothing were
public.
"""

from __future__ import annotations

import random
import string
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from auth.test_authorization import (
    ANSWERS,
    ASKING,
    BASE_URIS,
    DATASETS,
    GHOST,
    GROUPS,
    GUEST,
    TABLE,
    bearer,
    options_of,
    path_of,
)
from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, groups, registration, users
from dservercore.catalog.scope import OPERATOR
from support.databases import new_database, on_other_stores
from support.live_server import LiveServer
from support.mongod import mongo_plugins
from support.world import ADMIN, BLUE, RED, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

_, *ROWS = (
    [cell.strip() for cell in line.split("|")] for line in TABLE.with_name("without-a-token.txt").open()
)
VISITED = {row[0].strip("`"): row[1:] for row in ROWS}
VISITOR = "no token"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    """RED is public, BLUE is not; a dataset is in each."""
    with world(tmp_path_factory.mktemp("visitors"), key_pair) as standing:
        with standing.app.app_context():
            for name in (GUEST, "admin"):
                users.add_user(name, is_admin=name == "admin")
            for name in GROUPS[:2]:
                groups.add_group(name)
            for info in DATASETS[:2]:
                registration.register_dataset(OPERATOR, operator_scope("register"), info)
            base_uris.set_public(RED, True)
            sql_db.session.commit()
        yield standing


def test_the_table_names_requests_that_there_are(standing: World) -> None:
    assert VISITED
    assert set(VISITED) <= set(ANSWERS)
    assert all(len(row) == len(BASE_URIS) for row in VISITED.values())


@pytest.mark.parametrize("request_", ANSWERS)
def test_what_a_visitor_is_answered(standing: World, request_: str) -> None:
    method = request_.split()[0]
    before = standing.version()
    usual = ANSWERS[request_][ASKING.index(VISITOR)]
    for place, expected in enumerate(VISITED.get(request_, [usual] * len(BASE_URIS))):
        path, options = path_of(request_, place, GUEST), options_of(request_, place)
        assert standing.client.open(path, method=method, **options).status_code == int(expected)
        if method == "GET":
            assert standing.client.head(path).status_code == int(expected)
    assert standing.version() == before, f"{request_} changed something"


@pytest.mark.parametrize("request_", ANSWERS)
def test_a_token_that_is_no_good_is_no_visitor(
    standing: World, request_: str, key_pair: tuple[Path, Path]
) -> None:
    private = key_pair[0].read_text()
    tokens = {
        "bad token": bearer({"sub": "admin"}, private),
        "expired": bearer({"sub": "admin", "exp": time.time() - 1}, private),
        "unregistered": bearer({"sub": GHOST}, private),
    }
    head, payload, signature = tokens["bad token"]["Authorization"].split(".")
    tokens["bad token"] = {"Authorization": f"{head}.{payload}.{signature[::-1]}"}
    method = request_.split()[0]
    before = standing.version()
    for who, headers in tokens.items():
        usual = ANSWERS[request_][ASKING.index(who)]
        # Pages know people by the sessions of their browsers, and look at no token.
        is_page = usual in ("204", "303") and request_ in VISITED
        for place in range(len(BASE_URIS)):
            path, options = path_of(request_, place, GUEST), options_of(request_, place)
            expected = VISITED[request_][place] if is_page else usual
            answer = standing.client.open(path, method=method, headers=headers, **options)
            assert answer.status_code == int(expected)
    assert standing.version() == before


@pytest.mark.parametrize("request_", [request for request, row in VISITED.items() if "403" in row])
def test_what_is_hidden_is_answered_as_if_it_were_not_there(standing: World, request_: str) -> None:
    method = request_.split()[0]
    hidden, unknown = (standing.client.open(path_of(request_, n, GUEST), method=method) for n in (1, 2))
    absent = standing.client.open(path_of(request_, 1, GUEST)[:-1] + "f", method=method)
    assert hidden.json == unknown.json == absent.json
    ignored = {"X-Request-ID", "Date"}
    assert {key: value for key, value in hidden.headers if key not in ignored} == {
        key: value for key, value in unknown.headers if key not in ignored
    }


class TestSeveralWorkers:
    """Three processes, each of which has seen that the base URI is public."""

    @pytest.fixture(scope="class", params=["sqlite", *on_other_stores("postgresql", "mariadb+mongo")])
    def live(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[LiveServer]:
        database, _, plugins = request.param.partition("+")
        settings: dict[str, str] = {}
        if plugins:
            settings |= mongo_plugins(request.getfixturevalue("mongod").uri, f"visitors_{uuid.uuid4().hex}")
        with ExitStack() as stack:
            if database != "sqlite":
                settings["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database(database))
            live = LiveServer(tmp_path_factory.mktemp("workers"), workers=3, threads=2, settings=settings)
            with live.app.app_context():
                users.add_user(ADMIN, is_admin=True)
                for base_uri in (RED, BLUE):
                    base_uris.put_base_uri(base_uri, None, None)
                    registration.register_dataset(
                        OPERATOR, operator_scope("register"), dataset_info(base_uri)
                    )
                sql_db.session.commit()
                sql_db.session.remove()
                sql_db.engine.dispose()
            live.start()
            stack.callback(live.stop)
            yield live

    @staticmethod
    def seen(live: LiveServer, times: int = 30) -> set[tuple[int, int]]:
        """Return the statuses of searches without a token, and how many datasets each finds."""
        answers = [requests.get(f"{live.address}/uris", timeout=30) for _ in range(times)]
        return {(answer.status_code, len(answer.json()) if answer.ok else 0) for answer in answers}

    @staticmethod
    def put(live: LiveServer, base_uri: str, public: bool) -> None:
        answer = live.request("PUT", f"/base-uris/{base_uri}", ADMIN, json={"public": public})
        assert answer.status_code == 200

    def test_what_is_public_no_longer_is_refused_everywhere_at_once(self, live: LiveServer) -> None:
        assert self.seen(live) == {(401, 0)}
        for _ in range(3):
            self.put(live, RED, True)
            assert self.seen(live) == {(200, 1)}
            self.put(live, BLUE, True)
            assert self.seen(live) == {(200, 2)}
            self.put(live, RED, False)
            assert self.seen(live) == {(200, 1)}
            self.put(live, BLUE, False)
            assert self.seen(live) == {(401, 0)}

    def test_for_users_too(self, live: LiveServer) -> None:
        self.put(live, RED, True)
        found = [len(live.request("GET", "/uris", ADMIN).json()) for _ in range(30)]
        assert found == [1] * 30
        self.put(live, RED, False)
        assert [len(live.request("GET", "/uris", ADMIN).json()) for _ in range(30)] == [0] * 30

    def test_at_the_command_line(self, live: LiveServer) -> None:
        for option, expected in (("--public", {(200, 1)}), ("--no-public", {(401, 0)})):
            done = live.flask("base_uri", "update", RED, option)
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
            assert "the 1 dataset in" in done.stderr
            assert self.seen(live) == expected

    def test_a_search_never_mixes_what_was_and_what_is(self, live: LiveServer) -> None:
        """While it is opened and closed, each answer is one of the two, and after the last word it is that."""
        stop = threading.Event()
        found: list[set[tuple[int, int]]] = []

        def visit() -> None:
            while not stop.is_set():
                found.append(self.seen(live, 1))

        visitors = [threading.Thread(target=visit) for _ in range(2)]
        for visitor in visitors:
            visitor.start()
        for _ in range(20):
            for public in (True, False):
                self.put(live, RED, public)
                assert self.seen(live, 3) == ({(200, 1)} if public else {(401, 0)})
        stop.set()
        for visitor in visitors:
            visitor.join()
        assert found
        assert set.union(*found) <= {(200, 1), (401, 0)}


def test_a_search_takes_no_longer_than_anybody_s(tmp_path: Path) -> None:
    """Where a search would take too long it ends, and says so, as it does to users."""
    settings = {"DSERVER_SEARCH_TIMEOUT": "0.001"}
    live = LiveServer(tmp_path, workers=1, settings=settings)
    chance = random.Random(7)
    with live.app.app_context():
        base_uris.create_base_uri(RED, None, None, True)
        users.add_user(GUEST)
        for _ in range(200):
            words = ("".join(chance.choices(string.ascii_lowercase, k=6)) for _ in range(400))
            info = dataset_info(readme=" ".join(words))
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
    query = {"free_text": " ".join(f"{letter}*" for letter in "abcdefghij")}
    live.start()
    try:
        answer = requests.get(f"{live.address}/uris", params=query, timeout=30)
        of_a_user = live.request("GET", "/uris", GUEST, params=query)
    finally:
        live.stop()
    assert (answer.status_code, answer.json()) == (of_a_user.status_code, of_a_user.json())
    assert answer.status_code == 503
