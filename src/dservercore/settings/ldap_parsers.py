"""From the text of a setting about a directory (LDAP) to its value."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from dservercore.settings.parsers import number_up_to, parse_names

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_MAX_TIMEOUT = 60


def parse_ldap_urls(text: str) -> list[str]:
    """Return the addresses of directory servers in a list with commas.

    :raises ValueError: if one is not ``ldap://`` or ``ldaps://``, a host and perhaps a port
    """
    urls = parse_names(text)
    if not all(map(_is_ldap_url, urls)):
        raise ValueError(
            "expected ldaps://host or ldap://host, with a port if need be, and nothing else; several with commas"
        )
    return urls


def _is_ldap_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    has_more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    is_complete = parts.scheme in ("ldap", "ldaps") and _HOST.fullmatch(host) and port != 0
    return bool(is_complete and not has_more)


def parse_attribute(text: str) -> str:
    """Return the name of an attribute of entries.

    :raises ValueError: for what cannot be one
    """
    name = text.strip()
    if not _ATTRIBUTE.fullmatch(name):
        raise ValueError("expected the name of an attribute, such as uid")
    return name


def parse_attribute_if_any(text: str) -> str:
    """Return the name of an attribute of entries; ``""`` for an empty text.

    :raises ValueError: for what cannot be one
    """
    return parse_attribute(text) if text.strip() else ""


def parse_admits(text: str) -> str:
    """Return who of a directory may sign in: ``anyone``, ``known`` or ``group``.

    :raises ValueError: for another word
    """
    word = text.strip().lower()
    if word not in ("anyone", "known", "group"):
        raise ValueError("expected anyone, known or group")
    return word


def parse_timeout(text: str) -> int:
    """Return a whole number of seconds from 1 to 60.

    :raises ValueError: for anything else
    """
    return number_up_to(text, _MAX_TIMEOUT)
