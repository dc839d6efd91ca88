"""Many clients at once on a live server, and whether its stores agree when they have finished."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from dservercore import sql_db
from dservercore.catalog.journal import entries
from support.databases import new_database
from support.live_server import LiveServer
from support.mongod import Mongod, mongo_plugins
from support.stores import disagreements
from support.world import CHAMPION

#: What the SQL database, and what search and retrieve, are on.
COMBINATIONS = ["sqlite+sql", "sqlite+mongo", "postgresql+sql", "postgresql+mongo", "mariadb+mongo"]

#: For so many seconds each test goes on, and once at least.
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
CLIENTS = 8


# Many at once


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """Do all of this at the same moment; return what came of each."""
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        start.wait(timeout=60)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def by_many(task: Callable[[int], Any], clients: int = CLIENTS) -> list[Any]:
    """Have each of the clients do this, given its number, at the same moment."""
    return at_once(*(lambda n=n: task(n) for n in range(clients)))  # type: ignore[misc]


def rounds(least: int = 1) -> Iterator[random.Random]:
    """Yield a source of chance so often as there is time, and at least so many times."""
    end = time.monotonic() + SOAK_SECONDS
    number = 0
    while number < least or time.monotonic() < end:
        yield random.Random(number)
        number += 1


# Servers


@contextmanager
def serving(combination: str, folder: Path, mongod: Callable[[], Mongod]) -> Iterator[LiveServer]:
    """Serve with several workers: ADMIN administers, CHAMPION may do everything in RED.

    :param mongod: gives the MongoDB server, if there is need of one
    """
    database, plugins = combination.split("+")
    settings = mongo_plugins(mongod().uri, f"racing_{uuid.uuid4().hex}") if plugins == "mongo" else {}
    with ExitStack() as stack:
        if database != "sqlite":
            settings["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database(database))
        live = LiveServer(folder, workers=3, threads=4, settings=settings)
        live.add_people()
        live.start()
        yield live
        live.stop()
        with live.app.app_context():
            sql_db.engine.dispose()


# Agreement


def require_agreement(live: LiveServer) -> None:
    """Pass if every store has each registered dataset as the others have it, and nothing else.

    SQL's list, search, retrieve, summaries and journal are compared; all base URIs must be CHAMPION's to search.
    """
    listed = {found["uri"]: found for found in _everything(live, {})}
    held = _get(live, "/me")["search_permissions_on_base_uris"]
    assert {found["uri"]: found for found in _everything(live, {"base_uris": held})} == listed
    tagged: defaultdict[str, set[str]] = defaultdict(set)
    for uri, found in listed.items():
        assert isinstance(_get(live, f"/readmes/{uri}")["readme"], str)
        assert isinstance(_get(live, f"/annotations/{uri}")["annotations"], dict)
        assert len(_get(live, f"/manifests/{uri}")["items"]) == found["number_of_items"]
        for tag in _get(live, f"/tags/{uri}")["tags"]:
            tagged[tag].add(uri)
    for tag, uris in tagged.items():
        assert {found["uri"] for found in _everything(live, {"tags": [tag]})} == uris
    _require_summary(_get(live, "/me/summary"), list(listed.values()), tagged)
    with live.app.app_context():
        assert entries.pending() == []
        sql_db.session.remove()
    if not live.settings:  # all on SQLite
        assert disagreements(live.database) == []
    _require_documents(live, set(listed))
    log = live.log.read_text()
    assert "Traceback" not in log, log[-5000:]


def _get(live: LiveServer, path: str) -> Any:
    answer = live.request("GET", path, CHAMPION)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def _everything(live: LiveServer, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    page = pages = 1
    while page <= pages:
        answer = live.request("POST", f"/uris?page_size=100&page={page}", CHAMPION, json=query)
        assert answer.status_code == 200, answer.text
        yield from answer.json()
        pages = requests.models.complexjson.loads(answer.headers["X-Pagination"])["total_pages"]
        page += 1


def _require_summary(
    summary: dict[str, Any], listed: Sequence[dict[str, Any]], tagged: dict[str, set[str]]
) -> None:
    sizes = {found["uri"]: found["size_in_bytes"] or 0 for found in listed}
    assert summary["number_of_datasets"] == len(listed)
    assert summary["total_size_in_bytes"] == sum(sizes.values())
    for kind, key in (("creator", "creator_username"), ("base_uri", "base_uri"), ("uploader", "uploaded_by")):
        counted = Counter(found[key] for found in listed if found[key] is not None)
        assert {k: n for k, n in summary[f"datasets_per_{kind}"].items() if n} == counted, kind
    assert summary["datasets_per_tag"] == {tag: len(uris) for tag, uris in tagged.items()}
    in_bytes = {tag: sum(sizes[uri] for uri in uris) for tag, uris in tagged.items()}
    assert summary["size_in_bytes_per_tag"] == in_bytes


def _require_documents(live: LiveServer, listed: set[str]) -> None:
    """Pass if MongoDB, where it has a part, has one document for each dataset."""
    plugin = live.app.search  # type: ignore[attr-defined]
    if hasattr(plugin, "collection"):
        stored = [document["uri"] for document in plugin.collection.find({}, {"uri": True})]
        assert sorted(stored) == sorted(listed)
