"""Nobody reads, counts or infers what is in a base URI that he may not search."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from werkzeug.test import TestResponse

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR, Actor
from support.mongod import Mongod, mongo_plugins
from support.world import dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

VISIBLE, HIDDEN = "s3://visible", "s3://zanzibar-vault"
ASKER, OWNER = "asker", "zanzibar-owner"

#: Everything that is in HIDDEN has this word in it, and what all may see has not.
SECRET = "zanzibar"
SHARED_UUID = "11111111-1111-4111-8111-111111111111"
#: In words of both, so that a search finds some of each.
COMMON = "common"

MANY = 15  # more than a page


def hidden(number: int, **changes: Any) -> dict[str, Any]:
    manifest = dataset_info()["manifest"]
    item = {"relpath": f"{SECRET}/{number}.csv", "hash": SECRET, "size_in_bytes": 1, "utc_timestamp": 1.0}
    return dataset_info(
        HIDDEN,
        name=f"{SECRET}-{number}",
        readme=f"{SECRET} {COMMON}",
        creator_username=f"{SECRET}-creator",
        tags=[f"{SECRET}-tag", COMMON],
        annotations={f"{SECRET}-key": [f"{SECRET}-value", COMMON]},
        manifest={**manifest, "items": {"0" * 40: item}},
        size_in_bytes=987_654_321,
        **changes,
    )


@pytest.fixture(scope="module", params=["sql", "mongo"])
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]
) -> Iterator[World]:
    """ASKER may search VISIBLE, and register there; in HIDDEN there is more of everything."""
    settings: dict[str, str] = {}
    if request.param == "mongo":
        mongod: Mongod = request.getfixturevalue("mongod")
        settings = mongo_plugins(mongod.uri, "nothing_leaks")
    with world(tmp_path_factory.mktemp("leaks"), key_pair, **settings) as here:
        with here.app.app_context():
            users.add_user(ASKER)
            users.add_user(OWNER)
            base_uris.create_base_uri(VISIBLE, [ASKER], [ASKER])
            base_uris.create_base_uri(HIDDEN, [OWNER], [OWNER])
            scope = operator_scope("register")
            for number in range(MANY):
                changes = {"uuid": SHARED_UUID} if number == 0 else {}
                registration.register_dataset(Actor(OWNER), scope, hidden(number, **changes))
            visible = {"readme": COMMON, "tags": [COMMON], "size_in_bytes": 1}
            for uuid in (SHARED_UUID, None):
                registration.register_dataset(OPERATOR, scope, dataset_info(VISIBLE, uuid=uuid, **visible))
            sql_db.session.commit()
        yield here
    if settings:
        with pymongo.MongoClient(settings["SEARCH_MONGO_URI"]) as client:
            client.drop_database("nothing_leaks")


def ask(here: World, method: str, path: str, username: str = ASKER, **options: Any) -> TestResponse:
    return here.send(method, path, username, **options)


def check(answer: TestResponse, most: int = 2, asked: str = "") -> None:
    """Pass if nothing of HIDDEN is in the answer; what the asker has said himself may be repeated."""
    everything = answer.text + str(answer.headers)
    assert SECRET not in everything.replace(asked, "") if asked else SECRET not in everything, everything
    assert "987654321" not in everything
    for name, total in json.loads(answer.headers.get("X-Pagination", "{}")).items():
        assert total <= most, (name, total)


FILTERS: dict[str, list[Any]] = {
    "free_text": [
        COMMON,
        SECRET,
        f"{SECRET}*",
        "z*",
        f'"{SECRET} {COMMON}"',
        f"-{SECRET}",
        f"{COMMON} -{SECRET}",
    ],
    "base_uris": [[HIDDEN], [VISIBLE, HIDDEN], [HIDDEN, HIDDEN + "/"], ["s3://unknown"]],
    "creator_usernames": [[f"{SECRET}-creator"], ["olga", f"{SECRET}-creator"]],
    "uploaded_by": [[OWNER], [OWNER, "nobody"]],
    "tags": [[f"{SECRET}-tag"], [COMMON]],
    "uuids": [[SHARED_UUID]],
}
QUERIES = [{}] + [{name: value} for name, values in FILTERS.items() for value in values]
QUERIES += [
    {one: FILTERS[one][0], other: FILTERS[other][-1]} for one, other in itertools.permutations(FILTERS, 2)
]
SORTS = [
    "",
    "uri",
    "-uri",
    "name",
    "-name",
    "creator_username",
    "base_uri",
    "-base_uri",
    "-frozen_at",
    "created_at",
    "uuid",
]


OPTIONS = [{}, {"include": "description,tags,matches"}, {"group": "uuid"}]
OPTIONS.append({"include": "matches", "group": "uuid", "strict": "true"})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_searches_and_lists(here: World, method: str) -> None:
    for number, query in enumerate(QUERIES):
        sorts = [SORTS[number % len(SORTS)], SORTS[-number % len(SORTS)]]
        if "free_text" in query:
            sorts.append("relevance")
        for sort, page_size in itertools.product(sorts, (1, 100)):
            paging = {"sort": sort, "page_size": page_size, **OPTIONS[number % len(OPTIONS)]}
            if method == "GET":
                answer = ask(here, "GET", "/uris", query_string={**query, **paging})
            else:
                answer = ask(here, "POST", "/uris", query_string=paging, json=query)
            assert answer.status_code == 200
            check(answer)
            assert {dataset["base_uri"] for dataset in answer.json} <= {VISIBLE}


def test_what_is_hidden_can_be_found_by_who_may_see_it(here: World) -> None:
    """Or else the test above would find nothing wherever it looked."""
    for query in ({}, {"free_text": SECRET}, {"tags": [f"{SECRET}-tag"]}, {"uploaded_by": [OWNER]}):
        answer = ask(here, "POST", "/uris", OWNER, json=query)
        assert json.loads(answer.headers["X-Pagination"])["total"] == MANY
        with pytest.raises(AssertionError):
            check(answer)


def test_an_order_does_not_depend_on_what_is_hidden(here: World) -> None:
    """Not even the relevance of a word that is rare for who sees little, and frequent for the server."""
    found = ask(here, "POST", "/uris?sort=relevance", json={"free_text": COMMON}).json
    assert [dataset["uri"] for dataset in found] == sorted(dataset["uri"] for dataset in found)


@pytest.mark.parametrize("q", ["z", "zan", SECRET, f"{COMMON} zan", f"{COMMON} za", "co", f"tag:{SECRET}"])
def test_suggestions(here: World, q: str) -> None:
    """What the asker has typed himself may be repeated, and is completed by nothing of others."""
    answer = ask(here, "GET", "/suggest", query_string={"q": q, "limit": 50})
    assert answer.status_code == 200
    texts = [each["text"] for each in answer.json]
    assert not [text for text in texts if SECRET in text]
    seen = ask(here, "GET", "/suggest", OWNER, query_string={"q": q, "limit": 50}).json
    assert any(SECRET in each["text"] for each in seen) or q in ("co", f"tag:{SECRET}", SECRET)


def test_copies(here: World) -> None:
    answer = ask(here, "GET", f"/uuids/{SHARED_UUID}")
    assert [dataset["base_uri"] for dataset in answer.json] == [VISIBLE]
    check(answer, most=1)
    assert len(ask(here, "GET", f"/uuids/{SHARED_UUID}", OWNER).json) == 1


def test_summaries(here: World) -> None:
    answer = ask(here, "GET", "/me/summary")
    check(answer)
    assert answer.json["number_of_datasets"] == 2
    assert answer.json["total_size_in_bytes"] == 2
    assert answer.json["datasets_per_tag"] == {COMMON: 2}
    assert answer.json == ask(here, "GET", f"/users/{ASKER}/summary").json


def test_facets(here: World) -> None:
    """What the asker has named himself is repeated, with nothing in it."""
    for query in QUERIES:
        for sort in ("uri", *(["relevance"] if "free_text" in query else [])):
            answer = ask(here, "POST", f"/uris/facets?top=100&sort={sort}", json=query)
            assert answer.status_code == 200
            for name, values in answer.json.items():
                for each in values:
                    assert each["count"] <= 2, (query, name, each)
                    if each["value"] in query.get(name, []) and each["count"] == 0:
                        continue
                    assert SECRET not in each["value"], (query, name, each)
            assert SECRET not in answer.headers.get("X-Search", "") or SECRET in query["free_text"]


def test_oneself(here: World) -> None:
    for path in ("/me", f"/users/{ASKER}", "/config/info", "/config/versions", "/config/ready"):
        check(ask(here, "GET", path))


HIDDEN_THINGS = [
    f"/{resource}/{HIDDEN}/{SHARED_UUID}"
    for resource in ("uris", "readmes", "manifests", "tags", "annotations")
]


@pytest.mark.parametrize(
    "path",
    [
        *HIDDEN_THINGS,
        f"/tags/{HIDDEN}/{SHARED_UUID}/{SECRET}-tag",
        f"/annotations/{HIDDEN}/{SHARED_UUID}/{SECRET}-key",
        f"/tags/{HIDDEN}/{SHARED_UUID}/a/b",
        f"/annotations/{HIDDEN}/{SHARED_UUID}/a/b",
        f"/annotations/{HIDDEN}/{SHARED_UUID}/bad name",
        f"/tags/{HIDDEN}/{SHARED_UUID}/",
    ],
)
def test_no_method_tells_whether_something_is_hidden(here: World, path: str) -> None:
    """What is there, what is not, and what is in no base URI are refused in the same words."""
    absent = path.replace(SHARED_UUID, "22222222-2222-4222-8222-222222222222")
    nowhere = path.replace(HIDDEN, "s3://unknown")
    bodies: list[Any] = [None, {}, {"tags": []}, {"readme": ""}, {"annotations": {}}, {"value": 1}, {"x": 1}]
    for method, body in itertools.product(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"), bodies):
        before = here.version()
        asked = [ask(here, method, form, json=body) for form in (path, absent, nowhere)]
        assert here.version() == before
        told = {(answer.status_code, answer.text) for answer in asked}
        assert len(told) == 1, (method, body, told)
        assert asked[0].status_code >= 400


def test_registering_tells_nothing_about_other_places(here: World) -> None:
    known, unknown = hidden(0, uuid=SHARED_UUID), hidden(99)
    for changes in ({}, {"name": ""}, {"tags": ["bad tag"]}, {"type": "x"}):
        asked = [
            ask(here, "PUT", f"/uris/{info['uri']}", json={**info, **changes}) for info in (known, unknown)
        ]
        elsewhere = dataset_info("s3://unknown", **changes)
        asked.append(ask(here, "PUT", f"/uris/{elsewhere['uri']}", json=elsewhere))
        assert len({(answer.status_code, answer.text) for answer in asked}) == 1
        assert asked[0].status_code == 403


@pytest.mark.parametrize(
    "path", [f"/users/{OWNER}", f"/users/{OWNER}/summary", f"/base-uris/{HIDDEN}", "/users", "/base-uris"]
)
def test_administration_tells_others_nothing(here: World, path: str) -> None:
    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        for query in ("", "?page=2", "?page=99", "?sort=-username", "?with_datasets=true"):
            answer = ask(here, method, path + query, json={"users_with_search_permissions": [ASKER]})
            assert answer.status_code in (403, 405)
            check(answer)
    assert ask(here, "GET", f"/users/{OWNER}").json == ask(here, "GET", "/users/no-such-user").json


def test_an_administrator_counts_what_he_may_search_and_nothing_else(here: World) -> None:
    """Administering a place does not open it; the name of the base URI is his business."""
    for path in ("/uris", "/uris?free_text=common", f"/uuids/{SHARED_UUID}"):
        answer = ask(here, "GET", path, "ada")
        assert (answer.json, json.loads(answer.headers["X-Pagination"])["total"]) == ([], 0)
    assert ask(here, "GET", "/me/summary", "ada").json["number_of_datasets"] == 0
