"""``flask ldap``"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from support.directories import (
    GROUPS,
    PASSWORDS,
    PEOPLE,
    READER_DN,
    READER_PASSWORD,
    WRONG,
    binding,
    searching,
)
from support.slapd import SUFFIX, Authority, Slapd
from support.waiting import free_port

from .conftest import CommandLine, Installation


@pytest.fixture
def check(app: Flask, directory: Slapd, authority: Authority) -> Any:
    """``check(make, *arguments, typed=..., **changes)`` gives exit code and lines of ``flask ldap check``."""
    command_line = CommandLine(app)

    def run(make: Any, *arguments: str, typed: str | None = None, **changes: Any) -> tuple[int, list[str]]:
        app.config.update(make(directory, authority, **{"url": [directory.url], **changes}))
        given = None if typed is None else f"{typed}\n"
        done = command_line.runner.invoke(command_line.commands, ["ldap", "check", *arguments], input=given)
        assert not done.exception or isinstance(done.exception, SystemExit), done.exception
        for secret in (READER_PASSWORD, WRONG, *PASSWORDS.values()):
            assert secret not in done.output
        return done.exit_code, done.output.splitlines()

    return run


def test_it_says_what_works(check: Any, directory: Slapd) -> None:
    urls = [directory.url, directory.encrypted_url]
    code, lines = check(searching, url=urls, group_base_dn=GROUPS)
    assert code == 0
    expected = []
    for url in urls:
        expected += [
            f"ok    connected to {url}, TLSv1.3",
            f"ok    {READER_DN} (DSERVER_LDAP_BIND_DN) is accepted",
            f"ok    {PEOPLE} (DSERVER_LDAP_BASE_DN) is there",
            f"ok    {GROUPS} (DSERVER_LDAP_GROUP_BASE_DN) is there",
        ]
    assert lines == expected


def test_it_says_what_the_directory_knows_of_somebody(check: Any) -> None:
    code, lines = check(searching, "ALICE", group_base_dn=GROUPS, admin_groups=["imaging"])
    assert code == 0
    assert lines[4] == f"ok    (uid=ALICE) finds uid=alice,{PEOPLE}"
    assert lines[5:7] == ["ok    name (uid): alice", "ok    display name: alice of the directory"]
    assert re.fullmatch(r"ok    key: [0-9a-f-]{36}", lines[7])
    assert lines[8:] == ["ok    groups: imaging", "ok    may sign in, as an administrator"]


def test_it_tries_a_password(check: Any) -> None:
    code, lines = check(searching, "alice", "--stdin", typed=PASSWORDS["alice"])
    assert code == 0
    assert f"ok    the password of uid=alice,{PEOPLE} is accepted" in lines
    assert lines[-1] == "ok    may sign in"
    code, lines = check(searching, "alice", "--stdin", typed=WRONG)
    assert code == 1
    assert f"FAIL  the password of uid=alice,{PEOPLE} is not accepted" in lines


def test_it_binds_as_somebody(check: Any) -> None:
    code, lines = check(binding, "o,ou=neil")
    assert code == 0
    assert lines[1] == f"ok    o,ou=neil is to be uid=o\\,ou\\=neil,{PEOPLE}"
    assert "--password" in lines[2]
    code, lines = check(binding, "o,ou=neil", "--stdin", typed=PASSWORDS["o,ou=neil"], group_base_dn=GROUPS)
    assert code == 0
    assert "ok    name (uid): o,ou=neil" in lines
    assert lines[-2:] == ["ok    groups: none", "ok    may sign in"]


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [
        ({"bind_password": WRONG}, [], "name and password of cn=dserver"),
        (
            {"base_dn": f"ou=nowhere,{SUFFIX}"},
            [],
            "ou=nowhere,dc=example,dc=org (DSERVER_LDAP_BASE_DN) is not there",
        ),
        ({"ca_file": ""}, [], "its certificate is not accepted: unable to get local issuer certificate ("),
        ({}, ["nobody"], "(uid=nobody) finds nothing"),
        ({}, ["twin"], "finds more than one entry"),
        ({}, ["*"], "(uid=\\2a) finds nothing"),
        ({}, ["alice "], "is no name"),
        ({}, ["ali\tce"], "is no name"),
        ({"username_attribute": "employeeNumber"}, ["alice"], "0 values of employeeNumber"),
        (
            {"group_base_dn": GROUPS, "admits": "group", "admitted_groups": ["x"]},
            ["alice"],
            "is in none of x",
        ),
    ],
)
def test_it_says_what_does_not_work(
    check: Any, changes: dict[str, Any], arguments: list[str], expected: str
) -> None:
    code, lines = check(searching, *arguments, **changes)
    assert code == 1
    (failed,) = [line for line in lines if line.startswith("FAIL")]
    assert expected in failed
    or_not_by = ", or not by this user" if arguments else ""
    assert lines[-1] == f"The directory cannot be used as it is configured{or_not_by}"


def test_every_server_is_tried(check: Any, directory: Slapd) -> None:
    away = f"ldaps://127.0.0.1:{free_port()}"
    code, lines = check(searching, "alice", url=[away, directory.url])
    assert code == 1
    assert lines[0].startswith(f"FAIL  {away}: ")
    assert f"ok    connected to {directory.url}, TLSv1.3" in lines
    assert "ok    name (uid): alice" in lines


def test_clear_text_is_pointed_out(check: Any) -> None:
    _, lines = check(searching, start_tls=False)
    assert lines[0].endswith("in clear text: everybody on the way can read passwords")


def test_without_a_directory(flask: CommandLine) -> None:
    assert "DSERVER_LDAP_URL" in flask.fail("ldap", "check")


@pytest.mark.parametrize("arguments", [["--stdin"], ["--password"], ["alice", "--password"]])
def test_a_password_of_nobody_or_from_nowhere(check: Any, arguments: list[str]) -> None:
    code, _ = check(searching, *arguments, typed="")
    assert code == 2


@pytest.mark.parametrize(("code", "command"), [(1, "ldap check"), (4, "serve --port 1")])
def test_a_wrong_setting_ends_in_one_line(
    installation: Installation, directory: Slapd, tmp_path: Path, code: int, command: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(READER_PASSWORD)
    settings = {
        "DSERVER_LDAP_URL": directory.url,
        "DSERVER_LDAP_BASE_DN": PEOPLE,
        "DSERVER_LDAP_BIND_DN": "somebody",
        "DSERVER_LDAP_BIND_PASSWORD_FILE": str(secret),
    }
    done = installation.flask(*command.split(), **settings)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert "DSERVER_LDAP_BIND_DN: 'somebody': expected a distinguished name" in done.stderr
    done = installation.flask(*command.split(), **settings, DSERVER_LDAP_BIND_PASSWORD="x" * 50)
    assert "x" * 50 not in done.stdout + done.stderr
    settings["DSERVER_LDAP_BIND_PASSWORD_FILE"] = f"{secret}.not"
    done = installation.flask(*command.split(), **settings)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert "DSERVER_LDAP_BIND_PASSWORD_FILE: cannot read" in done.stderr
