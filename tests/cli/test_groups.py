"""``flask group``, and ``flask user permissions``"""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import CommandLine

BASE_URI, OTHER = "s3://green", "s3://grey"


@pytest.fixture
def lab(flask: CommandLine) -> CommandLine:
    """The command line of a server with the group ``lab``, of which ``alice`` is a member, and two base URIs."""
    for name in ("alice", "bob"):
        flask.succeed("user", "add", name)
    for base_uri in (BASE_URI, OTHER):
        flask.succeed("base_uri", "add", base_uri)
    flask.succeed("group", "add", "lab")
    flask.succeed("group", "member", "lab", "alice")
    return flask


def group(flask: CommandLine) -> dict[str, object]:
    [found] = flask.read("group", "list")
    return found


def test_a_new_group_is_empty(flask: CommandLine) -> None:
    assert flask.read("group", "list") == []
    assert flask.succeed("group", "add", "lab") == ""
    assert group(flask) == {
        "group": "lab",
        "members": [],
        "search_permissions_on_base_uris": [],
        "register_permissions_on_base_uris": [],
    }


def test_groups_are_listed_by_name(flask: CommandLine) -> None:
    for name in ("zoo", "art", "lab"):
        flask.succeed("group", "add", name)
    assert [each["group"] for each in flask.read("group", "list")] == ["art", "lab", "zoo"]


def test_a_name_can_be_taken_once(lab: CommandLine) -> None:
    assert lab.fail("group", "add", "lab") == "There is a group 'lab' already"
    assert "in upper and lower case alone" in lab.fail("group", "add", "Lab")
    assert "must not begin or end with a space" in lab.fail("group", "add", "lab ")
    assert group(lab)["members"] == ["alice"]


@pytest.mark.parametrize("kind", ["search", "register"])
def test_a_permission_is_granted_and_taken_back(lab: CommandLine, kind: str) -> None:
    command = ("group", f"{kind}_permission", "lab", BASE_URI)
    field = f"{kind}_permissions_on_base_uris"
    assert lab.succeed(*command) == ""
    assert group(lab)[field] == [BASE_URI]
    assert lab.fail(*command) == f"Group 'lab' already has {kind} permissions"
    assert lab.succeed(*command, "--revoke") == ""
    assert group(lab)[field] == []
    nothing = lab(*command, "--revoke")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr == f"Group 'lab' had no {kind} permission on '{BASE_URI}': nothing revoked\n"


def test_members_come_and_go(lab: CommandLine) -> None:
    lab.succeed("group", "member", "lab", "bob")
    again = lab("group", "member", "lab", "bob")
    assert (again.exit_code, again.stderr) == (
        0,
        "User 'bob' is a member already of group 'lab': nothing changed\n",
    )
    assert group(lab)["members"] == ["alice", "bob"]
    lab.succeed("group", "member", "lab", "alice", "--remove")
    gone = lab("group", "member", "lab", "alice", "--remove")
    assert (gone.exit_code, gone.stderr) == (
        0,
        "User 'alice' was no member of group 'lab': nothing changed\n",
    )
    assert group(lab)["members"] == ["bob"]


def test_a_group_is_deleted_with_what_it_granted(lab: CommandLine) -> None:
    lab.succeed("group", "search_permission", "lab", BASE_URI)
    assert lab.read("user", "permissions", "alice")["search"] != []
    assert lab.succeed("group", "delete", "lab") == ""
    assert lab.read("user", "permissions", "alice")["search"] == []
    assert lab.read("group", "list") == []
    again = lab("group", "delete", "lab")
    assert (again.exit_code, again.stderr) == (0, "There was no group 'lab': nothing deleted\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["member", "none", "alice"], "There is no group 'none'"),
        (["member", "lab", "nobody"], "User 'nobody' not registered"),
        (["member", "lab", "nobody", "--remove"], "User 'nobody' not registered"),
        (["search_permission", "none", BASE_URI], "There is no group 'none'"),
        (["register_permission", "lab", "s3://none"], "Base URI 's3://none' not registered"),
    ],
)
def test_what_is_not_there(lab: CommandLine, arguments: list[str], reason: str) -> None:
    assert lab.fail("group", *arguments) == reason


def test_what_a_user_may_and_why(lab: CommandLine) -> None:
    lab.succeed("group", "search_permission", "lab", BASE_URI)
    lab.succeed("user", "search_permission", "alice", BASE_URI)
    lab.succeed("user", "register_permission", "alice", OTHER)
    assert lab.read("user", "permissions", "alice") == {
        "username": "alice",
        "is_admin": False,
        "is_service": False,
        "groups": ["lab"],
        "search": [{"base_uri": BASE_URI, "directly": True, "groups": ["lab"], "public": False}],
        "register": [{"base_uri": OTHER, "directly": True, "groups": [], "public": False}],
        "would_change": None,
    }
    assert lab.fail("user", "permissions", "nobody") == "User 'nobody' not registered"


def test_what_would_change(lab: CommandLine) -> None:
    lab.succeed("group", "search_permission", "lab", BASE_URI)
    lab.succeed("user", "search_permission", "bob", OTHER)
    before = lab.read("user", "permissions", "bob")
    options = ("--member-of", "lab", "--revoke", f"search:{OTHER}", "--grant", f"register:{OTHER}")
    assert lab.read("user", "permissions", "bob", *options)["would_change"] == {
        "search": {"gained": [BASE_URI], "lost": [OTHER]},
        "register": {"gained": [OTHER], "lost": []},
    }
    assert lab.read("user", "permissions", "bob") == before
    assert "must begin with search: or register:" in lab.fail("user", "permissions", "bob", "--grant", OTHER)


@pytest.mark.parametrize("option", ["--grant", "--revoke"])
def test_a_directory_is_named_by_its_path(
    lab: CommandLine, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pods").mkdir()
    lab.succeed("base_uri", "add", "pods")
    if option == "--revoke":
        lab.succeed("user", "search_permission", "bob", "pods")
    change = lab.read("user", "permissions", "bob", option, "search:pods")["would_change"]["search"]
    [base_uri] = change["gained"] + change["lost"]
    assert base_uri.startswith("file://")
    assert base_uri.endswith("/pods")


def test_what_is_done_to_groups_is_on_record(lab: CommandLine) -> None:
    lab.succeed("group", "delete", "lab")
    records = lab.read("audit", "--action", "group.", "--json")
    assert {(each["action"], each["subject"]) for each in records} == {
        ("group.create", "lab"),
        ("group.add_member", "lab"),
        ("group.delete", "lab"),
    }
