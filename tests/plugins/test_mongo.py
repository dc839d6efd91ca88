"""What is particular about the mongo plugins; what they share is in test_search.py and test_retrieve.py."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import bson
import pymongo
import pytest
from flask import Flask
from flask_smorest.pagination import PaginationParameters

from dservercore.errors import ConfigurationError, UnknownURIError, ValidationError
from dservercore.plugins.mongo import index, manifests, prepare
from dservercore.plugins.mongo.retrieve import MongoRetrieve
from dservercore.plugins.mongo.search import MongoSearch
from dservercore.rest.sort import SortParameters
from support.mongod import Mongod, mongo_plugins
from support.old_index import BASE_URI, DATASETS, TOKENS

from .conftest import BLUE, RED, dataset_info, manifest

URI = f"{RED}/{uuid.UUID(int=1)}"


class Pair:
    """A search and a retrieve plugin, called as the server calls them."""

    def __init__(self, settings: dict[str, str]):
        app = Flask("pair")
        app.config.update(settings)
        self.search, self.retrieve = MongoSearch(), MongoRetrieve()
        app.search, app.retrieve = self.search, self.retrieve  # type: ignore[attr-defined]
        self.search.init_app(app)
        self.retrieve.init_app(app)
        self.collection = self.search.collection

    def register(self, number: int = 1, base_uri: str = RED, **changes: Any) -> str:
        identifier = str(uuid.UUID(int=number))
        info = dataset_info(changes.pop("name", f"name-{number}"), base_uri, uuid=identifier, **changes)
        self.search.register_dataset(dict(info))
        self.retrieve.register_dataset(dict(info))
        return str(info["uri"])

    def delete(self, uri: str) -> None:
        self.search.delete_dataset(uri)
        self.retrieve.delete_dataset(uri)

    def find(self, free_text: str | None = None, sort: str | None = None, **filters: Any) -> list[str]:
        query = {"base_uris": [RED, BLUE], **filters}
        if free_text is not None:
            query["free_text"] = free_text
        found = self.search.search(query, None, SortParameters(sort) if sort else None)
        return [dataset["name"] for dataset in found]

    def close(self) -> None:
        self.search.connection.close()
        self.retrieve.connection.close()


@pytest.fixture
def apart(mongo_settings: dict[str, str]) -> dict[str, str]:
    """Settings with a collection for each of the two plugins."""
    return {**mongo_settings, "RETRIEVE_MONGO_COLLECTION": "described"}


@pytest.fixture(params=["together", "apart"])
def pair(
    request: pytest.FixtureRequest, mongo_settings: dict[str, str], apart: dict[str, str]
) -> Iterator[Pair]:
    """The two plugins with one collection for both, and with one each."""
    pair = Pair(mongo_settings if request.param == "together" else apart)
    yield pair
    pair.close()


@pytest.fixture
def together(mongo_settings: dict[str, str]) -> Iterator[Pair]:
    pair = Pair(mongo_settings)
    yield pair
    pair.close()


# -- One document for each dataset -----------------------------------------------------------------------------------


def test_the_first_registrations_at_the_same_time_leave_one_document(pair: Pair) -> None:
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda n: pair.register(name=f"name-{n}", readme=f"text {n}"), range(24)))
    for plugin in (pair.search, pair.retrieve):
        assert plugin.collection.count_documents({}) == 1
    assert len(pair.find("text")) == 1
    assert pair.retrieve.get_readme(URI).startswith("text")


def test_a_dataset_that_gets_another_uuid_has_one_document(pair: Pair) -> None:
    pair.register(1, uri=URI)
    pair.register(2, uri=URI)
    assert pair.find() == ["name-2"]
    assert pair.find(uuids=[str(uuid.UUID(int=1))]) == []


@pytest.mark.parametrize("plugin", ["search", "retrieve"])
def test_a_uri_is_unique(pair: Pair, plugin: str) -> None:
    pair.register()
    pair.retrieve.get_readme(URI)
    indexes = getattr(pair, plugin).collection.index_information()
    assert [index for index in indexes.values() if index["key"] == [("uri", 1)] and index.get("unique")]


def test_nothing_is_left_of_a_deleted_dataset(pair: Pair) -> None:
    words = " ".join(f"w{n:06d}" for n in range(60_000))
    uri = pair.register(readme=words, manifest=large_manifest(12_000))
    pair.delete(uri)
    database = pair.search.db
    # Words that no dataset has any more do no harm in the vocabulary.
    names = [name for name in database.list_collection_names() if not name.endswith(".vocabulary")]
    assert {name: database[name].count_documents({}) for name in names} == dict.fromkeys(names, 0)


def test_the_document_is_one_that_people_can_read(together: Pair) -> None:
    """What others look at: the fields of the registration, times as dates."""
    together.register(tags=["a"], annotations={"soil": {"ph": 6.5}}, readme="text", uploaded_by="rita")
    document = together.collection.find_one(
        {"uri": URI}, {"_id": False, "_search": False, "_retrieve": False}
    )
    assert document == {
        "uuid": str(uuid.UUID(int=1)),
        "uri": URI,
        "base_uri": RED,
        "name": "name-1",
        "type": "dataset",
        "readme": "text",
        "creator_username": "olga",
        "frozen_at": datetime(2018, 9, 6, 12, 49, 45, 881000),
        "created_at": datetime(2018, 9, 6, 12, 19, 59, 194000),
        "annotations": {"soil": {"ph": 6.5}},
        "tags": ["a"],
        "number_of_items": 0,
        "size_in_bytes": 0,
        "uploaded_by": "rita",
        "uploaded_at": datetime(2026, 1, 1, 0, 0, 0, 500000),
    }


def test_times_have_microseconds(together: Pair) -> None:
    together.register()
    [found] = together.search.search({"base_uris": [RED]})
    assert found["frozen_at"] == 1536238185.881941
    assert found["created_at"] == 1536236399.19497


def test_addresses_that_are_spelled_differently_may_be_of_one_collection(
    mongod: Mongod, mongo_settings: dict[str, str]
) -> None:
    pair = Pair({**mongo_settings, "RETRIEVE_MONGO_URI": f"mongodb://localhost:{mongod.port}/"})
    for readme in ("old", "new"):
        pair.register(readme=readme, tags=["t"])
        assert pair.find(readme, tags=["t"]) == ["name-1"]
        assert pair.retrieve.get_readme(URI) == readme
        assert pair.retrieve.get_manifest(URI) == manifest()
    assert pair.collection.count_documents({}) == 1
    assert pair.search.ready() is None
    pair.close()


def test_a_manifest_that_only_the_search_plugin_was_given_is_not_there(
    mongo_settings: dict[str, str],
) -> None:
    pair = Pair({**mongo_settings, "RETRIEVE_MONGO_COLLECTION": "described"})
    pair.register()
    other = Pair(mongo_settings)
    with pytest.raises(UnknownURIError):
        other.retrieve.get_manifest(URI)
    pair.close()
    other.close()


# -- Edits -----------------------------------------------------------------------------------------------------------


def test_tags_and_annotations_added_at_the_same_time_are_all_there(pair: Pair) -> None:
    pair.register()

    def edit(number: int) -> None:
        for plugin in (pair.search, pair.retrieve):
            plugin.add_tag(URI, f"tag{number}")
            plugin.set_annotation(URI, f"name{number}", f"value{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(edit, range(24)))
    assert set(pair.retrieve.get_tags(URI)) == {f"tag{n}" for n in range(24)}
    assert pair.retrieve.get_annotations(URI) == {f"name{n}": f"value{n}" for n in range(24)}
    for n in range(24):
        assert pair.find(f"tag{n} name{n} value{n}", tags=[f"tag{n}"]) == ["name-1"]


def test_tags_and_annotations_removed_at_the_same_time_are_all_gone(pair: Pair) -> None:
    pair.register(tags=[f"tag{n}" for n in range(24)], annotations={f"field{n}": n for n in range(24)})

    def edit(number: int) -> None:
        for plugin in (pair.search, pair.retrieve):
            plugin.remove_tag(URI, f"tag{number}")
            plugin.delete_annotation(URI, f"field{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(edit, range(1, 24)))
    assert pair.retrieve.get_tags(URI) == ["tag0"]
    assert pair.retrieve.get_annotations(URI) == {"field0": 0}
    assert pair.find("tag0 field0") == ["name-1"]
    assert [n for n in range(1, 24) if pair.find(f"tag{n}") or pair.find(f"field{n}")] == []


@pytest.mark.parametrize("plugin", ["search", "retrieve"])
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("set_readme", [""]),
        ("set_tags", [[]]),
        ("add_tag", ["a"]),
        ("remove_tag", ["a"]),
        ("set_annotations", [{}]),
        ("set_annotation", ["a", 1]),
        ("delete_annotation", ["a"]),
    ],
)
def test_an_edit_of_what_is_not_there_is_an_error(
    together: Pair, plugin: str, method: str, arguments: list[Any]
) -> None:
    with pytest.raises(UnknownURIError):
        getattr(getattr(together, plugin), method)(URI, *arguments)


def test_an_edit_of_a_dataset_with_more_words_than_a_document_holds(pair: Pair) -> None:
    pair.register(manifest=large_manifest(40_000), readme="old")
    assert pair.find("sample_0039999") == ["name-1"]
    pair.search.set_readme(URI, " ".join(f"word{n}" for n in range(60_000)))
    pair.search.add_tag(URI, "green")
    for text in (
        "sample_0039999",
        "word59999",
        "green",
        '"word47777 word47778"',
        "raw/run1/sample_0000001.gz",
    ):
        assert pair.find(text) == ["name-1"]
    pair.search.set_readme(URI, "new")
    assert pair.find("word59999") == []
    assert pair.find("old") == []
    assert pair.find("new sample_0039999") == ["name-1"]


def test_an_edit_that_was_interrupted_is_completed_at_the_next_start(
    together: Pair, mongo_settings: dict[str, str]
) -> None:
    together.register(readme="old")
    together.collection.update_one({"uri": URI}, {"$set": {"readme": "new", "_search.version": 0}})
    again = Pair(mongo_settings)
    assert again.search.ready() is None
    assert again.find("new") == ["name-1"]
    assert again.find("old") == []
    again.close()


# -- What BSON does not take as it is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotations",
    [
        {"language": "klingon"},
        {"language": 7, "deep": {"language": "xx"}},
        {"a.b": 1, "a": {"b.c": {"d.e": 2}}},
        {"ref": {"$ref": "a", "$id": 1, "$db": "b"}},
        {"op": {"$set": 1, "$where": "1"}},
        {"nul": {"a\0b": 1}},
        {"large": 2**70, "small": -(2**70), "edge": 2**63 - 1},
        {"surrogate": "\ud800"},
        {"json": {"(json)": "text"}},
        {"(json)": "text"},
        {"": {"": ""}},
        {"list": [[{"$a": [1]}]], "null": None, "float": 1e300, "true": True},
        {"number": 1, "same": 1.0},
    ],
)
def test_any_annotation_comes_back_as_it_is(pair: Pair, annotations: dict[str, Any]) -> None:
    pair.register(annotations=annotations)
    assert pair.retrieve.get_annotations(URI) == annotations
    assert json.dumps(pair.retrieve.get_annotations(URI)) == json.dumps(annotations)
    pair.retrieve.set_annotations(URI, {"x": 1})
    for name, value in annotations.items():
        if name not in ("", "(json)"):  # dtool does not accept such a name
            pair.search.set_annotation(URI, name, value)
            pair.retrieve.set_annotation(URI, name, value)
            assert pair.retrieve.get_annotations(URI)[name] == value


def test_annotations_with_dots_in_their_names_are_found_set_and_removed_alone(pair: Pair) -> None:
    pair.register(annotations={"a.b": 1, "a": {"b": 2}})
    for plugin in (pair.search, pair.retrieve):
        plugin.set_annotation(URI, "a.b", "blue")
        plugin.delete_annotation(URI, "a")
    assert pair.retrieve.get_annotations(URI) == {"a.b": "blue"}
    assert pair.find("blue") == ["name-1"]


@pytest.mark.parametrize(
    "items",
    [{"a.b": {"relpath": "x.txt"}}, {"$a": {"relpath": "x.txt"}}, {"n\0": {"relpath": "x.txt"}}],
)
def test_any_manifest_comes_back_as_it_is(pair: Pair, items: dict[str, Any]) -> None:
    pair.register(manifest={"items": items})
    assert pair.retrieve.get_manifest(URI) == {"items": items}


def test_more_than_a_document_can_hold_is_refused_in_words(pair: Pair) -> None:
    with pytest.raises(ValidationError, match="16 MB") as refused:
        pair.register(readme="x" * (17 * 2**20))
    assert type(refused.value) is ValidationError
    with pytest.raises(UnknownURIError):
        pair.retrieve.get_readme(URI)


def test_what_was_refused_leaves_the_words_of_the_old_one(pair: Pair) -> None:
    pair.register(readme="old")
    with pytest.raises(ValidationError, match="16 MB"):
        pair.register(readme="zebrafish " * 40_000 + "-" * 16_500_000)
    assert pair.find("zebrafish") == []
    assert pair.find("old") == ["name-1"]
    assert index.parts_of(pair.search.collection).count_documents({}) == 0


def test_a_phrase_is_found_wherever_a_long_text_is_cut(pair: Pair) -> None:
    pair.register(readme=" ".join(f"word{n}" for n in range(60_000)))
    end = len(pair.collection.find_one()["_search"]["columns"]["readme"].split())  # type: ignore[index]
    for first in range(end - 3, end + 3):
        assert pair.find(f'"word{first} word{first + 1} word{first + 2}"') == ["name-1"]


# -- Large manifests -------------------------------------------------------------------------------------------------


def large_manifest(number: int) -> dict[str, Any]:
    """A manifest whose hashes no compression makes much smaller."""
    items = {
        uuid.uuid5(uuid.NAMESPACE_URL, f"id{n}").hex: {
            "relpath": f"raw/run{n % 1000}/sample_{n:07d}.gz",
            "hash": uuid.uuid5(uuid.NAMESPACE_URL, f"hash{n}").hex,
            "size_in_bytes": n,
            "utc_timestamp": 1536832115.123456,
        }
        for n in range(number)
    }
    return {"items": items, "hash_function": "md5sum_hexdigest", "dtoolcore_version": "3.19.0"}


def test_a_manifest_beyond_sixteen_megabytes(pair: Pair) -> None:
    large = large_manifest(250_000)
    assert len(json.dumps(large)) > 40 * 2**20
    pair.register(manifest=large)
    assert pair.retrieve.get_manifest(URI) == large
    assert json.loads(pair.retrieve.get_manifest_json(URI)) == large
    assert pair.find("sample_0249999.gz") == ["name-1"]
    assert pair.find("sample_0250000.gz") == []
    assert pair.find("sample_024999*") == ["name-1"]
    assert pair.find("name -sample_0000007") == []
    assert pair.find("absent OR sample_0123456", sort="-relevance") == ["name-1"]


def test_the_pieces_of_a_manifest_that_was_replaced_are_gone(pair: Pair) -> None:
    pair.register(manifest=large_manifest(12_000))
    pair.register(manifest=large_manifest(12_001))
    pieces = manifests.pieces_of(pair.retrieve.collection)
    assert len(pieces.distinct("digest")) == 1
    assert len(pair.retrieve.get_manifest(URI)["items"]) == 12_001
    pair.register(manifest=manifest("a.txt"))
    assert pieces.count_documents({}) == 0
    assert index.parts_of(pair.search.collection).count_documents({}) == 0


def test_a_manifest_can_be_read_while_it_is_replaced(pair: Pair) -> None:
    sizes = (12_000, 12_001)
    large = [large_manifest(size) for size in sizes]
    pair.register(manifest=large[0])
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [pair.register(manifest=large[n % 2]) for n in range(10)])
        while not writing.done():
            assert len(pair.retrieve.get_manifest(URI)["items"]) in sizes
        writing.result()


# -- Speed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def profile(together: Pair) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Three hundred datasets; ``profile()`` tells how the server has carried out what was asked of it since."""
    for n in range(300):
        together.register(
            n,
            [RED, BLUE][n % 2],
            readme=f"common {'rare' if n == 7 else 'text'} word{n % 10}",
            tags=[f"t{n % 5}", "all"],
            creator_username=f"c{n % 7}",
            uploaded_by=f"u{n % 3}",
        )
    database = together.search.db
    database.command("profile", 2)
    yield lambda: list(database["system.profile"].find({"ns": {"$regex": r"datasets"}}))
    database.command("profile", 0)


ASKED: list[dict[str, Any]] = [
    {},
    {"free_text": "common"},
    {"free_text": "rare"},
    {"free_text": "common word3 -text"},
    {"free_text": '"common rare" OR word9'},
    {"free_text": "-rare"},
    {"free_text": "wor* com*"},
    {"free_text": "common", "tags": ["t1", "all"], "creator_usernames": ["c1", "c2"]},
    {"creator_usernames": ["c1"]},
    {"tags": ["t1"]},
    {"uploaded_by": ["u1"]},
    {"uuids": [str(uuid.UUID(int=5))]},
    {"base_uris": [RED]},
]


def test_no_question_goes_through_the_whole_collection(
    together: Pair, profile: Callable[[], list[dict[str, Any]]]
) -> None:
    sorts = ["uri", "-name", "created_at", "-frozen_at", "uuid", "creator_username", "base_uri", "-relevance"]
    for query in ASKED:
        for sort in sorts:
            page = PaginationParameters(1, 10)
            together.search.search({"base_uris": [RED, BLUE], **query}, page, SortParameters(sort))
    for uri in (URI, f"{RED}/none"):
        for getter in (
            together.retrieve.get_readme,
            together.retrieve.get_tags,
            together.retrieve.get_annotations,
            together.retrieve.get_manifest_json,
        ):
            with contextlib.suppress(UnknownURIError):
                getter(uri)
    together.register()
    together.search.set_readme(URI, "changed")
    together.search.add_tag(URI, "changed")
    together.search.set_annotation(URI, "changed", 1)
    assert together.search.ready() is None
    together.delete(URI)
    steps = profile()
    assert len(steps) > 100
    assert [step["command"] for step in steps if "COLLSCAN" in step.get("planSummary", "")] == []


def test_a_lookup_examines_one_document(together: Pair, profile: Callable[[], list[dict[str, Any]]]) -> None:
    together.retrieve.get_readme(f"{BLUE}/{uuid.UUID(int=1)}")
    [step] = [step for step in profile() if step["op"] == "query"]
    assert (step["docsExamined"], step["keysExamined"]) == (1, 1)


def test_of_many_words_each_counts(together: Pair) -> None:
    words = [f"w{first}{second}x" for first in "abcdefghij" for second in "abcdefghijklmno"]
    together.register(1, readme=" ".join(words))
    together.register(2, readme=" ".join(words[1:]))
    assert together.find(" ".join(words)) == ["name-1"]
    assert together.find(" ".join(words[1:])) == ["name-1", "name-2"]
    assert together.find(" ".join(words[:9]) + f" -{words[140]}") == []


def test_a_rare_word_is_found_by_itself(together: Pair, profile: Callable[[], list[dict[str, Any]]]) -> None:
    assert together.find("rare") == ["name-7"]
    examined = [step["docsExamined"] for step in profile() if step["op"] == "query"]
    assert max(examined) <= 1


# -- Collections of the original's plugins ---------------------------------------------------------------------------


def original_document(number: int, **changes: Any) -> dict[str, Any]:
    """What the original's plugins store: the whole registration, times as dates, the UUID in binary."""
    info = dataset_info(f"old-{number}", RED, uuid=str(uuid.UUID(int=number)))
    info["frozen_at"], info["created_at"] = datetime(2020, 1, 1, 0, 0, 0, 500000), datetime(2019, 1, 1)
    info["uuid"] = uuid.UUID(int=number)
    return {**info, "uploaded_at": datetime(2021, 1, number % 28 + 1), **changes}


@pytest.fixture
def old(mongod: Mongod, mongo_settings: dict[str, str]) -> Any:
    """The collection as the original leaves it, with its text index."""
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(mongod.uri, uuidRepresentation="standard")
    collection = client[mongo_settings["SEARCH_MONGO_DB"]]["datasets"]
    collection.create_index([("$**", pymongo.TEXT)])
    yield collection
    client.close()


def test_a_collection_of_the_original_is_served_as_it_is(old: Any, mongo_settings: dict[str, str]) -> None:
    files = manifest("raw/U00096.3.rev.1.bt2")
    old.insert_many(
        [
            original_document(
                n, readme=f"beans {n}", tags=["t"], annotations={"soil": "loam"}, manifest=files
            )
            for n in range(1, 30)
        ]
    )
    pair = Pair(mongo_settings)
    assert len(pair.find()) == len(pair.find("beans")) == len(pair.find("u00096 loam", tags=["t"])) == 29
    assert pair.find("beans 7") == ["old-7"]
    seventh = str(uuid.UUID(int=7))
    assert pair.find(uuids=[seventh]) == pair.find(seventh) == ["old-7"]
    assert [dataset["uuid"] for dataset in pair.search.search({"base_uris": [RED], "uuids": [seventh]})] == [
        seventh
    ]
    assert pair.find(sort="-uuid")[:2] == ["old-29", "old-28"]
    assert pair.retrieve.get_readme(f"{RED}/{uuid.UUID(int=7)}") == "beans 7"
    assert pair.retrieve.get_manifest(f"{RED}/{uuid.UUID(int=7)}") == files
    assert pair.retrieve.get_annotations(f"{RED}/{uuid.UUID(int=7)}") == {"soil": "loam"}
    [found] = pair.search.search({"base_uris": [RED], "free_text": "beans 7"})
    assert (found["frozen_at"], found["created_at"]) == (1577836800.5, 1546300800.0)
    assert pair.search.ready() is None
    # ... and can be edited, replaced and deleted.
    pair.search.add_tag(URI, "green")
    pair.search.set_readme(URI, "peas")
    assert pair.find("peas green", tags=["green", "t"]) == ["old-1"]
    pair.register(1, annotations={"language": "klingon"})
    assert pair.find("klingon") == ["name-1"]
    pair.delete(URI)
    assert len(pair.find()) == 28
    pair.close()


def test_of_several_documents_for_one_uri_the_newest_stays(
    old: Any, mongo_settings: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"{RED}/copy"
    for number in (3, 5, 4):
        old.insert_one(original_document(number, uri=uri))
    old.insert_one(original_document(9))
    pair = Pair(mongo_settings)
    with caplog.at_level(logging.WARNING, "dservercore"):
        assert sorted(pair.find()) == ["old-5", "old-9"]
    assert [record.getMessage() for record in caplog.records if uri in record.getMessage()]
    assert old.count_documents({"uri": uri}) == 1
    aside = old.database["datasets.duplicates"]
    assert sorted(document["name"] for document in aside.find()) == ["old-3", "old-4"]
    pair.close()


@pytest.mark.parametrize(
    "damage",
    [
        {"readme": {"parsed": ["yaml"]}},
        {"readme": None, "tags": None, "annotations": None, "manifest": None},
        {"uploaded_at": None, "uploaded_by": None, "created_at": None, "frozen_at": None},
        {"manifest": {"items": []}, "tags": "text", "annotations": [1], "name": 7},
        {"uuid": 7},
    ],
)
def test_a_document_that_is_not_as_it_should_be_stops_nothing(
    old: Any, mongo_settings: dict[str, str], damage: dict[str, Any]
) -> None:
    old.insert_many([original_document(1, **damage), original_document(2)])
    pair = Pair(mongo_settings)
    assert len(pair.find()) == 2
    assert pair.find("old-2") == ["old-2"]
    assert isinstance(pair.retrieve.get_readme(URI), str)
    assert isinstance(pair.retrieve.get_manifest_json(URI), bytes)
    assert isinstance(pair.retrieve.get_annotations(URI), dict)
    assert isinstance(pair.retrieve.get_tags(URI), list)
    assert pair.search.ready() is None
    pair.close()


@pytest.mark.parametrize(
    "nothing", [{"tags": None, "annotations": None}, {"tags": "text", "annotations": [1]}]
)
def test_what_is_no_list_and_no_object_can_be_edited(
    old: Any, mongo_settings: dict[str, str], nothing: dict[str, Any]
) -> None:
    old.insert_one(original_document(1, **nothing))
    pair = Pair(mongo_settings)
    for plugin in (pair.search, pair.retrieve):
        plugin.remove_tag(URI, "b")
        plugin.add_tag(URI, "a")
        plugin.delete_annotation(URI, "d")
        plugin.set_annotation(URI, "c", "clay")
    assert pair.retrieve.get_tags(URI) == ["a"]
    assert pair.retrieve.get_annotations(URI) == {"c": "clay"}
    assert pair.find("clay", tags=["a"]) == ["old-1"]
    pair.close()


def test_the_indexes_of_a_large_collection_are_made_beside_the_requests(
    old: Any, mongo_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "LARGE", 100)
    old.insert_many([original_document(n, readme="beans") for n in range(1, 200)])
    pair = Pair(mongo_settings)
    assert len(pair.find()) == 199
    deadline = time.monotonic() + 60
    while pair.search.ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(pair.find("beans")) == 199
    assert len(old.index_information()) == len(prepare.SEARCH_INDEXES) + 1
    pair.close()


def test_a_large_collection_is_indexed_while_it_is_served(
    old: Any, mongo_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "ADOPTION_SECONDS", 0.05)
    old.insert_many([original_document(n, readme="beans") for n in range(1, 2000)])
    pair = Pair(mongo_settings)
    assert 0 < len(pair.find("beans")) < 1999  # the first are found at once
    assert len(pair.find()) == 1999  # and the others without words
    waiting = pair.search.ready()
    assert waiting is not None
    assert waiting.endswith("datasets are still to be indexed")
    deadline = time.monotonic() + 60
    while pair.search.ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(pair.find("beans")) == 1999
    pair.close()


def test_what_another_program_writes_later_is_indexed_when_somebody_asks(together: Pair, old: Any) -> None:
    assert together.search.ready() is None
    files = manifest("raw/U00096.3.rev.1.bt2")
    old.insert_many([original_document(1, manifest=files), original_document(2, manifest=files)])
    together.search.add_tag(URI, "green")
    assert together.find("green old u00096") == ["old-1"]
    deadline = time.monotonic() + 30
    while together.search.ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert together.find("u00096") == ["old-1", "old-2"]


@pytest.mark.parametrize("room", [1_000, 30])
def test_a_document_without_room_for_its_words_stops_nothing(
    old: Any, mongo_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(prepare, "ADOPTION_SECONDS", 60.0)
    full = original_document(1, readme="")
    words = " ".join(f"word{n}" for n in range(30_000))
    size = len(bson.encode({**full, "_id": bson.ObjectId(), "uuid": bson.Binary(b"x" * 16, 4)}))
    old.drop_indexes()
    old.insert_one({**full, "readme": words + "-" * (16 * 2**20 - size - room - len(words))})
    old.insert_one(original_document(2, readme="beans"))
    pair = Pair(mongo_settings)
    assert pair.find("beans") == ["old-2"]
    assert sorted(pair.find(creator_usernames=["olga"])) == ["old-1", "old-2"]
    assert pair.retrieve.get_readme(URI).startswith("word0 word1")
    pair.close()


# -- Documents of an earlier version ---------------------------------------------------------------------------------


def put_back(pair: Pair) -> list[dict[str, Any]]:
    """Register the datasets of ``old_index``, and store their words as version 1 did. Return their documents."""
    registered = []
    for old_info, tokens in zip(DATASETS, TOKENS, strict=True):
        info = {**dataset_info(old_info["name"], BASE_URI), **old_info}
        registered.append(info)
        for plugin in (pair.search, pair.retrieve):
            plugin.register_dataset(dict(info))
        columns = {name: text for name, text in tokens.items() if name != "facets"}
        words = list(dict.fromkeys(" ".join(columns.values()).split()))
        search = {
            "version": 1,
            "columns": {name: f" {text} " for name, text in columns.items()},
            "tokens": [word for word in words if word != "|"],
            "weights": [0.5],
            "other": 0.1,
        }
        changes = {f"_search.{name}": value for name, value in search.items()}
        pair.collection.update_one({"uri": info["uri"]}, {"$set": changes})
    return registered


@pytest.fixture(params=["together", "apart"])
def outdated(
    request: pytest.FixtureRequest, mongo_settings: dict[str, str], apart: dict[str, str]
) -> Iterator[tuple[Pair, list[dict[str, Any]]]]:
    """A server that starts with what version 1 has left, and the documents of the datasets."""
    settings = mongo_settings if request.param == "together" else apart
    before = Pair(settings)
    registered = put_back(before)
    before.close()
    pair = Pair(settings)
    yield pair, registered
    pair.close()


def find_old(pair: Pair, text: str) -> list[str]:
    return pair.find(text, base_uris=[BASE_URI])


def test_words_of_an_earlier_version_are_brought_up_to_date_at_the_start(
    outdated: tuple[Pair, list[dict[str, Any]]],
) -> None:
    pair, _ = outdated
    assert find_old(pair, "SP 500") == find_old(pair, "bean plate") == ["bean-harvest"]
    assert find_old(pair, "Müller mouse") == find_old(pair, '"lung cancer"') == ["SalesRegion"]
    assert find_old(pair, "notes.txt") == find_old(pair, "raw") == find_old(pair, "note*") == ["bean-harvest"]
    assert pair.search.ready() is None


def test_file_names_that_the_search_plugin_does_not_have_are_kept_and_asked_for(
    outdated: tuple[Pair, list[dict[str, Any]]],
) -> None:
    pair, registered = outdated
    together = pair.search.shares_collection
    uris = sorted(info["uri"] for info in registered)
    assert sorted(pair.search.list_outdated()) == ([] if together else uris)
    pair.search.set_readme(uris[0], "peas")
    pair.search.add_tag(uris[0], "green")
    assert find_old(pair, "peas green notes.txt") == ["bean-harvest"]
    assert find_old(pair, "U 96") == (["bean-harvest"] if together else [])
    assert sorted(pair.search.list_outdated()) == ([] if together else uris)
    documents = [
        {**registered[0], "readme": "peas", "tags": [*registered[0]["tags"], "green"]},
        *registered[1:],
    ]
    pair.search.register_datasets([dict(document) for document in documents])
    assert list(pair.search.list_outdated()) == []
    assert find_old(pair, "U 96 peas") == ["bean-harvest"]
    assert all(pair.search.holds(document) for document in documents)
    assert pair.search.faults() == []


def test_long_file_names_of_an_earlier_version_are_found(mongo_settings: dict[str, str]) -> None:
    settings = {**mongo_settings, "RETRIEVE_MONGO_COLLECTION": "described"}
    before = Pair(settings)
    before.register(manifest=large_manifest(40_000))
    parts = index.parts_of(before.collection)
    assert parts.update_many({"column": "files"}, {"$set": {"column": "rest"}}).modified_count
    before.collection.update_one(
        {"uri": URI},
        {"$set": {"_search.version": 1}, "$rename": {"_search.columns.files": "_search.columns.rest"}},
    )
    before.close()
    pair = Pair(settings)
    assert pair.find("raw/run1/sample_0000001.gz") == pair.find("sample_0039999") == ["name-1"]
    assert list(pair.search.list_outdated()) == [URI]
    assert pair.search.faults() == []
    pair.close()


def test_an_interrupted_edit_leaves_the_file_names(
    mongo_settings: dict[str, str], apart: dict[str, str]
) -> None:
    before = Pair(apart)
    before.register(readme="old", files=["raw/pods.csv"])
    before.collection.update_one({"uri": URI}, {"$set": {"readme": "new", "_search.version": 0}})
    before.close()
    pair = Pair(apart)
    assert pair.find("new pods.csv") == ["name-1"]
    assert list(pair.search.list_outdated()) == []
    pair.close()


def test_the_long_words_of_an_earlier_version_are_forgotten(mongo_settings: dict[str, str]) -> None:
    before = Pair(mongo_settings)
    before.register(manifest=large_manifest(40_000))
    before.collection.update_one({"uri": URI}, {"$set": {"_search.version": 1}})
    before.close()
    pair = Pair(mongo_settings)
    assert pair.find("sample_0039999") == ["name-1"]
    assert pair.search.faults() == []
    pair.close()


# -- Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["SEARCH_MONGO_URI", "SEARCH_MONGO_DB", "SEARCH_MONGO_COLLECTION"])
def test_a_missing_setting_is_named(setting: str) -> None:
    settings = mongo_plugins("mongodb://localhost/", "db")
    del settings[setting]
    app = Flask("missing")
    app.config.update(settings)
    with pytest.raises(RuntimeError, match=setting) as missing:
        MongoSearch().init_app(app)
    assert isinstance(missing.value, ConfigurationError)


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "http://localhost",
        "mongodb://u:p@ss@host/",
        "mongodb://u:secret@host:port/",
        "mongodb://",
        "",
        7,
    ],
)
def test_an_address_that_is_none_is_refused_in_one_line_without_the_password(address: Any) -> None:
    app = Flask("refused")
    app.config.update(mongo_plugins("mongodb://localhost/", "db"))
    app.config["RETRIEVE_MONGO_URI"] = address
    with pytest.raises(ConfigurationError, match="RETRIEVE_MONGO_URI") as refused:
        MongoRetrieve().init_app(app)
    assert "\n" not in refused.value.message
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("DB", "my.db"), ("DB", "a b"), ("DB", "x" * 64), ("COLLECTION", "a..b"), ("COLLECTION", "a$b")],
)
def test_a_name_that_the_server_would_refuse_stops_the_start(name: str, value: str) -> None:
    app = Flask("refused")
    app.config.update({**mongo_plugins("mongodb://localhost/", "db"), f"SEARCH_MONGO_{name}": value})
    with pytest.raises(ConfigurationError, match=f"SEARCH_MONGO_{name}"):
        MongoSearch().init_app(app)


def test_settings_have_the_defaults_of_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in mongo_plugins("", ""):
        monkeypatch.delenv(name, raising=False)
    assert MongoSearch().get_config() == {
        "SEARCH_MONGO_URI": "mongodb://localhost:27017/",
        "SEARCH_MONGO_DB": "dtool_info",
        "SEARCH_MONGO_COLLECTION": "datasets",
    }
    monkeypatch.setenv("RETRIEVE_MONGO_DB", "other")
    assert MongoRetrieve().get_config()["RETRIEVE_MONGO_DB"] == "other"
    assert set(MongoSearch().get_config_secrets_to_obfuscate()) == set(MongoSearch().get_config())


def test_writes_wait_for_the_disk_of_most_members(together: Pair) -> None:
    together.register()
    concern = together.collection.write_concern.document
    assert concern["w"] == "majority"
    assert concern["j"] is True


def test_options_in_the_address_win(mongod: Mongod) -> None:
    pair = Pair(mongo_plugins(f"{mongod.uri}?serverSelectionTimeoutMS=123&w=1", "db"))
    assert pair.search.client.options.server_selection_timeout == 0.123
    assert pair.collection.write_concern.document["w"] == 1
    pair.close()
