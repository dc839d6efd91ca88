"""``flask base_uri`` without indexing (see test_index)"""

from __future__ import annotations

import os
import pty
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.world import RED

from .conftest import CommandLine, Installation

HERE = socket.gethostname()


def registered(flask: CommandLine) -> list[str]:
    return [found["base_uri"] for found in flask.read("base_uri", "list")]


# add, list


def test_a_new_base_uri_is_open_to_nobody(flask: CommandLine) -> None:
    assert flask.succeed("base_uri", "add", RED) == ""
    assert flask.read("base_uri", "list") == [
        {"base_uri": RED, "users_with_search_permissions": [], "users_with_register_permissions": []}
    ]


def test_the_list_says_which_are_public(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED, "--public")
    assert flask.read("base_uri", "list") == [
        {
            "base_uri": RED,
            "users_with_search_permissions": [],
            "users_with_register_permissions": [],
            "public": True,
        }
    ]


def test_one_that_is_added_again_is_not_opened(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED)
    assert flask.fail("base_uri", "add", RED, "--public") == f"Base URI '{RED}' already registered"
    assert "public" not in flask.read("base_uri", "list")[0]


def test_one_is_opened_and_closed(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED)
    for option, said in (
        (
            "--public",
            f"Whoever can reach the server may find and read the 0 datasets in '{RED}', without a token\n",
        ),
        (
            "--public",
            f"Whoever can reach the server may find and read the 0 datasets in '{RED}', without a token, as before\n",
        ),
        ("--no-public", f"Only users with search permission may find the 0 datasets in '{RED}'\n"),
        ("--no-public", f"Only users with search permission may find the 0 datasets in '{RED}', as before\n"),
    ):
        result = flask("base_uri", "update", f"{RED}/", option)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
        assert flask.read("base_uri", "list")[0].get("public", False) is (option == "--public")


def test_a_price_is_set_and_forgotten(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED)
    for options, said in (
        (["--price-per-tb", "45.50", "--currency", "eur"], "costs 45.5 EUR per TB and year"),
        (["--price-per-tb", "45.5"], "costs 45.5 EUR per TB and year, as before"),
        (["--currency", "USD"], "costs 45.5 USD per TB and year"),
    ):
        result = flask("base_uri", "update", RED, *options)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"Storage in '{RED}' {said}\n"
    found = flask.read("base_uri", "list")[0]
    assert (found["price_per_tb"], found["currency"]) == ("45.5", "USD")
    for said in ("is not known", "is not known, as before"):
        result = flask("base_uri", "update", RED, "--no-price")
        assert result.stderr == f"What storage in '{RED}' costs {said}\n"
    assert "price_per_tb" not in flask.read("base_uri", "list")[0]


def test_what_is_no_price(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED)
    assert "such as 45" in flask.fail("base_uri", "update", RED, "--price-per-tb", "x", "--currency", "EUR")
    assert "such as EUR" in flask.fail("base_uri", "update", RED, "--price-per-tb", "1", "--currency", "XXX")
    assert "currency: is missing" in flask.fail("base_uri", "update", RED, "--price-per-tb", "1")
    assert "--no-price" in flask.misuse("base_uri", "update", RED, "--price-per-tb", "1", "--no-price")


def test_what_cannot_be_opened(flask: CommandLine) -> None:
    assert flask.fail("base_uri", "update", RED, "--public") == (
        f"Base URI '{RED}' not registered: add it first, with flask base_uri add"
    )
    flask.succeed("base_uri", "add", RED)
    assert "--public" in flask.misuse("base_uri", "update", RED)


def test_without_base_uris_the_list_is_empty(flask: CommandLine) -> None:
    assert flask.read("base_uri", "list") == []


@pytest.mark.parametrize("again", [RED, f"{RED}/", "S3://red"])
def test_a_base_uri_is_added_once(flask: CommandLine, again: str) -> None:
    flask.succeed("base_uri", "add", RED)
    assert flask.fail("base_uri", "add", again) == f"Base URI '{RED}' already registered"
    assert registered(flask) == [RED]


def test_a_path_becomes_the_uri_that_dtool_gives_it(
    flask: CommandLine, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent)
    flask.succeed("base_uri", "add", "base")
    assert registered(flask) == [f"file://{HERE}{base}"]
    for again in (str(base), f"{base}/", "./base", "base/../base"):
        assert "already registered" in flask.fail("base_uri", "add", again)


def test_a_file_uri_without_a_host_is_kept(flask: CommandLine, base: Path) -> None:
    flask.succeed("base_uri", "add", f"file://{base}")
    assert registered(flask) == [f"file://{base}"]


@pytest.mark.parametrize("name", ["with space", "Grüße 🌱", "semi;colon", "per%20cent", "a+b", "it's"])
def test_a_path_may_have_odd_characters(flask: CommandLine, base: Path, name: str) -> None:
    flask.succeed("base_uri", "add", str(base / name))
    assert registered(flask) == [f"file://{HERE}{base / name}"]


@pytest.mark.parametrize("text", ["s3://", "s3:/bucket", "mailto:me", f"s3://{'x' * 1024}"])
def test_what_is_no_base_uri_is_refused(flask: CommandLine, text: str) -> None:
    assert "base_uri" in flask.fail("base_uri", "add", text)
    assert registered(flask) == []


@pytest.mark.parametrize("text", ["", "  ", "s3://a\nb", "/data/a#b", "/data/a?b", "http://[x"])
def test_what_cannot_be_addressed_is_refused(flask: CommandLine, text: str) -> None:
    assert flask.misuse("base_uri", "add", text).startswith("Error: Invalid value")
    assert registered(flask) == []


def said_when_added(flask: CommandLine, location: str) -> str:
    result = flask("base_uri", "add", location)
    assert (result.exit_code, result.stdout) == (0, "")
    return result.stderr


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("nosuchdir", "No such file or directory: {}/nosuchdir."),
        ("file:///nosuchdir", "No such file or directory: /nosuchdir."),
        ("/etc/passwd", "Not a directory: /etc/passwd."),
        ("/dev/null", "Not a directory: /dev/null."),
        ("file://elsewhere/data", "it is on another host (elsewhere)."),
        ("gopher://x", "no dtool storage broker for gopher:// is installed."),
        ("azure://container", "no dtool storage broker for azure:// is installed: pip install dtool-azure."),
        ("ftp://x/y", "no dtool storage broker for ftp:// is installed."),
        (
            "https://example.org/data",
            "a web server does not list datasets; `flask dataset register` takes one",
        ),
    ],
)
def test_what_cannot_be_indexed_from_here_is_said(
    flask: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = said_when_added(flask, location)
    (added,) = registered(flask)
    assert said.startswith(f"Added, but '{added}' cannot be indexed from here: {reason.format(tmp_path)}")
    assert said.endswith("Its datasets can still be registered over HTTP\n")


def test_a_bucket_without_its_broker_names_the_package_of_the_readme(
    flask: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dservercore.catalog.storage.brokers._brokers", dict)
    said = said_when_added(flask, "s3://my-bucket")
    # Outside of the server's environment "dservercore[s3]" would fetch somebody else's package.
    assert "no dtool storage broker for s3:// is installed: pip install dtool-s3." in said


def test_a_directory_that_may_not_be_listed_is_said(flask: CommandLine, base: Path) -> None:
    for directory in (base, *base.parents[:-2]):
        if directory.stat().st_uid == os.getuid():
            directory.chmod(0o755)
    base.chmod(0o311)
    user = os.geteuid()
    if user == 0:  # who may enter anything
        os.seteuid(1234)
    try:
        said = said_when_added(flask, str(base))
    finally:
        os.seteuid(user)
    assert f"Permission denied: {base}." in said


def test_a_dataset_in_place_of_a_base_uri_is_said(
    flask: CommandLine, base: Path, package: Callable[..., Path]
) -> None:
    assert "a dataset itself" in said_when_added(flask, str(package("beans")))
    assert said_when_added(flask, str(base)) == ""


@pytest.mark.parametrize("location", ["s3://bucket", "."])
def test_about_what_can_be_indexed_nothing_is_said(flask: CommandLine, location: str) -> None:
    assert said_when_added(flask, location) == ""


# delete


def test_deleting_removes_the_permissions_too(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED)
    flask.succeed("user", "add", "alice")
    flask.succeed("user", "search_permission", "alice", RED)
    assert flask.succeed("base_uri", "delete", RED) == ""
    assert registered(flask) == []
    assert flask.read("user", "list")[0]["search_permissions_on_base_uris"] == []


def test_one_that_is_not_there_can_be_deleted(flask: CommandLine) -> None:
    result = flask("base_uri", "delete", "s3://none")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Base URI 's3://none' was not registered: nothing deleted\n"
    flask.succeed("base_uri", "add", RED)
    assert flask("base_uri", "delete", RED).stderr == ""


def test_one_that_holds_datasets_is_kept(flask: CommandLine, register: Callable[..., Any]) -> None:
    register()
    said = flask.fail("base_uri", "delete", RED)
    assert said.startswith(f"Base URI '{RED}' still holds 1 dataset:")
    assert "--with-datasets" in said
    register()
    assert "2 datasets" in flask.fail("base_uri", "delete", "--yes", RED)
    assert RED in registered(flask)


def test_with_datasets_nothing_of_them_is_left(flask: CommandLine, register: Callable[..., Any]) -> None:
    uri = register()["uri"]
    assert flask.succeed("base_uri", "delete", "--with-datasets", RED) == ""
    assert RED not in registered(flask)
    assert flask.fail("dataset", "show", uri) == f"Base URI '{RED}' not registered"


class TestOnATerminal:
    @pytest.fixture
    def holding(self, server: Installation, base: Path, package: Callable[..., Path]) -> Installation:
        """An installation with one registered dataset."""
        package("beans")
        server.succeed("base_uri", "add", str(base))
        server.succeed("base_uri", "index", str(base))
        return server

    def delete(self, installation: Installation, base: Path, *options: str, answer: str = "") -> int:
        keyboard, terminal = pty.openpty()
        os.write(keyboard, answer.encode())
        process = installation.start(
            "base_uri",
            "delete",
            str(base),
            "--with-datasets",
            *options,
            stdin=terminal,
            stderr=subprocess.STDOUT,
        )
        said, _ = process.communicate(timeout=60)
        os.close(keyboard)
        os.close(terminal)
        assert ("Delete the registrations of 1 dataset?" in said) is bool(answer)
        return process.returncode

    def test_deleting_datasets_is_asked_about(self, holding: Installation, base: Path) -> None:
        assert self.delete(holding, base, answer="n\n") == 1
        assert "beans" in holding.succeed("dataset", "list", "--uris")
        assert self.delete(holding, base, answer="y\n") == 0
        assert holding.succeed("dataset", "list", "--uris") == ""
        assert (base / "beans" / "README.yml").exists()

    def test_yes_is_an_answer(self, holding: Installation, base: Path) -> None:
        assert self.delete(holding, base, "--yes") == 0
