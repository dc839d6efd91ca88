"""What the original server got wrong, and ours must not: one class per numbered defect of its behaviour contract.

Numbers that concern MongoDB, dependency graphs, webhooks or signed URLs alone are tested with those extensions.
"""

from __future__ import annotations

import itertools
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from flask import Flask
from flask.testing import FlaskClient

from dservercore import create_app, sql_db
from dservercore.catalog import base_uris, users
from dservercore.cli import base_uri_cli
from dservercore.dataset.document import generate_dataset_info
from dservercore.errors import ConfigurationError
from dservercore.plugin_host import PluginSet
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch
from dservercore.settings.configuration import read_environment
from dservercore.settings.table import CONFIG_EXCLUSIONS
from support.live_server import LiveServer
from support.stores import contents, database_file, disagreements
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info
from support.worlds import World, world

Bearer = Callable[..., dict[str, str]]
Register = Callable[..., dict[str, Any]]


@pytest.fixture
def carl(people: None, bearer: Bearer) -> dict[str, str]:
    """Headers of somebody who may search and register in RED, and nothing else."""
    return bearer(CHAMPION)


@pytest.fixture
def ada(people: None, bearer: Bearer) -> dict[str, str]:
    """Headers of an administrator."""
    return bearer(ADMIN)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    """A world for the tests that change nothing."""
    with world(tmp_path_factory.mktemp("steady"), key_pair) as steady:
        before = steady.contents()
        yield steady
        assert steady.contents() == before


def may(app: Flask, username: str, base_uri: str) -> None:
    """Let a user search and register in a base URI."""
    with app.app_context():
        users.grant("search", username, base_uri)
        users.grant("register", username, base_uri)
        sql_db.session.commit()


def stored_dataset(base: Path, name: str = "beans") -> dtoolcore.DataSet:
    """A frozen dataset with a README, a tag and an annotation, on disk."""
    proto = dtoolcore.create_proto_dataset(name, f"file://{base}", readme_content="crop: beans\n")
    item = base / "item.txt"
    item.write_text("one bean")
    proto.put_item(str(item), "item.txt")
    proto.put_tag("kept")
    proto.put_annotation("soil", "loam")
    proto.freeze()
    return dtoolcore.DataSet.from_uri(proto.uri)


def on_this_host(dataset: dtoolcore.DataSet) -> str:
    """The URI of a dataset on disk, without the host name that dtool writes into it."""
    return dataset.uri.replace(f"file://{socket.gethostname()}", "file://")


# -- Security --------------------------------------------------------------------------------------------------------


class TestDefect01CrossBaseHijack:
    def test_a_dataset_cannot_be_claimed_for_another_base_uri(
        self, app: Flask, client: FlaskClient, register: Register, carl: dict[str, str]
    ) -> None:
        theirs = register(BLUE, readme="owner: rita\n")
        before = contents(database_file(app))
        claimed = {**theirs, "base_uri": RED, "readme": "owner: carl\n"}
        answer = client.put(f"/uris/{theirs['uri']}", json=claimed, headers=carl)
        assert answer.status_code == 422
        assert "uri" in answer.json["errors"]["json"]
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record

    def test_a_row_of_another_base_uri_is_not_taken_over(
        self, app: Flask, client: FlaskClient, carl: dict[str, str]
    ) -> None:
        """As the original may have left one: registered under BLUE, though its URI lies in RED."""
        info = dataset_info()
        with app.app_context():
            blue = base_uris.get_id(BLUE)
            insert_row(info, blue)
        before = contents(database_file(app))
        assert client.put(f"/uris/{info['uri']}", json=info, headers=carl).status_code == 403
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record


def insert_row(info: dict[str, Any], base_uri_id: int) -> None:
    """Insert nothing but the row of a dataset, as the original's database has it."""
    sql_db.session.execute(
        sql_db.text(
            "INSERT INTO dataset (base_uri_id, uri, uuid, name, creator_username, frozen_at, created_at)"
            " VALUES (:base, :uri, :uuid, :name, :creator, '2018-09-06 12:49:45.881941', '2018-09-06 12:00:00.0')"
        ),
        {
            "base": base_uri_id,
            "uri": info["uri"],
            "uuid": info["uuid"],
            "name": info["name"],
            "creator": info["creator_username"],
        },
    )
    sql_db.session.commit()


class TestDefect02DeepURI:
    def test_a_uri_of_two_segments_below_the_base_is_refused(
        self, app: Flask, client: FlaskClient, carl: dict[str, str]
    ) -> None:
        before = contents(database_file(app))
        info = dataset_info()
        deep = {**info, "uri": f"{RED}/below/{info['uuid']}"}
        answer = client.put(f"/uris/{deep['uri']}", json=deep, headers=carl)
        assert answer.status_code == 422
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record

    def test_one_that_is_stored_is_found_and_deleted_by_its_row(
        self, app: Flask, client: FlaskClient, carl: dict[str, str]
    ) -> None:
        info = dataset_info(uri=f"{RED}/below/the/base")
        with app.app_context():
            insert_row(info, base_uris.get_id(RED))
        assert client.get(f"/uris/{info['uri']}", headers=carl).json["uri"] == info["uri"]
        assert client.delete(f"/uris/{info['uri']}", headers=carl).status_code == 200
        assert client.get(f"/uris/{info['uri']}", headers=carl).status_code in (403, 404)
        assert contents(database_file(app))["dataset"] == []


class TestDefect04AuthorisationSwitch:
    @pytest.mark.parametrize("word", ["False", "false", "0", "no", "off", ""])
    def test_words_that_mean_no_leave_authorisation_on(self, tmp_path: Path, word: str) -> None:
        config = read_environment({"DISABLE_JWT_AUTHORISATION": word, "DSERVER_DATA_DIR": str(tmp_path)})
        config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///:memory:"
        app = create_app(config)
        with app.app_context():
            sql_db.create_all()
        assert app.test_client().get("/me").status_code == 401

    def test_other_words_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="DISABLE_JWT_AUTHORISATION"):
            read_environment({"DISABLE_JWT_AUTHORISATION": "maybe", "DSERVER_DATA_DIR": str(tmp_path)})

    def test_the_default_user_is_who_registered(self, config: dict[str, Any]) -> None:
        app = create_app({**config, "DISABLE_JWT_AUTHORISATION": True, "DEFAULT_USER": CHAMPION})
        with app.app_context():
            sql_db.create_all()
            users.add_user(CHAMPION)
            base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
        client, info = app.test_client(), dataset_info()
        assert client.put(f"/uris/{info['uri']}", json=info).status_code == 201
        assert client.get(f"/uris/{info['uri']}").json["uploaded_by"] == CHAMPION


class TestDefect06AuthenticationFirst:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PUT", f"/uris/{RED}/x", {"nonsense": 1}),
            ("POST", "/uris", {"tags": 5}),
            ("PUT", f"/readmes/{RED}/x", {}),
            ("PUT", f"/tags/{RED}/x", {"tags": 5}),
            ("PUT", f"/annotations/{RED}/x/y", {"value": None}),
            ("PUT", "/users/x", {"is_admin": "perhaps"}),
            ("PATCH", "/users/x", {"nonsense": 1}),
            ("PATCH", "/me", {"is_admin": True}),
            ("PUT", f"/base-uris/{RED}", {"users_with_search_permissions": 5}),
            ("GET", "/uris?page=0", None),
            ("GET", "/uuids/3fa85f64-5717-4562-b3fc-2c963f66afa6?sort=nonsense", None),
            ("GET", "/users?page_size=1000", None),
        ],
    )
    def test_nobody_unknown_has_a_request_looked_at(
        self, steady: World, method: str, path: str, body: Any
    ) -> None:
        assert steady.client.open(path, method=method, json=body).status_code == 401
        assert steady.send(method, path, STRANGER, json=body).status_code == 401


class TestDefect07BaseURIWithoutScheme:
    @pytest.mark.parametrize("name", ["garbage", "garbage%2F", "..", "etc", "%2Fetc", "a b", ":", "//x"])
    def test_it_is_refused_and_nothing_about_the_server_shows(self, steady: World, name: str) -> None:
        answer = steady.send("PUT", f"/base-uris/{name}", ADMIN, json={}, follow_redirects=True)
        assert answer.status_code in (404, 422)
        listed = steady.send("GET", "/base-uris", ADMIN).json
        assert [base["base_uri"] for base in listed] == [BLUE, RED]
        for secret in (socket.gethostname(), str(Path.cwd())):
            assert secret not in answer.text


class TestDefect08StorageOfWhatIsNotRegistered:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PUT", "/tags/{}", {"tags": ["mine"]}),
            ("POST", "/tags/{}/mine", None),
            ("DELETE", "/tags/{}/kept", None),
            ("PUT", "/readmes/{}", {"readme": "mine"}),
            ("PUT", "/annotations/{}", {"annotations": {"soil": "mine"}}),
            ("PUT", "/annotations/{}/soil", {"value": "mine"}),
            ("DELETE", "/annotations/{}/soil", None),
        ],
    )
    def test_it_is_not_found_and_not_touched(
        self,
        app: Flask,
        client: FlaskClient,
        ada: dict[str, str],
        tmp_path: Path,
        method: str,
        path: str,
        body: Any,
    ) -> None:
        base = tmp_path / "base"
        base.mkdir()
        dataset = stored_dataset(base)
        with app.app_context():
            base_uris.add_base_uri(f"file://{base}")
            sql_db.session.commit()
        may(app, ADMIN, f"file://{base}")
        answer = client.open(path.format(on_this_host(dataset)), method=method, json=body, headers=ada)
        assert answer.status_code == 404
        stored = dtoolcore.DataSet.from_uri(dataset.uri)
        assert stored.get_readme_content() == "crop: beans\n"
        assert stored.list_tags() == ["kept"]
        assert stored.get_annotation("soil") == "loam"


# -- Broken features -------------------------------------------------------------------------------------------------

URI_FORMS = [
    lambda uri: uri,
    lambda uri: uri.replace("://", "/"),
    lambda uri: uri.replace("://", ":/"),
    lambda uri: uri.replace(":", "%3A").replace("/", "%2F"),
    lambda uri: uri.replace("://", "/").replace("/", "%2F"),
]


class TestDefect09AnnotationsAreReachable:
    @pytest.mark.parametrize("form", URI_FORMS)
    def test_all_are_replaced_and_one_is_set_in_every_form_of_the_uri(
        self, client: FlaskClient, register: Register, carl: dict[str, str], form: Callable[[str], str]
    ) -> None:
        path = f"/annotations/{form(register()['uri'])}"
        answer = client.put(path, json={"annotations": {"soil": "sand", "pH": 6.5}}, headers=carl)
        assert (answer.status_code, answer.json) == (200, {"annotations": {"soil": "sand", "pH": 6.5}})
        answer = client.put(f"{path}/depth", json={"value": [1, {"cm": 2}]}, headers=carl)
        wanted = {"soil": "sand", "pH": 6.5, "depth": [1, {"cm": 2}]}
        assert (answer.status_code, answer.json) == (200, {"annotations": wanted})
        assert client.get(path, headers=carl).json == {"annotations": wanted}

    def test_an_empty_body_for_all_of_them_is_an_error_of_the_client(
        self, client: FlaskClient, register: Register, carl: dict[str, str]
    ) -> None:
        answer = client.put(f"/annotations/{register()['uri']}", json={}, headers=carl)
        assert answer.status_code == 422

    @pytest.mark.parametrize("name", ["a%2Fb", "a/b", "%2F", "a%2F"])
    def test_names_with_slashes_are_refused(
        self, app: Flask, client: FlaskClient, register: Register, carl: dict[str, str], name: str
    ) -> None:
        uri = register()["uri"]
        before = contents(database_file(app))
        for method, path, body in (
            ("PUT", f"/annotations/{uri}/{name}", {"value": 1}),
            ("POST", f"/tags/{uri}/{name}", None),
        ):
            answer = client.open(path, method=method, json=body, headers=carl)
            assert 400 <= answer.status_code < 500, path
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record


class TestDefect10DeletedEverywhere:
    def test_nothing_finds_a_deleted_dataset(
        self, app: Flask, client: FlaskClient, register: Register, carl: dict[str, str]
    ) -> None:
        before = contents(database_file(app))
        info = register(tags=["gone"], creator_username="greta")
        uri = info["uri"]
        assert client.delete(f"/uris/{uri}", headers=carl).status_code == 200
        for query in (
            {"free_text": "beans"},
            {"tags": ["gone"]},
            {"uuids": [info["uuid"]]},
            {"base_uris": [RED]},
        ):
            assert client.post("/uris", json=query, headers=carl).json == []
        for path in (
            f"/uris/{uri}",
            f"/readmes/{uri}",
            f"/manifests/{uri}",
            f"/tags/{uri}",
            f"/annotations/{uri}",
        ):
            assert client.get(path, headers=carl).status_code == 404
        assert client.get(f"/uuids/{info['uuid']}", headers=carl).json == []
        assert client.get("/me/summary", headers=carl).json["number_of_datasets"] == 0
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record


class TestDefect11EditsAreKept:
    def test_tags(self, client: FlaskClient, register: Register, carl: dict[str, str]) -> None:
        path = f"/tags/{register(tags=['old'])['uri']}"
        assert client.put(path, json={"tags": ["new", "newer"]}, headers=carl).json == {
            "tags": ["new", "newer"]
        }
        assert client.post(f"{path}/newest", headers=carl).status_code == 200
        assert client.delete(f"{path}/newer", headers=carl).status_code == 200
        assert client.get(path, headers=carl).json == {"tags": ["new", "newest"]}
        assert len(client.post("/uris", json={"tags": ["new", "newest"]}, headers=carl).json) == 1
        assert client.post("/uris", json={"tags": ["old"]}, headers=carl).json == []
        assert client.get("/me/summary", headers=carl).json["tags"] == ["new", "newest"]

    def test_readme_and_annotations(
        self, client: FlaskClient, register: Register, carl: dict[str, str]
    ) -> None:
        uri = register(readme="first words")["uri"]
        client.put(f"/readmes/{uri}", json={"readme": "second thoughts"}, headers=carl)
        client.put(f"/annotations/{uri}/colour", json={"value": "turquoise"}, headers=carl)
        assert client.get(f"/readmes/{uri}", headers=carl).json == {"readme": "second thoughts"}
        assert client.get(f"/annotations/{uri}", headers=carl).json["annotations"]["colour"] == "turquoise"
        for text, found in (("thoughts", 1), ("turquoise", 1), ("words", 0)):
            assert len(client.post("/uris", json={"free_text": text}, headers=carl).json) == found

    @pytest.mark.parametrize("tag", ["bad tag!", "", "a" * 81, "line\nbreak", "trailing\n", "ä", "a/b"])
    def test_a_name_that_dtool_refuses_changes_nothing_anywhere(
        self, app: Flask, client: FlaskClient, ada: dict[str, str], tmp_path: Path, tag: str
    ) -> None:
        base = tmp_path / "base"
        base.mkdir()
        dataset = stored_dataset(base)
        with app.app_context():
            base_uris.add_base_uri(f"file://{base}")
            sql_db.session.commit()
        may(app, ADMIN, f"file://{base}")
        info = {**generate_dataset_info(dataset, f"file://{base}"), "uri": on_this_host(dataset)}
        assert client.put(f"/uris/{info['uri']}", json=info, headers=ada).status_code == 201
        before = contents(database_file(app))
        answer = client.put(f"/tags/{info['uri']}", json={"tags": ["fine", tag]}, headers=ada)
        assert answer.status_code == 422
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record
        assert dtoolcore.DataSet.from_uri(dataset.uri).list_tags() == ["kept"]

    def test_an_edit_that_storage_cannot_take_says_so(
        self, client: FlaskClient, register: Register, carl: dict[str, str]
    ) -> None:
        answer = client.put(f"/tags/{register()['uri']}", json={"tags": ["new"]}, headers=carl)
        assert answer.headers["X-Storage-Updated"] == "false"


class TestDefect12UploadedByFilters:
    def test_only_what_that_user_registered(
        self, client: FlaskClient, register: Register, carl: dict[str, str]
    ) -> None:
        register()  # by the operator
        mine = dataset_info()
        client.put(f"/uris/{mine['uri']}", json=mine, headers=carl)

        def found(**query: Any) -> list[str]:
            return [dataset["uri"] for dataset in client.post("/uris", json=query, headers=carl).json]

        assert found(uploaded_by=[CHAMPION]) == [mine["uri"]]
        assert found(uploaded_by=["nobody at all"]) == []
        assert found(uploaded_by=[""]) == []
        assert found(uploaded_by=[CHAMPION], tags=["no such tag"]) == []


class TestDefect13DisplayNameIsKept:
    def test_absent_means_unchanged(self, client: FlaskClient, ada: dict[str, str], bearer: Bearer) -> None:
        client.patch(f"/users/{READER}", json={"display_name": "Rita Reader"}, headers=ada)
        client.patch(f"/users/{READER}", json={"is_admin": True}, headers=ada)
        client.patch("/me", json={}, headers=bearer(READER))
        me = client.get("/me", headers=bearer(READER)).json
        assert (me["display_name"], me["is_admin"]) == ("Rita Reader", True)


class TestDefect16WhatDtoolYieldsIsAccepted:
    def test_generated_info_of_a_real_dataset_is_put_as_it_is(
        self, app: Flask, client: FlaskClient, ada: dict[str, str], tmp_path: Path
    ) -> None:
        base_uri = f"file://{socket.gethostname()}{tmp_path}"
        info = generate_dataset_info(stored_dataset(tmp_path), base_uri)
        assert isinstance(info["frozen_at"], float)
        assert "dtoolcore_version" in info
        with app.app_context():
            base_uris.add_base_uri(base_uri)
            sql_db.session.commit()
        may(app, ADMIN, base_uri)
        encoded = info["uri"].replace("/", "%2F")
        assert client.put(f"/uris/{encoded}", json=info, headers=ada).status_code == 201
        found = client.get(f"/uris/{encoded}", headers=ada).json
        assert found["frozen_at"] == pytest.approx(info["frozen_at"], abs=1e-6)

    def test_strings_are_accepted_too(self, client: FlaskClient, carl: dict[str, str]) -> None:
        info = dataset_info(frozen_at="1536238185.881941", created_at="1536236399")
        assert client.put(f"/uris/{info['uri']}", json=info, headers=carl).status_code == 201
        found = client.get(f"/uris/{info['uri']}", headers=carl).json
        assert (found["frozen_at"], found["created_at"]) == (1536238185.881941, 1536236399.0)


class TestDefect17SpellingOfUUIDs:
    @pytest.mark.parametrize(
        "spell", [str.upper, lambda u: u.replace("-", ""), lambda u: f"{{{u}}}", lambda u: f"urn:uuid:{u}"]
    )
    def test_every_spelling_finds_the_dataset(
        self, client: FlaskClient, register: Register, carl: dict[str, str], spell: Callable[[str], str]
    ) -> None:
        info = register()
        found = client.get(f"/uuids/{spell(info['uuid'])}", headers=carl).json
        assert [dataset["uri"] for dataset in found] == [info["uri"]]
        found = client.post("/uris", json={"uuids": [spell(info["uuid"])]}, headers=carl).json
        assert [dataset["uri"] for dataset in found] == [info["uri"]]


class TestDefect18ErrorsGiveTheirReason:
    def test_message(
        self, client: FlaskClient, register: Register, carl: dict[str, str], ada: dict[str, str]
    ) -> None:
        info = register()
        other = f"{RED}/{uuid.uuid4()}"
        answers = {
            "missing": client.get(f"/uris/{other}", headers=carl),
            "forbidden": client.get(f"/uris/{BLUE}/x", headers=carl),
            "not the path": client.put(f"/uris/{other}", json=info, headers=carl),
            "granted already": client.post(f"/users/{CHAMPION}/search/{RED}", headers=ada),
            "in use": client.delete(f"/base-uris/{RED}", headers=ada),
            "unknown user": client.get("/users/nobody-at-all", headers=ada),
        }
        for case, answer in answers.items():
            assert answer.status_code >= 400, case
            assert len(answer.json["message"]) > 10, case


# -- Bad input that was a 500 ----------------------------------------------------------------------------------------


def without(info: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name != key}


class TestDefect20BadDatasets:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            *(
                ({name: time_}, name)
                for name, time_ in itertools.product(
                    ["frozen_at", "created_at"],
                    ["abc", "inf", "-inf", "nan", "1e18", "", "0x10", 1e18, True, [], {}],
                )
            ),
            *(
                ({name: number}, name)
                for name, number in itertools.product(
                    ["size_in_bytes", "number_of_items"], [2**63, -1, 2**200, "9" * 30, "x", True, 1.5e300]
                )
            ),
            ({"annotations": {"big": 2**64}}, "annotations"),
            ({"annotations": {"big": [-(2**63) - 1]}}, "annotations"),
            ({"annotations": {"nul\0": 1}}, "annotations"),
            ({"annotations": {"half": "\ud800"}}, "annotations"),
            ({"annotations": {"half": {"\udfff": 1}}}, "annotations"),
            ({"readme": "\ud800"}, "readme"),
            ({"readme": "\0"}, "readme"),
            ({"name": "a\ud800"}, "name"),
            ({"tags": ["\ud800"]}, "tags"),
            ({"creator_username": "\0"}, "creator_username"),
        ],
    )
    def test_values_that_cannot_be_stored(self, steady: World, change: dict[str, Any], field: str) -> None:
        before = steady.contents()
        info = dataset_info(**change)
        answer = steady.send("PUT", f"/uris/{info['uri']}", json=info)
        assert answer.status_code == 422
        assert field in answer.json["errors"]["json"]
        assert steady.contents() == before

    def test_nothing_at_all(self, steady: World) -> None:
        assert steady.send("PUT", f"/uris/{RED}/x", json={}).status_code == 400

    @pytest.mark.parametrize(
        "key", sorted(set(dataset_info()) - {"created_at", "number_of_items", "size_in_bytes"})
    )
    def test_a_missing_field(self, steady: World, key: str) -> None:
        info = dataset_info()
        answer = steady.send("PUT", f"/uris/{info['uri']}", json=without(info, key))
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (400, [key])

    def test_an_annotation_named_language(self, client: FlaskClient, carl: dict[str, str]) -> None:
        info = dataset_info(annotations={"language": "klingon"})
        assert client.put(f"/uris/{info['uri']}", json=info, headers=carl).status_code == 201
        assert client.get(f"/annotations/{info['uri']}", headers=carl).json["annotations"] == {
            "language": "klingon"
        }


class TestDefect21BaseURIsInUse:
    def test_one_with_datasets_is_kept(
        self, app: Flask, client: FlaskClient, register: Register, ada: dict[str, str]
    ) -> None:
        register()
        before = contents(database_file(app))
        answer = client.delete(f"/base-uris/{RED}", headers=ada)
        assert answer.status_code == 409
        assert "1 dataset" in answer.json["message"]
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record

    def test_with_its_datasets_on_request(
        self, app: Flask, client: FlaskClient, register: Register, ada: dict[str, str]
    ) -> None:
        for _ in range(3):
            register()
        left = register(BLUE)
        assert client.delete(f"/base-uris/{RED}?with_datasets=true", headers=ada).status_code == 200
        assert [row[2] for row in contents(database_file(app))["dataset"]] == [left["uri"]]
        assert disagreements(database_file(app)) == []

    def test_a_user_named_twice_has_the_permission_once(
        self, client: FlaskClient, ada: dict[str, str]
    ) -> None:
        body = {
            "users_with_search_permissions": [READER, READER],
            "users_with_register_permissions": [READER] * 3,
        }
        assert client.put("/base-uris/s3://new", json=body, headers=ada).status_code == 201
        found = client.get("/base-uris/s3://new", headers=ada).json
        assert found["users_with_search_permissions"] == [READER]
        assert found["users_with_register_permissions"] == [READER]


class TestDefect22EditsInUnknownPlaces:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PUT", "/tags/{}", {"tags": ["a"]}),
            ("POST", "/tags/{}/a", None),
            ("DELETE", "/tags/{}/a", None),
            ("PUT", "/annotations/{}", {"annotations": {}}),
            ("PUT", "/annotations/{}/a", {"value": 1}),
            ("DELETE", "/annotations/{}/a", None),
            ("PUT", "/readmes/{}", {"readme": ""}),
            ("PUT", "/uris/{}", dataset_info("s3://nowhere")),
            ("DELETE", "/uris/{}", None),
        ],
    )
    def test_they_are_forbidden(self, steady: World, method: str, path: str, body: Any) -> None:
        uri = (body or {}).get("uri", "s3://nowhere/x")
        assert steady.send(method, path.format(uri), json=body).status_code == 403


class TestDefect23Numbers:
    @pytest.mark.parametrize(
        "path",
        [
            "/uris",
            "/uris?free_text=beans",
            "/uuids/3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "/users",
            "/base-uris",
        ],
    )
    @pytest.mark.parametrize(
        "page", ["99999999999999999999", "9223372036854775807", "922337203685477580", "-1", "1e400"]
    )
    def test_pages_beyond_all_counting(self, steady: World, path: str, page: str) -> None:
        separator = "&" if "?" in path else "?"
        answer = steady.send("GET", f"{path}{separator}page={page}", ADMIN)
        assert answer.status_code in (200, 404, 422)
        assert answer.status_code != 200 or answer.json == []

    def test_half_a_surrogate_pair_as_free_text(self, steady: World) -> None:
        assert steady.send("POST", "/uris", json={"free_text": "\ud800"}).status_code == 422
        assert steady.send("GET", "/uris?free_text=%ED%A0%80").status_code == 422


class TestDefect25ConfigurationWithoutSecretsList:
    def test_info_still_hides_secrets(self, app: Flask, client: FlaskClient, carl: dict[str, str]) -> None:
        del app.config["CONFIG_SECRETS_TO_OBFUSCATE"]
        app.config["SECRET_KEY"] = "planted"
        answer = client.get("/config/info", headers=carl)
        assert answer.status_code == 200
        assert "planted" not in answer.text
        assert "PRIVATE KEY-----" not in answer.text


# -- Integrity and scale ---------------------------------------------------------------------------------------------


class SearchThatFails(SqlSearch):
    """A search plugin that writes to its index, and fails afterwards."""

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        super().register_dataset(dataset_info)
        raise RuntimeError("as if the disk were full")


class TestDefect26AllOrNothing:
    def test_a_failure_in_the_middle_leaves_no_ghost(
        self, app: Flask, client: FlaskClient, carl: dict[str, str]
    ) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = False
        before = contents(database_file(app))
        app.extensions["dservercore"] = PluginSet(SearchThatFails(), SqlRetrieve(), ())
        info = dataset_info()
        assert client.put(f"/uris/{info['uri']}", json=info, headers=carl).status_code == 500
        after = contents(database_file(app))
        assert after | {"audit": before["audit"]} == before  # that it was there once is on record


CLIENTS = 12


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """gunicorn with 2 workers of 4 threads, an administrator ADMIN, and CHAMPION who may do everything in RED."""
    server = LiveServer(tmp_path_factory.mktemp("live"))
    with server.app.app_context():
        users.add_user(ADMIN, is_admin=True)
        users.add_user(CHAMPION)
        base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def all_at_once(call: Callable[[int], Any]) -> list[Any]:
    """Return what each of as many simultaneous clients got."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(call, range(CLIENTS)))


def statuses(
    live: LiveServer, method: str, path: Callable[[int], str], user: str, body: Any = None
) -> Counter[int]:
    """Return how many simultaneous clients got which status; *body* may be a function of the client's number."""

    def call(number: int) -> int:
        json_ = body(number) if callable(body) else body
        return live.request(method, path(number), user, json=json_).status_code

    return Counter(all_at_once(call))


class TestDefect27ConcurrentFirstRegistrations:
    def test_exactly_one_is_told_that_it_created_the_dataset(self, live: LiveServer) -> None:
        for _ in range(3):
            info = dataset_info()
            found = statuses(live, "PUT", lambda _, uri=info["uri"]: f"/uris/{uri}", CHAMPION, info)
            assert found == {201: 1, 200: CLIENTS - 1}
            copies = live.request("GET", f"/uuids/{info['uuid']}", CHAMPION).json()
            assert [copy["uri"] for copy in copies] == [info["uri"]]
        assert disagreements(live.database) == []

    def test_a_changed_uuid_does_not_leave_two_documents(self, live: LiveServer) -> None:
        uri = f"{RED}/named-by-hand"
        bodies = [dataset_info(uri=uri, readme=f"edition{number}\n") for number in range(CLIENTS)]
        found = statuses(live, "PUT", lambda _: f"/uris/{uri}", CHAMPION, lambda number: bodies[number])
        assert found == {201: 1, 200: CLIENTS - 1}
        copies = [len(live.request("GET", f"/uuids/{body['uuid']}", CHAMPION).json()) for body in bodies]
        assert sorted(copies) == [0] * (CLIENTS - 1) + [1]
        texts = [
            len(live.request("POST", "/uris", CHAMPION, json={"free_text": f"edition{number}"}).json())
            for number in range(CLIENTS)
        ]
        assert texts == copies
        assert disagreements(live.database) == []


class TestDefect28NoUpdateIsLost:
    @pytest.fixture
    def uri(self, live: LiveServer) -> str:
        info = dataset_info(tags=[], annotations={})
        assert live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info).status_code == 201
        return info["uri"]

    def test_tags(self, live: LiveServer, uri: str) -> None:
        assert statuses(live, "POST", lambda n: f"/tags/{uri}/tag{n}", CHAMPION) == {200: CLIENTS}
        tags = live.request("GET", f"/tags/{uri}", CHAMPION).json()["tags"]
        assert sorted(tags) == sorted(f"tag{n}" for n in range(CLIENTS))
        assert statuses(live, "DELETE", lambda n: f"/tags/{uri}/tag{n}", CHAMPION) == {200: CLIENTS}
        assert live.request("GET", f"/tags/{uri}", CHAMPION).json() == {"tags": []}
        assert disagreements(live.database) == []

    def test_annotations(self, live: LiveServer, uri: str) -> None:
        path = f"/annotations/{uri}"
        put = statuses(live, "PUT", lambda n: f"{path}/a{n}", CHAMPION, lambda n: {"value": n})
        assert put == {200: CLIENTS}
        annotations = live.request("GET", path, CHAMPION).json()["annotations"]
        assert annotations == {f"a{n}": n for n in range(CLIENTS)}
        assert statuses(live, "DELETE", lambda n: f"{path}/a{n}", CHAMPION) == {200: CLIENTS}
        assert live.request("GET", path, CHAMPION).json() == {"annotations": {}}

    def test_grants(self, live: LiveServer) -> None:
        names = [f"user{n}" for n in range(CLIENTS)]
        assert statuses(live, "PUT", lambda n: f"/users/{names[n]}", ADMIN, {}) == {201: CLIENTS}
        assert statuses(live, "POST", lambda n: f"/users/{names[n]}/search/{RED}", ADMIN) == {200: CLIENTS}
        found = live.request("GET", f"/base-uris/{RED}", ADMIN).json()["users_with_search_permissions"]
        assert sorted(found) == sorted([*names, CHAMPION])

    def test_the_same_grant_is_given_once(self, live: LiveServer) -> None:
        live.request("PUT", "/users/granted-once", ADMIN, json={})
        found = statuses(live, "POST", lambda _: f"/users/granted-once/register/{RED}", ADMIN)
        assert found == {200: 1, 409: CLIENTS - 1}

    def test_the_last_administrators_cannot_demote_each_other(self, live: LiveServer) -> None:
        names = [f"admin{n}" for n in range(CLIENTS)]
        for name in names:
            live.request("PUT", f"/users/{name}", ADMIN, json={"is_admin": True})
        # ADMIN and the others each demote themselves: the last one that is left must not.
        live.request("PATCH", f"/users/{ADMIN}", names[0], json={"is_admin": False})
        try:
            codes = all_at_once(
                lambda n: (
                    live.request(
                        "PATCH", f"/users/{names[n]}", names[n], json={"is_admin": False}
                    ).status_code
                )
            )
            assert Counter(codes) == {200: CLIENTS - 1, 409: 1}
        finally:
            with live.app.app_context():
                users.update_user(ADMIN, {"is_admin": True})
                sql_db.session.commit()

    def test_everything_at_once(self, live: LiveServer) -> None:
        """Registrations, edits, deletions and reads side by side: no client meets a locked database."""
        shared = dataset_info(tags=[])
        live.request("PUT", f"/uris/{shared['uri']}", CHAMPION, json=shared)

        def busy(number: int) -> list[int]:
            codes = []
            for turn in range(4):
                info = dataset_info(tags=[f"t{number}"])
                steps = [
                    ("PUT", f"/uris/{info['uri']}", info),
                    ("POST", f"/tags/{shared['uri']}/n{number}x{turn}", None),
                    ("PUT", f"/readmes/{info['uri']}", {"readme": f"turn {turn}"}),
                    ("POST", "/uris", {"free_text": "beans"}),
                    ("GET", "/me/summary", None),
                    ("DELETE", f"/uris/{info['uri']}", None)
                    if turn % 2
                    else ("GET", f"/tags/{info['uri']}", None),
                ]
                codes += [
                    live.request(method, path, CHAMPION, json=body).status_code
                    for method, path, body in steps
                ]
            return codes

        found = Counter(itertools.chain.from_iterable(all_at_once(busy)))
        assert set(found) <= {200, 201}, found
        tags = live.request("GET", f"/tags/{shared['uri']}", CHAMPION).json()["tags"]
        assert sorted(tags) == sorted(f"n{n}x{turn}" for n in range(CLIENTS) for turn in range(4))
        assert disagreements(live.database) == []
        assert "locked" not in live.log.read_text()

    def test_base_uris_that_come_and_go_under_registrations(self, live: LiveServer) -> None:
        """A dataset is in the base URI of its URI or nowhere, though keys of base URIs are used again."""
        places = ["s3://flux", "s3://flow"]
        allowed = {"users_with_register_permissions": [CHAMPION], "users_with_search_permissions": [CHAMPION]}

        def busy(number: int) -> list[int]:
            codes = []
            for turn in range(6):
                place = places[(number + turn) % 2]
                if number % 3:
                    info = dataset_info(place)
                    codes.append(live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info).status_code)
                else:
                    path = f"/base-uris/{place}"
                    codes.append(live.request("DELETE", f"{path}?with_datasets=true", ADMIN).status_code)
                    codes.append(live.request("PUT", path, ADMIN, json=allowed).status_code)
            return codes

        found = Counter(itertools.chain.from_iterable(all_at_once(busy)))
        assert set(found) <= {200, 201, 403, 409}, found
        assert found[201] > 2
        stored = contents(live.database)
        base_uri_of = {row[0]: row[1] for row in stored["base_uri"]}
        assert [row for row in stored["dataset"] if not row[2].startswith(f"{base_uri_of[row[1]]}/")] == []
        assert disagreements(live.database) == []


class TestDefect30BaseURIsAndLengths:
    def test_a_slash_at_the_end_makes_no_second_base_uri(
        self, client: FlaskClient, ada: dict[str, str]
    ) -> None:
        assert client.put("/base-uris/s3%3A%2F%2Fred%2F", json={}, headers=ada).status_code == 200
        listed = client.get("/base-uris", headers=ada).json
        assert [base["base_uri"] for base in listed] == [BLUE, RED]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "n" * 81}, "name"),
            ({"name": ""}, "name"),
            ({"creator_username": "c" * 256}, "creator_username"),
            ({"creator_username": ""}, "creator_username"),
            ({"size_in_bytes": -1}, "size_in_bytes"),
            ({"number_of_items": -1}, "number_of_items"),
        ],
    )
    def test_datasets(self, steady: World, change: dict[str, Any], field: str) -> None:
        info = dataset_info(**change)
        answer = steady.send("PUT", f"/uris/{info['uri']}", json=info)
        assert answer.status_code == 422
        assert field in answer.json["errors"]["json"]

    def test_users_and_places(self, client: FlaskClient, ada: dict[str, str]) -> None:
        for method, path, body in (
            ("PUT", f"/users/{'u' * 65}", {}),
            ("PUT", f"/users/{READER}", {"display_name": "d" * 256}),
            ("PATCH", f"/users/{READER}", {"display_name": "d" * 256}),
            ("PATCH", "/me", {"display_name": "d" * 256}),
            ("PUT", f"/base-uris/s3://{'b' * 1020}", {}),
        ):
            assert client.open(path, method=method, json=body, headers=ada).status_code == 422, path
        longest = "b" * (1024 - len("s3://"))
        assert client.put(f"/base-uris/s3://{longest}", json={}, headers=ada).status_code == 201
        assert (
            client.put(f"/users/{'u' * 64}", json={"display_name": "d" * 255}, headers=ada).status_code == 201
        )


class TestDefect31LooseEnds:
    def test_the_last_administrator_stays(self, client: FlaskClient, ada: dict[str, str]) -> None:
        assert client.delete(f"/users/{ADMIN}", headers=ada).status_code == 409
        assert client.patch(f"/users/{ADMIN}", json={"is_admin": False}, headers=ada).status_code == 409
        assert client.put(f"/users/{ADMIN}", json={}, headers=ada).status_code == 409
        assert client.get("/me", headers=ada).json["is_admin"] is True
        client.put(f"/users/{NOBODY}", json={"is_admin": True}, headers=ada)
        assert client.delete(f"/users/{ADMIN}", headers=ada).status_code == 200

    def test_the_uuid_is_that_of_the_uri(self, client: FlaskClient, carl: dict[str, str]) -> None:
        info = {**dataset_info(), "uuid": str(uuid.uuid4())}
        answer = client.put(f"/uris/{info['uri']}", json=info, headers=carl)
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["uuid"])

    def test_a_tag_is_there_once(self, client: FlaskClient, register: Register, carl: dict[str, str]) -> None:
        uri = register()["uri"]
        answer = client.put(f"/tags/{uri}", json={"tags": ["a", "b", "a"]}, headers=carl)
        assert answer.json == client.get(f"/tags/{uri}", headers=carl).json == {"tags": ["a", "b"]}
        twice = dataset_info(tags=["x", "x"])
        client.put(f"/uris/{twice['uri']}", json=twice, headers=carl)
        summary = client.get("/me/summary", headers=carl).json
        assert summary["datasets_per_tag"] == {"a": 1, "b": 1, "x": 1}


class TestDefect32OneBrokenThingDoesNotStopTheRest:
    def test_indexing_goes_on_after_a_dataset_that_cannot_be_read(self, tmp_path: Path, app: Flask) -> None:
        base = tmp_path / "base"
        base.mkdir()
        good, broken = stored_dataset(base, "good"), stored_dataset(base, "broken")
        (Path(broken._storage_broker._abspath) / ".dtool" / "manifest.json").write_text("{")
        with app.app_context():
            base_uris.add_base_uri(f"file://{base}")
            sql_db.session.commit()
        result = app.test_cli_runner().invoke(base_uri_cli, ["index", f"file://{base}"])
        assert f"Registered: {on_this_host(good)}" in result.output
        assert (
            f"Failed to register: {broken.uuid}" in result.output
            or "Failed to register: broken" in result.output
        )
        assert result.exit_code == 1

    def test_applications_do_not_share_their_list_of_secrets(
        self, config: dict[str, Any], tmp_path: Path
    ) -> None:
        before = list(CONFIG_EXCLUSIONS)
        for _ in range(3):
            app = create_app(config)
            app.config["CONFIG_SECRETS_TO_OBFUSCATE"].append("PLANTED")
        assert before == CONFIG_EXCLUSIONS
        assert "PLANTED" not in create_app(config).config["CONFIG_SECRETS_TO_OBFUSCATE"]
