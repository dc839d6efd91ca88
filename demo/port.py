"""Is the port free?  Runs before anything is installed, so it needs nothing but the standard library."""

from __future__ import annotations

import socket
import sys


def why_not(host: str, port: str) -> str | None:
    """Return in one line why a server cannot listen on `host`:`port`, or None if it can."""
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return f"PORT must be a number from 1 to 65535, not {port!r}."
    another = "choose another one, for example: make demo PORT=5050"
    try:
        with socket.socket() as probe:
            # As the server does: a port that only waits for its last connections to time out is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            probe.listen()
    except PermissionError:
        return f"Port {port} needs administrator rights; {another}"
    except OSError as error:
        return f"Port {port} on {host} is not free ({error.strerror or error}); {another}"
    return None


if __name__ == "__main__":
    sys.exit(why_not(*sys.argv[1:3]))
