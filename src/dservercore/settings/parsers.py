"""From the text of a setting to its value. What a parser refuses it says in a ValueError, which names no setting."""

from __future__ import annotations

import ipaddress
import json
import re

from dservercore.dataset import times
from dservercore.dataset.text_query import MAX_QUERY_CHARACTERS
from dservercore.dataset.values import MAX_JSON_DEPTH

#: Longer than anything here lasts.
MAX_SECONDS = 10**10

TRUE_WORDS = {"1", "true", "t", "yes", "y", "on"}


FALSE_WORDS = {"", "0", "false", "f", "no", "n", "off"}


def parse_bool(text: str | bool) -> bool:
    """Return what a word such as ``true``, ``No``, ``0`` or ``on`` means; empty is False.

    :raises ValueError: for any other word
    """
    word = str(text).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("expected true or false")


def parse_names(text: str) -> list[str]:
    """Return the names in a list with commas, without spaces around them and without empty ones."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_bytes(text: str) -> int:
    """Return a positive number of bytes, below 2**63.

    :raises ValueError: for anything else
    """
    if not text.strip().isdecimal() or not 0 < int(text[:20]) < 2**63:
        raise ValueError("expected a positive number of bytes")
    return int(text)


def parse_number(text: str) -> int:
    """Return a whole number from 1 to 2**31.

    :raises ValueError: for anything else
    """
    return number_up_to(text, 2**31)


def parse_depth(text: str) -> int:
    """Return a number of levels from 1 to ``MAX_JSON_DEPTH``.

    :raises ValueError: for anything else
    """
    return number_up_to(text, MAX_JSON_DEPTH)


def parse_query_length(text: str) -> int:
    """Return a number of characters from 1 to ``MAX_QUERY_CHARACTERS``.

    :raises ValueError: for anything else
    """
    return number_up_to(text, MAX_QUERY_CHARACTERS)


def number_up_to(text: str, most: int) -> int:
    """Return a whole number from 1 to *most*.

    :raises ValueError: for anything else
    """
    if not text.strip().isdecimal() or not 0 < int(text[:20]) <= most:
        raise ValueError(f"expected a number from 1 to {most}")
    return int(text)


def parse_fraction(text: str) -> float:
    """Return a number from 0 to 1.

    :raises ValueError: for anything else
    """
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1
    if not 0 <= fraction <= 1:
        raise ValueError("expected a number from 0 to 1, such as 0.5 for one half")
    return fraction


def parse_seconds(text: str) -> float:
    """Return a positive number of seconds, below a million, which may have a fraction.

    :raises ValueError: for anything else
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e6:
        raise ValueError("expected a positive number of seconds")
    return seconds


def parse_duration(text: str) -> int:
    """Return the seconds of a time span such as ``12h``.

    :raises ValueError: for anything else, and for 300 years or more
    """
    try:
        seconds = int(times.parse_duration(text).total_seconds())
    except OverflowError:
        seconds = MAX_SECONDS
    if seconds >= MAX_SECONDS:
        raise ValueError("expected a number and a unit (s, m, h, d or w), of less than 300 years")
    return seconds


def parse_duration_if_any(text: str) -> int | None:
    """Return the seconds of a time span such as ``12h``; None for an empty text.

    :raises ValueError: for anything else
    """
    return parse_duration(text) if text.strip() else None


def parse_whole_seconds(text: str) -> int:
    """Return a whole number of seconds, 0 or more, below ``MAX_SECONDS``.

    :raises ValueError: for anything else
    """
    if not text.strip().isdecimal() or int(text[:20]) >= MAX_SECONDS:
        raise ValueError("expected a number of seconds")
    return int(text)


def parse_networks(text: str) -> list[str]:
    """Return the addresses and networks in a list with commas, in their usual form, and ``unix`` as it is.

    :raises ValueError: for anything else
    """
    return [item if item == "unix" else parse_network(item) for item in parse_names(text)]


def parse_network(text: str) -> str:
    """Return an IP address or network in its usual form, such as ``10.0.0.0/8``.

    :raises ValueError: for anything else
    """
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no address or network; expected some such as 127.0.0.1, 10.0.0.0/8 or unix"
        ) from None


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def parse_origins(text: str) -> list[str]:
    """Return the origins in a list with commas, such as ``https://lookup.example.org``, or ``*``.

    :raises ValueError: for anything else
    """
    origins = parse_names(text)
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError("expected * or origins such as https://lookup.example.org, without a path")
    return origins


_ADDRESS_OF_SERVER = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*/?"
)


def parse_external_url(text: str) -> str:
    """Return the address of a server, without a slash at its end: ``https://lookup.example.org/prefix``, or ``""``.

    :raises ValueError: for anything else
    """
    address = text.strip()
    host, _, port = address.partition("://")[2].partition("/")[0].rpartition(":")
    has_port = bool(host) and not port.endswith("]")
    if address and (not _ADDRESS_OF_SERVER.fullmatch(address) or (has_port and not 0 < int(port) < 2**16)):
        raise ValueError(
            "expected http:// or https://, a host, and a port or a path if there are any, such as"
            " https://lookup.example.org"
        )
    return address.rstrip("/")


_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
#: Addresses below ``/sign-in`` that are no provider's.
_NO_PROVIDERS = frozenset({"link", "links", "ldap", "password"})


def parse_provider_names(text: str) -> list[str]:
    """Return the names of providers in a list with commas.

    :raises ValueError: for one that cannot be part of the name of a variable, stands for something else, or comes twice
    """
    names = parse_names(text)
    for name in names:
        if not _PROVIDER_NAME.fullmatch(name) or name in _NO_PROVIDERS:
            raise ValueError(
                "expected names such as keycloak: at most 32 small letters, digits and _, a letter first, and none of "
                + ", ".join(sorted(_NO_PROVIDERS))
            )
    if len(set(names)) < len(names):
        raise ValueError("a provider is named twice")
    return names


_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")


def parse_headers(text: str) -> dict[str, str | None]:
    """Return the headers of a JSON object, by name; None for one that is not to be sent. Empty: ``{}``.

    :raises ValueError: for anything else
    """
    try:
        headers = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(
        _HEADER_NAME.fullmatch(name)
        and (value is None or (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)))
        for name, value in headers.items()
    ):
        raise ValueError('expected a JSON object such as {"X-Frame-Options": null}')
    return headers


def parse_level(text: str) -> str:
    """Return the name of a level of logging, in upper case.

    :raises ValueError: for anything else
    """
    level = text.strip().upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError("expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return level
