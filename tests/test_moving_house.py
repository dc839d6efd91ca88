"""A backup of one kind of database is restored on another, and on, and back: every answer stays what it was."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_jwt_extended import create_access_token
from sqlalchemy import inspect

from dservercore import create_app, sql_db
from dservercore.catalog.backup import tables
from dservercore.settings.keys import PRIVATE_KEY_NAME, PUBLIC_KEY_NAME
from support.databases import new_database, on_other_stores
from support.live_server import flask
from support.mongod import Mongod, mongo_plugins
from support.world import dataset_info

ADMIN = "ada"
PEOPLE = [ADMIN, "Müller", "muller", "rita smith", "名"]
READMES = ["", "\x0f and \x10 and \x100\n", "\x10\x01 project: beans\n", "line\r\nemoji 🌱 \\u0000\n" * 3]
BASES = ["s3://red", "s3://red-", "file:///srv/Data/é", "s3://empty"]
#: From each of them to the next one, and so there and back.
WAY = ["sqlite", "postgresql", "mariadb+mongo", "sqlite+mongo", "postgresql+mongo", "sqlite"]


@dataclass
class House:
    """An installation, with an application in this process beside its command line."""

    folder: Path
    settings: dict[str, str]
    _apps: list[Flask] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)

    def flask(self, *arguments: str) -> str:
        """Run a command that must succeed; return what it says."""
        done = flask(self.folder, *arguments, **self.settings)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @property
    def app(self) -> Flask:
        if not self._apps:
            config = {
                "SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.folder / 'app.db'}",
                "JWT_PRIVATE_KEY": (self.folder / PRIVATE_KEY_NAME).read_text(),
                "JWT_PUBLIC_KEY": (self.folder / PUBLIC_KEY_NAME).read_text(),
                "DSERVER_LOG_LEVEL": "ERROR",
            }
            self._apps.append(create_app({**config, **self.settings}))
        return self._apps[0]

    def send(self, username: str, method: str, path: str, body: Any = None) -> Any:
        if username not in self._tokens:  # signing one takes longer than most requests
            with self.app.app_context():
                self._tokens[username] = create_access_token(username)
        token = self._tokens[username]
        options = {} if body is None else {"json": body}
        answer = self.app.test_client().open(
            path, method=method, headers={"Authorization": f"Bearer {token}"}, **options
        )
        assert answer.status_code < 300 or method == "GET", (method, path, answer.text)
        return answer.status_code, answer.json, answer.headers.get("X-Pagination")

    def close(self) -> None:
        for app in self._apps:
            with app.app_context():
                sql_db.session.remove()
                sql_db.engine.dispose()
        self._apps.clear()


@pytest.fixture
def new_house(tmp_path: Path, mongod: Mongod) -> Iterator[Callable[[str], House]]:
    """``new_house("postgresql+mongo")`` gives an empty place on databases of its own."""
    with ExitStack() as databases:

        def make(kind: str) -> House:
            database, _, documents = kind.partition("+")
            folder = tmp_path / f"{kind}-{uuid.uuid4().hex[:6]}"
            folder.mkdir()
            settings = {}
            if database != "sqlite":
                settings["SQLALCHEMY_DATABASE_URI"] = databases.enter_context(new_database(database))
            if documents:
                settings |= mongo_plugins(mongod.uri, f"house_{uuid.uuid4().hex}")
            house = House(folder, settings)
            databases.callback(house.close)
            return house

        yield make


def nasty(base_uri: str, number: int, **changes: Any) -> dict[str, Any]:
    """Return a dataset that has what databases differ in."""
    info = dataset_info(
        base_uri,
        uuid=uuid.UUID(int=number + 1),
        name=["Bean harvest", "bean harvest", "béan-harvest ", "豆"][number % 4],
        creator_username=["Olga", "olga", "ölga", "olga "][number % 4],
        readme=[
            "",
            "\x0f and \x10 and \x100\n",
            "\x10\x01 project: beans\n",
            "line\r\nemoji 🌱 \\u0000\n" * 3,
        ][number % 4],
        tags=[[], ["Beans", "beans", "BEANS"], ["ss", "2026.1", "-a_b"], ["2026", "z" * 80]][number % 4],
        annotations={
            "soil": ["loam", 2**63 - 1, 1.5, None, {"deep": {"er": [1, "x", None]}}, -(2**63), True, [""]][
                number % 8
            ],
            "b-c": "\x7f 🌱 \\u0000",
        },
        frozen_at=1536238185.881941 + number,
        created_at=[0.000001, 253402300799.0, -86400.5, 1536236399.19497][number % 4],
        number_of_items=number,
        size_in_bytes=[0, 2**62, 7, 2**32 - 1][number % 4],
        **changes,
    )
    info["manifest"]["items"][f"{number:040d}"] = {
        "hash": "0" * 32,
        "relpath": ["a b/ü.csv", "a\\b\t.bin", 'quote"\n.txt', "x" * 3000][number % 4],
        "size_in_bytes": 2**62 + number,
        "utc_timestamp": 1536832115.123456,
    }
    return info


def furnish(house: House) -> None:
    house.flask("init", "--admin", ADMIN)
    for name in PEOPLE[1:]:
        house.send(ADMIN, "PUT", f"/users/{name}", {"display_name": f"{name}, Dr."})
    for name in PEOPLE:
        for search in ("Beans", "beans", "béans 🌱", "豆"):
            kept = {"name": search, "query": f"free_text={search}&tags=ss&sort=-uri"}
            house.send(name, "POST", "/me/searches", kept)
    for base in BASES:
        content = {"users_with_search_permissions": PEOPLE[:4], "users_with_register_permissions": PEOPLE[:2]}
        house.send(ADMIN, "PUT", f"/base-uris/{base}", content)
    for number in range(24):
        register(house, BASES[number % 3], number)
    house.send(ADMIN, "PUT", "/users/gone", {})
    house.send(ADMIN, "DELETE", "/users/gone")
    house.send(ADMIN, "DELETE", f"/uris/{BASES[0]}/{uuid.UUID(int=22)}")


def register(house: House, base_uri: str, number: int) -> None:
    info = nasty(base_uri, number)
    house.send(PEOPLE[number // 2 % 2], "PUT", f"/uris/{info['uri']}", info)


def answers(house: House) -> dict[tuple[str, str], Any]:
    """Return every answer that a server of these people and base URIs gives."""
    listed = house.send(ADMIN, "GET", "/uris?page_size=100")[1]
    asked = [(ADMIN, path) for path in ("/users?page_size=100", "/base-uris", "/audit?page_size=100")]
    asked += [(ADMIN, f"/users/{name}{rest}") for name in PEOPLE for rest in ("", "/summary")]
    asked += [(ADMIN, f"/base-uris/{base}") for base in BASES]
    for name in PEOPLE:
        asked += [
            (name, "/me"),
            (name, "/me/searches"),
            (name, "/me/summary"),
            (name, "/uris?page=2&page_size=5&sort=-uri"),
        ]
    for sort in ("name", "-created_at", "size_in_bytes", "uploaded_at", "creator_username"):
        asked.append((ADMIN, f"/uris?page_size=100&sort={sort},uri"))
    for query in ("free_text=emoji", "free_text=beans+-loam", "tags=beans", "tags=ss", "uploaded_by=Müller"):
        asked.append((ADMIN, f"/uris?page_size=100&sort=uri&{query}"))
    for row in listed:
        for resource in ("uris", "readmes", "manifests", "annotations", "tags"):
            asked.append((PEOPLE[2], f"/{resource}/{row['uri']}"))
        asked.append((PEOPLE[2], f"/uuids/{row['uuid']}"))
    return {question: house.send(question[0], "GET", question[1]) for question in asked}


@pytest.mark.timeout(600)
@pytest.mark.long
@pytest.mark.parametrize(("old", "new"), list(pairwise(WAY)))
def test_every_answer_stays_the_same(
    new_house: Callable[[str], House], tmp_path: Path, old: str, new: str
) -> None:
    house = new_house(old)
    furnish(house)
    before = answers(house)
    assert sum(status == 200 for status, *_ in before.values()) > 150
    said = house.flask("backup", "--with-keys", str(tmp_path / "move.tar"))
    assert said.count("\n") == 1, said
    house.close()
    house = new_house(new)
    house.flask("restore", str(tmp_path / "move.tar"))
    for question, after in answers(house).items():
        assert after == before[question], question
    assert "All stores agree" in house.flask("dataset", "check")
    # New rows get numbers of their own, and what was restored can be changed.
    house.send(ADMIN, "PUT", "/users/new", {})
    house.send(ADMIN, "PUT", "/base-uris/s3://new", {"users_with_search_permissions": [ADMIN]})
    house.send(ADMIN, "POST", "/me/searches", {"name": "new", "query": ""})
    register(house, BASES[0], 100)
    uri = f"{BASES[1]}/{uuid.UUID(int=2)}"
    house.send(ADMIN, "PUT", f"/tags/{uri}", {"tags": ["moved"]})
    found = house.send(ADMIN, "GET", "/uris?tags=moved")[1]
    assert [row["uri"] for row in found] == [uri]


@contextmanager
def database_of(house: House) -> Iterator[set[str]]:
    with house.app.app_context():
        yield set(inspect(sql_db.engine).get_table_names())
        sql_db.session.remove()


@pytest.mark.parametrize("kind", ["sqlite", *on_other_stores("postgresql", "mariadb+mongo")])
def test_every_table_is_carried_or_made_anew(new_house: Callable[[str], House], kind: str) -> None:
    """Whoever adds a table decides which: with a model it is carried, in ``tables.DERIVED`` it is made anew."""
    house = new_house(kind)
    house.flask("init")
    with database_of(house) as there:
        carried = {table.name for table in tables.carried()}
        derived = {name for name in there if tables.is_derived(name)}
        assert carried == {
            "audit",
            "base_uri",
            "dataset",
            "dataset_tag",
            "group_member",
            "group_register_permissions",
            "group_search_permissions",
            "job",
            "kept_search",
            "personal_token",
            "register_permissions",
            "registered_name",
            "search_permissions",
            "user",
            "user_group",
        }
        assert there - carried - derived - {"sqlite_sequence"} == set()
        assert tables.foreign() == []


def test_a_table_that_nothing_knows_is_named(new_house: Callable[[str], House], tmp_path: Path) -> None:
    house = new_house("sqlite")
    house.flask("init")
    with database_of(house):
        sql_db.session.connection().exec_driver_sql("CREATE TABLE bill (amount INTEGER)")
        sql_db.session.commit()
    said = house.flask("backup", str(tmp_path / "b.tar"))
    assert "Not in this backup, because no extension in use knows them: the table bill" in said


def test_json_is_what_is_asked_for() -> None:
    """The lines are read as JSON by anybody's tools."""
    line = tables.to_line({"a": b"\xff\x00", "b": None, "c": "é\n", "d": 2**63 - 1, "e": True})
    assert json.loads(line) == {"a": "/wA=", "b": None, "c": "é\n", "d": 2**63 - 1, "e": True}
    assert line.count(b"\n") == 1
