"""A server with one provider of OpenID Connect, ``lab``, and a browser that goes back and forth between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from dservercore import sql_db
from dservercore.models import BrowserSession, User
from support import oidc_provider
from support.oidc_provider import Provider


@pytest.fixture(scope="session")
def new_provider() -> Iterator[Callable[[], Provider]]:
    with oidc_provider.provider() as new:
        yield new


@pytest.fixture
def provider(new_provider: Callable[[], Provider]) -> Provider:
    return new_provider()


@pytest.fixture
def ends() -> dict[str, str]:
    """The settings of the provider beside its address and the client, by their ends."""
    return {"ADMITS": "anyone", "AUDIENCE": oidc_provider.AUDIENCE}


@pytest.fixture
def config(config: dict[str, Any], provider: Provider, ends: dict[str, str]) -> dict[str, Any]:
    return {**config, **oidc_provider.settings(provider, **ends)}


class Browser:
    """Somebody who signs in.

    :ivar client: sends the requests, and keeps the cookies
    """

    def __init__(self, client: FlaskClient, provider: Provider):
        self.client = client
        self._provider = provider

    def begin(self) -> str:
        """Press the button. Return the address at the provider where that leads to."""
        answer = self.client.get("/sign-in/lab?next=/account")
        assert answer.status_code == 303, answer.text
        return str(answer.location)

    def come_back(self, url: str, **changes: str | None) -> TestResponse:
        """Sign in at the provider, and be sent back with its answer, but for what is different."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        answer: dict[str, str | None] = {
            "code": self._provider.code_for(url),
            "state": query["state"],
            **changes,
        }
        given = {name: value for name, value in answer.items() if value is not None}
        return self.client.get(urlsplit(query["redirect_uri"]).path, query_string=given)

    def sign_in(self) -> TestResponse:
        """Do all of that."""
        return self.come_back(self.begin())

    def is_signed_in(self) -> bool:
        """Return whether the browser has a session."""
        return self.client.get("/auth/token").status_code == 200


@pytest.fixture
def browser(client: FlaskClient, provider: Provider) -> Browser:
    return Browser(client, provider)


@pytest.fixture
def stored(app: Flask) -> Callable[[], tuple[list[str], int]]:
    """``stored()`` gives the names of the users, and the number of sessions, in the database."""

    def look() -> tuple[list[str], int]:
        with app.app_context():
            names = sql_db.session.execute(select(User.username).order_by(User.username)).scalars().all()
            return list(names), len(sql_db.session.execute(select(BrowserSession.id)).all())

    return look
