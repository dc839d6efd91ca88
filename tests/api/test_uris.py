"""``/uris``: listing, searching, looking up, registering and deleting datasets."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dtoolcore
import pytest
from sqlalchemy import text

from api.conftest import on_every_store, on_sql_alone, on_usual_stores, pagination, route
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR, Actor
from dservercore.dataset.document import generate_dataset_info
from dservercore.db import sql_db
from dservercore.errors import ValidationError
from dservercore.plugin_api import ExtensionABC
from dservercore.plugins.sql.search import SqlSearch
from dservercore.rest.blueprint import Blueprint
from support.world import ADMIN, BLUE, CHAMPION, READER, RED, dataset_info

pytestmark = on_every_store

KEYS = {
    "base_uri", "uri", "uuid", "name", "creator_username", "created_at", "frozen_at",
    "number_of_items", "size_in_bytes", "uploaded_by", "uploaded_at",
}  # fmt: skip
UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
OTHER_UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28338"
FROZEN_AT = 1536238185.881941


def path_of(info):
    return route("uris", info["uri"])


def names(answer):
    assert answer.status_code == 200, answer.json
    return [dataset["name"] for dataset in answer.json]


def nothing_is_stored(client):
    """Whether a refused registration left nothing in any store."""
    return (
        client.get("/uris").json == []
        and client.get("/uris?free_text=beans").json == []
        and client.get("/me/summary").json["number_of_datasets"] == 0
    )


class TestDatasetObject:
    """The same from every route, with exactly these keys."""

    def test_its_keys_and_values(self, champion, register):
        info = register(uuid=UUID, annotations={"type": "x"}, tags=["a"])
        expected = {key: info[key] for key in KEYS - {"uploaded_by", "uploaded_at"}}
        for answer in (
            champion.get(path_of(info)).json,
            *champion.get("/uris").json,
            *champion.post("/uris", json={}).json,
            *champion.get("/uris?free_text=beans").json,
            *champion.post("/uris", json={"creator_usernames": ["olga"]}).json,
            *champion.get(f"/uuids/{UUID}").json,
        ):
            uploaded_at = answer.pop("uploaded_at")
            assert abs(uploaded_at - time.time()) < 60
            assert answer.pop("uploaded_by") is None  # by the operator
            assert answer == expected

    @pytest.mark.parametrize("seconds", [FROZEN_AT, 1536832115.0, 0, 0.000001, -1.5, 4102444800.123456, 1e9])
    def test_time_is_in_seconds_with_microseconds_from_everywhere(self, champion, seconds):
        info = dataset_info(frozen_at=seconds, created_at=seconds)
        assert champion.put(path_of(info), json=info).status_code == 201
        for answer in (
            champion.get(path_of(info)).json,
            champion.get("/uris").json[0],
            champion.get("/uris?free_text=beans").json[0],
            champion.get(f"/uuids/{info['uuid']}").json[0],
        ):
            assert answer["frozen_at"] == answer["created_at"] == seconds
            assert isinstance(answer["frozen_at"], float)
            assert isinstance(answer["uploaded_at"], float)

    def test_what_was_not_given_is_null(self, champion):
        info = dataset_info()
        for key in ("number_of_items", "size_in_bytes", "created_at"):
            del info[key]
        assert champion.put(path_of(info), json=info).status_code == 201
        for answer in (champion.get(path_of(info)).json, *champion.get("/uris?tags=beans").json):
            assert answer["number_of_items"] is None
            assert answer["size_in_bytes"] is None
            assert answer["created_at"] == answer["frozen_at"] == FROZEN_AT


class TestList:
    """Without filters: everything in base URIs that one may search."""

    @pytest.fixture(autouse=True)
    def three(self, register):
        register(RED, name="r1")
        register(RED, name="r2")
        register(BLUE, name="b1")

    def test_what_one_may_search(self, reader, champion, nobody, admin):
        assert sorted(names(reader.get("/uris"))) == ["b1", "r1", "r2"]
        assert sorted(names(champion.get("/uris"))) == ["r1", "r2"]
        assert names(nobody.get("/uris")) == []
        assert names(admin.get("/uris")) == []

    def test_register_permission_is_not_search_permission(self, nobody, admin):
        admin.post("/users/nora/register/s3/red")
        assert names(nobody.get("/uris")) == []

    def test_post_is_the_same(self, reader):
        for body in ({}, {"tags": [], "uuids": [], "creator_usernames": [], "uploaded_by": []}):
            assert reader.post("/uris", json=body).json == reader.get("/uris").json
        assert reader.post("/uris").json == reader.get("/uris").json


class TestFilters:
    """Alternatives within creators, base URIs, UUIDs and uploaders; all of the tags; and all filters together."""

    DATASETS = [
        {"name": "d1", "creator_username": "amy", "tags": ["fruit", "red"], "uuid": UUID},
        {"name": "d2", "creator_username": "amy", "tags": ["fruit"], "base_uri": BLUE},
        {"name": "d3", "creator_username": "bob", "tags": ["red"], "base_uri": BLUE, "uuid": UUID},
        {"name": "d4", "creator_username": "bob, amy", "tags": [], "readme": "kiwi"},
    ]

    @pytest.fixture(autouse=True)
    def four(self, app, people):
        with app.app_context():
            for number, changes in enumerate(self.DATASETS, 1):
                info = dataset_info(**{"base_uri": RED, **changes})
                info["uri"] = f"{info['base_uri']}/{number}"
                actor = OPERATOR if number == 4 else Actor(CHAMPION if number < 3 else "eve")
                registration.register_dataset(actor, operator_scope("register"), info)
            sql_db.session.commit()

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"creator_usernames": ["amy"]}, "12"),
            ({"creator_usernames": ["amy", "bob"]}, "123"),
            ({"creator_usernames": ["bob, amy"]}, "4"),
            ({"creator_usernames": ["AMY"]}, ""),
            ({"creator_usernames": ["am"]}, ""),
            ({"base_uris": [RED]}, "14"),
            ({"base_uris": [RED, BLUE]}, "1234"),
            ({"base_uris": [BLUE, "s3://unknown"]}, "23"),
            ({"base_uris": ["s3://unknown"]}, ""),
            ({"base_uris": ["s3://re"]}, ""),
            ({"uuids": [UUID]}, "13"),
            ({"uuids": [UUID.upper()]}, "13"),
            ({"uuids": [UUID, OTHER_UUID]}, "13"),
            ({"uuids": [OTHER_UUID]}, ""),
            ({"tags": ["fruit"]}, "12"),
            ({"tags": ["fruit", "red"]}, "1"),
            ({"tags": ["red", "fruit", "red"]}, "1"),
            ({"tags": ["fruit", "unknown"]}, ""),
            ({"tags": ["Fruit"]}, ""),
            ({"tags": ["fruit,red"]}, ""),
            ({"uploaded_by": [CHAMPION]}, "12"),
            ({"uploaded_by": ["eve"]}, "3"),
            ({"uploaded_by": [CHAMPION, "eve"]}, "123"),
            ({"uploaded_by": ["nobody-did"]}, ""),
            ({"free_text": "beans"}, "123"),
            ({"free_text": "kiwi"}, "4"),
            ({"free_text": "BEANS greenhouse"}, "123"),
            ({"free_text": "beans OR kiwi"}, "1234"),
            ({"free_text": '"from the greenhouse"'}, "123"),
            ({"free_text": '"the from greenhouse"'}, ""),
            ({"free_text": "beans -red"}, "2"),
            ({"free_text": "green*"}, "123"),
            ({"free_text": ""}, "1234"),
            ({"free_text": "  "}, "1234"),
            ({"free_text": "\t\n"}, "1234"),
            ({"free_text": "\u00a0\u200b\ufeff"}, "1234"),
            ({"free_text": "", "creator_usernames": ["amy"]}, "12"),
            ({"free_text": " ", "tags": []}, "1234"),
            ({"free_text": "-"}, ""),
            ({"free_text": "amy", "tags": ["fruit"], "base_uris": [BLUE]}, "2"),
            ({"creator_usernames": ["amy"], "tags": ["red"]}, "1"),
            ({"creator_usernames": ["amy"], "uuids": [UUID], "base_uris": [BLUE]}, ""),
            (
                {"creator_usernames": ["bob"], "uploaded_by": ["eve"], "uuids": [UUID], "base_uris": [BLUE]},
                "3",
            ),
            ({"tags": []}, "1234"),
            ({"uuids": [], "creator_usernames": []}, "1234"),
            ({"tags": [], "creator_usernames": ["amy"]}, "12"),
            ({"uploaded_by": []}, "1234"),
        ],
        ids=str,
    )
    def test_by_post_and_by_get(self, reader, query, found):
        expected = [f"d{number}" for number in found]
        assert sorted(names(reader.post("/uris", json=query))) == expected
        parameters = [
            (key, item) for key, value in query.items() for item in ([value] if key == "free_text" else value)
        ]
        assert sorted(names(reader.get("/uris", query_string=parameters))) == expected

    def test_no_base_uri_at_all_finds_nothing(self, reader):
        """As opposed to every other empty list."""
        answer = reader.post("/uris", json={"base_uris": []})
        assert names(answer) == []
        assert pagination(answer) == {"total": 0, "total_pages": 0}

    def test_only_in_base_uris_that_one_may_search(self, champion, nobody):
        for query in ({"uuids": [UUID]}, {"base_uris": [RED, BLUE], "uuids": [UUID]}, {"free_text": "beans"}):
            assert names(champion.post("/uris", json=query)) == ["d1"]
        answer = champion.post("/uris", json={"base_uris": [BLUE]})
        assert names(answer) == []
        assert pagination(answer) == {"total": 0, "total_pages": 0}
        assert names(nobody.post("/uris", json={"free_text": "beans"})) == []

    def test_totals_count_what_one_may_search(self, champion, reader):
        assert pagination(champion.get("/uris?free_text=beans"))["total"] == 1
        assert pagination(reader.get("/uris?free_text=beans"))["total"] == 3

    @on_usual_stores
    @pytest.mark.parametrize("key", ["creator_usernames", "base_uris", "uuids", "tags", "uploaded_by"])
    @pytest.mark.parametrize("value", ["x", None, 1, {"a": 1}, [1], [None], [["x"]]])
    def test_what_is_no_list_of_text(self, reader, key, value):
        answer = reader.post("/uris", json={key: value})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == [key]

    @on_usual_stores
    @pytest.mark.parametrize("value", [None, 1, ["x"], {"$ne": 1}, True])
    def test_free_text_that_is_no_text(self, reader, value):
        assert reader.post("/uris", json={"free_text": value}).status_code == 422

    @on_usual_stores
    @pytest.mark.parametrize("value", ["x", "", UUID[:-1], UUID + "0", "g" * 32])
    def test_what_is_no_uuid(self, reader, value):
        assert reader.post("/uris", json={"uuids": [value]}).status_code == 422
        expected = 422 if value else 200  # an empty value of a query string filters nothing
        assert reader.get("/uris", query_string={"uuids": value}).status_code == expected

    @pytest.mark.parametrize(
        "text",
        [
            *[
                ":",
                "/",
                "(",
                "*",
                '"',
                "'",
                "-",
                "+",
                "a:b",
                "name:beans",
                "NEAR(a b)",
                "a AND",
                "OR",
                "NOT",
                "^a",
                "{a}",
            ],
            *[
                "beans OR",
                "OR beans",
                "-beans",
                "--",
                '"" ',
                '"a',
                "a*b",
                "\\",
                "%",
                "_",
                "😀",
                "ß",
                "\t\n",
                "é" * 500,
            ],
            *["$where", "{'$ne': 1}", "1=1; DROP TABLE dataset", "\u202e", "\ufffd", "a\u0301", "x" * 10_000],
        ],
    )
    def test_whatever_somebody_types_is_no_error(self, reader, text):
        answer = reader.post("/uris?sort=relevance", json={"free_text": text})
        assert answer.status_code == 200
        assert reader.get("/uris", query_string={"free_text": text[:2000]}).status_code == 200

    def test_text_without_end_is_refused(self, reader):
        answer = reader.post("/uris", json={"free_text": "word " * 5000})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["free_text"]


class TestFreeTextReach:
    """Words are found wherever a user might remember them from."""

    @pytest.mark.parametrize(
        "text",
        [
            *[
                "bean",
                "HARVEST",
                "bean-harvest",
                "Greenhouse",
                "beans",
                "loam",
                "soil",
                "2026",
                "olga",
                "red",
            ],
            *["U00096", "U00096.3.rev.1.bt2", "pods", "bt2", UUID, UUID.upper(), UUID[:8], f"{RED}/{UUID}"],
        ],
    )
    def test_name_readme_annotations_tags_creator_uri_uuid_and_file_names(self, champion, register, text):
        register(uuid=UUID)
        assert names(champion.post("/uris", json={"free_text": text})) == ["bean-harvest"]

    @pytest.mark.parametrize(
        "text", ["ean", "greenhous3", "grün", "greenh", "d89117c9da2cc34586e183017cb14851"]
    )
    def test_parts_of_words_and_hashes_are_not_found(self, champion, register, text):
        register(uuid=UUID)
        assert names(champion.post("/uris?strict=true", json={"free_text": text})) == []


class TestLookUp:
    def test_a_dataset(self, champion, register):
        info = register()
        answer = champion.get(path_of(info))
        assert answer.status_code == 200
        assert set(answer.json) == KEYS
        assert answer.json["uri"] == info["uri"]

    def test_needs_search_permission(self, champion, nobody, admin, register):
        red, blue = register(RED), register(BLUE)
        assert champion.get(path_of(red)).status_code == 200
        assert champion.get(path_of(blue)).status_code == 403
        assert nobody.get(path_of(red)).status_code == 403
        admin.post("/users/nora/register/s3/red")
        assert nobody.get(path_of(red)).status_code == 403

    def test_what_is_not_registered(self, champion):
        assert champion.get("/uris/s3/red/missing").status_code == 404
        assert champion.get("/uris/s3/unknown/missing").status_code == 403

    def test_text_after_the_uri_is_part_of_it(self, champion, register):
        info = register()
        assert champion.get(path_of(info) + "/more").status_code == 403
        assert champion.get(path_of(info) + "0").status_code == 404


class TestRegister:
    def test_201_for_a_new_dataset_and_200_for_a_known_one(self, champion):
        info = dataset_info()
        first, second = (champion.put(path_of(info), json=info) for _ in range(2))
        assert (first.status_code, first.json) == (201, "")
        assert (second.status_code, second.json) == (200, "")
        assert pagination(champion.get("/uris"))["total"] == 1
        assert pagination(champion.get("/uris?free_text=beans"))["total"] == 1

    def test_everything_arrives(self, champion):
        info = dataset_info(
            readme="---\nproject: größe 😀\n",
            annotations={"a": {"b": [1, None, 2.5, "x"]}, "language": "klingon"},
        )
        champion.put(path_of(info), json=info)
        for resource, key in [("readmes", "readme"), ("tags", "tags"), ("annotations", "annotations")]:
            assert champion.get(route(resource, info["uri"])).json == {key: info[key]}
        assert champion.get(route("manifests", info["uri"])).json == info["manifest"]
        found = champion.get(path_of(info)).json
        assert {key: info[key] for key in KEYS - {"uploaded_by", "uploaded_at"}} == {
            key: found[key] for key in KEYS - {"uploaded_by", "uploaded_at"}
        }

    def test_replacing_replaces_everything(self, champion):
        info = dataset_info()
        champion.put(path_of(info), json=info)
        changed = {
            **info, "name": "pea-harvest", "creator_username": "ines", "readme": "Peas", "tags": ["peas"],
            "annotations": {"soil": "sand"}, "frozen_at": 5.5, "created_at": 4.25, "number_of_items": 7,
            "size_in_bytes": 8, "manifest": {"items": {}, "hash_function": "x", "dtoolcore_version": "1"},
        }  # fmt: skip
        assert champion.put(path_of(info), json=changed).status_code == 200
        found = champion.get(path_of(info)).json
        assert {key: changed[key] for key in KEYS - {"uploaded_by", "uploaded_at"}}.items() <= found.items()
        assert champion.get(route("readmes", info["uri"])).json == {"readme": "Peas"}
        assert champion.get(route("tags", info["uri"])).json == {"tags": ["peas"]}
        assert champion.get(route("annotations", info["uri"])).json == {"annotations": {"soil": "sand"}}
        assert champion.get(route("manifests", info["uri"])).json == changed["manifest"]
        assert names(champion.get("/uris?free_text=beans")) == []
        assert names(champion.get("/uris?tags=beans")) == []
        assert names(champion.get("/uris?creator_usernames=olga")) == []
        assert names(champion.get("/uris?free_text=peas&tags=peas&creator_usernames=ines")) == ["pea-harvest"]

    def test_a_changed_uuid_leaves_one_dataset(self, champion):
        info = dataset_info(uri=f"{RED}/by-name")
        champion.put(path_of(info), json=info)
        other = {**info, "uuid": OTHER_UUID}
        assert champion.put(path_of(info), json=other).status_code == 200
        assert champion.get(f"/uuids/{info['uuid']}").json == []
        assert pagination(champion.post("/uris", json={"free_text": "beans"}))["total"] == 1
        assert champion.post("/uris", json={"uuids": [info["uuid"]]}).json == []

    def test_it_says_who_did_it_and_when_with_every_put(self, app, champion, reader):
        info = dataset_info()
        before = time.time()
        champion.put(path_of(info), json=info)
        first = champion.get(path_of(info)).json
        assert first["uploaded_by"] == CHAMPION
        assert before - 1 <= first["uploaded_at"] <= time.time() + 1
        with app.app_context():
            users.grant("register", READER, RED)
            sql_db.session.commit()
        reader.put(path_of(info), json=info)
        second = champion.get(path_of(info)).json
        assert second["uploaded_by"] == READER
        assert second["uploaded_at"] > first["uploaded_at"]
        assert names(champion.get(f"/uris?uploaded_by={CHAMPION}")) == []
        assert names(champion.get(f"/uris?uploaded_by={READER}")) == ["bean-harvest"]

    def test_needs_register_permission(self, champion, reader, nobody, admin):
        info = dataset_info(RED)
        for client in (reader, nobody, admin):
            assert client.put(path_of(info), json=info).status_code == 403
        for base_uri in (BLUE, "s3://unknown"):
            info = dataset_info(base_uri)
            assert champion.put(path_of(info), json=info).status_code == 403
        assert nothing_is_stored(reader)

    def test_search_permission_is_not_needed(self, app, nobody):
        with app.app_context():
            users.grant("register", "nora", RED)
            sql_db.session.commit()
        info = dataset_info()
        assert nobody.put(path_of(info), json=info).status_code == 201
        assert nobody.get(path_of(info)).status_code == 403


class TestRegisterForms:
    """What is accepted in the document."""

    def put(self, client, **changes):
        info = dataset_info(**changes)
        answer = client.put(path_of(info), json=info)
        return answer, info

    @pytest.mark.parametrize(
        "spelling", [UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}", UUID.title()]
    )
    def test_a_uuid_in_any_spelling(self, champion, spelling):
        info = dataset_info(uuid=UUID) | {"uuid": spelling}
        assert champion.put(path_of(info), json=info).status_code == 201
        assert champion.get(path_of(info)).json["uuid"] == UUID
        assert len(champion.get(f"/uuids/{UUID}").json) == 1
        assert len(champion.post("/uris", json={"uuids": [UUID]}).json) == 1

    @pytest.mark.parametrize(
        "moment", [FROZEN_AT, str(FROZEN_AT), "1536238185.881941", 1536238185, "1536238185", "1e9"]
    )
    def test_times_as_numbers_or_numeric_strings(self, champion, moment):
        answer, info = self.put(champion, frozen_at=moment, created_at=moment)
        assert answer.status_code == 201
        found = champion.get(path_of(info)).json
        assert found["frozen_at"] == found["created_at"] == float(moment)

    @pytest.mark.parametrize(
        ("given", "stored"),
        [(7, 7), ("7", 7), (7.9, 7), (0, 0), (2**63 - 1, 2**63 - 1), (str(2**63 - 1), 2**63 - 1)],
    )
    def test_counts_as_numbers_or_numeric_strings(self, champion, given, stored):
        answer, info = self.put(champion, number_of_items=given, size_in_bytes=given)
        assert answer.status_code == 201
        found = champion.get(path_of(info)).json
        assert found["number_of_items"] == found["size_in_bytes"] == stored
        assert champion.get("/me/summary").json["total_size_in_bytes"] == stored

    @pytest.mark.parametrize(
        "manifest",
        [{}, {"items": {}}, {"items": {"x": {}}}, {"items": {"x": {"relpath": "a", "size_in_bytes": "3"}}}],
        ids=str,
    )
    def test_a_manifest_that_says_little(self, champion, manifest):
        answer, info = self.put(champion, manifest=manifest)
        assert answer.status_code == 201
        assert champion.get(route("manifests", info["uri"])).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"readme": ""},
            {"tags": []},
            {"annotations": {}},
            {"name": "x"},
            {"name": "x" * 80},
            {"name": "größe 😀 with spaces"},
            {"creator_username": "x" * 255},
            {"tags": ["a" * 80, "A-_.9"]},
            {"annotations": {"a" * 80: 1}},
            {"annotations": {"null": None, "true": True, "list": [], "number": -(2**63), "text": "\u0001"}},
            {"annotations": {"language": "none", "_id": 1, "deep": {"$where": "1", "a.b": 2, "": 3}}},
            {"dtoolcore_version": "3.19.0"},
            {"frozen_at": -62135596800},
            {"frozen_at": 253402300799},
        ],
        ids=str,
    )
    def test_what_is_unusual_but_right(self, champion, changes):
        answer, info = self.put(champion, **changes)
        assert answer.status_code == 201, answer.json
        for key, resource in [("readme", "readmes"), ("tags", "tags"), ("annotations", "annotations")]:
            assert champion.get(route(resource, info["uri"])).json == {key: info[key]}
        assert champion.get(path_of(info)).json["name"] == info["name"]

    def test_a_tag_given_twice_is_there_once(self, champion):
        answer, info = self.put(champion, tags=["b", "a", "b"])
        assert answer.status_code == 201
        assert champion.get(route("tags", info["uri"])).json == {"tags": ["b", "a"]}

    def test_a_dataset_is_named_by_uuid_or_otherwise(self, champion):
        for segment in ("by-name", "1", "a.b", UUID[:8]):
            answer, info = self.put(champion, uri=f"{RED}/{segment}")
            assert answer.status_code == 201
            assert champion.get(path_of(info)).json["uuid"] == info["uuid"]

    def test_what_dtool_tells_of_a_dataset_can_be_put_as_it_is(self, app, champion, tmp_path):
        dataset = a_real_dataset(tmp_path)
        base_uri = dataset.uri.rsplit("/", 1)[0]
        with app.app_context():
            base_uris.create_base_uri(base_uri, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
        info = generate_dataset_info(dataset, base_uri)
        assert isinstance(info["frozen_at"], float)
        assert "dtoolcore_version" in info
        assert champion.put(path_of(info), json=info).status_code == 201
        found = champion.get(path_of(info)).json
        assert found["frozen_at"] == pytest.approx(info["frozen_at"], abs=1e-6)
        assert (found["number_of_items"], found["size_in_bytes"]) == (1, len("a,b\n"))
        assert champion.get(route("manifests", info["uri"])).json == info["manifest"]
        assert names(champion.get("/uris?free_text=yield.csv")) == ["real-beans"]


@on_usual_stores
class TestRefusedDocuments:
    """Nothing is stored of a document that is not right, and the answer names the field."""

    REQUIRED = [
        "uuid", "base_uri", "uri", "name", "type", "readme", "manifest", "creator_username", "frozen_at",
        "annotations", "tags",
    ]  # fmt: skip

    @pytest.mark.parametrize("key", REQUIRED)
    def test_400_for_what_is_missing(self, champion, key):
        info = dataset_info()
        path = path_of(info)
        del info[key]
        answer = champion.put(path, json=info)
        assert answer.status_code == 400
        assert list(answer.json["errors"]["json"]) == [key]
        assert nothing_is_stored(champion)

    def test_400_for_no_document_at_all(self, champion):
        assert champion.put("/uris/s3/red/x", json={}).status_code == 400
        assert champion.put("/uris/s3/red/x").status_code == 400

    @pytest.mark.parametrize("key", [*REQUIRED, "created_at", "number_of_items", "size_in_bytes"])
    def test_422_for_null(self, champion, key):
        info = dataset_info()
        answer = champion.put(path_of(info), json={**info, key: None})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == [key]
        assert nothing_is_stored(champion)

    def test_400_for_another_uri_than_in_the_path(self, champion):
        info = dataset_info()
        answer = champion.put("/uris/s3/red/elsewhere", json=info)
        assert answer.status_code == 400
        assert nothing_is_stored(champion)

    @pytest.mark.parametrize("type_", ["protodataset", "", "Dataset", "dataset "])
    def test_400_for_what_is_no_frozen_dataset(self, champion, type_):
        info = dataset_info(type=type_)
        answer = champion.put(path_of(info), json=info)
        assert answer.status_code == 400
        assert nothing_is_stored(champion)

    BAD = [
        ("uuid", ["x", "", 1, UUID[:-1], UUID + "0", [UUID]]),
        ("name", ["", "x" * 81, 1, ["x"], "a\0b", "\ud800"]),
        ("creator_username", ["", "x" * 256, 1, "\ud800"]),
        ("readme", [1, {"a": 1}, "\0", "\udfff"]),
        ("type", [1, ["dataset"]]),
        (
            "frozen_at",
            ["abc", "inf", "-inf", "nan", "1e18", 1e18, "", True, [1], "2026-01-01", "1_000_000_000_000"],
        ),
        ("created_at", ["abc", "inf", "nan", "1e18", -1e18, "", False, {}]),
        ("number_of_items", [-1, "-1", 2**63, "x", 2**70, True, [1], "1e400", "nan"]),
        ("size_in_bytes", [-1, 2**63, str(2**63), "x", 1e30, [], "inf"]),
        (
            "tags",
            ["fruit", {"a": 1}, [1], [None], ["bad tag!"], [""], ["a" * 81], ["a/b"], ["a\n"], ["ü"], ["\0"]],
        ),
        (
            "annotations",
            [[], "x", 1, {"bad name!": 1}, {"": 1}, {"a" * 81: 1}, {"a/b": 1}, {"a\n": 1}, {"ü": 1}],
        ),
        ("annotations", [{"x": 2**63}, {"x": [-(2**63) - 1]}, {"a\0": 1}, {"x": "\0"}, {"x": {"\ud800": 1}}]),
        (
            "manifest",
            [[], "x", {"items": []}, {"items": {"x": 1}}, {"unknown": 1}, {"items": {"x": {"unknown": 1}}}],
        ),
        (
            "manifest",
            [{"hash_function": 1}, {"items": {"x": {"size_in_bytes": -1}}}, {"items": {"x": {"hash": 1}}}],
        ),
        ("manifest", [{"items": {"x": {"relpath": "\0"}}}, {"items": {"x": {"utc_timestamp": "x"}}}]),
        (
            "manifest",
            [{"items": {"x": {"size_in_bytes": 2**63}}}, {"dtoolcore_version": None}, {"items": None}],
        ),
        ("uploaded_by", [CHAMPION, None]),
        ("uploaded_at", [1.0, "1.0", None]),
        ("colour", ["red"]),
    ]

    @pytest.mark.parametrize(
        ("key", "value"), [(key, value) for key, values in BAD for value in values], ids=repr
    )
    def test_422_for_what_cannot_be(self, champion, key, value):
        info = dataset_info(uri=f"{RED}/x")
        answer = champion.put(path_of(info), json={**info, key: value})
        assert answer.status_code == 422, answer.json
        assert [named.split(".")[0] for named in answer.json["errors"]["json"]] == [key]
        assert nothing_is_stored(champion)

    @pytest.mark.parametrize(
        ("uri", "base_uri"),
        [
            (f"{BLUE}/x", RED),
            (f"{RED}/deeper/x", RED),
            (f"{RED}x", RED),
            (RED, RED),
            (f"{RED}/..", RED),
            (f"{RED}/.", RED),
            (f"{RED}/" + "x" * 1024, RED),
        ],
    )
    def test_a_uri_that_is_not_right_below_its_base_uri(self, champion, uri, base_uri):
        answer = champion.put(route("uris", uri), json=dataset_info(base_uri, uri=uri))
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["uri"]
        assert nothing_is_stored(champion)

    @pytest.mark.parametrize("segment", ["x\ny", "x\ty", "x\x7f", "x?", "x?y", "x#y"])
    def test_a_uri_that_dtool_could_not_find_again(self, champion, segment):
        uri = f"{RED}/{segment}"
        encoded = "".join(f"%{byte:02X}" for byte in segment.encode())
        answer = champion.put(f"/uris/s3/red/{encoded}", json=dataset_info(uri=uri))
        assert answer.status_code in (400, 422)
        assert nothing_is_stored(champion)

    def test_a_base_uri_that_ends_in_a_slash(self, champion):
        info = dataset_info(uri=f"{RED}//x") | {"base_uri": f"{RED}/"}
        assert champion.put(path_of(info), json=info).status_code in (400, 403, 422)
        assert nothing_is_stored(champion)

    def test_another_uuid_than_the_uri_ends_in(self, champion):
        info = dataset_info(uuid=UUID) | {"uuid": OTHER_UUID}
        answer = champion.put(path_of(info), json=info)
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["uuid"]
        assert nothing_is_stored(champion)

    def test_an_annotation_without_end(self, champion):
        """Deeper than any store can hold."""
        deep = 1
        for _ in range(200):
            deep = [deep]
        info = dataset_info(annotations={"deep": deep})
        assert champion.put(path_of(info), json=info).status_code == 422
        assert nothing_is_stored(champion)

    def test_a_document_that_is_not_right_leaves_what_was_there(self, champion, register):
        info = register()
        before = champion.get("/uris").json
        for change in ({"tags": ["bad tag!"]}, {"frozen_at": "inf"}, {"type": "x"}, {"name": "x" * 81}):
            assert champion.put(path_of(info), json={**info, "readme": "new", **change}).status_code in (
                400,
                422,
            )
        assert champion.get("/uris").json == before
        assert champion.get(route("readmes", info["uri"])).json == {"readme": info["readme"]}
        assert names(champion.get("/uris?free_text=new")) == []


@on_sql_alone
class TestPluginsThatRefuse:
    """What a store cannot hold is stored nowhere; what an extension cannot take is stored all the same."""

    class PickySearch(SqlSearch):
        def register_dataset(self, dataset_info):
            super().register_dataset(dataset_info)
            if "too large" in dataset_info["readme"]:
                raise ValidationError("larger than 16 MB")

    class BrokenExtension(ExtensionABC):
        def register_dataset(self, dataset_info):
            sql_db.session.execute(text("DELETE FROM dataset"))
            raise RuntimeError("a bug of the extension")

        delete_dataset = register_dataset

        def get_blueprint(self):
            return Blueprint("broken", __name__)

    @pytest.fixture
    def with_plugins(self, make_app, sign_in):
        """``with_plugins(search=...)`` returns a client of an application with that plugin."""

        def client(**plugins):
            app = make_app()
            app.extensions["dservercore"] = replace(app.extensions["dservercore"], **plugins)
            return sign_in(CHAMPION, app)

        return client

    def test_a_store(self, with_plugins):
        champion = with_plugins(search=self.PickySearch())
        info = dataset_info(readme="beans, too large")
        answer = champion.put(path_of(info), json=info)
        assert answer.status_code == 400
        assert answer.json["message"] == "larger than 16 MB"
        assert nothing_is_stored(champion)

    def test_a_store_that_has_the_dataset_keeps_the_old_one(self, with_plugins, register):
        champion = with_plugins(search=self.PickySearch())
        info = register()
        assert champion.put(path_of(info), json={**info, "readme": "too large"}).status_code == 400
        assert champion.get(route("readmes", info["uri"])).json == {"readme": info["readme"]}
        assert names(champion.get("/uris?free_text=greenhouse")) == [info["name"]]

    def test_an_extension(self, with_plugins, caplog):
        champion = with_plugins(extensions=(self.BrokenExtension(),))
        info = dataset_info()
        assert champion.put(path_of(info), json=info).status_code == 201
        assert names(champion.get("/uris?free_text=beans")) == [info["name"]]
        assert "a bug of the extension" in caplog.text
        assert champion.delete(path_of(info)).status_code == 200
        assert nothing_is_stored(champion)


class TestHijacking:
    """Permission on one base URI gives no hold on the datasets of another."""

    @pytest.fixture
    def victim(self, register):
        return register(BLUE, uuid=UUID)

    @pytest.mark.parametrize("base_uri", [RED, BLUE])
    def test_a_dataset_cannot_be_moved(self, champion, reader, victim, base_uri):
        before = reader.get(path_of(victim)).json
        stolen = {**victim, "base_uri": base_uri, "readme": "mine"}
        assert champion.put(path_of(victim), json=stolen).status_code in (400, 403, 422)
        assert reader.get(path_of(victim)).json == before
        assert reader.get(route("readmes", victim["uri"])).json == {"readme": victim["readme"]}
        assert champion.get("/uris").json == []

    def test_a_uri_cannot_be_claimed_in_advance(self, champion, reader):
        info = {**dataset_info(BLUE), "base_uri": RED}
        assert champion.put(path_of(info), json=info).status_code in (400, 403, 422)
        assert reader.get("/uris").json == []

    def test_a_base_uri_within_another_is_another(self, app, champion, reader):
        with app.app_context():
            base_uris.create_base_uri(f"{RED}/inner", [READER], [])
            sql_db.session.commit()
        info = dataset_info(f"{RED}/inner")
        assert champion.put(path_of(info), json=info).status_code == 403
        assert champion.put(path_of(info), json={**info, "base_uri": RED}).status_code == 422
        assert champion.delete(path_of(info)).status_code == 403


class TestDelete:
    def test_it_is_found_nowhere_any_more(self, champion, register):
        info, other = register(), register()
        answer = champion.delete(path_of(info))
        assert (answer.status_code, answer.json) == (200, "")
        for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
            assert champion.get(route(resource, info["uri"])).status_code == 404
        assert champion.get(f"/uuids/{info['uuid']}").json == []
        for path in ("/uris", "/uris?free_text=beans", "/uris?tags=beans", "/uris?creator_usernames=olga"):
            assert [dataset["uri"] for dataset in champion.get(path).json] == [other["uri"]]
        assert champion.get("/me/summary").json["number_of_datasets"] == 1

    def test_it_can_be_registered_again(self, champion, register):
        info = register()
        champion.delete(path_of(info))
        again = {**info, "readme": "Peas", "tags": []}
        assert champion.put(path_of(info), json=again).status_code == 201
        assert champion.get(route("readmes", info["uri"])).json == {"readme": "Peas"}
        assert names(champion.get("/uris?free_text=beans")) == ["bean-harvest"]  # by its name
        assert names(champion.get("/uris?free_text=greenhouse")) == []

    def test_what_is_not_there_is_deleted_as_well(self, champion):
        assert champion.delete("/uris/s3/red/missing").status_code == 200
        assert champion.delete("/uris/s3/red/missing").json == ""

    def test_needs_register_permission(self, champion, reader, admin, nobody, register):
        red, blue = register(RED), register(BLUE)
        for client in (reader, admin, nobody):
            assert client.delete(path_of(red)).status_code == 403
        assert champion.delete(path_of(blue)).status_code == 403
        assert champion.delete("/uris/s3/unknown/x").status_code == 403
        assert len(reader.get("/uris").json) == 2


class TestConcurrency:
    """What several clients do at the same time."""

    def together(self, sign_in, *requests):
        def send(request):
            method, path, body = request
            return sign_in(CHAMPION).open(path, method=method, json=body)

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(send, requests))

    def test_one_of_many_first_registrations_is_the_first(self, champion, sign_in):
        info = dataset_info()
        answers = self.together(sign_in, *[("PUT", path_of(info), info)] * 8)
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert pagination(champion.get("/uris"))["total"] == 1
        assert pagination(champion.get("/uris?free_text=beans"))["total"] == 1
        assert champion.get("/me/summary").json["number_of_datasets"] == 1

    def test_no_edit_is_lost(self, champion, sign_in, register):
        uri = register(tags=[], annotations={})["uri"]
        numbers = range(8)
        tags = [("POST", route("tags", uri, f"t{number}"), None) for number in numbers]
        values = [("PUT", route("annotations", uri, f"a{number}"), {"value": number}) for number in numbers]
        assert {answer.status_code for answer in self.together(sign_in, *tags, *values)} == {200}
        assert sorted(champion.get(route("tags", uri)).json["tags"]) == [f"t{number}" for number in numbers]
        expected = {f"a{number}": number for number in numbers}
        assert champion.get(route("annotations", uri)).json == {"annotations": expected}

    def test_registering_and_deleting_end_in_one_or_the_other(self, champion, sign_in):
        info = dataset_info()
        requests = [("PUT", path_of(info), info), ("DELETE", path_of(info), None)] * 4
        assert {answer.status_code for answer in self.together(sign_in, *requests)} <= {200, 201}
        total = len(champion.get("/uris").json)
        assert len(champion.get("/uris?free_text=beans").json) == total
        assert champion.get("/me/summary").json["number_of_datasets"] == total


def a_real_dataset(directory: Path) -> dtoolcore.DataSet:
    """Return a frozen dataset on disk, made by dtool."""
    (directory / "yield.csv").write_text("a,b\n")
    (directory / "storage").mkdir()
    with dtoolcore.DataSetCreator(
        "real-beans", str(directory / "storage"), creator_username=ADMIN
    ) as creator:
        creator.put_item(str(directory / "yield.csv"), "yield.csv")
        creator.put_annotation("soil", "loam")
        creator.put_tag("fruit")
    return dtoolcore.DataSet.from_uri(creator.uri)


class TestForgiving:
    """A query that little answers is read otherwise, and X-Search says how."""

    def test_what_was_done_is_said(self, champion, register):
        register()
        answer = champion.get("/uris?free_text=greenhuose")
        assert names(answer) == ["bean-harvest"]
        assert json.loads(answer.headers["X-Search"]) == {
            "corrected": {"greenhuose": ["greenhouse"]},
            "optional": [],
            "strict_total": 0,
        }
        assert champion.post("/uris", json={"free_text": "greenhuose"}).headers["X-Search"]

    def test_it_can_be_turned_off(self, champion, register):
        register()
        for answer in (
            champion.get("/uris?free_text=greenhuose&strict=true"),
            champion.post("/uris?strict=true", json={"free_text": "greenhuose"}),
        ):
            assert names(answer) == []
            assert "X-Search" not in answer.headers

    def test_an_answer_to_what_is_typed_has_no_such_header(self, champion, register):
        register()
        assert "X-Search" not in champion.get("/uris?free_text=greenhouse").headers
        assert "X-Search" not in champion.get("/uris").headers

    def test_of_a_long_query_the_header_is_short(self, champion, register):
        register()
        text = "greenhuose " + " ".join(f"word{chr(97 + n % 26) * 9}ü" for n in range(150))
        answer = champion.get("/uris", query_string={"free_text": text})
        assert names(answer) == ["bean-harvest"]
        assert len(answer.headers["X-Search"]) <= 2000

    @pytest.mark.parametrize("value", ["maybe", ""])
    def test_a_value_that_is_neither_is_a_422(self, champion, value):
        assert champion.get(f"/uris?free_text=x&strict={value}").status_code == 422
