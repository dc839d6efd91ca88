"""``flask user password``, ``login-link`` and ``sessions``, and the link of ``flask init``"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from flask import Flask
from sqlalchemy import update

from dservercore import create_app, sql_db
from dservercore.catalog import login_links, passwords, sessions
from dservercore.models import User
from dservercore.settings.external_url import external_url
from support.world import CHAMPION, NOBODY

from .conftest import CommandLine, Installation

PASSWORD = "five tall ships at sea"


def set_password(flask: CommandLine, text: str | bytes, username: str = CHAMPION) -> tuple[int, str]:
    """Return how a command ends that reads a password from standard input, and what it says."""
    result = flask.runner.invoke(flask.commands, ["user", "password", username, "--stdin"], input=text)
    return result.exit_code, result.stderr.strip()


def is_password(app: Flask, text: str) -> bool:
    with app.app_context():
        return passwords.check(CHAMPION, text) == CHAMPION


class TestPassword:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_is_read_from_standard_input(
        self, app: Flask, people: None, flask: CommandLine, end: str
    ) -> None:
        assert set_password(flask, PASSWORD + end) == (0, "")
        assert is_password(app, PASSWORD)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("short", "at least 12 characters"),
            ("passwordpassword", "easy to guess"),
            ("", "at least 12 characters"),
            ("x" * 2000, "at most 1024 bytes"),
            (b"\xff\xfe", "not text in UTF-8"),
        ],
    )
    def test_that_is_none_is_refused(
        self, people: None, flask: CommandLine, text: str | bytes, says: str
    ) -> None:
        status, said = set_password(flask, text)
        assert status == 1
        assert says in said

    def test_of_nobody_or_of_a_service_account(self, app: Flask, people: None, flask: CommandLine) -> None:
        assert set_password(flask, PASSWORD, "x") == (1, "User 'x' not registered")
        with app.app_context():
            sql_db.session.execute(update(User).where(User.username == NOBODY).values(is_service=True))
            sql_db.session.commit()
        assert "service account" in set_password(flask, PASSWORD, NOBODY)[1]
        assert "service account" in flask.fail("user", "login-link", NOBODY)

    def test_is_taken_away(self, app: Flask, people: None, flask: CommandLine) -> None:
        set_password(flask, PASSWORD)
        assert flask.succeed("user", "password", CHAMPION, "--remove") == ""
        assert not is_password(app, PASSWORD)
        assert "had no password" in flask("user", "password", CHAMPION, "--remove").stderr
        assert "not registered" in flask.fail("user", "password", "x", "--remove")

    def test_is_not_asked_for_where_nobody_can_answer(self, people: None, flask: CommandLine) -> None:
        assert "use --stdin" in flask.misuse("user", "password", CHAMPION)
        assert "exclude" in flask.misuse("user", "password", CHAMPION, "--stdin", "--remove")

    def test_is_asked_for_twice_at_a_terminal_and_not_shown(self, installation: Installation) -> None:
        installation.succeed("init", "--admin", "alice")
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "flask", "user", "password", "alice"]
        with subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=installation.environment,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            said = b""
            for times in (1, 2):
                while (
                    said.lower().count(b"password") + said.count(b"Repeat") < times or b":" not in said[-3:]
                ):
                    said += os.read(ours, 1000)
                os.write(ours, PASSWORD.encode() + b"\n")
                said += b"|"
            try:
                while more := os.read(ours, 1000):
                    said += more
            except OSError:  # how a terminal ends
                pass
            assert process.wait(60) == 0, said
        os.close(ours)
        assert PASSWORD.encode() not in said


class TestLoginLink:
    def test_signs_in(self, app: Flask, people: None, flask: CommandLine) -> None:
        link = flask.succeed("user", "login-link", CHAMPION).strip()
        address, secret = link.split("?code=")
        assert address == "http://127.0.0.1:5000/sign-in/link"
        with app.app_context():
            assert login_links.use(secret) == CHAMPION
            sql_db.session.commit()

    def test_begins_with_the_address_of_the_server(
        self, app: Flask, people: None, flask: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(app.config, "DSERVER_EXTERNAL_URL", "https://x.example.org/lookup")
        link = flask.succeed("user", "login-link", CHAMPION)
        assert link.startswith("https://x.example.org/lookup/sign-in/link?code=")

    def test_of_nobody_or_without_pages(
        self, app: Flask, people: None, flask: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert flask.fail("user", "login-link", "x") == "User 'x' not registered"
        monkeypatch.setitem(app.config, "DSERVER_WEB", False)
        assert "no pages" in flask.fail("user", "login-link", CHAMPION)

    def test_is_printed_by_init_for_an_administrator_alone(self, installation: Installation) -> None:
        assert "/sign-in/link" not in installation.succeed("init")
        said = installation.succeed("init", "--admin", "alice", DSERVER_EXTERNAL_URL="https://x.example.org")
        assert re.search(r"  https://x\.example\.org/sign-in/link\?code=[\w-]{43}\n", said)
        assert "/sign-in/link" not in installation.succeed("init", "--admin", "alice", DSERVER_WEB="no")


class TestSessions:
    def test_are_shown_and_ended(self, app: Flask, people: None, flask: CommandLine) -> None:
        with app.app_context():
            secret = sessions.begin(CHAMPION, "link", sessions.Client("192.0.2.7", "Firefox"))
            sql_db.session.commit()
        [shown] = json.loads(flask.succeed("user", "sessions", CHAMPION))
        assert (shown["address"], shown["agent"], shown["means"]) == ("192.0.2.7", "Firefox", "link")
        assert flask.succeed("user", "sessions", CHAMPION, "--end") == ""
        with app.app_context():
            assert sessions.find(secret) is None
        assert flask.read("user", "sessions", CHAMPION) == []
        assert "not registered" in flask.fail("user", "sessions", "x")


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("", "http://asked.example.org:8080/lookup/sign-in"),
        ("https://x.example.org", "https://x.example.org/sign-in"),
        ("https://x.example.org/a/b/", "https://x.example.org/a/b/sign-in"),
        ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080/sign-in"),
    ],
)
def test_the_address_of_the_server(config: dict[str, str], configured: str, expected: str) -> None:
    app = create_app({**config, "DSERVER_EXTERNAL_URL": configured})
    options = {"base_url": "http://asked.example.org:8080/lookup"}
    with app.test_request_context("/", **options):
        assert external_url("/sign-in") == expected


@pytest.mark.parametrize(
    "text",
    [
        *("x.example.org", "ftp://x.example.org", "https://", "https://user:password@x.example.org"),
        *("https://x.example.org?a=b", "https://x.example.org#a", "https://x.example.org:0"),
        *("https://x.example.org:99999", "https://x.example.org/a b", "https://x.example.org//a"),
    ],
)
def test_an_address_that_is_none_stops_the_server(installation: Installation, text: str) -> None:
    assert "DSERVER_EXTERNAL_URL" in installation.fail("user", "list", DSERVER_EXTERNAL_URL=text)
