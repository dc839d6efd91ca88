"""``flask user``"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from support.world import RED, STRANGER

from .conftest import CommandLine

ODD_NAMES = ["Jürgen 🌱", "o'hara", 'the "boss"', "a\\b", "-", "x" * 64]


# add, list


def test_a_new_user_has_no_permissions(flask: CommandLine) -> None:
    assert flask.succeed("user", "add", "alice") == ""
    assert flask.read("user", "list") == [
        {
            "username": "alice",
            "display_name": None,
            "is_admin": False,
            "search_permissions_on_base_uris": [],
            "register_permissions_on_base_uris": [],
        }
    ]


@pytest.mark.parametrize("option", ["-a", "--is_admin"])
def test_a_user_can_be_added_as_administrator(flask: CommandLine, option: str) -> None:
    flask.succeed("user", "add", option, "alice", "--display-name", "Alice Liddell")
    (user,) = flask.read("user", "list")
    assert (user["is_admin"], user["display_name"]) == (True, "Alice Liddell")


def test_users_are_listed_in_the_order_in_which_they_were_added(flask: CommandLine) -> None:
    for name in ("zoe", "adam", "mia"):
        flask.succeed("user", "add", name)
    assert [user["username"] for user in flask.read("user", "list")] == ["zoe", "adam", "mia"]


def test_lists_are_indented_by_two(flask: CommandLine) -> None:
    flask.succeed("user", "add", "alice")
    assert flask.succeed("user", "list").startswith('[\n  {\n    "username": "alice",\n')


def test_without_users_the_list_is_empty(flask: CommandLine) -> None:
    assert flask.read("user", "list") == []


def test_a_name_can_be_taken_once(flask: CommandLine) -> None:
    flask.succeed("user", "add", "alice")
    assert flask.fail("user", "add", "-a", "alice") == "User 'alice' already registered"
    assert flask.read("user", "list")[0]["is_admin"] is False


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_may_have_any_characters(flask: CommandLine, name: str) -> None:
    flask.succeed("user", "add", "--", name)
    assert [user["username"] for user in flask.read("user", "list")] == [name]
    assert flask.fail("user", "add", "--", name) == f"User '{name}' already registered"
    flask.succeed("user", "delete", "--", name)
    assert flask.read("user", "list") == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 65, "1 to 64 characters"),
        ("", "1 to 64 characters"),
        ("a\tb", "control"),
        ("ada ", "space"),
        ("\u00a0ada", "space"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(flask: CommandLine, name: str, reason: str) -> None:
    assert reason in flask.fail("user", "add", name)
    assert flask.read("user", "list") == []


def test_a_display_name_has_at_most_255_characters(flask: CommandLine) -> None:
    assert "255" in flask.fail("user", "add", "alice", "--display-name", "x" * 256)


def test_bytes_that_are_no_text_are_refused(flask: CommandLine) -> None:
    assert "UTF-8" in flask.misuse("user", "add", "al\udcffice")


# update, delete


def test_update_gives_and_takes_administration(flask: CommandLine) -> None:
    flask.succeed("user", "add", "alice", "--display-name", "Alice")
    for options, expected in ((["--is_admin"], True), (["-a"], True), ([], False)):
        assert flask.succeed("user", "update", *options, "alice") == ""
        (user,) = flask.read("user", "list")
        assert (user["is_admin"], user["display_name"]) == (expected, "Alice")


def test_update_says_what_becomes_of_administration(flask: CommandLine) -> None:
    flask.succeed("user", "add", "--is_admin", "alice")
    taken = "without --is_admin, update takes that away\n"
    for options, expected, said in (
        ([], False, f"User 'alice' is no longer an administrator: {taken}"),
        ([], False, f"User 'alice' is no administrator, as before: {taken}"),
        (["--is_admin"], True, ""),
        (["--display-name", "Alice"], False, f"User 'alice' is no longer an administrator: {taken}"),
        (["-a"], True, ""),
        (["--no-is_admin"], False, ""),
    ):
        result = flask("user", "update", *options, "alice")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
        assert flask.read("user", "list")[0]["is_admin"] is expected


def test_update_sets_the_display_name(flask: CommandLine) -> None:
    flask.succeed("user", "add", "alice")
    for name, expected in (("Alice Liddell", "Alice Liddell"), ("Älice 🌱", "Älice 🌱"), ("", None)):
        assert flask.succeed("user", "update", "alice", "--display-name", name, "-a") == ""
        (user,) = flask.read("user", "list")
        assert (user["display_name"], user["is_admin"]) == (expected, True)
    assert "255" in flask.fail("user", "update", "alice", "--display-name", "x" * 256)


def test_an_unknown_user_cannot_be_updated(flask: CommandLine) -> None:
    assert flask.fail("user", "update", "-a", "bob") == "User 'bob' is not registered yet"


def test_deleting_leaves_no_user(flask: CommandLine) -> None:
    flask.succeed("user", "add", "-a", "alice")
    assert flask("user", "delete", "alice").output == ""
    result = flask("user", "delete", "alice")  # nobody there is as good
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "User 'alice' was not registered: nothing deleted\n"
    assert flask.read("user", "list") == []


# permissions


@pytest.fixture
def alice(flask: CommandLine) -> str:
    flask.succeed("user", "add", "alice")
    flask.succeed("base_uri", "add", RED)
    return "alice"


@pytest.mark.parametrize("kind", ["search", "register"])
class TestPermissions:
    def granted(self, flask: CommandLine, kind: str) -> Any:
        return flask.read("user", "list")[0][f"{kind}_permissions_on_base_uris"]

    def test_are_given_and_taken_back(self, flask: CommandLine, kind: str, alice: str) -> None:
        assert flask.succeed("user", f"{kind}_permission", alice, RED) == ""
        assert self.granted(flask, kind) == [RED]
        assert flask.read("base_uri", "list")[0][f"users_with_{kind}_permissions"] == [alice]
        assert flask.succeed("user", f"{kind}_permission", "--revoke", alice, RED) == ""
        assert self.granted(flask, kind) == []

    def test_of_one_kind_are_not_of_the_other(self, flask: CommandLine, kind: str, alice: str) -> None:
        flask.succeed("user", f"{kind}_permission", alice, RED)
        assert self.granted(flask, {"search": "register", "register": "search"}[kind]) == []

    def test_are_given_once(self, flask: CommandLine, kind: str, alice: str) -> None:
        flask.succeed("user", f"{kind}_permission", alice, RED)
        expected = f"User 'alice' already has {kind} permissions"
        assert flask.fail("user", f"{kind}_permission", alice, RED) == expected

    def test_that_nobody_has_can_be_taken_back(self, flask: CommandLine, kind: str, alice: str) -> None:
        result = flask("user", f"{kind}_permission", "--revoke", alice, RED)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"User 'alice' had no {kind} permission on '{RED}': nothing revoked\n"
        flask.succeed("user", f"{kind}_permission", alice, RED)
        assert flask("user", f"{kind}_permission", "--revoke", alice, RED).output == ""

    @pytest.mark.parametrize("options", [[], ["--revoke"]])
    def test_need_base_uri_and_user(
        self, flask: CommandLine, kind: str, alice: str, options: list[str]
    ) -> None:
        command = ["user", f"{kind}_permission", *options]
        assert flask.fail(*command, alice, "s3://none") == "Base URI 's3://none' not registered"
        assert flask.fail(*command, "bob", "s3://none") == "Base URI 's3://none' not registered"
        assert flask.fail(*command, "bob", RED) == "User 'bob' not registered"

    def test_take_a_path_as_base_uri(
        self, flask: CommandLine, kind: str, alice: str, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flask.succeed("base_uri", "add", str(base))
        monkeypatch.chdir(base.parent)
        flask.succeed("user", f"{kind}_permission", alice, "base/")
        assert self.granted(flask, kind)[0].endswith(str(base))


# token


def decoded(app: Flask, output: str) -> dict[str, Any]:
    return jwt.decode(output, app.config["JWT_PUBLIC_KEY"], algorithms=["RS256"])


def test_a_token_is_printed_alone_and_opens_the_api(
    flask: CommandLine, client: FlaskClient, alice: str
) -> None:
    output = flask.succeed("user", "token", alice)
    assert output.count("\n") == 1
    answer = client.get("/me", headers={"Authorization": f"Bearer {output.strip()}"})
    assert answer.get_json()["username"] == alice


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ([], 15 * 60),
        (["--expires-in", "90s"], 90),
        (["--expires-in", "15m"], 15 * 60),
        (["--expires-in", "12h"], 12 * 3600),
        (["--expires-in", "30d"], 30 * 86400),
        (["--expires-in", "2w"], 14 * 86400),
    ],
)
def test_a_token_works_for_as_long_as_asked(
    app: Flask, flask: CommandLine, alice: str, options: list[str], seconds: int
) -> None:
    claims = decoded(app, flask.succeed("user", "token", alice, *options).strip())
    assert claims["sub"] == alice
    assert claims["exp"] - time.time() == pytest.approx(seconds, abs=30)


def test_a_token_can_last_forever(app: Flask, flask: CommandLine, alice: str) -> None:
    assert "exp" not in decoded(app, flask.succeed("user", "token", "--last-forever", alice).strip())


@pytest.mark.parametrize(
    "span", ["30", "d", "3 months", "-1d", "0d", "1.5h", "30D", "٣d", "", "9" * 30 + "w", "9000y"]
)
def test_a_span_that_is_none_is_explained(flask: CommandLine, alice: str, span: str) -> None:
    assert "30d" in (said := flask.misuse("user", "token", alice, "--expires-in", span)) or "9999" in said


def test_a_token_cannot_both_expire_and_last_forever(flask: CommandLine, alice: str) -> None:
    assert "exclude" in flask.misuse("user", "token", alice, "--last-forever", "--expires-in", "1d")


def test_a_token_is_for_a_registered_user(flask: CommandLine) -> None:
    assert flask.fail("user", "token", STRANGER) == f"User '{STRANGER}' not registered"


@pytest.mark.parametrize(("public_key", "advice"), [("", "flask init"), ("kept", "JWT_PRIVATE_KEY_FILE")])
def test_a_token_needs_a_private_key(
    app: Flask, flask: CommandLine, alice: str, public_key: str, advice: str
) -> None:
    app.config.update(JWT_PRIVATE_KEY="", JWT_PUBLIC_KEY=public_key and app.config["JWT_PUBLIC_KEY"])
    assert advice in flask.fail("user", "token", alice)
