"""Requests that wait for each other in a circle: the database ends one of them, and the server does it again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from dservercore import db, sql_db
from dservercore.models import User
from racing import SERVERS, new_database


@pytest.fixture
def app() -> Iterator[Flask]:
    """An application that has nothing but its tables on PostgreSQL, with two users."""
    with new_database(SERVERS["postgresql"]) as address:
        app = Flask("deadlocks")
        app.config["SQLALCHEMY_DATABASE_URI"] = address
        sql_db.init_app(app)
        with app.app_context():
            sql_db.metadata.create_all(sql_db.engine, [User.__table__])
            sql_db.session.execute(User.__table__.insert(), [{"username": name} for name in ("a", "b")])
            sql_db.session.commit()
        yield app
        with app.app_context():
            sql_db.engine.dispose()


class Crossing:
    """Holds one user, and, when the other does so too, the one that the other holds: the first time, they meet."""

    def __init__(self, app: Flask):
        self.app = app
        self.attempts: list[str] = []
        self._both = threading.Barrier(2)
        self._met = False

    def change(self, first: str, second: str, with_retry: bool) -> None:
        def work() -> None:
            self.attempts.append(first)
            self._hold(first)
            if not self._met:
                self._both.wait(timeout=30)
                self._met = True
            self._hold(second)
            db.commit()

        with self.app.app_context():
            try:
                db.again_if_deadlocked(work) if with_retry else work()
            finally:
                sql_db.session.rollback()

    def _hold(self, name: str) -> None:
        sql_db.session.execute(select(User.id).where(User.username == name).with_for_update()).one()


@pytest.mark.parametrize("with_retry", [True, False])
def test_what_the_database_ends_is_done_again(app: Flask, with_retry: bool) -> None:
    crossing = Crossing(app)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(crossing.change, *names, with_retry) for names in (("a", "b"), ("b", "a"))]
        failures = [error for error in (future.exception() for future in made) if error]
    if with_retry:
        assert failures == []
        assert len(crossing.attempts) > 2
    else:  # or else the first case would show nothing
        [failure] = failures
        assert isinstance(failure, OperationalError)
        assert len(crossing.attempts) == 2


def test_another_failure_is_not_tried_again(app: Flask) -> None:
    attempts = []

    def work() -> None:
        attempts.append(1)
        # Ends the connection at hand: an error of the same kind.
        sql_db.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with app.app_context(), pytest.raises(OperationalError):
        db.again_if_deadlocked(work)
    assert len(attempts) == 1
