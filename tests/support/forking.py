"""Processes of the package that start at once: copies of one that has imported it, which alone takes a second.

What such a process does, is told and leaves behind is its own, as if ``python -m ...`` had been started. It is, where
that could make a difference: with variables that Python itself reads, and in virtual environments of few processes.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from support import fork_server

#: Beginnings of variables that Python, or a library in C, reads when it starts.
READ_AT_START = ("PYTHON", "LC_", "LD_", "TZ", "OPENSSL_", "SSL_", "MALLOC_")
#: What of these makes no difference to a copy, or is seen to in one.
SEEN_TO = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
LANGUAGE = "C.UTF-8"
#: Interpreters that many processes are wanted of. A fixture adds that of an environment in which nothing is installed
#: any more; each costs the memory of a process, in which the packages are imported, until the tests end.
FORKED = {sys.executable}


class Forked:
    """A process, to be used like ``subprocess.Popen``."""

    def __init__(self, news: int):
        self._news = os.fdopen(news)
        self.returncode: int | None = None
        self.pid = int(self._news.readline())

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs; a signal that ended it counts as a negative number."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit status.

        :raises subprocess.TimeoutExpired: if it runs for more seconds than that
        """
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self._hear()
        assert self.returncode is not None
        return self.returncode

    def _hear(self) -> None:
        self.returncode = int(self._news.readline())
        self._news.close()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class _Forker:
    def __init__(self, command: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._program = subprocess.Popen(
                [*command, fork_server.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={"PATH": os.environ["PATH"], "LANG": LANGUAGE},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self._end)
        self._lock = threading.Lock()

    def start(self, message: Mapping[str, Any], files: Sequence[int]) -> Forked:
        news, told = os.pipe()
        try:
            rights = array.array("i", [*files, told])
            with self._lock:
                self._socket.sendmsg(
                    [json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
                )
        finally:
            os.close(told)
        return Forked(news)

    def _end(self) -> None:
        self._socket.close()
        self._program.wait(timeout=60)


_forkers: dict[tuple[str, ...], _Forker] = {}
_making = threading.Lock()


def _shared_forker(*command: str) -> _Forker:
    with _making:
        if command not in _forkers:
            _forkers[command] = _Forker(command)
        return _forkers[command]


def _umask() -> int:
    umask = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask")
    )
    return int(umask.split()[1], 8)


def can_be_forked(python: str, environment: Mapping[str, str]) -> bool:
    """Return whether a copy is as good as a new process of *python* with these variables."""
    read = {name for name in environment if name.startswith(READ_AT_START)} - SEEN_TO
    if sys.platform != "linux":
        return False
    return python in FORKED and environment.get("LANG") == LANGUAGE and not read


def start(
    arguments: Sequence[str | bytes],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[Any] | int,
    stdout: IO[Any] | int,
    stderr: IO[Any] | int,
    python: str = sys.executable,
    prefix: Sequence[str] = (),
    start_new_session: bool = False,
    without_warnings: bool = False,
) -> Forked | subprocess.Popen[str]:
    """Start ``python -m`` with *arguments*, the first of which is a module; the files are open.

    :param prefix: a command that takes rights away from the one that it runs
    """
    files = [file if isinstance(file, int) else file.fileno() for file in (stdin, stdout, stderr)]
    if not can_be_forked(python, env):
        options = ["-W", "ignore"] if without_warnings else []
        return subprocess.Popen(
            [*prefix, python, *options, "-m", *arguments],
            cwd=cwd,
            env=dict(env),
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            start_new_session=start_new_session,
            text=True,
        )
    message = {
        "module": arguments[0],
        "arguments": [os.fsdecode(argument) for argument in arguments[1:]],
        "directory": str(cwd),
        "environment": dict(env),
        "umask": _umask(),
        "new_session": start_new_session,
        "without_warnings": without_warnings,
    }
    return _shared_forker(*prefix, python).start(message, files)


def run(
    arguments: Sequence[str | bytes], *, timeout: float, together: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with *arguments*, to its end, with nothing to read; return what it printed.

    :param together: whether what it says on stderr is to stand among what it prints on stdout
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
        process = start(arguments, stdin=nothing, stdout=out, stderr=out if together else err, **options)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        for file in (out, err):
            file.seek(0)
        printed, said = (file.read().decode().replace("\r\n", "\n") for file in (out, err))
    return subprocess.CompletedProcess(list(arguments), status, printed, said)
