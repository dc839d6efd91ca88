"""The files of a dataset as a tree: read from any manifest, bounded, in the order of people."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from dservercore.catalog.files import kept, listing, tree
from dservercore.catalog.files.items import chunks_of, items_of
from dservercore.dataset.serialization import pack
from dservercore.errors import UnavailableError, UnknownDirectoryError

FIRST = slice(0, 100)


def item(relpath: Any, size: Any = 1, **more: Any) -> dict[str, Any]:
    return {"relpath": relpath, "size_in_bytes": size, "hash": "d4", "utc_timestamp": 1.5, **more}


def items(*relpaths: str) -> dict[str, Any]:
    return {hashlib.sha1(path.encode()).hexdigest(): item(path, len(path)) for path in relpaths}


def tree_of(members: dict[str, Any]) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    tree.write(database, members.items())
    return database


def names(
    database: sqlite3.Connection, path: str = "", order: listing.Order = "name", page: slice = FIRST
) -> list[str]:
    return [entry.name for entry in listing._directory(database, path, order, page).entries]


def found(database: sqlite3.Connection, *words: str, order: listing.Order = "name") -> list[str]:
    return [entry.path for entry in listing._found(database, list(words), order, FIRST).entries]


def in_pieces(text: bytes, length: int) -> Iterator[bytes]:
    for start in range(0, len(text), length):
        yield text[start : start + length]


class TestItems:
    MANIFEST = {
        "uuids_of_uri": ["a", {"items": {"x": {}}}],
        "items": {
            "1": item('quo"te},"x":{'),
            "2": item("ünï/ço∂e 😀"),
            "3": item("nested", more={"a": {"b": [1, {"c": 2}]}, "d": 3}),
            "4": {},
            "5": item("line\nbreak\\"),
        },
        "hash_function": "md5sum_hexdigest",
    }

    @pytest.mark.parametrize("write", [orjson.dumps, lambda m: json.dumps(m, indent=1).encode()])
    @pytest.mark.parametrize("length", [1, 2, 7, 50, 10_000])
    def test_are_read_whatever_the_pieces(self, write, length):
        assert dict(items_of(in_pieces(write(self.MANIFEST), length))) == self.MANIFEST["items"]

    def test_of_a_large_manifest_come_one_after_the_other(self):
        chance = random.Random(7)
        many = {
            f"{n}": item(f"a/{n}", n, **({"more": {"x": {"y": n}, "z": 1}} if chance.random() < 0.01 else {}))
            for n in range(20_000)
        }
        assert dict(items_of(chunks_of(pack(orjson.dumps({"items": many}))))) == many

    @pytest.mark.parametrize("text", [b"{}", b'{"items": {}}', b'{"items": null, "x": 1}', b'{"items": [1]}'])
    def test_there_may_be_none(self, text):
        assert list(items_of([text])) == []

    @pytest.mark.parametrize(
        "text",
        [b"", b"[]", b"{", b'{"items"', b'{"items": {"a"', b'{"items": {"a": {}', b'{"items": {1: 2}}'],
    )
    def test_what_is_no_manifest_is_an_error(self, text):
        with pytest.raises(ValueError, match=r"."):
            list(items_of([text]))

    def test_a_text_that_is_no_text_is_replaced(self):
        text = json.dumps({"items": {"a": item("\ud800.txt")}}).encode()
        assert names(tree_of(dict(items_of([text])))) == ["?.txt"]


class TestDirectories:
    def test_come_first_and_names_are_sorted_as_people_do(self):
        database = tree_of(items("z.txt", "plate10.tif", "Plate2.tif", "b/x", "a10/x", "a9/x"))
        assert names(database) == ["a9", "a10", "b", "Plate2.tif", "plate10.tif", "z.txt"]

    def test_count_all_that_is_below(self):
        root = listing._directory(tree_of(items("a/b/12", "a/b/123", "a/1", "x")), "", "name", FIRST)
        assert (root.items, root.size, root.number) == (4, 6 + 7 + 3 + 1, 2)
        (a, x) = root.entries
        assert (a.path, a.items, a.size, a.is_directory) == ("a/", 3, 16, True)
        assert (x.path, x.items, x.is_directory) == ("x", None, False)

    def test_are_sorted_by_size(self):
        members = {"1": item("small", 1), "2": item("large", 99), "3": item("d/x", 5), "4": item("e/x", 7)}
        assert names(tree_of(members), order="size") == ["e", "d", "large", "small"]

    def test_have_pages(self):
        database = tree_of(items("a/1", "b/1", "c/1", "d", "e", "f"))
        pages = [names(database, page=slice(start, start + 2)) for start in range(0, 8, 2)]
        assert pages == [["a", "b"], ["c", "d"], ["e", "f"], []]

    def test_lead_to_each_other(self):
        database = tree_of(items("a/b/c.txt"))
        below = listing._directory(database, "a/b/", "name", FIRST)
        assert below.parents == [("a", "a/"), ("b", "a/b/")]
        assert [entry.path for entry in below.entries] == ["a/b/c.txt"]

    @pytest.mark.parametrize("path", ["b/", "a", "a/b/c/", "a/b", "/", "a//"])
    def test_that_are_not_there(self, path):
        with pytest.raises(UnknownDirectoryError):
            listing._directory(tree_of(items("a/b/c.txt")), path, "name", FIRST)

    @pytest.mark.parametrize("relpath", ["/x", "//x", "a//x", "../x", "./x", "a/", "", "a/\x00/x", "\n/\n"])
    def test_whatever_somebody_called_them_each_file_is_reached(self, relpath):
        database = tree_of(items(relpath))
        path = ""
        while (entry := listing._directory(database, path, "name", FIRST).entries[0]).is_directory:
            path = entry.path
        assert entry.path == relpath

    def test_more_levels_than_there_may_be_are_part_of_the_name(self):
        relpath = "d/" * 2000 + "x"
        database = tree_of(items(relpath))
        entry = listing._directory(database, "d/" * tree.MOST_LEVELS, "name", FIRST).entries[0]
        assert (entry.path, entry.is_directory) == (relpath, False)

    def test_more_directories_than_there_may_be_are_part_of_the_name(self, monkeypatch):
        monkeypatch.setattr(tree, "MOST_DIRECTORIES", 3)
        database = tree_of(items("a/1", "b/c/2", "b/d/3"))
        assert names(database) == ["a", "b"]
        assert names(database, "b/") == ["c/2", "d/3"]

    def test_are_counted_although_not_all_are_remembered(self, monkeypatch):
        monkeypatch.setattr(tree, "_MOST_KNOWN", 2)
        database = tree_of(items(*(f"{n % 7}/{n % 3}/{n}" for n in range(100))))
        root = listing._directory(database, "", "name", FIRST)
        assert (root.items, sum(entry.items or 0 for entry in root.entries)) == (100, 100)


class TestFiles:
    @pytest.mark.parametrize("size", [-1, 2**70, 1e400, float("nan"), "many", None, [], True])
    def test_have_a_size_whatever_the_manifest_says(self, size):
        assert listing._directory(tree_of({"1": item("x", size)}), "", "name", FIRST).size in (0, 1)

    def test_sizes_that_are_too_large_together_are_no_error(self):
        members = {f"{n}": item(f"{n % 3}/{n}", 2**61) for n in range(50)}
        assert listing._directory(tree_of(members), "", "name", FIRST).size >= 2**62

    def test_keep_an_identifier_of_their_own(self):
        entries = listing._directory(tree_of({"mine": item("a"), **items("b")}), "", "name", FIRST).entries
        assert [entry.identifier for entry in entries] == ["mine", hashlib.sha1(b"b").hexdigest()]
        assert [(entry.hash, entry.changed_at) for entry in entries] == [("d4", 1.5)] * 2

    def test_are_found_by_parts_of_their_paths(self):
        database = tree_of(items("raw/Plate_7/Well1.tif", "raw/plate_7/well2.csv", "ÄPFEL/straße.txt"))
        assert found(database, "plate_7/") == ["raw/Plate_7/Well1.tif", "raw/plate_7/well2.csv"]
        assert found(database, "tif", "raw") == ["raw/Plate_7/Well1.tif"]
        assert found(database, "äpfel", "strasse") == ["ÄPFEL/straße.txt"]
        assert found(database, "tif", "csv") == []
        assert found(database, "%", "_x") == []

    def test_that_are_too_many_to_count_are_said_to_be(self, monkeypatch):
        monkeypatch.setattr(listing, "MOST_FOUND", 5)
        few = listing._found(tree_of(items(*map(str, range(5)))), [], "name", FIRST)
        many = listing._found(tree_of(items(*map(str, range(6)))), [], "name", FIRST)
        assert (few.number, few.is_cut, many.number, many.is_cut) == (5, False, 5, True)


class TestKeptTrees:
    @pytest.fixture
    def manifest(self) -> bytes:
        return pack(orjson.dumps({"items": items("a/x", "b")}))

    def opened(self, manifest: bytes, directory: Path) -> sqlite3.Connection:
        while (database := kept.on_disk(manifest, True, directory)) is None:
            pass
        return database

    def test_are_made_once_and_are_for_nobody_else(self, manifest, tmp_path, monkeypatch):
        directory = tmp_path / "trees"
        assert names(self.opened(manifest, directory)) == ["a", "b"]
        (path,) = directory.glob("*.db")
        assert (directory.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
        monkeypatch.setattr(tree, "write", lambda *_: pytest.fail("it is made again"))
        assert names(self.opened(manifest, directory)) == ["a", "b"]

    def test_of_another_manifest_are_others(self, manifest, tmp_path):
        self.opened(manifest, tmp_path)
        assert names(self.opened(pack(orjson.dumps({"items": items("c")})), tmp_path)) == ["c"]

    def test_that_were_not_read_for_longest_make_room(self, manifest, tmp_path, monkeypatch):
        monkeypatch.setattr(kept, "MOST_BYTES", 1)
        self.opened(manifest, tmp_path)
        self.opened(pack(orjson.dumps({"items": items("c")})), tmp_path)
        assert len(list(tmp_path.glob("*.db"))) == 1

    def test_what_was_left_unfinished_is_removed(self, manifest, tmp_path):
        (tmp_path / "x.new").write_text("half")
        self.opened(manifest, tmp_path)
        assert list(tmp_path.glob("*.new")) == []

    def test_a_manifest_that_cannot_be_read_is_an_answer(self, tmp_path):
        for manifest in (b"{", b'{"items": {"a": '):
            with pytest.raises(kept.UnavailableError):
                self.opened(pack(manifest), tmp_path)
            with pytest.raises(kept.UnavailableError):
                kept.in_memory(manifest, False, 10)

    def test_what_could_not_be_made_is_not_tried_at_each_look(self, manifest, tmp_path, monkeypatch):
        tries = []
        monkeypatch.setattr(kept, "PATIENCE", 60)
        monkeypatch.setattr(tree, "write", lambda *_: tries.append(1) or 1 / 0)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                kept.on_disk(manifest, True, tmp_path)
        assert len(tries) == 1
        monkeypatch.undo()
        monkeypatch.setattr(kept, "RESPITE", -1)
        assert names(self.opened(manifest, tmp_path)) == ["a", "b"]

    def test_more_items_than_wanted_are_not_read_into_memory(self, manifest):
        assert kept.in_memory(manifest, True, 1) is None
        assert kept.in_memory(manifest, True, 2) is not None

    def test_few_items_in_very_many_directories_are_not_made_in_memory(self):
        deep = {f"{n}": item("/".join(f"{n}.{level}" for level in range(50)) + "/x") for n in range(10)}
        assert kept.in_memory(orjson.dumps({"items": deep}), False, 10) is None
        together = {f"{n}": item("a/" * 30 + f"{n}") for n in range(10)}
        assert kept.in_memory(orjson.dumps({"items": together}), False, 10) is not None

    def test_what_is_too_large_for_the_disk_leaves_nothing_there(self, manifest, tmp_path, monkeypatch):
        monkeypatch.setattr(kept, "PATIENCE", 60)
        monkeypatch.setattr(kept, "MOST_BYTES_OF_ONE", 12_288)
        with pytest.raises(UnavailableError, match="cannot be listed"):
            kept.on_disk(manifest, False, tmp_path)
        assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == []


def test_what_names_are_sorted_by_takes_about_as_much_room_as_they_do():
    assert len(tree.order_key("1a" * 100)) <= 500
    names_in_order = ["0", "007", "7", "007a", "10", "9" * 30, "1" + "0" * 30]
    shuffled = names_in_order[::-1]
    assert sorted(shuffled, key=lambda name: (tree.order_key(name), name)) == names_in_order
