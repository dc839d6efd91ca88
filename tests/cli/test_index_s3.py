"""``flask base_uri index`` of a bucket: real datasets that dtool-s3 has put there, over the real protocol."""

from __future__ import annotations

import functools
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader
from flask import Flask

from dservercore.auth.permissions import operator_scope
from dservercore.catalog import metadata
from dservercore.catalog.storage.access import open_base
from support.s3_server import Storage, client

from .conftest import CommandLine

Package = Callable[..., str]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def _descriptions_of_the_protocol() -> Iterator[None]:
    """Let botocore read what describes S3 once: it does for each client, of which dtool makes some for each dataset."""
    with pytest.MonkeyPatch.context() as patched:
        load = functools.cache(functools.partial(JSONFileLoader._load_file, JSONFileLoader()))
        patched.setattr(JSONFileLoader, "_load_file", lambda _loader, *file: load(*file))
        yield


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    storage = Storage(tmp_path_factory.mktemp("moto") / "log")
    yield storage
    storage.process.terminate()
    storage.process.wait(timeout=30)


@pytest.fixture
def bucket(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and a configuration of dtool with which it is found."""
    name = f"harvest{uuid.uuid4().hex}"
    monkeypatch.setenv(f"DTOOL_S3_ENDPOINT_{name}", storage.address)
    for key in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"DTOOL_S3_{key}_{name}", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client(storage).create_bucket(Bucket=name)
    return name


@pytest.fixture
def package(bucket: str, tmp_path: Path) -> Package:
    """``package(name)`` makes a dtool dataset with some files in the bucket, and returns its UUID."""

    def make(name: str, items: int = 1) -> str:
        with dtoolcore.DataSetCreator(name, f"s3://{bucket}", f"description: {name}\n", "olga") as creator:
            for number in range(items):
                item = tmp_path / f"pods-{number}.csv"
                item.write_text(f"pods,weight\n{number},12.5\n")
                creator.put_item(str(item), item.name)
            creator.proto_dataset.put_tag("legume")
            creator.proto_dataset.put_annotation("soil", "loam")
            return str(creator.proto_dataset.uuid)

    return make


@pytest.fixture
def base_uri(flask: CommandLine, bucket: str) -> str:
    flask.succeed("base_uri", "add", f"s3://{bucket}")
    return f"s3://{bucket}"


def index(flask: CommandLine, base_uri: str, *options: str) -> tuple[list[str], str]:
    """Return the lines on stdout and the summary of an index run in which nothing fails."""
    result = flask("base_uri", "index", base_uri, *options)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines(), result.stderr.strip()


@pytest.mark.parametrize("jobs", ["1", "8"])
def test_every_dataset_is_registered_as_it_is_stored(
    flask: CommandLine, base_uri: str, package: Package, jobs: str
) -> None:
    packaged = {package(name): name for name in ("peas", "beans", "lentils")}
    lines, summary = index(flask, base_uri, "--jobs", jobs)
    assert lines == [f"Registered: {base_uri}/{identifier}" for identifier in sorted(packaged)]
    assert summary == "3 registered, 0 unchanged, 0 failed"
    registered = flask.read("dataset", "list")
    assert {dataset["uuid"]: dataset["name"] for dataset in registered} == packaged
    assert all(dataset["number_of_items"] == 1 for dataset in registered)


def test_what_has_not_changed_is_not_read(
    flask: CommandLine, base_uri: str, bucket: str, package: Package, storage: Storage
) -> None:
    for name in ("peas", "beans"):
        package(name)
    index(flask, base_uri)
    since = len(storage.log.read_text())
    lines, summary = index(flask, base_uri)
    assert (lines, summary) == ([], "0 registered, 2 unchanged, 0 failed")
    asked = storage.requests_for(bucket, since)
    assert not [request for request in asked if "manifest" in request or "README" in request]
    assert len(asked) == 1 + 2 * 2  # the bucket; of each dataset where it is, and what is there


CHANGES: list[Callable[[Any], None]] = [
    lambda dataset: dataset.put_readme("description: changed\n"),
    lambda dataset: dataset.put_tag("another"),
    lambda dataset: dataset.delete_tag("legume"),
    lambda dataset: dataset.put_annotation("soil", "clay"),
    lambda dataset: dataset.put_annotation("water", 3),
]


@pytest.mark.parametrize("keys_at_once", [1000, 3])
def test_what_has_changed_is_registered_anew(
    flask: CommandLine,
    base_uri: str,
    package: Package,
    keys_at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where a dataset has more objects than S3 lists at once."""
    monkeypatch.setattr("dservercore.catalog.storage.s3.KEYS_AT_ONCE", keys_at_once)
    package("peas")
    uri = f"{base_uri}/{package('beans', items=5)}"
    index(flask, base_uri)
    for number, change in enumerate(CHANGES):
        assert index(flask, base_uri) == ([], "0 registered, 2 unchanged, 0 failed"), number
        change(dtoolcore.DataSet.from_uri(uri))
        changed = index(flask, base_uri)
        assert changed == ([f"Registered: {uri}"], "1 registered, 1 unchanged, 0 failed"), number


def test_a_dataset_without_metadata_is_left_out(
    flask: CommandLine, base_uri: str, bucket: str, package: Package, storage: Storage
) -> None:
    """Its registration in the bucket is the first thing that is written of a dataset."""
    client(storage).put_object(Bucket=bucket, Key=f"dtool-{uuid.uuid4()}", Body=b"")
    whole = package("beans")
    lines, summary = index(flask, base_uri)
    assert lines == [f"Registered: {base_uri}/{whole}"]
    assert summary == "1 registered, 0 unchanged, 0 failed, 1 not frozen yet"


def test_a_dataset_below_a_prefix_is_found(
    flask: CommandLine,
    base_uri: str,
    bucket: str,
    package: Package,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"DTOOL_S3_DATASET_PREFIX_{bucket}", "u/olga/")
    below = package("beans")
    monkeypatch.delenv(f"DTOOL_S3_DATASET_PREFIX_{bucket}")
    assert index(flask, base_uri)[0] == [f"Registered: {base_uri}/{below}"]
    assert index(flask, base_uri) == ([], "0 registered, 1 unchanged, 0 failed")


def test_a_bucket_that_is_not_there_is_named(
    flask: CommandLine, base_uri: str, bucket: str, storage: Storage
) -> None:
    client(storage).delete_bucket(Bucket=bucket)
    assert bucket in flask.fail("base_uri", "index", base_uri)


# Hostile buckets


BOMBS: dict[str, tuple[str, bytes, str]] = {
    "a long README": ("{}/README.yml", b"a" * (4 * 1000 + 1), "larger than the 4,000 bytes"),
    "a large manifest": ("{}/manifest.json", b" " * 3001, "DSERVER_MAX_MANIFEST_BYTES"),
    "a deep manifest": ("{}/manifest.json", b"[" * 2900, "nested too deeply"),
    "items that are a list": ("{}/manifest.json", b'{"items": []}', "not as dtool writes it"),
    "a large annotation": ("{}/annotations/soil.json", b"1" * 8001, "DSERVER_MAX_ANNOTATIONS_LENGTH"),
    "administrative metadata of another shape": ("{}/dtool", b"", "dtool is not as dtool writes it: it has no type"),
    "an annotation that is not JSON": ("{}/annotations/soil.json", b"{\n1}", "/annotations/soil.json is not JSON: "),
    "a registration that is no key": ("dtool-{}", b"x" * 1025, "larger than the 1,024 bytes"),
}  # fmt: skip


def test_an_object_that_is_too_much_is_one_clean_line(
    app: Flask,
    flask: CommandLine,
    base_uri: str,
    bucket: str,
    package: Package,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dataset with each of them, and one that is whole."""
    limits = {
        "DSERVER_MAX_README_LENGTH": 1000,
        "DSERVER_MAX_MANIFEST_BYTES": 3000,
        "DSERVER_MAX_ANNOTATIONS_LENGTH": 1000,
    }
    for name, value in limits.items():
        monkeypatch.setitem(app.config, name, value)
    whole = package("beans")
    broken = {package("peas"): bomb for bomb in BOMBS}
    for identifier, bomb in broken.items():
        key, content, _ = BOMBS[bomb]
        client(storage).put_object(Bucket=bucket, Key=key.format(identifier), Body=content)
    result = flask("base_uri", "index", base_uri)
    assert result.exit_code == 1
    assert result.stdout == f"Registered: {base_uri}/{whole}\n"
    *lines, summary = result.stderr.splitlines()
    assert summary == f"1 registered, 0 unchanged, {len(BOMBS)} failed"
    assert len(lines) == 2 * len(BOMBS), lines
    for first, reason in zip(lines[::2], lines[1::2], strict=True):
        assert first.startswith("Failed to register: ")
        bomb = broken.pop(first.rpartition("/")[2])
        assert BOMBS[bomb][2] in reason, bomb


LEFT_BEHIND = [
    ("annotations/.DS_Store", b"x"),
    ("annotations/._soil.json", b"x"),
    ("annotations/soil.json.bak", b"x"),
    ("annotations/soil (1).json", b"x"),
    ("annotations/old/soil.json", b"x"),
    ("annotations/...json", b"1"),
    ("tags/beans~", b""),
    ("tags/@eaDir/legume", b""),
    ("tags/Thumbs.db", b"x"),
    ("tags/..", b""),
    ("tags/notes.txt", b"x"),
]


def test_what_dtool_has_not_written_is_left_out_with_a_warning(
    flask: CommandLine,
    base_uri: str,
    bucket: str,
    package: Package,
    storage: Storage,
) -> None:
    """A dataset with one such object each, as all in one could hide that one alone changes what is read."""
    beans = {package("beans"): left for left in LEFT_BEHIND}
    for identifier, (key, content) in beans.items():
        client(storage).put_object(Bucket=bucket, Key=f"{identifier}/{key}", Body=content)
        client(storage).put_object(
            Bucket=bucket, Key=f"{identifier}/tags/", Body=b""
        )  # a folder, as consoles make them
    result = flask("base_uri", "index", base_uri)
    registered = [f"Registered: {base_uri}/{identifier}" for identifier in sorted(beans)]
    assert (result.exit_code, result.stdout.splitlines()) == (0, registered), result.output
    *warnings, summary = result.stderr.splitlines()
    assert sorted(warnings) == [
        f"Warning: {base_uri}/{identifier}: {identifier}/{key} is left out: dtool has not written it"
        for identifier, (key, _) in sorted(beans.items())
    ]
    assert summary == f"{len(beans)} registered, 0 unchanged, 0 failed"
    for identifier, left in beans.items():
        assert flask.read("dataset", "show", "--json", f"{base_uri}/{identifier}")["tags"] == ["legume"], left
    again = flask("base_uri", "index", base_uri)
    assert again.stderr == f"0 registered, {len(beans)} unchanged, 0 failed\n"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_a_readme_in_another_encoding_is_decoded(
    app: Flask,
    flask: CommandLine,
    base_uri: str,
    bucket: str,
    package: Package,
    storage: Storage,
    encoding: str,
) -> None:
    uri = f"{base_uri}/{package('beans')}"
    key = f"{uri.rsplit('/', 1)[1]}/README.yml"
    client(storage).put_object(Bucket=bucket, Key=key, Body="description: Böhnchen\n".encode(encoding))
    result = flask("base_uri", "index", base_uri)
    assert (result.exit_code, result.stdout) == (0, f"Registered: {uri}\n"), result.output
    assert result.stderr.startswith(f"Warning: {uri}: {key}")
    with app.app_context():
        assert metadata.get_readme(operator_scope("search"), uri) == "description: Böhnchen\n"


def test_annotations_are_limited_together(
    app: Flask,
    flask: CommandLine,
    base_uri: str,
    bucket: str,
    package: Package,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beans = package("beans")
    monkeypatch.setitem(app.config, "DSERVER_MAX_ANNOTATIONS_LENGTH", 100)
    for number in range(3):
        key = f"{beans}/annotations/a{number}.json"
        client(storage).put_object(Bucket=bucket, Key=key, Body=b" " * 300 + b"1")
    result = flask("base_uri", "index", base_uri)
    assert "DSERVER_MAX_ANNOTATIONS_LENGTH" in result.stderr
    with app.app_context():
        dataset = open_base(base_uri).open_editable(f"{base_uri}/{beans}")
        with pytest.raises(ValueError, match="DSERVER_MAX_ANNOTATIONS_LENGTH"):
            dataset.get_annotations()


def test_names_with_dots_are_listed_and_not_written(
    app: Flask, flask: CommandLine, base_uri: str, bucket: str, package: Package, storage: Storage
) -> None:
    """dtool-s3 itself can no longer list the annotations then."""
    beans = package("beans")
    client(storage).put_object(Bucket=bucket, Key=f"{beans}/annotations/a.b.json", Body=b"7")
    assert index(flask, base_uri)[1] == "1 registered, 0 unchanged, 0 failed"
    with app.app_context():
        base = open_base(base_uri)
        dataset = base.open_editable(f"{base_uri}/{beans}")
        assert dataset.get_annotations() == {"a.b": 7, "soil": "loam"}
        with pytest.raises(ValueError, match="cannot list"):
            dataset.put_annotation("c.d", 1)
        dataset.put_annotation("depth", 2)
        assert dataset.get_annotations() == {"a.b": 7, "soil": "loam", "depth": 2}


def test_storage_that_does_not_answer_is_given_up(
    app: Flask, flask: CommandLine, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections, and says nothing: first of all when it is asked what there is."""
    monkeypatch.setattr("dservercore.catalog.storage.s3.READ_SECONDS", 0.2)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"silent{uuid.uuid4().hex}"
        monkeypatch.setenv(f"DTOOL_S3_ENDPOINT_{name}", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for key in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            monkeypatch.setenv(f"DTOOL_S3_{key}_{name}", "test")
        flask.succeed("base_uri", "add", f"s3://{name}")
        started = time.monotonic()
        assert "Cannot list the datasets" in flask.fail("base_uri", "index", f"s3://{name}")
        with app.app_context():
            base = open_base(f"s3://{name}", seconds=0.5)
            with pytest.raises((OSError, BotoCoreError)):
                base.open_editable(f"s3://{name}/{uuid.uuid4()}")
        assert time.monotonic() - started < 20
