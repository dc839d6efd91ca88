"""``/mongo/query`` and ``/mongo/aggregate`` over HTTP, in each of the stores."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugins.query.conftest import BEDS
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info
from support.worlds import World


def ask(garden: World, query: Any, username: str = READER, path: str = "/mongo/query", **body: Any) -> Any:
    """Return what is answered, which must be a 200."""
    answer = garden.send("POST", f"{path}?page_size=100&sort=name", username, json={"query": query, **body})
    assert answer.status_code == 200, answer.text
    return answer.json


def names(found: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in found]


def numbers(*wanted: int) -> list[str]:
    return [f"bed-{n:02}" for n in wanted]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, range(12)),
        ({"name": "bed-03"}, [3]),
        ({"readme.project": "rice"}, range(4)),
        ({"readme.plan.bed": {"$gte": 10}}, [10, 11]),
        ({"readme.plan": {"$elemMatch": {"bed": {"$gt": 2}, "soil": "loam"}}}, range(3, 12)),
        ({"annotations.bed": {"$in": [1, 2, None]}}, [1, 2]),
        ({"annotations.depth": 5}, [4, 5]),
        ({"annotations.depth.0": 5}, [5]),
        ({"tags": {"$all": ["even", "bed"]}, "size_in_bytes": {"$lt": 50}}, [0, 2, 4]),
        ({"$or": [{"name": {"$regex": "0[12]$"}}, {"annotations.bed": 7}]}, [1, 2, 7]),
        ({"$nor": [{"tags": "odd"}, {"creator_username": "petra"}]}, [0, 2, 4, 6, 8, 10]),
        ({"frozen_at": 1_500_000_003.25}, [3]),
        ({"uploaded_at": {"$type": "double"}}, range(12)),
        ({"uploaded_by": None}, range(12)),
        ({"manifest.items.e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3.size_in_bytes": {"$gt": 1}}, range(12)),
        ({"base_uri": BLUE}, range(8, 12)),
        ({"type": "dataset", "missing": {"$exists": False}, "annotations.bed": {"$mod": [5, 0]}}, [0, 5, 10]),
    ],
)
def test_what_matches(garden: World, query: Any, expected: Any) -> None:
    assert names(ask(garden, query)) == numbers(*expected)


def test_a_dataset_is_its_stored_document_without_what_is_long(garden: World) -> None:
    (found,) = ask(garden, {"name": "bed-03"})
    info = {key: BEDS[3][key] for key in BEDS[3] if key not in ("readme", "manifest", "annotations")}
    uploaded_at = found.pop("uploaded_at")
    assert found == {**info, "uploaded_by": None}
    assert isinstance(uploaded_at, float)


def test_filters(garden: World) -> None:
    assert names(ask(garden, {}, creator_usernames=["olga"], base_uris=[RED])) == numbers(0, 2, 4, 6)
    assert names(ask(garden, {}, tags=["odd", "bed"], base_uris=[BLUE])) == numbers(9, 11)
    assert names(ask(garden, {}, uuids=[BEDS[1]["uuid"].upper(), BEDS[9]["uuid"]])) == numbers(1, 9)
    assert ask(garden, {}, base_uris=[]) == []
    assert names(ask(garden, {}, uuids=[], tags=[], creator_usernames=[])) == numbers(*range(12))
    assert ask(garden, {"name": "bed-01"}, tags=["even"]) == []


def test_pages_and_order(garden: World) -> None:
    def page(**parameters: Any) -> Any:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return garden.send("POST", f"/mongo/query?{query}", READER, json={"query": {"tags": "bed"}})

    answer = page(page=3, page_size=5)
    assert names(answer.json) == numbers(6, 7)  # RED comes behind BLUE
    assert json.loads(answer.headers["X-Pagination"]) == {
        "total": 12,
        "total_pages": 3,
        "first_page": 1,
        "last_page": 3,
        "page": 3,
        "previous_page": 2,
    }
    assert json.loads(answer.headers["X-Sort"]) == {"sort": {"uri": 1}}
    beyond = page(page=4, page_size=5)
    assert (beyond.status_code, beyond.json) == (200, [])
    assert "page" not in json.loads(beyond.headers["X-Pagination"])
    assert names(page(sort="-name", page_size=3).json) == numbers(11, 10, 9)
    assert names(page(sort="creator_username,-frozen_at", page_size=7).json) == numbers(10, 8, 6, 4, 2, 0, 11)
    assert page(sort="readme").status_code == 422
    assert page(page_size=101).status_code == 422
    assert page(pages=1).status_code == 422


def test_who_sees_what(garden: World) -> None:
    assert names(ask(garden, {}, CHAMPION)) == numbers(*range(8))
    assert ask(garden, {}, CHAMPION, base_uris=[BLUE]) == []
    assert ask(garden, {}, NOBODY) == ask(garden, {}, ADMIN) == []
    assert garden.send("POST", "/mongo/query", STRANGER, json={"query": {}}).status_code == 401
    assert garden.client.post("/mongo/query", json={"query": {}}).status_code == 401


COUNT = [{"$count": "n"}]


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (COUNT, [{"n": 12}]),
        ([{"$match": {"tags": "odd"}}, *COUNT], [{"n": 6}]),
        ([{"$match": {"tags": "odd"}}, {"$match": {"annotations.bed": {"$gt": 3}}}, *COUNT], [{"n": 4}]),
        (
            [
                {"$group": {"_id": "$readme.project", "size": {"$sum": "$size_in_bytes"}}},
                {"$sort": {"size": 1}},
            ],
            [{"size": 60}, {"size": 220}, {"size": 380}],
        ),
        (
            [
                {"$unwind": "$tags"},
                {"$group": {"_id": "$tags", "beds": {"$avg": "$annotations.bed"}}},
                {"$match": {"_id": {"$ne": "bed"}}},
                {"$sort": {"_id": 1}},
                {"$set": {"tag": "$_id"}},
            ],
            [{"beds": 5.0, "tag": "even"}, {"beds": 6.0, "tag": "odd"}],
        ),
        (
            [{"$sort": {"name": -1}}, {"$limit": 2}, {"$project": {"name": 1}}],
            [{"name": n} for n in numbers(11, 10)],
        ),
        ([{"$match": {"_id": {"$exists": True}}}, *COUNT], []),
        (
            [{"$match": {"name": "bed-05"}}, {"$project": {"x": "$_id", "y": "$readme.plan.bed"}}],
            [{"y": [5]}],
        ),
    ],
)
def test_aggregations(garden: World, aggregation: Any, expected: Any) -> None:
    assert ask(garden, {}, path="/mongo/aggregate", aggregation=aggregation) == expected


def test_pages_of_an_aggregation(garden: World) -> None:
    body = {
        "query": {"annotations.bed": {"$lt": 7}},
        "aggregation": [{"$sort": {"name": 1}}],
        "tags": ["bed"],
    }
    answer = garden.send("POST", "/mongo/aggregate?page=2&page_size=3", READER, json=body)
    assert names(answer.json) == numbers(3, 4, 5)
    assert json.loads(answer.headers["X-Pagination"])["total"] == 7
    beyond = garden.send("POST", "/mongo/aggregate?page=9", READER, json=body)
    assert (beyond.status_code, beyond.json) == (200, [])
    body["aggregation"] = COUNT
    assert garden.send("POST", "/mongo/aggregate", CHAMPION, json={"aggregation": COUNT}).json == [{"n": 8}]
    assert garden.send("POST", "/mongo/aggregate", NOBODY, json=body).json == []


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("query", {"free_text": "x"}, "free_text"),
        ("query", {"query": {"$where": "true"}}, "$where"),
        ("query", {"query": {"a": {"$nothing": 1}}}, "$nothing"),
        ("query", {"query": {"a": {"$regex": "("}}}, "$regex"),
        ("query", {"query": {"$or": [{"$expr": {"$eq": [1, 1]}}]}}, "$expr"),
        ("query", {"query": {"a": {"$elemMatch": {"b": {"$not": {"$where": "1"}}}}}}, "$where"),
        ("query", {"query": []}, "query"),
        ("query", {"query": None}, "query"),
        ("query", {"aggregation": []}, "aggregation"),
        ("query", {"uuids": ["x"]}, "uuids"),
        ("query", {"base_uris": "x"}, "base_uris"),
        ("aggregate", {"aggregation": {}}, "aggregation"),
        ("aggregate", {"aggregation": [{"$lookup": {"from": "datasets"}}]}, "$lookup"),
        ("aggregate", {"aggregation": [{"$limit": 1}, {"$out": "x"}]}, "$out"),
        ("aggregate", {"aggregation": [{"$facet": {"a": [{"$merge": "x"}]}}]}, "$facet"),
        ("aggregate", {"aggregation": [{"$unionWith": "datasets"}]}, "$unionWith"),
        ("aggregate", {"aggregation": [{"$project": {"a": {"$function": {"body": "x"}}}}]}, "$function"),
        ("aggregate", {"aggregation": [{"$set": {"a": {"$add": [1, {"$eval": 1}]}}}]}, "$eval"),
        ("aggregate", {"aggregation": [{"$match": {"$expr": 1}}]}, "$expr"),
        ("aggregate", {"aggregation": [{"$group": {"_id": 1, "a": {"$accumulator": {}}}}]}, "$accumulator"),
        ("aggregate", {"aggregation": [{"$project": {"a": "$$NOW"}}]}, "$$NOW"),
        (
            "aggregate",
            {"aggregation": [{"$project": {"a": {"$divide": ["$size_in_bytes", 0]}}}]},
            "aggregation",
        ),
        ("aggregate", {"aggregation": [{"$sort": {"tags": 1, "annotations.depth": 1}}]}, "aggregation"),
        ("aggregate", {"query": {"$where": "1"}}, "$where"),
    ],
)
def test_what_is_wrong_is_named(garden: World, path: str, body: Any, named: str) -> None:
    answer = garden.send("POST", f"/mongo/{path}", READER, json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json["message"]


def test_what_is_written_is_found_at_once(garden: World) -> None:
    info = dataset_info(RED, name="new", readme="place: shed\n", tags=[])
    path = f"/uris/{info['uri']}"
    assert garden.send("PUT", path, json=info).status_code == 201
    assert names(ask(garden, {"readme.place": "shed"})) == ["new"]
    changed = garden.send("PUT", f"/readmes/{info['uri']}", json={"readme": "place: barn\n"})
    assert changed.status_code == 200
    assert ask(garden, {"readme.place": "shed"}) == []
    assert names(ask(garden, {"readme.place": "barn"})) == ["new"]
    assert garden.send("POST", f"/tags/{info['uri']}/fresh").status_code == 200
    assert names(ask(garden, {"tags": "fresh"})) == ["new"]
    assert garden.send("PUT", f"/annotations/{info['uri']}/bed", json={"value": 99}).status_code == 200
    assert names(ask(garden, {"annotations.bed": 99})) == ["new"]
    assert garden.send("DELETE", path).status_code == 200
    assert ask(garden, {"name": "new"}) == []
    assert ask(garden, {"name": "new"}, path="/mongo/aggregate", aggregation=COUNT) == []


@pytest.mark.parametrize(
    ("path", "setting"),
    [("query", "DSERVER_ALLOW_DIRECT_QUERY"), ("aggregate", "DSERVER_ALLOW_DIRECT_AGGREGATION")],
)
def test_either_may_be_turned_off(
    garden: World, path: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(garden.app.config, setting, False)
    answer = garden.send("POST", f"/mongo/{path}", READER, json={})
    assert (answer.status_code, setting in answer.json["message"]) == (404, True)
    assert garden.client.post(f"/mongo/{path}", json={}).status_code == 401
