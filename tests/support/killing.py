"""A stream of registrations, edits and deletions, under which a server is killed; and what must be true afterwards."""

from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pymongo
import requests

from support.live_server import LiveServer
from support.stores import disagreements
from support.world import CHAMPION, RED, dataset_info

#: A base URI that is deleted with its datasets, now and then.
GREEN = "s3://green"

CLIENTS = 4

ENOUGH = 15  # writes between two kills

#: What describes a dataset in these tests: README, tags and annotations, each a word that is used once.
State = tuple[str, str, str] | None  # None: not registered


@dataclass
class Client:
    """What one client knows of its datasets: what was acknowledged, and what was sent without an answer."""

    number: int
    live: LiveServer
    known: dict[str, State] = field(default_factory=dict)
    unanswered: dict[str, State] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)  # since the last look at them
    acknowledged: int = 0

    def run(self, stop: threading.Event, seed: int) -> None:
        """Write until the server is gone."""
        chance = random.Random(seed)
        session = requests.Session()
        session.headers.update(self.live.bearer(CHAMPION))
        for step in itertools.count():
            word = f"w{seed}x{step}"
            uri, after, (method, path, body) = self._choose(chance, word)
            self.unanswered[uri] = after
            self.written.add(uri)
            try:
                answer = session.request(method, self.live.address + path, json=body, timeout=120)
            except requests.RequestException:
                assert stop.is_set(), "the server went away by itself"
                return
            if answer.status_code == 503 and stop.is_set():
                return
            assert answer.status_code in (200, 201), (method, path, answer.status_code, answer.text)
            self.known[uri] = after
            del self.unanswered[uri]
            self.acknowledged += 1

    def _choose(self, chance: random.Random, word: str) -> tuple[str, State, tuple[str, str, Any]]:
        kept = [uri for uri, state in self.known.items() if state and uri not in self.unanswered]
        choice = chance.random()
        if choice < 0.4 or not kept:
            info = document(chance.choice([RED, GREEN]), word)
            return info["uri"], (word, word, word), ("PUT", f"/uris/{info['uri']}", info)
        uri = chance.choice(kept)
        readme, tag, annotation = self.known[uri] or ("", "", "")
        if choice < 0.55:
            info = document(uri.rsplit("/", 1)[0], word, uuid=uri.rsplit("/", 1)[1])
            return uri, (word, word, word), ("PUT", f"/uris/{uri}", info)
        if choice < 0.65:
            return uri, (word, tag, annotation), ("PUT", f"/readmes/{uri}", {"readme": readme_of(word)})
        if choice < 0.75:
            return uri, (readme, word, annotation), ("PUT", f"/tags/{uri}", {"tags": [word]})
        if choice < 0.85:
            return uri, (readme, tag, word), ("PUT", f"/annotations/{uri}/value", {"value": word})
        return uri, None, ("DELETE", f"/uris/{uri}", None)

    def check(self, everything: bool) -> None:
        """Compare what the server says with what this client knows, which afterwards is what the server says."""
        for uri in self.known.keys() | self.unanswered.keys() if everything else self.written:
            possible = {self.known.get(uri)}
            if uri in self.unanswered:
                possible.add(self.unanswered[uri])
            found = state_of(self.live, uri)
            assert found in possible, (uri, found, possible)
            self.known[uri] = found
        self.unanswered.clear()
        self.written.clear()


def document(base_uri: str, word: str, **changes: Any) -> dict[str, Any]:
    """A dataset that is found by a word."""
    return dataset_info(
        base_uri, readme=readme_of(word), tags=[word], annotations={"value": word}, name="harvest", **changes
    )


def readme_of(word: str) -> str:
    """A README with a word, that names a dataset by it."""
    return f"about: {word}\nderived_from:\n  uuid: {parent_of(word)}\n"


def parent_of(word: str) -> str:
    """The UUID of a dataset that the README with a word names."""
    return str(uuid5(NAMESPACE_URL, word))


def state_of(live: LiveServer, uri: str) -> State:
    """Return what the server says of a dataset, in every way that it can be asked: all have to say the same."""

    def get(path: str) -> requests.Response:
        return live.request("GET", path, CHAMPION)

    row = get(f"/uris/{uri}")
    statuses = {
        get(f"/{resource}/{uri}").status_code for resource in ("readmes", "tags", "annotations", "manifests")
    }
    assert statuses == {row.status_code}, (uri, row.status_code, statuses)
    uuid = uri.rsplit("/", 1)[1]
    if row.status_code == 404:
        assert get(f"/uris?uuids={uuid}").json() == [], uri
        if "query" in live.extensions:
            assert queried(live, {"uri": uri}) == []
        return None
    assert row.status_code == 200, row.text
    text = get(f"/readmes/{uri}").json()["readme"]
    readme = text.split()[1]
    assert text == readme_of(readme)
    [tag] = get(f"/tags/{uri}").json()["tags"]
    annotation = get(f"/annotations/{uri}").json()["annotations"]["value"]
    for word in {readme, tag, annotation}:
        found = get(f"/uris?uuids={uuid}&free_text={word}").json()
        assert [dataset["uri"] for dataset in found] == [uri], (uri, word, found)
    assert len(get(f"/uris?uuids={uuid}&tags={tag}").json()) == 1, (uri, tag)
    if "graph" in live.extensions:
        (connected,) = get(f"/graph/uuids/{uuid}").json()
        assert connected["derived_from"] == [parent_of(readme)], (uri, connected)
    if "query" in live.extensions:
        asked = {"uri": uri, "readme.about": readme, "tags": [tag], "annotations": {"value": annotation}}
        assert queried(live, asked) == [uri], asked
    return readme, tag, annotation


def queried(live: LiveServer, query: dict[str, Any]) -> list[str]:
    """Return the URIs of the datasets that match a structured query."""
    answer = live.request("POST", "/mongo/query", CHAMPION, json={"query": query})
    assert answer.status_code == 200, answer.text
    return [dataset["uri"] for dataset in answer.json()]


class Stream:
    """Clients that write to a server, which is killed under them."""

    def __init__(self, live: LiveServer, clients: int = CLIENTS):
        self.live = live
        self.clients = [Client(number, live) for number in range(clients)]
        for base_uri in (RED, GREEN):
            live.add_people(base_uri)

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged so far."""
        return sum(client.acknowledged for client in self.clients)

    def write_and_kill(self, seconds: float, seed: int) -> None:
        """Have the clients write for some time, and until some writes were acknowledged; kill the server then."""
        enough = self.acknowledged + ENOUGH
        stop = threading.Event()
        failed: list[BaseException] = []

        def run(client: Client) -> None:
            try:
                client.run(stop, seed * 100 + client.number)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=[client]) for client in self.clients]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        while self.acknowledged < enough and not failed:
            time.sleep(0.01)
        stop.set()
        self.live.kill()
        for thread in threads:
            thread.join()
        assert not failed, failed

    def check(self, everything: bool = False) -> None:
        """Compare what was written lately, or everything, and the figures; with the server running again."""
        for client in self.clients:
            client.check(everything)
        registered = {uri for client in self.clients for uri, state in client.known.items() if state}
        summary = self.live.request("GET", "/me/summary", CHAMPION).json()
        assert summary["number_of_datasets"] == len(registered)
        tags = sorted(state[1] for client in self.clients for state in client.known.values() if state)
        assert summary["tags"] == tags
        assert listed(self.live) == registered
        stored = self._in_mongodb()
        assert stored in (None, registered)
        if "SQLALCHEMY_DATABASE_URI" not in self.live.settings and stored is None:  # all on SQLite
            assert disagreements(self.live.database) == []

    def _in_mongodb(self) -> set[str] | None:
        settings = self.live.settings
        if "SEARCH_MONGO_URI" not in settings:
            return None
        with pymongo.MongoClient(settings["SEARCH_MONGO_URI"]) as client:  # type: pymongo.MongoClient[Any]
            collection = client[settings["SEARCH_MONGO_DB"]][settings["SEARCH_MONGO_COLLECTION"]]
            return {document["uri"] for document in collection.find({}, {"uri": True})}


def listed(live: LiveServer) -> set[str]:
    """Return the URIs of all datasets, page by page."""
    found: set[str] = set()
    for page in itertools.count(1):
        answer = live.request("GET", f"/uris?page={page}&page_size=100", CHAMPION)
        if answer.status_code == 404 or not answer.json():
            return found
        found |= {dataset["uri"] for dataset in answer.json()}
    return found
