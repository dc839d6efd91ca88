"""An application with users and base URIs that many tests share, because they change nothing in it or clean up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask_jwt_extended import create_access_token
from werkzeug.test import TestResponse

from dservercore import create_app, sql_db
from dservercore.catalog import base_uris, users
from support.extensions import BUNDLED
from support.stores import Rows, contents
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED


class World:
    """An application, its database file, and its users' tokens. Errors are answered as in production."""

    def __init__(self, app: Flask, database: Path):
        self.app = app
        self.database = database
        self.client = app.test_client()
        self._tokens: dict[str, str] = {}
        self._watch = sqlite3.connect(database)

    def bearer(self, username: str) -> dict[str, str]:
        """Return the headers of a request by that user."""
        if username not in self._tokens:  # signing one takes longer than most requests
            with self.app.app_context():
                self._tokens[username] = create_access_token(username)
        return {"Authorization": f"Bearer {self._tokens[username]}"}

    def send(
        self,
        method: str,
        path: str,
        username: str = CHAMPION,
        headers: Mapping[str, str] = {},
        **options: Any,
    ) -> TestResponse:
        """Send a request as that user and return the answer."""
        headers = {**self.bearer(username), **headers}
        answer = self.client.open(path, method=method, headers=headers, **options)
        if method == "DELETE" and path.partition("?")[0].endswith("/tokens"):
            self.forget_tokens()
        return answer

    def forget_tokens(self) -> None:
        """Have everybody get a new token: those of before may be revoked."""
        self._tokens.clear()

    def version(self) -> int:
        """Return a number that is another one after every commit."""
        return self._watch.execute("PRAGMA data_version").fetchone()[0]

    def contents(self) -> dict[str, Rows]:
        """Return everything that the database holds."""
        return contents(self.database)

    def close(self) -> None:
        """Close the connections to the database."""
        self._watch.close()
        with self.app.app_context():
            sql_db.engine.dispose()


@contextmanager
def world(directory: Path, key_pair: tuple[Path, Path], **config: Any) -> Iterator[World]:
    """Make a world with the people and base URIs of ``world.py``, and all bundled extensions.

    ADMIN has no permission on any base URI.
    """
    private, public = (path.read_text() for path in key_pair)
    database = directory / "world.db"
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{database}",
            "JWT_PRIVATE_KEY": private,
            "JWT_PUBLIC_KEY": public,
            "PROPAGATE_EXCEPTIONS": False,
            "DSERVER_LOG_LEVEL": "WARNING",
            "DSERVER_EXTENSIONS": BUNDLED,
            **config,
        }
    )
    with app.app_context():
        sql_db.create_all()
        users.add_user(ADMIN, is_admin=True)
        for name in (CHAMPION, READER, NOBODY):
            users.add_user(name)
        base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION])
        base_uris.create_base_uri(BLUE, [READER], [])
        sql_db.session.commit()
    world = World(app, database)
    yield world
    world.close()
