"""Fixtures for the REST API: one application for the whole session, on a database that each test finds as new.

Each test runs with several combinations of a SQL database and a store for what describes a dataset (``stores``).

Every answer that a test receives is compared with the OpenAPI document, and with what holds for all answers.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pymongo
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token
from werkzeug.test import TestResponse

from api.openapi import OpenAPIDocument
from dservercore import create_app, sql_db
from dservercore.catalog import base_uris, users
from dservercore.dataset.serialization import unpack
from dservercore.plugins.mongo.search import MongoSearch
from support.counting import noted_in
from support.databases import Snapshot, do_not_wait_for_the_disk, new_database
from support.mongod import Mongod, mongo_plugins
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, STRANGER


class CheckedClient(FlaskClient):
    """A client that fails the test when an answer is not what the API promises of every answer."""

    document: OpenAPIDocument

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request and return the checked answer."""
        answer = super().open(*args, **kwargs)
        if answer.headers.get("Content-Encoding") == "zstd":
            answer.set_data(unpack(answer.data))
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        assert answer.headers["Access-Control-Allow-Origin"]
        assert answer.headers["X-Request-ID"]
        if answer.request.method != "OPTIONS":
            self.document.check(self.application.url_map, answer)
        if answer.status_code < 400 and isinstance(answer.get_json(silent=True), dict):
            assert "msg" not in answer.json, "dtool-lookup-api takes that for an error"
        return answer


# Applications


#: The SQL database, and the search and retrieve plugins.
COMBINATIONS = ["sqlite+sql", "sqlite+mongo", "postgresql+sql", "postgresql+mongo", "mariadb+mongo"]


#: What a test runs on that is not marked otherwise; together they have both plugins and two databases. Answers that do
#: not come from a store, such as those to what is malformed, are the same whatever the stores.
USUAL = ["sqlite+sql", "postgresql+mongo"]

#: For tests of what stores do, and for those among them that never come to a store.
on_every_store = pytest.mark.stores(COMBINATIONS)
on_usual_stores = pytest.mark.stores(USUAL)

#: For tests of what only the sql plugins can do, or of what no store has a part in.
on_sql_alone = pytest.mark.stores(["sqlite+sql"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the combinations that a test runs on, by the nearest mark.

    Without the long tests, those of what stores do run on the usual ones, and all others on SQLite alone.
    """
    if "stores" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("stores") or on_usual_stores.mark
        [chosen] = mark.args
        quick = USUAL if chosen == COMBINATIONS else ["sqlite+sql"]
        if chosen == USUAL and metafunc.config.getoption("all_stores"):
            chosen = COMBINATIONS
        params = [name if name in quick else pytest.param(name, marks=pytest.mark.long) for name in chosen]
        metafunc.parametrize("stores", params, indirect=True, scope="session")


@pytest.fixture(scope="session")
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The settings of the SQL database, of the search and of the retrieve plugin."""
    database, plugins = request.param.split("+")
    with ExitStack() as stack:
        settings = {}
        if plugins == "mongo":
            mongod: Mongod = request.getfixturevalue("mongod")
            settings = mongo_plugins(mongod.uri, stack.enter_context(_mongo_database(mongod)))
        settings["SQLALCHEMY_DATABASE_URI"] = (
            f"sqlite:///{tmp_path_factory.mktemp('api') / 'test.db'}"
            if database == "sqlite"
            else stack.enter_context(new_database(database))
        )
        yield settings


@contextmanager
def _mongo_database(mongod: Mongod) -> Iterator[str]:
    name = f"api_{uuid.uuid4().hex}"
    yield name
    with pymongo.MongoClient(mongod.uri) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def shared_config(key_pair: tuple[Path, Path], stores: dict[str, str]) -> dict[str, Any]:
    private, public = key_pair
    return {
        "SECRET_KEY": "for tests alone",
        "JWT_PRIVATE_KEY": private.read_text(),
        "JWT_PUBLIC_KEY": public.read_text(),
        **stores,
    }


@pytest.fixture(scope="session")
def shared_app(shared_config: dict[str, Any]) -> Iterator[Flask]:
    app = create_app(shared_config)
    CheckedClient.document = OpenAPIDocument(app.test_client().get("/doc/openapi.json").json)
    app.test_client_class = CheckedClient
    with app.app_context():
        do_not_wait_for_the_disk(sql_db.engine)
        sql_db.create_all()
    yield app
    with app.app_context():
        sql_db.engine.dispose()


# What a test starts from


@pytest.fixture(scope="session")
def starts(shared_app: Flask) -> dict[str, Start]:
    """What a test can start from: empty tables, and the people and base URIs of support/world.py."""
    kind = DatabaseFile if shared_app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite") else Snapshot
    with shared_app.app_context():
        empty = kind()
        users.add_user(ADMIN, is_admin=True)
        for name in (CHAMPION, READER, NOBODY):
            users.add_user(name)
        base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION])
        base_uris.create_base_uri(BLUE, [READER], [])
        sql_db.session.commit()
        return {"empty": empty, "people": kind()}


class Start(Protocol):
    """What the database holds at a moment."""

    def restore(self, app: Flask) -> None:
        """Let it hold that again."""


class DatabaseFile:
    """A copy of the SQLite file, put in its place unless it is there and nothing has been written since.

    Every commit is in the file itself or in the log beside it, whichever process made it.
    """

    def __init__(self) -> None:
        sql_db.session.remove()
        sql_db.engine.dispose()
        self._current = Path(sql_db.engine.url.database or "")
        self._log = self._current.with_name(self._current.name + "-wal")
        self._index = self._current.with_name(self._current.name + "-shm")
        self._copy = self._current.with_suffix(f".{uuid.uuid4().hex}")
        shutil.copy(self._current, self._copy)
        # The file gets this time, which no write gives it.
        self._time = next(_times)
        os.utime(self._copy, ns=(self._time, self._time))

    def restore(self, app: Flask) -> None:
        if self._is_there():
            return
        with app.app_context():
            sql_db.engine.dispose()
        for leftover in (self._log, self._index):
            leftover.unlink(missing_ok=True)
        shutil.copy2(self._copy, self._current)

    def _is_there(self) -> bool:
        try:
            is_same = self._current.stat().st_mtime_ns == self._time
        except FileNotFoundError:
            return False
        return is_same and not (self._log.exists() and self._log.stat().st_size)


_times = itertools.count(10**18, 10**9)


def _empty_mongo(app: Flask) -> None:
    if isinstance(app.search, MongoSearch):  # type: ignore[attr-defined]
        database = app.search.db  # type: ignore[attr-defined]
        for collection in database.list_collection_names():
            database[collection].delete_many({})


@pytest.fixture
def config(shared_config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of :func:`app`, and so the same database."""
    return dict(shared_config)


@pytest.fixture
def app(request: pytest.FixtureRequest, shared_app: Flask, starts: dict[str, Start]) -> Flask:
    """The application with empty tables, or with the ``people`` if the test asks for them too."""
    starts["people" if "people" in request.fixturenames else "empty"].restore(shared_app)
    _empty_mongo(shared_app)
    return shared_app


@pytest.fixture
def people(app: Flask) -> None:
    """The users and base URIs of support/world.py."""


@pytest.fixture
def make_app(people: None, config: dict[str, Any]) -> Iterator[Callable[..., Flask]]:
    """``make_app(**settings)`` returns another application on the same database, configured differently."""
    made = []

    def make(**settings: Any) -> Flask:
        app = create_app({**config, **settings})
        app.test_client_class = CheckedClient
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            sql_db.engine.dispose()


# People


@pytest.fixture(scope="session")
def tokens(shared_app: Flask) -> dict[str, str]:
    """A valid token of everybody, made once, because signing takes its time."""
    with shared_app.app_context():
        return {name: create_access_token(name) for name in (ADMIN, CHAMPION, READER, NOBODY, STRANGER)}


@pytest.fixture
def sign_in(app: Flask, tokens: dict[str, str]) -> Callable[..., CheckedClient]:
    """``sign_in(username)`` returns a client that sends the token of that user."""

    def client_of(username: str, app: Flask = app) -> CheckedClient:
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {tokens[username]}"
        return client

    return client_of


@pytest.fixture
def anonymous(app: Flask, people: None) -> CheckedClient:
    """A client without a token."""
    return app.test_client()


@pytest.fixture
def admin(people: None, sign_in: Callable[..., CheckedClient]) -> CheckedClient:
    """The administrator, who has no permission on any base URI."""
    return sign_in(ADMIN)


@pytest.fixture
def champion(people: None, sign_in: Callable[..., CheckedClient]) -> CheckedClient:
    """May search and register in RED."""
    return sign_in(CHAMPION)


@pytest.fixture
def reader(people: None, sign_in: Callable[..., CheckedClient]) -> CheckedClient:
    """May search RED and BLUE."""
    return sign_in(READER)


@pytest.fixture
def nobody(people: None, sign_in: Callable[..., CheckedClient]) -> CheckedClient:
    """Registered, without any permission."""
    return sign_in(NOBODY)


@pytest.fixture
def stranger(people: None, sign_in: Callable[..., CheckedClient]) -> CheckedClient:
    """Has a valid token, but is not registered."""
    return sign_in(STRANGER)


# Paths and headers


def route(resource: str, uri: str, *more: str) -> str:
    """Return the path of a URI's *resource*, such as ``/tags/s3/red/x/fruit``."""
    return "/".join(["", resource, uri.replace("://", "/", 1), *more])


def pagination(answer: TestResponse) -> dict[str, int]:
    """Return the content of ``X-Pagination``."""
    return json.loads(answer.headers["X-Pagination"])


def sorting(answer: TestResponse) -> list[tuple[str, int]]:
    """Return the content of ``X-Sort``: fields and directions, in order."""
    return list(json.loads(answer.headers["X-Sort"])["sort"].items())


# Statements


@dataclass
class Statements:
    """SQL statements that were executed."""

    executed: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.executed)


@pytest.fixture
def statements() -> Callable[[], Any]:
    """``with statements() as executed:`` collects the SQL statements of the block."""

    @contextmanager
    def collect() -> Iterator[Statements]:
        collected = Statements()
        with noted_in(collected.executed):
            yield collected

    return collect
