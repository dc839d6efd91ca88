"""``/graph/uuids/<uuid>``: what is answered, to whom, and what is learnt of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask_jwt_extended import create_access_token
from sqlalchemy import delete
from werkzeug.test import TestResponse

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import deletion, metadata
from dservercore.catalog.scope import OPERATOR
from dservercore.plugins.graph import rebuilding
from dservercore.plugins.graph.models import GraphEdge
from support.stores import database_file, disagreements
from support.world import BLUE, CHAMPION, READER

from .conftest import Family, graph_app, uuid_of

pytestmark = pytest.mark.attack

BAD_QUERIES = [
    *("depth=-1", "depth=x", "depth=1.5", "depth=99999999999999999999", "depth=NaN", "depth=1&depth=2"),
    *("most=0", "most=10001", "most=", "direction=up", "direction=", "direction=both%00"),
    *("placeholders=perhaps", "depht=1", "page=0", "page_size=101", "dependency_keys=x"),
]
BAD_LISTS: list[Any] = [
    *([], None, "readme.x", 3, {"a": 1}, [""], [" "], [None], [1], [10**30], [["a"]], [{}], ["$x"], ["a..b"]),
    *(["readme.$where"], ["a."], [".a"], ["a", "a"], ["x" * 256], ["a\0b"], ["\ud800"], ["a"] * 4000),
    [f"readme.{n}" for n in range(21)],
]
BAD_KEYS = [{"dependency_keys": wrong} for wrong in BAD_LISTS]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    with graph_app(tmp_path_factory.mktemp("graph")) as app:
        yield Family(app)


def ask(
    here: Family, number: int | str, query: str = "", user: str = CHAMPION, **options: Any
) -> TestResponse:
    headers = {"Authorization": f"Bearer {create_access_token(user)}"}
    identifier = number if isinstance(number, str) else uuid_of(number)
    method = "POST" if options else "GET"
    return here.app.test_client().open(
        f"/graph/uuids/{identifier}{query}", method=method, headers=headers, **options
    )


def numbers(answer: TestResponse) -> dict[int, list[int]]:
    assert answer.status_code == 200, answer.text
    return {
        int(entry["uuid"][:8], 16): [int(uuid[:8], 16) for uuid in entry["derived_from"]]
        for entry in answer.get_json()
    }


def test_answers_stored_documents(here) -> None:
    here.add(1)
    uri = here.add(2, 1, tags=["b", "a"])
    answer = ask(here, 2)
    child = answer.get_json()[1]
    assert child["derived_from"] == [uuid_of(1)]
    assert (child["uri"], child["tags"], child["type"]) == (uri, ["b", "a"], "dataset")
    assert isinstance(child["frozen_at"], float)
    assert isinstance(child["created_at"], float)
    assert isinstance(child["uploaded_at"], float)
    assert not child.keys() & {"readme", "manifest", "annotations", "_id", "placeholder"}
    assert json.loads(answer.headers["X-Pagination"])["total"] == 2
    assert "X-Graph" not in answer.headers
    assert ask(here, uuid_of(2).upper()).get_json() == answer.get_json()
    assert ask(here, "{" + uuid_of(2) + "}").get_json() == answer.get_json()


def test_pages(here) -> None:
    here.add(10)
    for number in range(11, 16):
        here.add(number, 10)
    found: dict[int, list[int]] = {}
    for page in (1, 2, 3):
        answer = ask(here, 13, f"?page={page}&page_size=2&sort=-name,anything")
        found |= numbers(answer)
        assert len(answer.get_json()) == 2
    assert list(found) == list(range(10, 16))
    beyond = ask(here, 13, "?page=4&page_size=2")
    assert (beyond.status_code, beyond.get_json()) == (200, [])
    assert json.loads(beyond.headers["X-Pagination"]) == {
        "total": 6,
        "total_pages": 3,
        "first_page": 1,
        "last_page": 3,
    }


def test_what_is_unknown_or_no_uuid_is_connected_with_nothing(here) -> None:
    for identifier in (uuid_of(999_999), "x", "%00", "null", "a" * 5000, "☃", "%F0%9F%98%80", "[]"):
        answer = ask(here, identifier)
        assert (answer.status_code, answer.get_json()) in ((200, []), (404, answer.get_json())), identifier
    assert ask(here, 999_999).get_json() == []
    assert json.loads(ask(here, 999_999).headers["X-Pagination"]) == {"total": 0, "total_pages": 0}


def test_a_bounded_answer_says_so(here) -> None:
    here.add(20)
    for number in range(21, 26):
        here.add(number, number - 1)
    near = ask(here, 20, "?depth=2")
    assert numbers(near).keys() == {20, 21, 22}
    assert json.loads(near.headers["X-Graph"]) == {"most": 1000, "depth": 2}
    few = ask(here, 20, "?most=3")
    assert numbers(few).keys() == {20, 21, 22}
    assert json.loads(few.headers["X-Graph"]) == {"most": 3, "depth": None}
    assert "X-Graph" not in ask(here, 20, "?depth=5&most=6").headers
    assert numbers(ask(here, 22, "?direction=ancestors")).keys() == {20, 21, 22}
    assert numbers(ask(here, 22, "?direction=descendants")).keys() == {22, 23, 24, 25}


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_bad_query_is_told(here, query: str) -> None:
    answer = ask(here, 1, f"?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.get_json()["message"]


@pytest.mark.parametrize("body", [{}, [], None, "x", 3, {"keys": ["a"]}, *BAD_KEYS])
def test_bad_keys_are_told(here, body: Any) -> None:
    answer = ask(here, 1, data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 422, answer.text
    assert answer.get_json()["message"]


def test_keys_may_be_ones_own(here) -> None:
    here.add(30)
    here.add(31, annotations={"a": {"b": [uuid_of(30).upper()]}})
    here.add(32, 31)
    assert numbers(ask(here, 31)) == {31: [], 32: [31]}
    own = ask(here, 31, json={"dependency_keys": ["annotations.a.b"]})
    assert numbers(own) == {30: [], 31: [30]}
    both = ask(here, 31, json={"dependency_keys": ["annotations.a.b", "readme.derived_from.uuid"]})
    assert numbers(both) == {30: [], 31: [30], 32: [31]}
    assert numbers(ask(here, 31, json={"dependency_keys": ["name", "uuid", "x.y"]})) == {31: []}
    here.app.config["DSERVER_DYNAMIC_DEPENDENCY_KEYS"] = False
    try:
        assert numbers(ask(here, 31, json={"dependency_keys": ["annotations.a.b"]})) == {31: [], 32: [31]}
        here.app.config["DSERVER_ENABLE_DEPENDENCY_VIEW"] = False
        answer = ask(here, 31)
        assert (answer.status_code, answer.get_json()) == (200, [])
    finally:
        here.app.config |= {"DSERVER_DYNAMIC_DEPENDENCY_KEYS": True, "DSERVER_ENABLE_DEPENDENCY_VIEW": True}


def test_edits_and_deletions_count_at_once(here) -> None:
    here.add(40)
    here.add(41)
    uri = here.add(42, 40)
    scope = operator_scope("register")
    metadata.replace_readme([scope], uri, f"derived_from:\n  uuid: {uuid_of(41)}\n")
    sql_db.session.rollback()
    assert numbers(ask(here, 42)) == {40: [], 42: [40]}
    metadata.replace_readme([scope], uri, f"derived_from:\n  uuid: {uuid_of(41)}\n")
    sql_db.session.commit()
    assert numbers(ask(here, 42)) == {41: [], 42: [41]}
    deletion.delete_dataset(scope, uri, actor=OPERATOR)
    sql_db.session.commit()
    assert numbers(ask(here, 41)) == {41: []}
    assert here.app.test_client().get("/graph/uuids/x").status_code == 401


def test_edges_are_those_of_the_documents(here) -> None:
    here.add(45, 46, 47, annotations={"x": uuid_of(48)})
    assert disagreements(database_file(here.app)) == []
    sql_db.session.execute(delete(GraphEdge).where(GraphEdge.parent == uuid_of(48)))
    sql_db.session.commit()
    assert len(disagreements(database_file(here.app))) == 1
    rebuilding.rebuild(everything=True)
    assert disagreements(database_file(here.app)) == []


def answers_about(here: Family, number: int) -> list[Any]:
    """Everything that somebody learns who may search RED alone."""
    learnt = []
    for query in (
        "",
        "?placeholders=true",
        "?most=2&placeholders=true",
        "?placeholders=true&depth=1",
        "?most=1",
    ):
        for direction in ("ancestors", "descendants", "both"):
            answer = ask(here, number, f"{query}{'&' if query else '?'}direction={direction}")
            assert answer.status_code == 200
            headers = {
                name: answer.headers.get(name) for name in ("X-Pagination", "X-Graph", "Content-Length")
            }
            entries = [{**entry, "uploaded_at": 0} for entry in answer.get_json()]
            learnt.append((answer.status_code, entries, headers["X-Pagination"], headers["X-Graph"]))
    return learnt


def test_nothing_is_learnt_of_what_is_hidden(here) -> None:
    """A parent that is hidden, has hidden parents and children of its own and copies, or is not registered at all."""
    here.add(51, 50)
    here.add(52, 51)
    before, of_the_parent = answers_about(here, 51), answers_about(here, 50)
    assert {entry["uuid"] for entry in before[3][1]} == {uuid_of(50), uuid_of(51)}
    here.add(50, 53, 51, base_uri=BLUE)
    here.add(53, 54, base_uri=BLUE)
    here.add(54, base_uri=BLUE)
    for number in range(55, 60):
        here.add(number, 50, 51, 52, base_uri=BLUE)
    here.add(51, 54, 58, base_uri=BLUE)  # a copy that names others
    assert answers_about(here, 51) == before
    assert answers_about(here, 50) == of_the_parent
    assert answers_about(here, 53) == answers_about(here, 999)
    whole = numbers(ask(here, 51, "?page_size=100", READER))
    assert set(range(50, 60)) <= set(whole)


def test_derived_from_says_what_a_readme_says_whether_registered_or_not(here) -> None:
    here.add(61, 60, 69)
    expected = {61: [60, 69]}
    assert numbers(ask(here, 61)) == expected
    here.add(60, base_uri=BLUE)
    assert numbers(ask(here, 61)) == expected
    marked = ask(here, 61, "?placeholders=true").get_json()
    assert marked[0] == {"uuid": uuid_of(60), "derived_from": [], "placeholder": True}
    assert marked[2] == {"uuid": uuid_of(69), "derived_from": [], "placeholder": True}
