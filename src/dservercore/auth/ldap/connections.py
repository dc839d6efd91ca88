"""Connections to a directory: encrypted as configured, and refused where they cannot be. Referrals are not followed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from ldap3 import BASE, NONE, SIMPLE, SUBTREE, Connection, Server
from ldap3.core.exceptions import LDAPException
from ldap3.core.results import (
    RESULT_CONSTRAINT_VIOLATION,
    RESULT_INAPPROPRIATE_AUTHENTICATION,
    RESULT_INVALID_CREDENTIALS,
    RESULT_INVALID_DN_SYNTAX,
    RESULT_NO_SUCH_OBJECT,
    RESULT_REFERRAL,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
    RESULT_UNWILLING_TO_PERFORM,
)
from pyasn1.error import PyAsn1Error

from dservercore.auth.ldap.options import Options
from dservercore.auth.ldap.sockets import Bounded, Verifying, encryption_of
from dservercore.errors import UnavailableError

logger = logging.getLogger(__name__)

# Of what a directory says to a name and a password, what means that they are not those of somebody who may come.
_REFUSALS = {
    RESULT_CONSTRAINT_VIOLATION,
    RESULT_INAPPROPRIATE_AUTHENTICATION,
    RESULT_INVALID_CREDENTIALS,
    RESULT_INVALID_DN_SYNTAX,
    RESULT_NO_SUCH_OBJECT,
    RESULT_REFERRAL,
    RESULT_UNWILLING_TO_PERFORM,
}
# What a broken connection or a server that speaks something else ends in, within the library.
_FAILURES = (
    LDAPException,
    PyAsn1Error,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


class DirectoryError(UnavailableError):
    """The directory cannot be asked, or its answer cannot be used.

    :param reason: for administrators; who signs in learns only that it is so
    """

    def __init__(self, reason: str):
        super().__init__(
            "The directory of users cannot be asked now; try again later, or tell an administrator"
        )
        self.reason = reason


@dataclass(frozen=True)
class Entry:
    """An entry of a directory.

    :param dn: its distinguished name, as the directory writes it
    :param attributes: the values of each attribute that was asked for, by its name in lower case
    """

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def texts(self, attribute: str) -> list[str]:
        """Return the values of an attribute that are text."""
        texts = []
        for value in self.attributes.get(attribute.lower(), ()):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                continue
        return texts


class Directory:
    """One connection to a directory."""

    def __init__(self, connection: Connection, must_be_encrypted: bool):
        self._connection = connection
        self._must_be_encrypted = must_be_encrypted

    @property
    def encryption(self) -> str | None:
        """The version of TLS; None: the connection is in clear text."""
        return encryption_of(self._connection)

    def accepts(self, dn: str, password: str) -> bool:
        """Become somebody by name and password. Return whether the directory accepts both.

        :raises DirectoryError: if it says something else than yes or no
        """
        # An empty password would be accepted for any name: whoever has none is anonymous. Some directories take a NUL
        # for its end.
        if not dn or not password or "\0" in password:
            return False
        try:
            secret = password.encode()
        except UnicodeEncodeError:
            return False
        code = self._bind(dn, secret)
        if code != RESULT_SUCCESS and code not in _REFUSALS:
            raise DirectoryError(f"{self._description()}, to the name and password of {dn}")
        return code == RESULT_SUCCESS

    def entry(self, dn: str, attributes: Sequence[str]) -> Entry | None:
        """Return the entry of a distinguished name; None if there is none that may be read.

        :raises DirectoryError: if the directory cannot be asked
        """
        found = self._search(
            dn, "(objectClass=*)", BASE, attributes, 1, {RESULT_SUCCESS, RESULT_NO_SUCH_OBJECT}
        )
        return found[0] if found else None

    def search(self, base: str, text: str, attributes: Sequence[str], limit: int) -> list[Entry]:
        """Return the entries below another one that match a filter; *limit* of them if there are more.

        :raises DirectoryError: if the directory cannot be asked, or there is no entry to search below
        """
        # A server that has a limit of its own may not reach ours, and one that has found too many may say nothing else.
        allowed = {RESULT_SUCCESS, RESULT_SIZE_LIMIT_EXCEEDED}
        found = self._search(base, text, SUBTREE, attributes, limit, allowed)
        if self._connection.result["result"] == RESULT_SIZE_LIMIT_EXCEEDED and len(found) < limit:
            raise DirectoryError(f"{self._description()}, to a search below {base}")
        return found[:limit]

    def _search(
        self, base: str, text: str, scope: str, attributes: Sequence[str], limit: int, allowed: set[int]
    ) -> list[Entry]:
        timeout = self._connection.server.connect_timeout
        options = {"attributes": list(attributes), "size_limit": limit, "time_limit": timeout}
        with self._failures():
            self._require_open()
            self._connection.search(base, text, search_scope=scope, **options)
            if self._connection.result["result"] not in allowed:
                raise DirectoryError(f"{self._description()}, to a search below {base}")
            # What is in other directories (searchResRef) is left there.
            return [
                Entry(item["dn"], {name.lower(): values for name, values in item["raw_attributes"].items()})
                for item in self._connection.response or []
                if item["type"] == "searchResEntry"
            ]

    def _bind(self, dn: str, password: bytes) -> int:
        connection = self._connection
        with self._failures():
            self._require_open()
            connection.authentication, connection.user, connection.password = SIMPLE, dn, password
            try:
                connection.bind(read_server_info=False)
            finally:
                connection.password = None
            return int(connection.result["result"])

    def _require_open(self) -> None:
        # The library would open a closed connection anew, in clear text.
        if self._connection.closed or (self._must_be_encrypted and self.encryption is None):
            raise DirectoryError("the connection is closed, or not encrypted any more")

    def _description(self) -> str:
        result = self._connection.result or {}
        said = f" ({result['message']})" if result.get("message") else ""
        return f"the directory answers {result.get('description', 'nothing')}{said}"

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            if isinstance(error, DirectoryError):
                raise
            raise DirectoryError(f"{type(error).__name__}: {error}") from None


def _reason(error: Exception) -> str:
    """Return why there is no connection; the library wraps what OpenSSL says of a certificate several times."""
    text = str(error)
    certificate = re.search(r"certificate verify failed: (.+?)\.? \(_ssl", text)
    if certificate is None:
        return text
    return (
        f"its certificate is not accepted: {certificate[1]} (an authority of your own is named by "
        "DSERVER_LDAP_CA_FILE, and the host in DSERVER_LDAP_URL has to be the certificate's)"
    )


@contextmanager
def connected(options: Options, url: str | None = None) -> Iterator[Directory]:
    """Connect to the first server of a directory that can be, and disconnect at the end.

    :param url: of the one server to connect to; None: any
    :raises DirectoryError: if none can be, or none has a certificate that is accepted
    """
    failures = []
    for address in options.urls if url is None else (url,):
        try:
            connection = _opened(address, options)
        except _FAILURES as error:
            reason = _reason(error)
            failures.append(f"{address}: {reason}")
            if url is None:
                logger.warning("The directory at %s cannot be asked: %s", address, reason)
            continue
        try:
            yield Directory(connection, options.start_tls or address.startswith("ldaps:"))
        finally:
            _close(connection)
        return
    raise DirectoryError("; ".join(failures))


def _opened(url: str, options: Options) -> Connection:
    parts = urlsplit(url)
    server = Server(
        parts.hostname,
        port=parts.port,
        use_ssl=parts.scheme == "ldaps",
        tls=Verifying(options.tls),
        get_info=NONE,
        connect_timeout=options.timeout,
    )
    connection = Connection(
        server,
        auto_bind=False,
        auto_referrals=False,
        auto_range=False,
        auto_escape=False,
        auto_encode=False,
        check_names=False,
        receive_timeout=options.timeout,
    )
    try:
        connection.open(read_server_info=False)
        connection.socket = Bounded(connection.socket, options.timeout)
        if not server.ssl and options.start_tls:
            connection.start_tls(read_server_info=False)
            if encryption_of(connection) is None:
                raise ValueError("no encryption (STARTTLS)")
    except BaseException:
        _close(connection)
        raise
    return connection


def _close(connection: Connection) -> None:
    try:
        connection.unbind()
    except _FAILURES as error:
        logger.debug("The connection to the directory was broken when it was closed: %s", error)
