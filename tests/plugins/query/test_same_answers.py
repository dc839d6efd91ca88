"""Every store gives the answers that MongoDB gives: SQLite, PostgreSQL, and what evaluates filters in aggregations."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.models import Dataset
from dservercore.plugins.query import rebuilding
from dservercore.plugins.query.expressions import time_limit
from dservercore.plugins.query.language import parse_filter
from dservercore.plugins.query.matching import compiled
from dservercore.plugins.query.sql import store
from dservercore.plugins.query.sql.dialect import TooComplexError
from dservercore.plugins.query.sql.store import SqlDocumentStore
from dservercore.plugins.query.store import Restrictions
from dservercore.plugins.query.time_limit import TimeLimit
from plugins.query.nasty_documents import DOCUMENTS, Maker, written_down
from support.databases import new_database, on_other_stores
from support.fuzzing import examples
from support.world import RED, dataset_info

Asked = Callable[[Any], list[int]]


@pytest.fixture(scope="module")
def mongo(mongod) -> Iterator[Asked]:
    """Returns ``n`` of the documents that MongoDB finds."""
    with pymongo.MongoClient(mongod.uri) as client:
        name = f"answers_{uuid.uuid4().hex}"
        documents = client[name]["documents"]
        documents.insert_many([dict(document) for document in DOCUMENTS])
        yield lambda query: [
            one["n"] for one in documents.find(parse_filter(query).query, {"n": True}).sort("n", 1)
        ]
        client.drop_database(name)


def an_app(address: str) -> Flask:
    """An application with a dataset for each document."""
    app = create_app({"SQLALCHEMY_DATABASE_URI": address, "DSERVER_EXTENSIONS": ["query"]})
    with app.app_context():
        sql_db.create_all()
        base_uris.create_base_uri(RED, [], [])
        for number in range(len(DOCUMENTS)):
            info = dataset_info(uuid=str(uuid.UUID(int=number, version=4)))
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        ids = sql_db.session.execute(sql_db.select(Dataset.id).order_by(Dataset.uri)).scalars()
        SqlDocumentStore().put_documents(dict(zip(ids, DOCUMENTS, strict=True)))
        sql_db.session.commit()
    return app


@pytest.fixture(scope="module", params=["sqlite", *on_other_stores("postgresql")])
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    if request.param == "sqlite":
        app = an_app(f"sqlite:///{tmp_path_factory.mktemp('answers')}/answers.db")
        yield app
    else:
        with new_database("postgresql") as address:
            app = an_app(address)
            yield app
    with app.app_context():
        sql_db.engine.dispose()


@pytest.fixture(scope="module")
def sql(app: Flask) -> Asked:
    """Returns ``n`` of the documents that the SQL database finds."""

    def ask(query: Any) -> list[int]:
        with app.app_context():
            scope, filter = operator_scope("search"), parse_filter(query)
            found, total = SqlDocumentStore().find(
                scope, filter, Restrictions(), sort=None, skip=0, limit=1000, seconds=60
            )
            assert total == len(found)
            return [document["n"] for document in found]

    return ask


@pytest.fixture(params=["without indexes", "with indexes"])
def indexes(request: pytest.FixtureRequest, app: Flask) -> None:
    if request.param == "with indexes":
        with app.app_context():
            uris = sql_db.session.execute(sql_db.select(Dataset.uri)).scalars().all()
            for path in ("a", "a.b", "a.0", "n"):
                rebuilding.create_index(path, uris)


@pytest.mark.usefixtures("indexes")
def test_each_operator_and_value(mongo: Asked, sql: Asked) -> None:
    queries = list(written_down())
    assert len(queries) > 500
    others = [query for query in queries if sql(query) != mongo(query)]
    assert others == []


@examples(30)
@given(st.integers(0, 2**32))
def test_whatever_is_made_up(mongo: Asked, sql: Asked, seed: int) -> None:
    maker = Maker(random.Random(seed))
    for _ in range(5):
        query = maker.query()
        assert sql(query) == mongo(query), query


def test_what_evaluates_filters_in_aggregations(mongo: Asked) -> None:
    time_limit.set(TimeLimit(60))
    maker = Maker(random.Random(1))
    for query in [*written_down(), *(maker.query() for _ in range(300))]:
        matches = compiled(parse_filter(query).condition)
        assert [document["n"] for document in DOCUMENTS if matches(document)] == mongo(query), query


def test_what_is_too_complex_for_a_statement(mongo: Asked, sql: Asked, monkeypatch) -> None:
    """SQLite's parser has a stack of a hundred places, and PostgreSQL thinks for minutes about a thousand tables."""
    query: dict[str, Any] = {"b": 1}
    for _ in range(2):
        query = {"$or": [{"b": {"$elemMatch": {"$nor": [query]}}}, {"0": {"$not": {"$gt": 3}}}]}
    query = {"$or": [{"a": {"$elemMatch": {"b": 1}}}, query]}
    assert sql(query) == mongo(query)
    path: dict[str, Any] = {"x.0.1.2.y": None}
    for _ in range(4):
        path = {"0.a.1.b.2": {"$elemMatch": {**path, "0.q": None}}}
    assert sql(path) == mongo(path)
    translated, refused = store._translated, []

    def refuse(*arguments: Any) -> str:
        refused.append(translated(*arguments))
        raise TooComplexError

    monkeypatch.setattr(store, "_translated", refuse)
    queries = list(written_down())[::7]
    assert [query for query in queries if sql(query) != mongo(query)] == []
    assert len(refused) == len(queries)
