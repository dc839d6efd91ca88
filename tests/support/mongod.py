"""Real MongoDB servers for tests: one alone, or a replica set, on free ports and folders of their own.

``make test`` installs the program: it comes as a package, beside the other things that developers need.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from support.waiting import free_port

START_SECONDS = 60


def executable() -> Path:
    """Return the program: the one that a package installed, else the one on the PATH.

    :raises FileNotFoundError: if there is neither
    """
    packaged = Path(sysconfig.get_path("purelib"), "fiftyone", "db", "bin", "mongod")
    if packaged.exists():
        packaged.chmod(packaged.stat().st_mode | stat.S_IXUSR)  # the package does not set it
        return packaged
    found = shutil.which("mongod")
    if found is None:
        raise FileNotFoundError("No mongod; `make venv` installs one")
    return Path(found)


def mongo_plugins(uri: str, database: str) -> dict[str, str]:
    """Return the settings by which the bundled mongo plugins serve from a database."""
    return {
        "DSERVER_SEARCH_PLUGIN": "mongo",
        "DSERVER_RETRIEVE_PLUGIN": "mongo",
        "SEARCH_MONGO_URI": uri,
        "SEARCH_MONGO_DB": database,
        "SEARCH_MONGO_COLLECTION": "datasets",
        "RETRIEVE_MONGO_URI": uri,
        "RETRIEVE_MONGO_DB": database,
        "RETRIEVE_MONGO_COLLECTION": "datasets",
    }


class Mongod:
    """One server process; it can be stopped, killed, frozen and started again on what it has stored."""

    def __init__(self, folder: Path, *options: str):
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.uri = f"mongodb://{self.address}/"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [str(executable()), "--dbpath", str(data), "--port", str(self.port)]
        command += [
            "--bind_ip",
            "127.0.0.1",
            "--wiredTigerCacheSizeGB",
            "0.25",
            "--nounixsocket",
            *self._options,
        ]
        with (self.folder / "mongod.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "mongod.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "mongod does not answer"
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether the server answers."""
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(
            self.uri, directConnection=True, serverSelectionTimeoutMS=1000
        )
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
        finally:
            client.close()
        return True

    def stop(self) -> None:
        """Let it end in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(with_signal)
            self._process.wait(timeout=60)


class ReplicaSet:
    """Three servers that hold the same data; one of them, the primary, takes the writes."""

    NAME = "rs"

    def __init__(self, folder: Path, size: int = 3):
        self.members = [
            Mongod(folder / f"member-{n}", "--replSet", self.NAME, "--oplogSize", "64") for n in range(size)
        ]
        hosts = ",".join(member.address for member in self.members)
        self.uri = f"mongodb://{hosts}/?replicaSet={self.NAME}"

    def start(self) -> None:
        """Start the servers, join them, and wait until there is a primary."""
        for member in self.members:
            member.start()
        first: pymongo.MongoClient[Any] = pymongo.MongoClient(self.members[0].uri, directConnection=True)
        members = [{"_id": n, "host": member.address} for n, member in enumerate(self.members)]
        config = {"_id": self.NAME, "members": members, "settings": {"electionTimeoutMillis": 2000}}
        first.admin.command("replSetInitiate", config)
        first.close()
        self.client(serverSelectionTimeoutMS=START_SECONDS * 1000).admin.command("ping")

    def client(self, **options: Any) -> pymongo.MongoClient[Any]:
        """Return a client of the whole set."""
        return pymongo.MongoClient(self.uri, **options)

    def primary(self) -> Mongod:
        """Return the member that takes the writes now."""
        client = self.client()
        try:
            client.admin.command("ping")
            found = client.primary
        finally:
            client.close()
        return next(member for member in self.members if found and member.port == found[1])

    def step_down(self) -> None:
        """Make the primary hand over to another member."""
        client = self.client()
        try:
            client.admin.command("replSetStepDown", 30, secondaryCatchUpPeriodSecs=10)
        finally:
            client.close()

    def stop(self, members: Sequence[Mongod] | None = None) -> None:
        """End the servers."""
        for member in self.members if members is None else members:
            member.kill()
