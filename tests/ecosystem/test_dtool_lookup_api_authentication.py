"""How the clients of ``dtool-lookup-api`` prove who they are, and what they make of a server that doubts it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from flask_jwt_extended import create_access_token, create_refresh_token

from dservercore import __version__, sql_db
from dservercore.catalog import users
from ecosystem.library import Library, open_library
from ecosystem.lookup_api import Home, core, method
from ecosystem.token_generator import PASSWORD, TokenGenerator
from support.live_server import environment
from support.world import ADMIN, CHAMPION, READER, STRANGER

Construct = Callable[[Home, TokenGenerator], Any]


def from_token(name: str) -> Construct:
    return lambda home, generator: getattr(core, name)(home.url, token=home.token_of(READER))


def from_credentials(name: str) -> Construct:
    return lambda home, generator: getattr(core, name)(home.url, generator.url, READER, PASSWORD)


def from_configuration(name: str) -> Construct:
    def construct(home: Home, generator: TokenGenerator) -> Any:
        home.set(USERNAME=READER, PASSWORD=PASSWORD)
        return getattr(core, name)()

    return construct


AUTHENTICATED: dict[str, Construct] = {
    "TokenBasedLookupClient": from_token("TokenBasedLookupClient"),
    "CredentialsBasedLookupClient": from_credentials("CredentialsBasedLookupClient"),
    "LookupClient": from_credentials("LookupClient"),
    "ConfigurationBasedAuthenticatedLookupClient": from_configuration(
        "ConfigurationBasedAuthenticatedLookupClient"
    ),
    "ConfigurationBasedLookupClient": from_configuration("ConfigurationBasedLookupClient"),
}


def ask(client: Any, name: str, *arguments: Any) -> Any:
    """Open the client, call one of its methods, close it, and return what the method returned."""

    async def main() -> Any:
        async with client:
            return await getattr(client, name)(*arguments)

    return asyncio.run(main())


def token(library: Library, username: str, **options: Any) -> str:
    with library.server.app.app_context():
        return create_access_token(username, **options)


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A library that asks nobody for a token, and takes everybody for its reader."""
    settings = {"DISABLE_JWT_AUTHORISATION": "true", "DEFAULT_USER": READER}
    with open_library(tmp_path_factory.mktemp("open-house")) as library:
        library.server.stop()
        library.server.settings.update(settings)
        library.server.start()
        yield library


def test_no_class_is_forgotten() -> None:
    clients = {name for name in vars(core) if name.endswith("Client")}
    assert clients == {"UnauthenticatedLookupClient", *AUTHENTICATED}


@pytest.mark.parametrize("name", AUTHENTICATED)
def test_a_class_logs_in(name: str, library: Library, home: Home, generator: TokenGenerator) -> None:
    me = ask(AUTHENTICATED[name](home, generator), "get_me")
    assert (me["username"], me["is_admin"]) == (READER, False)
    hidden = library.hidden[0]["uri"]
    found = ask(AUTHENTICATED[name](home, generator), "get_dataset", hidden)
    library.check_entry(found, library.hidden[0], uploaded_by=READER)


@pytest.mark.parametrize("name", ["TokenBasedLookupClient", "ConfigurationBasedLookupClient"])
def test_the_token_of_a_program_is_as_good(name: str, library: Library, home: Home) -> None:
    url = f"{library.server.address}/me/tokens"
    headers = library.server.bearer(READER)
    made = requests.post(
        url, json={"name": "notebook", "may": ["search"]}, headers=headers, timeout=60
    ).json()

    def client() -> Any:
        if name == "TokenBasedLookupClient":
            return core.TokenBasedLookupClient(home.url, token=made["token"])
        home.keep_token(made["token"])
        return core.ConfigurationBasedLookupClient()

    assert ask(client(), "get_me")["username"] == READER
    hidden = library.hidden[0]
    library.check_entry(ask(client(), "get_dataset", hidden["uri"]), hidden, uploaded_by=READER)
    assert requests.delete(f"{url}/{made['id']}", headers=headers, timeout=60).status_code == 200
    with pytest.raises(core.LookupServerError, match="The personal token does not exist, or was revoked"):
        ask(core.TokenBasedLookupClient(home.url, token=made["token"]), "get_dataset", hidden["uri"])


def test_without_a_token_the_versions_alone_can_be_had(library: Library, home: Home) -> None:
    client = core.UnauthenticatedLookupClient(home.url)
    assert ask(client, "get_versions")["dservercore"] == __version__
    for name, *arguments in (("get_datasets",), ("get_config",), ("get_dataset", library.visible[0]["uri"])):
        with pytest.raises(core.LookupServerError, match="Missing Authorization Header"):
            ask(client, name, *arguments)
    assert ask(client, "register_user", STRANGER) is False
    assert library.status(f"/users/{STRANGER}", ADMIN) == 404


@pytest.mark.parametrize("setting", [None, "true"])
def test_a_server_without_tokens_serves_the_client_without_one(
    setting: str | None, open_house: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(open_house.server, tmp_path, monkeypatch)
    if setting is None:
        monkeypatch.delenv("DSERVER_DISABLE_AUTHENTICATION")  # unset, it is as if it were true
    else:
        home.set(DISABLE_AUTHENTICATION=setting)
    client = core.ConfigurationBasedLookupClient()
    assert type(client) is core.UnauthenticatedLookupClient
    assert ask(client, "get_me")["username"] == READER
    hidden = open_house.hidden[0]
    open_house.check_entry(ask(client, "get_dataset", hidden["uri"]), hidden, uploaded_by=READER)


@pytest.mark.parametrize(
    "worn_out",
    [
        pytest.param(
            lambda library: token(library, READER, expires_delta=timedelta(seconds=-1)), id="expired"
        ),
        pytest.param(lambda library: token(library, STRANGER), id="of a stranger"),
        pytest.param(lambda library: token(library, READER)[:-4] + "AAAA", id="forged"),
        pytest.param(lambda library: "worn-out", id="no token at all"),
        pytest.param(lambda library: "two words", id="two words"),
        pytest.param(lambda library: refresh_token(library), id="for refreshing"),
    ],
)
def test_a_token_that_is_not_accepted_is_replaced(
    worn_out: Callable[[Library], str], library: Library, home: Home, generator: TokenGenerator
) -> None:
    home.set(USERNAME=READER, PASSWORD=PASSWORD)
    home.keep_token(worn_out(library))
    assert method("get_me")["username"] == READER
    assert generator.asked_by == [READER]
    assert home.kept_token() == home.token_of(READER)
    assert method("get_me")["username"] == READER
    assert generator.asked_by == [READER]  # the new token was used again


def refresh_token(library: Library) -> str:
    with library.server.app.app_context():
        return create_refresh_token(READER)


@pytest.mark.parametrize("worn_out", ["expired", "worn-out"])
def test_the_client_says_why_a_token_is_not_accepted(worn_out: str, library: Library, home: Home) -> None:
    reason = "Not enough segments"
    if worn_out == "expired":
        worn_out, reason = token(library, READER, expires_delta=timedelta(seconds=-1)), "Token has expired"
    client = core.TokenBasedLookupClient(home.url, token=worn_out)
    for name, *arguments in (("get_me",), ("get_datasets",), ("get_readme", library.visible[0]["uri"])):
        with pytest.raises(core.LookupServerError, match=reason):
            ask(client, name, *arguments)
    assert ask(client, "delete_dataset", library.visible[0]["uri"]) is False
    assert library.status(f"/uris/{library.visible[0]['uri']}") == 200


def test_the_token_of_a_deleted_user_is_replaced_by_nothing(
    library: Library, home: Home, generator: TokenGenerator
) -> None:
    with library.server.app.app_context():
        users.add_user("short-lived")
        sql_db.session.commit()
    home.log_in("short-lived")
    assert method("get_me")["username"] == "short-lived"
    library.server.request("DELETE", "/users/short-lived", ADMIN)
    home.set(USERNAME="short-lived", PASSWORD="forgotten")
    with pytest.raises(RuntimeError, match="Error 401"):
        method("get_me")


def test_wrong_credentials_and_a_broken_generator_are_errors(home: Home, generator: TokenGenerator) -> None:
    client = core.CredentialsBasedLookupClient(home.url, generator.url, READER, "guessed")
    with pytest.raises(RuntimeError, match="Error 401"):
        ask(client, "get_me")
    generator.is_broken = True
    client = core.CredentialsBasedLookupClient(home.url, generator.url, READER, PASSWORD)
    with pytest.raises(RuntimeError, match="Authentication failed"):
        ask(client, "get_me")
    with pytest.raises(ValueError, match="Provide JWT token"):
        ask(core.TokenBasedLookupClient(home.url, token=""), "get_me")


def test_in_a_program_of_its_own(library: Library, tmp_path: Path, generator: TokenGenerator) -> None:
    """As the package's README has it: settings in the environment, and a function from the package itself."""
    program = "import json, dtool_lookup_api as d; print(json.dumps([d.all(), d.get_user()]))"
    settings = {
        "DSERVER_URL": library.server.address,
        "DSERVER_TOKEN_GENERATOR_URL": generator.url,
        "DSERVER_USERNAME": CHAMPION,
        "DSERVER_PASSWORD": PASSWORD,
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(tmp_path, **settings),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        datasets, me = json.loads(done.stdout)
        library.check_listed(datasets, library.visible)
        assert me["username"] == CHAMPION
    assert generator.asked_by == [CHAMPION]
    kept = json.loads((tmp_path / ".config" / "dtool" / "dtool.json").read_text())
    assert {"Authorization": f"Bearer {kept['DSERVER_TOKEN']}"} == library.server.bearer(CHAMPION)
