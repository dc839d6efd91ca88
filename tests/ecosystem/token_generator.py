"""A token generator: the service beside a server where users exchange a password for a token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.live_server import LiveServer

PASSWORD = "correct horse"


class TokenGenerator(ThreadingHTTPServer):
    """It knows everybody by the same password, and whom it has given a token to."""

    daemon_threads = True

    def __init__(self, server: LiveServer):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/token"
        self.asked_by: list[str] = []
        self.is_broken = False
        self.token_of = lambda username: server.bearer(username)["Authorization"].removeprefix("Bearer ")


class _Handler(BaseHTTPRequestHandler):
    server: TokenGenerator

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked_by.append(asked["username"])
        if asked["password"] != PASSWORD:
            self._answer(401, {"msg": "Wrong credentials"})
        elif self.server.is_broken:
            self._answer(200, {"colour": "green"})
        else:
            self._answer(200, {"token": self.server.token_of(asked["username"])})

    def _answer(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output free of requests."""


@contextmanager
def token_generator(server: LiveServer) -> Iterator[TokenGenerator]:
    """A token generator for the users of a server."""
    generator = TokenGenerator(server)
    thread = threading.Thread(target=generator.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield generator
    finally:
        generator.shutdown()
        thread.join()
        generator.server_close()
