"""What docker-compose.yml sets up, as processes: PostgreSQL for administration, MongoDB for descriptions, gunicorn."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import new_database
from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins
from support.racing import by_many
from support.world import CHAMPION, dataset_info

pytestmark = pytest.mark.long

# With MariaDB in the place of PostgreSQL, too.
SETUPS = {
    "postgresql": ("postgresql", ()),
    "postgresql-preload": ("postgresql", ("--preload",)),
    "mariadb": ("mariadb", ()),
}


@pytest.fixture(scope="module", params=SETUPS)
def live(
    request: pytest.FixtureRequest, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    kind, options = SETUPS[request.param]
    with new_database(kind) as address:
        yield from _serve(address, options, mongod, tmp_path_factory)


def _serve(
    address: str, options: tuple[str, ...], mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    settings = mongo_plugins(mongod.uri, f"compose_{uuid.uuid4().hex}")
    settings["SQLALCHEMY_DATABASE_URI"] = address
    folder: Path = tmp_path_factory.mktemp("compose")
    live = LiveServer(folder, workers=3, threads=2, settings=settings, options=options)
    live.add_people()
    live.start()
    yield live
    live.stop()


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
        answers = by_many(
            lambda _n, info=info: (
                live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info).status_code
            ),
            8,
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

    assert by_many(edit, 12) == [{200}] * 12
    tags = live.request("GET", f"/tags/{info['uri']}", CHAMPION).json()["tags"]
    assert sorted(tags) == sorted(f"tag{n}" for n in range(12))
    annotations = live.request("GET", f"/annotations/{info['uri']}", CHAMPION).json()["annotations"]
    assert annotations == {f"name{n}": n for n in range(12)}
    assert live.request("GET", "/me/summary", CHAMPION).json()["tags"] == sorted(tags)
    every = "&".join(f"tags=tag{n}" for n in range(12))
    assert len(live.request("GET", f"/uris?{every}", CHAMPION).json()) == 1
    assert live.request("DELETE", f"/uris/{info['uri']}", CHAMPION).status_code == 200
