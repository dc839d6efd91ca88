"""What the workers of a server count, each for itself, is right together: also after some of them were killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from support.live_server import PROGRAMS, START_SECONDS, LiveServer

TOKEN = "k3Jx9vQ2mZ7pLw4TtB8r"
WORKERS = 3
VERSIONS = ("GET", "/config/versions", "200")


def server(data_dir: Path, program: str, **options: Any) -> LiveServer:
    settings = {"DSERVER_METRICS_TOKEN": TOKEN}
    return LiveServer(data_dir, workers=WORKERS, settings=settings, program=program, **options)


# What is right under `flask serve` is so under gunicorn: the files are the same, and so is whose child a worker is.
@pytest.fixture(
    scope="module",
    params=[
        program if program == "serve" else pytest.param(program, marks=pytest.mark.long)
        for program in PROGRAMS
    ],
)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LiveServer:
    """A server that is stopped; whoever starts it stops it."""
    return server(tmp_path_factory.mktemp("metrics"), request.param)


@pytest.fixture
def running(live: LiveServer) -> Iterator[LiveServer]:
    live.start()
    yield live
    live.stop()


def samples(live: LiveServer) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values of each metric by the values of its labels, which are in the order of their names."""
    answer = requests.get(f"{live.address}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            assert labels not in found.setdefault(sample.name, {}), f"twice: {sample}"
            found[sample.name][labels] = sample.value
    return found


def counted(live: LiveServer) -> float:
    """Return how many requests for the versions were counted."""
    return samples(live)["dserver_request_seconds_count"].get(VERSIONS, 0)


def ask(live: LiveServer, times: int) -> int:
    """Ask for the versions so often, from several clients at once, and return how often."""

    def ask_some() -> None:
        for _ in range(times // 6):
            assert requests.get(f"{live.address}/config/versions", timeout=20).ok

    clients = [threading.Thread(target=ask_some) for _ in range(6)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return times // 6 * 6


def ask_until_all_count(live: LiveServer) -> int:
    """Ask for the versions until each worker has counted something, and return how often."""
    asked, deadline = 0, time.monotonic() + START_SECONDS
    while len(slots(live)) < WORKERS:
        assert time.monotonic() < deadline
        asked += ask(live, 60)
    return asked


def directories(live: LiveServer) -> list[Path]:
    """Return the directories of the servers that have one."""
    return [path for path in (live.data_dir / "metrics").iterdir() if path.is_dir()]


def slots(live: LiveServer) -> list[Path]:
    """Return the files of the slots of all servers."""
    metrics = live.data_dir / "metrics"
    return sorted(metrics.glob("*/histogram_*.db")) if metrics.exists() else []


def wait_for_workers(live: LiveServer, but: set[int]) -> None:
    """Wait until as many workers run as there are to be, without some."""
    deadline = time.monotonic() + START_SECONDS
    while len(set(live.workers) - but) < WORKERS:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_each_worker_counts_adds_up(running: LiveServer) -> None:
    asked = ask_until_all_count(running)
    found = samples(running)
    assert found["dserver_request_seconds_count"][VERSIONS] == asked
    buckets = {
        float(labels[0]): value
        for labels, value in found["dserver_request_seconds_bucket"].items()
        if labels[1:] == VERSIONS
    }
    assert buckets[float("inf")] == asked
    in_order = [buckets[bound] for bound in sorted(buckets)]
    assert in_order == sorted(in_order)
    assert 0 < found["dserver_request_seconds_sum"][VERSIONS] < asked * 20
    assert set(found["process_cpu_seconds_total"]) == {("0",), ("1",), ("2",)}


def test_nothing_is_lost_and_nothing_is_left_when_workers_are_killed(running: LiveServer) -> None:
    asked = ask_until_all_count(running)
    for _ in range(4):
        killed = set(running.workers[:2])
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        assert counted(running) == asked
        wait_for_workers(running, but=killed)
        asked += ask(running, 60)
        assert counted(running) == asked
    assert len(slots(running)) == WORKERS


@pytest.mark.long
def test_workers_that_are_killed_while_they_answer_leave_what_can_be_read(running: LiveServer) -> None:
    answered, is_over, lock = [0], threading.Event(), threading.Lock()

    def ask_on() -> None:
        while not is_over.is_set():
            try:
                is_answered = requests.get(f"{running.address}/config/versions", timeout=20).ok
            except requests.RequestException:  # of the worker that was killed
                continue
            with lock:
                answered[0] += is_answered

    before = counted(running)
    clients = [threading.Thread(target=ask_on) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        last, kills = before, 5
        for _ in range(kills):
            victim = running.workers[0]
            os.kill(victim, signal.SIGKILL)
            wait_for_workers(running, but={victim})
            time.sleep(0.2)
            now = counted_in_spite_of_kills(running)
            assert now >= last
            last = now
    finally:
        is_over.set()
        for client in clients:
            client.join()
    # A worker counts before it answers: what it was about to answer when it was killed may be counted.
    assert answered[0] <= counted(running) - before <= answered[0] + kills * 4


def counted_in_spite_of_kills(live: LiveServer) -> float:
    while True:
        try:
            return counted(live)
        except requests.RequestException:
            continue


@pytest.mark.long
def test_a_server_that_is_started_again_begins_at_zero(live: LiveServer) -> None:
    for end in (live.stop, live.kill):
        live.start()
        assert counted(live) == 0
        asked = ask(live, 30)
        assert counted(live) == asked
        assert len(directories(live)) == 1
        end()


@pytest.mark.long
def test_two_servers_with_one_directory_do_not_mix(running: LiveServer) -> None:
    other = server(running.data_dir, running.program)
    other.start()
    try:
        asked, asked_other = ask(running, 30), ask(other, 60)
        assert (counted(running), counted(other)) == (asked, asked_other)
        assert len(directories(running)) == 2
    finally:
        other.stop()


@pytest.mark.long
def test_workers_count_that_come_from_a_process_which_has_loaded_the_application(tmp_path: Path) -> None:
    live = server(tmp_path, "gunicorn", options=["--preload"])
    live.start()
    try:
        asked = ask_until_all_count(live)
        assert counted(live) == asked
        killed = set(live.workers)
        os.kill(live.pid, signal.SIGHUP)  # all workers are replaced
        wait_for_workers(live, but=killed)
        asked += ask(live, 60)
        assert counted(live) == asked
    finally:
        live.stop()


def test_a_disk_that_is_full_keeps_no_request_from_its_answer(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("no directory can be made here")
    live = server(tmp_path, "serve")
    live.start()
    try:
        ask(live, 30)
        found = samples(live)
        assert "dserver_request_seconds_count" not in found
        assert found["dserver_database_up"] == {(): 1}
        assert "Metrics are not counted" in live.log.read_text()
    finally:
        live.stop()
