"""What the library speaks to a directory through: encrypted as Python does it, and with an end."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from ldap3 import Connection, Tls

# All that a directory may say over one connection, in bytes, and in so many times the time for one answer. Who sends a
# byte now and then would keep a thread otherwise, and a length that is not true takes all memory.
_MAX_BYTES, _MAX_TIMEOUTS = 2**24, 4


class Bounded:
    """A socket from which no more is read than a directory has to say, and for no longer than that takes."""

    def __init__(self, sock: socket.socket, timeout: int):
        self.real = sock
        self._timeout = timeout
        self._deadline = time.monotonic() + _MAX_TIMEOUTS * timeout
        self._bytes_left = _MAX_BYTES

    def recv(self, size: int) -> bytes:
        """Return what has arrived, as a socket does."""
        self.real.settimeout(self._seconds_left())
        data = self.real.recv(size)
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise OSError("the answer is too long")
        return data

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS."""
        self.real.settimeout(self._seconds_left())
        self.real = context.wrap_socket(self.real, server_hostname=host)

    def _seconds_left(self) -> float:
        left = min(self._timeout, self._deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError("the directory has taken too long")
        return left

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Verifying(Tls):
    """Has Python check the certificate, and the name in it."""

    def __init__(self, context: ssl.SSLContext):
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Encrypt the connection."""
        host = connection.server.host
        if isinstance(connection.socket, Bounded):
            connection.socket.encrypt(self._context, host)
        else:
            connection.socket = self._context.wrap_socket(connection.socket, server_hostname=host)


def encryption_of(connection: Connection) -> str | None:
    """Return the version of TLS of an open connection; None: it is in clear text."""
    sock = connection.socket.real if isinstance(connection.socket, Bounded) else None
    return sock.version() if isinstance(sock, ssl.SSLSocket) else None
