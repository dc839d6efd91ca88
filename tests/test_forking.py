"""Copies of a process that has imported the package are like processes that have just been started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import forking
from support.live_server import environment
from support.waiting import wait_until

PROBE = """
import json, os, signal, sys, threading
print(json.dumps({
    "arguments": sys.argv[1:], "directory": os.getcwd(), "environment": dict(os.environ), "path": sys.path[:2],
    "umask": os.umask(0), "threads": threading.active_count(), "name": __name__, "session": os.getsid(0) == os.getpid(),
    "files": sorted(int(file) for file in os.listdir("/proc/self/fd"))[:-1], "imported": "dservercore" in sys.modules,
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "child": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, "encoding": sys.stdout.encoding,
    "errors": sys.stdout.errors, "bytecode": sys.dont_write_bytecode,
}))
"""
ENDS = """
import os, signal, sys, threading
how = sys.argv[1]
print("begun", flush=True)
if how == "status": sys.exit(7)
if how == "text": sys.exit("a reason")
if how == "error": raise RuntimeError("a fault")
if how == "thread": threading.Thread(target=lambda: print("from a thread")).start()
if how == "waiting": signal.pause()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "ends.py").write_text(ENDS)
    return tmp_path


def both(place: Path, *arguments: str, **settings: str) -> Iterator[subprocess.CompletedProcess[str]]:
    """Run a module as a copy, and as a process that is started."""
    variables = environment(place, **settings)
    assert forking.can_be_forked(sys.executable, variables) == (sys.platform == "linux")
    yield forking.run(arguments, cwd=place, env=variables, timeout=60)
    yield subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=place,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_it_finds_itself_in_the_same_place(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        copy, started = both(
            place, "probe", "a", "\udcff", PYTHONPATH=str(place / "more"), PYTHONDONTWRITEBYTECODE="1"
        )
    finally:
        os.umask(before)
    assert copy.stderr == started.stderr == ""
    assert copy.stdout.replace('"imported": true', '"imported": false') == started.stdout


@pytest.mark.parametrize("how", ["nothing", "status", "text", "error", "thread"])
def test_it_ends_in_the_same_way(place: Path, how: str) -> None:
    copy, started = both(place, "ends", how)
    assert (copy.returncode, copy.stdout) == (started.returncode, started.stdout)
    assert copy.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(place: Path, number: signal.Signals) -> None:
    with (place / "out").open("w") as out, (place / "err").open("w") as err, open(os.devnull) as nothing:
        process = forking.start(
            ["ends", "waiting"], cwd=place, env=environment(place), stdin=nothing, stdout=out, stderr=err
        )
        wait_until(lambda: (place / "out").read_text() == "begun\n")
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(number)
        assert process.wait(60) == process.poll() == -number


def test_many_at_once_are_told_apart(place: Path) -> None:
    ended: dict[str, int] = {}

    def run(how: str) -> None:
        done = forking.run(["ends", how], cwd=place, env=environment(place), timeout=60)
        ended[how] = done.returncode

    threads = [threading.Thread(target=run, args=[how]) for how in ("nothing", "status", "text")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == {"nothing": 0, "status": 7, "text": 1}


@pytest.mark.parametrize(
    "settings", [{"PYTHONUTF8": "0"}, {"LANG": "C"}, {"LC_ALL": "C"}, {"TZ": "Asia/Tokyo"}]
)
def test_what_python_reads_at_its_start_makes_a_process(place: Path, settings: dict[str, str]) -> None:
    variables = environment(place) | settings
    assert not forking.can_be_forked(sys.executable, variables)
    done = forking.run(["probe"], cwd=place, env=variables, timeout=60)
    assert '"imported": false' in done.stdout
