"""``/uris.csv`` and ``/uris.ndjson``: all that a search finds, in order, and nothing else."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.conftest import on_every_store, on_sql_alone, on_usual_stores, pagination, sorting
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import deletion
from dservercore.catalog.scope import OPERATOR
from dservercore.dataset.csv_lines import COLUMNS
from dservercore.dataset.fields import DATASET_KEYS
from dservercore.db import sql_db
from support.world import BLUE, dataset_info

pytestmark = on_usual_stores


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.json
    assert answer.mimetype == "application/x-ndjson"
    assert answer.text.endswith("\n") or not answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.json
    assert answer.mimetype == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.fixture
def many(champion: Any) -> None:
    """1,200 datasets of which every third is about rice."""
    infos = [
        dataset_info(
            name=f"name-{n * 7 % 1200}",
            readme="rice " * (n % 5 + 1) if n % 3 == 0 else "wheat",
            tags=["x", f"t{n % 2}"],
            frozen_at=1_500_000_000 + n % 50,
        )
        for n in range(1200)
    ]
    body = "\n".join(map(json.dumps, infos))
    answer = champion.post("/uris/bulk", data=body, content_type="application/x-ndjson")
    assert {json.loads(line)["status"] for line in answer.text.splitlines()} == {201}


def whole(client: Any, query: dict[str, Any], sort: str) -> list[dict[str, Any]]:
    """Return all pages of a search."""
    found: list[dict[str, Any]] = []
    for page in range(1, 20):
        answer = client.post(f"/uris?sort={sort}&page={page}&page_size=100", json=query)
        found += answer.json
        if len(found) == pagination(answer)["total"]:
            return found
    raise AssertionError("Pages without an end")


@pytest.mark.parametrize(
    ("query", "sort"),
    [
        ({}, "uri"),
        ({}, "-frozen_at,name"),
        ({"free_text": "rice"}, "uri"),
        ({"free_text": "rice"}, "relevance"),
        ({"free_text": "rice"}, "+relevance"),
        ({"free_text": "rice"}, "-name"),
        ({"tags": ["t1"]}, "-uri"),
        ({"tags": ["t1"], "not": {"text": "rice"}}, "frozen_at"),
        ({"free_text": "rcie wheat"}, "relevance"),
    ],
)
def test_it_is_what_all_pages_are(champion: Any, many: None, query: dict[str, Any], sort: str) -> None:
    expected = whole(champion, query, sort)
    assert len(expected) >= 399
    answer = champion.post(f"/uris.ndjson?sort={sort}", json=query)
    assert lines(answer) == expected
    first = champion.post(f"/uris?sort={sort}", json=query)
    assert sorting(answer) == sorting(first)
    assert answer.headers.get("X-Search") == first.headers.get("X-Search")
    table = rows(champion.post(f"/uris.csv?sort={sort}", json=query))
    assert [row["uri"] for row in table] == [dataset["uri"] for dataset in expected]


@on_every_store
def test_get_and_post_and_strict(champion: Any, register: Any) -> None:
    register(name="rice", readme="zebrafish")
    register(name="other")
    assert [d["name"] for d in lines(champion.get("/uris.ndjson?free_text=zebrafish"))] == ["rice"]
    relaxed = champion.get("/uris.ndjson?free_text=zebarfish")
    assert [d["name"] for d in lines(relaxed)] == ["rice"]
    assert json.loads(relaxed.headers["X-Search"])["corrected"] == {"zebarfish": ["zebrafish"]}
    strict = champion.post("/uris.ndjson?strict=true", json={"free_text": "zebarfish"})
    assert (lines(strict), "X-Search" in strict.headers) == ([], False)
    assert {d["name"] for d in lines(champion.get("/uris.ndjson"))} == {"rice", "other"}
    assert lines(champion.post("/uris.ndjson", json={"base_uris": []})) == []
    assert champion.get("/uris.csv?free_text=nothinglikeit").text == ",".join(COLUMNS) + "\r\n"


def test_an_object_is_that_of_a_list(champion: Any, register: Any) -> None:
    register(name="a", number_of_items=None, size_in_bytes=None)
    (found,) = lines(champion.get("/uris.ndjson"))
    assert list(found) == list(DATASET_KEYS)
    assert [found] == champion.get("/uris").json


def test_a_row_of_the_table(champion: Any, register: Any) -> None:
    info = register(name="beans", tags=["z", "a.b"], created_at=0, frozen_at=1536238185.881941)
    answer = champion.get("/uris.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="datasets.csv"'
    (row,) = rows(answer)
    assert row["uri"] == info["uri"]
    assert row["tags"] == "a.b, z"
    assert row["frozen_at"] == "2018-09-06T12:49:45.881941Z"
    assert row["created_at"] == "1970-01-01T00:00:00Z"
    assert row["size_in_bytes"] == "5741810"
    assert row["uploaded_by"] == ""
    assert answer.data.count(b"\r\n") == answer.data.count(b"\n") == 2


@pytest.mark.parametrize(
    "creator",
    [
        "=HYPERLINK(1)",
        "+1",
        "-1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1",
        "'=1",
        'a,"b"\r\nc',
        "é漢😀",
        "a=1",
    ],
)
@on_sql_alone
def test_no_cell_is_a_formula(champion: Any, register: Any, creator: str) -> None:
    register(creator_username=creator)
    (row,) = rows(champion.get("/uris.csv"))
    is_formula = creator[0] in "=+-@\t\r\n＝"
    assert row["creator_username"] == ("'" if is_formula else "") + creator
    (found,) = lines(champion.get("/uris.ndjson"))
    assert found["creator_username"] == creator


def test_everybody_gets_what_they_may_see(
    champion: Any, reader: Any, nobody: Any, admin: Any, register: Any
) -> None:
    register(name="red")
    register(BLUE, name="blue")
    for query in ("", "?free_text=greenhouse"):
        assert [d["name"] for d in lines(champion.get(f"/uris.ndjson{query}"))] == ["red"]
        assert sorted(d["name"] for d in lines(reader.get(f"/uris.ndjson{query}"))) == ["blue", "red"]
        for other in (nobody, admin):
            assert lines(other.get(f"/uris.ndjson{query}")) == rows(other.get(f"/uris.csv{query}")) == []
    assert lines(champion.post("/uris.ndjson", json={"base_uris": [BLUE]})) == []


def test_it_has_no_pages(champion: Any) -> None:
    for path in ("/uris.csv", "/uris.ndjson"):
        for parameter in ("page=2", "page_size=3"):
            assert champion.get(f"{path}?{parameter}").status_code == 422
        answer = champion.get(f"{path}?sort=relevance")
        assert answer.status_code == 422
        assert "free_text" in answer.json["message"]
        assert champion.post(path, data="x", content_type="text/plain").status_code == 415


class Reading:
    """An answer that is read bit by bit, as it is sent; it is not compared with the document, which takes all of it."""

    def __init__(self, client: Any, path: str):
        reader = FlaskClient(client.application, TestResponse)
        self.answer = reader.get(path, environ_base=client.environ_base)
        self.parts = iter(self.answer.response)


@pytest.mark.parametrize("query", ["", "?free_text=wheat"])
def test_what_is_deleted_meanwhile_is_left_out(app: Any, champion: Any, many: None, query: str) -> None:
    everything = lines(champion.get(f"/uris.ndjson{query}"))
    reading = Reading(champion, f"/uris.ndjson{query}")
    begun = next(reading.parts)
    with app.app_context():
        deletion.delete_dataset(operator_scope("register"), everything[-1]["uri"], actor=OPERATOR)
        sql_db.session.commit()
    found = [json.loads(line) for part in (begun, *reading.parts) for line in part.splitlines()]
    assert found == everything[:-1]


@pytest.mark.parametrize("query", ["", "?free_text=wheat"])
@on_sql_alone
def test_a_key_that_became_that_of_a_hidden_dataset_shows_nothing(
    app: Any, champion: Any, many: None, register: Any, query: str
) -> None:
    """SQLite gives the key of the last dataset to the next one, if it is deleted."""
    everything = lines(champion.get(f"/uris.ndjson{query}"))
    reading = Reading(champion, f"/uris.ndjson{query}")
    begun = next(reading.parts)
    with app.app_context():
        last = sql_db.session.execute(text("SELECT uri, id FROM dataset ORDER BY id DESC LIMIT 1")).one()
        deletion.delete_dataset(operator_scope("register"), last.uri, actor=OPERATOR)
        sql_db.session.commit()
    hidden = register(BLUE, name="hidden", readme="wheat")
    with app.app_context():
        key = sql_db.session.execute(text("SELECT id FROM dataset WHERE uri = :uri"), {"uri": hidden["uri"]})
        assert key.scalar() == last.id
    found = b"".join([begun, *reading.parts])
    assert b"hidden" not in found
    assert [json.loads(line) for line in found.splitlines()] == [
        dataset for dataset in everything if dataset["uri"] != last.uri or last.uri.encode() in begun
    ]


@on_sql_alone
def test_an_error_in_the_middle_ends_the_body_with_an_error(app: Any, champion: Any, many: None) -> None:
    """So that the server breaks off the connection, and nobody takes a part for the whole."""
    reading = Reading(champion, "/uris.ndjson")
    assert next(reading.parts).count(b"\n") == 500
    with app.app_context():
        sql_db.session.execute(text("ALTER TABLE dataset_tag RENAME TO away"))
        sql_db.session.execute(text("ALTER TABLE dataset RENAME TO elsewhere"))
        sql_db.session.commit()
    with pytest.raises(Exception, match="no such table"):
        list(reading.parts)


@on_usual_stores
def test_nothing_is_held_while_a_client_reads(app: Any, champion: Any, many: None) -> None:
    """No transaction is open, and no connection taken, between two parts."""
    with app.app_context():
        pool = sql_db.engine.pool
        before = pool.checkedout()
    reading = Reading(champion, "/uris.csv?free_text=wheat")
    number = 0
    for part in reading.parts:
        number += part.count(b"\n")
        assert pool.checkedout() == before
    assert number == 801


@on_sql_alone
def test_a_client_that_goes_away_costs_no_more(app: Any, champion: Any, many: None, statements: Any) -> None:
    reading = Reading(champion, "/uris.ndjson")
    next(reading.parts)
    reading.answer.close()
    with statements() as executed:
        assert list(reading.parts) == []
    assert len(executed) == 0
