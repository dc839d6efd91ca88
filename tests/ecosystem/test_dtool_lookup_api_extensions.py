"""The functions of ``dtool-lookup-api`` for MongoDB queries and dependency graphs, with published plugins."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pymongo
import pytest

from ecosystem.library import BLUE, GREEN, Library, bean_harvest, open_library
from ecosystem.lookup_api import FACES, Call, Home
from ecosystem.published import EXTENSIONS, Installation
from support.mongod import Mongod, mongo_plugins
from support.world import CHAMPION, NOBODY, READER, RED, dataset_info

PLUGINS = ("dserver-direct-mongo-plugin", "dserver-dependency-graph-plugin")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a plain installation fetches every dependency

# A family, of which READER does not see the middle generation.
GRANDPARENT = "1a1f9fad-8589-413e-9602-5bbd66bfe675"
PARENT = "2a74dfd2-0699-47b9-b8b6-c1356f968aee"
CHILD = "51490ee3-e130-4514-bfa8-4dc2e9cd0e04"


def family() -> list[dict[str, Any]]:
    readme = "description: Offspring\nderived_from:\n  - uuid: {}\n"
    return [
        dataset_info(RED, uuid=GRANDPARENT, name="grandparent", tags=[], annotations={}),
        dataset_info(GREEN, uuid=PARENT, name="parent", readme=readme.format(GRANDPARENT), annotations={}),
        dataset_info(
            RED,
            uuid=CHILD,
            name="child",
            readme=readme.format(PARENT),
            annotations={"raised_by": GRANDPARENT},
        ),
    ]


@pytest.fixture(scope="module")
def library(
    backend: str, installation: Installation, mongod: Mongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    """A library whose server has the plugins, with a family of datasets among the others."""
    name = f"test_{uuid.uuid4().hex}"
    settings = {
        "PYTHONPATH": installation.path("extensions"),
        "DSERVER_MONGO_URI": mongod.uri,
        "DSERVER_MONGO_DB": name,
        "DSERVER_MONGO_COLLECTION": "direct",
        "DSERVER_ALLOW_DIRECT_AGGREGATION": "true",
    }
    if backend == "mongo":
        settings.update(mongo_plugins(mongod.uri, name))
    folder = tmp_path_factory.mktemp(f"extended-{backend}")
    with open_library(folder, settings, python=installation.python) as library:
        for info in family():
            library.put(info)
        yield library
    with pymongo.MongoClient(mongod.uri) as client:
        client.drop_database(name)


@pytest.fixture(params=FACES, ids=lambda face: face.__name__)
def face(request: pytest.FixtureRequest) -> Any:
    return request.param


def check_stored(
    found: list[dict[str, Any]], expected: list[dict[str, Any]], uploaded_by: str = CHAMPION
) -> None:
    """Assert that these are the stored documents, in any order, without long parts, with times of milliseconds."""
    found = sorted(found, key=lambda entry: entry["uri"])
    expected = sorted(expected, key=lambda info: info["uri"])
    assert [entry["uri"] for entry in found] == [info["uri"] for info in expected]
    for entry, info in zip(found, expected, strict=True):
        short = {
            key: value for key, value in info.items() if key not in ("readme", "manifest", "annotations")
        }
        times = {key: pytest.approx(short[key], abs=0.001) for key in ("created_at", "frozen_at")}
        uploaded_at = entry["uploaded_at"]
        assert entry == {**short, **times, "uploaded_by": uploaded_by, "uploaded_at": uploaded_at}
        age = datetime.now(timezone.utc) - parsedate_to_datetime(uploaded_at)
        assert 0 <= age.total_seconds() < 3600


def test_the_plugins_are_in(face: Any, library: Library, home: Home) -> None:
    versions = Call(home, face, "get_versions")()
    for name in PLUGINS:
        assert versions[name.replace("-", "_")] == EXTENSIONS[name]
    config = Call(home, face, "get_config")()
    assert config["allow_direct_aggregation"] is True
    assert config["dependency_keys"] == ["readme.derived_from.uuid", "annotations.source_dataset_uuid"]
    assert config["mongo_uri"].startswith("mongodb://127.0.0.1:")


@pytest.mark.parametrize("name", ["get_datasets_by_mongo_query", "query", "by_query"])
def test_query(name: str, face: Any, library: Library, home: Home) -> None:
    call = Call(home, face, name)
    for query, expected in [
        ({"name": "bean-harvest-02"}, [library.red(2)]),
        ({"readme.derived_from.uuid": PARENT}, family()[2:]),
        ({"annotations.bed": {"$gt": 9}}, [library.red(10), library.red(11)]),
        ('{"name": {"$regex": "^(grand)?parent$"}}', family()[:2]),
        ({"name": "unheard-of"}, []),
    ]:
        check_stored(call(query), expected)
    filters = {"creator_usernames": ["olga"], "base_uris": [RED], "tags": ["beans", "even"]}
    check_stored(call({"annotations.bed": {"$lt": 5}}, **filters), [library.red(n) for n in (0, 2, 4)])

    check_stored(call({"annotations.bed": 3}), [library.red(3), bean_harvest(3, GREEN)])
    readers = call({"annotations.bed": 3}, actor=READER)
    assert {entry["base_uri"] for entry in readers} == {RED, BLUE}
    check_stored([entry for entry in readers if entry["base_uri"] == BLUE], library.hidden, READER)
    assert call({"annotations.bed": 3}, base_uris=[BLUE]) == []
    assert call({}, actor=NOBODY) == []

    found: list[dict[str, Any]] = []
    for page, size in ((1, 5), (2, 5), (3, 3)):
        pagination: dict[str, int] = {}
        sorting: dict[str, Any] = {}
        bed = {"annotations.soil": "loam"}
        found += call(bed, page_number=page, page_size=5, pagination=pagination, sorting=sorting)
        assert (pagination["total"], pagination["page"], pagination["last_page"]) == (13, page, 3)
        assert len(found) == 5 * (page - 1) + size
    check_stored(found, library.visible)


@pytest.mark.parametrize("name", ["get_datasets_by_mongo_aggregation", "aggregate"])
def test_aggregate(name: str, face: Any, library: Library, home: Home) -> None:
    call = Call(home, face, name)
    count = [{"$match": {"tags": "odd"}}, {"$count": "matches"}]
    assert call(count) == [{"matches": 7}]
    assert call(count, actor=READER) == [{"matches": 7}]  # six, and the one that CHAMPION does not see
    assert call('[{"$match": {"name": "child"}}, {"$project": {"name": 1, "uuid": 1}}]') == [
        {"name": "child", "uuid": CHILD}
    ]
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
    assert call(count, actor=NOBODY) == []


def test_graph(face: Any, library: Library, home: Home) -> None:
    call = Call(home, face, "get_graph_by_uuid")
    everybody = [(GRANDPARENT, []), (PARENT, [GRANDPARENT]), (CHILD, [PARENT])]

    def generations(*arguments: Any, **options: Any) -> list[tuple[str, list[str]]]:
        found = call(*arguments, **options)
        plain = [{key: value for key, value in entry.items() if key != "derived_from"} for entry in found]
        check_stored(plain, [info for info in family() if info["uuid"] in {entry["uuid"] for entry in found}])
        return [(entry["uuid"], entry["derived_from"]) for entry in found]

    for identifier in (GRANDPARENT, PARENT, CHILD):
        pagination: dict[str, int] = {}
        assert generations(identifier, pagination=pagination) == everybody
        assert (pagination["total"], pagination["page"]) == (3, 1)
    assert generations(CHILD, page_size=2, page_number=2) == everybody[2:]
    assert generations(CHILD, actor=READER) == [everybody[0], everybody[2]]
    assert generations(PARENT, actor=NOBODY) == []

    raised_by = ["annotations.raised_by"]
    assert generations(CHILD, raised_by) == [(GRANDPARENT, []), (CHILD, [GRANDPARENT])]
    assert generations(CHILD, dependency_keys=["readme.derived_from.uuid"]) == everybody


def test_graph_by_its_old_name_cannot_be_called(face: Any, library: Library, home: Home) -> None:
    with pytest.raises(TypeError, match="multiple values for argument 'dependency_keys'"):
        Call(home, face, "graph")(CHILD)


def test_a_change_reaches_the_plugins(face: Any, library: Library, home: Home) -> None:
    query = Call(home, face, "get_datasets_by_mongo_query")
    with library.shelf() as shelf:
        info = dataset_info(shelf, name="before", readme="place: shed\n")
        options = {"base_uris": [shelf]}
        register = Call(home, face, "register_dataset")
        assert register(**info) is True
        check_stored(query({"readme.place": "shed"}, **options), [info])
        changed = {**info, "name": "after", "readme": "place: barn\n"}
        assert register(**changed) is True
        assert query({"readme.place": "shed"}, **options) == []
        check_stored(query({"readme.place": "barn"}, **options), [changed])
