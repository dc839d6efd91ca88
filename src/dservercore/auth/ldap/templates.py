"""Distinguished names and filters with places for a name, which never becomes more than a value in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ldap3.core.exceptions import LDAPException
from ldap3.operation.search import parse_filter
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn, parse_dn

_PLACE = re.compile(r"\{(\w*)\}")
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)


def filled_dn(template: str, username: str) -> str:
    """Return a distinguished name with a user's name as one value of it (RFC 4514).

    :param username: neither empty nor with a space at an end, or a character that nobody sees
    """
    return _PLACE.sub(lambda _place: escape_rdn(username), template)


def filled_filter(template: str, values: Mapping[str, str]) -> str:
    """Return a filter with values in their places, in which they match nothing but themselves (RFC 4515).

    :param values: by the name of the place
    """
    return _PLACE.sub(lambda place: escape_filter_chars(values[place[1]]), template)


def check_dn(text: str) -> None:
    """Pass if a text is a distinguished name.

    :raises ValueError: otherwise
    """
    try:
        parse_dn(text)
    except (LDAPException, IndexError):
        raise ValueError("expected a distinguished name, such as ou=people,dc=example,dc=org") from None


def check_dn_template(template: str) -> None:
    """Pass if a text is a distinguished name with one place, for ``{username}``.

    :raises ValueError: otherwise
    """
    if _PLACE.findall(template) != ["username"]:
        raise ValueError("expected {username} once, such as in uid={username},ou=people,dc=example,dc=org")
    check_dn(filled_dn(template, "alice"))


def check_filter(template: str, *names: str) -> None:
    """Pass if a text is a filter with at least one place, and none but those of *names*.

    :raises ValueError: otherwise
    """
    places = set(_PLACE.findall(template))
    if not places or not places <= set(names):
        raise ValueError(f"expected a filter with {' or '.join(f'{{{name}}}' for name in names)} in it")
    try:
        parse_filter(filled_filter(template, dict.fromkeys(names, "alice")), None, False, False, None, False)
    except (LDAPException, IndexError, AttributeError):
        raise ValueError("expected a filter in parentheses, such as (uid={username})") from None


def is_below(dn: str, base: str) -> bool:
    """Return whether an entry is in the tree below another one, or is that one."""
    parts, end = _parts_of(dn), _parts_of(base)
    return parts is not None and end is not None and parts[len(parts) - len(end) :] == end


def name_in(dn: str) -> str | None:
    """Return the value that a distinguished name begins with; None if it cannot be understood."""
    try:
        _attribute, value, _separator = parse_dn(dn, strip=True)[0]
    except (LDAPException, IndexError):
        return None
    return _unescaped(value)


def _parts_of(dn: str) -> list[tuple[str, str, str]] | None:
    try:
        parts = parse_dn(dn, strip=True)
    except (LDAPException, IndexError):
        return None
    return [
        (attribute.lower(), _unescaped(value).lower(), separator) for attribute, value, separator in parts
    ]


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(
        lambda found: (
            bytes.fromhex(found[1].replace("\\", "")).decode("utf-8", "replace") if found[1] else found[2]
        ),
        value,
    )
