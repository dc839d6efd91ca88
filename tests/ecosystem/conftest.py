"""Fixtures for trying real clients and plugins on a live server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

from ecosystem.library import Library, open_library
from ecosystem.lookup_api import Home
from ecosystem.published import Installation
from ecosystem.token_generator import TokenGenerator, token_generator
from support import forking
from support.databases import on_other_stores
from support.environments import made_once
from support.mongod import Mongod, mongo_plugins

BACKENDS = ["sql", *on_other_stores("mongo")]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the bundled search and retrieve plugins that the server uses."""
    return request.param


@pytest.fixture(scope="module")
def library(
    backend: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Library]:
    """A live server with datasets, which the tests of a module share: whoever changes something works on a shelf."""
    folder = tmp_path_factory.mktemp(f"library-{backend}")
    if backend == "sql":
        with open_library(folder) as library:
            yield library
        return
    mongod: Mongod = request.getfixturevalue("mongod")
    name = f"test_{uuid.uuid4().hex}"
    with open_library(folder, mongo_plugins(mongod.uri, name)) as library:
        yield library
    with pymongo.MongoClient(mongod.uri) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, bare_environment: Path) -> Installation:
    """Our wheel and the published plugins, installed once for all processes that run these tests."""

    def make(folder: Path) -> None:
        Installation(folder).install(bare_environment)

    installed = Installation(made_once(tmp_path_factory, "published", make))
    forking.FORKED.add(installed.python)
    return installed


@pytest.fixture
def home(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """What a user of dtool-lookup-api has configured to talk to the library."""
    return Home(library.server, tmp_path / "home", monkeypatch)


@pytest.fixture
def generator(library: Library, home: Home) -> Iterator[TokenGenerator]:
    """A token generator, which the user has configured too."""
    with token_generator(library.server) as generator:
        home.set(TOKEN_GENERATOR_URL=generator.url)
        yield generator
