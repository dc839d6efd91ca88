"""How the directory is asked, and who of it may come: the settings, checked together."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dservercore.auth.ldap import templates
from dservercore.catalog.external_users import Policy
from dservercore.errors import ConfigurationError
from dservercore.settings import named_files

logger = logging.getLogger(__name__)

_PREFIX = "DSERVER_LDAP_"


@dataclass(frozen=True)
class Options:
    """How a directory is asked.

    :param urls: of its servers, which are tried in turn
    :param start_tls: whether connections to ``ldap://`` are encrypted before anything is said
    :param tls: which certificates are accepted
    :param user_dn: template of a user's distinguished name; ``""``: users are searched
    :param base_dn: below which users are searched
    :param bind_dn: of the account that searches; ``""``: nobody, who is anonymous
    :param group_base_dn: below which the groups that count are; ``""``: none do
    :param member_of: attribute of users with the distinguished names of their groups; ``""``: groups are searched
    :param timeout: seconds to wait for a connection, and for each answer
    """

    urls: tuple[str, ...]
    start_tls: bool
    tls: ssl.SSLContext
    user_dn: str
    base_dn: str
    user_filter: str
    bind_dn: str
    bind_password: str
    username_attribute: str
    display_name_attribute: str
    key_attribute: str
    group_base_dn: str
    group_filter: str
    group_name_attribute: str
    member_of: str
    timeout: int
    policy: Policy


def options_of(config: Mapping[str, Any]) -> Options:
    """Return how a configuration has the directory asked.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    values = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in config.items()
        if name.startswith(_PREFIX)
    }
    values["bind_password"] = values.get("bind_password") or ""
    _check_users(values)
    _check_groups(values)
    return Options(
        urls=tuple(values["url"]),
        tls=_tls_of(values["ca_file"]),
        policy=Policy(
            values["admits"], frozenset(values["admitted_groups"]), frozenset(values["admin_groups"])
        ),
        **{
            name: values[name]
            for name in Options.__dataclass_fields__
            if name not in ("urls", "tls", "policy")
        },
    )


def warn_of_clear_text(options: Options) -> None:
    """Tell the administrator, if passwords cross the network in clear text because a setting says so."""
    plain = [url for url in options.urls if url.startswith("ldap://")]
    if plain and not options.start_tls:
        logger.warning(
            "DSERVER_LDAP_START_TLS=false: everybody on the way to %s can read the passwords of those who sign in",
            ", ".join(plain),
        )


def _check_users(values: Mapping[str, Any]) -> None:
    if bool(values["user_dn"]) == bool(values["base_dn"]):
        raise _wrong(
            "base_dn",
            "expected either this, below which users are searched, or DSERVER_LDAP_USER_DN, and not both",
        )
    if values["user_dn"]:
        _check("user_dn", values, templates.check_dn_template)
        if values["bind_dn"]:
            raise _wrong(
                "bind_dn", "nobody searches, as DSERVER_LDAP_USER_DN says where users are: leave one out"
            )
    else:
        _check("base_dn", values, templates.check_dn)
        _check("user_filter", values, lambda text: templates.check_filter(text, "username"))
    if values["bind_dn"]:
        _check("bind_dn", values, templates.check_dn)
    if bool(values["bind_dn"]) != bool(values["bind_password"]):
        raise _wrong("bind_password", "expected together with DSERVER_LDAP_BIND_DN, or neither of them")


def _check_groups(values: Mapping[str, Any]) -> None:
    if values["group_base_dn"]:
        _check("group_base_dn", values, templates.check_dn)
        _check("group_filter", values, lambda text: templates.check_filter(text, "dn", "username"))
    else:
        for name in ("admitted_groups", "admin_groups", "member_of"):
            if values[name]:
                raise _wrong("group_base_dn", f"{_PREFIX}{name.upper()} needs it, to know which groups count")
    if values["admits"] == "group" and not values["admitted_groups"]:
        raise _wrong("admitted_groups", "expected names of groups, as DSERVER_LDAP_ADMITS is group")


def _check(name: str, values: Mapping[str, Any], check: Callable[[str], None]) -> None:
    try:
        check(values[name])
    except ValueError as error:
        raise _wrong(name, f"{named_files.shown(values[name])!r}: {error}") from None


def _wrong(name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{_PREFIX}{name.upper()}: {reason}")


def _tls_of(ca_file: str) -> ssl.SSLContext:
    """Return what accepts a certificate for the very name of a server that a file, or else the system, vouches for."""
    if not ca_file:
        return ssl.create_default_context()
    setting = f"{_PREFIX}CA_FILE"
    named_files.text_of(ca_file, setting)  # whose errors say more than those below
    try:
        return ssl.create_default_context(cafile=str(named_files.path_of(ca_file, setting)))
    except (ssl.SSLError, OSError):
        raise _wrong("ca_file", f"{named_files.shown(ca_file)} has no certificates in PEM") from None
