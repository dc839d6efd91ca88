"""Datasets are uploaded, over a real socket, into a directory of the server."""

from __future__ import annotations

import hashlib
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dtoolcore
import pytest
from dtoolcore.utils import generate_identifier

from dservercore.catalog import base_uris, users
from dservercore.db import sql_db
from support.live_server import LiveServer
from support.waiting import wait_until
from support.world import CHAMPION, READER

from .uploader import Uploader, announcement, item, packaged, put, same


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[LiveServer]:
    settings = {"DSERVER_EXTENSIONS": "signed_url"}
    patience = ["--client-timeout", "10"]
    server = LiveServer(
        tmp_path_factory.mktemp("live"), workers=2, settings=settings, program="serve", options=patience
    )
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


def stored(folder: Path) -> set[str]:
    """Return the paths of all files in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_broken_off_leaves_nothing_and_is_sent_again(uploader: Uploader, folder: Path) -> None:
    content = b"0123456789" * 300_000
    begun = uploader.begun(announcement(item("big", content)))
    dataset = folder / begun["uuid"]
    before = stored(dataset)
    with begin_to_put(only_url(begun), len(content)) as connection:
        connection.sendall(content[:2_000_000])
        wait_until(lambda: stored(dataset) != before)
    wait_until(lambda: stored(dataset) == before)
    uploader.send_all(begun, lambda _identifier: content)
    uploader.completed(begun["uri"])
    assert (dataset / "data" / "big").read_bytes() == content


@pytest.mark.long
def test_a_client_that_stops_in_the_middle_is_given_up(uploader: Uploader, folder: Path) -> None:
    begun = uploader.begun(announcement(item("a", b"peas" * 1000)))
    before = stored(folder / begun["uuid"])
    with begin_to_put(only_url(begun), 4000) as connection:
        connection.sendall(b"peas")
        assert b"HTTP/1.1 408" in connection.recv(1000)
    assert stored(folder / begun["uuid"]) == before


def test_nothing_is_asked_for_that_is_refused(uploader: Uploader) -> None:
    url = only_url(uploader.begun(announcement(item("a", b"peas"))))
    expecting = "Expect: 100-continue\r\n"
    for refused, length, status in ((f"{url}x", 4, b"403"), (url, 5, b"400"), (url, 2**40, b"400")):
        with begin_to_put(refused, length, expecting) as connection:
            assert connection.recv(12) == b"HTTP/1.1 " + status
    with begin_to_put(url, 4, expecting) as connection:
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"peas")
        assert connection.recv(12) == b"HTTP/1.1 200"


def only_url(begun: dict[str, Any]) -> str:
    (one,) = begun["upload_urls"]["items"].values()
    return str(one["url"])


def begin_to_put(url: str, length: int, headers: str = "") -> socket.socket:
    """Return a connection on which the head of a request is sent, and nothing of its body."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=60)
    head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n{headers}"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
    return connection


def test_two_send_the_same_file_at_once(uploader: Uploader, folder: Path) -> None:
    content = b"peas" * 1000
    begun = uploader.begun(announcement(item("a", content)))
    url = only_url(begun)
    with begin_to_put(url, len(content)) as connection:
        connection.sendall(content[:10])
        wait_until(lambda: any(path.endswith(".part") for path in stored(folder / begun["uuid"])))
        answer = put(url, content)
        assert (answer.status_code, answer.json()["message"]) == (
            409,
            "Somebody else is uploading this file at this moment",
        )
        connection.sendall(content[10:])
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert put(url, content).status_code == 200  # once more, which changes nothing


def test_a_file_is_received_in_constant_memory(uploader: Uploader, live: LiveServer, folder: Path) -> None:
    size = 400 * 2**20
    part = bytes(range(256)) * 4096
    digest = hashlib.md5()
    for _ in range(size // len(part)):
        digest.update(part)
    announced = item("large", b"") | {"size_in_bytes": size, "hash": digest.hexdigest()}
    begun = uploader.begun(announcement(announced))
    before = max(map(peak_of, live.workers))
    answer = put(only_url(begun), Parts(part, size))
    assert answer.status_code == 200, answer.text
    assert max(map(peak_of, live.workers)) - before < 30 * 2**20
    answer = live.flask("pending_upload", "delete", begun["uuid"], "--delete-storage")
    assert answer.stdout == f"Removed: {begun['uuid']} {begun['uri']}\n"
    assert not (folder / begun["uuid"]).exists()


class Parts:
    """A long body that is no file, of which the length is known."""

    def __init__(self, part: bytes, size: int):
        self._part, self.len, self._left = part, size, size

    def read(self, _size: int = -1) -> bytes:
        part = self._part[: self._left]
        self._left -= len(part)
        return part


def peak_of(pid: int) -> int:
    """Return the most memory, in bytes, that a process has ever had."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_clients_that_complete_at_once_register_one_dataset(uploader: Uploader, live: LiveServer) -> None:
    begun = uploader.begun(announcement(*(item(f"{n:03}", b"x") for n in range(200)), name="raced"))
    uploader.send_all(begun, lambda _identifier: b"x")
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(uploader.complete, [begun["uri"]] * 4))
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {400, 409}
    found = live.request("POST", "/uris", CHAMPION, json={"uuids": [begun["uuid"]]}).json()
    assert [dataset["name"] for dataset in found] == ["raced"]


def test_clients_that_begin_at_once_have_one_upload(uploader: Uploader, live: LiveServer) -> None:
    bodies = [announcement(item(f"of-{n}", b"x"), uuid=str(uuid.UUID(int=7))) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(uploader.begin, bodies))
    assert {answer.status_code for answer in answers} <= {200, 409}
    # The last one counts, whichever it is: the URLs of the others write nothing any more.
    statuses = []
    for answer in answers:
        statuses.append(put(only_url(answer.json()), b"x").status_code)
    assert sorted(statuses) == [200, 409, 409, 409]
    live.flask("pending_upload", "delete", str(uuid.UUID(int=7)), "--delete-storage")


def test_pending_uploads_are_listed_and_removed(uploader: Uploader, live: LiveServer, folder: Path) -> None:
    begun = uploader.begun(announcement(item("a", b"x"), name="left-behind"))
    listed = live.flask("pending_upload", "list").stdout.splitlines()
    (line,) = [line for line in listed if begun["uuid"] in line]
    assert line.endswith(f"  left-behind  olga  {begun['uri']}")
    assert begun["uuid"] not in live.flask("pending_upload", "list", "--older-than", "1").stdout
    assert live.flask("pending_upload", "cleanup", "--older-than", "1").stdout == ""
    dry = live.flask("pending_upload", "cleanup", "--older-than", "0", "--dry-run")
    assert f"Would remove: {line}" in dry.stdout.splitlines()
    assert (folder / begun["uuid"]).exists()
    cleaned = live.flask("pending_upload", "cleanup", "--older-than", "0", "--delete-storage")
    assert f"Removed: {begun['uuid']} {begun['uri']}" in cleaned.stdout.splitlines()
    assert not (folder / begun["uuid"]).exists()
    unknown = live.flask("pending_upload", "delete", begun["uuid"])
    assert (unknown.stdout, unknown.returncode) == (
        f"No pending upload found with UUID: {begun['uuid']}\n",
        0,
    )
    assert put(only_url(begun), b"x").status_code == 404


def test_the_storage_of_a_frozen_dataset_is_never_removed(
    uploader: Uploader, live: LiveServer, folder: Path
) -> None:
    begun = uploader.begun(announcement(item("a", b"x")))
    admin = folder / begun["uuid"] / ".dtool" / "dtool"
    admin.write_text(admin.read_text().replace("protodataset", "dataset"))
    removed = live.flask("pending_upload", "delete", begun["uuid"], "--delete-storage")
    assert f"Not deleted from its storage: {begun['uri']}" in removed.stderr
    assert admin.exists()


@pytest.mark.long
def test_a_completion_that_is_killed_is_done_again(
    uploader: Uploader, live: LiveServer, folder: Path
) -> None:
    """At whatever moment: afterwards it succeeds, and there is one dataset, which is whole."""
    files = {f"folder-{n % 7}/{n:04}.txt": b"%d" % n for n in range(1500)}
    for delay in (0.02, 0.1, 0.2, 0.3, 0.4, 0.6):
        begun = uploader.begun(announcement(*(item(path, content) for path, content in files.items())))
        _place(folder / begun["uuid"], files)
        assert put(begun["upload_urls"]["readme"], b"a: b\n").status_code == 200
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(uploader.complete, begun["uri"])
            time.sleep(delay)
            live.kill()
            was_answered = answer.exception() is None
        live.start()
        if not was_answered:
            again = uploader.complete(begun["uri"])
            registered = live.request("GET", f"/uris/{begun['uri']}", CHAMPION)
            # It may have been committed, and the answer lost.
            assert again.status_code == (200 if again.ok else 400), again.text
            assert registered.status_code == 200
        dataset = dtoolcore.DataSet.from_uri(begun["uri"])
        assert len(dataset.identifiers) == len(files)
        assert {dataset.item_properties(one)["relpath"] for one in dataset.identifiers} == set(files)
        assert all((folder / begun["uuid"] / "data" / path).read_bytes() == c for path, c in files.items())
        found = live.request("POST", "/uris", CHAMPION, json={"uuids": [begun["uuid"]]}).json()
        assert len(found) == 1
        assert live.flask("pending_upload", "list").stdout.count(begun["uuid"]) == 0


def _place(dataset: Path, files: dict[str, bytes]) -> None:
    """Put files where they are once they are uploaded, which takes less time than uploading them."""
    for path, content in files.items():
        name = f"{generate_identifier(path)}-{hashlib.md5(content).hexdigest()}"
        (dataset / ".dtool" / "uploads" / name).write_bytes(content)
