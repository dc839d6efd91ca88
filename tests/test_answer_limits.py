"""What holds with PostgreSQL whichever driver asks: answers are waited for with an end, and rows are counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from flask import Flask
from sqlalchemy.exc import OperationalError

from dservercore import create_app
from dservercore.db import changed_rows, insert_if_new, servers, sql_db
from dservercore.models import BaseURI
from support.databases import new_database


@pytest.fixture(params=["psycopg", "psycopg2"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    with new_database("postgresql") as address:
        app = create_app(
            {"SQLALCHEMY_DATABASE_URI": f"postgresql+{request.param}://{address.partition('://')[2]}"}
        )
        with app.app_context():
            yield app
            sql_db.session.remove()
            sql_db.engine.dispose()


def execute(statement: str) -> object:
    return sql_db.session.connection().exec_driver_sql(statement).scalar()


def test_an_answer_that_does_not_come(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "ANSWER_SECONDS", 1)
    begin = time.monotonic()
    with pytest.raises(OperationalError, match="does not answer in time") as raised:
        execute("SELECT pg_sleep(20)")
    assert 1 <= time.monotonic() - begin < 5
    assert raised.value.connection_invalidated
    assert servers.is_away(raised.value)
    sql_db.session.rollback()
    # The next one has another connection, and gets the answer to its own question.
    assert execute("SELECT 7") == 7


def test_one_that_takes_its_time(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "ANSWER_SECONDS", 3)
    for _ in range(3):
        assert execute("SELECT 5 FROM pg_sleep(0.5)") == 5


def test_more_values_than_the_protocol_has_room_for(app: Flask) -> None:
    numbers = list(range(70_000))
    statement = sqlalchemy.select(sqlalchemy.func.count()).where(sqlalchemy.literal(69_999).in_(numbers))
    assert sql_db.session.execute(statement).scalar() == 1


def test_how_many_rows_a_statement_has_touched(app: Flask) -> None:
    sql_db.create_all()
    table, values = BaseURI.__table__, {"base_uri": "s3://beans"}
    assert [insert_if_new(table, ("base_uri",), values) for _ in range(2)] == [True, False]
    change = table.update().where(table.c.base_uri == sqlalchemy.bindparam("named")).values(last_indexed="{}")
    assert [changed_rows(change, {"named": name}) for name in ("s3://beans", "s3://peas")] == [1, 0]
    assert [changed_rows(table.delete()) for _ in range(2)] == [1, 0]
    sql_db.session.rollback()


def test_nothing_is_prepared_on_the_server(app: Flask) -> None:
    """A pool such as PgBouncer would hand it to another client."""
    for number in range(10):
        sql_db.session.execute(sqlalchemy.text("SELECT CAST(:n AS int)"), {"n": number})
    assert execute("SELECT count(*) FROM pg_prepared_statements") == 0


@pytest.mark.parametrize(
    ("wanted", "statement"),
    [("55P03", "lock"), ("42P01", "SELECT * FROM nowhere"), ("42703", "SELECT nothing")],
)
def test_the_codes_of_errors(app: Flask, wanted: str, statement: str) -> None:
    if statement == "lock":
        statement = "DO $$ BEGIN RAISE EXCEPTION 'locked' USING ERRCODE = '55P03'; END $$"
    with pytest.raises(sqlalchemy.exc.DBAPIError) as raised:
        execute(statement)
    assert wanted in servers.codes_of(raised.value.orig)
    assert servers.waited_too_long(raised.value) == (wanted == "55P03")
    assert servers.lacks_table(raised.value.orig) == (wanted != "55P03")
