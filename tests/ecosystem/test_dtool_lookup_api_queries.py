"""The functions of ``dtool-lookup-api`` for MongoDB queries, with the bundled extension, on each store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
import requests

from ecosystem.library import GREEN, Library, bean_harvest, open_library
from ecosystem.lookup_api import FACES, Call, Home
from support.mongod import mongo_plugins
from support.world import BLUE, NOBODY, READER, RED


@pytest.fixture(scope="module")
def library(
    backend: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Library]:
    settings = {"DSERVER_EXTENSIONS": "query", "DSERVER_ALLOW_DIRECT_AGGREGATION": "true"}
    name = f"test_{uuid.uuid4().hex}"
    if backend == "mongo":
        settings |= mongo_plugins(request.getfixturevalue("mongod").uri, name)
    with open_library(tmp_path_factory.mktemp(f"queries-{backend}"), settings) as library:
        yield library
    if backend == "mongo":
        with pymongo.MongoClient(settings["SEARCH_MONGO_URI"]) as client:
            client.drop_database(name)


@pytest.fixture(params=FACES, ids=lambda face: face.__name__)
def face(request: pytest.FixtureRequest) -> Any:
    return request.param


def check(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Assert that these are the documents, in any order, without what is long, with exact times."""
    found = sorted(found, key=lambda entry: entry["uri"])
    expected = sorted(expected, key=lambda info: info["uri"])
    assert [entry["uri"] for entry in found] == [info["uri"] for info in expected]
    for entry, info in zip(found, expected, strict=True):
        short = {key: info[key] for key in info if key not in ("readme", "manifest", "annotations")}
        assert isinstance(entry["uploaded_at"], float)
        assert {**entry, "uploaded_by": "", "uploaded_at": 0} == {
            **short,
            "uploaded_by": "",
            "uploaded_at": 0,
        }


@pytest.mark.parametrize("name", ["get_datasets_by_mongo_query", "query", "by_query"])
def test_query(name: str, face: Any, library: Library, home: Home) -> None:
    call = Call(home, face, name)
    for query, expected in [
        ({"name": "bean-harvest-02"}, [library.red(2)]),
        ({"annotations.bed": {"$gt": 9}}, [library.red(10), library.red(11)]),
        ({"readme.heard": {"$exists": True}}, [library.red(7)]),
        ('{"name": {"$regex": "-0[12]$"}}', [library.red(1), library.red(2)]),
        ({"name": "unheard-of"}, []),
    ]:
        check(call(query), expected)
    filters = {"creator_usernames": ["olga"], "base_uris": [RED], "tags": ["beans", "even"]}
    check(call({"annotations.bed": {"$lt": 5}}, **filters), [library.red(n) for n in (0, 2, 4)])
    check(call({"annotations.bed": 3}), [library.red(3), bean_harvest(3, GREEN)])
    assert {entry["base_uri"] for entry in call({"annotations.bed": 3}, actor=READER)} == {RED, BLUE}
    assert call({"annotations.bed": 3}, base_uris=[BLUE]) == call({}, actor=NOBODY) == []

    found: list[dict[str, Any]] = []
    for page, size in ((1, 5), (2, 5), (3, 3)):
        pagination: dict[str, int] = {}
        sorting: dict[str, Any] = {}
        bed = {"annotations.soil": "loam"}
        found += call(bed, page_number=page, page_size=5, pagination=pagination, sorting=sorting)
        assert (pagination["total"], pagination["page"], pagination["last_page"]) == (13, page, 3)
        assert len(found) == 5 * (page - 1) + size
    check(found, library.visible)


@pytest.mark.parametrize("name", ["get_datasets_by_mongo_aggregation", "aggregate"])
def test_aggregate(name: str, face: Any, library: Library, home: Home) -> None:
    call = Call(home, face, name)
    count = [{"$match": {"tags": "odd"}}, {"$count": "matches"}]
    assert call(count) == [{"matches": 7}]
    assert call(count, actor=NOBODY) == []
    chosen = '[{"$match": {"name": "bean-harvest-05"}}, {"$project": {"name": 1}}]'
    assert call(chosen) == [{"name": "bean-harvest-05"}]
    pagination: dict[str, int] = {}
    beds = [
        {"$group": {"_id": "$annotations.bed", "copies": {"$sum": 1}}},
        {"$match": {"_id": {"$ne": None}}},
        {"$sort": {"_id": 1}},
        {"$set": {"bed": "$_id"}},
    ]
    assert call(beds, page_size=2, page_number=2, pagination=pagination) == [
        {"bed": 2, "copies": 1},
        {"bed": 3, "copies": 2},
    ]
    assert (pagination["total"], pagination["last_page"]) == (12, 6)


def test_the_request_of_the_web_application(library: Library) -> None:
    versions = requests.get(f"{library.server.address}/config/versions", timeout=60).json()["versions"]
    assert "dserver_direct_mongo_plugin" in versions
    answer = library.server.request(
        "POST", "/mongo/query?page=1&page_size=10", READER, json={"query": {"base_uri": BLUE}}
    )
    assert (answer.status_code, len(answer.json())) == (200, 1)
    assert answer.headers["X-Pagination"]
