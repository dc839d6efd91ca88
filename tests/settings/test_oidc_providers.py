"""The settings of providers of OpenID Connect: each mistake is one line that names the variable."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dservercore import create_app
from dservercore.errors import ConfigurationError
from dservercore.settings import misspellings
from dservercore.settings.configuration import read_environment, shown, with_defaults
from dservercore.settings.secrecy import secrets_of
from support.live_server import flask

SECRET = "tell-nobody-at-all"
GIVEN = {
    "DSERVER_OIDC_PROVIDERS": "keycloak",
    "DSERVER_OIDC_KEYCLOAK_ISSUER": "https://login.example.org/realms/lab",
    "DSERVER_OIDC_KEYCLOAK_CLIENT_ID": "dserver",
    "DSERVER_OIDC_KEYCLOAK_CLIENT_SECRET": SECRET,
}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    return {**GIVEN, "DSERVER_DATA_DIR": str(tmp_path)}


def test_what_is_not_said_is_as_documented(given: dict[str, str]) -> None:
    config = read_environment(given)
    assert config["DSERVER_OIDC_PROVIDERS"] == ["keycloak"]
    assert config["DSERVER_OIDC_KEYCLOAK_ADMITS"] == "known"
    assert config["DSERVER_OIDC_KEYCLOAK_SCOPES"] == "openid profile email"
    assert config["DSERVER_OIDC_KEYCLOAK_USERNAME_CLAIM"] == "preferred_username"
    assert config["DSERVER_OIDC_KEYCLOAK_LABEL"] == "Keycloak"
    assert config["DSERVER_OIDC_KEYCLOAK_AUDIENCE"] == ""


def test_in_code_as_in_the_environment(given: dict[str, str]) -> None:
    in_code, in_environment = with_defaults(given), read_environment(given)
    names = [name for name in in_environment if name.startswith("DSERVER_OIDC_")]
    assert len(names) > 10
    assert {name: in_code[name] for name in names} == {name: in_environment[name] for name in names}


def test_the_secret_is_shown_nowhere(given: dict[str, str], tmp_path: Path) -> None:
    config = read_environment(given)
    assert SECRET not in str(shown(config))
    assert SECRET in secrets_of(config)  # which the log is kept free of
    printed = flask(tmp_path, "config", "show", **GIVEN)
    assert printed.returncode == 0, printed.stderr
    assert "DSERVER_OIDC_KEYCLOAK_ISSUER" in printed.stdout
    assert SECRET not in printed.stdout + printed.stderr


def test_a_secret_in_a_file(given: dict[str, str], tmp_path: Path) -> None:
    del given["DSERVER_OIDC_KEYCLOAK_CLIENT_SECRET"]
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    given["DSERVER_OIDC_KEYCLOAK_CLIENT_SECRET_FILE"] = str(tmp_path / "secret")
    config = read_environment(given)
    assert config["DSERVER_OIDC_KEYCLOAK_CLIENT_SECRET"] == SECRET
    assert SECRET not in str(shown(config))


@pytest.mark.parametrize(
    ("end", "value"),
    [
        ("PROVIDERS", "key-cloak"),
        ("PROVIDERS", "Keycloak"),
        ("PROVIDERS", "../x"),
        ("PROVIDERS", "link"),
        ("PROVIDERS", "keycloak,keycloak"),
        ("PROVIDERS", "x" * 33),
        ("KEYCLOAK_ISSUER", ""),
        ("KEYCLOAK_ISSUER", "login.example.org"),
        ("KEYCLOAK_ISSUER", "http://login.example.org"),
        ("KEYCLOAK_ISSUER", "https://user:secret@login.example.org"),
        ("KEYCLOAK_ISSUER", "https://login.example.org/?a=b"),
        ("KEYCLOAK_ISSUER", "https://login.example.org/#a"),
        ("KEYCLOAK_ISSUER", "https://"),
        ("KEYCLOAK_ISSUER", "https://login.example.org:port"),
        ("KEYCLOAK_ISSUER", "javascript:alert(1)"),
        ("KEYCLOAK_CLIENT_ID", ""),
        ("KEYCLOAK_CLIENT_SECRET_FILE", "/nowhere/at/all"),
        ("KEYCLOAK_LABEL", "x" * 81),
        ("KEYCLOAK_LABEL", "a\u202eb"),
        ("KEYCLOAK_SCOPES", "profile"),
        ("KEYCLOAK_SCOPES", 'openid "x"'),
        ("KEYCLOAK_USERNAME_CLAIM", ""),
        ("KEYCLOAK_ADMITS", "everybody"),
        ("KEYCLOAK_ADMITTED_GROUPS", "lab"),
        ("KEYCLOAK_AUDIENCE", "dserver"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(given: dict[str, str], end: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        read_environment({**given, f"DSERVER_OIDC_{end}": value})
    assert re.match(f"DSERVER_OIDC_{end}[:=]", mistake.value.message), mistake.value.message
    assert "\n" not in mistake.value.message
    assert SECRET not in mistake.value.message


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"ADMITS": "group"}, "ADMITTED_GROUPS"),
        ({"ADMITS": "group", "ADMITTED_GROUPS": "lab"}, "GROUPS_CLAIM"),
        ({"ADMIN_GROUPS": "lab"}, "GROUPS_CLAIM"),
    ],
    ids=str,
)
def test_settings_that_need_others(given: dict[str, str], more: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DSERVER_OIDC_KEYCLOAK_{named}: missing"):
        read_environment({**given, **{f"DSERVER_OIDC_KEYCLOAK_{end}": text for end, text in more.items()}})


def test_an_issuer_has_one_name(given: dict[str, str]) -> None:
    given |= {
        "DSERVER_OIDC_PROVIDERS": "keycloak, other",
        "DSERVER_OIDC_OTHER_ISSUER": GIVEN["DSERVER_OIDC_KEYCLOAK_ISSUER"],
        "DSERVER_OIDC_OTHER_CLIENT_ID": "x",
    }
    with pytest.raises(ConfigurationError, match="DSERVER_OIDC_OTHER_ISSUER: is that of keycloak, too"):
        read_environment(given)


def test_a_variable_that_is_none_is_warned_of(given: dict[str, str]) -> None:
    given["DSERVER_OIDC_KEYCLOAK_ISUER"] = given["DSERVER_OIDC_ORCID_ISSUER"] = "https://orcid.org"
    warnings = list(misspellings.warnings(given, read_environment(given), is_alone=True))
    assert len(warnings) == 2
    assert "DSERVER_OIDC_KEYCLOAK_ISUER is no setting" in warnings[0]
    assert "DSERVER_OIDC_ORCID_ISSUER is no setting" in warnings[1]


def test_a_provider_that_is_away_stops_nobody() -> None:
    away = {"DSERVER_OIDC_KEYCLOAK_ISSUER": "http://127.0.0.1:9", "SECRET_KEY": "for tests alone"}
    client = create_app({**GIVEN, **away}).test_client()
    assert client.get("/config/health").status_code == 200
    assert client.get("/sign-in/keycloak").status_code == 503


def test_what_the_extra_brings_is_missing() -> None:
    program = (
        "import sys; sys.modules['authlib'] = None\n"
        "from dservercore import create_app, errors\n"
        "try: create_app({})\n"
        "except Exception: raise SystemExit('it is needed without providers, too')\n"
        f"try: create_app({GIVEN!r})\n"
        "except errors.ConfigurationError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "DSERVER_OIDC_PROVIDERS: there is no authlib here: pip install 'dservercore[oidc]'\n"
    )
