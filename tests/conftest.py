"""Fixtures that most tests share: an application on a database of its own, users, tokens, datasets."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import jwt.algorithms
import pymongo
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from dservercore.settings.keys import generate_key_pair
from support.databases import new_database
from support.environments import made_once, make_wheel, new_environment
from support.fuzzing import load_profile
from support.mongod import Mongod, executable, mongo_plugins
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

pytest_plugins = ["support.ci_skips", "support.directories"]
load_profile()

# Nobody has keys for the buckets of the tests, and whoever looks for them at Amazon's own machines waits in vain.
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

# To read a private key takes 50 ms, as it is checked, and to sign with it 3. All applications of the tests have the
# same one, and nearly each signs tokens.
jwt.algorithms.load_pem_private_key = functools.cache(jwt.algorithms.load_pem_private_key)


# Each application reads of what packages its plugins are, four times.
_metadata = functools.cached_property(PathDistribution.metadata.fget)
_metadata.__set_name__(PathDistribution, "metadata")
PathDistribution.metadata = _metadata

# Whoever starts the tests in the background has them ignore Ctrl-C, and so would every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that take long first, so that at the end no process is left alone with one."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-stores",
        action="store_true",
        help="run every test of the API on every combination of stores, not only those that depend on stores",
    )


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key file."""
    return generate_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A MongoDB server, which must be left running; whoever stops one starts one."""
    try:
        executable()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    server = Mongod(tmp_path_factory.mktemp("mongod"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with our wheel and what pip chose for it, without extras; to be copied or left as it is."""
    built = made_once(tmp_path_factory, "wheel", make_wheel)
    (wheel,) = built.glob("dservercore-*.whl")

    def make(folder: Path) -> None:
        new_environment(folder / "venv", str(wheel))

    return made_once(tmp_path_factory, "bare", make) / "venv"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of an empty database on a PostgreSQL server."""
    with new_database("postgresql") as address:
        yield address


@pytest.fixture
def mongo_settings(mongod: Mongod) -> Iterator[dict[str, str]]:
    """Settings by which the mongo plugins serve from a database of their own, empty at first."""
    name = f"test_{uuid.uuid4().hex}"
    yield mongo_plugins(mongod.uri, name)
    with pymongo.MongoClient(mongod.uri) as client:
        client.drop_database(name)


@pytest.fixture
def config(tmp_path: Path, key_pair: tuple[Path, Path]) -> dict[str, Any]:
    private, public = key_pair
    return {
        "SECRET_KEY": "for tests alone",
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'test.db'}",
        "JWT_PRIVATE_KEY": private.read_text(),
        "JWT_PUBLIC_KEY": public.read_text(),
    }


@pytest.fixture(scope="session")
def empty_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with empty tables: to copy it takes a tenth of the time of making it."""
    path = tmp_path_factory.mktemp("tables") / "empty.db"
    app = create_app({"SECRET_KEY": "for tests alone", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{path}"})
    with app.app_context():
        sql_db.create_all()
        sql_db.engine.dispose()
    return path


@pytest.fixture
def app(config: dict[str, Any], empty_tables: Path) -> Iterator[Flask]:
    """An application with empty tables."""
    app = create_app(config)
    if app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite:///"):
        shutil.copyfile(empty_tables, app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))
    with app.app_context():
        sql_db.create_all()  # elsewhere, and what a test defines itself
    yield app
    with app.app_context():
        sql_db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def people(app: Flask) -> None:
    """The users and base URIs of support/world.py."""
    with app.app_context():
        users.add_user(ADMIN, is_admin=True)
        for name in (CHAMPION, READER, NOBODY):
            users.add_user(name)
        base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION])
        base_uris.create_base_uri(BLUE, [READER], [])
        sql_db.session.commit()


@pytest.fixture
def bearer(app: Flask) -> Callable[[str], dict[str, str]]:
    """``bearer(username)`` gives the headers of a request by that user."""

    def headers(username: str, **options: Any) -> dict[str, str]:
        with app.app_context():
            return {"Authorization": f"Bearer {create_access_token(username, **options)}"}

    return headers


@pytest.fixture
def register(app: Flask, people: None) -> Callable[..., dict[str, Any]]:
    """``register(**changes)`` registers a dataset as the operator does and returns its document."""

    def register_one(base_uri: str = RED, **changes: Any) -> dict[str, Any]:
        info = dataset_info(base_uri, **changes)
        with app.app_context():
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
            sql_db.session.commit()
        return info

    return register_one
