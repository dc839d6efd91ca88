"""Plugins with stores of their own, that can do no more than those of third parties can: the server does the rest."""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from flask_smorest import Blueprint
from sqlalchemy import event

from dservercore import ExtensionABC, RetrieveABC, SearchABC, UnknownURIError, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris
from dservercore.catalog.storage import indexing
from dservercore.compat.completion import completed
from dservercore.errors import UnavailableError
from dservercore.plugin_api import DELETED
from dservercore.plugin_host import PluginSet
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch
from dservercore.sql_models import Dataset
from support.world import ADMIN, BLUE, CHAMPION, READER, RED, dataset_info
from support.worlds import World, world

Document = dict[str, Any]


class Shelf:
    """Keeps documents by UUID and URI and replaces no others, as the published plugins do; it cannot remove one."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Document] = {}

    def register_dataset(self, dataset_info: Document) -> None:
        self.documents[dataset_info["uuid"], dataset_info["uri"]] = dataset_info

    def of(self, dataset_info: Document) -> Document:
        """Return what is kept of a dataset."""
        return self.documents[dataset_info["uuid"], dataset_info["uri"]]

    def permitted(self, *base_uris: str) -> list[Document]:
        """Return what somebody finds who may search these base URIs."""
        return [document for document in self.documents.values() if document["base_uri"] in base_uris]


class ShelfSearch(Shelf, SearchABC):
    """Knows the filters that the published plugin knows, and no words."""

    def search(self, query, pagination_parameters=None, sort_parameters=None):
        assert query.keys() <= self.filters
        found = [
            document
            for document in self.permitted(*query["base_uris"])
            if set(query.get("tags", ())) <= set(document["tags"])
            and document["uuid"] in query.get("uuids", (document["uuid"],))
            and document["creator_username"]
            in query.get("creator_usernames", (document["creator_username"],))
        ]
        for field, direction in reversed(sort_parameters.order.items() if sort_parameters else ()):
            found.sort(key=lambda document: document[field], reverse=direction < 0)
        found = [{**document, "frozen_at": round(document["frozen_at"], 3)} for document in found]
        if pagination_parameters is None:
            return found
        pagination_parameters.item_count = len(found)
        return found[pagination_parameters.first_item : pagination_parameters.last_item + 1]


class ShelfRetrieve(Shelf, RetrieveABC):
    def _document(self, uri: str) -> Document:
        for document in self.documents.values():
            if document["uri"] == uri:
                return document
        raise UnknownURIError

    def get_readme(self, uri):
        return self._document(uri)["readme"]

    def get_manifest(self, uri):
        return self._document(uri)["manifest"]

    def get_annotations(self, uri):
        return self._document(uri)["annotations"]

    def get_tags(self, uri):
        return self._document(uri)["tags"]


class ShelfExtension(Shelf, ExtensionABC):
    def get_blueprint(self):
        return Blueprint("shelf", __name__)


class Listener(ExtensionABC):
    """Adds routes alone, and is not interested in datasets."""

    def get_blueprint(self):
        return Blueprint("listener", __name__)


class Plugins:
    """The plugins of a world, of which a test may replace each."""

    def __init__(self, here: World):
        self.here = here
        self.search: Any = ShelfSearch()
        self.retrieve: Any = ShelfRetrieve()
        self.extension: Any = ShelfExtension()
        self.use()

    def use(self, **plugins: Any) -> None:
        vars(self).update(plugins)
        self.here.app.extensions["dservercore"] = PluginSet(self.search, self.retrieve, (self.extension,))

    @property
    def shelves(self) -> list[Shelf]:
        return [self.search, self.retrieve, self.extension]


@pytest.fixture
def here(tmp_path: Path, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path, key_pair) as here:
        yield here


@pytest.fixture
def plugins(here: World) -> Plugins:
    return Plugins(here)


def put(here: World, **changes: Any) -> Document:
    info = dataset_info(**changes)
    assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code in (200, 201)
    return info


def search(here: World, path: str = "", username: str = CHAMPION, **query: Any) -> tuple[list[Document], int]:
    """Return the page and the total."""
    answer = here.send("POST", f"/uris{path}", username, json=query)
    assert answer.status_code == 200, answer.json
    return answer.json, json.loads(answer.headers["X-Pagination"])["total"]


class TestAPluginWithoutConditions:
    """One that was written before there were any, and finds everything at once."""

    @pytest.mark.parametrize("path", ["/uris", "/uris.csv", "/uris.ndjson"])
    @pytest.mark.parametrize("query", [{"size": {"gt": 1}}, {"tags": ["beans"], "any": [{"name": "a"}]}])
    def test_refuses_them(self, here: World, plugins: Plugins, path: str, query: dict[str, Any]) -> None:
        answer = here.send("POST", path, CHAMPION, json=query)
        assert answer.status_code == 422
        key = list(query)[-1]
        assert answer.json["message"] == f"{key}: the search plugin ShelfSearch does not look for that"

    def test_exports_what_it_finds(self, here: World, plugins: Plugins) -> None:
        plugins.use(search=completed(ShelfSearch(), SearchABC))
        for name in ("c", "a", "b"):
            put(here, name=name, tags=["beans", name])
        gone = put(here, name="gone")
        assert here.send("DELETE", f"/uris/{gone['uri']}").status_code == 200
        answer = here.send("POST", "/uris.ndjson?sort=-name", CHAMPION, json={"tags": ["beans"]})
        assert [json.loads(line)["name"] for line in answer.text.splitlines()] == ["c", "b", "a"]
        query = {"tags": ["beans"], "uploaded_by": ["somebody"]}
        assert here.send("POST", "/uris.ndjson", CHAMPION, json=query).text == ""
        query["uploaded_by"].append(CHAMPION)
        assert here.send("POST", "/uris.ndjson", CHAMPION, json=query).text.count("\n") == 3
        assert here.send("POST", "/uris.csv", CHAMPION, json={"tags": ["a"]}).text.count("\n") == 2


class TestADeletedDataset:
    @pytest.fixture
    def deleted(self, here: World, plugins: Plugins) -> Document:
        info = put(here)
        assert here.send("DELETE", f"/uris/{info['uri']}").status_code == 200
        return info

    @pytest.mark.parametrize(
        "query", [{"tags": ["beans"]}, {"creator_usernames": ["olga"]}, {"base_uris": [RED]}]
    )
    def test_is_not_found(self, here: World, deleted: Document, query: dict[str, Any]) -> None:
        put(here, uuid="7e5cd0a5-8dd6-4bd9-a2cb-d9dc4cbf0a51", tags=["beans"])
        found, total = search(here, **query)
        assert total == 1
        assert deleted["uuid"] not in [dataset["uuid"] for dataset in found]

    def test_is_not_found_by_uuid(self, here: World, deleted: Document) -> None:
        assert search(here, uuids=[deleted["uuid"]]) == ([], 0)

    def test_has_no_readme(self, here: World, deleted: Document) -> None:
        assert here.send("GET", f"/readmes/{deleted['uri']}").status_code == 404

    def test_is_in_no_base_uri_that_a_plugin_can_be_asked_for(
        self, plugins: Plugins, deleted: Document
    ) -> None:
        assert [shelf.permitted(RED, BLUE) for shelf in plugins.shelves] == [[], [], []]

    def test_leaves_nothing_of_its_description(self, plugins: Plugins, deleted: Document) -> None:
        for shelf in plugins.shelves:
            (left,) = shelf.documents.values()
            assert left["readme"] == ""
            assert left["manifest"]["items"] == {}
            assert left["annotations"] == {}
            assert left["tags"] == []
            assert left["frozen_at"] == deleted["frozen_at"]

    def test_leaves_a_document_like_any_other(self, here: World, plugins: Plugins, deleted: Document) -> None:
        other = put(here)
        for shelf in plugins.shelves:
            left, full = shelf.of(deleted), shelf.of(other)
            assert left.keys() == full.keys()

    def test_is_found_again_when_it_is_registered_again(
        self, here: World, plugins: Plugins, deleted: Document
    ) -> None:
        put(here, uuid=deleted["uuid"])
        assert search(here, uuids=[deleted["uuid"]])[1] == 1
        assert [len(shelf.permitted(RED)) for shelf in plugins.shelves] == [1, 1, 1]

    def test_is_deleted_where_a_plugin_can_do_that(self, here: World, plugins: Plugins) -> None:
        class Deleting(ShelfSearch):
            def delete_dataset(self, uri: str) -> None:
                self.documents = {key: value for key, value in self.documents.items() if key[1] != uri}

        plugins.use(search=Deleting())
        info = put(here)
        here.send("DELETE", f"/uris/{info['uri']}")
        assert plugins.search.documents == {}

    def test_is_deleted_with_its_base_uri(self, here: World, plugins: Plugins) -> None:
        put(here)
        assert here.send("DELETE", f"/base-uris/{RED}?with_datasets=true", ADMIN).status_code == 200
        assert [shelf.permitted(RED) for shelf in plugins.shelves] == [[], [], []]

    @pytest.mark.parametrize("by", ["query", "object"])
    def test_may_be_deleted_through_the_session(self, here: World, plugins: Plugins, by: str) -> None:
        """As the published notification plugin does."""
        info = put(here)
        with here.app.app_context():
            query = sql_db.session.query(Dataset).filter(Dataset.uri == info["uri"])
            if by == "query":
                query.delete()
            else:
                sql_db.session.delete(query.one())
            sql_db.session.commit()
        assert search(here, uuids=[info["uuid"]]) == ([], 0)
        assert [shelf.permitted(RED) for shelf in plugins.shelves] == [[], [], []]

    def test_cannot_be_searched_with_any_permission(self, here: World) -> None:
        answer = here.send(
            "PUT", f"/base-uris/{DELETED}", ADMIN, json={"users_with_search_permissions": [READER]}
        )
        assert answer.status_code == 422

    def test_does_not_bother_an_extension_that_keeps_nothing(self, here: World, plugins: Plugins) -> None:
        plugins.use(extension=Listener())
        info = put(here)
        assert here.send("DELETE", f"/uris/{info['uri']}").status_code == 200


class TestADatasetThatReplacesAnother:
    """Under the same URI, where that does not hold the UUID."""

    URI = f"{RED}/harvest"

    @pytest.fixture
    def replaced(self, here: World, plugins: Plugins) -> tuple[Document, Document]:
        old = put(here, uri=self.URI, readme="old", tags=["old", "both"])
        return old, put(here, uri=self.URI, readme="new", tags=["new", "both"])

    def test_is_found_once(self, here: World, replaced: tuple[Document, Document]) -> None:
        found, total = search(here, tags=["both"])
        assert total == 1
        assert [dataset["uuid"] for dataset in found] == [replaced[1]["uuid"]]

    def test_leaves_the_other_in_no_store(
        self, plugins: Plugins, replaced: tuple[Document, Document]
    ) -> None:
        for shelf in (plugins.search, plugins.extension):
            assert [document["uuid"] for document in shelf.permitted(RED)] == [replaced[1]["uuid"]]

    def test_is_the_one_that_is_read(
        self, here: World, plugins: Plugins, replaced: tuple[Document, Document]
    ) -> None:
        """A retrieve plugin that does not delete may hand out the older document of the URI."""
        _, new = replaced
        assert len(plugins.retrieve.documents) == 2
        assert here.send("GET", f"/readmes/{self.URI}").json == {"readme": "new"}
        assert here.send("GET", f"/tags/{self.URI}").json == {"tags": ["new", "both"]}
        assert here.send("GET", f"/manifests/{self.URI}").json == new["manifest"]
        assert plugins.extension.of(new)["manifest"] == new["manifest"]

    def test_is_read_as_it_was_edited(
        self, here: World, plugins: Plugins, replaced: tuple[Document, Document]
    ) -> None:
        _, new = replaced
        assert here.send("PUT", f"/readmes/{self.URI}", json={"readme": "edited"}).status_code == 200
        assert here.send("PUT", f"/annotations/{self.URI}/a", json={"value": 1}).status_code == 200
        assert here.send("GET", f"/readmes/{self.URI}").json == {"readme": "edited"}
        assert here.send("GET", f"/annotations/{self.URI}").json == {"annotations": {"soil": "loam", "a": 1}}
        assert here.send("GET", f"/manifests/{self.URI}").json == new["manifest"]
        assert [document["uuid"] for document in plugins.retrieve.permitted(RED)] == [new["uuid"]]

    def test_is_kept_as_it_is_by_a_plugin_that_deletes(self, here: World, plugins: Plugins) -> None:
        plugins.use(retrieve=SqlRetrieve())
        put(here, uri=self.URI)
        new = put(here, uri=self.URI)
        assert here.send("GET", f"/manifests/{self.URI}").json == new["manifest"]

    def test_is_registered_as_it_is_where_there_was_no_other(self, here: World, plugins: Plugins) -> None:
        info = put(here, uri=self.URI)
        assert plugins.retrieve.of(info)["manifest"] == info["manifest"]

    def test_may_be_replaced_and_deleted_any_number_of_times(self, here: World, plugins: Plugins) -> None:
        uuids = [str(uuid.uuid4()) for _ in range(3)]
        for turn, number in enumerate((0, 1, 0, None, 1, None, 2, 0, 1, 1, None, 1)):
            if number is None:
                assert here.send("DELETE", f"/uris/{self.URI}").status_code == 200
                assert here.send("GET", f"/readmes/{self.URI}").status_code == 404
            else:
                info = put(here, uri=self.URI, uuid=uuids[number], readme=f"turn {turn}")
                assert here.send("GET", f"/readmes/{self.URI}").json == {"readme": f"turn {turn}"}
                assert here.send("GET", f"/manifests/{self.URI}").json == info["manifest"]
            expected = [] if number is None else [uuids[number]]
            for shelf in plugins.shelves:
                assert [document["uuid"] for document in shelf.permitted(RED)] == expected
        readmes = {document["readme"] for document in plugins.retrieve.documents.values()}
        assert readmes == {f"turn {turn}"}

    def test_is_read_where_search_and_retrieve_plugin_have_one_store(
        self, here: World, plugins: Plugins
    ) -> None:
        """As the published plugins do by their defaults."""
        plugins.search.documents = plugins.retrieve.documents
        uuids = [str(uuid.uuid4()) for _ in range(3)]
        for turn, number in enumerate((0, 1, 0, 2, 1, 0)):
            info = put(here, uri=self.URI, uuid=uuids[number], readme=f"turn {turn}")
            assert here.send("GET", f"/readmes/{self.URI}").json == {"readme": f"turn {turn}"}
            assert here.send("GET", f"/manifests/{self.URI}").json == info["manifest"]
            documents = plugins.retrieve.documents.values()
            assert {document["readme"] for document in documents} == {f"turn {turn}"}
            assert [document["uuid"] for document in plugins.retrieve.permitted(RED)] == [uuids[number]]


class TestAnEdit:
    EDITS = [
        ("PUT", "/readmes/{uri}", {"readme": "new"}, "readme", "new"),
        ("PUT", "/tags/{uri}", {"tags": ["new"]}, "tags", ["new"]),
        ("POST", "/tags/{uri}/new", None, "tags", ["beans", "2026", "new"]),
        ("DELETE", "/tags/{uri}/beans", None, "tags", ["2026"]),
        ("PUT", "/annotations/{uri}", {"annotations": {"a": 1}}, "annotations", {"a": 1}),
        ("PUT", "/annotations/{uri}/a", {"value": 1}, "annotations", {"soil": "loam", "a": 1}),
        ("DELETE", "/annotations/{uri}/soil", None, "annotations", {}),
    ]

    @pytest.mark.parametrize(("method", "path", "body", "field", "value"), EDITS)
    def test_reaches_every_store_and_extension(
        self, here: World, plugins: Plugins, method: str, path: str, body: Any, field: str, value: Any
    ) -> None:
        info = put(here)
        answer = here.send(method, path.format(uri=info["uri"]), json=body)
        assert answer.json == {field: value}
        for shelf in plugins.shelves:
            assert shelf.of(info)[field] == value

    @pytest.mark.parametrize(("method", "path", "body", "field", "value"), EDITS)
    def test_gives_extensions_the_full_document(
        self, here: World, plugins: Plugins, method: str, path: str, body: Any, field: str, value: Any
    ) -> None:
        plugins.use(search=SqlSearch(), retrieve=SqlRetrieve())
        info = put(here)
        before = plugins.extension.of(info)
        here.send(method, path.format(uri=info["uri"]), json=body)
        assert plugins.extension.of(info) == {**before, field: value}

    def test_does_not_put_the_document_together_for_nobody(self, here: World, plugins: Plugins) -> None:
        class NoManifest(SqlRetrieve):
            def get_manifest(self, uri: str) -> Any:
                raise AssertionError("not needed")

        plugins.use(search=SqlSearch(), retrieve=NoManifest(), extension=Listener())
        info = put(here)
        assert here.send("PUT", f"/readmes/{info['uri']}", json={"readme": "new"}).status_code == 200

    def test_of_an_extension_that_fails_is_made_all_the_same(self, here: World, plugins: Plugins) -> None:
        info = put(here)
        plugins.extension.register_dataset = None
        assert here.send("PUT", f"/readmes/{info['uri']}", json={"readme": "new"}).status_code == 200
        assert here.send("GET", f"/readmes/{info['uri']}").json == {"readme": "new"}

    def test_changes_one_tag_or_annotation_where_a_plugin_can(self, here: World, plugins: Plugins) -> None:
        calls: list[tuple[Any, ...]] = []

        class Fine(ShelfSearch):
            def set_tags(self, *args: Any) -> None:
                calls.append(("set_tags", *args))

            def add_tag(self, *args: Any) -> None:
                calls.append(("add_tag", *args))

            def remove_tag(self, *args: Any) -> None:
                calls.append(("remove_tag", *args))

            def set_annotation(self, *args: Any) -> None:
                calls.append(("set_annotation", *args))

            def delete_annotation(self, *args: Any) -> None:
                calls.append(("delete_annotation", *args))

        plugins.use(search=Fine())
        info = put(here)
        uri = info["uri"]
        here.send("POST", f"/tags/{uri}/new")
        here.send("DELETE", f"/tags/{uri}/beans")
        here.send("PUT", f"/tags/{uri}", json={"tags": ["x"]})
        here.send("PUT", f"/annotations/{uri}/a", json={"value": {"b": 1}})
        here.send("DELETE", f"/annotations/{uri}/soil")
        assert calls == [
            ("add_tag", uri, "new"),
            ("remove_tag", uri, "beans"),
            ("set_tags", uri, ["x"]),
            ("set_annotation", uri, "a", {"b": 1}),
            ("delete_annotation", uri, "soil"),
        ]
        assert plugins.search.of(info)["tags"] == info["tags"]

    def test_of_one_annotation_keeps_another_that_was_made_meanwhile(
        self, here: World, plugins: Plugins
    ) -> None:
        class Fine(ShelfRetrieve):
            def set_annotation(self, uri: str, name: str, value: Any) -> None:
                annotations = self._document(uri)["annotations"]
                annotations |= {"meanwhile": True, name: value}

        plugins.use(retrieve=Fine(), extension=Listener())
        info = put(here)
        answer = here.send("PUT", f"/annotations/{info['uri']}/a", json={"value": 1})
        assert answer.json == {"annotations": {"soil": "loam", "meanwhile": True, "a": 1}}


class TestWhatASearchAnswers:
    def test_has_the_times_of_the_registration(self, here: World, plugins: Plugins) -> None:
        info = put(here, frozen_at=1536238185.881941)
        assert search(here, uuids=[info["uuid"]])[0][0]["frozen_at"] == 1536238185.881941

    def test_is_in_the_order_of_the_plugin(self, here: World, plugins: Plugins) -> None:
        for name in ("b", "c", "a"):
            put(here, name=name)
        found, _ = search(here, "?sort=-name", tags=["beans"])
        assert [dataset["name"] for dataset in found] == ["c", "b", "a"]

    def test_leaves_out_what_is_not_registered_and_says_so_in_the_log(
        self, here: World, plugins: Plugins, caplog: pytest.LogCaptureFixture
    ) -> None:
        info = put(here)
        plugins.search.register_dataset(dataset_info())
        plugins.search.register_dataset(dataset_info())
        with caplog.at_level(logging.WARNING, "dservercore"):
            found, _ = search(here, tags=["beans"])
        assert [dataset["uri"] for dataset in found] == [info["uri"]]
        assert "2 documents" in caplog.text

    def test_leaves_out_what_is_registered_elsewhere(self, here: World, plugins: Plugins) -> None:
        with here.app.app_context():
            base_uris.put_base_uri(BLUE, [READER], [CHAMPION])
            sql_db.session.commit()
        secret = put(here, base_uri=BLUE)
        plugins.search.register_dataset({**secret, "base_uri": RED})
        assert search(here, tags=["beans"])[0] == []

    def test_has_a_dataset_once_and_of_the_uuid_that_is_registered(
        self, here: World, plugins: Plugins
    ) -> None:
        info = put(here, uri=f"{RED}/harvest")
        plugins.search.register_dataset(dataset_info(uri=info["uri"]))
        found, _ = search(here, tags=["beans"])
        assert [dataset["uuid"] for dataset in found] == [info["uuid"]]

    def test_may_be_longer_than_one_statement_takes(
        self, here: World, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dservercore.db.statements.VALUES_AT_ONCE", 3)
        for _ in range(8):
            put(here)
        found, total = search(here, "?page_size=100", tags=["beans"], uploaded_by=[CHAMPION])
        assert len({dataset["uri"] for dataset in found}) == total == 8

    def test_asks_sql_once(self, here: World, plugins: Plugins) -> None:
        put(here)
        statements: list[str] = []
        with here.app.app_context():
            event.listen(sql_db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
            search(here, tags=["beans"])
        assert len([statement for statement in statements if "dataset.uri IN" in statement]) == 1


class TestAFilterThatThePluginDoesNotKnow:
    @pytest.fixture
    def numbered(self, here: World, plugins: Plugins) -> list[str]:
        with here.app.app_context():
            base_uris.put_base_uri(RED, [CHAMPION, READER], [CHAMPION, READER])
            sql_db.session.commit()
        for number in range(9):
            info = dataset_info(name=f"d{number}")
            uploader = READER if number % 2 else CHAMPION
            assert here.send("PUT", f"/uris/{info['uri']}", uploader, json=info).status_code == 201
        return [f"d{number}" for number in range(9)]

    def test_is_applied_all_the_same(self, here: World, numbered: list[str]) -> None:
        found, total = search(here, "?sort=name", uploaded_by=[CHAMPION])
        assert [dataset["name"] for dataset in found] == numbered[::2]
        assert total == 5

    def test_is_applied_before_the_pages_are_made(self, here: World, numbered: list[str]) -> None:
        found, total = search(here, "?sort=name&page=2&page_size=2", uploaded_by=[CHAMPION])
        assert [dataset["name"] for dataset in found] == numbered[4:8:2]
        assert total == 5

    def test_that_nothing_matches_finds_nothing(self, here: World, numbered: list[str]) -> None:
        assert search(here, uploaded_by=["nobody"]) == ([], 0)

    def test_is_joined_with_those_that_it_knows(self, here: World, numbered: list[str]) -> None:
        assert search(here, uploaded_by=[CHAMPION], tags=["no such"]) == ([], 0)

    @pytest.mark.parametrize(
        ("query", "number"),
        [
            ({"tags": ["beans"]}, 9),
            ({"tags": ["beans", "2026"]}, 9),
            ({"tags": ["beans", "peas"]}, 0),
            ({"creator_usernames": ["olga", "x"]}, 9),
            ({"creator_usernames": ["x"]}, 0),
            ({"uuids": ["7e5cd0a5-8dd6-4bd9-a2cb-d9dc4cbf0a51"]}, 0),
            ({"base_uris": [RED]}, 9),
            ({"base_uris": [BLUE]}, 0),
        ],
    )
    def test_may_be_any_but_the_text(
        self, here: World, plugins: Plugins, numbered: list[str], query: dict[str, Any], number: int
    ) -> None:
        class Nothing(ShelfSearch):
            filters = frozenset()

            def search(self, query: Any, *args: Any, **kwargs: Any) -> Any:
                return list(self.documents.values())

        nothing = Nothing()
        nothing.documents = plugins.search.documents
        plugins.use(search=nothing)
        assert search(here, **query)[1] == number

    def test_is_refused_if_it_is_the_text(self, here: World, plugins: Plugins) -> None:
        class NoText(ShelfSearch):
            filters = SearchABC.filters - {"free_text"}

        plugins.use(search=NoText())
        answer = here.send("POST", "/uris", json={"free_text": "beans"})
        assert answer.status_code == 422
        assert "free_text" in answer.json["errors"]["json"]


class TestAStoreThatCannotBeReached:
    WRITES = [
        ("PUT", "/uris/{uri}", "document"),
        ("DELETE", "/uris/{uri}", None),
        ("PUT", "/readmes/{uri}", {"readme": "new"}),
        ("PUT", "/tags/{uri}", {"tags": ["new"]}),
        ("POST", "/tags/{uri}/new", None),
        ("DELETE", "/tags/{uri}/beans", None),
        ("PUT", "/annotations/{uri}", {"annotations": {}}),
        ("PUT", "/annotations/{uri}/a", {"value": 1}),
        ("DELETE", "/annotations/{uri}/soil", None),
    ]

    @pytest.mark.parametrize("kind", ["search", "retrieve"])
    @pytest.mark.parametrize(("method", "path", "body"), WRITES)
    def test_is_a_503_and_holds_up_nobody(
        self, here: World, plugins: Plugins, kind: str, method: str, path: str, body: Any
    ) -> None:
        info = put(here)
        asked: list[bool] = []

        def require_available() -> None:
            asked.append(is_locked(here))
            raise UnavailableError("The store is away")

        getattr(plugins, kind).require_available = require_available
        before = here.contents()
        answer = here.send(method, path.format(uri=info["uri"]), json=info if body == "document" else body)
        assert answer.status_code == 503
        assert answer.json["message"] == "The store is away"
        assert asked == [False]
        assert here.contents() == before

    @pytest.mark.parametrize(("method", "path", "body"), WRITES)
    def test_is_asked_for_once_in_a_request(
        self, here: World, plugins: Plugins, method: str, path: str, body: Any
    ) -> None:
        info = put(here)
        asked: list[bool] = []
        plugins.search.require_available = lambda: asked.append(is_locked(here))
        here.send(method, path.format(uri=info["uri"]), json=info if body == "document" else body)
        assert asked == [False]

    def test_is_asked_for_once_in_a_batch(self, here: World, plugins: Plugins, tmp_path: Path) -> None:
        folder = tmp_path / "storage"
        folder.mkdir()
        for name in ("first", "second", "third"):
            with dtoolcore.DataSetCreator(name, str(folder)):
                pass
        asked: list[bool] = []
        plugins.search.require_available = lambda: asked.append(is_locked(here))
        with here.app.app_context():
            base_uris.put_base_uri(f"file://{folder}", [CHAMPION], [])
            sql_db.session.commit()
            outcomes = list(indexing.index_base_uri(operator_scope("register"), f"file://{folder}"))
        assert [outcome.outcome for outcome in outcomes] == ["registered"] * 3
        assert asked == [False]

    def test_can_be_read_around(self, here: World, plugins: Plugins) -> None:
        put(here)

        def require_available() -> None:
            raise UnavailableError("The store is away")

        plugins.search.require_available = require_available
        assert here.send("GET", "/uris").status_code == 200


def is_locked(here: World) -> bool:
    """Return whether somebody holds the write lock of the SQL database."""
    other = sqlite3.connect(here.database, timeout=0, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    finally:
        other.close()
    return False
