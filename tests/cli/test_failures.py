"""Whatever goes wrong, a command ends in one clear line, without a traceback"""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from dservercore import create_app

from .conftest import CommandLine, Installation

COMMANDS = [
    ["user", "list"],
    ["user", "add", "alice"],
    ["user", "token", "alice"],
    ["base_uri", "list"],
    ["base_uri", "add", "s3://bucket"],
    ["base_uri", "index", "s3://bucket"],
    ["base_uri", "delete", "s3://bucket"],
    ["dataset", "list"],
    ["dataset", "register", "s3://bucket/x"],
    ["dataset", "show", "s3://bucket/x"],
    ["dataset", "delete", "s3://bucket/x"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_without_tables_says_what_to_do(config: dict[str, Any], command: list[str]) -> None:
    said = CommandLine(create_app(config)).fail(*command)
    assert said == "The database is not up to date: run `flask db upgrade` first"


def test_a_database_that_cannot_be_opened_is_said_to_be(installation: Installation) -> None:
    (installation.home / "app.db").mkdir()
    settings = {"SQLALCHEMY_DATABASE_URI": f"sqlite:///{installation.home / 'app.db'}"}
    said = installation.fail("user", "list", **settings)
    address = settings["SQLALCHEMY_DATABASE_URI"]
    assert (
        said
        == f"The database {address} cannot be opened: unable to open database file (SQLALCHEMY_DATABASE_URI)"
    )


@pytest.mark.parametrize(
    "command",
    [["user", "list"], ["adopt", "--yes"], ["backup", "x.tar"], ["db", "current"], ["run", "--port", "0"]],
    ids=" ".join,
)
def test_a_mistyped_path_leaves_no_empty_database(installation: Installation, command: list[str]) -> None:
    file = installation.home / "typo" / "app.db"
    said = installation.fail(*command, SQLALCHEMY_DATABASE_URI=f"sqlite:///{file}")
    assert f"There is no database {file}: `flask init`" in said
    assert not file.parent.exists()


def test_a_database_that_lacks_a_table_is_a_failure_of_its_own(server: Installation) -> None:
    server.succeed("user", "add", "alice")
    with sqlite3.connect(server.data / "app.db") as connection:
        connection.execute("DROP TABLE search_permissions")
    lacking = "The database lacks a table that it should have: `flask restore` brings back a backup"
    assert server.fail("user", "list") == lacking


def test_a_database_address_that_is_none_is_named(installation: Installation) -> None:
    said = installation.fail("user", "list", SQLALCHEMY_DATABASE_URI="hello")
    assert "SQLALCHEMY_DATABASE_URI" in said


def test_a_key_file_that_is_missing_is_named(installation: Installation) -> None:
    said = installation.fail("user", "list", JWT_PRIVATE_KEY_FILE="/nowhere/jwt_key")
    assert "JWT_PRIVATE_KEY_FILE: cannot read /nowhere/jwt_key" in said


def test_arguments_that_are_no_text_are_refused(installation: Installation) -> None:
    done = installation.flask("user", "add", b"al\xffice")
    assert done.returncode == 2
    assert "UTF-8" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_the_terminal_cannot_show_is_escaped(server: Installation) -> None:
    server.succeed("user", "add", "Grüße 🌱")
    latin = {"LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    listed = server.succeed("user", "list", **latin)
    assert '"username": "Gr\\u00fc\\u00dfe \\ud83c\\udf31"' in listed
    assert server.fail("user", "add", "Grüße 🌱", **latin | {"PYTHONUTF8": "1"}).startswith("User 'Gr\\xfc")


def test_a_reader_that_leaves_early_is_no_error_message(server: Installation) -> None:
    server.succeed("user", "add", "alice")
    process = server.start("user", "list")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=30)
