"""Kill -9 in the middle of everything: what was acknowledged is in all stores, what was not is in all or in none.

``make kills`` does it for as long as one likes.
"""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dtoolcore
import pytest

from support.databases import new_database, on_other_stores
from support.killing import ENOUGH, Stream, listed
from support.killing_storage import BUCKET, Bucket, Uploads, Writers
from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins
from support.stores import disagreements
from support.world import CHAMPION

KILLS = int(os.environ.get("KILLS", "4"))
COMBINATIONS = ["sqlite+sql", "postgresql+sql", "sqlite+mongo", "postgresql+mongo"]


@pytest.fixture(params=COMBINATIONS)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveServer]:
    """A server on each combination of databases, in which nothing is stored."""
    database, plugins = request.param.split("+")
    settings = {"DSERVER_EXTENSIONS": "graph,query"}
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


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql")])
def storing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writers]:
    """A server with all extensions, datasets that are uploaded to it, and a store that tells it of others."""
    folders = [tmp_path / name for name in ("server", "uploads", "bucket", "pattern")]
    for folder in folders:
        folder.mkdir()
    with dtoolcore.DataSetCreator("harvest", f"file://{folders[3]}", "about: told\n", "olga") as creator:
        pass
    settings = {
        "DSERVER_EXTENSIONS": "graph,notification,query,signed_url",
        "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": json.dumps({BUCKET: f"file://{folders[2]}"}),
        "DSERVER_PRUNE_LIMIT": "1",
    }
    with ExitStack() as stack:
        if request.param != "sqlite":
            settings["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database(request.param))
        live = LiveServer(folders[0], settings=settings, program="serve")
        pattern = folders[3] / creator.name
        storing = Writers(
            live, Uploads(live, folders[1]), Uploads(live, folders[1]), Bucket(live, folders[2], pattern)
        )
        for writer in storing.writers:
            live.add_people(writer.base_uri)
        yield storing
        live.stop()


@pytest.mark.long
@pytest.mark.timeout(300 + 20 * KILLS)
def test_uploads_and_messages_of_a_store_are_finished(storing: Writers) -> None:
    live, chance = storing.live, random.Random(os.environ.get("SEED", "1"))
    live.start()
    for number in range(KILLS):
        storing.write_and_kill(1 + 2 * chance.random(), seed=number)
        live.start()
        for writer in storing.writers:
            writer.check()
    checked = live.flask("dataset", "check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
    documented = live.request("POST", "/mongo/query", CHAMPION, json={"query": {}})
    assert json.loads(documented.headers["X-Pagination"])["total"] == len(listed(live))
    if "SQLALCHEMY_DATABASE_URI" not in live.settings:
        assert disagreements(live.database) == []
