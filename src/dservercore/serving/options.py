"""How the server was told to serve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Exit status of a server that cannot start as it is configured: trying again would not help. It is gunicorn's, too.
MISCONFIGURED = 4


@dataclass(frozen=True)
class Serving:
    """How to serve.

    :param host: address to listen on
    :param unix_socket: path of a Unix socket to listen on instead of host and port
    :param workers: processes
    :param threads: requests that each of them works on at the same time
    :param connections: clients that each of them may have
    :param client_seconds: for which a client may send, or fetch, nothing
    :param graceful_seconds: for which requests in flight may go on when the server is stopped
    :param does_jobs: in a process beside the workers
    :param certificate: path of a file with the certificate chain, which goes with *key*
    """

    host: str
    port: int
    unix_socket: Path | None
    workers: int
    threads: int
    connections: int
    backlog: int
    client_seconds: int
    graceful_seconds: int
    does_jobs: bool
    certificate: Path | None
    key: Path | None

    @property
    def address(self) -> str:
        """Where the server answers."""
        if self.unix_socket:
            return f"unix:{self.unix_socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"
