"""Addresses of database servers as they may be shown: where it is and by which options, without the secrets in them."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

HIDDEN = "***"

_SCHEME = re.compile(r"(?:mongodb|postgres(?:ql)?|mysql|mariadb|rediss?)(?:\+\w+)?", re.IGNORECASE)
_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]|%2[Ff][\w.%-]+)?(?::[0-9]{1,5})?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
_USER = re.compile(r"[\w.%+-]*")
_PATH = re.compile(r"(?:/[\w.%~/-]*)?")
_PLAIN_VALUE = re.compile(r"[\w.%,:/+-]*")

# Options whose values are no secrets, in lower case without "_". Those of any other option may be.
_HARMLESS_NAMES = """
    appname applicationname authmechanism authsource autocommit cache charset checksamethread clientencoding
    compressors connect connecttimeout connecttimeoutms database db dbname directconnection fallbackapplicationname
    gssencmode heartbeatfrequencyms host hostaddr journal keepalives keepalivesidle loadbalanced localthresholdms
    maxconnecting maxidletimems maxpoolsize maxstalenessseconds minpoolsize mode nolock port readconcernlevel
    readpreference readpreferencetags readtimeout replicaset retryreads retrywrites serverselectiontimeoutms
    sockettimeoutms ssl sslca sslcapath sslmode sslrootcert srvmaxhosts srvservicename targetsessionattrs timeout
    timeoutms tls tlsallowinvalidcertificates tlsallowinvalidhostnames tlscafile tlscertificatekeyfile tlsinsecure
    unixsocket useunicode username user uuidrepresentation w waitqueuetimeoutms writetimeout wtimeoutms
    zlibcompressionlevel
"""
_HARMLESS = frozenset(_HARMLESS_NAMES.split())
_SWITCH = re.compile(r"true|false|yes|no|on|off", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Return whether a text is the address of a database server, however malformed it may be after the ``://``.

    A file of SQLite is none: its address is a path of this machine.
    """
    scheme, separator, _ = text.partition("://")
    return bool(separator and _SCHEME.fullmatch(scheme))


def shown(address: str) -> str:
    """Return the address of a database with ``***`` for the password, and for each option that may be a secret.

    One that cannot be understood is ``***`` as a whole: a password that was not escaped may be anywhere in it.
    """
    scheme, _, rest = address.partition("://")
    # A password that was not escaped may have any of the characters that separate the parts.
    user_info, at, place = rest.rpartition("@")
    place, _, query = place.partition("?")
    hosts, slash, path = place.partition("/")
    user, colon, _password = user_info.partition(":")
    if user and not colon and scheme.lower().startswith("redis"):
        user = HIDDEN  # where it is not a user, but the password
    if not (
        _USER.fullmatch(user.replace(HIDDEN, ""))
        and _HOSTS.fullmatch(hosts)
        and _PATH.fullmatch(slash + path)
    ):
        return HIDDEN
    options = re.sub(r"[^&;]+", lambda option: _shown_option(option[0]), query)
    user_info = f"{user}{colon}{HIDDEN if colon else ''}{at}"
    return f"{scheme}://{user_info}{hosts}{slash}{path}{'?' if query else ''}{options}"


def hidden_options(address: str) -> list[str]:
    """Return the values of the options that are not shown of an address, as they are written there."""
    query = address.partition("?")[2]
    options = [option for option in re.split("[&;]", query) if _shown_option(option) != option]
    return [option.partition("=")[2] for option in options]


def _shown_option(option: str) -> str:
    name, equals, value = option.partition("=")
    plain = unquote_plus(name).lower().replace("_", "")
    if not equals or not re.fullmatch(r"[\w.%+-]+", name):
        return HIDDEN
    if plain in _HARMLESS and _PLAIN_VALUE.fullmatch(value):
        return option
    return option if _SWITCH.fullmatch(value) else f"{name}={HIDDEN}"
