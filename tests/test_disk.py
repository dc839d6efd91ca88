"""A disk that is full, and a database file that may not be written: a clear 503, nothing lost, and on it goes."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins
from support.world import CHAMPION, dataset_info

SIZE = 6 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for little."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(params=["sql", "mongo"])
def live(request: pytest.FixtureRequest, small_disk: Path, tmp_path: Path) -> Iterator[LiveServer]:
    settings = {"DSERVER_DATA_DIR": str(small_disk)}
    if request.param == "mongo":
        mongod: Mongod = request.getfixturevalue("mongod")
        settings |= mongo_plugins(mongod.uri, f"disk_{uuid.uuid4().hex}")
    live = LiveServer(small_disk, settings=settings)
    live.log = tmp_path / "gunicorn.log"
    live.add_people()
    live.start()
    yield live
    live.stop()


def put(live: LiveServer, info: dict[str, Any]) -> Any:
    return live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info)


def total(live: LiveServer) -> int:
    return int(live.request("GET", "/me/summary", CHAMPION).json()["number_of_datasets"])


def test_a_disk_that_is_full(live: LiveServer, small_disk: Path) -> None:
    stored = []
    for _ in range(3):
        info = dataset_info()
        assert put(live, info).status_code == 201
        stored.append(info)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    refused = []
    for number in range(300):
        info = dataset_info(annotations={"size": "x" * 1000 * (1 + number % 5)})
        answer = put(live, info)
        if answer.status_code == 201:  # there was room in what the database has already
            stored.append(info)
            continue
        assert answer.status_code == 503, answer.text
        assert answer.json()["message"] == "The database cannot serve this request now; try again in a moment"
        refused.append(info)
        if len(refused) > 3:
            break
    assert refused, "there was room for everything"
    tag = live.request("POST", f"/tags/{stored[0]['uri']}/new", CHAMPION)
    assert tag.status_code in (200, 503)
    assert live.request("DELETE", f"/uris/{stored[1]['uri']}", CHAMPION).status_code in (200, 503)
    assert live.request("GET", f"/readmes/{stored[0]['uri']}", CHAMPION).json() == {
        "readme": stored[0]["readme"]
    }
    ballast.unlink()
    for info in refused:
        assert live.request("GET", f"/uris/{info['uri']}", CHAMPION).status_code == 404
        assert live.request("GET", f"/uris?uuids={info['uuid']}", CHAMPION).json() == []
    for info in refused:
        assert put(live, info).status_code == 201
    for info in [stored[0], *stored[2:], *refused]:
        assert live.request("GET", f"/annotations/{info['uri']}", CHAMPION).json() == {
            "annotations": info["annotations"]
        }
    checked = live.flask("dataset", "check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def test_a_database_that_may_not_be_written(live: LiveServer, small_disk: Path) -> None:
    info, other = dataset_info(), dataset_info()
    assert put(live, info).status_code == 201
    live.stop()
    database = str(live.database)
    subprocess.run(["mount", "--bind", database, database], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", database], check=True)
    try:
        live.start()
        answer = put(live, other)
        assert answer.status_code == 503, answer.text
        assert "message" in answer.json()
        assert live.request("GET", f"/uris/{info['uri']}", CHAMPION).status_code == 200
        assert live.request("GET", f"/readmes/{info['uri']}", CHAMPION).status_code == 200
        assert total(live) == 1
    finally:
        subprocess.run(["umount", "--lazy", database], check=True)
    assert put(live, other).status_code == 201
    assert total(live) == 2
    checked = live.flask("dataset", "check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
