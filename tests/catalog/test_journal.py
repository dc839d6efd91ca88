"""What a process leaves behind that dies, or loses a store, in the middle of a write; and how it is settled."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymongo
import pytest
import sqlalchemy
from flask import Flask
from flask_jwt_extended import create_access_token
from werkzeug.test import TestResponse

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, users
from dservercore.catalog.consistency.stores import check
from dservercore.catalog.journal import entries, replay
from dservercore.models import JournalEntry, JournalPiece
from support.databases import new_database, on_other_stores
from support.mongod import Mongod, mongo_plugins
from support.stores import VOCABULARY
from support.waiting import wait_until
from support.world import ADMIN, CHAMPION, RED, dataset_info

Contents = dict[str, list[str]]


class Place:
    """An application on databases of its own, of which other processes make another one."""

    def __init__(self, config: dict[str, Any]):
        self.config = config
        self.app = create_app(config)
        # This process makes no use of it, so that each of the others finds it as new.
        self._app_of_others = create_app(config)
        with self.app.app_context():
            sql_db.create_all()
            users.add_user(CHAMPION)
            base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
            self.headers = {"Authorization": f"Bearer {create_access_token(CHAMPION)}"}

    def send(self, method: str, path: str, body: Any = None, app: Flask | None = None) -> TestResponse:
        client = (app or self.app).test_client()
        return client.open(path, method=method, json=body, headers=self.headers)

    def contents(self) -> Contents:
        """Return everything that is stored, but for what is new with each write, and what is said of it for ever.

        Words that no dataset has any more may stay in the vocabulary.
        """
        with self.app.app_context():
            tables = {
                table.name: sorted(
                    str(tuple(row)) for row in sql_db.session.execute(sqlalchemy.select(table))
                )
                for table in sql_db.metadata.sorted_tables
                if table.name not in ("audit", *VOCABULARY)
            }
            sql_db.session.rollback()
        return tables | self._in_mongodb()

    def _in_mongodb(self) -> Contents:
        with pymongo.MongoClient(self.config["SEARCH_MONGO_URI"]) as client:  # type: pymongo.MongoClient[Any]
            database = client[self.config["SEARCH_MONGO_DB"]]
            found = {}
            for name in database.list_collection_names():
                if name.endswith(".vocabulary"):
                    continue
                documents = list(database[name].find({}, {"_id": False}))
                for document in documents:
                    document.get("_search", {}).pop("revision", None)
                found[name] = sorted(str(document) for document in documents)
        return {name: documents for name, documents in found.items() if documents}

    def die_during(self, request: tuple[str, str, Any], point: str) -> bool:
        """Have another process send a request, and end at once at a point of it. Return whether it came to that."""
        process = multiprocessing.get_context("fork").Process(target=self._die, args=[request, point])
        process.start()
        process.join(60)
        assert process.exitcode in (0, 9)
        return process.exitcode == 9

    def _die(self, request: tuple[str, str, Any], point: str) -> None:
        app = self._app_of_others
        when, what, number = point.split(" ")
        left = itertools.count(int(number), -1)

        def end(*_: Any) -> None:
            if next(left) == 1:
                os._exit(9)

        if what == "commit":
            sqlalchemy.event.listen(sql_db.session, f"{when}_commit", end)
        else:
            plugin = app.search if what == "search" else app.retrieve  # type: ignore[attr-defined]
            for method in [name for name in dir(plugin) if name.startswith(WRITES)]:
                setattr(plugin, method, dying(getattr(plugin, method), when, end))
        assert self.send(*request, app=app).status_code in (200, 201)

    def settle(self) -> None:
        """Do what every process does when it begins to serve; nothing is left to do then, and all stores agree."""
        with self.app.app_context():
            replay.replay()
            assert entries.pending() == []
            scopes = operator_scope("search"), operator_scope("register")
            assert [f"{d.store}: {d.subject} {d.what}" for d in check(*scopes)] == []


WRITES = ("register_dataset", "delete_dataset", "set_", "add_tag", "remove_tag", "delete_annotation")

COMMITS = [f"{when} commit {number}" for number in (1, 2, 3) for when in ("before", "after")]
POINTS = [f"{when} {store} 1" for store in ("search", "retrieve") for when in ("before", "after")] + COMMITS


def dying(work: Callable[..., Any], when: str, end: Callable[[], None]) -> Callable[..., Any]:
    def write(*arguments: Any) -> None:
        if when == "after":
            work(*arguments)
        end()
        if when == "before":
            work(*arguments)

    return write


@pytest.fixture(scope="module", params=["sqlite", *on_other_stores("postgresql", "mariadb")])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('journal') / 'test.db'}"
        return
    with new_database(request.param) as address:
        yield address


@pytest.fixture(scope="module")
def place(database: str, mongod: Mongod, key_pair: tuple[Path, Path]) -> Iterator[Place]:
    """Search and retrieve plugin in MongoDB, in collections of their own."""
    name = f"journal_{uuid.uuid4().hex}"
    private, public = key_pair
    config = {
        "SQLALCHEMY_DATABASE_URI": database,
        "JWT_PRIVATE_KEY": private.read_text(),
        "JWT_PUBLIC_KEY": public.read_text(),
        "DSERVER_LOG_LEVEL": "WARNING",
        "DSERVER_UPDATE_STORAGE": False,
        "DSERVER_MAX_README_LENGTH": 2**30,
        **mongo_plugins(mongod.uri, name),
        "RETRIEVE_MONGO_COLLECTION": "descriptions",
    }
    place = Place(config)
    yield place
    with place.app.app_context():
        sql_db.engine.dispose()
    with pymongo.MongoClient(mongod.uri) as client:  # type: pymongo.MongoClient[Any]
        client.drop_database(name)


@pytest.fixture
def info(place: Place) -> Iterator[dict[str, Any]]:
    """A registered dataset that others are registered beside."""
    info = dataset_info()
    assert place.send("PUT", f"/uris/{info['uri']}", info).status_code == 201
    yield info
    assert place.send("DELETE", f"/uris/{info['uri']}").status_code == 200


Request = tuple[str, str, Any]
REQUESTS: dict[str, Callable[[dict[str, Any]], Request]] = {
    "registration": lambda info: put(new_beside(info)),
    "registration again": lambda info: put({**info, "readme": "new", "tags": ["new"], "name": "new"}),
    "many": lambda info: (
        "POST",
        "/uris/bulk",
        [new_beside(info), {**info, "readme": "new", "tags": ["new"], "name": "new"}],
    ),
    "one tag more": lambda info: ("POST", f"/tags/{info['uri']}/new", None),
    "README": lambda info: ("PUT", f"/readmes/{info['uri']}", {"readme": "new"}),
    "annotation less": lambda info: ("DELETE", f"/annotations/{info['uri']}/soil", None),
    "deletion": lambda info: ("DELETE", f"/uris/{info['uri']}", None),
}


def new_beside(info: dict[str, Any]) -> dict[str, Any]:
    return dataset_info(uuid=uuid.uuid5(uuid.NAMESPACE_URL, info["uri"]))


def put(info: dict[str, Any]) -> Request:
    return "PUT", f"/uris/{info['uri']}", info


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_write_that_is_cut_short_is_in_all_stores_or_in_none(
    place: Place, info: dict[str, Any], request_: str, point: str
) -> None:
    cut_short(place, info, request_, point)


@pytest.mark.parametrize("database", on_other_stores("postgresql", "mariadb"), indirect=True)
@pytest.mark.parametrize("point", COMMITS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_write_that_is_cut_short_at_a_commit_to_a_server(
    place: Place, info: dict[str, Any], request_: str, point: str
) -> None:
    """Between two commits nothing depends on the SQL database."""
    cut_short(place, info, request_, point)


def cut_short(place: Place, info: dict[str, Any], request_: str, point: str) -> None:
    request = REQUESTS[request_](info)
    before = place.contents()
    died = place.die_during(request, point)
    place.settle()
    after = place.contents()
    if not died:  # it has fewer commits
        assert after != before
    if request_ == "deletion":
        assert after == before or info["uri"] not in str(after)
    elif point.startswith(("before", "after search", "after retrieve")) and died:
        assert after == before
    if request_ in ("registration", "many"):
        place.send("DELETE", f"/uris/{new_beside(info)['uri']}")


# -- A store that fails while the process lives ----------------------------------------------------------------------


class Proxy:
    """Stands between a server and MongoDB, and breaks every connection when it is told to."""

    def __init__(self, port: int):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_cut = False
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self.is_cut = True
        for side in self._pairs:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    def close(self) -> None:
        """Stop listening."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._pairs += (client, server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=[source, sink], daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                sink.sendall(content)
        for side in (source, sink):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxied(place: Place, mongod: Mongod) -> Iterator[tuple[Flask, Proxy]]:
    """Another application of the same place, whose connections to MongoDB can be broken."""
    proxy = Proxy(mongod.port)
    address = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=500"
    app = create_app({**place.config, "SEARCH_MONGO_URI": address, "RETRIEVE_MONGO_URI": address})
    yield app, proxy
    proxy.close()


def cut_at(plugin: Any, when: str, proxy: Proxy) -> None:
    """Break the connections at the first write of a plugin."""
    left = itertools.count(1, -1)

    def cut() -> None:
        if next(left) == 1:
            proxy.cut()

    for method in [name for name in dir(plugin) if name.startswith(WRITES)]:
        setattr(plugin, method, dying(getattr(plugin, method), when, cut))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("store", ["search", "retrieve"])
@pytest.mark.parametrize("request_", ["registration", "registration again", "one tag more", "deletion"])
def test_a_write_during_which_mongodb_goes_away_is_settled_when_it_is_back(
    place: Place,
    info: dict[str, Any],
    proxied: tuple[Flask, Proxy],
    request_: str,
    store: str,
    when: str,
) -> None:
    app, proxy = proxied
    request = REQUESTS[request_](info)
    before = place.contents()
    cut_at(getattr(app, store), when, proxy)
    answer = place.send(*request, app=app)
    proxy.mend()
    place.settle()
    after = place.contents()
    if request_ == "deletion":
        assert info["uri"] not in str(after)
    elif answer.status_code == 503:
        assert after == before
    else:  # it was the last thing to be written
        assert (store, when) == ("retrieve", "after")
        assert after != before
    if request_ in ("registration", "many"):
        place.send("DELETE", f"/uris/{new_beside(info)['uri']}")


def test_the_next_write_of_the_same_process_settles_what_it_left(
    place: Place, info: dict[str, Any], proxied: tuple[Flask, Proxy]
) -> None:
    app, proxy = proxied
    cut_at(app.retrieve, "before", proxy)  # type: ignore[attr-defined]
    path = f"/readmes/{info['uri']}"
    assert place.send("PUT", path, {"readme": "lost"}, app=app).status_code == 503
    proxy.mend()
    other = dataset_info()
    assert place.send("PUT", f"/uris/{other['uri']}", other, app=app).status_code == 201
    with place.app.app_context():
        assert entries.pending() == []
    assert place.send("GET", path).json == {"readme": info["readme"]}
    assert place.send("GET", f"/uris?free_text=lost&uuids={info['uuid']}").json == []
    place.send("DELETE", f"/uris/{other['uri']}")
    place.settle()


def random_items(number: int) -> dict[str, Any]:
    """Items whose names are short, and whose rest is not to be compressed."""
    chance = random.Random(number)
    return {
        f"{chance.getrandbits(160):040x}": {
            "hash": f"{chance.getrandbits(128):032x}",
            "relpath": f"{n}",
            "size_in_bytes": 1,
            "utc_timestamp": 1.0,
        }
        for n in range(number)
    }


def test_what_one_store_refuses_is_in_no_store(place: Place, info: dict[str, Any]) -> None:
    manifest = {**info["manifest"], "items": random_items(5000)}
    assert place.send("PUT", f"/uris/{info['uri']}", {**info, "manifest": manifest}).status_code == 200
    before = place.contents()
    # MongoDB has room for so long a README beside the words of the dataset, but not beside its manifest.
    answer = place.send("PUT", f"/readmes/{info['uri']}", {"readme": "x" * (16 * 2**20 - 150_000)})
    assert answer.status_code == 400, answer.json
    place.settle()
    assert place.contents() == before


def test_a_large_document_comes_back(place: Place, info: dict[str, Any]) -> None:
    """Its entry has more than one piece."""
    large = {**info, "manifest": {**info["manifest"], "items": random_items(120_000)}}
    assert place.send("PUT", f"/uris/{info['uri']}", large).status_code == 200
    assert place.die_during(put({**info, "readme": "small"}), "after retrieve 1")
    with place.app.app_context():
        assert sql_db.session.query(JournalPiece).count() > 0
    place.settle()
    assert place.send("GET", f"/manifests/{info['uri']}").json == large["manifest"]
    assert place.send("GET", f"/readmes/{info['uri']}").json == {"readme": info["readme"]}


def test_a_base_uri_with_many_datasets_is_removed_from_every_store_in_the_end(place: Place) -> None:
    green = "s3://green"
    with place.app.app_context():
        users.put_user(ADMIN, {"is_admin": True})
        base_uris.put_base_uri(green, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
        admin = {"Authorization": f"Bearer {create_access_token(ADMIN)}"}
    uris = []
    for _ in range(replay.SETTLED_AT_ONCE + 20):
        info = dataset_info(green)
        uris.append(info["uri"])
        assert place.send("PUT", f"/uris/{info['uri']}", info).status_code == 201
    before, place.headers = place.headers, admin
    died = place.die_during(
        ("DELETE", "/base-uris/s3/green?with_datasets=true", None), f"after search {len(uris) - 5}"
    )
    place.headers = before
    assert died
    deadline = time.monotonic() + 5  # until the database has noticed that the process is gone
    with place.app.app_context():
        while len(entries.pending()) != 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for uri in uris:
        assert place.send("GET", f"/readmes/{uri}").status_code == 403  # there is no such base URI any more
    place.settle()
    assert green not in str(place.contents())


def test_a_process_that_begins_to_serve_settles_what_others_left(place: Place, info: dict[str, Any]) -> None:
    assert place.die_during(("PUT", f"/readmes/{info['uri']}", {"readme": "lost"}), "after retrieve 1")
    fresh = create_app(place.config)
    answer = place.send("GET", f"/readmes/{info['uri']}", app=fresh)
    assert answer.json == {"readme": info["readme"]}
    with place.app.app_context():
        assert entries.pending() == []


def test_a_dataset_is_written_again_after_a_process_has_died(place: Place, info: dict[str, Any]) -> None:
    """Without anybody having settled what that one has left: the new write does."""
    place.send("GET", "/me")  # this process has looked for what others have left
    assert place.die_during(("PUT", f"/tags/{info['uri']}", {"tags": ["lost"]}), "after search 1")
    assert place.send("PUT", f"/annotations/{info['uri']}/new", {"value": 1}).status_code == 200
    place.settle()
    assert place.send("GET", f"/tags/{info['uri']}").json == {"tags": info["tags"]}
    assert place.send("GET", f"/uris?tags=lost&uuids={info['uuid']}").json == []


def test_a_dataset_that_is_registered_again_while_its_deletion_is_finished_stays(
    place: Place, info: dict[str, Any]
) -> None:
    """Between the two transactions of a deletion, another process may register the dataset anew."""
    assert place.die_during(("DELETE", f"/uris/{info['uri']}", None), "before search 1")
    with place.app.app_context():
        # The database takes a moment to notice that the process has died, and locks its entry until then.
        wait_until(lambda: entries.pending() == [("deletion", info["uri"])])
        entry = sql_db.session.execute(sqlalchemy.select(JournalEntry.__table__)).one()
    again = {**info, "readme": "again"}
    assert place.send("PUT", f"/uris/{info['uri']}", again).status_code == 201
    with place.app.app_context():  # as if it had been entered after the registration had looked for entries
        sql_db.session.execute(JournalEntry.__table__.insert(), dict(entry._mapping))
        sql_db.session.commit()
    place.settle()
    assert place.send("GET", f"/readmes/{info['uri']}").json == {"readme": "again"}
    assert len(place.send("GET", f"/uris?free_text=again&uuids={info['uuid']}").json) == 1


def test_a_deletion_settles_first_what_is_left_of_the_dataset(place: Place, info: dict[str, Any]) -> None:
    """Else whoever does so later could bring it back."""
    place.send("GET", "/me")  # this process has looked for what others have left
    assert place.die_during(put({**info, "readme": "lost"}), "after search 1")
    assert place.send("DELETE", f"/uris/{info['uri']}").status_code == 200
    with place.app.app_context():
        assert sql_db.session.query(JournalEntry).count() == 0
    place.settle()
    assert info["uri"] not in str(place.contents())


class Meeting(dict[str, Any]):
    """What belongs to an application: whoever looks for unsettled entries goes on when all have seen them."""

    def __init__(self, contents: dict[str, Any], number: int):
        super().__init__(contents)
        self._all_have_looked = threading.Barrier(number)

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key, default)
        if key == "dservercore-unsettled":
            self._all_have_looked.wait(timeout=30)
        return found


def test_threads_that_catch_up_at_once_do_it_once(place: Place, info: dict[str, Any]) -> None:
    place.send("GET", "/me")  # this process has looked for what others have left
    assert place.die_during(("PUT", f"/tags/{info['uri']}", {"tags": ["lost"]}), "after search 1")
    app, failures = place.app, []
    app.extensions = Meeting({**app.extensions, "dservercore-unsettled": 0.0}, number=4)

    def catch_up() -> None:
        with app.app_context():
            try:
                replay.catch_up()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=catch_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.extensions = dict(app.extensions)
    assert failures == []
    with app.app_context():
        assert entries.pending() == []
