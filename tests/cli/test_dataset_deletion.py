"""``flask dataset delete`` where an extension knows what depends on a dataset: at a terminal, and in a script."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import dtoolcore
import pytest

from cli.conftest import Installation


@pytest.fixture
def beans(server: Installation, base: Path, package: Callable[..., Path]) -> str:
    """The URI of a dataset from which another one, in its neighbourhood, was made."""
    server.environment["DSERVER_EXTENSIONS"] = "graph"
    server.succeed("db", "upgrade")
    uri = f"file://{os.uname().nodename}{package('beans')}"
    uuid = dtoolcore.DataSet.from_uri(uri).uuid
    package("soup", readme=f"derived_from:\n  - uuid: {uuid}\n")
    server.succeed("base_uri", "add", str(base))
    server.succeed("base_uri", "index", str(base))
    return uri


def delete(server: Installation, uri: str, *options: str, answer: str = "") -> tuple[int, str]:
    """Delete a dataset at a terminal; return the exit code, and what was said."""
    keyboard, terminal = pty.openpty()
    os.write(keyboard, answer.encode())
    process = server.start("dataset", "delete", uri, *options, stdin=terminal, stderr=subprocess.STDOUT)
    said, _ = process.communicate(timeout=60)
    os.close(keyboard)
    os.close(terminal)
    return process.returncode, said


@pytest.mark.long
def test_at_a_terminal_it_is_asked_about(server: Installation, beans: str) -> None:
    code, said = delete(server, beans, answer="n\n")
    assert code == 1
    assert "Datasets that were made from it:" in said
    assert "soup" in said
    assert beans in server.succeed("dataset", "list", "--uris")
    code, said = delete(server, beans, answer="y\n")
    assert (code, "Delete its registration?" in said) == (0, True)
    assert beans not in server.succeed("dataset", "list", "--uris")


@pytest.mark.long
def test_yes_is_an_answer_and_nothing_is_asked_where_nothing_depends_on_it(
    server: Installation, beans: str
) -> None:
    code, said = delete(server, beans.replace("beans", "soup"))
    assert (code, said) == (0, "")
    code, said = delete(server, beans, "--yes")
    assert (code, said) == (0, "")


@pytest.mark.long
def test_a_script_is_told_and_goes_on(server: Installation, beans: str) -> None:
    done = server.flask("dataset", "delete", beans)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "Datasets that were made from it:",
        f"  {beans.replace('beans', 'soup')} (soup)",
    ]
