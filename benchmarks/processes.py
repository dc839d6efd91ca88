"""The programs that a benchmark starts: gunicorn and mongod, each on a free port, ended with the benchmark."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

START_SECONDS = 120
WORKERS = 2


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A program that runs until the ``with`` block ends.

    :param command: with its arguments
    :param log: file that its output is added to
    :param answers: returns whether the program does its work yet
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        answers: Callable[[], bool],
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._log, self._answers = command, log, answers
        self._folder, self._environment = folder, environment

    def __enter__(self) -> Program:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError(f"{self._command[0]} does not start:\n{self.last_words()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def last_words(self) -> str:
        """Return the end of the log."""
        return self._log.read_text(errors="replace")[-3000:]

    @property
    def workers(self) -> list[int]:
        """The ids of the processes that this one has started."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Gunicorn(Program):
    """An application under gunicorn with two workers; ``address`` is where it answers.

    :param python: interpreter of the virtual environment that the application is in
    :param healthy: path that it answers with a status of 200
    """

    def __init__(
        self,
        python: Path,
        application: str,
        folder: Path,
        environment: Mapping[str, str],
        healthy: str = "/config/health",
    ) -> None:
        place = f"127.0.0.1:{free_port()}"
        self.address = f"http://{place}"
        command: list[str | Path] = [
            python,
            "-m",
            "gunicorn",
            "--bind",
            place,
            "--workers",
            str(WORKERS),
            application,
        ]
        super().__init__(
            command,
            folder / "gunicorn.log",
            lambda: self._is_healthy(healthy),
            folder,
            # gunicorn keeps a socket of its own in the home directory
            {**environment, "HOME": str(folder)},
        )

    def __enter__(self) -> Gunicorn:
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, Exception):  # the log may be in a folder that goes with the benchmark
            print(f"The server's log ends so:\n{self.last_words()}", file=sys.stderr)

    def _is_healthy(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Mongod(Program):
    """A MongoDB server with its usual settings on data in *folder*; ``uri`` is its address."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.uri = f"mongodb://127.0.0.1:{port}/"
        self._port = port
        data = folder / "mongodb"
        data.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            mongod(),
            "--dbpath",
            data,
            "--port",
            str(port),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
        ]
        super().__init__(command, folder / "mongod.log", self._listens)

    def __enter__(self) -> Mongod:
        super().__enter__()
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def mongod() -> Path:
    """Return the program: the one that ``make venv`` installs as a package, else the one on the PATH.

    :raises FileNotFoundError: if there is neither
    """
    packaged = Path(sysconfig.get_path("purelib"), "fiftyone", "db", "bin", "mongod")
    if packaged.exists():
        packaged.chmod(packaged.stat().st_mode | stat.S_IXUSR)  # the package does not set it
        return packaged
    return program("mongod", "`make venv` installs one")


def program(name: str, advice: str) -> Path:
    """Return where a program is on the PATH.

    :param advice: how to get it
    :raises FileNotFoundError: if it is not there
    """
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"There is no {name}: {advice}")
    return Path(found)


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a process: the given settings, and none of the caller's own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", **settings}
