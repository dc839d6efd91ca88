"""Requests that stand in each other's way on PostgreSQL and MariaDB: repeated, or told to come back; never an error."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
from flask import Flask

from dservercore import sql_db
from dservercore.catalog import users
from dservercore.db import servers
from support.databases import new_database
from support.mongod import Mongod, mongo_plugins
from support.world import ADMIN, CHAMPION

NEW = "s3://new"


@pytest.fixture(params=["postgresql", "mariadb"])
def config(
    request: pytest.FixtureRequest, config: dict[str, Any], mongod: Mongod, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    # Instead of ten, to be done sooner.
    monkeypatch.setattr(servers, "LOCK_SECONDS", 3)
    with new_database(request.param) as address:
        yield {
            **config,
            **mongo_plugins(mongod.uri, f"races_{uuid.uuid4().hex}"),
            "SQLALCHEMY_DATABASE_URI": address,
        }


@pytest.fixture
def other(app: Flask, config: dict[str, Any]) -> Iterator[sqlalchemy.Connection]:
    """Somebody else's connection, who holds the row of CHAMPION and has changed many others."""
    with app.app_context():
        users.add_user(ADMIN, is_admin=True)
        for name in (CHAMPION, *(f"user-{number}" for number in range(50))):
            users.add_user(name)
        sql_db.session.commit()
    engine = sqlalchemy.create_engine(config["SQLALCHEMY_DATABASE_URI"], poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        user = sqlalchemy.Table("user", sqlalchemy.MetaData(), autoload_with=connection)
        connection.rollback()
        connection.execute(user.select().with_for_update())
        connection.execute(user.update().values(display_name="changed"))
        yield connection


class Request(threading.Thread):
    """A request of the administrator that is under way: a new base URI, with permissions of CHAMPION."""

    def __init__(self, app: Flask, headers: dict[str, str]):
        super().__init__()
        self._ask: Callable[[], Any] = lambda: app.test_client().put(
            f"/base-uris/{NEW}", json={"users_with_search_permissions": [CHAMPION]}, headers=headers
        )
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        self.answer = self._ask()


def test_the_victim_of_a_deadlock_is_repeated(
    app: Flask,
    other: sqlalchemy.Connection,
    bearer: Callable[..., dict[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dservercore.rest.retries")
    request = Request(app, bearer(ADMIN))
    time.sleep(0.5)  # it has written the base URI, and waits for CHAMPION
    assert request.is_alive()
    other.execute(sqlalchemy.text("INSERT INTO base_uri (base_uri) VALUES (:uri)"), {"uri": NEW})
    other.rollback()
    request.join()
    assert request.answer.status_code == 201
    assert f"Repeating PUT /base-uris/{NEW}" in caplog.text
    found = app.test_client().get(f"/base-uris/{NEW}", headers=bearer(ADMIN)).json
    assert found["users_with_search_permissions"] == [CHAMPION]


def test_who_waits_too_long_for_a_row_is_told_to_come_back(
    app: Flask, other: sqlalchemy.Connection, bearer: Callable[..., dict[str, str]]
) -> None:
    request = Request(app, bearer(ADMIN))
    request.join()
    answer = request.answer
    assert answer.status_code == 503
    assert answer.json["message"] == "Other requests change the same things at this moment; try again"
    assert answer.headers["Retry-After"] == "1"
    other.rollback()
    assert app.test_client().get(f"/base-uris/{NEW}", headers=bearer(ADMIN)).status_code == 404
    request = Request(app, bearer(ADMIN))
    request.join()
    assert request.answer.status_code == 201
