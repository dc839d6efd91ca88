"""A server is backed up under a stream of writes, and restored into an empty place: the answers are the same."""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from dservercore.models import User
from support.databases import new_database
from support.live_server import LiveServer, flask
from support.mongod import Mongod, mongo_plugins
from support.old_backups import of_postgresql
from support.stores import disagreements
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

pytestmark = pytest.mark.long

NUMBER = 30
WRITER = "wilma"
CROPS = ["beans", "peas", "lentils"]


@dataclass
class Place:
    """Where an installation is, or can be."""

    folder: Path
    settings: dict[str, str]

    def flask(self, *arguments: str) -> Any:
        return flask(self.folder, *arguments, **self.settings)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb+mongo"])
def places(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Place]]:
    """``places()`` gives an empty place for an installation."""
    database, _, documents = request.param.partition("+")

    def settings() -> Iterator[tuple[str, str]]:
        if database != "sqlite":
            yield "SQLALCHEMY_DATABASE_URI", databases.enter_context(new_database(database))
        if documents:
            mongod: Mongod = request.getfixturevalue("mongod")
            yield from mongo_plugins(mongod.uri, f"place_{uuid.uuid4().hex}").items()

    with ExitStack() as databases:
        yield lambda: Place(tmp_path_factory.mktemp("place"), dict(settings()))


@dataclass
class Backup:
    """A backup that was made while the server was written to.

    :ivar answers: of the server, before the backup began
    :ivar acknowledged: URIs that had been registered in BLUE when it began
    """

    file: Path
    place: Place
    tokens: dict[str, dict[str, str]]
    answers: dict[tuple[str, str], Any]
    acknowledged: set[str]
    said: str


@pytest.fixture(scope="module")
def backup(places: Callable[[], Place], tmp_path_factory: pytest.TempPathFactory) -> Backup:
    place = places()
    live = LiveServer(place.folder, settings=place.settings)
    red = fill(live)
    live.start()
    tokens = {name: live.bearer(name) for name in (ADMIN, CHAMPION, READER, NOBODY, WRITER)}
    answers = {question: ask(live.address, tokens, *question) for question in questions(red)}
    file = tmp_path_factory.mktemp("backup") / "server.tar"
    with Writing(live, tokens[WRITER]) as writing:
        writing.wait_for(20)
        acknowledged = set(writing.acknowledged)
        done = live.flask("backup", "--with-keys", str(file))
        writing.wait_for(len(writing.acknowledged) + 5)
    live.stop()
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return Backup(file, place, tokens, answers, acknowledged, done.stderr)


def fill(live: LiveServer) -> list[dict[str, Any]]:
    """Add users and permissions, and datasets to RED that nobody will change."""
    infos = [
        dataset_info(
            name=f"harvest-{n}",
            readme=f"description: {CROPS[n % 3]} of row {n}\n",
            tags=[f"row-{n % 7}"],
            creator_username=f"gardener{n % 4}",
            annotations={"row": n, "soil": {"kind": "loam"}},
            size_in_bytes=n * 10**9,
        )
        for n in range(NUMBER)
    ]
    with live.app.app_context():
        users.add_user(ADMIN, is_admin=True, display_name="Ada Lovelace")
        for name in (CHAMPION, READER, NOBODY, WRITER):
            users.add_user(name)
        base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION])
        base_uris.create_base_uri(BLUE, [WRITER], [WRITER])
        for info in infos:
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        sql_db.session.remove()
        sql_db.engine.dispose()
    return infos


def questions(infos: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield who asks what, of that which does not change meanwhile."""
    for path in ("/users", "/base-uris", f"/base-uris/{RED}", f"/users/{READER}/summary"):
        yield ADMIN, path
    for name in (CHAMPION, READER, NOBODY):
        for path in (
            "/me",
            "/me/summary",
            "/uris?page_size=100&sort=-name",
            "/uris?page=2&page_size=7",
            "/uris?free_text=lentils&page_size=100",
            '/uris?free_text="row 4"',
            "/uris?tags=row-3&creator_usernames=gardener1",
        ):
            yield name, path
    for info in infos[::6]:
        for resource in ("uris", "readmes", "manifests", "annotations", "tags"):
            yield READER, f"/{resource}/{info['uri']}"
        yield READER, f"/uuids/{info['uuid']}"
        yield NOBODY, f"/readmes/{info['uri']}"


def ask(address: str, tokens: dict[str, dict[str, str]], name: str, path: str) -> Any:
    answer = requests.get(address + path, headers=tokens[name], timeout=60)
    return answer.status_code, answer.json(), answer.headers.get("X-Pagination")


class Writing:
    """Somebody who goes on registering and editing datasets in BLUE."""

    def __init__(self, live: LiveServer, token: dict[str, str]):
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._live, self._token = live, token
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._write) for _ in range(2)]

    def _write(self) -> None:
        for number in itertools.count():
            if self._over.is_set():
                return
            info = dataset_info(BLUE, readme="x" * 2000 * (number % 9))
            for method, path, content in (
                ("PUT", f"/uris/{info['uri']}", info),
                ("PUT", f"/readmes/{info['uri']}", {"readme": "edited"}),
            ):
                answer = requests.request(
                    method, self._live.address + path, json=content, headers=self._token, timeout=60
                )
                if not answer.ok:
                    self.refused.append(answer.text)
            with self._changed:
                self.acknowledged.append(info["uri"])
                self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= number, timeout=120)

    def __enter__(self) -> Writing:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self.refused == []


def test_the_restored_server_answers_the_same(backup: Backup, places: Callable[[], Place]) -> None:
    place = places()
    restored = place.flask("restore", str(backup.file))
    assert restored.returncode == 0, restored.stderr
    assert "Restored 5 users, 2 base URIs and " in restored.stderr
    live = LiveServer(place.folder, settings=place.settings)
    live.start()
    try:
        for question, before in backup.answers.items():
            assert ask(live.address, backup.tokens, *question) == before, question
        for uri in backup.acknowledged:
            status, answer, _ = ask(live.address, backup.tokens, WRITER, f"/readmes/{uri}")
            assert (status, answer) == (200, {"readme": "edited"})
        summary = ask(live.address, backup.tokens, WRITER, "/me/summary")[1]
        listed = ask(live.address, backup.tokens, WRITER, "/uris?page_size=100")[2]
        assert f'"total": {summary["number_of_datasets"]}' in listed
        assert summary["number_of_datasets"] >= len(backup.acknowledged)
    finally:
        live.stop()
    checked = place.flask("dataset", "check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
    if not place.settings:
        assert disagreements(live.database) == []


def test_everything_is_in_one_backup(backup: Backup) -> None:
    assert backup.said.startswith("Backed up 5 users, 2 base URIs and ")
    assert backup.said.count("\n") == 1  # nothing is elsewhere


def test_a_database_with_data_is_replaced_only_on_purpose(
    backup: Backup, places: Callable[[], Place]
) -> None:
    place = places()
    assert place.flask("init", "--admin", "zoe").returncode == 0
    assert "--force replaces" in refused(place, str(backup.file))
    assert "--yes" in refused(place, "--force", str(backup.file))
    assert usernames(place) == {"zoe"}
    done = place.flask("restore", "--force", "--yes", "--without-keys", str(backup.file))
    assert done.returncode == 0, done.stderr
    assert usernames(place) == {ADMIN, CHAMPION, READER, NOBODY, WRITER}
    began = int(time.time())
    assert place.flask("user", "add", "zoe").returncode == 0  # for all that is known, another one
    app = LiveServer(place.folder, settings=place.settings).app
    with app.app_context():
        query = select(User.username, User.tokens_since)
        since = {row.username: row.tokens_since for row in sql_db.session.execute(query)}
        sql_db.session.remove()
        sql_db.engine.dispose()
    assert since.pop("zoe") >= began
    assert set(since.values()) == {None}


def refused(place: Place, *arguments: str) -> str:
    """Return the one line by which a restore is refused."""
    done = place.flask("restore", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    return done.stderr


def test_one_of_an_earlier_version_goes_into_its_own_kind(
    backup: Backup, places: Callable[[], Place], tmp_path: Path
) -> None:
    if not backup.place.settings.get("SQLALCHEMY_DATABASE_URI", "").startswith("postgresql"):
        return  # SQLite is in tests/cli/test_backup.py, and others there were none
    old = of_postgresql(backup.file, backup.place.settings["SQLALCHEMY_DATABASE_URI"])
    place = places()
    assert place.flask("init", "--admin", "zoe").returncode == 0
    done = place.flask("restore", "--force", "--yes", "--without-keys", str(old))
    assert done.returncode == 0, done.stderr
    assert usernames(place) == {ADMIN, CHAMPION, READER, NOBODY, WRITER}
    assert "and SQLALCHEMY_DATABASE_URI is sqlite" in refused(Place(tmp_path, {}), str(old))
    assert "apt install postgresql-client" in refused(
        Place(place.folder, {**place.settings, "PATH": "/nowhere"}), "--force", "--yes", str(old)
    )


def usernames(place: Place) -> set[str]:
    return {user["username"] for user in json.loads(place.flask("user", "list").stdout)}
