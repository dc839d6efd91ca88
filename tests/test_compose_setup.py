"""What docker-compose.yml sets up, as processes: PostgreSQL for administration, MongoDB for descriptions, gunicorn."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from dservercore import sql_db
from dservercore.catalog import base_uris, users
from live_server import LiveServer
from mongod import Mongod, mongo_plugins
from world import CHAMPION, RED, dataset_info

SERVER = "postgresql+psycopg2://postgres@127.0.0.1:5432"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of an empty database on the PostgreSQL server of this machine."""
    name = f"test_{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(f"{SERVER}/postgres", isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    except sqlalchemy.exc.OperationalError as error:
        pytest.skip(f"No PostgreSQL server on this machine: {error.orig}")
    yield f"{SERVER}/{name}"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module", params=[(), ("--preload",)], ids=["", "preload"])
def live(
    request: pytest.FixtureRequest, postgresql: str, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    settings = mongo_plugins(mongod.uri, f"compose_{uuid.uuid4().hex}")
    settings["SQLALCHEMY_DATABASE_URI"] = postgresql
    folder: Path = tmp_path_factory.mktemp("compose")
    live = LiveServer(folder, workers=3, threads=2, settings=settings, options=request.param)
    with live.app.app_context():
        base_uris.delete_base_uri(RED, with_datasets=True)
        users.delete_user(CHAMPION)
        users.add_user(CHAMPION)
        base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
        sql_db.session.remove()
        sql_db.engine.dispose()
    live.start()
    yield live
    live.stop()


def at_once(number: int, ask: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(ask, range(number)))


def test_registering_finding_and_deleting(live: LiveServer) -> None:
    info = dataset_info()
    path = f"/uris/{info['uri']}"
    assert live.request("PUT", path, CHAMPION, json=info).status_code == 201
    assert live.request("GET", path, CHAMPION).json()["frozen_at"] == info["frozen_at"]
    [found] = live.request("GET", f"/uris?free_text=greenhouse&uuids={info['uuid']}", CHAMPION).json()
    assert found["frozen_at"] == info["frozen_at"]
    for resource, content in (
        ("readmes", {"readme": info["readme"]}),
        ("manifests", info["manifest"]),
        ("annotations", {"annotations": info["annotations"]}),
        ("tags", {"tags": info["tags"]}),
    ):
        assert live.request("GET", f"/{resource}/{info['uri']}", CHAMPION).json() == content
    assert live.request("DELETE", path, CHAMPION).status_code == 200
    assert live.request("GET", path, CHAMPION).status_code == 404
    assert live.request("GET", f"/uris?uuids={info['uuid']}", CHAMPION).json() == []


def test_of_several_first_registrations_one_is_the_first(live: LiveServer) -> None:
    for _ in range(5):
        info = dataset_info()
        answers = at_once(
            8,
            lambda _n, info=info: (
                live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info).status_code
            ),
        )
        assert Counter(answers) == {201: 1, 200: 7}
        [found] = live.request("GET", f"/uris?uuids={info['uuid']}", CHAMPION).json()
        assert found["uri"] == info["uri"]
        assert live.request("DELETE", f"/uris/{info['uri']}", CHAMPION).status_code == 200


def test_no_edit_at_the_same_time_is_lost(live: LiveServer) -> None:
    info = dataset_info(tags=[], annotations={})
    live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info)

    def edit(number: int) -> set[int]:
        tag = live.request("POST", f"/tags/{info['uri']}/tag{number}", CHAMPION)
        annotation = f"/annotations/{info['uri']}/name{number}"
        return {
            tag.status_code,
            live.request("PUT", annotation, CHAMPION, json={"value": number}).status_code,
        }

    assert at_once(12, edit) == [{200}] * 12
    tags = live.request("GET", f"/tags/{info['uri']}", CHAMPION).json()["tags"]
    assert sorted(tags) == sorted(f"tag{n}" for n in range(12))
    annotations = live.request("GET", f"/annotations/{info['uri']}", CHAMPION).json()["annotations"]
    assert annotations == {f"name{n}": n for n in range(12)}
    assert live.request("GET", "/me/summary", CHAMPION).json()["tags"] == sorted(tags)
    every = "&".join(f"tags=tag{n}" for n in range(12))
    assert len(live.request("GET", f"/uris?{every}", CHAMPION).json()) == 1
    assert live.request("DELETE", f"/uris/{info['uri']}", CHAMPION).status_code == 200
