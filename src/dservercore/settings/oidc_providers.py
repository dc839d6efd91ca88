"""The settings of providers of OpenID Connect, of which each that ``DSERVER_OIDC_PROVIDERS`` names has its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from dservercore.errors import ConfigurationError
from dservercore.settings import named_files
from dservercore.settings.parsers import parse_names
from dservercore.settings.table import OIDC_PROVIDERS, Setting

#: Hosts that are this machine: what goes to them needs no TLS.
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
#: Who of a provider may come.
ADMITS = ("anyone", "known", "group")

_MAX_LABEL = 80


def is_safe_address(address: str) -> bool:
    """Return whether what is sent to an address, and comes from there, cannot be read or changed on the way."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018  # raises a ValueError for one that is none
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or not address.isascii() or not address.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)


def _parse_issuer(text: str) -> str:
    if not is_safe_address(text) or "?" in text or "#" in text or " " in text:
        raise ValueError(
            "expected the address of the provider, as it names itself in its tokens, such as"
            " https://login.example.org/realms/lab; http:// is for this machine alone"
        )
    return text


def _parse_label(text: str) -> str:
    if len(text) > _MAX_LABEL or not text.isprintable():
        raise ValueError(f"expected at most {_MAX_LABEL} characters that can be seen")
    return text


_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def _parse_scopes(text: str) -> str:
    scopes = text.split()
    if "openid" not in scopes or not all(map(_SCOPE.fullmatch, scopes)):
        raise ValueError("expected scopes with blanks between them, among them openid")
    return " ".join(scopes)


def _parse_admits(text: str) -> str:
    if text not in ADMITS:
        raise ValueError("expected anyone, known or group")
    return text


def _setting(end: str, default: Any, help: str, parse: Callable[[str], Any] = str) -> Setting:
    return Setting(end, default, help, parse)


#: The settings that each provider has, by the end of their names.
OF_EACH_PROVIDER = [
    _setting(
        "ISSUER", "", "Address of the provider, as its tokens name it (`iss`). Required.", _parse_issuer
    ),
    _setting("CLIENT_ID", "", "Name under which this server is registered at the provider. Required."),
    _setting("CLIENT_SECRET", "", "Secret of that client; empty: it has none, and is a public one."),
    _setting("CLIENT_SECRET_FILE", "", "File with that secret."),
    _setting("LABEL", "", "What the button to sign in says; empty: the name of the provider.", _parse_label),
    _setting(
        "SCOPES",
        "openid profile email",
        "What the provider is asked for, with blanks between.",
        _parse_scopes,
    ),
    _setting(
        "USERNAME_CLAIM",
        "preferred_username",
        "Claim with the name that a new user gets here; a path to it may have dots.",
    ),
    _setting("DISPLAY_NAME_CLAIM", "name", "Claim with the name that people write; empty: none."),
    _setting(
        "GROUPS_CLAIM",
        "",
        "Claim with the groups that a user is in, such as `groups` or `realm_access.roles`; empty: groups are managed"
        " here alone.",
    ),
    _setting(
        "ADMITS",
        "known",
        "Who may sign in: `known` users, whom an administrator has added here; `anyone` whom the provider knows;"
        " `group`: whoever is in one of the admitted groups.",
        _parse_admits,
    ),
    _setting("ADMITTED_GROUPS", [], "Groups of the provider that may sign in, comma-separated.", parse_names),
    _setting(
        "ADMIN_GROUPS",
        [],
        "Groups of the provider whose members are administrators here, and other users of the provider are none;"
        " empty: that is decided here.",
        parse_names,
    ),
    _setting(
        "AUDIENCE",
        "",
        "Audience (`aud`) of the access tokens of the provider that are taken as bearer tokens; empty: none are.",
    ),
]


def variable(provider: str, end: str) -> str:
    """Return the name of a setting of a provider, such as ``DSERVER_OIDC_KEYCLOAK_ISSUER``."""
    return f"DSERVER_OIDC_{provider.upper()}_{end}"


def settings_of(providers: Iterable[str]) -> list[Setting]:
    """Return the settings of providers, under their whole names."""
    return [
        Setting(variable(provider, setting.name), setting.default, setting.help, setting.parse)
        for provider in providers
        for setting in OF_EACH_PROVIDER
    ]


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of all providers of a configuration, checked against each other, with secrets of files.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    values: dict[str, Any] = {}
    issuers: dict[str, str] = {}
    for provider in config[OIDC_PROVIDERS]:
        values |= _completed(provider, {s.name: config[variable(provider, s.name)] for s in OF_EACH_PROVIDER})
        issuer = values[variable(provider, "ISSUER")]
        if issuer in issuers:
            raise ConfigurationError(
                f"{variable(provider, 'ISSUER')}: is that of {issuers[issuer]}, too: whose tokens would they be?"
            )
        issuers[issuer] = provider
    return values


def _completed(provider: str, given: dict[str, Any]) -> dict[str, Any]:
    def wrong(end: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{variable(provider, end)}: {reason}")

    for end in ("ISSUER", "CLIENT_ID", "USERNAME_CLAIM"):
        if not given[end]:
            raise wrong(end, f"missing: the provider {provider!r} of {OIDC_PROVIDERS} needs it")
    if path := given["CLIENT_SECRET_FILE"]:
        if given["CLIENT_SECRET"]:
            raise wrong("CLIENT_SECRET_FILE", f"there is a {variable(provider, 'CLIENT_SECRET')}, too")
        given["CLIENT_SECRET"] = named_files.text_of(path, variable(provider, "CLIENT_SECRET_FILE")).strip()
        if not given["CLIENT_SECRET"]:
            raise wrong("CLIENT_SECRET_FILE", f"{named_files.shown(path)} is empty")
    if given["ADMITS"] == "group" and not given["ADMITTED_GROUPS"]:
        raise wrong("ADMITTED_GROUPS", f"missing: {variable(provider, 'ADMITS')} is group")
    if given["ADMITS"] != "group" and given["ADMITTED_GROUPS"]:
        raise wrong("ADMITTED_GROUPS", f"counts only where {variable(provider, 'ADMITS')} is group")
    for end in ("ADMITTED_GROUPS", "ADMIN_GROUPS"):
        if given[end] and not given["GROUPS_CLAIM"]:
            raise wrong("GROUPS_CLAIM", f"missing: {variable(provider, end)} names groups")
    if given["AUDIENCE"] and given["AUDIENCE"] == given["CLIENT_ID"]:
        raise wrong(
            "AUDIENCE",
            "must not be the CLIENT_ID, for which the provider makes ID tokens: they are not for this",
        )
    given["LABEL"] = given["LABEL"] or provider.capitalize()
    return {variable(provider, end): value for end, value in given.items()}
