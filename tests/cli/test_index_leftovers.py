"""What other programs leave among a dataset's tags and annotations, and what they save a README as"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from dservercore.auth.permissions import operator_scope
from dservercore.catalog import metadata

from .conftest import CommandLine

Package = Callable[..., Path]


@pytest.fixture
def beans(flask: CommandLine, base: Path, package: Package) -> str:
    """The URI of a dataset that is stored in a registered base URI."""
    flask.succeed("base_uri", "add", str(base))
    package("beans", tags=("legume",))
    return f"file://{socket.gethostname()}{base}/beans"


def described(app: Flask, uri: str) -> tuple[str, object, list[str]]:
    """Return README, annotations and tags as they are registered."""
    with app.app_context():
        scope = operator_scope("search")
        return (
            metadata.get_readme(scope, uri),
            metadata.get_annotations(scope, uri),
            metadata.get_tags(scope, uri),
        )


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


def lock(path: Path) -> None:
    path.symlink_to("olga@laptop.4711")


LEFT_BEHIND: dict[str, Callable[[Path], object]] = {
    "annotations/.DS_Store": write(b"\0\0\0\1Bud1"),
    "annotations/._soil.json": write(b"\0\5\x16\7"),
    "annotations/soil.json.bak": write(b'"clay"'),
    "annotations/soil (1).json": write(b'"clay"'),
    "annotations/soil.json.part": write(b""),
    "annotations/#soil.json#": write(b'"cl'),
    "annotations/.#soil.json": lock,
    "annotations/.soil.json.swp": write(b"b0VIM"),
    "annotations/soil.sync-conflict-20260101-120000-ABCDEFG.json": write(b'"clay"'),
    "annotations/depth.json": folder,
    "annotations/.json": write(b"1"),
    "annotations/Icon\r": write(b""),
    "tags/beans~": write(b""),
    "tags/@eaDir": folder,
    "tags/.nfs0001": write(b""),
    "tags/Thumbs.db": write(b"\xd0\xcf\x11\xe0"),
    "tags/desktop.ini": write(b"[.ShellClassInfo]"),
    "tags/Desktop.ini": write(b""),
    "tags/.~lock.beans#": write(b",olga,laptop"),
    "tags/.goutputstream-4XZ1A2": write(b""),
    "tags/.syncthing.beans.tmp": write(b""),
    "tags/beans.old": write(b""),
    "tags/beans.dpkg-old": write(b""),
    "tags/beans.download": write(b""),
    "tags/.gitkeep": write(b""),
    "tags/legume.bak": write(b""),
    "tags/notes.txt": write(b"what the tags mean"),
    "tags/kept": folder,
}


@pytest.mark.parametrize("file", LEFT_BEHIND)
def test_what_dtool_has_not_written_is_left_out_with_a_warning(
    app: Flask, flask: CommandLine, base: Path, beans: str, file: str
) -> None:
    LEFT_BEHIND[file](base / "beans" / ".dtool" / file)
    result = flask("base_uri", "index", str(base))
    assert (result.exit_code, result.stdout) == (0, f"Registered: {beans}\n"), result.output
    shown = f"{base}/beans/.dtool/{file}".replace("\r", "\\x0d")
    assert result.stderr.splitlines() == [
        f"Warning: {beans}: {shown} is left out: dtool has not written it",
        "1 registered, 0 unchanged, 0 failed",
    ]
    assert described(app, beans) == ("description: beans\n", {"soil": "loam"}, ["legume"])
    # It is nothing that has to be read again.
    assert flask("base_uri", "index", str(base)).stderr == "0 registered, 1 unchanged, 0 failed\n"


def test_names_that_dtool_writes_are_read(app: Flask, flask: CommandLine, base: Path, beans: str) -> None:
    for tag in ("v1.2", "a-b_c", "0"):
        (base / "beans" / ".dtool" / "tags" / tag).touch()
    (base / "beans" / ".dtool" / "annotations" / "depth.in.cm.json").write_text("7")
    result = flask("base_uri", "index", str(base))
    assert result.stderr == "1 registered, 0 unchanged, 0 failed\n"
    assert described(app, beans)[1:] == (
        {"soil": "loam", "depth.in.cm": 7},
        ["0", "a-b_c", "legume", "v1.2"],
    )


def test_many_leftovers_are_counted(flask: CommandLine, base: Path, beans: str) -> None:
    for number in range(200):
        (base / "beans" / ".dtool" / "tags" / f".nfs{number:04}").touch()
    result = flask("dataset", "register", str(base / "beans"))
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 11
    assert lines[-1].endswith(
        f"190 more in {base}/beans/.dtool/tags are left out: dtool has not written them"
    )


README = "description: Böhnchen – “dicke” €\nplants: 3\n"
ENCODED = {
    "Latin-1": (
        "description: Böhnchen\n".encode("latin-1"),
        "description: Böhnchen\n",
        "line 1, is not UTF-8",
    ),
    "Windows": (README.encode("cp1252"), README, "line 1, is not UTF-8"),
    "second line": ("a: 1\nb: Böhnchen\n".encode("latin-1"), "a: 1\nb: Böhnchen\n", "line 2, is not UTF-8"),
    "byte without a character": (b"a: \x81\xf6\n", "a: \x81ö\n", "read as Latin-1"),
    "UTF-16": (README.encode("utf-16"), README, "read as UTF-16"),
    "UTF-16, big end first": (b"\xfe\xff" + README.encode("utf-16-be"), README, "read as UTF-16"),
    "UTF-16 without a mark": (README.encode("utf-16-le"), README, "read as UTF-16"),
    "UTF-16 without a mark, big end first": (README.encode("utf-16-be"), README, "read as UTF-16"),
    "UTF-16 cut short": (README.encode("utf-16")[:-1], README[:-1] + "\ufffd", "read as UTF-16"),
    "UTF-32": (README.encode("utf-32"), README, "read as UTF-32"),
    "UTF-8 with a mark": (README.encode("utf-8-sig"), README, "read as UTF-8, without the mark"),
    "NUL": (b"a: 1\0\nb: 2\n", "a: 1\nb: 2\n", "has NUL characters, which are left out"),
    "a mark alone": (b"\xff\xfe", "", "read as UTF-16"),
    "zeros alone": (bytes(4096), "", "NUL characters"),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_a_readme_in_another_encoding_is_decoded(
    app: Flask, flask: CommandLine, base: Path, beans: str, kind: str
) -> None:
    content, expected, warning = ENCODED[kind]
    (base / "beans" / "README.yml").write_bytes(content)
    result = flask("base_uri", "index", str(base))
    assert (result.exit_code, result.stdout) == (0, f"Registered: {beans}\n"), result.output
    warned, summary = result.stderr.splitlines()
    assert warned.startswith(f"Warning: {beans}: {base}/beans/README.yml")
    assert warning in warned
    assert summary == "1 registered, 0 unchanged, 0 failed"
    assert described(app, beans)[0] == expected
    assert (base / "beans" / "README.yml").read_bytes() == content


def test_an_annotation_in_another_encoding_is_decoded(
    app: Flask, flask: CommandLine, base: Path, beans: str
) -> None:
    file = base / "beans" / ".dtool" / "annotations" / "soil.json"
    for encoding in ("latin-1", "utf-16", "utf-8-sig"):
        file.write_bytes('"Lehm, Ton und Löß"'.encode(encoding))
        result = flask("dataset", "register", str(base / "beans"))
        assert result.exit_code == 0, result.output
        assert f"Warning: {beans}: {file}" in result.stderr
        assert described(app, beans)[1] == {"soil": "Lehm, Ton und Löß"}


@pytest.mark.skipif(os.getuid() != 0, reason="becomes somebody else")
@pytest.mark.parametrize("closed", ["", ".dtool", ".dtool/tags", ".dtool/annotations/soil.json"])
def test_what_may_not_be_entered_is_a_failure(
    flask: CommandLine, base: Path, beans: str, package: Package, closed: str
) -> None:
    package("peas")
    for directory in (base, *base.parents):
        if directory.stat().st_uid == os.getuid() and directory != Path("/") and directory != Path("/tmp"):
            directory.chmod(0o755)
    (base / "beans" / closed).chmod(0)
    os.seteuid(1234)
    try:
        result = flask("base_uri", "index", str(base))
    finally:
        os.seteuid(0)
    assert result.exit_code == 1
    assert result.stdout == f"Registered: {beans.removesuffix('beans')}peas\n"
    first, reason, summary = result.stderr.splitlines()
    assert first == f"Failed to register: beans {beans}"
    assert reason.startswith(f"  Permission denied: {base}/beans")
    assert summary == "1 registered, 0 unchanged, 1 failed"


# For programs


def test_json_tells_each_dataset_and_the_sums(
    flask: CommandLine, base: Path, beans: str, package: Package
) -> None:
    (package("peas") / "README.yml").unlink()
    (base / "beans" / ".dtool" / "tags" / ".DS_Store").touch()
    result = flask("base_uri", "index", str(base), "--json")
    assert result.exit_code == 1
    registered, failed, sums = map(json.loads, result.stdout.splitlines())
    left_out = f"{base}/beans/.dtool/tags/.DS_Store is left out: dtool has not written it"
    assert registered == {"uri": beans, "outcome": "registered", "warnings": [left_out]}
    assert failed == {
        "uri": beans.replace("beans", "peas"),
        "outcome": "failed",
        "name": "peas",
        "reason": f"No such file or directory: {base}/peas/README.yml",
        "warnings": [],
    }
    assert sums == {
        "base_uri": beans.removesuffix("/beans"),
        "complete": True,
        "reason": None,
        "registered": 1,
        "unchanged": 0,
        "failed": 1,
        "not_frozen": 0,
        "removed": 0,
    }
    assert "Failed to register: peas" in result.stderr
    base.rename(base.parent / "away")
    away = flask("base_uri", "index", str(base), "--json")
    assert away.exit_code == 1
    assert json.loads(away.stdout) | {"reason": ""} == sums | {
        "complete": False,
        "reason": "",
        "registered": 0,
        "failed": 0,
    }
    assert "No such file or directory" in json.loads(away.stdout)["reason"]


def test_json_of_one_dataset(flask: CommandLine, base: Path, beans: str) -> None:
    told = json.loads(flask.succeed("dataset", "register", "--json", str(base / "beans")))
    assert told == {"uri": beans, "outcome": "registered", "warnings": []}
    (base / "beans" / "README.yml").unlink()
    result = flask("dataset", "register", "--json", str(base / "beans"))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["outcome"] == "failed"
    assert result.stderr.startswith("Failed to register: beans")
