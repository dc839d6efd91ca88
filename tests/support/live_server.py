"""A server as users run it: `flask serve` or gunicorn, on a socket, over a database of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from flask import Flask
from flask_jwt_extended import create_access_token

from dservercore import create_app, sql_db
from dservercore.catalog import base_uris, users
from dservercore.settings.keys import PRIVATE_KEY_NAME, PUBLIC_KEY_NAME, generate_key_pair
from support import forking
from support.waiting import free_port
from support.world import ADMIN, CHAMPION, RED

START_SECONDS = 60
APPLICATION = "dservercore:create_app()"
#: Programs that serve.
PROGRAMS = ["gunicorn", "serve"]


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a server process: what the caller names, and nothing of the caller's own settings."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(data_dir),
        "LANG": "C.UTF-8",
        "FLASK_APP": "dservercore",
        "DSERVER_DATA_DIR": str(data_dir),
        "AWS_EC2_METADATA_DISABLED": "true",
        **settings,
    }


def flask(
    data_dir: Path, *arguments: str, python: str = sys.executable, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run ``flask`` with *arguments*."""
    return forking.run(
        ["flask", *arguments],
        cwd=data_dir,
        env=environment(data_dir, **settings),
        python=python,
        timeout=START_SECONDS,
    )


class LiveServer:
    """An installation in *data_dir*: keys, an upgraded database, and a server that can be stopped, killed, restarted.

    :param settings: further environment variables of the server
    :param options: of the program
    :param program: one of PROGRAMS
    :param application: what is served, of a module of the package or of the tests
    :param python: the interpreter of another virtual environment, whose packages the server shall have
    :ivar trusted: file with the certificate of a server that speaks TLS, whose address a test changes
    :ivar app: the same installation in this process, to set things up behind the server's back
    """

    def __init__(
        self,
        data_dir: Path,
        workers: int = 2,
        threads: int = 4,
        settings: Mapping[str, str] = {},
        python: str = sys.executable,
        options: Sequence[str] = (),
        program: str = "gunicorn",
        application: str = APPLICATION,
    ):
        self.data_dir = data_dir
        self.settings = dict(settings)
        self.python = python
        self.address = f"http://127.0.0.1:{free_port()}"
        self.database = data_dir / "app.db"
        self.log = data_dir / f"{program}.log"
        self.trusted: str | None = None
        self.program = program
        self._application = application
        self._options = ["--workers", str(workers), "--threads", str(threads), *options]
        self._process: forking.Forked | subprocess.Popen[str] | None = None
        self._tokens: dict[str, str] = {}
        private, public = data_dir / PRIVATE_KEY_NAME, data_dir / PUBLIC_KEY_NAME
        if not private.exists():  # else it is an installation that somebody else has made
            generate_key_pair(data_dir)
        upgraded = self.flask("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        self.app: Flask = create_app(
            {
                "SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.database}",
                "JWT_PRIVATE_KEY": private.read_text(),
                "JWT_PUBLIC_KEY": public.read_text(),
                "DSERVER_LOG_LEVEL": "WARNING",
                **(self.settings if python == sys.executable else {}),
            }
        )

    def add_people(self, base_uri: str = RED) -> None:
        """Register an administrator, and CHAMPION, who may do everything in a base URI; hold no connection then."""
        with self.app.app_context():
            users.put_user(ADMIN, {"is_admin": True})
            users.put_user(CHAMPION, {})
            base_uris.put_base_uri(base_uri, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
            sql_db.session.remove()
            sql_db.engine.dispose()

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``flask`` with *arguments*, as the administrator of the server does."""
        return flask(self.data_dir, *arguments, python=self.python, **self.settings)

    def start(self) -> None:
        """Start the program in a process group of its own, and wait until it answers."""
        with self.log.open("a") as stream, open(os.devnull) as nothing:
            self._process = forking.start(
                self._command(),
                cwd=self.data_dir,
                env=environment(self.data_dir, **self._of_application(), **self.settings),
                python=self.python,
                stdin=nothing,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _of_application(self) -> dict[str, str]:
        if self._application == APPLICATION:
            return {}
        return {"FLASK_APP": self._application, "PYTHONPATH": str(Path(__file__).parents[1])}

    def _command(self) -> list[str]:
        host, port = self.address.partition("://")[2].split(":")
        if self.program == "serve":
            return ["flask", "serve", "--host", host, "--port", port, *self._options]
        return ["gunicorn", "--bind", f"{host}:{port}", *self._options, self._application]

    @property
    def pid(self) -> int:
        """The process that watches over the workers."""
        assert self._process
        return self._process.pid

    @property
    def extensions(self) -> list[str]:
        """The bundled extensions that are in use."""
        return self.settings.get("DSERVER_EXTENSIONS", "").split(",")

    @property
    def workers(self) -> list[int]:
        """The processes that answer requests."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.address}/config/health", timeout=5, verify=self.trusted).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def kill(self) -> None:
        """End master and workers at once, as a power cut does, without a chance to finish anything."""
        assert self._process
        assert self._process.poll() is None, self.log.read_text()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def processor_seconds(self) -> float:
        """Return how long a processor has worked for the workers that run now."""
        statuses = [
            Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split() for worker in self.workers
        ]
        return sum(int(status[11]) + int(status[12]) for status in statuses) / os.sysconf("SC_CLK_TCK")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Let the server finish what it has begun, and end; return its exit status."""
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(signal_number)
            self._process.wait(timeout=45)
        return self._process.returncode

    def bearer(self, username: str) -> dict[str, str]:
        """Return the headers of a request by that user."""
        if username not in self._tokens:  # signing one takes longer than most requests
            with self.app.app_context():
                self._tokens[username] = create_access_token(username)
        return {"Authorization": f"Bearer {self._tokens[username]}"}

    def request(self, method: str, path: str, username: str, **options: Any) -> requests.Response:
        """Send a request as that user and return the answer."""
        options.setdefault("timeout", 60)
        options.setdefault("verify", self.trusted)
        headers = {**self.bearer(username), **options.pop("headers", {})}
        return requests.request(method, self.address + path, headers=headers, **options)
