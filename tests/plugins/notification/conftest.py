"""A server that object stores may notify, and what is queued there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dservercore import sql_db
from dservercore.catalog import jobs
from dservercore.plugins.notification import inbox
from support.world import BLUE, RED
from support.worlds import World, world

PATH = "/webhook/notify"
SETTINGS = {
    "DSERVER_EXTENSIONS": ["notification"],
    "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": {"red": RED, "blue": BLUE, "green": "s3://green"},
}


class Inbox:
    """The server's side of a bucket's events."""

    def __init__(self, standing: World):
        self.standing, self.app = standing, standing.app

    def post(self, path: str = PATH, address: str = "127.0.0.1", **options: Any) -> TestResponse:
        """Send something, from an address."""
        client = self.app.test_client()
        return client.post(path, environ_overrides={"REMOTE_ADDR": address}, **options)

    def take(self, message: Any, **options: Any) -> list[str]:
        """Send a message that is accepted, and return the URIs to look at; then nothing is queued any more."""
        answer = self.post(json=message, **options)
        assert (answer.status_code, answer.json, answer.mimetype) == (200, None, "application/json"), (
            answer.text
        )
        return [one["uri"] for one in self.empty()]

    def datasets(self) -> list[dict[str, Any]]:
        """Return what is to be looked at."""
        with self.app.app_context():
            return inbox.list_datasets()

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs."""
        with self.app.app_context():
            return jobs.list_jobs()

    def empty(self) -> list[dict[str, Any]]:
        """Return what is to be looked at, and forget it."""
        found = self.datasets()
        with self.app.app_context():
            for table in ("notification_dataset", "job"):
                sql_db.session.execute(sql_db.text(f"DELETE FROM {table}"))
            sql_db.session.commit()
        return found


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("notified"), key_pair, **SETTINGS) as standing:
        yield standing


@pytest.fixture
def notified(standing: World) -> Iterator[Inbox]:
    yield Inbox(standing)
    Inbox(standing).empty()
