"""``dtool-lookup-api`` as its users have it: settings in the environment, a token in a file at home."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dtool_lookup_api.asynchronous
import dtool_lookup_api.core.LookupClient
import dtool_lookup_api.synchronous
import dtoolcore.utils
import pytest
from dtool_lookup_api.core.config import Config

from support.live_server import LiveServer
from support.world import CHAMPION

core = dtool_lookup_api.core.LookupClient  # a module, named as a class in it

SETTINGS = (
    "URL",
    "TOKEN",
    "TOKEN_GENERATOR_URL",
    "USERNAME",
    "PASSWORD",
    "VERIFY_SSL",
    "DISABLE_AUTHENTICATION",
)


class Home:
    """What one user of the client has configured."""

    def __init__(self, server: LiveServer, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.url = server.address
        self._server = server
        self._monkeypatch = monkeypatch
        self.file = folder / ".config" / "dtool" / "dtool.json"
        monkeypatch.setattr(dtoolcore.utils, "DEFAULT_CONFIG_PATH", str(self.file))
        monkeypatch.setattr(Config, "interactive", False)
        for name in ("_username_cache", "_password_cache"):
            monkeypatch.setattr(Config, name, None)
        for name in SETTINGS:
            monkeypatch.delenv(f"DSERVER_{name}", raising=False)
        self.set(URL=self.url, DISABLE_AUTHENTICATION="false")

    def set(self, **settings: str) -> None:
        """Set environment variables, whose names begin with ``DSERVER_``."""
        for name, value in settings.items():
            self._monkeypatch.setenv(f"DSERVER_{name}", value)

    def keep_token(self, token: str) -> None:
        """Write a token where the client looks for it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps({"DSERVER_TOKEN": token}))

    def kept_token(self) -> str | None:
        """Return the token that the client has kept."""
        return json.loads(self.file.read_text()).get("DSERVER_TOKEN") if self.file.exists() else None

    def log_in(self, username: str) -> str:
        """Keep a valid token of that user, and return it."""
        token = self.token_of(username)
        self.keep_token(token)
        return token

    def token_of(self, username: str) -> str:
        """Return a valid token of that user."""
        return self._server.bearer(username)["Authorization"].removeprefix("Bearer ")


def synchronous(name: str, /, *arguments: Any, **options: Any) -> Any:
    return getattr(dtool_lookup_api.synchronous, name)(*arguments, **options)


def asynchronous(name: str, /, *arguments: Any, **options: Any) -> Any:
    async def main() -> Any:
        return await getattr(dtool_lookup_api.asynchronous, name)(*arguments, **options)

    return asyncio.run(main())


def method(name: str, /, *arguments: Any, **options: Any) -> Any:
    async def main() -> Any:
        async with core.ConfigurationBasedLookupClient() as client:
            return await getattr(client, name)(*arguments, **options)

    return asyncio.run(main())


FACES: list[Callable[..., Any]] = [synchronous, asynchronous, method]


def public_functions(module: Any) -> set[str]:
    """Return the names of what one of the two modules offers."""
    return {name for name, value in vars(module).items() if type(value).__name__ == "_WrapClient"}


def public_methods(client: type) -> set[str]:
    """Return the names of what a class of clients offers."""
    return {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}


FUNCTIONS = sorted(
    public_functions(dtool_lookup_api.synchronous) | public_functions(dtool_lookup_api.asynchronous)
)
DEPRECATED = {
    name
    for name, function in inspect.getmembers(core.UnauthenticatedLookupClient, inspect.isfunction)
    if hasattr(function, "__wrapped__")
}


class Call:
    """One function of the client on trial, which counts how often it was called."""

    def __init__(self, home: Home, face: Callable[..., Any], name: str):
        self.home = home
        self.count = 0
        self._face = face
        self._name = name

    def __call__(self, /, *arguments: Any, actor: str | None = CHAMPION, **options: Any) -> Any:
        """Call it as that user, or with the token that there is, and return what it returns."""
        self.count += 1
        if actor is not None:
            self.home.log_in(actor)
        if self._name not in DEPRECATED:
            return self._face(self._name, *arguments, **options)
        with pytest.warns(DeprecationWarning, match=rf"deprecated function {self._name}\."):
            return self._face(self._name, *arguments, **options)
