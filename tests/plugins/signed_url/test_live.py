"""Files and archives over a real socket: large, slow, cut off, killed."""

from __future__ import annotations

import os
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris
from dservercore.catalog.storage import indexing
from support.live_server import LiveServer
from support.world import CHAMPION

from .conftest import freeze, quoted

pytestmark = [pytest.mark.long, pytest.mark.attack]

SIZE = 5 * 2**30 + 7  # bytes, of a sparse file
MOST_MEMORY = 150 * 2**20


class Store:
    def __init__(self, live: LiveServer, base: Path, uri: str) -> None:
        self.live, self.base, self.uri = live, base, uri
        urls = live.request("GET", f"/signed-urls/dataset/{quoted(uri)}", CHAMPION).json()
        self.urls: dict[str, Any] = urls
        self.large = next(iter(urls["item_urls"].values()))

    def memory(self) -> int:
        """Return the bytes of memory that the worker which has most has had at most, without what it shares."""
        most = 0
        for worker in self.live.workers:
            lines = Path(f"/proc/{worker}/status").read_text().splitlines()
            most = max(most, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")))
        return most


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("live")
    base = folder / "base"
    base.mkdir()
    uri = freeze(base, "large", {"large": b"x"})
    with (base / "large" / "data" / "large").open("r+b") as file:
        file.truncate(SIZE)
        file.seek(SIZE - 4)
        file.write(b"end!")
    (folder / "server").mkdir()
    live = LiveServer(
        folder / "server",
        workers=1,
        threads=2,
        settings={"DSERVER_EXTENSIONS": "signed_url", "TMPDIR": str(folder)},
        program="serve",
    )
    live.add_people(uri.rpartition("/")[0])
    with live.app.app_context():
        list(indexing.index_base_uri(operator_scope("register"), uri.rpartition("/")[0]))
        sql_db.session.commit()
        sql_db.session.remove()
        sql_db.engine.dispose()
    live.start()
    yield Store(live, base, uri)
    live.stop()


def connected(store: Store, url: str) -> socket.socket:
    """Return a connection on which a file is asked for, whose client takes next to nothing at a time."""
    host, port = store.live.address.partition("://")[2].split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    path = url.removeprefix(store.live.address)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    return connection


def test_five_gigabytes(store: Store) -> None:
    began, received, last = time.monotonic(), 0, b""
    with requests.get(store.large, stream=True, timeout=60) as answer:
        assert answer.headers["Content-Length"] == str(SIZE)
        for piece in answer.iter_content(2**20):
            received, last = received + len(piece), piece
    assert received == SIZE
    assert last.endswith(b"end!")
    assert store.memory() < MOST_MEMORY
    print(f"{received / 2**20 / (time.monotonic() - began):.0f} MiB/s")


def test_a_part_at_the_end(store: Store) -> None:
    answer = requests.get(store.large, headers={"Range": "bytes=-4"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, b"end!")
    assert answer.headers["Content-Range"] == f"bytes {SIZE - 4}-{SIZE - 1}/{SIZE}"


def test_an_archive_of_five_gigabytes(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "large.zip"
    with (
        requests.get(store.urls["archive_url"], stream=True, timeout=60) as answer,
        target.open("wb") as file,
    ):
        assert answer.headers["Transfer-Encoding"] == "chunked"
        for piece in answer.iter_content(2**20):
            if piece.count(0) == len(piece):  # most of it, which takes no room on the disk
                file.seek(len(piece), os.SEEK_CUR)
            else:
                file.write(piece)
    with zipfile.ZipFile(target) as archive:
        assert archive.getinfo("large/data/large").file_size == SIZE
        assert archive.read("large/README.yml") == b"crop: beans\n"
    assert store.memory() < MOST_MEMORY


def test_slow_clients_keep_no_thread_and_fill_no_disk(store: Store) -> None:
    connections = [connected(store, store.large) for _ in range(12)]
    try:
        assert all(connection.recv(100).startswith(b"HTTP/1.1 200") for connection in connections)
        began = time.monotonic()
        for _ in range(10):
            assert requests.get(f"{store.live.address}/config/health", timeout=10).ok
        assert time.monotonic() - began < 10
        held = [
            os.path.getsize(f"/proc/{worker}/fd/{number}")
            for worker in store.live.workers
            for number in os.listdir(f"/proc/{worker}/fd")
            if "(deleted)" in os.readlink(f"/proc/{worker}/fd/{number}")
        ]
        assert held == []
        assert store.memory() < MOST_MEMORY
    finally:
        for connection in connections:
            connection.close()


def test_files_of_clients_that_have_gone_are_closed(store: Store) -> None:
    def open_files() -> int:
        return sum(
            os.readlink(f"/proc/{worker}/fd/{number}").endswith("data/large")
            for worker in store.live.workers
            for number in os.listdir(f"/proc/{worker}/fd")
            if os.path.lexists(f"/proc/{worker}/fd/{number}")
        )

    connection = connected(store, store.large)
    connection.recv(100)
    assert open_files() >= 1
    connection.close()
    deadline = time.monotonic() + 30
    while open_files():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_file_that_is_cut_off_is_seen_to_be(store: Store) -> None:
    file = store.base / "large" / "data" / "large"
    with requests.get(store.large, stream=True, timeout=60) as answer:
        pieces = answer.iter_content(2**16)
        next(pieces)
        os.truncate(file, SIZE // 2)
        try:
            with pytest.raises(requests.RequestException):
                for _ in pieces:
                    pass
        finally:
            os.truncate(file, SIZE - 4)
            with file.open("ab") as end:
                end.write(b"end!")


def test_the_signature_is_in_no_log(store: Store) -> None:
    requests.get(store.large, headers={"Range": "bytes=0-9"}, timeout=60)
    log = store.live.log.read_text()
    assert "GET /signed-urls/files/file" in log
    assert "signature=" not in log
    assert store.large.partition("signature=")[2][:40] not in log


def test_a_server_that_is_killed_leaves_half_an_answer_and_serves_it_again(store: Store) -> None:
    with requests.get(store.large, stream=True, timeout=60) as answer:
        pieces = answer.iter_content(2**16)
        next(pieces)
        store.live.kill()
        with pytest.raises(requests.RequestException):
            for _ in pieces:
                pass
    store.live.start()
    answer = requests.get(store.large, headers={"Range": f"bytes={2**32}-{2**32 + 9}"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, bytes(10))  # by the same URL
    assert base_uris  # what is registered is as it was
    assert store.live.request("GET", f"/uris/{quoted(store.uri)}", CHAMPION).status_code == 200
