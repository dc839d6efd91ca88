"""The plugins that others published, as a user installs them: from the registry, beside our wheel."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from dservercore import sql_db
from dservercore.catalog import base_uris, users
from support.environments import copy_environment, pip, python_of
from support.live_server import LiveServer, flask
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

STORES = {"dserver-search-plugin-mongo": "0.4.2", "dserver-retrieve-plugin-mongo": "0.4.2"}
EXTENSIONS = {
    "dserver-direct-mongo-plugin": "0.4.2",
    "dserver-dependency-graph-plugin": "0.4.2",
    "dserver-notification-plugin": "0.4.3",
}
# The notification plugin asks for it.
NEEDED = ["dtool-s3"]

Document = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """A virtual environment with our wheel; the plugins are in folders, of which each server has those it needs."""

    folder: Path

    @property
    def python(self) -> str:
        return python_of(self.folder / "venv")

    def path(self, *kinds: str) -> str:
        """Return the ``PYTHONPATH`` that adds ``stores``, ``extensions`` or both."""
        return os.pathsep.join(str(self.folder / kind) for kind in kinds)

    def install(self, bare: Path) -> None:
        """Install everything beside what an environment with our wheel has."""
        copy_environment(bare, self.folder / "venv")
        pip(self.python, "install", "--quiet", *NEEDED)
        for kind, plugins in (("stores", STORES), ("extensions", EXTENSIONS)):
            pins = [f"{name}=={version}" for name, version in plugins.items()]
            pip(self.python, "install", "--quiet", "--no-deps", "--target", str(self.folder / kind), *pins)


class Server(LiveServer):
    """A live server with plugins, and what tests ask of it."""

    def __init__(self, data_dir: Path, python: str, settings: Mapping[str, str]):
        super().__init__(data_dir, settings=settings, python=python)
        with self.app.app_context():
            users.add_user(ADMIN, is_admin=True)
            for name in (CHAMPION, READER, NOBODY):
                users.add_user(name)
            base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION, READER])
            base_uris.create_base_uri(BLUE, [READER], [READER])
            sql_db.session.commit()
            sql_db.engine.dispose()

    def get(self, path: str, username: str = CHAMPION) -> Any:
        """Return what is answered to a reading request that succeeds."""
        return _json(self.request("GET", path, username))

    def send(self, method: str, path: str, body: Any = None, username: str = CHAMPION) -> Any:
        """Return what is answered to a writing request that succeeds."""
        return _json(self.request(method, path, username, json=body))

    def put(self, username: str = CHAMPION, **changes: Any) -> Document:
        """Register a dataset and return its document."""
        info = dataset_info(**changes)
        self.send("PUT", f"/uris/{info['uri']}", info, username)
        return info

    def search(self, path: str = "", username: str = CHAMPION, **query: Any) -> tuple[list[str], int]:
        """Return the UUIDs on the page that answers a search, and the total."""
        answer = self.request("POST", f"/uris{path}", username, json=query)
        found = _json(answer)
        return [dataset["uuid"] for dataset in found], json.loads(answer.headers["X-Pagination"])["total"]

    def query(self, username: str = CHAMPION, **query: Any) -> tuple[list[str], int]:
        """Return the UUIDs of the datasets on a page of a direct query, and how many datasets it finds."""
        answer = self.request("POST", "/mongo/query", username, json={"query": query})
        found = _json(answer)
        return [dataset["uuid"] for dataset in found], json.loads(answer.headers["X-Pagination"])["total"]

    def graph(self, uuid: str, username: str = CHAMPION) -> dict[str, list[str]]:
        """Return ``{uuid: the UUIDs that it is derived from}`` of the datasets that hang together with one."""
        return {
            dataset["uuid"]: dataset["derived_from"] for dataset in self.get(f"/graph/uuids/{uuid}", username)
        }

    def notify(self, event: str, bucket: str, key: str) -> requests.Response:
        """Send what an S3 server sends when an object was created or removed."""
        record = {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
        return requests.post(f"{self.address}/webhook/notify", json={"Records": [record]}, timeout=60)

    def versions_with(self, **settings: str) -> dict[str, str]:
        """Return the versions that the server would have with other settings."""
        done = flask(self.data_dir, "config", "versions", python=self.python, **{**self.settings, **settings})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def _json(answer: requests.Response) -> Any:
    assert answer.ok, (answer.status_code, answer.text)
    return answer.json()


def mongo_settings(uri: str) -> dict[str, str]:
    """Return settings of a database of their own, in which all plugins are told to use one collection."""
    database = f"test_{uuid.uuid4().hex}"
    prefixes = ("SEARCH", "RETRIEVE", "DSERVER")
    return {f"{prefix}_MONGO_URI": uri for prefix in prefixes} | {
        f"{prefix}_MONGO_DB": database for prefix in prefixes
    }
