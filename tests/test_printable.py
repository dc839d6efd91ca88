"""Whatever somebody else has named comes out of the server as text, in a terminal, in JSON and in the log."""

from __future__ import annotations

import io
import json
import logging
import os
import sqlite3
import subprocess
import sys
import unicodedata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dservercore import create_app, sql_db
from dservercore.catalog import users
from dservercore.cli import base_uri_cli, dataset_cli, user_cli
from dservercore.cli.console import Command, Failure, Group, say, say_json
from dservercore.printable import printable, printable_json, printable_lines
from dservercore.settings.secrecy import Redacting

pytestmark = pytest.mark.attack

#: Moves cursors, ends lines, turns the direction of text, or is not seen.
ACTING = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\xad",
    "\U000e0041",
    "\ud800",
    "\udfff",
]
READABLE = "Müller 漢字 Ωμέγα עברית العربية हिन्दी \U0001f600 می\u200cخواهم 👩\u200d🔬 e\u0301"


def acts(text: str) -> bool:
    return any(
        unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs", "Cf") and c not in "\n\u200c\u200d" for c in text
    )


@pytest.mark.parametrize("character", ACTING, ids=lambda character: f"U+{ord(character):04X}")
def test_a_character_that_acts_is_escaped(character: str) -> None:
    code = ord(character)
    escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    assert printable(f"a{character}b") == f"a{escape}b"
    text = json.dumps({"a": f"a{character}b"}, ensure_ascii=False, indent=2)
    assert not acts(printable_json(text))
    assert json.loads(printable_json(text)) == {"a": f"a{character}b"}
    if character != "\n":
        assert not acts(printable_lines(f"a\n{character}b"))


def test_letters_stay() -> None:
    assert printable(READABLE) == printable_lines(READABLE) == READABLE
    assert printable_json(json.dumps(READABLE, ensure_ascii=False)) == f'"{READABLE}"'
    assert printable(READABLE, "ascii").isascii()
    assert json.loads(printable_json(json.dumps(READABLE, ensure_ascii=False), "ascii")) == READABLE
    assert printable("ü漢", "latin-1") == "ü\\u6f22"


BAD = "x\x9b31m\x1b[2J\u202eevil\u2028\r\nINFO forged\x85\u2066"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A database with such a name in every place that people give names to, put there by the original server."""
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'app.db'}"})
    with app.app_context():
        sql_db.create_all()
        users.add_user("somebody")
        sql_db.session.commit()
        sql_db.engine.dispose()
    with sqlite3.connect(tmp_path / "app.db") as raw:
        raw.execute("UPDATE user SET username = ?, display_name = ?", [BAD, BAD])
        raw.execute("INSERT INTO base_uri (base_uri) VALUES (?)", [f"s3://{BAD}"])
        raw.execute(
            "INSERT INTO dataset (base_uri_id, uri, uuid, name, creator_username, frozen_at, created_at)"
            " VALUES (1, ?, ?, ?, ?, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')",
            [f"s3://{BAD}/{BAD}", BAD, BAD, BAD],
        )
    raw.close()
    return tmp_path / "app.db"


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "latin-1"])
def test_commands(names: Path, charset: str) -> None:
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{names}"})
    runner = app.test_cli_runner(charset=charset)
    for group, arguments in (
        (user_cli, ["list"]),
        (base_uri_cli, ["list"]),
        (dataset_cli, ["list"]),
        (dataset_cli, ["show", f"s3://{BAD}/x"]),
        (user_cli, ["search_permission", BAD, "s3://b"]),
        (user_cli, [BAD]),
        (user_cli, ["add", "x", f"--{BAD}"]),
        (user_cli, ["token", "x", "--expires-in", BAD]),
        (base_uri_cli, ["add", BAD]),
    ):
        result = runner.invoke(group, arguments)
        assert not result.exception or isinstance(result.exception, SystemExit), result.exception
        assert not acts(result.output), (arguments, result.output)
        assert "\nINFO forged" not in result.output
        if arguments == ["list"]:
            assert json.dumps(BAD)[1:-1] in json.dumps(json.loads(result.stdout))
    with app.app_context():
        sql_db.engine.dispose()


def test_what_cannot_be_encoded_is_no_traceback(tmp_path: Path) -> None:
    """In a terminal that is not UTF-8, and with names that are not."""
    code = (
        "from dservercore.cli.console import say, say_json\n"
        "for err in (False, True): say('M\\xfcller \\u6f22 \\udcff \\x9b', err)\n"
        "say_json({'a': 'M\\xfcller \\u6f22 \\udcff \\x9b'})"
    )
    for locale in (
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ):
        environ = {**os.environ, **locale}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert b"\\u6f22" in done.stdout
        assert b"\\udcff" in done.stderr
        assert b"\x9b" not in done.stdout + done.stderr


def test_messages_of_click() -> None:
    @click.command(cls=Command)
    @click.option("--number", type=int)
    def command(number: int) -> None:
        if number == 1:
            raise Failure(BAD, "second")
        say(BAD)
        say_json(BAD)

    group = Group("group")
    group.add_command(command, "command")
    for arguments in (
        ["command", "--number", BAD],
        ["command", BAD],
        ["command", f"--{BAD}=1"],
        ["command", "--number", "1"],
        ["command"],
        [BAD],
    ):
        output = CliRunner().invoke(group, arguments).output
        assert "forged" in output
        assert not acts(output), (arguments, output)
        assert "\nINFO" not in output


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.Logger("test")
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger


def logged(logger: logging.Logger) -> str:
    return str(logger.handlers[0].stream.getvalue())  # type: ignore[attr-defined]


def test_a_message_in_the_log_is_one_line(logger: logging.Logger) -> None:
    logger.warning("before %s after", BAD)
    logger.warning(BAD)
    text = logged(logger)
    assert text.count("\n") == 2
    assert not acts(text)
    assert "\\x0aINFO forged" in text


def test_a_traceback_keeps_its_lines_and_an_exception_gets_none(logger: logging.Logger) -> None:
    try:
        try:
            raise KeyError(BAD)
        except KeyError as error:
            raise ValueError(f"x\n2026-01-01 00:00:00,000 INFO forged\n{BAD}") from error
    except ValueError:
        logger.exception("Failed for %s", "Müller")
    text = logged(logger)
    assert not acts(text)
    assert "Failed for Müller\nTraceback (most recent call last):\n" in text
    assert "    raise KeyError(BAD)\nKeyError: " in text
    starts = [line for line in text.splitlines() if line.startswith(("2026-01-01", "INFO"))]
    assert starts == []
