"""MongoDB going away and coming back under a live server: nothing acknowledged is lost, and nobody waits for long."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from dservercore import sql_db
from dservercore.catalog import base_uris, users
from support.live_server import LiveServer
from support.mongod import Mongod, ReplicaSet, executable, mongo_plugins
from support.waiting import wait_until
from support.world import CHAMPION, RED, dataset_info

SOON = {"kill": 8, "freeze": 15}  # seconds in which everybody has an answer

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    try:
        executable()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@contextmanager
def server(folder: Path, uri: str, *options: str) -> Iterator[LiveServer]:
    """A server over this MongoDB, with CHAMPION who may do everything in RED."""
    folder.mkdir(exist_ok=True)
    live = LiveServer(folder, settings=mongo_plugins(uri, "dserver"), options=options)
    with live.app.app_context():
        users.add_user(CHAMPION)
        base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
    live.start()
    yield live
    live.stop()


def put(live: LiveServer, info: dict[str, Any]) -> requests.Response:
    return live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info)


def get(live: LiveServer, path: str) -> requests.Response:
    return live.request("GET", path, CHAMPION)


def answers_in_time(ask: Callable[[], requests.Response], failure: str = "kill") -> requests.Response:
    begin = time.monotonic()
    answer = ask()
    assert time.monotonic() - begin < SOON[failure]
    return answer


def test_a_server_starts_without_mongod_and_serves_when_it_is_there(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path / "mongod")
    with server(tmp_path / "server", mongod.uri) as live:
        ready = answers_in_time(lambda: requests.get(f"{live.address}/config/ready", timeout=60))
        assert ready.status_code == 503
        assert ready.json() == {
            "sql": "ok",
            "search": "The search store (MongoDB) cannot be reached; try again in a moment",
            "retrieve": "The retrieve store (MongoDB) cannot be reached; try again in a moment",
        }
        assert get(live, "/uris").json() == []
        assert get(live, "/me").status_code == 200
        assert answers_in_time(lambda: put(live, dataset_info())).status_code == 503
        mongod.start()
        wait_until(lambda: put(live, dataset_info()).status_code == 201)
        assert requests.get(f"{live.address}/config/ready", timeout=60).status_code == 200
        assert len(get(live, "/uris").json()) == 1
    mongod.kill()


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
@pytest.mark.parametrize("failure", ["kill", "freeze"])
def test_a_mongod_that_is_away_costs_some_answers_and_nothing_else(
    tmp_path: Path, failure: str, options: tuple[str, ...]
) -> None:
    mongod = Mongod(tmp_path / "mongod")
    mongod.start()
    info, other = dataset_info(), dataset_info(name="other")
    with server(tmp_path / "server", mongod.uri, *options) as live:
        assert put(live, info).status_code == 201
        assert get(live, f"/readmes/{info['uri']}").json() == {"readme": info["readme"]}

        getattr(mongod, failure)()
        requests_ = {
            "register": lambda: put(live, other),
            "replace": lambda: put(live, {**info, "name": "renamed"}),
            "search": lambda: get(live, "/uris?free_text=beans"),
            "read": lambda: get(live, f"/readmes/{info['uri']}"),
            "tag": lambda: live.request("POST", f"/tags/{info['uri']}/new", CHAMPION),
            "delete": lambda: live.request("DELETE", f"/uris/{info['uri']}", CHAMPION),
        }
        for name, ask in requests_.items():
            answer = answers_in_time(ask, failure)
            assert answer.status_code == 503, name
            assert answer.json()["status"] == "Service Unavailable"
            assert "MongoDB" in answer.json()["message"]
            assert mongod.address not in answer.text
        assert get(live, f"/uris/{info['uri']}").json()["name"] == info["name"]
        assert get(live, f"/uris/{other['uri']}").status_code == 404
        assert get(live, "/users/" + CHAMPION).status_code == 200  # nobody holds a lock meanwhile

        {"kill": mongod.start, "freeze": mongod.thaw}[failure]()
        wait_until(lambda: get(live, f"/readmes/{info['uri']}").status_code == 200)
        assert get(live, f"/tags/{info['uri']}").json() == {"tags": info["tags"]}
        assert put(live, other).status_code == 201
        assert [found["name"] for found in get(live, "/uris?free_text=beans&sort=name").json()] == [
            info["name"],
            "other",
        ]
    mongod.kill()


def test_other_writers_do_not_wait_while_one_finds_mongod_away(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path / "mongod")
    mongod.start()
    with server(tmp_path / "server", mongod.uri) as live:
        assert put(live, dataset_info()).status_code == 201
        mongod.freeze()
        waiting = threading.Thread(target=put, args=[live, dataset_info()])
        waiting.start()
        time.sleep(1)
        with live.app.app_context():  # takes the lock of the SQL database
            begin = time.monotonic()
            users.add_user("new")
            sql_db.session.commit()
            assert time.monotonic() - begin < 1
        waiting.join()
    mongod.thaw()
    mongod.kill()


class Stream:
    """Clients that register dataset after dataset, and remember what was acknowledged."""

    def __init__(self, live: LiveServer, clients: int = 3):
        self.live = live
        self.acknowledged: list[str] = []
        self.refused = 0
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._register) for _ in range(clients)]

    def _register(self) -> None:
        while not self._ends.is_set():
            info = dataset_info(uuid=str(uuid.uuid4()))
            answer = put(self.live, info)
            assert answer.status_code in (201, 503), answer.text
            if answer.status_code == 201:
                self.acknowledged.append(info["uri"])
            else:
                self.refused += 1

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= wanted)


def test_a_stream_of_registrations_survives_changes_of_the_primary(tmp_path: Path) -> None:
    replica_set = ReplicaSet(tmp_path / "set")
    replica_set.start()
    with server(tmp_path / "server", replica_set.uri) as live:
        with Stream(live) as stream:
            stream.wait_for(20)
            replica_set.step_down()
            stream.wait_for(20)
            dead = replica_set.primary()
            dead.kill()
            stream.wait_for(20)
            dead.start()
            stream.wait_for(20)
            replica_set.primary().kill()
            stream.wait_for(20)
        client = replica_set.client()
        stored = client["dserver"]["datasets"].distinct("uri")
        client.close()
        listed = []
        for page in range(1, 2 + len(stream.acknowledged) // 100 + stream.refused):
            found = get(live, f"/uris?page={page}&page_size=100")
            if found.status_code == 404:
                break
            listed += [dataset["uri"] for dataset in found.json()]
        assert set(stream.acknowledged) <= set(listed)
        assert set(stream.acknowledged) <= set(stored)
        assert len(stored) == len(set(stored))
        for uri in stream.acknowledged[:: max(1, len(stream.acknowledged) // 10)]:
            assert get(live, f"/readmes/{uri}").status_code == 200
            assert [d["uri"] for d in get(live, f"/uris?free_text={uri.rpartition('/')[2]}").json()] == [uri]
    replica_set.stop()
