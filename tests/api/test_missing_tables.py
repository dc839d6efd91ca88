"""A table that is missing is no matter of moments: the answer names the command that makes it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from api.conftest import on_sql_alone
from dservercore.db import newest_revision, sql_db


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_database_without_tables(app, admin, method) -> None:
    with app.app_context():
        sql_db.drop_all()
    answer = admin.open("/uris", method=method, json={} if method == "POST" else None)
    assert answer.status_code == 503
    assert answer.json["message"] == "The database is not up to date: run `flask db upgrade` first"
    assert "Retry-After" not in answer.headers


def test_one_table_that_is_missing(app, admin) -> None:
    with app.app_context():
        sql_db.session.execute(text("DROP TABLE summary_count"))
        sql_db.session.commit()
    answer = admin.get("/me/summary")
    assert answer.status_code == 503
    assert "run `flask db upgrade`" in answer.json["message"]
    assert "summary_count" not in answer.text


@on_sql_alone
@pytest.mark.parametrize("table", ["dataset", "base_uri", "user"])
def test_readiness_names_what_helps(app, admin, table) -> None:
    with app.app_context():
        sql_db.metadata.tables[table].drop(sql_db.session.connection())
        sql_db.session.commit()
    told = admin.get("/config/ready")
    assert told.status_code == 503
    assert told.json["sql"] == "the database is not up to date: run `flask db upgrade`"
    with app.app_context():
        sql_db.session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        at_newest = text("INSERT INTO alembic_version VALUES (:newest)")
        sql_db.session.execute(at_newest, {"newest": newest_revision()})
        sql_db.session.commit()
    assert "`flask restore`" in admin.get("/config/ready").json["sql"]
