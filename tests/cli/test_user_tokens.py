"""``flask user tokens`` and ``flask user revoke-tokens``, and users that are programs."""

from __future__ import annotations

import pytest

from dservercore import sql_db
from dservercore.catalog import sessions

from .conftest import CommandLine

BASE_URI, OTHER = "s3://green", "s3://grey"


@pytest.fixture
def robot(flask: CommandLine) -> CommandLine:
    """The command line of a server with a service account, which may register in one of two base URIs."""
    flask.succeed("user", "add", "robot", "--service")
    flask.succeed("user", "add", "alice")
    for base_uri in (BASE_URI, OTHER):
        flask.succeed("base_uri", "add", base_uri)
    flask.succeed("user", "register_permission", "robot", BASE_URI)
    return flask


def test_one_is_made_listed_and_ended(robot: CommandLine) -> None:
    options = ("--expires-in", "30d", "--may", "register", "--may", "search", "--base-uri", BASE_URI)
    token = robot.succeed("user", "tokens", "robot", "--create", "nightly", *options)
    assert token.startswith("dserver_")
    assert token.count("\n") == 1
    [listed] = robot.read("user", "tokens", "robot")
    assert (listed["name"], listed["may"], listed["base_uris"]) == (
        "nightly",
        ["search", "register"],
        [BASE_URI],
    )
    assert listed["expires_at"] - listed["created_at"] == 30 * 86400
    assert token.strip() not in robot.succeed("user", "tokens", "robot")
    assert robot.succeed("user", "tokens", "robot", "--revoke", str(listed["id"])) == ""
    assert robot.read("user", "tokens", "robot") == []
    refused = robot.fail("user", "tokens", "robot", "--revoke", str(listed["id"]))
    assert refused == f"User 'robot' has no token {listed['id']}"


def test_it_works(robot: CommandLine) -> None:
    token = robot.succeed("user", "tokens", "alice", "--create", "laptop", "--last-forever").strip()
    client = robot.runner.app.test_client()
    answer = client.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["username"]) == (200, "alice")
    [listed] = robot.read("user", "tokens", "alice")
    assert (listed["expires_at"], listed["may"], listed["base_uris"]) == (None, ["search"], None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--may", "admin"), "no administrator"),
        (
            ("--base-uri", BASE_URI),
            "base_uris: must be base URIs where the owner may do what the token is for",
        ),
        (("--may", "register", "--base-uri", OTHER), "base_uris: must be base URIs where"),
        (("--may", "register", "--base-uri", "s3://unknown"), "base_uris: must be base URIs where"),
    ],
)
def test_what_its_owner_may_not(robot: CommandLine, options: tuple[str, ...], message: str) -> None:
    assert message in robot.fail("user", "tokens", "robot", "--create", "x", *options)
    assert robot.read("user", "tokens", "robot") == []


@pytest.mark.parametrize("name", ["", "x" * 81, "a\x1b[31mb"])
def test_names_that_none_may_have(robot: CommandLine, name: str) -> None:
    assert robot.fail("user", "tokens", "robot", "--create", name).startswith("name: ")


@pytest.mark.parametrize(
    "options",
    [
        ("--may", "search"),
        ("--expires-in", "1d"),
        ("--base-uri", BASE_URI),
        ("--last-forever",),
        ("--create", "x", "--revoke", "1"),
        ("--create", "x", "--may", "write"),
        ("--create", "x", "--expires-in", "soon"),
        ("--create", "x", "--expires-in", "1d", "--last-forever"),
        ("--revoke", "first"),
    ],
)
def test_options_that_make_no_sense(robot: CommandLine, options: tuple[str, ...]) -> None:
    result = robot("user", "tokens", "robot", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert robot.read("user", "tokens", "robot") == []


@pytest.mark.parametrize(
    "command", [("tokens",), ("tokens", "--create", "x"), ("tokens", "--revoke", "1"), ("revoke-tokens",)]
)
def test_of_nobody(robot: CommandLine, command: tuple[str, ...]) -> None:
    assert robot.fail("user", command[0], "ghost", *command[1:]) == "User 'ghost' not registered"


def test_numbers_that_no_token_has(robot: CommandLine) -> None:
    for number in ("0", "-1", "9" * 30):
        assert "has no token" in robot.fail("user", "tokens", "robot", f"--revoke={number}")


def test_all_are_ended(robot: CommandLine) -> None:
    for _ in range(2):
        robot.succeed("user", "tokens", "alice", "--create", "x")
    with robot.runner.app.app_context():
        sessions.begin("alice", "link", sessions.Client("127.0.0.1", "Browser"))
        sql_db.session.commit()
    assert robot.succeed("user", "revoke-tokens", "alice") == (
        "Ended 2 tokens for programs, 1 session, 0 sign-in links, and every other token of user 'alice'\n"
    )
    assert robot.read("user", "tokens", "alice") == []
    [record] = robot.read("audit", "--action", "user.revoke_tokens", "--json")
    assert (record["subject"], record["details"]) == ("alice", {"tokens": 2, "sessions": 1, "links": 0})


def test_programs_are_listed(robot: CommandLine) -> None:
    assert [each["username"] for each in robot.read("user", "list")] == ["robot", "alice"]
    [only] = robot.read("user", "list", "--service")
    assert (only["username"], "is_service" in only) == ("robot", False)
    assert robot.read("user", "permissions", "robot")["is_service"] is True
    assert robot.read("user", "permissions", "alice")["is_service"] is False
