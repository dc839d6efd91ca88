"""Kill -9 in the middle of everything: what was acknowledged is in all stores, what was not is in all or in none.

``make kills`` does it for as long as one likes.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.databases import new_database
from support.killing import ENOUGH, Stream
from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins

KILLS = int(os.environ.get("KILLS", "4"))
COMBINATIONS = ["sqlite+sql", "postgresql+sql", "sqlite+mongo", "postgresql+mongo"]


@pytest.fixture(params=COMBINATIONS)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveServer]:
    """A server on each combination of databases, in which nothing is stored."""
    database, plugins = request.param.split("+")
    settings = {"DSERVER_EXTENSIONS": "graph"}
    if plugins == "mongo":
        mongod: Mongod = request.getfixturevalue("mongod")
        settings |= mongo_plugins(mongod.uri, f"kills_{uuid.uuid4().hex}")
    with ExitStack() as stack:
        if database != "sqlite":
            settings["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database(database))
        live = LiveServer(tmp_path, settings=settings)
        yield live
        live.stop()


@pytest.mark.long
@pytest.mark.timeout(300 + 10 * KILLS)
def test_nothing_is_lost_or_half_written(live: LiveServer) -> None:
    seed = int(os.environ.get("SEED", "1"))
    chance = random.Random(seed)
    stream = Stream(live)
    live.start()
    for number in range(KILLS):
        stream.write_and_kill(chance.random(), seed=1000 * seed + number)
        live.start()
        stream.check()
    stream.check(everything=True)
    checked = live.flask("dataset", "check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
    assert stream.acknowledged >= ENOUGH * KILLS
