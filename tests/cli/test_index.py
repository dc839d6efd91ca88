"""``flask base_uri index``: real datasets, whole and broken, on disk"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from dservercore import db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import metadata

from .conftest import CommandLine, Installation

Package = Callable[..., Path]


@pytest.fixture
def base_uri(flask: CommandLine, base: Path) -> str:
    """The registered base URI of the directory ``base``."""
    flask.succeed("base_uri", "add", str(base))
    return f"file://{socket.gethostname()}{base}"


def index(flask: CommandLine, base: Path, *options: str) -> tuple[list[str], str]:
    """Return the lines on stdout and the summary of an index run in which nothing fails."""
    result = flask("base_uri", "index", str(base), *options)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines(), result.stderr.strip()


def uris(flask: CommandLine) -> list[str]:
    return flask.succeed("dataset", "list", "--uris").splitlines()


# What it does


def test_every_dataset_is_registered_and_reported(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    for name in ("peas", "beans", "lentils"):
        package(name)
    lines, summary = index(flask, base)
    expected = [f"{base_uri}/{name}" for name in ("beans", "lentils", "peas")]
    assert lines == [f"Registered: {uri}" for uri in expected]
    assert summary == "3 registered, 0 unchanged, 0 failed"
    assert uris(flask) == expected


def test_a_base_uri_without_a_host_keeps_its_spelling(
    flask: CommandLine, base: Path, package: Package
) -> None:
    package("beans")
    flask.succeed("base_uri", "add", f"file://{base}")
    assert flask.succeed("base_uri", "index", f"file://{base}") == f"Registered: file://{base}/beans\n"


def test_what_has_not_changed_is_skipped(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans")
    package("peas")
    index(flask, base)
    assert index(flask, base) == ([], "0 registered, 2 unchanged, 0 failed")


@pytest.mark.parametrize("change", ["readme", "tag", "annotation", "untag"])
def test_what_has_changed_is_registered_anew(
    flask: CommandLine, base: Path, base_uri: str, package: Package, change: str
) -> None:
    package("peas")
    dataset = dtoolcore.DataSet.from_uri(f"file://{package('beans', tags=('old',))}")
    index(flask, base)
    {
        "readme": lambda: dataset.put_readme("description: runner beans\n"),
        "tag": lambda: dataset.put_tag("new"),
        "annotation": lambda: dataset.put_annotation("soil", "clay"),
        "untag": lambda: dataset.delete_tag("old"),
    }[change]()
    assert index(flask, base) == ([f"Registered: {base_uri}/beans"], "1 registered, 1 unchanged, 0 failed")


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_changes_among_many_that_have_not_changed_are_found(
    flask: CommandLine, base: Path, base_uri: str, package: Package, jobs: str
) -> None:
    template = package("plot-000")
    for number in range(1, 250):
        shutil.copytree(template, base / f"plot-{number:03}")
    index(flask, base, "--jobs", jobs)
    changed = [f"plot-{number:03}" for number in (0, 49, 50, 120, 249)]
    for name in changed:
        (base / name / "README.yml").write_text("description: runner beans\n")
    shutil.copytree(template, base / "plot-250")
    lines, summary = index(flask, base, "--jobs", jobs)
    assert lines == [f"Registered: {base_uri}/{name}" for name in (*changed, "plot-250")]
    assert summary == "6 registered, 245 unchanged, 0 failed"


def test_full_reads_everything_again(flask: CommandLine, base: Path, base_uri: str, package: Package) -> None:
    package("beans")
    index(flask, base)
    assert index(flask, base, "--full") == (
        [f"Registered: {base_uri}/beans"],
        "1 registered, 0 unchanged, 0 failed",
    )


@pytest.mark.parametrize("jobs", ["1", "16"])
def test_the_number_of_jobs_does_not_change_the_outcome(
    flask: CommandLine, base: Path, base_uri: str, package: Package, jobs: str
) -> None:
    names = [f"plot-{number:02}" for number in range(30)]
    for name in names:
        package(name)
    lines, _ = index(flask, base, "--jobs", jobs)
    assert lines == [f"Registered: {base_uri}/{name}" for name in names]


@pytest.mark.parametrize("jobs", ["0", "65", "many"])
def test_the_number_of_jobs_has_limits(flask: CommandLine, base: Path, jobs: str) -> None:
    assert "--jobs" in flask.misuse("base_uri", "index", str(base), "--jobs", jobs)


def test_an_empty_directory_is_no_error(flask: CommandLine, base: Path, base_uri: str) -> None:
    (base / "notes.txt").write_text("no dataset")
    (base / "folder").mkdir()
    assert index(flask, base) == ([], "0 registered, 0 unchanged, 0 failed")


def test_names_with_odd_characters_are_registered(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans").rename(base / "Grüne Bohnen 🌱")
    lines, _ = index(flask, base)
    assert lines == [f"Registered: {base_uri}/Grüne Bohnen 🌱"]


def test_a_dataset_that_is_not_frozen_is_left_out_until_it_is(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans")
    draft = dtoolcore.create_proto_dataset("draft", f"file://{base}", "", creator_username="olga")
    assert index(flask, base)[1] == "1 registered, 0 unchanged, 0 failed, 1 not frozen yet"
    draft.freeze()
    assert index(flask, base) == ([f"Registered: {base_uri}/draft"], "1 registered, 1 unchanged, 0 failed")


# --prune


def test_registrations_stay_when_their_datasets_are_gone(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("peas")
    gone = package("lentils")
    index(flask, base)
    shutil.rmtree(gone)
    index(flask, base)
    assert f"{base_uri}/lentils" in uris(flask)


def test_prune_removes_what_is_gone_from_storage(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    gone = package("beans")
    package("peas")
    index(flask, base)
    shutil.rmtree(gone)
    expected = ([f"Removed: {base_uri}/beans"], "0 registered, 1 unchanged, 0 failed, 1 removed")
    assert index(flask, base, "--prune") == expected
    assert uris(flask) == [f"{base_uri}/peas"]
    assert index(flask, base, "--prune") == ([], "0 registered, 1 unchanged, 0 failed")


def test_prune_removes_nothing_when_the_storage_cannot_be_listed(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans")
    index(flask, base)
    base.rename(base.parent / "unmounted")
    said = flask.fail("base_uri", "index", str(base), "--prune")
    assert said == f"Cannot list the datasets in {base_uri}: No such file or directory: {base}"
    assert uris(flask) == [f"{base_uri}/beans"]


def test_prune_removes_nothing_that_is_broken_or_cannot_be_looked_at(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans")
    package("peas")
    index(flask, base)
    (base / "beans" / ".dtool" / "manifest.json").unlink()
    # A folder into which nobody can look, not even root: what leads there is a link to itself.
    shutil.rmtree(base / "peas" / ".dtool")
    (base / "peas" / ".dtool").symlink_to(base / "peas" / ".dtool")
    result = flask("base_uri", "index", str(base), "--prune")
    assert result.stderr.splitlines()[-1] == "0 registered, 0 unchanged, 2 failed"
    assert uris(flask) == [f"{base_uri}/beans", f"{base_uri}/peas"]


# --prune, and how much of it


def emptied(base: Path) -> None:
    """Make a base directory what it is while its share is not mounted."""
    base.rename(base.parent / "share")
    base.mkdir()


TOO_MANY = (
    "are not in its storage, more than 50 % (DSERVER_PRUNE_LIMIT)."
    " Is it mounted, and whole? --prune-all removes them"
)


def test_prune_leaves_an_emptied_directory_alone(
    app: Flask, flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    for name in ("beans", "lentils", "peas"):
        package(name)
    index(flask, base)
    with app.app_context():
        scopes = operator_scope("search"), operator_scope("register")
        metadata.add_tag(scopes, f"{base_uri}/beans", "mine")
        db.commit()
    emptied(base)
    result = flask("base_uri", "index", str(base), "--prune")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "0 registered, 0 unchanged, 0 failed",
        f"Nothing removed: 3 of the 3 datasets registered in {base_uri} {TOO_MANY}",
    ]
    assert len(uris(flask)) == 3
    assert flask.read("dataset", "show", "--json", f"{base_uri}/beans")["tags"] == ["mine"]


@pytest.mark.parametrize(
    ("registered", "gone", "limit", "is_too_much"),
    [
        (1, 1, None, True),
        (2, 1, None, False),
        (3, 2, None, True),
        (4, 2, None, False),
        (4, 2, 0.4, True),
        (4, 4, 1.0, False),
        (4, 1, 0.0, True),
    ],
)
def test_prune_removes_up_to_the_limit(
    app: Flask,
    flask: CommandLine,
    base: Path,
    base_uri: str,
    package: Package,
    registered: int,
    gone: int,
    limit: float | None,
    is_too_much: bool,
) -> None:
    if limit is not None:
        app.config["DSERVER_PRUNE_LIMIT"] = limit
    for number in range(registered):
        package(f"plot-{number}")
    index(flask, base)
    for number in range(gone):
        shutil.rmtree(base / f"plot-{number}")
    package("new")  # which is registered in any case, and does not make what is gone a smaller part
    result = flask("base_uri", "index", str(base), "--prune")
    assert result.exit_code == int(is_too_much), result.output
    assert f"Registered: {base_uri}/new" in result.stdout
    assert len(uris(flask)) == 1 + registered - (0 if is_too_much else gone)


def test_prune_all_removes_everything(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans")
    index(flask, base)
    emptied(base)
    assert index(flask, base, "--prune-all") == (
        [f"Removed: {base_uri}/beans"],
        "0 registered, 0 unchanged, 0 failed, 1 removed",
    )


@pytest.mark.parametrize("limit", ["-0.1", "1.1", "nan", "half", "50%"])
def test_a_limit_that_is_no_fraction_stops_the_server(server: Installation, limit: str) -> None:
    said = server.flask("base_uri", "list", DSERVER_PRUNE_LIMIT=limit).stderr
    assert f"DSERVER_PRUNE_LIMIT='{limit}': expected a number from 0 to 1" in said


def test_on_a_terminal_prune_asks(server: Installation, base: Path, package: Package) -> None:
    package("beans")
    server.succeed("base_uri", "add", str(base))
    server.succeed("base_uri", "index", str(base))
    emptied(base)
    for answer, exit_code, left in (("n\n", 1, 1), ("y\n", 0, 0)):
        keyboard, terminal = pty.openpty()
        os.write(keyboard, answer.encode())
        process = server.start("base_uri", "index", str(base), "--prune", stdin=terminal)
        said = process.communicate(timeout=60)[1]
        os.close(keyboard)
        os.close(terminal)
        assert process.returncode == exit_code, said
        assert "1 of the 1 datasets registered in" in said
        assert "Remove their registrations? [y/N]" in said
        assert len(server.succeed("dataset", "list", "--uris").splitlines()) == left


# When it was last indexed


def last_indexed(flask: CommandLine) -> dict[str, Any]:
    (listed,) = flask.read("base_uri", "list")
    result: dict[str, Any] = listed.get("last_indexed", {})
    return result


def test_the_result_of_the_last_run_is_listed(
    flask: CommandLine, client: FlaskClient, base: Path, base_uri: str, package: Package
) -> None:
    assert last_indexed(flask) == {}
    flask.succeed("user", "add", "--is_admin", "ada")
    headers = {"Authorization": f"Bearer {flask.succeed('user', 'token', 'ada').strip()}"}
    package("beans")
    (package("peas") / "README.yml").unlink()
    before = time.time()
    flask("base_uri", "index", str(base))
    result = last_indexed(flask)
    assert before <= result.pop("started_at") <= result.pop("finished_at") <= time.time()
    expected = {"registered": 1, "unchanged": 0, "failed": 1, "not_frozen": 0, "removed": 0}
    assert result == {"complete": True, "reason": None, **expected}
    (listed,) = client.get("/base-uris", headers=headers).get_json()
    assert listed["base_uri"] == base_uri
    assert listed["last_indexed"] == last_indexed(flask)
    emptied(base)
    flask("base_uri", "index", str(base), "--prune")
    assert not last_indexed(flask)["complete"]
    assert "Nothing removed: 1 of the 1 datasets" in last_indexed(flask)["reason"]
    base.rmdir()
    flask("base_uri", "index", str(base))
    assert last_indexed(flask)["reason"].endswith(f"No such file or directory: {base}")
    (base.parent / "share").rename(base)
    flask("base_uri", "index", str(base), "--full")
    assert last_indexed(flask)["complete"]


# Broken datasets


def without_manifest(dataset: Path) -> None:
    (dataset / ".dtool" / "manifest.json").unlink()


def with_cut_manifest(dataset: Path) -> None:
    manifest = dataset / ".dtool" / "manifest.json"
    manifest.write_text(manifest.read_text()[:40])


def with_manifest_of_another_shape(dataset: Path) -> None:
    (dataset / ".dtool" / "manifest.json").write_text("[]")


def with_admin_metadata_that_is_not_json(dataset: Path) -> None:
    (dataset / ".dtool" / "dtool").write_text("dtool")


def with_admin_metadata_of_another_shape(dataset: Path) -> None:
    (dataset / ".dtool" / "dtool").write_text('{"uuid": "1"}')


def with_name_that_is_too_long(dataset: Path) -> None:
    change_admin_metadata(dataset, name="x" * 81)


def with_uuid_that_is_none(dataset: Path) -> None:
    change_admin_metadata(dataset, uuid="not-a-uuid")


def with_time_that_is_none(dataset: Path) -> None:
    change_admin_metadata(dataset, frozen_at="last week")


def without_readme(dataset: Path) -> None:
    (dataset / "README.yml").unlink()


def with_readme_that_cannot_be_read(dataset: Path) -> None:
    # Not even by root, as whom tests may run: a directory in its place.
    (dataset / "README.yml").unlink()
    (dataset / "README.yml").mkdir()


def with_annotation_that_is_not_json(dataset: Path) -> None:
    (dataset / ".dtool" / "annotations" / "depth.json").write_text('{"cm":\n  deep}')


def with_annotation_of_a_large_number(dataset: Path) -> None:
    (dataset / ".dtool" / "annotations" / "depth.json").write_text('{"cm": 99999999999999999999}')


def change_admin_metadata(dataset: Path, **changes: str) -> None:
    file = dataset / ".dtool" / "dtool"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


#: What is said to be wrong: each names the file, and the line where there is one.
BROKEN = {
    without_manifest: "No such file or directory: .*/lentils/.dtool/manifest.json$",
    with_cut_manifest: "/lentils/.dtool/manifest.json is not JSON: .* line [23] column",
    with_manifest_of_another_shape: "/lentils/.dtool/manifest.json is not as dtool writes it: it has no object",
    with_admin_metadata_that_is_not_json: "/lentils/.dtool/dtool is not JSON: .* line 1 column 1",
    with_admin_metadata_of_another_shape: "/lentils/.dtool/dtool is not as dtool writes it: it has no type",
    with_name_that_is_too_long: "/lentils/.dtool/dtool: name: must have 1 to 80 characters",
    with_uuid_that_is_none: "/lentils/.dtool/dtool: uuid: not a UUID",
    with_time_that_is_none: "/lentils/.dtool/dtool: frozen_at",
    without_readme: "/lentils/README.yml",
    with_readme_that_cannot_be_read: "/lentils/README.yml",
    with_annotation_that_is_not_json: "/lentils/.dtool/annotations/depth.json is not JSON: .* line 2 column 3",
    with_annotation_of_a_large_number: "/lentils/.dtool/annotations/depth.json: annotations.depth: an integer",
}


def failures(result: Result) -> dict[str, str]:
    """Return ``{first line: reason}`` of each failure that is reported on stderr."""
    assert "Failed" not in result.stdout
    lines = result.stderr.splitlines()
    return {
        line: lines[number + 1].strip()
        for number, line in enumerate(lines)
        if line.startswith("Failed to register: ")
    }


@pytest.mark.parametrize("broken", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_dataset_is_reported_and_the_others_are_registered(
    flask: CommandLine, base: Path, base_uri: str, package: Package, broken: Callable[[Path], None]
) -> None:
    for name in ("beans", "lentils", "peas"):
        package(name)
    broken(base / "lentils")
    result = flask("base_uri", "index", str(base))
    assert result.exit_code == 1
    ((first, reason),) = failures(result).items()
    assert first.startswith("Failed to register: ")
    assert first.endswith(f" {base_uri}/lentils")
    assert re.search(BROKEN[broken], reason)
    assert result.stderr.splitlines()[-1] == "2 registered, 0 unchanged, 1 failed"
    assert uris(flask) == [f"{base_uri}/beans", f"{base_uri}/peas"]


def test_a_mended_dataset_is_registered_by_the_next_run(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    readme = package("beans") / "README.yml"
    readme.rename(base / "README.yml")
    assert flask("base_uri", "index", str(base)).exit_code == 1
    (base / "README.yml").rename(readme)
    assert index(flask, base)[0] == [f"Registered: {base_uri}/beans"]


def test_a_registered_dataset_that_breaks_keeps_its_registration(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    package("beans")
    index(flask, base)
    with_cut_manifest(base / "beans")
    assert flask("base_uri", "index", str(base)).exit_code == 1
    assert uris(flask) == [f"{base_uri}/beans"]


def test_a_name_cannot_forge_a_line_of_the_report(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    shutil.copytree(package("beans"), base / "x\x1b[2J\x85Registered: y")
    result = flask("base_uri", "index", str(base))
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert uris(flask) == [f"{base_uri}/beans"]
    assert result.stdout == f"Registered: {base_uri}/beans\n"
    assert result.stderr.splitlines()[:1] == [
        f"Failed to register: beans {base_uri}/x\\x1b[2J\\x85Registered: y",
    ]


# Hostile datasets; tests/catalog/storage/test_hostile_directories.py has many more


@pytest.mark.parametrize("full", [[], ["--full"]])
def test_links_and_pipes_are_reported_and_neither_registered_nor_pruned(
    flask: CommandLine, base: Path, base_uri: str, package: Package, full: list[str]
) -> None:
    for name in ("beans", "lentils", "peas"):
        package(name)
    index(flask, base)
    secret = base.parent / "secret"
    (base / "beans").rename(secret)
    (base / "beans").symlink_to(secret)
    (base / "lentils" / ".dtool" / "dtool").unlink()
    os.mkfifo(base / "lentils" / ".dtool" / "dtool")
    (base / "new").symlink_to(secret)
    result = flask("base_uri", "index", str(base), "--prune", *full)
    assert result.exit_code == 1
    assert failures(result) == {
        f"Failed to register: beans {base_uri}/beans": f"{base}/beans is a link, and links are not followed here",
        f"Failed to register: lentils {base_uri}/lentils": f"{base}/lentils/.dtool/dtool is no regular file",
        f"Failed to register: new {base_uri}/new": f"{base}/new is a link, and links are not followed here",
    }
    assert uris(flask) == [f"{base_uri}/{name}" for name in ("beans", "lentils", "peas")]


def test_the_key_of_the_server_is_not_read(server: Installation, base: Path, package: Package) -> None:
    server.succeed("init")
    server.succeed("base_uri", "add", str(base))
    key = server.data / "jwt_key"
    for kind, make in (("linked", os.symlink), ("hard", os.link)):
        readme = package(kind) / "README.yml"
        readme.unlink()
        make(key, readme)
    done = server.flask("base_uri", "index", str(base))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "0 registered, 0 unchanged, 2 failed"
    for command in (
        ["dataset", "register", str(base / "linked")],
        ["dataset", "register", str(base / "hard")],
    ):
        assert "link" in (said := server.flask(*command).stderr)
        assert "PRIVATE KEY" not in said
    assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in server.data.glob("app.db*"))


def test_what_registration_refuses_is_one_clean_line(
    app: Flask, flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    def manifest(dataset: Path, item: str) -> None:
        (dataset / ".dtool" / "manifest.json").write_text(f'{{"items": {{"a": {item}}}}}')

    manifest(package("digits"), '{"size_in_bytes": 1, "relpath": "x", "utc_timestamp": 1%s}' % ("0" * 4000))
    manifest(package("sizes"), '{"size_in_bytes": 1%s}' % ("0" * 4000))
    manifest(package("surrogates"), r'{"size_in_bytes": 1, "relpath": "\ud800"}')
    manifest(package("infinite"), '{"size_in_bytes": Infinity, "relpath": "x"}')
    change_admin_metadata(package("name"), name="x" * 1_000_000)
    (package("dots") / ".dtool" / "annotations" / "...json").write_text("1")
    (package("tags") / ".dtool" / "tags" / "...").write_text("")
    result = flask("base_uri", "index", str(base))
    assert result.exit_code == 1
    failed = [line.rsplit("/", 1)[1] for line in failures(result)]
    assert failed == ["infinite", "name", "sizes"]
    assert all(len(line) < 700 for line in result.stderr.splitlines())
    assert uris(flask) == [f"{base_uri}/{name}" for name in ("digits", "dots", "surrogates", "tags")]
    for name in ("digits", "surrogates"):  # odd, and handed out as they are
        with app.app_context():
            manifest_json = metadata.get_manifest(operator_scope("search"), f"{base_uri}/{name}")
        assert json.loads(manifest_json) == json.loads((base / name / ".dtool" / "manifest.json").read_text())


def test_values_that_are_nested_deeply_are_one_clean_line(
    flask: CommandLine, base: Path, base_uri: str, package: Package
) -> None:
    """Python parses some of them, and does not get down to the end of them again."""
    package("beans")
    annotation = package("deep-101") / ".dtool" / "annotations" / "soil.json"
    annotation.write_text("[" * 101 + "]" * 101)
    levels = range(880, 1000, 3)
    for number in levels:
        copy = shutil.copytree(annotation.parents[2], base / f"deep-{number}")
        (copy / ".dtool" / "annotations" / "soil.json").write_text("[" * number + "]" * number)
    result = flask("base_uri", "index", str(base))
    assert result.stderr.splitlines()[-1] == f"1 registered, 0 unchanged, {len(levels) + 1} failed"
    reasons = failures(result)
    assert len(reasons) == len(levels) + 1
    assert all(reason.endswith("soil.json is nested too deeply") for reason in reasons.values())
    assert uris(flask) == [f"{base_uri}/beans"]


# Base URIs that cannot be indexed


def test_the_base_uri_must_be_registered(flask: CommandLine, base: Path) -> None:
    assert flask.fail("base_uri", "index", "s3://none") == "Base URI 's3://none' not registered"
    expected = f"Base URI 'file://{socket.gethostname()}{base}' not registered"
    assert flask.fail("base_uri", "index", str(base)) == expected


def test_a_directory_on_another_host_is_not_looked_for_on_this_one(
    flask: CommandLine, base: Path, package: Package
) -> None:
    package("beans")
    flask.succeed("base_uri", "add", f"file://elsewhere.example{base}")
    assert "elsewhere.example" in flask.fail("base_uri", "index", f"file://elsewhere.example{base}")


def test_an_unknown_kind_of_storage_is_named(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", "tape://shelf")
    assert "tape://" in flask.fail("base_uri", "index", "tape://shelf")


def test_a_file_is_no_directory(flask: CommandLine, base: Path) -> None:
    (base / "file").write_text("")
    flask.succeed("base_uri", "add", str(base / "file"))
    assert "Not a directory" in flask.fail("base_uri", "index", str(base / "file"))


# As a process of its own


SLOW_BROKER = """
from dtoolcore.storagebroker import DiskStorageBroker

class SlowStorageBroker:
    key = "slow"

    def __init__(self, uri, config_path=None):
        self._broker = DiskStorageBroker(uri.replace("slow:", "file:"))

    def __getattr__(self, name):
        return getattr(self._broker, name)

    @classmethod
    def list_dataset_uris(cls, base_uri, config_path):
        return DiskStorageBroker.list_dataset_uris(base_uri.replace("slow:", "file:"), config_path)
"""


class SlowBase:
    """A base URI with datasets of which the last one is read as slowly as the test wants: its README is a pipe.

    The server does not read pipes on disk. A storage broker that somebody has installed may wait for whatever it
    likes.
    """

    def __init__(self, server: Installation, base: Path, package: Package):
        for name in ("beans", "lentils", "peas", "zucchini"):
            package(name)
        self.server = server
        self.path = f"slow://shelf{base}"
        self.readme = base / "zucchini" / "README.yml"
        self.readme.unlink()
        os.mkfifo(self.readme)
        packages = server.home / "packages"
        (packages / "slow-1.dist-info").mkdir(parents=True)
        (packages / "slow.py").write_text(SLOW_BROKER)
        (packages / "slow-1.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: slow\nVersion: 1\n"
        )
        (packages / "slow-1.dist-info" / "entry_points.txt").write_text(
            "[dtool.storage_brokers]\nSlow = slow:SlowStorageBroker\n"
        )
        server.environment["PYTHONPATH"] = str(packages)
        server.succeed("base_uri", "add", self.path)

    def start(self) -> subprocess.Popen[str]:
        """Start to index, and wait for the three datasets that can be read."""
        process = self.server.start("base_uri", "index", self.path)
        assert process.stdout is not None
        for name in ("beans", "lentils", "peas"):
            assert process.stdout.readline().strip().endswith(f"/{name}")
        return process

    def mend(self) -> None:
        """Let whoever reads the README go on, and make it one that can be read."""
        if self.readme.is_fifo():
            os.close(os.open(self.readme, os.O_RDWR | os.O_NONBLOCK))
            self.readme.unlink()
        self.readme.write_text("description: zucchini\n")

    def index_again(self) -> str:
        done = self.server.flask("base_uri", "index", self.path)
        assert done.returncode == 0, done.stderr
        assert done.stderr.strip() == "1 registered, 3 unchanged, 0 failed"
        return done.stdout

    def registered(self) -> list[str]:
        """Return the names of what is registered."""
        listed = self.server.succeed("dataset", "list", "--uris").splitlines()
        return [uri.rsplit("/", 1)[1] for uri in listed]


@pytest.fixture
def slow(server: Installation, base: Path, package: Package) -> SlowBase:
    return SlowBase(server, base, package)


def test_storage_that_does_not_answer_is_given_up(slow: SlowBase) -> None:
    done = slow.server.flask("base_uri", "index", slow.path, DSERVER_STORAGE_TIMEOUT="1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-3:] == [
        f"Failed to register: zucchini {slow.path}/zucchini",
        "  its storage took longer than 1 seconds (DSERVER_STORAGE_TIMEOUT)",
        "3 registered, 0 unchanged, 1 failed",
    ]
    slow.mend()


def test_ctrl_c_ends_in_one_line_and_loses_nothing(slow: SlowBase) -> None:
    process = slow.start()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said == "Interrupted: 3 registered, 0 unchanged, 0 failed; run it again for the rest\n"
    slow.mend()
    assert process.wait(timeout=30) == 130
    assert process.stderr.read() == ""
    assert slow.registered() == ["beans", "lentils", "peas"]
    assert "/zucchini" in slow.index_again()


def test_a_killed_run_loses_nothing_that_it_reported(slow: SlowBase) -> None:
    process = slow.start()
    process.kill()
    process.wait(timeout=30)
    slow.mend()
    assert slow.registered() == ["beans", "lentils", "peas"]
    assert "/zucchini" in slow.index_again()


def test_two_runs_at_once_do_not_disturb_each_other(
    server: Installation, base: Path, package: Package
) -> None:
    names = [f"plot-{number:02}" for number in range(40)]
    for name in names:
        package(name)
    server.succeed("base_uri", "add", str(base))
    processes = [server.start("base_uri", "index", str(base)) for _ in range(3)]
    for process in processes:
        said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    listed = server.succeed("dataset", "list", "--uris").splitlines()
    assert [uri.rsplit("/", 1)[1] for uri in listed] == names


def test_a_terminal_shows_a_progress_bar_that_leaves_the_lines_whole(
    server: Installation, base: Path, package: Package
) -> None:
    names = [f"plot-{number:02}" for number in range(12)]
    for name in names:
        package(name)
    server.succeed("base_uri", "add", str(base))
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    process = server.start("base_uri", "index", str(base), stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = read_all(screen)
    assert process.wait(timeout=30) == 0
    # What a terminal shows of a line is what comes after the last return to its start.
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1].strip() for line in shown.split("\n")]
    assert "/12 " in shown
    assert [line.rsplit("/", 1)[1] for line in lines if line.startswith("Registered: ")] == names
    assert lines[-2:] == ["12 registered, 0 unchanged, 0 failed", ""]


def read_all(screen: int) -> str:
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            part = os.read(screen, 65536)
        except OSError:  # nobody writes to it any more
            break
        shown += part
    os.close(screen)
    return shown.decode()
