"""Documents in the SQL database: kept in step with the datasets, found by indexes, by nobody who may not."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask

from dservercore import create_app, db, plugin_host, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, deletion, job_runs, jobs, metadata, registration
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import OPERATOR, Scope
from dservercore.errors import ConfigurationError, OutOfTimeError
from dservercore.plugins.query import Query, rebuilding
from dservercore.plugins.query import store as stores
from dservercore.plugins.query.language import InvalidQueryError, parse_filter
from dservercore.plugins.query.sql import databases, indexes, store
from dservercore.plugins.query.sql.dialect import Parameters
from dservercore.plugins.query.sql.store import SqlDocumentStore
from dservercore.plugins.query.store import Restrictions
from dservercore.plugins.query.time_limit import TimeLimit
from support.counting import noted_in
from support.databases import new_database, on_other_stores
from support.world import BLUE, RED, dataset_info

Ask = Callable[..., list[str]]


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql")])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An application whose tables are made by the migrations."""
    if request.param == "sqlite":
        app = migrated(f"sqlite:///{tmp_path}/queries.db")
        with app.app_context():
            yield app
            sql_db.session.remove()
            sql_db.engine.dispose()
        return
    with new_database("postgresql") as address:
        app = migrated(address)
        with app.app_context():
            yield app
            sql_db.session.remove()
            sql_db.engine.dispose()


def migrated(address: str) -> Flask:
    app = create_app({"SQLALCHEMY_DATABASE_URI": address, "DSERVER_EXTENSIONS": ["query"]})
    with app.app_context():
        flask_migrate.upgrade(str(db.migrations_directory()))
        assert db.upgrade_branches() == ["dserver_direct_mongo_plugin"]
        for base_uri in (RED, BLUE):
            base_uris.create_base_uri(base_uri, [], [])
        sql_db.session.commit()
    return app


def register(base_uri: str = RED, **changes: Any) -> str:
    info = dataset_info(base_uri, **changes)
    registration.register_dataset(OPERATOR, operator_scope("register"), info)
    sql_db.session.commit()
    return str(info["uri"])


def ask(query: Any, scope: Scope | None = None, **options: Any) -> list[str]:
    """Return the URIs of what is found."""
    restrictions = options.pop("restrictions", Restrictions())
    wanted = {"sort": None, "skip": 0, "limit": 100, "seconds": 20.0, **options}
    found, total = SqlDocumentStore().find(
        scope or operator_scope("search"), parse_filter(query), restrictions, **wanted
    )
    assert total >= len(found)
    sql_db.session.rollback()
    return [document["uri"] for document in found]


def test_the_tables_are_those_of_the_models(app: Flask) -> None:
    def is_ours(_object: Any, name: str | None, kind: str, *_others: Any) -> bool:
        return kind != "table" or str(name).startswith("query_")

    with sql_db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_ours, "compare_type": True}
        )
        assert compare_metadata(context, sql_db.metadata) == []


def test_documents_follow_the_datasets(app: Flask) -> None:
    uri = register(readme="project: rice\n")
    assert ask({"readme.project": "rice"}) == [uri]
    metadata.replace_readme([operator_scope("search")], uri, "project: wheat\n")
    sql_db.session.commit()
    assert ask({"readme.project": "rice"}) == []
    assert ask({"readme.project": "wheat"}) == [uri]
    assert ask({"manifest.items.e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3.size_in_bytes": {"$gt": 5}}) == [uri]
    deletion.delete_dataset(operator_scope("register"), uri)
    sql_db.session.commit()
    assert ask({}) == []
    assert SqlDocumentStore().count_missing() == 0


@pytest.mark.parametrize("app", on_other_stores("postgresql"), indirect=True)
def test_no_dataset_is_compared_with_all_documents(app: Flask) -> None:
    """PostgreSQL would, where the tests on documents outweigh in its estimate whatever else it does."""
    register()
    for statement in (
        "INSERT INTO dataset SELECT (jsonb_populate_record(d, jsonb_build_object('id', d.id + n, 'uri', 'u' || n,"
        " 'uuid', n::text))).* FROM dataset d, generate_series(1, 5000) n",
        "INSERT INTO query_document SELECT d.id, q.document, q.manifest FROM dataset d, query_document q"
        " WHERE d.id <> q.dataset_id",
        "ANALYZE dataset, query_document",
    ):
        sql_db.session.execute(sqlalchemy.text(statement))
    query = {"readme.a": {"$elemMatch": {"b": 3, "c": {"$regex": "x$"}}}}
    parameters = Parameters()
    statement = store._statement(
        operator_scope("search"),
        Restrictions(),
        store._translated(parse_filter(query), {}, parameters),
        {},
        None,
        parameters,
    )
    with databases.reader(TimeLimit(20)) as reader:
        plan = "\n".join(row[0] for row in reader.rows(f"EXPLAIN {statement}", parameters.values))
    assert "Index Scan using query_document_pkey" in plan or "Hash Join" in plan, plan
    assert "Materialize" not in plan, plan


def test_documents_of_a_batch_are_stored_together(app: Flask) -> None:
    batch = [Document(dataset_info(RED, readme=f"n: {n}\n")) for n in range(5)]
    statements: list[str] = []
    with noted_in(statements):
        outcomes = registration.register_batch(OPERATOR, operator_scope("register"), batch)
    sql_db.session.commit()
    assert outcomes == ["created"] * 5
    assert sum("INTO query_document" in statement for statement in statements) == 1
    assert sum("FROM query_index" in statement for statement in statements) == 1
    assert ask({"readme.n": {"$gte": 2}}) == sorted(document.uri for document in batch[2:])


def test_what_is_rolled_back_is_not_found(app: Flask) -> None:
    registration.register_dataset(OPERATOR, operator_scope("register"), dataset_info(RED))
    sql_db.session.rollback()
    assert ask({}) == []


def test_documents_are_made_of_datasets_that_were_there_before(app: Flask, caplog) -> None:
    uris = sorted(register(readme=f"n: {n}\n") for n in range(3))
    sql_db.session.execute(sqlalchemy.text("DELETE FROM query_document"))
    sql_db.session.commit()
    assert ask({}) == []
    assert "do not find 3 registered datasets: run `flask query rebuild --missing`" in caplog.text
    run = app.test_cli_runner().invoke
    for arguments, said in ((["--missing"], "Made 3 documents"), (["--missing"], "Made 0"), ([], "Made 3")):
        made = run(args=["query", "rebuild", *arguments])
        assert said in made.output
        assert made.exit_code == 0
        assert ask({"readme.n": {"$gte": 0}}) == uris


def test_a_server_that_begins_to_serve_has_missing_documents_made(app: Flask, caplog, monkeypatch) -> None:
    monkeypatch.setattr(rebuilding, "_BATCH", 2)
    uris = sorted(register(readme=f"n: {n}\n") for n in range(3))
    undescribed = register(readme="n: 4\n")
    extensions = plugin_host.plugins().extensions
    query = next(extension for extension in extensions if isinstance(extension, Query))
    query.before_serving()
    assert jobs.list_jobs() == []
    plugin_host.plugins().retrieve.delete_dataset(undescribed)
    sql_db.session.execute(sqlalchemy.text("DELETE FROM query_document"))
    sql_db.session.commit()
    for _ in range(2):  # in each process
        query.before_serving()
    assert caplog.text.count("do not find 4 dataset(s)") == 1
    assert [job["kind"] for job in jobs.list_jobs()] == [stores.REBUILD]
    sql_db.session.rollback()
    assert job_runs.work(threading.Event(), once=True) == 3
    assert ask({"readme.n": {"$gte": 0}}) == uris
    assert SqlDocumentStore().missing() == [undescribed]


def test_indexes_are_used(app: Flask) -> None:
    several = [
        register(readme=f"project: p{n}\nweights: [{n}, {n}.5]\nrows: [{{n: {n}}}, {{n: {n + 1}}}]\n")
        for n in range(30)
    ]
    run = app.test_cli_runner().invoke
    for path in ("readme.project", "readme.weights", "readme.rows.n"):
        assert run(args=["query", "index", "create", path]).exit_code == 0
    assert "has an index" in run(args=["query", "index", "create", "readme.project"]).output
    assert run(args=["query", "index", "create", "a..b"]).exit_code == 1
    assert run(args=["query", "index", "list"]).output == "readme.project\nreadme.rows.n\nreadme.weights\n"
    for query, found in (
        ({"readme.project": "p7"}, [7]),
        ({"readme.project": {"$in": ["p3", "p4", "zz"]}}, [3, 4]),
        ({"readme.weights": 5.5}, [5]),
        ({"readme.weights": {"$gt": 28}}, [28, 29]),
        ({"readme.rows.n": 4}, [3, 4]),
        ({"readme.rows.n": {"$lt": 1}}, [0]),
    ):
        assert ask(query) == sorted(several[n] for n in found)
        assert "ix_query_index_value_" in plan(query), query
    assert "ix_query_index_value_" not in plan({"readme.other": "p7"})
    # What is registered, edited and deleted later is in it, too.
    uri = register(readme="project: p7\n")
    assert ask({"readme.project": "p7"}) == sorted([several[7], uri])
    metadata.replace_readme([operator_scope("search")], uri, "project: [p8, p9]\n")
    sql_db.session.commit()
    assert ask({"readme.project": "p7"}) == [several[7]]
    assert ask({"readme.project": "p9"}) == sorted([several[9], uri])
    assert run(args=["query", "index", "drop", "readme.project"]).exit_code == 0
    assert run(args=["query", "index", "drop", "readme.project"]).exit_code == 1
    assert "ix_query_index_value_" not in plan({"readme.project": "p7"})
    assert ask({"readme.project": "p9"}) == sorted([several[9], uri])


def test_an_index_that_was_cut_short_is_not_used_and_can_be_gone_on_with(app: Flask) -> None:
    uri = register(readme="project: p1\n")
    indexes.begin_index("readme.project")
    sql_db.session.commit()
    other = register(readme="project: p1\n")
    assert ask({"readme.project": "p1"}) == sorted([uri, other])
    run = app.test_cli_runner().invoke
    assert "not ready" in run(args=["query", "index", "list"]).output
    assert run(args=["query", "index", "create", "readme.project"]).exit_code == 0
    assert ask({"readme.project": "p1"}) == sorted([uri, other])
    assert "ix_query_index_value_" in plan({"readme.project": "p1"})


def plan(query: Any) -> str:
    """Return how the database finds the datasets that match."""
    is_sqlite = sql_db.engine.dialect.name == "sqlite"
    parameters = databases.Parameters()
    condition = store._translated(parse_filter(query), indexes.ready_indexes(), parameters)
    statement = store._statement(operator_scope("search"), Restrictions(), condition, {}, None, parameters)
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in parameters.values.items()
    }
    if not is_sqlite:  # which has too few rows to prefer an index
        sql_db.session.execute(sqlalchemy.text("SET LOCAL enable_seqscan = off"))
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    rows = sql_db.session.execute(sqlalchemy.text(f"{explain} {statement}"), values).all()
    sql_db.session.rollback()
    return "\n".join(str(row) for row in rows)


@pytest.mark.attack
def test_no_query_leaves_the_scope(app: Flask) -> None:
    seen, hidden = register(RED, readme="project: x\n"), register(BLUE, readme="project: x\n")
    scope = operator_scope("search").narrowed_to([RED])
    for query in (
        {},
        {"readme.project": "x"},
        {"$or": [{}, {"base_uri": BLUE}]},
        {"$nor": [{"zz": 1}]},
        {"uri": {"$ne": 1}},
        {"zz": {"$exists": False}},
        {"zz') OR (1=1": None},
        {"zz' OR '1'='1": None},
        {'zz") IS NULL OR (1=1) OR json_type(q.document, "$.x': None},
        {"zz:p0": None},
        {"zz%s%(p0)s": None},
        {"name": {"$not": {"$regex": "' OR 1=1 --"}}},
        {"tags": {"$nin": ["') OR 1=1 OR ('"]}},
    ):
        assert ask(query, scope) == [seen], query
    for restrictions in (Restrictions(base_uris=(BLUE,)), Restrictions(base_uris=())):
        assert ask({}, scope, restrictions=restrictions) == []
    assert ask({}, Scope("search", {})) == []
    both = Restrictions(base_uris=(RED, BLUE))
    assert ask({}, scope, restrictions=both) == [seen]
    assert ask({}, restrictions=both) == sorted([seen, hidden])
    assert ask({}, restrictions=Restrictions(tags=("beans", "2026"), creator_usernames=("olga",))) == sorted(
        [seen, hidden]
    )
    assert ask({}, restrictions=Restrictions(tags=("beans", "zz"))) == []
    assert ask({}, restrictions=Restrictions(uuids=(seen[-36:],))) == [seen]


def test_pages_are_sorted_and_counted(app: Flask) -> None:
    uris = sorted(register(name=f"n{n}", size_in_bytes=n) for n in range(5))
    assert ask({}, skip=1, limit=2) == uris[1:3]
    assert ask({}, sort={"uri": -1}, limit=2) == uris[:2:-1]
    by_name = ask({}, sort={"name": -1})
    assert by_name != uris
    assert sorted(by_name) == uris
    assert ask({}, skip=10**18) == []
    with pytest.raises(InvalidQueryError, match="cannot be sorted"):
        ask({}, sort={"readme": 1})
    scope = operator_scope("search")
    streamed = SqlDocumentStore().stream(scope, parse_filter({}), Restrictions(), most=3, seconds=10)
    assert [(document["uri"], len(document["manifest"])) for document in streamed] == [
        (u, 3) for u in uris[:3]
    ]


@pytest.mark.attack
def test_time_is_limited(app: Flask) -> None:
    """An expression that an engine tries for longer than the world exists, if it lets it."""
    for _ in range(3):
        register(readme="a" * 5000 + "!")
    start = time.monotonic()
    if sql_db.engine.dialect.name == "sqlite":
        for seconds in (0.5, 3600):
            with pytest.raises(OutOfTimeError, match="A regular expression of the query takes too long"):
                ask({"readme": {"$regex": "(a|aa)+$"}}, seconds=seconds)
    else:  # whose engine is not of that kind
        assert ask({"readme": {"$regex": "(a|aa)+$"}}, seconds=15) == []
    assert time.monotonic() - start < 30
    with pytest.raises(OutOfTimeError):
        ask({}, seconds=0.0)
    assert len(ask({})) == 3


def test_other_databases_are_told_what_they_need() -> None:
    with pytest.raises(ConfigurationError, match="DSERVER_MONGO_URI"):
        databases.require_supported("mysql+pymysql://root@127.0.0.1/test")


def test_indexes_hold_what_is_registered_meanwhile(app: Flask) -> None:
    uris = [register(readme=f"n: {n}\n") for n in range(3)]

    def told(_number: int) -> None:
        if len(uris) == 3:
            uris.append(register(readme="n: 2\n", uuid=str(uuid.uuid4())))

    rebuilding.create_index("readme.n", list(uris), told)
    assert ask({"readme.n": 2}) == sorted([uris[2], uris[3]])
