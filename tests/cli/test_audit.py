"""``flask audit``, and what the other commands leave on record"""

from __future__ import annotations

import json
import os
import pwd

import pytest
from flask import Flask
from sqlalchemy import text

from dservercore import sql_db

from .conftest import CommandLine

ME = f"operator:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def history(flask: CommandLine) -> None:
    for command in (
        "user add alice --display-name Alice",
        "user update --is_admin alice",
        "base_uri add s3://b",
        "user search_permission alice s3://b",
        "user search_permission --revoke alice s3://b",
        "user search_permission --revoke alice s3://b",
        "base_uri delete s3://b",
        "base_uri delete s3://b",
        "user delete alice",
        "user delete alice",
    ):
        flask.succeed(*command.split())


def test_commands_leave_a_record_of_the_operator(flask: CommandLine, history: None) -> None:
    found = flask.read("audit", "--json")
    assert [(record["action"], record["subject"]) for record in reversed(found)] == [
        ("user.create", "alice"),
        ("user.update", "alice"),
        ("base_uri.create", "s3://b"),
        ("grant.search", "alice"),
        ("revoke.search", "alice"),
        ("base_uri.delete", "s3://b"),
        ("user.delete", "alice"),
    ]
    assert {(record["actor"], record["origin"], record["request_id"]) for record in found} == {
        (ME, "command line", None)
    }


def test_a_table_with_the_newest_first(flask: CommandLine, history: None) -> None:
    lines = flask.succeed("audit").splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "WHO", "ACTION", "ON", "FROM", "DETAILS"]
    assert len(lines) == 8
    assert "user.delete" in lines[1]
    columns = {line.index("command line") for line in lines[1:]}
    assert columns == {lines[0].index("FROM")}
    (granted,) = [line for line in lines if "grant.search" in line]
    assert json.loads(granted[granted.index("{") :]) == {"base_uri": "s3://b"}


def test_filters(flask: CommandLine, history: None) -> None:
    def number(*arguments: str) -> int:
        return len(flask.read("audit", "--json", *arguments))

    assert number("--action", "grant.") == 1
    assert number("--subject", "alice") == 5
    assert number("--base-uri", "s3://b") == 4
    assert number("--actor", ME) == 7
    assert number("--actor", "nobody") == 0
    assert number("--since", "7d") == 7
    assert number("--until", "7d") == 0
    assert number("--since", "2026-01-01", "--until", "9000-01-01T00:00Z") == 7


def test_a_limit_says_that_there_is_more(flask: CommandLine, history: None) -> None:
    result = flask("audit", "--limit", "3")
    assert len(result.stdout.splitlines()) == 4
    assert result.stderr.startswith("4 older ones are not shown")


def test_names_do_not_act_on_the_terminal(app: Flask, flask: CommandLine) -> None:
    flask.succeed("user", "add", "eve")
    with app.app_context():  # as a version may have stored it that took such names
        forged = {"subject": "\x1b[2J\nforged"}
        sql_db.session.execute(text("UPDATE audit SET subject = :subject"), forged)
        sql_db.session.commit()
    lines = flask.succeed("audit").splitlines()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]


def test_pruning(flask: CommandLine, history: None) -> None:
    result = flask("audit", "prune", "--before", "2y")
    assert (result.exit_code, result.stderr) == (0, "Deleted 0 records\n")
    assert len(flask.read("audit", "--json")) == 7
    assert flask("audit", "prune", "--before", "9000-01-01").stderr == "Deleted 7 records\n"
    (left,) = flask.read("audit", "--json")
    assert (left["action"], left["details"]["records"]) == ("audit.prune", 7)


@pytest.mark.parametrize("value", ["soon", "7", "999999999999y", "7x", ""])
def test_what_is_no_time(flask: CommandLine, value: str) -> None:
    if value == "7":  # seconds since the epoch
        assert flask.succeed("audit", "--since", value)
    else:
        assert "is no time" in flask.misuse("audit", "--since", value)


def test_a_time_is_needed_to_prune(flask: CommandLine) -> None:
    assert "--before" in flask.misuse("audit", "prune")
