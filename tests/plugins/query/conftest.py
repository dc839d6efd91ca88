"""A server with the extension ``query``, whose documents are in each of the stores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import registration
from dservercore.catalog.scope import OPERATOR
from support.world import BLUE, RED, dataset_info
from support.worlds import World, world

STORES = ["sqlite", "mongo"]


def beds() -> list[dict[str, Any]]:
    """Datasets of which READER sees all, and CHAMPION those in RED."""
    return [
        dataset_info(
            RED if n < 8 else BLUE,
            uuid=str(uuid.UUID(int=n, version=4)),
            name=f"bed-{n:02}",
            creator_username=("olga", "petra")[n % 2],
            readme=f"project: {('rice', 'wheat', 'secret')[min(n // 4, 2)]}\nplan:\n  - bed: {n}\n    soil: loam\n",
            annotations={"bed": n, "a.b": {"$c": n}, "depth": [n, n + 1]},
            tags=["even" if n % 2 == 0 else "odd", "bed"],
            frozen_at=1_500_000_000.25 + n,
            created_at=1_400_000_000.5 + n,
            size_in_bytes=n * 10,
        )
        for n in range(12)
    ]


BEDS = beds()


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def settings(store: str, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The settings by which documents are in a store of their own."""
    base = {"DSERVER_EXTENSIONS": ["query"], "DSERVER_ALLOW_DIRECT_AGGREGATION": True}
    if store == "sqlite":
        yield base
        return
    uri, name = request.getfixturevalue("mongod").uri, f"queries_{uuid.uuid4().hex}"
    yield {**base, "DSERVER_MONGO_URI": uri, "DSERVER_MONGO_DB": name}
    with pymongo.MongoClient(uri) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def garden(
    settings: dict[str, Any], key_pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A world with twelve beds, which must be left as they are."""
    with world(tmp_path_factory.mktemp("garden"), key_pair, **settings) as garden:
        with garden.app.app_context():
            for info in BEDS:
                registration.register_dataset(OPERATOR, operator_scope("register"), info)
            sql_db.session.commit()
        yield garden
