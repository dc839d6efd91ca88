"""What is kept of a dataset, so that it can be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from dservercore.plugins.query.documents import MOST_MANIFEST_BYTES, document
from dservercore.plugins.query.readme import parsed_readme
from dservercore.plugins.query.sql.encoding import decode, encode
from plugins.query.nasty_documents import VALUES
from support.world import dataset_info


@pytest.mark.parametrize(
    ("readme", "parsed"),
    [
        ("", ""),
        ("Beans from the greenhouse", "Beans from the greenhouse"),
        ("# Beans\n\nfrom the: greenhouse: and\n", "# Beans\n\nfrom the: greenhouse: and\n"),
        ("a: 1\nb: [1.5, yes, ~, .nan, .inf]\n", {"a": 1, "b": [1.5, True, None, ".nan", ".inf"]}),
        ("day: 2026-11-29\ntime: 12:30\n", {"day": "2026-11-29", "time": "12:30"}),
        ("1: x\nyes: y\n~: z\n[a, b]: w\n", {"1": "x", "yes": "y", "~": "z", "?": "w"}),
        ('a: "1"\nb: !!str 2\nc: !!int "3"\nd: !foo 4\n', {"a": "1", "b": "2", "c": 3, "d": "4"}),
        ("- a\n- b: c\n", ["a", {"b": "c"}]),
        ("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  b: 2\n", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}}),
        ("a: &x [*x]\n", "a: &x [*x]\n"),
        ("a: 1\n---\nb: 2\n", "a: 1\n---\nb: 2\n"),
        ("a: [1\n", "a: [1\n"),
    ],
)
def test_a_readme_is_json_if_it_is_yaml(readme: str, parsed: Any) -> None:
    assert parsed_readme(readme) == parsed


@pytest.mark.attack
def test_a_readme_that_explodes_is_a_text() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    merged = "a0: &a0 {x: 1}\n"
    merged += "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10))
    deep = "a: " + "[" * 10_000 + "]" * 10_000
    for readme in (bomb, merged, deep, "a: " + "9" * 5000 + "\n"):
        assert parsed_readme(readme) in (readme, {"a": "9" * 5000})


def test_a_document_has_what_mongodb_can_hold() -> None:
    info = dataset_info(
        annotations={"big": 2**70, "small": 2**62, "text": "a\ud800", "nul\0": "b\0"},
        readme="n: 99999999999999999999\n",
        created_at="1536236399.5",
        uploaded_by=None,
        uploaded_at=None,
    )
    made = document(info)
    assert made["annotations"] == {"big": 2.0**70, "small": 2**62, "text": "a?", "nul�": "b\0"}
    assert made["readme"] == {"n": 1e20}
    assert made["created_at"] == 1536236399.5
    assert made["tags"] == ["beans", "2026"]
    assert made["manifest"]["items"]
    assert made["uuid"] == info["uuid"]


def test_a_large_manifest_is_there_without_its_items() -> None:
    item = {"hash": "x" * 100, "relpath": "y" * 100, "size_in_bytes": 1, "utc_timestamp": 1.0}
    info = dataset_info()
    info["manifest"]["items"] = {f"{n:040}": item for n in range(MOST_MANIFEST_BYTES // 250)}
    assert document(info)["manifest"] == {
        "dtoolcore_version": "3.19.0",
        "hash_function": "md5sum_hexdigest",
    }


@pytest.mark.parametrize("value", [*VALUES, {"deep": VALUES}], ids=lambda value: repr(value)[:30])
def test_what_is_encoded_is_decoded(value: Any) -> None:
    again = decode(encode(value))
    assert again == value
    assert repr(again) == repr(value).replace("-0.0", "0.0")
