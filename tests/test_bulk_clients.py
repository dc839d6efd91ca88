"""Clients of ``/uris/bulk`` as they are: behind gunicorn, slow to read, or gone in the middle."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dservercore.catalog.registration import RUN
from support.live_server import LiveServer
from support.stores import disagreements
from support.world import CHAMPION, dataset_info

pytestmark = pytest.mark.long

LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module", params=["sync", "gthread"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    options = ["--worker-class", request.param, "--limit-request-line", "8190"]
    threads = 1 if request.param == "sync" else 4  # with more, gunicorn makes gthread of sync
    server = LiveServer(tmp_path_factory.mktemp("bulk"), workers=2, threads=threads, options=options)
    server.add_people()
    server.start()
    yield server
    server.stop()


def line(**changes: Any) -> bytes:
    return json.dumps(dataset_info(**changes)).encode() + b"\n"


def number_of_datasets(live: LiveServer) -> int:
    return live.request("GET", "/me/summary", CHAMPION).json()["number_of_datasets"]


def statuses(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [json.loads(result)["status"] for result in answer.iter_lines()]


@pytest.mark.parametrize("in_chunks", [True, False])
def test_a_client_that_sends_everything_before_it_reads(live, in_chunks):
    before = number_of_datasets(live)
    lines = [line() for _ in range(2 * RUN + 3)]
    body = iter(lines) if in_chunks else b"".join(lines)
    answer = live.request("POST", "/uris/bulk", CHAMPION, data=body, headers=LINES, stream=True)
    assert statuses(answer) == [201] * len(lines)
    assert number_of_datasets(live) == before + len(lines)


def test_errors_in_more_lines_than_sockets_have_room_for(live):
    """The results are larger than what the kernel keeps for a client that is still sending."""
    number = 100_000
    answer = live.request("POST", "/uris/bulk", CHAMPION, data=b"{\n" * number, headers=LINES, stream=True)
    assert statuses(answer) == [400] * number


def test_a_body_in_chunks_that_are_none(live):
    before = number_of_datasets(live)
    head = _head(live, "Transfer-Encoding: chunked")
    with _connected(live) as client:
        client.sendall(head + b"5\r\n{\n{\n{\r\nnonsense\r\n")
        assert client.recv(2**16).startswith(b"HTTP/1.1 400 ")
    assert number_of_datasets(live) == before


@pytest.mark.parametrize("cut", [0, 100])
def test_of_a_client_that_is_gone_complete_lines_count_and_nothing_else(live, cut):
    before = number_of_datasets(live)
    complete = RUN + 10 - (cut > 0)
    body = b"".join(line() for _ in range(RUN + 10))
    head = _head(live, f"Content-Length: {len(body) + 1000}")
    with _connected(live) as client:
        client.sendall(head + body[: len(body) - cut])
    deadline = time.monotonic() + 60
    while number_of_datasets(live) < before + complete:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # Whoever has read the rest of the body by now has found that there is none.
    assert statuses(live.request("POST", "/uris/bulk", CHAMPION, data=line(), headers=LINES)) == [201]
    assert number_of_datasets(live) == before + complete + 1
    assert disagreements(live.database) == []


def _head(live: LiveServer, length: str) -> bytes:
    token = live.bearer(CHAMPION)["Authorization"]
    fields = ["POST /uris/bulk HTTP/1.1", "Host: x", f"Authorization: {token}", length]
    return "\r\n".join([*fields, f"Content-Type: {LINES['Content-Type']}", "", ""]).encode()


def _connected(live: LiveServer) -> socket.socket:
    host, port = live.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_killed_in_the_middle_leaves_whole_runs(tmp_path: Path) -> None:
    live = LiveServer(tmp_path, workers=1)
    live.add_people()
    live.start()

    def lines() -> Iterator[bytes]:
        for number in range(4 * RUN):
            if number == 3 * RUN - 10:
                while number_of_datasets(live) < 2 * RUN:
                    time.sleep(0.05)
                live.kill()
            yield line()

    with pytest.raises(OSError):  # noqa: PT011 whichever way a connection breaks
        live.request("POST", "/uris/bulk", CHAMPION, data=lines(), headers=LINES)
    live.start()
    assert number_of_datasets(live) == 2 * RUN
    assert disagreements(live.database) == []
    live.stop()


def number_of_datasets_in(live: LiveServer) -> int:
    return live.request("GET", "/me/summary", CHAMPION).json()["number_of_datasets"]
