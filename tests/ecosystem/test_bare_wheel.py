"""Each published plugin, installed by pip beside our wheel and nothing else, starts and works.

What a plugin imports without declaring it must come with the wheel: the environment has none of our extras.
"""

from __future__ import annotations

from pathlib import Path

import pymongo
import pytest

from ecosystem.published import EXTENSIONS, STORES, Server, mongo_settings
from support.environments import copy_environment, installed, pip, python_of
from support.mongod import Mongod

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a plain installation fetches every dependency

PLUGINS = STORES | EXTENSIONS


@pytest.mark.parametrize("plugin", PLUGINS)
def test_it_starts_and_takes_a_dataset(
    bare_environment: Path, plugin: str, mongod: Mongod, tmp_path: Path
) -> None:
    environment = copy_environment(bare_environment, tmp_path / "venv")
    python = python_of(environment)
    before = installed(environment)
    # Our wheel must be what the plugin asks for by the name of dservercore, or pip would take another one.
    pip(python, "install", "--quiet", f"{plugin}=={PLUGINS[plugin]}")
    after = installed(environment)
    assert before <= after, f"exchanged: {before - after}"
    settings = mongo_settings(mongod.uri)
    server = Server(tmp_path, python, settings)
    server.start()
    try:
        versions = server.get("/config/versions")["versions"]
        assert versions[plugin.replace("-", "_")] == PLUGINS[plugin]
        info = server.put()
        assert server.search(free_text="greenhouse") == ([info["uuid"]], 1)
        assert server.get(f"/readmes/{info['uri']}") == {"readme": info["readme"]}
    finally:
        server.stop()
        with pymongo.MongoClient(mongod.uri) as client:
            client.drop_database(settings["SEARCH_MONGO_DB"])
