"""Datasets are uploaded, over a real socket, into a directory of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dtoolcore
import pytest

from dservercore.catalog import base_uris, users
from dservercore.db import sql_db
from support.live_server import LiveServer
from support.world import CHAMPION, READER

from .uploader import Uploader, packaged, same


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[LiveServer]:
    settings = {"DSERVER_EXTENSIONS": "signed_url", "DSERVER_SECRET_KEY": "x" * 40}
    server = LiveServer(tmp_path_factory.mktemp("live"), workers=2, settings=settings, program="serve")
    with server.app.app_context():
        for name in (CHAMPION, READER):
            users.put_user(name, {})
        base_uris.put_base_uri(f"file://{folder}", [CHAMPION, READER], [CHAMPION])
        sql_db.session.commit()
        sql_db.session.remove()
        sql_db.engine.dispose()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def uploader(live: LiveServer, folder: Path) -> Uploader:
    return Uploader(live, f"file://{folder}")


def test_a_dataset_is_copied_in_unchanged_and_registered(
    uploader: Uploader, live: LiveServer, folder: Path, tmp_path: Path
) -> None:
    dataset = packaged(tmp_path / "own")
    uri = uploader.copy(dataset)
    assert uri == f"file://{folder}/{dataset.uuid}"
    same(dataset, dtoolcore.DataSet.from_uri(uri))
    path = f"/uris/{uri}"
    registered = live.request("GET", path, READER).json()
    assert registered["uploaded_by"] == CHAMPION
    assert (registered["name"], registered["number_of_items"]) == ("peas", 3)
    assert live.request("GET", f"/manifests/{uri}", READER).json()["items"].keys() == set(dataset.identifiers)
    assert live.request("GET", f"/tags/{uri}", READER).json()["tags"] == ["legume"]
    found = live.request("POST", "/uris", READER, json={"free_text": "peas"}).json()
    assert [one["uri"] for one in found] == [uri]
    left = {entry.name for entry in (folder / dataset.uuid / ".dtool").iterdir()}
    assert "uploads" not in left
