"""Which datasets a document names, and which keys there are."""

from __future__ import annotations

import json
import time

import pytest

from dservercore.plugins.graph.derivation import MOST_EDGES, named_in, uuid_of
from dservercore.plugins.graph.keys import numbers_of, parse_keys
from dservercore.plugins.graph.settings import DEFAULT_KEYS

ONE, TWO = "1a1f9fad-8589-413e-9602-5bbd66bfe675", "2a74dfd2-0699-47b9-b8b6-c1356f968aee"
OWN = "51490ee3-e130-4514-bfa8-4dc2e9cd0e04"


def named(readme: str = "", annotations: object = None, others: bool = False) -> list[tuple[str, str]]:
    document = {"uuid": OWN, "readme": readme, "annotations": annotations or {}}
    return named_in(document, DEFAULT_KEYS, with_others=others)


def uuids(readme: str = "", annotations: object = None) -> list[str]:
    return [found for _, found in named(readme, annotations)]


@pytest.mark.parametrize(
    "readme",
    [
        f"derived_from:\n  uuid: {ONE}\n",
        f"derived_from:\n  - uuid: {ONE}\n",
        f"derived_from: [{{uuid: '{ONE}'}}]\n",
        f"derived_from:\n  - - uuid: [[{ONE}]]\n",
        f"---\nderived_from:\n  - uuid: {ONE}\n    name: beans\n",
        f"derived_from:\n  - uuid: {ONE}\n  - uuid: {ONE.upper()}\n",
        f"derived_from:\n  - uuid: {ONE.replace('-', '')}\n",
        f"derived_from:\n  - uuid: '{{{ONE}}}'\n",
        f"derived_from:\n  - uuid: urn:uuid:{ONE}\n",
        f"derived_from:\n  - uuid: {ONE}\n  - uuid: unknown\n  - uuid:\n  - uuid: 17\n  - {{}}\n",
        f"derived_from:\n  - uuid: &one {ONE}\n  - uuid: *one\n",
        f"derived_from:\n  - uuid: {OWN}\n  - uuid: {ONE}\n",
        json.dumps({"derived_from": {"uuid": ONE}}),
    ],
)
def test_a_readme_names_a_dataset(readme: str) -> None:
    assert uuids(readme) == [ONE]


@pytest.mark.parametrize(
    "readme",
    [
        "",
        f"This was made from {ONE}.",
        f"derived_from: {ONE}\n",
        f"uuid: {ONE}\n",
        f"derived_from:\n  - uuid: {ONE}\n  broken: [",
        f"derived_from:\n  uuid: {ONE[:-1]}\n",
        f"derived_from:\n  uuid: {ONE}0\n",
        f"derived_from:\n  uuid: {'١' * 32}\n",
        "derived_from: &a [*a]\n# 12345678-1234",
        "[" * 10_000 + ONE,
    ],
)
def test_a_readme_names_none(readme: str) -> None:
    assert uuids(readme) == []


def test_annotations_name_datasets() -> None:
    assert uuids(annotations={"source_dataset_uuid": ONE}) == [ONE]
    assert uuids(annotations={"source_dataset_uuid": [ONE, {"x": TWO}, None, 3, TWO]}) == [ONE, TWO]
    assert uuids(annotations=json.dumps({"source_dataset_uuid": ONE})) == [ONE]
    assert uuids(annotations={"other": ONE, "source_dataset_uuid": {"a": 1}}) == []


def test_uuids_under_other_keys_come_last() -> None:
    readme = f"sample: {TWO}\nderived_from:\n  - uuid: {ONE}\n"
    assert named(readme, {"a": {"b": [{"c": TWO}]}}, others=True) == [
        ("readme.derived_from.uuid", ONE),
        ("readme.sample", TWO),
        ("annotations.a.b.c", TWO),
    ]


def test_what_no_store_takes_is_no_key() -> None:
    readme = f'"a\\0b": {TWO}\n{"k" * 300}: {TWO}\nderived_from: {{uuid: {ONE}}}\n'
    assert named(readme, others=True) == [("readme.derived_from.uuid", ONE)]


def test_the_number_of_edges_is_bounded_and_takes_no_time() -> None:
    many = [f"{number:032x}" for number in range(50_000)]
    started = time.process_time()
    pairs = named("", {"a": many, "source_dataset_uuid": many[:20]}, others=True)
    assert time.process_time() - started < 3
    assert len(pairs) == MOST_EDGES
    assert [key for key, _ in pairs[:21]] == ["annotations.source_dataset_uuid"] * 20 + ["annotations.a"]
    bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert uuids(f"a0: &a0 {ONE}\n{bomb}") == []


def test_what_is_no_uuid() -> None:
    for value in (None, 5, [], {}, b"x", "", "x" * 36, "-" * 36, "{" + ONE, "٣" * 32, "1" * 10**6):
        assert uuid_of(value) is None or value == "{" + ONE
    assert uuid_of(f"  {ONE.upper()} ") == ONE


def test_keys_are_a_list_or_one() -> None:
    assert parse_keys("readme.a") == ["readme.a"]
    assert parse_keys('["readme.a.b", "annotations.c", "readme.a.b"]') == ["readme.a.b", "annotations.c"]
    for text in ("", "[]", "[", "readme", "readme.", "a..b", "readme.$x", "[1]", "manifest.x", "[[]]", "{}"):
        with pytest.raises(ValueError, match="expected"):
            parse_keys(text)
    with pytest.raises(ValueError, match="at most"):
        parse_keys(json.dumps([f"readme.{n}" for n in range(21)]))
    assert len(set(numbers_of(["readme.a", "readme.A", "readme.ä"]))) == 3
