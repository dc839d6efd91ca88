"""Retrieving: what every bundled retrieve plugin does, each on a real database."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from dservercore.errors import UnknownURIError, ValidationError

NONE = "s3://red/none"
SURROGATE = "caf\udce9.txt"  # how Python names a file whose name is not UTF-8


def test_what_was_registered_comes_back(shelf: Any) -> None:
    annotations = {"stage": "ripe", "deep": {"list": [1, 2.5, None, True, "é"]}, "large": 2**70, "": ""}
    uri = shelf.register(
        readme="a: é\n\n", annotations=annotations, tags=["z", "a"], files=["b/é.csv", "a.csv"]
    )
    assert shelf.retrieve.get_readme(uri) == "a: é\n\n"
    assert shelf.retrieve.get_annotations(uri) == annotations
    assert shelf.retrieve.get_tags(uri) == ["z", "a"]
    manifest = shelf.retrieve.get_manifest(uri)
    assert [item["relpath"] for item in manifest["items"].values()] == ["b/é.csv", "a.csv"]
    assert list(manifest) == ["dtoolcore_version", "hash_function", "items"]


@pytest.mark.parametrize(
    "manifest",
    [
        {"items": {}, "hash_function": "md5sum_hexdigest", "dtoolcore_version": "3.19.0"},
        {
            "items": {
                "id": {
                    "relpath": "a",
                    "size_in_bytes": 2**63 - 1,
                    "utc_timestamp": 1536832115.1234567,
                    "hash": "",
                }
            }
        },
        {"items": {"id": {"relpath": "null", "size_in_bytes": 2**70, "utc_timestamp": None}}},
        {"items": {"id": {"relpath": SURROGATE, "size_in_bytes": 0, "utc_timestamp": 0.1, "hash": "x"}}},
        {
            "items": {
                "id": {
                    "relpath": 'nul\x00 "quoted" \\ \u2028 🌱',
                    "size_in_bytes": 0,
                    "utc_timestamp": -1.5e300,
                }
            }
        },
        {},
    ],
)
def test_a_manifest_is_stored_as_it_is(shelf: Any, manifest: dict[str, Any]) -> None:
    uri = shelf.register(manifest=manifest)
    assert shelf.retrieve.get_manifest(uri) == manifest
    assert json.loads(shelf.retrieve.get_manifest_json(uri)) == manifest


@pytest.mark.parametrize(
    "getter", ["get_readme", "get_annotations", "get_tags", "get_manifest", "get_manifest_json"]
)
def test_an_unknown_uri(shelf: Any, getter: str) -> None:
    deleted = shelf.register()
    shelf.delete(deleted)
    for uri in (deleted, NONE, "", "\x00"):
        with pytest.raises(UnknownURIError) as raised:
            getattr(shelf.retrieve, getter)(uri)
        assert raised.value.message == f"No dataset is registered as {uri}"


def test_a_dataset_without_tags_has_none(shelf: Any) -> None:
    assert shelf.retrieve.get_tags(shelf.register(tags=[])) == []


def test_registering_again_replaces_everything(shelf: Any) -> None:
    uri = shelf.register(readme="old", annotations={"a": 1}, files=["old.csv"])
    assert shelf.register(readme="new", annotations={"b": 2}, files=["new.csv"]) == uri
    assert shelf.retrieve.get_readme(uri) == "new"
    assert shelf.retrieve.get_annotations(uri) == {"b": 2}
    assert [item["relpath"] for item in shelf.retrieve.get_manifest(uri)["items"].values()] == ["new.csv"]


def test_edits_concern_one_dataset_and_one_thing(shelf: Any) -> None:
    uri, other = shelf.register(readme="one", annotations={"a": 1}), shelf.register("other", readme="two")
    shelf.set_readme(uri, "")
    shelf.set_annotations(uri, {"b": [2]})
    shelf.set_tags(uri, ["t"])
    assert shelf.retrieve.get_readme(uri) == ""
    assert shelf.retrieve.get_annotations(uri) == {"b": [2]}
    assert shelf.retrieve.get_tags(uri) == ["t"]
    assert shelf.retrieve.get_readme(other) == "two"
    assert shelf.retrieve.get_annotations(other) == {}
    assert shelf.retrieve.get_tags(other) == []


@pytest.mark.parametrize(("setter", "value"), [("set_readme", "x"), ("set_annotations", {})])
def test_an_edit_of_an_unknown_dataset_is_an_error(shelf: Any, setter: str, value: Any) -> None:
    with pytest.raises(UnknownURIError):
        getattr(shelf.retrieve, setter)(NONE, value)


def test_deleting_what_is_not_there_is_no_error(shelf: Any) -> None:
    uri = shelf.register()
    shelf.retrieve.delete_dataset(NONE)
    shelf.retrieve.delete_dataset(uri)
    shelf.retrieve.delete_dataset(uri)
    with pytest.raises(UnknownURIError):
        shelf.retrieve.get_readme(uri)


@pytest.mark.parametrize(
    "change",
    [
        {"readme": "lone \ud800 surrogate"},
        {"annotations": {"a": math.nan}},
        {"annotations": {"a": math.inf}},
        {"annotations": {"a": object()}},
        {"manifest": {"items": {"id": {"relpath": "a", "utc_timestamp": math.nan}}}},
        {"manifest": {"items": {"id": {"relpath": SURROGATE, "utc_timestamp": math.inf}}}},
    ],
)
def test_what_cannot_be_stored_is_refused(shelf: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))) as refused:
        shelf.register(**change)
    assert type(refused.value) is ValidationError
    assert "\n" not in refused.value.message


def test_surrogates_in_annotations_come_back(shelf: Any) -> None:
    uri = shelf.register(annotations={SURROGATE: [SURROGATE]})
    assert shelf.retrieve.get_annotations(uri) == {SURROGATE: [SURROGATE]}
