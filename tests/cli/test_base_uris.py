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

from world import RED

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


# delete


def test_deleting_removes_the_permissions_too(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", RED)
    flask.succeed("user", "add", "alice")
    flask.succeed("user", "search_permission", "alice", RED)
    assert flask.succeed("base_uri", "delete", RED) == ""
    assert registered(flask) == []
    assert flask.read("user", "list")[0]["search_permissions_on_base_uris"] == []


def test_one_that_is_not_there_can_be_deleted(flask: CommandLine) -> None:
    assert flask.succeed("base_uri", "delete", "s3://none") == ""


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
