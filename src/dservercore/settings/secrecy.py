"""What is a secret, and how it is kept out of what others see: the configuration, messages, the log."""

from __future__ import annotations

import logging
import re
import textwrap
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dservercore.printable import printable, printable_lines
from dservercore.settings import shown_addresses

HIDDEN = shown_addresses.HIDDEN

# What a setting is called when it holds a secret that is on nobody's list. A path to a key file is not one.
_SECRET_NAME = re.compile(
    r"(SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_?KEY|ACCOUNT_KEY|SIGNING_KEY"
    r"|ENCRYPTION_KEY|CONNECTION_STRING|MONGO_URI|(^|_)(TOKEN|PWD|PASS|DSN|SALT|SIGNATURE)$)(?!.*_FILE$)"
)
# What a setting is called when it holds the address of a database.
_DATABASE_NAME = re.compile(r"(MONGO|DATABASE|DB|REDIS|SQL|POSTGRES|POSTGRESQL|MYSQL|MARIADB)_?(URI|URL)S?$")
# User and password, up to the last @ of the line: a password that was not escaped may contain anything.
_IN_ADDRESS = re.compile(r"(?<=://).+(?=@)")
# User and password in a line that may mention addresses of datasets, where an @ means nothing.
_USER_INFO = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
_ASSIGNED = re.compile(
    r"((?:secret|password|passwd|pwd|passphrase|token|signature|credential|api_?key|access_?key|account_?key|\bsig\b)\w*"
    r"[\"']?\s*[=:]\s*[\"']?)(?!//|(?:YES|NO)\b)[^\s&;,\"']+",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
# What a header says of who sends it: alone, or behind its name.
_AUTHORIZATION = re.compile(
    r"((?:^|authorization[\"']?\s*[:=]\s*[\"']?)(?:Bearer|Basic)\s+)[^\s\"']+", re.IGNORECASE
)
_AWS_KEY = re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")
#: Shorter secrets, replaced wherever they occur, would leave nothing legible; and ``dev`` is no secret.
_LEAST_LENGTH = 6


def is_secret(name: str) -> bool:
    """Return whether a setting of that name holds a secret."""
    return bool(_SECRET_NAME.search(name.upper()))


def is_database(name: str) -> bool:
    """Return whether a setting of that name holds the address of a database."""
    return bool(_DATABASE_NAME.search(name.upper()))


def masked(text: str) -> str:
    """Return *text* with ``***`` for whatever looks like a secret in it."""
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _IN_ADDRESS.sub(HIDDEN, text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    return _AWS_KEY.sub(HIDDEN, text)


def secrets_of(config: Mapping[str, Any]) -> set[str]:
    """Return the secrets in a configuration: values of settings that hold one, and passwords within addresses."""
    listed = {*config.get("CONFIG_SECRETS_TO_OBFUSCATE", ())} - {"SQLALCHEMY_DATABASE_URI"}
    found: set[str] = set()
    for name, value in config.items():
        found.update(_secrets_in(name, value, name in listed))
    return {secret for secret in found if len(secret) >= _LEAST_LENGTH}


def _secrets_in(name: str, value: Any, is_one: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _secrets_in(str(key), part, is_one)
    elif isinstance(value, (list, tuple)) and name != "CONFIG_SECRETS_TO_OBFUSCATE":
        for part in value:
            yield from _secrets_in(name, part, is_one)
    elif isinstance(value, str) and "://" in value:
        yield from _in_address(value)
    elif isinstance(value, str) and (
        is_secret(name) or (is_one and not name.endswith(("_DB", "_COLLECTION")))
    ):
        yield value


def _in_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
        given = [parts.password, *(value for key, value in parse_qsl(parts.query) if is_secret(key))]
    except ValueError:
        given = []
    user_info = _IN_ADDRESS.search(address)
    if user_info and ":" in user_info[0]:  # what urlsplit takes for a path, if a password was not escaped
        given.append(user_info[0].partition(":")[2])
    if shown_addresses.is_address(address):
        given += shown_addresses.hidden_options(address)
    for secret in filter(None, given):
        yield secret
        yield unquote(secret)


class Redacting(logging.Formatter):
    """Formats a line of the log, with traceback, without the secrets of the configuration, and as it may be printed.

    The last line of defence: messages of drivers, and of plugins, are not ours. A message is one line, whatever is in
    it, and so is what an exception says; so nothing but a logger begins a line of the log.
    """

    def __init__(self, layout: str):
        super().__init__(layout)
        self._secrets: list[str] = []

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these texts by ``***`` in every line from now on."""
        self._secrets = sorted({*self._secrets, *secrets}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = printable_lines(super().format(record))
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _PRIVATE_KEY.sub(HIDDEN, _USER_INFO.sub(HIDDEN, text))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library's name)
        """Return the line without the traceback."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the traceback, with the message of each exception as one printable line."""
        trace = traceback.TracebackException(*ei)
        for exception in _chain(trace):
            # A Python without this private attribute: every line is indented, so that none looks like one of the log.
            if not hasattr(exception, "_str"):
                return textwrap.indent("".join(trace.format()), "  ").rstrip("\n")
            exception._str = printable(str(exception._str))
        return "".join(trace.format()).rstrip("\n")


def _chain(trace: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    """Yield an exception, those that led to it, and those that it groups; nothing for None."""
    if trace is None:
        return
    yield trace
    for other in (trace.__cause__, trace.__context__, *(getattr(trace, "exceptions", None) or ())):
        yield from _chain(other)
