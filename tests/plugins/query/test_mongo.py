"""Documents in MongoDB, outside of the transaction: nothing is lost, and nothing stays that was rolled back."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import Binary, ObjectId
from sqlalchemy import delete

from dservercore import create_app, plugin_host, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import deletion, job_runs, jobs, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.errors import ConfigurationError, UnavailableError
from dservercore.models import Job
from dservercore.plugins.query import Query, service
from dservercore.plugins.query import store as stores
from dservercore.plugins.query.commands import query_cli
from dservercore.plugins.query.mongo import pending
from dservercore.plugins.query.mongo.store import MongoDocumentStore
from dservercore.plugins.query.readme import parsed_readme
from dservercore.plugins.query.store import Restrictions
from support.mongod import Mongod, mongo_plugins
from support.world import READER, RED, dataset_info
from support.worlds import World, world


@pytest.fixture
def database(mongod: Mongod) -> Iterator[Any]:
    """A database of its own, empty at first."""
    with pymongo.MongoClient(mongod.uri) as client:
        name = f"documents_{uuid.uuid4().hex}"
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def garden(database: Any, mongod: Mongod, key_pair: tuple[Path, Path], tmp_path: Path) -> Iterator[World]:
    settings = {"DSERVER_MONGO_URI": mongod.uri, "DSERVER_MONGO_DB": database.name}
    with (
        world(tmp_path, key_pair, DSERVER_EXTENSIONS=["query"], **settings) as garden,
        garden.app.app_context(),
    ):
        yield garden


def register(**changes: Any) -> str:
    info = dataset_info(RED, **changes)
    registration.register_dataset(OPERATOR, operator_scope("register"), info)
    uri: str = info["uri"]
    return uri


def found(garden: World) -> list[str]:
    answer = garden.send("POST", "/mongo/query?sort=name", READER, json={"query": {}})
    assert answer.status_code == 200, answer.text
    return [dataset["name"] for dataset in answer.json]


def stored(database: Any) -> list[str]:
    return sorted(document["name"] for document in database.datasets.find({}))


def work() -> int:
    return job_runs.work(threading.Event(), once=True)


def test_what_is_committed_is_brought_by_the_worker(garden: World, database: Any) -> None:
    register(name="bean")
    sql_db.session.commit()
    assert stored(database) == []
    assert work() == 1
    assert stored(database) == ["bean"]
    assert found(garden) == ["bean"]
    assert jobs.list_jobs() == []


def test_what_is_rolled_back_never_gets_there(garden: World, database: Any) -> None:
    register(name="bean")
    sql_db.session.rollback()
    assert jobs.list_jobs() == []
    assert found(garden) == stored(database) == []


def test_a_query_does_what_is_pending(garden: World, database: Any) -> None:
    register(name="bean")
    uri = register(name="pea")
    sql_db.session.commit()
    assert found(garden) == ["bean", "pea"]
    assert jobs.list_jobs() == []
    deletion.delete_dataset(operator_scope("register"), uri, actor=OPERATOR)
    sql_db.session.commit()
    assert stored(database) == ["bean", "pea"]
    assert found(garden) == stored(database) == ["bean"]


def test_what_is_deleted_is_left_out_where_there_is_too_much_to_do(
    garden: World, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = register(name="bean")
    register(name="pea")
    sql_db.session.commit()
    work()
    monkeypatch.setattr(pending, "MOST_DONE", 0)
    deletion.delete_dataset(operator_scope("register"), uri, actor=OPERATOR)
    sql_db.session.commit()
    assert found(garden) == ["pea"]
    assert stored(database) == ["bean", "pea"]
    garden.app.config["DSERVER_ALLOW_DIRECT_AGGREGATION"] = True
    counted = garden.send("POST", "/mongo/aggregate", json={"aggregation": [{"$count": "n"}]})
    assert counted.json == [{"n": 1}]
    monkeypatch.setattr("dservercore.plugins.query.mongo.store.MOST_LEFT_OUT", 0)
    assert garden.send("POST", "/mongo/query", json={}).status_code == 503


def test_whoever_writes_last_writes_what_is_registered(garden: World, database: Any) -> None:
    """Somebody registers the dataset again while it is being brought, and what was read is older by then."""
    identifier = str(uuid.uuid4())
    uri = register(name="old", uuid=identifier)
    sql_db.session.commit()
    store = service.store()
    assert isinstance(store, MongoDocumentStore)
    write = store.write
    changes = ["newer", "newest"]

    def overtaken(*arguments: Any) -> None:
        if changes:
            register(name=changes.pop(0), uuid=identifier)
            sql_db.session.commit()
        write(*arguments)

    store.write = overtaken  # type: ignore[method-assign]
    pending.bring(store, [uri])
    assert stored(database) == ["newest"]


def test_documents_of_another_program_are_answered_as_json(garden: World, database: Any) -> None:
    """Such as those of the published plugin, whose collection it was."""
    register(name="bean")
    sql_db.session.commit()
    work()
    theirs = {
        "uuid": Binary.from_uuid(uuid.UUID(int=1)),
        "frozen_at": datetime(2020, 1, 1),
        "other": ObjectId(b"twelve bytes"),
    }
    database.datasets.update_one({}, {"$set": theirs})
    (document,) = garden.send("POST", "/mongo/query", READER, json={}).json
    assert document["uuid"] == "00000000-0000-0000-0000-000000000001"
    assert document["frozen_at"] == 1577836800
    assert document["other"] == b"twelve bytes".hex()


def test_what_is_not_registered_is_not_shown_and_is_removed(garden: World, database: Any) -> None:
    register(name="bean")
    sql_db.session.commit()
    work()
    database.datasets.insert_one({"uri": f"{RED}/x", "base_uri": RED, "name": "ghost"})
    answer = garden.send("POST", "/mongo/query", READER, json={})
    assert [dataset["name"] for dataset in answer.json] == ["bean"]
    assert json.loads(answer.headers["X-Pagination"])["total"] == 1
    work()
    assert stored(database) == ["bean"]


def test_rebuild_brings_all_and_removes_the_others(garden: World, database: Any) -> None:
    for n in range(25):
        register(name=f"bean-{n:02}")
    sql_db.session.commit()
    sql_db.session.execute(delete(Job))
    sql_db.session.commit()
    database.datasets.insert_one({"uri": f"{RED}/x", "base_uri": RED, "name": "ghost"})
    result = garden.app.test_cli_runner().invoke(query_cli, ["rebuild"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "Made 25 documents")
    assert stored(database) == [f"bean-{n:02}" for n in range(25)]
    refused = garden.app.test_cli_runner().invoke(query_cli, ["index", "list"])
    assert (refused.exit_code, "db.datasets.createIndex" in refused.stderr) == (1, True)


def test_a_server_that_begins_to_serve_has_missing_documents_brought(
    garden: World, database: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(pending, "_TOGETHER", 2)
    query = next(e for e in plugin_host.plugins().extensions if isinstance(e, Query))
    for n in range(3):
        register(name=f"bean-{n}")
    sql_db.session.commit()
    query.before_serving()
    assert {job["kind"] for job in jobs.list_jobs()} == {stores.BRING}
    sql_db.session.execute(delete(Job))
    sql_db.session.commit()
    for _ in range(2):  # in each process
        query.before_serving()
    assert caplog.text.count("do not find 3 dataset(s)") == 1
    assert [job["kind"] for job in jobs.list_jobs()] == [stores.REBUILD]
    sql_db.session.rollback()
    work()
    assert stored(database) == ["bean-0", "bean-1", "bean-2"]
    assert jobs.list_jobs() == []


def test_on_mariadb_it_needs_mongodb(config: dict[str, Any]) -> None:
    config |= {"SQLALCHEMY_DATABASE_URI": "mysql+pymysql://root@127.0.0.1/x", "DSERVER_EXTENSIONS": ["query"]}
    config |= {"DSERVER_SEARCH_PLUGIN": "mongo"} | mongo_plugins("mongodb://127.0.0.1:1/", "x")
    create_app(config)
    config |= {"DSERVER_RETRIEVE_PLUGIN": "", "DSERVER_SEARCH_PLUGIN": ""}
    with pytest.raises(ConfigurationError):
        create_app(config)


def test_of_a_document_that_is_too_large_the_rest_is_stored(garden: World, database: Any) -> None:
    store = service.store()
    assert isinstance(store, MongoDocumentStore)
    large = {"uri": "s3://red/x", "name": "large", "readme": "x" * 17 * 2**20}
    store.write([large, {"uri": "s3://red/y", "name": "small", "readme": "x"}])
    assert stored(database) == ["large", "small"]
    assert "readme" not in database.datasets.find_one({"name": "large"})


def test_a_text_that_is_named_in_a_readme_is_not_multiplied() -> None:
    readme = f'a: &x "{"y" * 100_000}"\nb: [{"*x, " * 200}1]\n'
    assert parsed_readme(readme) == readme


def test_indexes(garden: World, database: Any) -> None:
    register(name="bean")
    sql_db.session.commit()
    work()
    indexes = database.datasets.index_information()
    assert {index["key"][0][0] for index in indexes.values()} == {
        "_id",
        "uri",
        "uuid",
        "base_uri",
        "creator_username",
        "tags",
    }
    assert indexes["uri_1"]["unique"]


def test_nobody_waits_for_a_server_that_is_away(
    key_pair: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Registrations go on, queries get a 503, and afterwards all is there."""
    server = Mongod(tmp_path / "mongod")
    settings = {
        "DSERVER_MONGO_URI": f"{server.uri}?serverSelectionTimeoutMS=200",
        "DSERVER_MONGO_DB": "documents",
    }
    with world(tmp_path, key_pair, DSERVER_EXTENSIONS=["query"], **settings) as garden:
        info = dataset_info(RED, name="bean")
        with caplog.at_level(logging.CRITICAL):
            assert garden.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
            answer = garden.send("POST", "/mongo/query", json={})
            assert answer.status_code == 503
            assert "127.0.0.1" not in answer.text
            assert "query store (MongoDB) cannot be reached" in answer.json["message"]
            with garden.app.app_context():
                assert work() == 1
                (job,) = jobs.list_jobs()
                assert (job["state"], job["attempts"]) == ("waiting", 1)
        server.start()
        try:
            assert found(garden) == ["bean"]
            with garden.app.app_context():
                assert jobs.list_jobs() == []
        finally:
            server.kill()


def test_the_collection_is_never_that_of_another_plugin(
    database: Any, mongod: Mongod, config: dict[str, Any]
) -> None:
    plugins = mongo_plugins(mongod.uri, database.name)
    app = create_app({**config, **plugins, "DSERVER_EXTENSIONS": ["query"]})
    with app.app_context():
        store = service.store()
        assert isinstance(store, MongoDocumentStore)
        assert store.connection.collection.full_name == f"{database.name}.datasets_direct"
        assert store.connection.client.address == pymongo.MongoClient(mongod.uri).address


@pytest.mark.parametrize(
    "uri", ["localhost", "mongodb://user:secret:word@host/", "mongodb://h/?nothing=1&tls=what"]
)
def test_a_wrong_address_stops_the_server(config: dict[str, Any], uri: str) -> None:
    with pytest.raises(ConfigurationError, match="DSERVER_MONGO_URI") as raised:
        create_app({**config, "DSERVER_EXTENSIONS": ["query"], "DSERVER_MONGO_URI": uri})
    assert "secret" not in str(raised.value)


def test_time_runs_out(garden: World) -> None:
    register(name="bean")
    sql_db.session.commit()
    scope, store = operator_scope("search"), service.store()
    with pytest.raises(UnavailableError):
        store.find(scope, service.parse_filter({}), Restrictions(), sort=None, skip=0, limit=1, seconds=0.0)
