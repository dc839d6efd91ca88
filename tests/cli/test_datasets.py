"""``flask dataset``"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from flask import Flask

from dservercore.auth.permissions import operator_scope
from dservercore.catalog import metadata
from dservercore.dataset.fields import DATASET_KEYS
from support.world import BLUE, RED

from .conftest import CommandLine


@pytest.fixture
def beans(flask: CommandLine, base: Path, package: Callable[..., Path]) -> str:
    """The URI of a stored dataset in a registered base URI."""
    flask.succeed("base_uri", "add", str(base))
    return f"file://{socket.gethostname()}{package('beans', tags=('legume', 'dry'))}"


# register


def test_a_stored_dataset_is_registered(flask: CommandLine, app: Flask, beans: str) -> None:
    assert flask.succeed("dataset", "register", beans) == f"Registered: {beans}\n"
    found = flask.read("dataset", "show", "--json", beans)
    assert set(found) == {*DATASET_KEYS, "tags", "annotations", "readme"}
    assert (found["name"], found["creator_username"], found["uploaded_by"]) == ("beans", "olga", None)
    assert (found["number_of_items"], found["tags"]) == (1, ["dry", "legume"])
    assert isinstance(found["frozen_at"], float)
    with app.app_context():
        scope = operator_scope("search")
        assert metadata.get_readme(scope, beans) == "description: beans\n"
        assert metadata.get_annotations(scope, beans) == {"soil": "loam"}


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (10, "10 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB (1,000 bytes)"),
        (2_500_000, "2.5 MB (2,500,000 bytes)"),
    ],
)
def test_a_size_is_shown_once(flask: CommandLine, people: None, register: Any, size: int, shown: str) -> None:
    uri = register(size_in_bytes=size)["uri"]
    assert f"  Size           {shown}" in flask.succeed("dataset", "show", "--text", uri).splitlines()


def test_a_dataset_is_shown_as_people_read_it(flask: CommandLine, people: None, register: Any) -> None:
    info = register(
        name="beans\x1b[2J",
        readme="description: two\nlines \x1b[31m\u202e\n\n",
        tags=["b", "a"],
        annotations={"soil": "loam", "depth": [1, {"x": None}], "evil": "\x9b\r"},
        frozen_at=1536238185.881941,
        number_of_items=3,
        size_in_bytes=None,
    )
    shown = flask.succeed("dataset", "show", "--text", info["uri"])
    lines = shown.splitlines()
    assert lines[0] == "beans\\x1b[2J"
    assert f"  URI            {info['uri']}" in lines
    assert "  Frozen         2018-09-06 12:49:45 UTC" in lines
    assert "  Registered by  the command line" in lines
    assert "  Files          3" in lines
    assert "  Size           -" in lines
    assert "  Tags           b, a" in lines
    assert lines[-8:] == [
        "Annotations",
        "  soil: loam",
        '  depth: [1, {"x": null}]',
        "  evil: \\x9b\\x0d",
        "",
        "README",
        "  description: two",
        "  lines \\x1b[31m\\u202e",
    ]
    as_json = flask.read("dataset", "show", info["uri"])
    assert (as_json["readme"], as_json["annotations"]) == (info["readme"], info["annotations"])


def test_what_a_dataset_lacks_is_shown_as_lacking(flask: CommandLine, people: None, register: Any) -> None:
    info = register(readme="", tags=[], annotations={})
    lines = flask.succeed("dataset", "show", "--text", info["uri"]).splitlines()
    assert "  Tags           -" in lines
    assert lines[-5:] == ["Annotations", "  -", "", "README", "  -"]


def test_a_path_names_a_dataset_too(
    flask: CommandLine, base: Path, beans: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base)
    assert flask.succeed("dataset", "register", "beans/") == f"Registered: {beans}\n"


def test_registering_again_brings_the_registration_up_to_date(flask: CommandLine, beans: str) -> None:
    flask.succeed("dataset", "register", beans)
    dtoolcore.DataSet.from_uri(beans).put_tag("new")
    flask.succeed("dataset", "register", beans)
    assert flask.read("dataset", "show", "--json", beans)["tags"] == ["dry", "legume", "new"]


def test_its_base_uri_must_be_registered(
    flask: CommandLine, base: Path, package: Callable[..., Path]
) -> None:
    uri = f"file://{package('beans')}"
    assert flask.fail("dataset", "register", uri) == f"Base URI 'file://{base}' not registered"


def refused(flask: CommandLine, uri: str) -> str:
    """Return the reason that is given after the first line."""
    result = flask("dataset", "register", uri)
    assert (result.exit_code, result.stdout) == (1, "")
    first, reason = result.stderr.splitlines()
    assert first == f"Failed to register: {uri.rsplit('/', 1)[1]} {uri}"
    return reason.strip()


def test_what_is_not_there_cannot_be_registered(flask: CommandLine, beans: str) -> None:
    assert refused(flask, beans + "-2") == f"no dataset is stored as {beans}-2"


def test_a_dataset_must_be_frozen(flask: CommandLine, base: Path, beans: str) -> None:
    dtoolcore.create_proto_dataset("draft", f"file://{base}", creator_username="olga")
    assert refused(flask, beans.replace("beans", "draft")) == "not frozen yet"


def test_a_dataset_on_another_host_is_not_looked_for_on_this_one(
    flask: CommandLine, base: Path, beans: str
) -> None:
    flask.succeed("base_uri", "add", f"file://elsewhere.example{base}")
    assert "elsewhere.example" in refused(flask, f"file://elsewhere.example{base}/beans")


def test_an_unknown_kind_of_storage_is_named(flask: CommandLine) -> None:
    flask.succeed("base_uri", "add", "tape://shelf")
    assert "tape://" in refused(flask, "tape://shelf/beans")


# list, show


def test_datasets_are_listed_by_uri(flask: CommandLine, register: Callable[..., Any]) -> None:
    uris = sorted([register(RED)["uri"], register(BLUE)["uri"], register(RED)["uri"]])
    found = flask.read("dataset", "list")
    assert [dataset["uri"] for dataset in found] == uris
    assert all(set(dataset) == set(DATASET_KEYS) for dataset in found)
    assert flask.succeed("dataset", "list", "--uris").splitlines() == uris


def test_the_list_is_the_same_text_as_if_made_at_once(
    flask: CommandLine, register: Callable[..., Any]
) -> None:
    for _ in range(3):
        register(name="Grüße 🌱")
    text = flask.succeed("dataset", "list")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_the_list_can_be_limited_to_a_base_uri(flask: CommandLine, register: Callable[..., Any]) -> None:
    register(RED)
    blue = register(BLUE)["uri"]
    assert flask.succeed("dataset", "list", "--base-uri", BLUE, "--uris") == f"{blue}\n"
    said = flask.fail("dataset", "list", "--base-uri", "s3://none")
    assert said == "Base URI 's3://none' not registered"


def test_without_datasets_the_list_is_empty(flask: CommandLine) -> None:
    assert flask.read("dataset", "list") == []
    assert flask.succeed("dataset", "list", "--uris") == ""


def test_a_dataset_that_is_not_registered_cannot_be_shown(flask: CommandLine, people: None) -> None:
    assert flask.fail("dataset", "show", f"{RED}/x") == f"No dataset is registered as {RED}/x"
    assert flask.fail("dataset", "show", "s3://none/x") == "Base URI 's3://none' not registered"


# delete


def test_a_deleted_dataset_is_found_nowhere_and_still_stored(
    flask: CommandLine, app: Flask, base: Path, beans: str
) -> None:
    flask.succeed("dataset", "register", beans)
    assert flask("dataset", "delete", beans).output == ""
    assert flask.read("dataset", "list") == []
    with app.app_context():
        query = {"free_text": "beans", "base_uris": [beans.rsplit("/", 1)[0]]}
        assert app.search.search(query) == []  # type: ignore[attr-defined]
    assert (base / "beans" / "README.yml").read_text() == "description: beans\n"


@pytest.mark.parametrize("uri", [f"{RED}/x", "s3://none/x", "s3://none"])
def test_a_dataset_that_is_not_there_can_be_deleted(flask: CommandLine, people: None, uri: str) -> None:
    result = flask("dataset", "delete", uri)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"Dataset '{uri}' was not registered: nothing deleted\n"


def test_deleting_one_leaves_its_copies(flask: CommandLine, register: Callable[..., Any]) -> None:
    info = register(RED)
    copy = register(BLUE, uuid=info["uuid"])["uri"]
    flask.succeed("dataset", "delete", info["uri"])
    assert flask.succeed("dataset", "list", "--uris") == f"{copy}\n"
