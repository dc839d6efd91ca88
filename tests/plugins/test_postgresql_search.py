"""What is particular about the sql search plugin on PostgreSQL; what it shares with the others is in test_search.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app
from flask_migrate import check, downgrade, upgrade
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from dservercore import create_app
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from dservercore.db import sql_db
from dservercore.errors import UnavailableError, UnknownURIError
from dservercore.plugins.sql import ranking
from dservercore.plugins.tokens.weights import WEIGHTS
from support.postgresql import new_schema
from support.world import RED as WORLD_RED
from support.world import dataset_info

RED, BLUE = "s3://red", "s3://blue"
UUID = "8ecd8e05-558a-48e2-b563-0c9ea273e71e"


pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def tables() -> set[str]:
    return {name for name in inspect(sql_db.engine).get_table_names() if name.startswith("search_index")}


def rows(statement: str) -> list[Any]:
    return list(sql_db.session.execute(text(statement)).scalars())


# -- What is stored --------------------------------------------------------------------------------------------------


def test_the_order_of_the_columns_makes_no_difference(shelf: Any) -> None:
    columns = {name: f"{name} of the same {name}" for name in WEIGHTS}
    assert ranking.weights(columns) == ranking.weights(dict(reversed(columns.items())))


def test_few_statements_to_register(shelf: Any, statements: list[str]) -> None:
    shelf.register()
    statements.clear()
    shelf.search.register_dataset({**dataset_info(RED), "uri": rows("SELECT uri FROM dataset")[0]})
    # One of them was the test's own. The row, the index; groups of facets before, those that are known, new ones, how
    # many datasets have them, and what facets stand for; the numbers; words that are known, new ones, what is left of
    # these, and where all are.
    assert len(statements) <= 17


def test_registering_without_a_row_is_an_error(shelf: Any) -> None:
    with pytest.raises(UnknownURIError):
        shelf.search.register_dataset({"uri": "s3://red/none"})


def test_what_is_rolled_back_is_not_found(beans: Any) -> None:
    beans.search.set_readme(f"{BLUE}/{UUID}", "never committed")
    sql_db.session.rollback()
    assert beans.find("committed") == []
    assert beans.find("legumes") == ["bean-harvest"]


def test_what_is_not_committed_is_found_in_the_same_transaction(beans: Any) -> None:
    beans.search.set_readme(f"{BLUE}/{UUID}", "not yet")
    assert beans.find("yet") == ["bean-harvest"]
    sql_db.session.commit()
    assert beans.find("yet") == ["bean-harvest"]


def test_what_loses_its_row_leaves_the_index(beans: Any) -> None:
    sql_db.session.execute(text("DELETE FROM dataset"))
    for table in tables():
        assert rows(f"SELECT dataset_id FROM {table}") == []
    sql_db.session.rollback()


LONG = "x" * 50


def test_more_words_than_a_tsvector_has_room_for(shelf: Any) -> None:
    files = [f"plate/{n:06d}{LONG}.tif" for n in range(40_000)]
    uri = shelf.register("large", files=files, readme="about plates", tags=["big"])
    shelf.register("small", files=files[:1], readme="about plates")
    assert len(rows("SELECT number FROM search_index_part")) > 1
    first, last = f"000000{LONG}", f"039999{LONG}"
    both = [
        last,
        f"about {last}",
        f"{first} {last}",
        f'"plate {last} tif"',
        f"plate/{last}.tif",
        f"plate/{last[:30]}*",
        f"absent OR {last}",
        "03999*",
        f"big {last} -absent",
    ]
    assert [words for words in both if shelf.find(words) != ["large"]] == []
    assert shelf.find(f'"{last} plate"') == []
    assert shelf.find(f'"tif {last}"') == []
    assert shelf.find(f"plates -{last}") == ["small"]
    assert shelf.find(f'plates -"{last} tif"') == ["small"]
    assert shelf.find(f"{first} OR {last}", sort="-relevance") == ["small", "large"]
    shelf.set_tags(uri, ["edited"])
    assert shelf.find(f"edited {last}") == ["large"]
    shelf.register("large", files=files[:3])
    assert shelf.find(last) == []
    assert rows("SELECT number FROM search_index_part") == []
    shelf.register("large", files=files)
    shelf.delete(uri)
    assert shelf.find(last) == []
    assert rows("SELECT number FROM search_index_part") == []


def test_long_lists_of_filters(four: Any) -> None:
    many = [f"nobody{n}" for n in range(5000)]
    assert four.find(creator_usernames=[*many, "ada"]) == ["a"]
    assert sorted(
        four.find("word", creator_usernames=[*many, "ada", "bob"], uploaded_by=[*many, "carl"])
    ) == ["c"]
    assert four.find(creator_usernames=many) == []


# -- At the same time ------------------------------------------------------------------------------------------------


def test_edits_of_different_parts_at_the_same_time_are_all_there(shelf: Any) -> None:
    uri = shelf.register()
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    edits: list[Callable[[int], None]] = [
        lambda n: shelf.search.set_readme(uri, f"readme{n}"),
        lambda n: shelf.search.set_tags(uri, [f"tag{n}"]),
        lambda n: shelf.search.set_annotations(uri, {"a": f"annotation{n}"}),
    ]

    def edit(change: Callable[[int], None]) -> None:
        with app.app_context():
            for n in range(20):
                change(n)
                sql_db.session.commit()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(edit, edits))
    assert shelf.find("readme19 tag19 annotation19") == ["bean-harvest"]
    assert shelf.find("readme18 OR tag18 OR annotation18") == []


def test_an_edit_waits_for_a_registration_and_keeps_what_it_wrote(shelf: Any) -> None:
    uri = shelf.register(creator_username="ada", readme="old")
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def edit() -> None:
        with app.app_context():
            shelf.search.set_tags(uri, ["edited"])
            sql_db.session.commit()

    with ThreadPoolExecutor(1) as pool:
        sql_db.session.execute(text("UPDATE dataset SET creator_username = 'bob'"))
        info = {**dataset_info(RED), "uri": uri, "name": "new", "creator_username": "bob", "tags": []}
        shelf.search.register_dataset(info)
        waiting = pool.submit(edit)
        time.sleep(0.3)
        assert not waiting.done()
        sql_db.session.commit()
        waiting.result(timeout=10)
    assert len(shelf.find("new", tags=["edited"], creator_usernames=["bob"])) == 1
    assert shelf.find("old") == []


# -- Time ------------------------------------------------------------------------------------------------------------


@contextmanager
def locked_index() -> Iterator[None]:
    """Nobody else can read the index, as if it took very long."""
    with sql_db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE search_index IN ACCESS EXCLUSIVE MODE"))
        yield


def test_a_search_that_takes_too_long_is_cut_off(four: Any) -> None:
    before = rows("SHOW statement_timeout")
    four.search.search_seconds = 0.25
    begin = time.monotonic()
    with locked_index(), pytest.raises(UnavailableError, match=r"took longer than 0\.25 seconds") as cut_off:
        four.find("word")
    assert 0.2 < time.monotonic() - begin < 5
    assert "ask for more words" in cut_off.value.message
    assert "\n" not in cut_off.value.message
    # In the same transaction, what comes next has all the time, and the next search as much as the first.
    assert rows("SHOW statement_timeout") == before
    assert rows("SELECT 1 FROM pg_sleep(0.4)") == [1]
    assert sorted(four.find("word")) == ["a", "b", "c"]
    assert rows("SHOW statement_timeout") == before


def test_the_transaction_goes_on_whenever_a_search_is_cut_off(four: Any) -> None:
    """A limit of about the time that the search takes may end any of its statements, the last as well."""
    ended = 0
    for number in range(300):
        four.search.search_seconds = 0.0005 * (1 + number % 8)
        try:
            four.find("word")
        except UnavailableError:
            ended += 1
        assert rows("SELECT 1") == [1]
    assert ended
    four.search.search_seconds = 20.0
    assert sorted(four.find("word")) == ["a", "b", "c"]


def test_a_search_leaves_the_transaction_as_it_was(four: Any) -> None:
    settings = ("jit", "work_mem", "max_parallel_workers_per_gather", "enable_seqscan", "statement_timeout")
    before = [rows(f"SHOW {name}") for name in settings]
    four.search.set_readme(f"file:///green/{UUID}", "changed")
    four.find("word")
    assert [rows(f"SHOW {name}") for name in settings] == before
    sql_db.session.commit()
    assert four.find("changed") == ["d"]


def test_another_error_stays_what_it_is(four: Any) -> None:
    sql_db.session.execute(text("DROP TABLE search_index_part"))
    with pytest.raises(DBAPIError):
        four.find("word")
    sql_db.session.rollback()
    assert sorted(four.find("word")) == ["a", "b", "c"]


# -- How it is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["text", "text -common", '"common text"', "absent OR common", "comm*", '-"common text"']
)
def test_the_index_can_answer(hundred: Any, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """With so few datasets PostgreSQL would rather read them all, and is told not to where there is an index."""
    plans: list[str] = []
    session = sql_db.session
    original = session.connection().execute

    def explain(statement: Any, values: Any) -> Any:
        if "FROM search_index s" in str(statement):
            plans.append("\n".join(original(text(f"EXPLAIN {statement}"), values).scalars()))
        return original(statement, values)

    monkeypatch.setattr(type(session.connection()), "execute", lambda _self, *arguments: explain(*arguments))
    query = {"free_text": words, "base_uris": [RED, BLUE]}
    hundred.search.search(query, PaginationParameters(1, 10))
    assert plans
    for plan in plans:
        assert "ix_search_index_words" in plan
        assert "Seq Scan on search_index" not in plan


# -- Starting --------------------------------------------------------------------------------------------------------


def test_ready_says_whether_the_index_is_there(shelf: Any) -> None:
    assert shelf.search.ready() is None
    sql_db.session.connection().exec_driver_sql("DROP TABLE search_index")
    assert shelf.search.ready() == "the search index is missing"
    sql_db.session.rollback()


@pytest.fixture
def app_on_postgresql(backend: str, postgresql: str, tmp_path: Path) -> Iterator[Flask]:
    with new_schema(postgresql) as address:
        app = create_app(
            {
                "SECRET_KEY": "for tests alone",
                "DISABLE_JWT_AUTHORISATION": True,
                "DEFAULT_USER": "anna",
                "SQLALCHEMY_DATABASE_URI": address,
            }
        )
        yield app
        with app.app_context():
            sql_db.engine.dispose()


def test_migrations_and_models_agree_and_can_go_back(app_on_postgresql: Flask) -> None:
    names = {"search_index", "search_index_part", "search_index_weights"}
    with app_on_postgresql.app_context():
        sql_db.create_all()
        made_by_models = describe()
        sql_db.drop_all()
        assert tables() == set()
        upgrade()
        assert tables() == names
        assert describe() == made_by_models
        check()
        downgrade(revision="0003")
        assert tables() == set()
        upgrade()
        assert tables() == names


def describe() -> list[tuple[Any, ...]]:
    """Return columns, indexes and options of the tables of the index."""
    statement = """
    SELECT c.relname, array_to_string(c.reloptions, ','), a.attname, format_type(a.atttypid, a.atttypmod), a.attstorage,
           a.attnotnull, coalesce(pg_get_indexdef(i.indexrelid), '')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relname ~ 'search_index' AND c.relkind IN ('r', 'i') AND pg_table_is_visible(c.oid) ORDER BY 1, 3, 7
    """
    found = [tuple(row) for row in sql_db.session.execute(text(statement))]
    sql_db.session.rollback()
    return found


def test_what_was_searched_too_long_is_a_503(app_on_postgresql: Flask) -> None:
    app = app_on_postgresql
    with app.app_context():
        sql_db.create_all()
        users.add_user("anna")
        base_uris.create_base_uri(WORLD_RED, ["anna"], ["anna"])
        info = dataset_info(WORLD_RED)
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
    client = app.test_client()
    found = client.get("/uris", query_string={"free_text": info["name"]})
    assert [dataset["uri"] for dataset in found.json] == [info["uri"]]
    app.search.search_seconds = 0.2  # type: ignore[attr-defined]
    with app.app_context(), locked_index():
        answer = client.get("/uris", query_string={"free_text": info["name"]})
    assert answer.status_code == 503
    assert "took longer than 0.2 seconds" in answer.get_data(as_text=True)
    assert client.get("/uris", query_string={"free_text": info["name"]}).status_code == 200
