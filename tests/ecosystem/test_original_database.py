"""An installation of the original server, made for real, becomes one of ours: rows, documents, answers."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
import requests
import yaml
from bson import ObjectId

from dservercore.settings.keys import generate_key_pair
from support.environments import made_once, new_environment, python_of
from support.live_server import LiveServer, environment, flask
from support.mongod import Mongod
from support.waiting import free_port

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "open-data-registry.jsonl.gz"
NUMBER = 60

# What its last release needs in order to start.
ORIGINAL = [
    *["dservercore==0.22.0", "flask<3", "flask-smorest==0.42.3", "marshmallow<4", "flask-marshmallow<1.3"],
    *[
        "marshmallow-sqlalchemy<1.2",
        "dserver-search-plugin-mongo==0.4.2",
        "dserver-retrieve-plugin-mongo==0.4.2",
    ],
    *["gunicorn", "cryptography"],
]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus is not at {CORPUS}"),
]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with the original server."""

    def make(folder: Path) -> None:
        new_environment(folder / "venv", *ORIGINAL)

    return python_of(made_once(tmp_path_factory, "original", make) / "venv")


class Original:
    """An installation of the original server, with users and datasets that came through its command line and API."""

    def __init__(self, folder: Path, python: str, mongod: Mongod, database: str):
        self.folder = folder
        private, public = generate_key_pair(folder)
        self.settings = {
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'app.db'}",
            "JWT_PRIVATE_KEY_FILE": str(private),
            "JWT_PUBLIC_KEY_FILE": str(public),
        }
        for kind in ("SEARCH", "RETRIEVE"):
            self.settings |= {f"{kind}_MONGO_URI": mongod.uri, f"{kind}_MONGO_DB": database}
            self.settings[f"{kind}_MONGO_COLLECTION"] = "datasets"
        self.python = python
        for command in ("init", "migrate", "upgrade"):
            self.run("db", command)
        self.run("user", "add", "carl")
        self.run("user", "add", "--is_admin", "ada")
        for base_uri in ("s3://red", "s3://blue"):
            self.run("base_uri", "add", base_uri)
            self.run("user", "register_permission", "carl", base_uri)
        self.run("user", "search_permission", "carl", "s3://red")
        self.token = self.run("user", "token", "carl", "--last-forever").strip()
        self.answers: dict[str, Any] = {}
        self.datasets = [document(*entry) for entry in enumerate(descriptions())]
        self._register()

    def run(self, *arguments: str) -> str:
        done = flask(self.folder, *arguments, python=self.python, **self.settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _register(self) -> None:
        port = free_port()
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.settings}
        command = [self.python, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "dservercore:create_app()"]
        with (self.folder / "original.log").open("w") as log:
            server = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.token}"
        deadline = time.monotonic() + 60
        while True:
            try:
                session.get(f"{address}/config/health", timeout=5)
                break
            except (requests.ConnectionError, requests.Timeout):
                assert time.monotonic() < deadline, (self.folder / "original.log").read_text()
                time.sleep(0.1)
        for info in self.datasets:
            answer = session.put(f"{address}/uris/{info['uri']}", json=info, timeout=60)
            assert answer.status_code == 201, answer.text
        for path in questions(self.datasets):
            answer = session.get(address + path, timeout=60)
            assert answer.status_code == 200, (path, answer.text)
            self.answers[path] = answer.json()
        server.terminate()
        server.wait(timeout=30)


def questions(infos: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what carl asks before and after."""
    yield from ("/me", "/me/summary", "/users/carl", "/users/carl/summary")
    yield from ("/uris?page_size=100", "/uris?page=2&page_size=7&sort=-name", "/uris?base_uris=s3://red")
    red = [info for info in infos if info["base_uri"] == "s3://red"]
    for info in red[:4]:
        yield f"/uris?uuids={info['uuid']}"
        yield from (f"/uris?tags={tag}&page_size=100" for tag in info["tags"][:1])
        yield from (f"/{kind}/{info['uri']}" for kind in ("uris", "readmes", "manifests", "tags"))
        yield f"/uuids/{info['uuid']}"


def is_within(theirs: Any, ours: Any) -> bool:
    """Return whether an answer says what another one says, and perhaps more of each object.

    Permissions are sets: the original lists them as they came, and we list them by name.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(
            sorted(value) == sorted(ours.get(key, ()))
            if key.endswith("_permissions_on_base_uris")
            else key in ours and is_within(value, ours[key])
            for key, value in theirs.items()
        )
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(is_within, theirs, ours))
    return bool(theirs == ours)


def descriptions() -> list[dict[str, Any]]:
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines][:NUMBER]


def document(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a client of the original sends."""
    base_uri = ["s3://red", "s3://blue"][number % 2]
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, entry["slug"]))
    tags = [
        re.sub(r"[^0-9A-Za-z._-]+", "-", str(tag))
        for tag in yaml.safe_load(entry["readme"]).get("Tags") or []
    ]
    item = {
        "relpath": f"raw/U{number:05d}.3.rev.1.bt2",
        "hash": "x",
        "size_in_bytes": number,
        "utc_timestamp": 1.5,
    }
    return {
        "uuid": identifier,
        "base_uri": base_uri,
        "uri": f"{base_uri}/{identifier}",
        "name": entry["slug"][:80],
        "type": "dataset",
        "readme": entry["readme"],
        "manifest": {
            "items": {f"{number:040x}": item},
            "hash_function": "md5sum_hexdigest",
            "dtoolcore_version": "3.18.2",
        },
        "creator_username": "olga",
        "frozen_at": "1537916653.7",
        "created_at": "1537802877.62",
        "annotations": {"soil": "loam", "number": number},
        "tags": list(dict.fromkeys(tags)),
        "number_of_items": 1,
        "size_in_bytes": number,
    }


@pytest.fixture(scope="module")
def made(original: str, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Original:
    """The installation, as the original leaves it."""
    return Original(tmp_path_factory.mktemp("original"), original, mongod, f"original_{uuid.uuid4().hex}")


@pytest.fixture
def found(made: Original, mongod: Mongod, tmp_path: Path) -> Iterator[Original]:
    """A copy of it, for one test."""
    copy = Original.__new__(Original)
    copy.__dict__.update(made.__dict__)
    copy.folder = tmp_path / "copy"
    shutil.copytree(made.folder, copy.folder)
    database = f"original_{uuid.uuid4().hex}"
    copy.settings = {
        **made.settings,
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{copy.folder / 'app.db'}",
        "SEARCH_MONGO_DB": database,
        "RETRIEVE_MONGO_DB": database,
    }
    with pymongo.MongoClient(mongod.uri) as client:
        documents = client[made.settings["SEARCH_MONGO_DB"]]["datasets"]
        there = client[database]["datasets"]
        there.create_index([("$**", pymongo.TEXT)])
        there.insert_many(list(documents.find()))
        yield copy
        client.drop_database(database)


class Adopted(LiveServer):
    """Our server on what the original left."""

    def __init__(self, found: Original, **plugins: str):
        self.token = found.token
        super().__init__(found.folder, settings={**found.settings, **plugins})

    def get(self, path: str) -> Any:
        answer = requests.get(
            self.address + path, headers={"Authorization": f"Bearer {self.token}"}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


MONGO = {"DSERVER_SEARCH_PLUGIN": "mongo", "DSERVER_RETRIEVE_PLUGIN": "mongo"}


def adopt(found: Original, *options: str, **plugins: str) -> subprocess.CompletedProcess[str]:
    return flask(found.folder, "adopt", *options, **{**found.settings, **plugins})


def test_nothing_is_changed_before_the_plan_is_confirmed(found: Original, mongod: Mongod) -> None:
    before = content(found, mongod)
    for command in (["user", "list"], ["db", "upgrade"], ["db", "current"], ["dataset", "list"]):
        refused = flask(found.folder, *command, **{**found.settings, **MONGO})
        assert refused.returncode == 1
        assert "`flask adopt` takes it over" in refused.stderr
    shown = adopt(found, **MONGO)
    assert shown.returncode == 1
    assert f"2 users, 2 base URIs, {NUMBER} datasets" in shown.stdout
    assert "--yes" in shown.stderr
    assert adopt(found, "--documents-from", "mongo").returncode == 1
    assert content(found, mongod) == before


def content(found: Original, mongod: Mongod) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return everything that the original has left: the bytes of its database, and what is in MongoDB."""
    files = {path.name: path.read_bytes() for path in found.folder.glob("app.db*")}
    assert list(files) == ["app.db"]
    return files, documents(found, mongod)


def documents(found: Original, mongod: Mongod) -> dict[str, Any]:
    """Return the documents and indexes of every collection."""
    with pymongo.MongoClient(mongod.uri) as client:
        database = client[found.settings["SEARCH_MONGO_DB"]]
        return {
            name: (sorted(database[name].find(), key=repr), database[name].index_information())
            for name in database.list_collection_names()
        }


@pytest.mark.parametrize(
    ("options", "plugins"),
    [((), MONGO), (("--documents-from", "mongo"), {})],
    ids=["documents stay in MongoDB", "documents are copied into SQL"],
)
def test_everything_is_there_afterwards(
    found: Original, mongod: Mongod, options: tuple[str, ...], plugins: dict[str, str]
) -> None:
    before = documents(found, mongod)
    done = adopt(found, "--yes", *options, **plugins)
    assert done.returncode == 0, done.stderr
    assert f"Adopted {NUMBER} datasets" in done.stderr
    assert "without a description" not in done.stderr
    if options:
        assert documents(found, mongod) == before
    else:  # everything can be found when it says so
        stored, _ = documents(found, mongod)["datasets"]
        assert all(document["_search"]["version"] for document in stored)
    again = adopt(found, "--yes", **plugins)
    assert again.returncode == 0
    assert "Nothing to do" in again.stderr

    users = json.loads(flask(found.folder, "user", "list", **{**found.settings, **plugins}).stdout)
    assert [(u["username"], u["is_admin"]) for u in users] == [("carl", False), ("ada", True)]
    assert users[0]["search_permissions_on_base_uris"] == ["s3://red"]
    assert users[0]["register_permissions_on_base_uris"] == ["s3://blue", "s3://red"]

    live = Adopted(found, **plugins)
    live.start()
    for path, theirs in found.answers.items():
        ours = live.get(path)
        assert is_within(theirs, ours), (path, theirs, ours)
    red = [info for info in found.datasets if info["base_uri"] == "s3://red"]
    listed = live.get("/uris?page_size=100")
    assert {d["uri"]: (d["name"], d["frozen_at"]) for d in listed} == {
        info["uri"]: (info["name"], 1537916653.7) for info in red
    }
    for info in red[:5]:
        assert live.get(f"/readmes/{info['uri']}") == {"readme": info["readme"]}
        assert live.get(f"/manifests/{info['uri']}") == info["manifest"]
        assert live.get(f"/annotations/{info['uri']}") == {"annotations": info["annotations"]}
        assert live.get(f"/tags/{info['uri']}") == {"tags": info["tags"]}
        for text in (
            info["uuid"],
            next(iter(info["manifest"]["items"].values()))["relpath"],
            f'"{info["name"]}" loam',
        ):
            assert [d["uri"] for d in live.get(f"/uris?free_text={text}")] == [info["uri"]]
        assert [d["uri"] for d in live.get(f"/uris?uuids={info['uuid']}")] == [info["uri"]]
    summary = live.get("/me/summary")
    assert summary["number_of_datasets"] == len(red)
    assert summary["total_size_in_bytes"] == sum(info["size_in_bytes"] for info in red)
    assert summary["tags"] == sorted({tag for info in red for tag in info["tags"]})

    info = red[0]
    headers = {"Authorization": f"Bearer {live.token}"}
    assert requests.post(f"{live.address}/tags/{info['uri']}/new", headers=headers, timeout=60).json() == {
        "tags": [*info["tags"], "new"]
    }
    assert [d["uri"] for d in live.get("/uris?tags=new")] == [info["uri"]]
    assert (
        requests.delete(f"{live.address}/uris/{info['uri']}", headers=headers, timeout=60).status_code == 200
    )
    assert live.get(f"/uris?uuids={info['uuid']}") == []
    live.stop()


def test_a_database_without_the_documents_is_refused_before_anything_changes(
    found: Original, mongod: Mongod
) -> None:
    before = content(found, mongod)
    elsewhere = {**MONGO, "SEARCH_MONGO_DB": "none", "RETRIEVE_MONGO_DB": "none"}
    for options, plugins in (
        ((), elsewhere),
        ((), {}),
        (("--documents-from", "mongo"), {"RETRIEVE_MONGO_DB": "none"}),
    ):
        refused = adopt(found, "--yes", *options, **plugins)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "document" in refused.stderr
    away = adopt(
        found, "--yes", **MONGO, RETRIEVE_MONGO_URI="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500"
    )
    assert away.returncode == 1
    assert "cannot be reached" in away.stderr
    assert content(found, mongod) == before


def test_of_several_documents_the_newest_is_copied_and_the_source_stays(
    found: Original, mongod: Mongod
) -> None:
    info = found.datasets[0]
    with pymongo.MongoClient(mongod.uri) as client:
        collection = client[found.settings["SEARCH_MONGO_DB"]]["datasets"]
        newest = collection.find_one({"uri": info["uri"]})
        assert newest
        for readme, age in (("older", 9), ("oldest", 99)):
            frozen_at = newest["frozen_at"] - timedelta(days=age)
            collection.insert_one({**newest, "_id": ObjectId(), "readme": readme, "frozen_at": frozen_at})
    before = documents(found, mongod)
    assert adopt(found, "--yes", "--documents-from", "mongo").returncode == 0
    assert documents(found, mongod) == before
    live = Adopted(found)
    live.start()
    assert live.get(f"/readmes/{info['uri']}") == {"readme": info["readme"]}
    live.stop()


def test_one_that_is_written_to_is_not_taken_over(found: Original, mongod: Mongod) -> None:
    before = content(found, mongod)
    with contextlib.closing(sqlite3.connect(found.folder / "app.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        done = adopt(found, "--yes", **MONGO)
        connection.execute("ROLLBACK")
    assert done.returncode == 1
    assert "stop the original server" in done.stderr
    assert content(found, mongod) == before


#: How far it has come, as SQL that yields a row from then on.
MOMENTS = [
    "SELECT 1 FROM sqlite_master WHERE name = 'unfinished_adoption'",
    "SELECT 1 FROM sqlite_master WHERE name = 'dataset_tag'",
    "SELECT 1 FROM alembic_version WHERE version_num = '0001'",
    "SELECT 1 FROM alembic_version WHERE version_num > '0001'",
    "SELECT 1 FROM summary_count",
    "SELECT 1 FROM dataset_document",
]


def test_killed_at_any_moment_it_goes_on_when_run_again(found: Original) -> None:
    options = ["--yes", "--documents-from", "mongo"]
    for moment in MOMENTS:
        with subprocess.Popen(
            [sys.executable, "-m", "flask", "adopt", *options],
            env=environment(found.folder, **found.settings),
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None and not has_come(found, moment):
                time.sleep(0.002)
            process.kill()
        if process.returncode == 0:  # it was faster
            break
        refused = flask(found.folder, "db", "current", **found.settings)
        assert refused.returncode == 1
        assert "run `flask adopt` again" in refused.stderr
    assert adopt(found, *options).returncode == 0
    live = Adopted(found)
    live.start()
    for path, theirs in found.answers.items():
        assert is_within(theirs, live.get(path)), path
    live.stop()


def has_come(found: Original, moment: str) -> bool:
    with contextlib.closing(sqlite3.connect(found.folder / "app.db")) as connection:
        try:
            return connection.execute(moment).fetchone() is not None
        except sqlite3.OperationalError:  # the table is not there yet, or is locked
            return False


def test_an_edit_is_not_undone_by_doing_it_again(found: Original) -> None:
    uri = found.datasets[0]["uri"]
    assert adopt(found, "--yes", "--documents-from", "mongo").returncode == 0
    live = Adopted(found)
    live.start()
    headers = {"Authorization": f"Bearer {live.token}"}
    edited = requests.put(f"{live.address}/tags/{uri}", json={"tags": ["ours"]}, headers=headers, timeout=60)
    assert edited.status_code == 200
    live.stop()
    assert adopt(found, "--yes", "--documents-from", "mongo").returncode == 0
    live.start()
    assert live.get(f"/tags/{uri}") == {"tags": ["ours"]}
    live.stop()


def test_a_database_that_is_not_taken_over_completely_is_not_served(found: Original) -> None:
    assert adopt(found, "--yes", **MONGO).returncode == 0
    with contextlib.closing(sqlite3.connect(found.folder / "app.db")) as connection, connection:
        connection.execute("CREATE TABLE unfinished_adoption (marker INTEGER)")
        connection.execute("DELETE FROM summary_count")
    for command in (["user", "list"], ["db", "upgrade"]):
        refused = flask(found.folder, *command, **{**found.settings, **MONGO})
        assert command == ["user", "list"] or refused.returncode == 1
        assert command == ["user", "list"] or "run `flask adopt` again" in refused.stderr
    port = str(free_port())
    server = flask(found.folder, "run", "--port", port, **{**found.settings, **MONGO})
    assert server.returncode == 1
    assert "run `flask adopt` again" in server.stderr
    assert adopt(found, "--yes", **MONGO).returncode == 0
    live = Adopted(found, **MONGO)
    live.start()
    assert live.get("/me/summary")["number_of_datasets"] == NUMBER // 2
    live.stop()


def test_datasets_without_a_document_are_named(found: Original, mongod: Mongod) -> None:
    uri = found.datasets[0]["uri"]
    with pymongo.MongoClient(mongod.uri) as client:
        client[found.settings["SEARCH_MONGO_DB"]]["datasets"].delete_one({"uri": uri})
    done = adopt(found, "--yes", **MONGO)
    assert done.returncode == 0
    assert "1 dataset without a description" in done.stderr
    assert uri in done.stderr


def test_what_is_no_database_of_the_original_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE bill (amount)")
    before = file.read_bytes()
    refused = flask(tmp_path, "adopt", "--yes", SQLALCHEMY_DATABASE_URI=f"sqlite:///{file}")
    assert refused.returncode == 1
    assert refused.stderr == "This is no database of the original server: it has no table 'user'\n"
    assert file.read_bytes() == before
