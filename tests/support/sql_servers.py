"""Real PostgreSQL and MariaDB servers for tests that stop, kill and freeze them: each on a free port.

Their programs refuse to run as root, who starts them as the user that their packages make.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from support.waiting import free_port

START_SECONDS = 60


def program(name: str) -> str:
    """Return the path of a program of a server.

    :raises FileNotFoundError: if it is not installed
    """
    debian = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *debian, "/usr/sbin"]))
    if found is None:
        raise FileNotFoundError(f"No {name} on this machine")
    return found


class SQLServer:
    """One server process with its children; it can be killed, frozen and started again on what it has stored.

    :ivar address: of its database for maintenance
    """

    account = ""
    database = ""
    scheme = ""

    def __init__(self) -> None:
        # Not in the folder of the test, which other users cannot enter.
        self.folder = Path(tempfile.mkdtemp(prefix="dserver-test-"))
        self.port = free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.address = f"{self.scheme}@{self.place}/{self.database}"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(self.account)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> Sequence[str]:
        """Return the command that makes what the server needs to start."""
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """Return the command that starts the server."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.folder / "log"
        with log.open("ab") as stream:
            options: dict[str, Any] = {"cwd": self.folder, "stdout": stream, "stderr": stream, **self._user}
            if not (self.folder / "data").exists():
                subprocess.run(self.prepare(), check=True, **options)
            self._process = subprocess.Popen(self.command(), start_new_session=True, **options)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether the server answers."""
        engine = sqlalchemy.create_engine(self.address, poolclass=sqlalchemy.NullPool)
        try:
            with engine.connect():
                return True
        except DBAPIError:
            return False

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        processes = self._processes()
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait(timeout=60)
        while any(Path(f"/proc/{process}/root").is_symlink() and _is_alive(process) for process in processes):
            time.sleep(0.02)

    def freeze(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it, and forget what it has stored."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:  # it was a child that has ended meanwhile
                continue

    def _processes(self) -> list[int]:
        """Return the server, which starts others, and its children."""
        if self._process is None or self._process.poll() is not None:
            return []
        server = self._process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return [server, *map(int, children)]


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class PostgreSQL(SQLServer):
    account = "postgres"
    database = "postgres"
    scheme = "postgresql+psycopg://postgres"

    def prepare(self) -> Sequence[str]:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        return [program("initdb"), "-D", str(self.folder / "data"), *options]

    def command(self) -> Sequence[str]:
        settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            f"port={self.port}",
            "shared_buffers=16MB",
        ]
        return [
            program("postgres"),
            "-D",
            str(self.folder / "data"),
            *(part for setting in settings for part in ("-c", setting)),
        ]


class MariaDB(SQLServer):
    account = "mysql"
    database = "mysql"
    scheme = "mysql+pymysql://root"

    def prepare(self) -> Sequence[str]:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        return [program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder / 'data'}", *options]

    def command(self) -> Sequence[str]:
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--innodb-buffer-pool-size=32M",
        ]


SQL_SERVERS = {"postgresql": PostgreSQL, "mariadb": MariaDB}
