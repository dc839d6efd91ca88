"""Whoever comes without a token reads, counts and infers nothing of what is not public.

Two ways to see it: nothing of it is in an answer, and every answer is, to the byte, that of a server which has never
had anything else than what is public.
"""

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
from test_nothing_leaks import (
    COMMON,
    HIDDEN,
    HIDDEN_THINGS,
    MANY,
    OPTIONS,
    OWNER,
    QUERIES,
    SECRET,
    SHARED_UUID,
    SORTS,
    VISIBLE,
    check,
    hidden,
)

pytestmark = [pytest.mark.attack, pytest.mark.usefixtures("same_times")]

#: What is public: a copy of a dataset that is hidden, too, and another one.
SHOWN = [
    dataset_info(VISIBLE, uuid=uuid, readme=COMMON, tags=[COMMON], size_in_bytes=1)
    for uuid in (SHARED_UUID, "33333333-3333-4333-8333-333333333333")
]


@pytest.fixture(scope="module", params=["sql", "mongo"])
def worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]
) -> Iterator[tuple[World, World]]:
    """A server with public and hidden datasets, and one that has the public ones alone."""
    names = ("leaks_to_visitors", "leaks_to_nobody")
    settings: list[dict[str, str]] = [{}, {}]
    if request.param == "mongo":
        mongod: Mongod = request.getfixturevalue("mongod")
        settings = [mongo_plugins(mongod.uri, name) for name in names]
    with (
        world(tmp_path_factory.mktemp("full"), key_pair, **settings[0]) as full,
        world(tmp_path_factory.mktemp("bare"), key_pair, **settings[1]) as bare,
    ):
        for here in (full, bare):
            with here.app.app_context():
                base_uris.create_base_uri(VISIBLE, None, None, True)
                scope = operator_scope("register")
                if here is full:
                    users.add_user(OWNER)
                    base_uris.create_base_uri(HIDDEN, [OWNER], [OWNER])
                    scope = operator_scope("register")
                    for number in range(MANY):
                        changes = {"uuid": SHARED_UUID} if number == 0 else {}
                        registration.register_dataset(Actor(OWNER), scope, hidden(number, **changes))
                for info in SHOWN:
                    registration.register_dataset(OPERATOR, scope, info)
                sql_db.session.commit()
        yield full, bare
    if request.param == "mongo":
        with pymongo.MongoClient(settings[0]["SEARCH_MONGO_URI"]) as client:
            for name in names:
                client.drop_database(name)


def visit(worlds: tuple[World, World], method: str, path: str, **options: Any) -> TestResponse:
    """Return what the server answers without a token, which must be what it answers if there is nothing else."""
    full, bare = (here.client.open(path, method=method, **options) for here in worlds)
    assert (full.status_code, full.data) == (bare.status_code, bare.data)
    for name in ("X-Pagination", "X-Search", "X-Sort", "ETag", "Content-Length", "Link"):
        assert full.headers.get(name) == bare.headers.get(name), name
    return full


@pytest.fixture(scope="module")
def same_times(worlds: tuple[World, World]) -> None:
    """Both servers have registered what is public at the same time."""
    for here in worlds:
        with here.app.app_context():
            sql_db.session.execute(sql_db.text("UPDATE dataset SET uploaded_at = NULL"))
            sql_db.session.commit()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/uris", "/uris.ndjson", "/uris.csv"])
def test_searches_and_lists(worlds: tuple[World, World], method: str, path: str) -> None:
    for number, query in enumerate(QUERIES):
        sorts = [SORTS[number % len(SORTS)], SORTS[-number % len(SORTS)]]
        if "free_text" in query:
            sorts.append("relevance")
        for sort, page_size in itertools.product(sorts, (1, 100) if path == "/uris" else (0,)):
            paging = {"sort": sort}
            if path == "/uris":
                paging |= {"page_size": page_size, **OPTIONS[number % len(OPTIONS)]}
            if method == "GET":
                answer = visit(worlds, "GET", path, query_string={**query, **paging})
            else:
                answer = visit(worlds, "POST", path, query_string=paging, json=query)
            assert answer.status_code == 200
            check(answer)
            if path == "/uris":
                assert {dataset["base_uri"] for dataset in answer.json} <= {VISIBLE}


def test_what_is_hidden_can_be_found_by_who_may_see_it(worlds: tuple[World, World]) -> None:
    """Or else the test above would find nothing wherever it looked."""
    answer = worlds[0].send("POST", "/uris", OWNER, json={"free_text": SECRET})
    assert json.loads(answer.headers["X-Pagination"])["total"] == MANY
    with pytest.raises(AssertionError):
        check(answer)


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET[:-1]}",
        f"{SECRET}x",
        f"{SECRET} {COMMON}",
        "comon",
        f"comon {SECRET}",
        "zanzi",
        f"{SECRET}{COMMON}",
    ],
)
def test_what_is_done_to_a_query(worlds: tuple[World, World], text: str) -> None:
    for strict in ("true", "false"):
        for path in ("/uris", "/uris/facets", "/uris.ndjson"):
            query = {"free_text": text, "sort": "relevance", "strict": strict}
            answer = visit(worlds, "GET", path, query_string=query)
            if SECRET not in text:  # what somebody has typed is repeated
                check(answer)


@pytest.mark.parametrize("q", ["z", "zan", SECRET, f"{COMMON} zan", f"{COMMON} za", "co", f"tag:{SECRET}"])
def test_suggestions(worlds: tuple[World, World], q: str) -> None:
    answer = visit(worlds, "GET", "/suggest", query_string={"q": q, "limit": 50})
    assert answer.status_code == 200
    assert not [each["text"] for each in answer.json if SECRET in each["text"].replace(q, "")]


def test_facets(worlds: tuple[World, World]) -> None:
    for query in QUERIES:
        for prefix in ("", "z"):
            options = {"top": 100, **({"prefix": prefix, "facets": "tags"} if prefix else {})}
            answer = visit(worlds, "POST", "/uris/facets", query_string=options, json=query)
            assert answer.status_code == 200
            for values in answer.json.values():
                assert all(each["count"] <= len(SHOWN) for each in values)


def test_copies(worlds: tuple[World, World]) -> None:
    answer = visit(worlds, "GET", f"/uuids/{SHARED_UUID}")
    assert [dataset["base_uri"] for dataset in answer.json] == [VISIBLE]
    check(answer, most=1)


@pytest.mark.parametrize("path", HIDDEN_THINGS)
def test_no_method_tells_whether_something_is_hidden(worlds: tuple[World, World], path: str) -> None:
    absent = path.replace(SHARED_UUID, "22222222-2222-4222-8222-222222222222")
    nowhere = path.replace(HIDDEN, "s3://unknown")
    conditions: list[dict[str, str]] = [{}, {"If-None-Match": "*"}, {"If-Match": '"x"'}]
    before = worlds[0].version()
    for method, headers in itertools.product(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"), conditions):
        asked = [visit(worlds, method, form, headers=headers) for form in (path, absent, nowhere)]
        assert len({(answer.status_code, answer.text) for answer in asked}) == 1
        assert asked[0].status_code in ({403} if method in ("GET", "HEAD") else {401, 405})
    assert worlds[0].version() == before


@pytest.mark.parametrize("path", ["/config/versions", "/config/ready", "/doc/openapi.json", "/"])
def test_what_everybody_may_read_anyway(worlds: tuple[World, World], path: str) -> None:
    check(worlds[0].client.get(path))


@pytest.mark.parametrize("path", ["/me", "/me/summary", "/config/info", "/users", "/base-uris", "/audit"])
def test_what_visitors_may_not_read(worlds: tuple[World, World], path: str) -> None:
    answer = visit(worlds, "GET", path)
    assert answer.status_code == 401
    check(answer)
