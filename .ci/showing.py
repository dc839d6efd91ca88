"""A server to look at, for what takes pictures of its pages and what measures them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from flask import Flask

from dservercore import create_app, sql_db
from dservercore.auth import sign_in
from dservercore.catalog import sessions
from dservercore.models import Dataset

CHECKOUT = Path(__file__).parent.parent
# For the datasets of the demo and of the benchmarks, and for the browser of the tests.
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]

#: The name of the cookie by which a browser is signed in, where there is no TLS.
COOKIE = sign_in.PLAIN_COOKIE
_PATIENCE = 60.0


@dataclass(frozen=True)
class Page:
    """A page to look at.

    :param name: of what is made of it, and what it is called in reports
    :param endpoint: of its route; an application that has none is looked at without it
    :param parts: of its address; ``uri`` and ``uuid`` are put in for a dataset
    :param query: what its address says after the question mark
    """

    name: str
    endpoint: str
    parts: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)

    def path(self, app: Flask, dataset: str = "") -> str | None:
        """Return its address, or None if there is no such page, or no dataset to show.

        :param dataset: a word of the name of the dataset to show; the newest one, if there is none such
        """
        if self.endpoint not in app.view_functions:
            return None
        with app.app_context():
            named = Dataset.name.like(f"%{dataset}%").desc()
            shown = sql_db.session.query(Dataset).order_by(named, Dataset.frozen_at.desc()).first()
            if self.parts and shown is None:
                return None
            parts = {part: getattr(shown, part) for part in self.parts}
        with app.test_request_context():
            path = app.url_for(self.endpoint, **parts)
        return f"{path}?{urlencode(self.query)}" if self.query else path


def application(directory: Path) -> Flask:
    """Return an application on what is kept in a directory, of this process alone."""
    os.environ["DSERVER_DATA_DIR"] = str(directory.absolute())
    return create_app()


@contextmanager
def session_of(app: Flask, username: str) -> Iterator[str]:
    """Give the secret of a session in which a user is signed in; it ends afterwards, and others stay as they are."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    with app.app_context():
        secret = sessions.begin(username, "link", sessions.Client("127.0.0.1", agent))
        sql_db.session.commit()
    try:
        yield secret
    finally:
        with app.app_context():
            session = sessions.find(secret)
            if session:
                sessions.end_of(username, session.id)
                sql_db.session.commit()


@contextmanager
def served(directory: Path, port: int) -> Iterator[str]:
    """Serve what is kept in a directory, as people do, and give the address."""
    environment: dict[str, Any] = {**os.environ, "FLASK_APP": "dservercore", "FLASK_SKIP_DOTENV": "1"}
    environment["DSERVER_DATA_DIR"] = str(directory.absolute())
    command = [sys.executable, "-m", "flask", "serve", "--port", str(port), "--workers", "1"]
    address = f"http://localhost:{port}"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(address, server)
            yield address
        finally:
            server.terminate()


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if server.poll() is not None:
            sys.exit(f"The server on {address} ended with the status {server.returncode}: is the port free?")
        try:
            with urlopen(f"{address}/config/health"):
                return
        except URLError:
            time.sleep(0.1)
    sys.exit(f"The server on {address} has not answered for {_PATIENCE:.0f} seconds")
