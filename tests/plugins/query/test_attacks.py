"""Attempts to read through queries what was not granted, to bring the server down with them, or to learn by errors."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, deletion, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.errors import UnavailableError
from dservercore.plugins.query import turns
from dservercore.plugins.query.sql import indexes
from support.world import BLUE, CHAMPION, NOBODY, READER, RED, dataset_info
from support.worlds import World

pytestmark = pytest.mark.attack

#: What is in BLUE, which CHAMPION may not search, and nowhere else.
SECRET = re.compile(r"secret|bed-(?:08|09|10|11)|s3://blue")

DEEP: Any = {"name": {"$exists": True}}
for _ in range(15):
    DEEP = {"$and": [DEEP]}

QUERIES: list[Any] = [
    {"base_uri": BLUE},
    {"$or": [{"base_uri": BLUE}, {"base_uri": RED}]},
    {"$or": [{"base_uri": {"$in": [BLUE]}}, {}]},
    {"$nor": [{"base_uri": RED}]},
    {"base_uri": {"$ne": RED}},
    {"base_uri": {"$not": {"$eq": RED}}},
    {"base_uri": {"$regex": "blue"}},
    {"base_uri": {"$exists": True}},
    {"base_uri": {"$gte": ""}, "$and": [{"base_uri": BLUE}]},
    {"base_uri": {"$in": [RED, BLUE]}},
    {"base_uri.0": {"$exists": False}},
    {"uri": {"$regex": "^s3"}},
    {"readme.project": "secret"},
    {"annotations.bed": {"$gt": 7}},
    {"": BLUE},
    {"$comment": "x", "base_uri": BLUE},
    {'a" OR 1=1 --': 1},
    {"a') OR 1=1 --": {"$exists": False}},
    {"$.name": {"$exists": False}},
    {"name']": {"$exists": False}},
    {'name"]': {"$ne": "') OR ('1'='1"}},
    {"*": {"$exists": False}},
    {"annotations.*": {"$exists": False}},
    {"annotations[0]": {"$exists": False}},
    {"annotations.a.b": {"$exists": False}},
    {"name": {"$ne": "'; DROP TABLE dataset; --"}},
    {"name": {"$regex": "' OR '1'='1"}},
    {"name": {"$not": {"$regex": "\\\\' OR 1=1"}}},
    {"%s": {"$exists": False}, ":x": {"$exists": False}, "{x}": {"$exists": False}, "%(x)s": None},
    DEEP,
    {},
]

STAGES: list[Any] = [
    [],
    [{"$project": {"base_uri": {"$literal": RED}, "name": 1}}],
    [{"$set": {"base_uri": RED}}, {"$match": {"base_uri": RED}}],
    [{"$unset": "base_uri"}],
    [{"$group": {"_id": "$base_uri", "n": {"$push": "$name"}}}, {"$set": {"b": "$_id"}}],
    [{"$group": {"_id": None, "n": {"$push": "$$ROOT"}}}],
    [{"$match": {"$or": [{"base_uri": BLUE}, {"base_uri": RED}]}}],
    [{"$match": {"base_uri": BLUE}}, {"$count": "n"}],
    [{"$sortByCount": "$readme.project"}, {"$set": {"p": "$_id"}}],
    [{"$lookup": {"from": "datasets", "pipeline": [], "as": "x"}}],
    [{"$unionWith": {"coll": "datasets"}}],
    [{"$facet": {"x": [{"$unionWith": "datasets"}]}}],
    [
        {
            "$graphLookup": {
                "from": "datasets",
                "startWith": 1,
                "connectFromField": "a",
                "connectToField": "b",
                "as": "c",
            }
        }
    ],
    [{"$project": {"x": {"$function": {"body": "function() { return 1 }", "args": [], "lang": "js"}}}}],
    [{"$collStats": {}}],
    [{"$indexStats": {}}],
    [{"$currentOp": {}}],
    [{"$listSessions": {}}],
    [{"$documents": [{"a": 1}]}],
    [{"$match": {}}, {"$lookup ": 1}],
    [{"$lookup\u0000": 1}],
    [{"$match": {"a": {"$elemMatch": {"$lookup": 1}}}}],
    [{"$project": {"x": {"$map": {"input": [1], "in": {"$lookup": 1}}}}}],
    [{"$project": {"x": {"$cond": [1, {"$lookup": 1}, 2]}}}],
    [{"$project": {"x": {"y": {"z": {"$where": 1}}}}}],
    [{"$project": {"x": ["$$USER_ROLES", "$$CURRENT"]}}],
    [{"$group": {"_id": {"$getField": "base_uri"}}}],
    [{"$replaceRoot": {"newRoot": "$annotations"}}],
]


def ask(garden: World, path: str, body: Any, username: str = CHAMPION) -> Any:
    """Send a request; whatever comes, it is no fault of the server, and a message if it is none of the client's."""
    answer = garden.send("POST", f"/mongo/{path}?page_size=100", username, json=body)
    assert answer.status_code in (200, 400, 422), (answer.status_code, body)
    if answer.status_code != 200:
        assert answer.json["message"]
        assert not re.search(r"Traceback|sqlite3|psycopg|pymongo|SELECT |127\.0\.0\.1", answer.text)
    return answer


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: json.dumps(query)[:60])
def test_no_query_reads_what_was_not_granted(garden: World, query: Any) -> None:
    for body in ({"query": query}, {"query": query, "base_uris": [RED, BLUE]}):
        answer = ask(garden, "query", body)
        assert not SECRET.search(answer.text) or answer.status_code == 422
        if answer.status_code == 200:
            assert json.loads(answer.headers["X-Pagination"])["total"] == len(answer.json) <= 8
    assert ask(garden, "query", {"query": query}, NOBODY).json in (
        [],
        ask(garden, "query", {"query": query}).json,
    )
    counted = ask(garden, "aggregate", {"query": query, "aggregation": [{"$count": "n"}]})
    assert counted.status_code != 200 or counted.json in [[], *([{"n": n}] for n in range(9))]


@pytest.mark.parametrize("stages", STAGES, ids=lambda stages: json.dumps(stages)[:60])
def test_no_aggregation_reads_what_was_not_granted(garden: World, stages: Any) -> None:
    answer = ask(garden, "aggregate", {"aggregation": stages})
    if answer.status_code == 200:
        assert not SECRET.search(answer.text)
        assert ask(garden, "aggregate", {"aggregation": stages}, NOBODY).json == []


# Expressions of MongoDB take no longer in one text than in another of that length: tests of it look at its plans.
@pytest.mark.parametrize("store", ["sqlite"], indirect=True, scope="module")
def test_the_time_of_an_answer_tells_nothing_of_what_is_hidden(garden: World) -> None:
    """An expression that takes for ever in a text is tried on what the asker may see, and on nothing else."""
    hidden = dataset_info(BLUE, uuid=str(uuid.uuid4()), readme=f"kind: trap\nbait: {'a' * 60}!\n")
    with garden.app.app_context():
        indexes.begin_index("readme.kind")
        indexes.end_index("readme.kind")
        registration.register_dataset(OPERATOR, operator_scope("register"), hidden)
        sql_db.session.commit()
    garden.app.config["DSERVER_SEARCH_TIMEOUT"] = 1.0
    try:
        query = {"readme.kind": "trap", "readme.bait": {"$regex": "(a|aa)+$"}}
        for kind in ("trap", {"$in": ["trap", "x"]}):
            query["readme.kind"] = kind
            answer = garden.send("POST", "/mongo/query", CHAMPION, json={"query": query})
            assert (answer.status_code, answer.json) == (200, [])
        assert garden.send("POST", "/mongo/query", READER, json={"query": query}).status_code == 503
    finally:
        garden.app.config["DSERVER_SEARCH_TIMEOUT"] = 10.0
        with garden.app.app_context():
            deletion.delete_dataset(operator_scope("register"), hidden["uri"], actor=OPERATOR)
            indexes.drop_index("readme.kind")
            sql_db.session.commit()


def test_queries_that_take_all_their_time_leave_threads_for_others(
    garden: World, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four threads, two answer queries and one waits."""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.2)
    asked, go_on = threading.Semaphore(0), threading.Event()
    store_of_app = garden.app.extensions["dservercore-documents"]

    def find(*_: Any, **__: Any) -> tuple[list[Any], int]:
        asked.release()
        assert go_on.wait(10)
        return [], 0

    monkeypatch.setattr(store_of_app, "find", find)
    body = {"query": {"name": "x"}}
    with ThreadPoolExecutor() as pool:
        slow = [
            pool.submit(garden.app.test_client().post, "/mongo/query", json=body, headers=garden.bearer(name))
            for name in (CHAMPION, READER)
        ]
        assert asked.acquire(timeout=10)
        assert asked.acquire(timeout=10)
        others = [("query", {}), ("aggregate", {"aggregation": [{"$count": "n"}]})]
        for path, more in others:
            answer = garden.send("POST", f"/mongo/{path}", json={**body, **more})
            assert (answer.status_code, "Too many" in answer.text) == (503, True)
        go_on.set()
        assert [answer.result().status_code for answer in slow] == [200, 200]
    assert garden.send("POST", "/mongo/query", json=body).status_code == 200


def test_nobody_takes_all_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.1)
    of_process = turns.Turns(3)
    for asker in (CHAMPION, None):  # all visitors together
        with of_process.taken(asker), of_process.taken(asker):
            with pytest.raises(UnavailableError), of_process.taken(asker):
                pass
            with of_process.taken(READER), pytest.raises(UnavailableError), of_process.taken(READER):
                pass
    with turns.Turns(1).taken(CHAMPION):
        pass


def test_the_unregistered_base_uri_and_the_forbidden_one_are_alike(garden: World) -> None:
    answers = [ask(garden, "query", {"query": {"base_uri": base}}) for base in (BLUE, "s3://unheard-of")]
    assert answers[0].json == answers[1].json == []
    assert answers[0].headers["X-Pagination"] == answers[1].headers["X-Pagination"]


def test_visitors_query_what_is_public_and_nothing_else(garden: World) -> None:
    with garden.app.app_context():
        base_uris.set_public(BLUE, True)
        sql_db.session.commit()
    try:
        found = garden.client.post("/mongo/query?page_size=100", json={"query": {}})
        assert {dataset["base_uri"] for dataset in found.json} == {BLUE}
        for query in QUERIES:
            answer = garden.client.post("/mongo/query", json={"query": query})
            assert answer.status_code in (200, 422)
            assert answer.status_code == 422 or "s3://red" not in answer.text
        page = garden.client.get("/", query_string={"free_text": "{}"})
        assert (page.status_code, "bed-08" in page.text, "bed-07" in page.text) == (200, True, False)
        assert garden.client.post("/mongo/aggregate", json={}).status_code == 401
    finally:
        with garden.app.app_context():
            base_uris.set_public(BLUE, False)
            sql_db.session.commit()


BODIES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b'{"query": 1}',
    b'{"query": "x"}',
    b'{"query": {"a": NaN}}',
    b'{"query": {"a": Infinity}}',
    b'{"query": {"a": 1e999}}',
    b'{"query": {"a": ' + b"9" * 400 + b"}}",
    b'{"query": {"a": ' + b"9" * 5000 + b"}}",
    b'{"query": {"a": 18446744073709551616}}',
    b'{"query": {"a": "\\ud800"}}',
    b'{"query": {"\\ud800": 1}}',
    b'{"query": {"a\\u0000b": 1}}',
    b'{"query": {"a": {"b\\u0000": 1}}}',
    b'{"query": {"a": "\\u0000"}}',
    b'{"query": {"a": {"$in": [' + b"1," * 100_000 + b"1]}}}",
    b'{"query": {"a": {"$in": [' + b"1," * 4000 + b"1]}}}",
    b'{"query": {' + b",".join(b'"k%d": 1' % n for n in range(9000)) + b"}}",
    b'{"query": {"' + b"a." * 5000 + b'a": 1}}',
    b'{"query": {"' + b"0." * 100 + b'0": 1}}',
    b'{"query": ' + b'{"$and": [' * 200 + b"{}" + b"]}" * 200 + b"}",
    b'{"query": ' + b'{"a": ' * 5000 + b"1" + b"}" * 5000 + b"}",
    b'{"query": {"a": {"$regex": "' + b"(a+)+" * 10 + b'$"}}}',
    b'{"query": {"a": {"$regex": "' + b"(" * 2000 + b")" * 2000 + b'"}}}',
    b'{"query": {"a": {"$regex": "a{1000000}"}}}',
    b'{"query": {"a": {"$regex": ["x"]}}}',
    b'{"query": {"a": {"$regex": "x", "$options": 1}}}',
    b'{"query": {"a": {"$options": "i"}}}',
    b'{"query": {"a": {"$type": 99}}}',
    b'{"query": {"a": {"$size": -1}}}',
    b'{"query": {"a": {"$size": 1e300}}}',
    b'{"query": {"a": {"$mod": [0, 0]}}}',
    b'{"query": {"a": {"$mod": [1e300, 0]}}}',
    b'{"query": {"a": {"$exists": {}}}}',
    b'{"query": {"$and": {}}}',
    b'{"query": {"$and": []}}',
    b'{"query": {"$and": [1]}}',
    b'{"query": {"$where": "while(1);"}}',
    b'{"query": {"a": {"$all": 1}}}',
    b'{"query": {"a": {"$not": 1}}}',
    b'{"query": {"a": {"$elemMatch": 1}}}',
    b'{"query": {}, "aggregation": 1}',
    b'{"query": {}, "aggregation": {"$count": "n"}}',
    b'{"query": {}, "aggregation": [[]]}',
    b'{"query": {}, "aggregation": [1]}',
    b'{"query": {}, "aggregation": [{}]}',
    b'{"query": {}, "aggregation": [null]}',
    b'{"query": {}, "aggregation": [' + b'{"$limit": 1},' * 60 + b'{"$limit": 1}]}',
    b'{"aggregation": [{"$limit": 1e400}]}',
    b'{"aggregation": [{"$limit": 9223372036854775807}, {"$skip": 9223372036854775807}]}',
    b'{"aggregation": [{"$skip": 9223372036854775807}]}',
    b'{"aggregation": [{"$project": {"a": ' + b'{"$not": ' * 300 + b"1" + b"}" * 300 + b"}}]}",
    b'{"aggregation": [{"$project": {"a": {"$concat": [' + b'"$name",' * 900 + b'"$name"]}}}]}',
    b'{"aggregation": [{"$set": {"' + b"a." * 300 + b'a": 1}}]}',
    b'{"aggregation": [' + b'{"$set": {"a.a.a.a.a.a.a.a.a": "$$ROOT"}},' * 40 + b'{"$sort": {"a": 1}}]}',
    b'{"aggregation": [{"$unwind": "$' + b"a." * 300 + b'a"}]}',
    b'{"aggregation": [{"$sort": {' + b",".join(b'"k%d": 1' % n for n in range(40)) + b"}}]}",
    b'{"aggregation": [{"$sort": {"name": true}}]}',
    b'{"aggregation": [{"$sort": {"name": {"$meta": "textScore"}}}]}',
    b'{"aggregation": [{"$group": {"_id": {"$a": 1}}}]}',
    b'{"aggregation": [{"$match": {"$text": {"$search": "x"}}}]}',
    b'{"uuids": ["' + b"x" * 2000 + b'"]}',
    b'{"tags": [1]}',
    b'{"tags": "x"}',
    b'{"base_uris": [null]}',
    b'{"creator_usernames": ["\\ud800"]}',
    b'{"tags": ["' + b"x" * 2000 + b'"]}',
]


@pytest.mark.parametrize("path", ["query", "aggregate"])
def test_ugly_bodies_are_no_fault_of_the_server(garden: World, path: str) -> None:
    for body in BODIES:
        begin = time.monotonic()
        answer = garden.send("POST", f"/mongo/{path}", data=body, content_type="application/json")
        assert answer.status_code in (200, 400, 413, 422), (answer.status_code, body[:100])
        assert answer.status_code == 200 or answer.json["message"]
        assert time.monotonic() - begin < 8, body[:100]


def test_a_body_that_is_too_large_is_not_read(garden: World) -> None:
    answer = garden.send("POST", "/mongo/query", data=b" " * 2**20, content_type="application/json")
    assert answer.status_code == 413


def test_rows_that_are_multiplied_are_bounded(garden: World) -> None:
    """Each stage makes ten of one: the twentieth would have more than there are grains of sand."""
    garden.app.config["DSERVER_SEARCH_TIMEOUT"] = 1.0
    try:
        stages: list[Any] = []
        for _ in range(12):
            stages += [{"$set": {"x": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}, {"$unwind": "$x"}]
        begin = time.monotonic()
        answer = garden.send("POST", "/mongo/aggregate", json={"aggregation": stages})
        assert answer.status_code == 503
        assert time.monotonic() - begin < 6
        pushed = [*stages[:12], {"$group": {"_id": None, "all": {"$push": "$$ROOT"}}}]
        answer = garden.send("POST", "/mongo/aggregate", json={"aggregation": pushed})
        assert answer.status_code in (422, 503)
    finally:
        garden.app.config["DSERVER_SEARCH_TIMEOUT"] = 10.0


#: Each stage takes a value twice, ...
TWICE: list[Any] = [{"$set": {"x": ["$x", "$x"]}}] * 45
#: ... or thousands of times a text that is a megabyte long.
MILLION: list[Any] = [{"$set": {"x": "x" * 100}}] + [{"$set": {"x": {"$concat": ["$x"] * 10}}}] * 4
LARGE: dict[str, list[Any]] = {
    "lists in lists": TWICE,
    "a group of them": [*TWICE, {"$group": {"_id": "$x"}}],
    "one compared": [*TWICE, {"$project": {"is": {"$eq": ["$x", "$x"]}}}],
    "documents": [{"$set": {"x": "$$ROOT", "y": "$$ROOT"}}] * 40 + [{"$match": {"x": {"$ne": {"a": 1}}}}],
    "objects": [{"$set": {"x": {"a": "$x", "b": "$x"}}}] * 45,
    "fields": [*MILLION, {"$set": {f"x{n}": "$x" for n in range(4000)}}],
    "a projection": [*MILLION, {"$project": {f"x{n}": "$x" for n in range(4000)}}],
    "in each element": [
        *MILLION,
        {"$set": {"y": [{}] * 1000}},
        {"$set": {"y.z": "$x"}},
    ],
    "the last ones": [
        *MILLION,
        {"$group": {"_id": "$name", **{f"x{n}": {"$last": "$x"} for n in range(1000)}}},
    ],
}


@pytest.mark.parametrize("stages", LARGE.values(), ids=LARGE.keys())
def test_what_is_put_together_is_bounded_before_it_is_looked_at(garden: World, stages: list[Any]) -> None:
    """A value that is used again and again takes no memory, until somebody compares it or writes it down."""
    begin = time.monotonic()
    answer = garden.send("POST", "/mongo/aggregate", json={"aggregation": stages})
    assert answer.status_code == 422, answer.text[:300]
    assert "16 MB" in answer.text or "memory" in answer.text or "deep" in answer.text
    assert time.monotonic() - begin < 8


NAMES = [
    *(
        "$and",
        "$or",
        "$nor",
        "$not",
        "$in",
        "$nin",
        "$gt",
        "$lte",
        "$eq",
        "$ne",
        "$exists",
        "$regex",
        "$elemMatch",
    ),
    *(
        "$all",
        "$size",
        "$type",
        "$mod",
        "$options",
        "base_uri",
        "name",
        "tags",
        "a.b",
        "$match",
        "$project",
        "$group",
    ),
    *("$sort", "$unwind", "$set", "_id", "$sum", "$push", "$add", "$cond"),
]
STAGE_NAMES = ["$match", "$project", "$group", "$sort", "$set", "$unset", "$unwind", "$count"]

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([RED, BLUE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=12,
)
_stage = st.dictionaries(st.sampled_from(STAGE_NAMES), _values, min_size=1, max_size=1)


@given(query=_values, stages=st.lists(_stage, max_size=3))
@settings(max_examples=60)
def test_anything_at_all(garden: World, query: Any, stages: Any) -> None:
    for path, body in (("query", {"query": query}), ("aggregate", {"query": {}, "aggregation": stages})):
        encoded = json.dumps(body)
        answer = garden.send("POST", f"/mongo/{path}", data=encoded, content_type="application/json")
        assert answer.status_code in (200, 400, 422), (answer.status_code, body)
        if answer.status_code == 200:
            assert not re.search(r"secret|bed-(?:08|09|10|11)", answer.text)
