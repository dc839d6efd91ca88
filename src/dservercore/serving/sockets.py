"""The socket that all workers of a server accept connections from."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

from dservercore.serving.options import Serving

# Files that a worker has open besides its connections.
_OTHER_FILES = 256


def listening_socket(serving: Serving) -> socket.socket:
    """Return the socket of a server, on which clients can connect from now on.

    :raises OSError: if the server cannot listen where it is to, with the reason
    """
    if serving.unix_socket:
        listening = _unix_socket(serving.unix_socket)
    else:
        found = socket.getaddrinfo(serving.host, serving.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(found[0])
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[4])
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Connections inherit it: the kernel ends those whose clients fetch nothing, also of what the server has
            # done with.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * serving.client_seconds)
    listening.listen(serving.backlog)
    listening.setblocking(False)
    return listening


def _unix_socket(path: Path) -> socket.socket:
    with socket.socket(socket.AF_UNIX) as probe:
        if path.is_socket() and probe.connect_ex(str(path)) != 0:
            path.unlink()  # of a server that was killed
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(0o666)
    return listening


def allowed_connections(number: int) -> int:
    """Return how many connections of so many a worker can have: each is a file, of which a process may open some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - _OTHER_FILES)
    return number
