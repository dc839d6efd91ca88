"""PostgreSQL and MariaDB going away and coming back under a live server: answers in seconds, nothing to restart."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy

from dservercore.db.servers import ANSWER_SECONDS, CONNECT_SECONDS
from support.databases import new_database
from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins
from support.racing import at_once
from support.sql_servers import SQL_SERVERS, SQLServer
from support.waiting import wait_until
from support.world import CHAMPION, dataset_info

SOON = {"kill": 8, "freeze": ANSWER_SECONDS + CONNECT_SECONDS + 8}  # seconds in which everybody has an answer

pytestmark = pytest.mark.long

CONNECTIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = '{}'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = '{}'",
}
CUT = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


@pytest.fixture(scope="module", params=SQL_SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def installed(kind: str) -> Iterator[SQLServer]:
    """A server that the tests of a kind share, as it takes long to install."""
    server = SQL_SERVERS[kind]()
    try:
        server.start()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield server
    server.remove()


@pytest.fixture
def server(installed: SQLServer) -> SQLServer:
    """It, running, whatever became of it."""
    installed.thaw()
    if not installed.answers():
        installed.kill()
        installed.start()
    return installed


@pytest.fixture
def live(server: SQLServer, kind: str, mongod: Mongod, tmp_path: Path) -> Iterator[LiveServer]:
    """A server over it, with CHAMPION who may do everything in RED."""
    server_process = server
    with new_database(kind, server.address) as address:
        settings = {
            **mongo_plugins(mongod.uri, f"outages_{uuid.uuid4().hex}"),
            "SQLALCHEMY_DATABASE_URI": address,
        }
        live = LiveServer(tmp_path, settings=settings)
        live.add_people()
        live.start()
        yield live
        live.stop()
        server_process.thaw()


def put(live: LiveServer, info: dict[str, Any]) -> requests.Response:
    return live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info)


def get(live: LiveServer, path: str) -> requests.Response:
    return live.request("GET", path, CHAMPION)


def address_of(live: LiveServer) -> sqlalchemy.URL:
    return sqlalchemy.make_url(live.settings["SQLALCHEMY_DATABASE_URI"])


def cut_connections(kind: str, server: SQLServer, live: LiveServer) -> int:
    """End all connections of the server to its database; return how many there were."""
    engine = sqlalchemy.create_engine(
        server.address, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
    )
    with engine.connect() as connection:
        found = (
            connection.exec_driver_sql(CONNECTIONS[kind].format(address_of(live).database)).scalars().all()
        )
        for one in found:
            connection.exec_driver_sql(CUT[kind].format(one))
    return len(found)


def test_the_database_goes_away_and_comes_back(server: SQLServer, kind: str, live: LiveServer) -> None:
    info = dataset_info()
    path = f"/uris/{info['uri']}"
    assert put(live, info).status_code == 201

    # Connections that were cut are replaced before a request meets them.
    at_once(*[lambda: get(live, path)] * 8)
    assert cut_connections(kind, server, live) > 0
    assert [answer.status_code for answer in at_once(*[lambda: get(live, path)] * 8)] == [200] * 8

    back = {"kill": server.start, "freeze": server.thaw}
    for failure in back:
        other = dataset_info()
        at_once(*[lambda: get(live, path)] * 8)
        getattr(server, failure)()
        begin = time.monotonic()
        for answer in at_once(
            lambda: get(live, path),
            lambda: get(live, "/uris?free_text=beans"),
            lambda other=other: put(live, other),
            lambda: put(live, {**info, "name": "renamed"}),
            lambda: live.request("POST", f"/tags/{info['uri']}/new", CHAMPION),
            lambda: live.request("DELETE", path, CHAMPION),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.json() == {
                "code": 503,
                "status": "Service Unavailable",
                "message": "The database cannot serve this request now; try again in a moment",
            }
            assert answer.headers["Retry-After"]
        assert time.monotonic() - begin < SOON[failure]
        begin = time.monotonic()
        ready = requests.get(f"{live.address}/config/ready", timeout=60)
        assert time.monotonic() - begin < SOON[failure]
        assert (ready.status_code, ready.json()) == (
            503,
            {"sql": "the database cannot be reached", "search": "ok", "retrieve": "ok"},
        )
        assert requests.get(f"{live.address}/config/health", timeout=5).status_code == 200

        back[failure]()
        assert [answer.status_code for answer in at_once(*[lambda: get(live, path)] * 8)] == [200] * 8
        assert get(live, path).json()["name"] == info["name"]
        assert get(live, f"/uris/{other['uri']}").status_code == 404
        assert get(live, f"/tags/{info['uri']}").json() == {"tags": info["tags"]}
        assert put(live, other).status_code == 201


def test_a_database_that_dies_in_the_midst_of_a_write(server: SQLServer, kind: str, live: LiveServer) -> None:
    info = dataset_info()
    answers: list[requests.Response] = []
    holder = sqlalchemy.create_engine(address_of(live), poolclass=sqlalchemy.NullPool)
    with holder.connect() as connection:
        # Who writes a dataset needs the row of its base URI.
        connection.exec_driver_sql("UPDATE base_uri SET base_uri = base_uri")
        writing = threading.Thread(target=lambda: answers.append(put(live, info)))
        writing.start()
        time.sleep(2)
        assert not answers
        server.kill()
        connection.invalidate()
    writing.join(timeout=SOON["kill"])
    [answer] = answers
    assert answer.status_code == 503
    server.start()
    assert get(live, f"/uris/{info['uri']}").status_code == 404
    assert put(live, info).status_code == 201
    assert get(live, f"/uris/{info['uri']}").status_code == 200


def test_a_server_that_starts_without_its_database_waits_for_it(server: SQLServer, live: LiveServer) -> None:
    info = dataset_info()
    live.stop()
    server.kill()
    live.start()
    ready = get(live, "/config/ready")
    assert ready.status_code == 503
    assert "secret" not in ready.text
    assert ready.json()["sql"] != "ok"
    assert put(live, info).status_code == 503
    server.start()
    wait_until(lambda: get(live, "/config/ready").status_code == 200)
    assert put(live, info).status_code == 201
    assert get(live, f"/uris/{info['uri']}").status_code == 200
