"""PostgreSQL and MariaDB going away and coming back under a live server: answers in seconds, nothing to restart."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy

from databases import new_database
from dservercore.connections import ANSWER_SECONDS, CONNECT_SECONDS
from live_server import APPLICATION, LiveServer, environment, flask, free_port
from mongod import Mongod, mongo_plugins
from sql_servers import SQL_SERVERS, SQLServer
from world import CHAMPION, dataset_info

SOON = {"kill": 8, "freeze": ANSWER_SECONDS + CONNECT_SECONDS + 8}  # seconds in which everybody has an answer
RECOVERY_SECONDS = 40

DIALECTS = {"postgresql": "postgresql+psycopg2", "mariadb": "mysql+pymysql"}
CONNECTIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = '{}'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = '{}'",
}
CUT = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


@pytest.fixture(params=SQL_SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def server(kind: str) -> Iterator[SQLServer]:
    server = SQL_SERVERS[kind]()
    try:
        server.start()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield server
    server.remove()


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


def at_once(*asks: Callable[[], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(asks)) as pool:
        return [answer.result() for answer in [pool.submit(ask) for ask in asks]]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


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


def test_a_server_without_its_database_ends_with_one_line(kind: str, tmp_path: Path) -> None:
    address = f"{DIALECTS[kind]}://dserver:secret@127.0.0.1:{free_port()}/dserver"
    settings = {
        "SQLALCHEMY_DATABASE_URI": address,
        **mongo_plugins("mongodb://127.0.0.1:1/", "none"),
    }
    expected = f"Error: The database {address.replace('secret', '***')}"
    run = flask(tmp_path, "run", "--port", "0", **settings)
    assert run.returncode == 1
    assert run.stderr.startswith(expected), run.stderr
    assert " cannot be opened: " in run.stderr
    assert run.stderr.count("\n") == 1
    gunicorn = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", APPLICATION],
        cwd=tmp_path,
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert gunicorn.returncode == 4
    assert expected in gunicorn.stderr
    assert "Traceback" not in gunicorn.stderr
