"""``flask search``"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from dservercore.cli import table
from dservercore.cli.search import _table
from dservercore.dataset.fields import DATASET_KEYS
from support.world import BLUE, NOBODY, READER

from .conftest import CommandLine


@pytest.fixture
def library(people: None, register: Any) -> dict[str, str]:
    """URIs by name."""
    stored = [
        register(
            name="rice", readme="leaves", creator_username="anna", size_in_bytes=1_500_000, number_of_items=12
        ),
        register(BLUE, name="wheat-rice", readme="ears of wheat", frozen_at=1_704_067_200),
        register(name="evil\x1b[31m\u202e", readme="zebrafish", creator_username="=1+1"),
    ]
    return {info["name"]: info["uri"] for info in stored}


def test_a_table(flask: CommandLine, library: dict[str, str]) -> None:
    found = flask("search", "rice")
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "NAME        CREATOR  FROZEN        SIZE  FILES  URI",
        f"rice        anna     2018-09-06  1.5 MB     12  {library['rice']}",
        f"wheat-rice  olga     2024-01-01  5.7 MB      1  {library['wheat-rice']}",
    ]
    assert found.stderr == "2 datasets found\n"


def test_what_was_done_is_said_on_stderr(flask: CommandLine, library: dict[str, str]) -> None:
    found = flask("search", "zebarfish")
    assert "evil\\x1b[31m\\u202e" in found.stdout
    assert found.stderr.splitlines() == [
        "No dataset has zebarfish: showing results for zebrafish",
        "1 dataset found, of which none have all of the words as they are typed (--strict: no others)",
    ]
    found = flask("search", "leaves", "wheat")
    assert len(found.stdout.splitlines()) == 3
    assert found.stderr.startswith("2 datasets found, of which none have all of the words")


def test_nothing_found_is_no_failure(flask: CommandLine, library: dict[str, str]) -> None:
    for arguments in (["search", "zebarfish", "--strict"], ["search", "nothinglikeit"], ["search", "..."]):
        found = flask(*arguments)
        assert (found.exit_code, found.stdout, found.stderr) == (0, "", "No dataset found\n")
    found = flask("search", "nothinglikeit", "--json")
    assert (json.loads(found.stdout), found.stderr) == ([], "No dataset found\n")


def test_what_a_user_may_search(flask: CommandLine, library: dict[str, str]) -> None:
    assert len(flask.read("search", "rice", "--json")) == 2
    assert len(flask.read("search", "rice", "--json", "--as", READER)) == 2
    assert [d["name"] for d in flask.read("search", "rice", "--json", "--as", "carl")] == ["rice"]
    assert flask.read("search", "rice", "--json", "--as", NOBODY) == []
    assert flask.fail("search", "rice", "--as", "ghost") == "User 'ghost' is not registered"
    assert flask("search", "wheta", "--as", "carl").stderr == "No dataset found\n"


def test_operators_and_order(flask: CommandLine, library: dict[str, str]) -> None:
    def names(*arguments: str) -> list[str]:
        return [dataset["name"] for dataset in flask.read("search", "--json", *arguments)]

    assert names("rice -wheat") == ["rice"]
    assert names("rice size:<2MB") == ["rice"]
    assert names("--", "rice", "-wheat") == ["rice"]
    assert names("rice", "--sort", "-frozen_at") == ["wheat-rice", "rice"]
    assert names("rice", "--sort", "-name") == ["wheat-rice", "rice"]
    assert names("rice", "--limit", "1") == ["rice"]
    assert names("rice", "--limit", "1", "--page", "2") == ["wheat-rice"]
    assert "Unknown field 'colour'" in flask.fail("search", "rice", "--sort", "colour")


def test_pages_of_a_table(flask: CommandLine, library: dict[str, str]) -> None:
    found = flask("search", "rice", "--limit", "1")
    assert len(found.stdout.splitlines()) == 2
    assert found.stderr.endswith("These are 1 to 1; --page 2 shows the next ones\n")
    assert flask("search", "rice", "--limit", "1", "--page", "2").stderr == "2 datasets found\n"
    beyond = flask("search", "rice", "--limit", "1", "--page", "3")
    assert (beyond.stdout, beyond.stderr.splitlines()[-1]) == ("", "There is no page 3: the last one is 2")


def test_json_and_csv_have_everything(flask: CommandLine, people: None, register: Any) -> None:
    for number in range(25):
        register(name=f"rice-{number}", tags=["x", "y"], creator_username="=1")
    found = flask.read("search", "rice", "--json")
    assert len(found) == 25
    assert list(found[0]) == list(DATASET_KEYS)
    rows = list(csv.DictReader(io.StringIO(flask.succeed("search", "rice", "--csv"), newline="")))
    assert [row["uri"] for row in rows] == [dataset["uri"] for dataset in found]
    assert {(row["tags"], row["creator_username"]) for row in rows} == {("x, y", "'=1")}
    assert len(flask.succeed("search", "rice").splitlines()) == 21


def test_usage(flask: CommandLine, people: None) -> None:
    assert "Missing argument" in flask.misuse("search")
    assert "blank" in flask.misuse("search", " ")
    assert "either --json or --csv" in flask.misuse("search", "a", "--json", "--csv")
    assert "--limit" in flask.misuse("search", "a", "--limit", "0")


DATASET = {
    "name": "n" * 60,
    "creator_username": "漢字",
    "frozen_at": 0.0,
    "size_in_bytes": None,
    "number_of_items": None,
    "uri": "s3://bucket/8ecd8e05-558a-48e2-b563-0c9ea273e71e",
}


def test_a_terminal_that_is_too_narrow_has_the_uri_below() -> None:
    wide = _table([DATASET], None)
    assert [table.width(line) for line in wide] == [99, 144]
    assert _table([DATASET], 144) == wide
    shorter = _table([DATASET], 120)
    assert len(shorter) == 2
    assert table.width(shorter[1]) == 120
    assert shorter[1].startswith("nnn")
    assert "..." in shorter[1]
    narrow = _table([DATASET], 80)
    assert len(narrow) == 4
    assert narrow[1::2] == ["  URI", f"  {DATASET['uri']}"]
    assert max(map(table.width, narrow)) <= 80


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("", 0), ("ｆｕｌｌ", 8), ("\u200d", 0)]
)
def test_the_width_of_a_text(text: str, columns: int) -> None:
    assert table.width(text) == columns
    assert table.aligned([[text, "|"], ["12345678", "|"]])[0] == f"{text}{' ' * (8 - columns)}  |"


def test_a_text_is_shortened_by_columns() -> None:
    assert table.shortened("漢字漢字漢字", 8) == "漢字..."
    assert table.shortened("漢字漢字", 8) == "漢字漢字"
