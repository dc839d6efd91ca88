"""The machine of a reader who has only the clone: a home directory, python3, no ``python`` and nothing of ours.

What is installed on it gets there by the commands of the README alone.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

CHECKOUT = Path(__file__).parents[2]
COMMAND_SECONDS = 300
START_SECONDS = 180

#: Where a system has its programs. Those of the developers' virtual environment are elsewhere.
SYSTEM_PROGRAMS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
#: What Debian does not have, unless somebody has installed it.
NOT_THERE = re.compile(r"(i?python|pip|flask|gunicorn|uvicorn|dtool|uv|pytest|sphinx).*")
#: What belongs to the checkout on disk and not to a clone of it.
NOT_CLONED = shutil.ignore_patterns(
    ".git",
    ".venv*",
    ".demo",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "_build",
    "build",
    "dist",
    "*.egg-info",
)


def make_machine(home: Path, environment: Path | None = None) -> dict[str, str]:
    """Make what there is in a new home directory; return the variables of a terminal.

    There is the clone, in ``dservercore``, and a directory of programs in which Python is called ``python3`` alone.

    :param home: an empty directory
    :param environment: a virtual environment that is activated in every terminal, if any
    """
    shutil.copytree(CHECKOUT, home / "dservercore", ignore=NOT_CLONED)
    # An answer that is an error makes curl fail, and there is no progress to see.
    (home / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    programs = _link_programs(home / ".programs")
    path = str(programs) if environment is None else f"{environment / 'bin'}{os.pathsep}{programs}"
    # Where pip gets packages from is the machine's affair; that it need not fetch them again saves time.
    passed_on = {name: text for name, text in os.environ.items() if name.lower().startswith(("pip_", "ssl_"))}
    passed_on |= {name: text for name, text in os.environ.items() if name.lower().endswith("_proxy")}
    cache = passed_on.get("PIP_CACHE_DIR") or str(Path.home() / ".cache" / "pip")
    return {**passed_on, "PIP_CACHE_DIR": cache, "HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}


def _link_programs(directory: Path) -> Path:
    directory.mkdir()
    for place in map(Path, SYSTEM_PROGRAMS):
        for program in place.iterdir() if place.is_dir() else ():
            link = directory / program.name
            if not NOT_THERE.fullmatch(program.name) and not os.path.lexists(link):
                link.symlink_to(program)
    python = directory / "python3"
    python.write_text(f'#!/bin/sh\nexec {getattr(sys, "_base_executable", sys.executable)} "$@"\n')
    python.chmod(0o755)
    return directory


@dataclass
class Ran:
    """What a command printed, and the status with which it ended."""

    stdout: str
    stderr: str
    status: int

    def __str__(self) -> str:
        return f"status {self.status}\n{self.stdout}{self.stderr}"


class Shell:
    """A terminal: a bash in which one command after the other is run."""

    def __init__(self, directory: Path, environment: Mapping[str, str]):
        self._files = Path(tempfile.mkdtemp(prefix="terminal-"))
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            text=True,
        )
        self._servers: list[int] = []

    @property
    def directory(self) -> Path:
        """The working directory."""
        return Path(self.run("pwd").stdout.strip())

    def run(self, command: str) -> Ran:
        """Run a command, and wait for its end."""
        out, err, status = (self._files / name for name in ("out", "err", "status"))
        status.unlink(missing_ok=True)
        self._say(
            f"{{ {command}\n}} >{out} 2>{err} </dev/null\necho $? >{status}.new; mv {status}.new {status}"
        )
        deadline = time.monotonic() + COMMAND_SECONDS
        while not status.exists():
            assert self._bash.poll() is None, f"the shell ended: {command}"
            assert time.monotonic() < deadline, f"takes longer than {COMMAND_SECONDS} s: {command}"
            time.sleep(0.01)
        return Ran(out.read_text().replace("\r\n", "\n"), err.read_text(), int(status.read_text()))

    def serve(self, command: str, address: str) -> None:
        """Run a server in the background, and wait until it answers at *address*; another one is stopped first."""
        self.stop_serving()
        log = self._files / "server.log"
        started = self.run(f"{command} >{log} 2>&1 & echo $!")
        self._servers.append(int(started.stdout))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{address}/config/health", timeout=5).ok:
                    return
            except requests.RequestException:  # not there yet, or slow to answer
                time.sleep(0.1)
        pytest.fail(f"{command}: no answer\n{log.read_text()}")

    def stop_serving(self) -> None:
        """Stop the server, as Ctrl-C or a service manager would."""
        while self._servers:
            process = self._servers.pop()
            self.run(f"kill -{signal.SIGTERM.value} {process}; wait {process}")

    def close(self) -> None:
        """End the shell and what runs in it."""
        self.stop_serving()
        assert self._bash.stdin
        self._bash.stdin.close()
        self._bash.wait(timeout=COMMAND_SECONDS)
        shutil.rmtree(self._files)

    def _say(self, text: str) -> None:
        assert self._bash.stdin
        self._bash.stdin.write(f"{text}\n")
        self._bash.stdin.flush()
