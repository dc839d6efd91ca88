"""PostgreSQL knows its tables at once after many datasets were registered, and not a minute later."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.db import statistics
from support.databases import new_database
from support.world import RED, dataset_info

KNOWN = "SELECT count(*) FROM pg_stats WHERE tablename = 'dataset'"
VISIBLE = "SELECT relallvisible FROM pg_class WHERE relname = 'dataset'"


@pytest.fixture
def filled():
    with new_database("postgresql") as address:
        app = create_app({"SQLALCHEMY_DATABASE_URI": address})
        with app.app_context():
            sql_db.create_all()
            base_uris.create_base_uri(RED, [], [])
            for number in range(20):
                info = dataset_info(RED, name=f"d{number}")
                registration.register_dataset(OPERATOR, operator_scope("register"), info)
            sql_db.session.commit()
            yield app
            sql_db.session.remove()
            sql_db.engine.dispose()


def found(statement: str) -> int:
    with sql_db.engine.connect() as connection:
        return connection.execute(text(statement)).scalar_one()


def test_after_many(filled: Flask) -> None:
    statistics.after_registering(statistics.MANY)
    assert found(KNOWN) > 0
    assert found(VISIBLE) > 0


def test_not_after_a_few(filled: Flask) -> None:
    statistics.after_registering(statistics.MANY - 1)
    assert found(KNOWN) == 0


def test_what_fails_is_a_warning(filled: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with sql_db.engine.begin() as connection:
        connection.execute(text("DROP TABLE dataset_tag"))
    statistics.after_registering(statistics.MANY)
    assert "dataset_tag" in caplog.text
