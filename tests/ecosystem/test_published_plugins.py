"""The search, retrieve and extension plugins that others published work on this server, and work correctly."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dtoolcore
import pymongo
import pytest
import requests
from dtoolcore.utils import sanitise_uri

from ecosystem.published import EXTENSIONS, STORES, Installation, Server, mongo_settings
from support.mongod import Mongod
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a plain installation fetches every dependency

#: The combinations that are tried, and what of the published plugins each has installed.
COMBINATIONS = {
    "search and retrieve": ("stores",),
    "all": ("stores", "extensions"),
    "extensions": ("extensions",),  # beside our own search and retrieve plugins
}
WITH_EXTENSIONS = [name for name, kinds in COMBINATIONS.items() if "extensions" in kinds]

DERIVED = "derived_from:\n  - uuid: {}\n"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with datasets in it, which is a base URI."""
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module", params=COMBINATIONS)
def server(
    request: pytest.FixtureRequest,
    installation: Installation,
    mongod: Mongod,
    storage: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server with a combination of plugins; nothing says which to use."""
    settings = mongo_settings(mongod.uri) | {
        "PYTHONPATH": installation.path(*COMBINATIONS[request.param]),
        "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": json.dumps({"red": RED, "storage": sanitise_uri(str(storage))}),
    }
    server = Server(tmp_path_factory.mktemp("server"), installation.python, settings)
    assert server.flask("base_uri", "add", str(storage)).returncode == 0
    for permission in ("search_permission", "register_permission"):
        granted = server.flask("user", permission, CHAMPION, sanitise_uri(str(storage)))
        assert granted.returncode == 0, granted.stderr
    server.start()
    yield server
    server.stop()
    with pymongo.MongoClient(mongod.uri) as client:
        client.drop_database(settings["SEARCH_MONGO_DB"])


def word() -> str:
    """Return a word that nobody else uses."""
    return "w" + uuid.uuid4().hex


def as_module(distribution: str) -> str:
    return distribution.replace("-", "_")


class TestTheChoice:
    def test_falls_on_whatever_is_installed(self, server: Server, request: pytest.FixtureRequest) -> None:
        versions = server.get("/config/versions")["versions"]
        kinds = COMBINATIONS[request.node.callspec.params["server"]]
        stores = STORES if "stores" in kinds else {}
        extensions = EXTENSIONS if "extensions" in kinds else {}
        published = {name: version for name, version in versions.items() if not name.endswith("_sql")}
        del published["dservercore"]
        assert published == {as_module(name): version for name, version in (stores | extensions).items()}

    def test_can_be_made_for_our_own(self, server: Server) -> None:
        versions = server.versions_with(DSERVER_SEARCH_PLUGIN="sql", DSERVER_RETRIEVE_PLUGIN="sql")
        assert {"dserver_search_plugin_sql", "dserver_retrieve_plugin_sql"} <= versions.keys()
        assert not {as_module(name) for name in STORES} & versions.keys()

    @pytest.mark.parametrize("server", ["all"], indirect=True)
    def test_shows_the_settings_and_hides_the_secrets(self, server: Server) -> None:
        shown = server.get("/config/info")["config"]
        for prefix in ("search_", "retrieve_", ""):
            assert shown[f"{prefix}mongo_uri"].startswith("mongodb://127.0.0.1:")
            for name in ("db", "collection"):
                assert shown[f"{prefix}mongo_{name}"] == "***"
        assert shown["allow_direct_query"] is True
        assert "readme.derived_from.uuid" in shown["dependency_keys"]
        assert shown["bucket_to_base_uri"]["red"] == RED


class TestADataset:
    def test_is_what_was_registered(self, server: Server) -> None:
        info = server.put()
        uri = info["uri"]
        assert server.get(f"/readmes/{uri}") == {"readme": info["readme"]}
        assert server.get(f"/manifests/{uri}") == info["manifest"]
        assert server.get(f"/annotations/{uri}") == {"annotations": info["annotations"]}
        assert server.get(f"/tags/{uri}") == {"tags": info["tags"]}

    def test_may_be_registered_again(self, server: Server) -> None:
        info, new = server.put(), word()
        server.put(uuid=info["uuid"], readme=f"description: {new}\n")
        assert server.search(free_text=new) == ([info["uuid"]], 1)
        assert server.get(f"/readmes/{info['uri']}") == {"readme": f"description: {new}\n"}

    def test_may_be_registered_from_storage(self, server: Server, storage: Path) -> None:
        name, about = word(), word()
        with dtoolcore.DataSetCreator(name, str(storage), readme_content=f"about: {about}\n") as creator:
            creator.put_annotation("soil", "clay")
            creator.put_tag(about)
        indexed = server.flask("base_uri", "index", str(storage))
        assert indexed.returncode == 0, indexed.stderr
        assert name in indexed.stdout
        for query in ({"free_text": about}, {"tags": [about]}):
            assert server.search(**query)[1] == 1
        assert server.get(f"/readmes/{creator.uri}") == {"readme": f"about: {about}\n"}
        assert server.get(f"/annotations/{creator.uri}") == {"annotations": {"soil": "clay"}}


@pytest.fixture(scope="module")
def tag(server: Server) -> str:
    """The tag of the datasets that are searched."""
    return word()


@pytest.fixture(scope="module")
def found(server: Server, tag: str) -> list[str]:
    """The UUIDs of 23 datasets, by name; every third was uploaded by READER."""
    return [
        server.put(
            READER if number % 3 == 0 else CHAMPION,
            name=f"d{number:02}",
            tags=[tag, "odd" if number % 2 else "even"],
            creator_username=f"creator-{number % 4}",
            readme=f"about: {tag}text\n",
            frozen_at=1536238185.881941 + number,
        )["uuid"]
        for number in range(23)
    ]


class TestASearch:
    def test_by_text(self, server: Server, found: list[str], tag: str) -> None:
        assert server.search("?sort=name&page_size=100", free_text=f"{tag}text") == (found, 23)

    def test_by_tags(self, server: Server, found: list[str], tag: str) -> None:
        assert server.search("?sort=name&page_size=100", tags=[tag, "odd"]) == (found[1::2], 11)

    def test_by_creators(self, server: Server, found: list[str], tag: str) -> None:
        matching = [uuid for number, uuid in enumerate(found) if number % 4 in (1, 2)]
        creators = ["creator-1", "creator-2"]
        assert server.search("?sort=name&page_size=100", tags=[tag], creator_usernames=creators) == (
            matching,
            len(matching),
        )

    def test_by_uuids(self, server: Server, found: list[str]) -> None:
        assert server.search("?sort=name", uuids=found[3:5]) == (found[3:5], 2)

    def test_by_base_uris(self, server: Server, found: list[str], tag: str) -> None:
        elsewhere = server.put(READER, base_uri=BLUE, tags=[tag + "b"])["uuid"]
        assert server.search(username=READER, tags=[tag + "b"], base_uris=[BLUE]) == ([elsewhere], 1)
        assert server.search(username=READER, tags=[tag + "b"], base_uris=[RED]) == ([], 0)

    def test_by_uploaders(self, server: Server, found: list[str], tag: str) -> None:
        assert server.search("?sort=name&page_size=100", tags=[tag], uploaded_by=[READER]) == (found[::3], 8)
        assert server.search("?sort=name&page=2&page_size=3", tags=[tag], uploaded_by=[READER]) == (
            found[9:18:3],
            8,
        )
        assert server.search(tags=[tag], uploaded_by=["nobody"]) == ([], 0)

    def test_comes_in_pages(self, server: Server, found: list[str], tag: str) -> None:
        for page in (1, 2, 3):
            expected = found[::-1][(page - 1) * 10 : page * 10]
            assert server.search(f"?sort=-name&page={page}", tags=[tag]) == (expected, 23)

    def test_finds_nothing_for_whom_it_is_not_permitted(
        self, server: Server, found: list[str], tag: str
    ) -> None:
        for username in (NOBODY, ADMIN):
            assert server.search(username=username, tags=[tag]) == ([], 0)

    def test_answers_times_in_microseconds(self, server: Server, found: list[str]) -> None:
        (dataset,) = server.send("POST", "/uris", {"uuids": found[:1]})
        assert dataset["frozen_at"] == 1536238185.881941
        assert dataset == server.get(f"/uris/{RED}/{found[0]}")


EDITS = {
    "a README": lambda uri, new: ("PUT", f"/readmes/{uri}", {"readme": f"about: {new}\n"}),
    "tags": lambda uri, new: ("PUT", f"/tags/{uri}", {"tags": [new]}),
    "one tag": lambda uri, new: ("POST", f"/tags/{uri}/{new}", None),
    "annotations": lambda uri, new: ("PUT", f"/annotations/{uri}", {"annotations": {"about": new}}),
    "one annotation": lambda uri, new: ("PUT", f"/annotations/{uri}/about", {"value": new}),
}


@pytest.mark.parametrize("edit", EDITS)
class TestAnEdit:
    def test_can_be_read_and_found(self, server: Server, edit: str) -> None:
        info, new = server.put(), word()
        method, path, body = EDITS[edit](info["uri"], new)
        answered = server.send(method, path, body)
        resource = path.split("/")[1]
        assert new in json.dumps(answered)
        assert server.get(f"/{resource}/{info['uri']}") == answered
        assert server.search(free_text=new) == ([info["uuid"]], 1)
        if resource == "tags":
            assert server.search(tags=[new]) == ([info["uuid"]], 1)

    def test_leaves_everything_else(self, server: Server, edit: str) -> None:
        info = server.put()
        method, path, body = EDITS[edit](info["uri"], word())
        server.send(method, path, body)
        for resource in {"readmes", "manifests", "annotations", "tags"} - {path.split("/")[1]}:
            answered = server.get(f"/{resource}/{info['uri']}")
            field = resource.rstrip("s") if resource in ("readmes", "manifests") else resource
            assert answered == (info["manifest"] if field == "manifest" else {field: info[field]})

    @pytest.mark.parametrize("server", WITH_EXTENSIONS, indirect=True)
    def test_can_be_queried(self, server: Server, edit: str) -> None:
        info, new = server.put(), word()
        server.send(*EDITS[edit](info["uri"], new))
        anywhere = [{"readme.about": new}, {"tags": new}, {"annotations.about": new}]
        assert server.query(**{"$or": anywhere}) == ([info["uuid"]], 1)


class TestADeletedDataset:
    def test_is_not_found(self, server: Server) -> None:
        tag = word()
        info, other = server.put(tags=[tag]), server.put(tags=[tag])
        server.send("DELETE", f"/uris/{info['uri']}")
        assert server.search(tags=[tag]) == ([other["uuid"]], 1)
        assert server.search(uuids=[info["uuid"]]) == ([], 0)
        assert server.get(f"/uuids/{info['uuid']}") == []
        for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
            assert server.request("GET", f"/{resource}/{info['uri']}", CHAMPION).status_code == 404

    def test_is_found_when_it_is_registered_again(self, server: Server) -> None:
        info = server.put()
        server.send("DELETE", f"/uris/{info['uri']}")
        server.put(uuid=info["uuid"])
        assert server.search(uuids=[info["uuid"]]) == ([info["uuid"]], 1)
        assert server.get(f"/readmes/{info['uri']}") == {"readme": info["readme"]}

    @pytest.mark.parametrize("server", WITH_EXTENSIONS, indirect=True)
    def test_is_in_no_query_and_no_graph(self, server: Server) -> None:
        tag = word()
        parent = server.put(tags=[tag])
        child = server.put(tags=[tag], readme=DERIVED.format(parent["uuid"]))
        server.send("DELETE", f"/uris/{parent['uri']}")
        assert server.query(tags=tag) == ([child["uuid"]], 1)
        assert server.query(uuid=parent["uuid"]) == ([], 0)
        assert server.graph(child["uuid"]).keys() == {child["uuid"]}


class TestADatasetThatTookThePlaceOfAnother:
    """Of the same name in the same folder, with another UUID."""

    @pytest.fixture
    def two(self, server: Server, storage: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
        base_uri, name, tag = sanitise_uri(str(storage)), word(), word()
        common = {"base_uri": base_uri, "uri": f"{base_uri}/{name}", "tags": [tag]}
        return server.put(readme="old: 1\n", **common), server.put(readme="new: 1\n", **common), tag

    def test_is_found_alone(self, server: Server, two: tuple[dict[str, Any], dict[str, Any], str]) -> None:
        old, new, tag = two
        assert server.search(tags=[tag]) == ([new["uuid"]], 1)
        assert server.search(uuids=[old["uuid"]]) == ([], 0)

    def test_is_the_one_that_is_read(
        self, server: Server, two: tuple[dict[str, Any], dict[str, Any], str]
    ) -> None:
        _, new, tag = two
        assert server.get(f"/readmes/{new['uri']}") == {"readme": "new: 1\n"}
        assert server.get(f"/manifests/{new['uri']}") == new["manifest"]
        server.send("PUT", f"/readmes/{new['uri']}", {"readme": "edited: 1\n"})
        assert server.get(f"/readmes/{new['uri']}") == {"readme": "edited: 1\n"}
        assert server.search(tags=[tag]) == ([new["uuid"]], 1)

    @pytest.mark.parametrize("server", WITH_EXTENSIONS, indirect=True)
    def test_is_queried_alone(self, server: Server, two: tuple[dict[str, Any], dict[str, Any], str]) -> None:
        _, new, tag = two
        assert server.query(tags=tag) == ([new["uuid"]], 1)


@pytest.mark.parametrize("server", WITH_EXTENSIONS, indirect=True)
class TestADirectQuery:
    def test_looks_into_the_readme(self, server: Server) -> None:
        about = word()
        info = server.put(readme=f"project:\n  title: {about}\n  year: 2026\n")
        assert server.query(**{"readme.project.title": about, "readme.project.year": {"$gt": 2025}}) == (
            [info["uuid"]],
            1,
        )

    def test_leaves_the_readme_as_it_is(self, server: Server) -> None:
        """By their defaults search, retrieve and extensions share a collection."""
        info = server.put(readme="project: {title: x}\n")
        assert server.get(f"/readmes/{info['uri']}") == {"readme": "project: {title: x}\n"}

    def test_finds_nothing_for_whom_it_is_not_permitted(self, server: Server) -> None:
        info = server.put()
        assert server.query(READER, uuid=info["uuid"])[1] == 1
        assert server.query(NOBODY, uuid=info["uuid"])[1] == 0

    def test_needs_a_token(self, server: Server) -> None:
        answer = requests.post(f"{server.address}/mongo/query", json={"query": {}}, timeout=60)
        assert answer.status_code == 401

    def test_may_not_aggregate_unless_that_is_switched_on(self, server: Server) -> None:
        assert server.request("POST", "/mongo/aggregate", CHAMPION, json={}).status_code == 404


@pytest.mark.parametrize("server", WITH_EXTENSIONS, indirect=True)
class TestAGraph:
    def test_holds_ancestors_and_descendants(self, server: Server) -> None:
        grandparent = server.put()["uuid"]
        parent = server.put(readme=DERIVED.format(grandparent))["uuid"]
        child = server.put(annotations={"source_dataset_uuid": parent})["uuid"]
        unrelated = server.put()["uuid"]
        for start in (grandparent, parent, child):
            found = server.graph(start)
            assert found.keys() == {grandparent, parent, child}
            assert found[parent] == [grandparent]
            assert found[child] == [parent]
        assert server.graph(unrelated).keys() == {unrelated}

    def test_changes_with_the_readme(self, server: Server) -> None:
        parent = server.put()["uuid"]
        child = server.put(readme=DERIVED.format(parent))
        server.send("PUT", f"/readmes/{child['uri']}", {"readme": "derived_from: []\n"})
        assert server.graph(child["uuid"]).keys() == {child["uuid"]}

    def test_holds_what_is_permitted(self, server: Server) -> None:
        parent = server.put(READER, base_uri=BLUE)["uuid"]
        child = server.put(readme=DERIVED.format(parent))["uuid"]
        assert server.graph(child, READER).keys() == {parent, child}
        assert server.graph(child, CHAMPION).keys() == {child}


@pytest.mark.parametrize("server", WITH_EXTENSIONS, indirect=True)
class TestANotification:
    @pytest.fixture
    def proto(self, storage: Path) -> Any:
        """A dataset that is not frozen yet; where its URI does not tell, the plugin takes the UUID for the name."""
        admin_metadata = dtoolcore.generate_admin_metadata("named-by-its-uuid")
        admin_metadata["name"] = admin_metadata["uuid"]
        proto = dtoolcore.generate_proto_dataset(admin_metadata, str(storage))
        proto.create()
        proto.put_readme(f"about: a{proto.uuid[:8]}\n")
        return proto

    def test_of_a_new_dataset_registers_it_once_it_is_frozen(self, server: Server, proto: Any) -> None:
        about = f"a{proto.uuid[:8]}"
        answer = server.notify("s3:ObjectCreated:Put", "storage", f"{proto.uuid}/README.yml")
        assert answer.status_code == 200
        assert server.get(f"/uuids/{proto.uuid}") == []
        proto.freeze()
        assert server.notify("s3:ObjectCreated:Put", "storage", f"{proto.uuid}/dtool").status_code == 200
        assert server.search(free_text=about) == ([proto.uuid], 1)
        assert server.query(**{"readme.about": about}) == ([proto.uuid], 1)
        assert server.get(f"/readmes/{proto.uri}") == {"readme": f"about: {about}\n"}

    def test_of_a_removed_dataset_deletes_it_everywhere(self, server: Server, proto: Any) -> None:
        tag = word()
        proto.put_tag(tag)
        proto.freeze()
        server.notify("s3:ObjectCreated:Put", "storage", f"{proto.uuid}/dtool")
        assert server.search(tags=[tag]) == ([proto.uuid], 1)
        answer = server.notify("s3:ObjectRemoved:Delete", "storage", f"{proto.uuid}/dtool")
        assert (answer.status_code, answer.json()) == (200, None)
        assert server.get(f"/uuids/{proto.uuid}") == []
        assert server.search(tags=[tag]) == ([], 0)
        assert server.query(tags=tag) == ([], 0)
        assert proto.uuid not in server.graph(proto.uuid)
        assert tag not in server.get("/me/summary")["tags"]

    def test_of_anything_else_is_ignored(self, server: Server) -> None:
        info = server.put()
        for event, key in (
            ("s3:ObjectAccessed:Get", f"{info['uuid']}/dtool"),
            ("s3:ObjectRemoved:Delete", f"{info['uuid']}/README.yml"),
        ):
            assert server.notify(event, "red", key).status_code == 200
        assert server.search(uuids=[info["uuid"]])[1] == 1

    def test_of_an_unknown_bucket_is_an_error(self, server: Server) -> None:
        assert server.notify("s3:ObjectCreated:Put", "unknown", "x/dtool").status_code == 400

    def test_that_asks_whether_anybody_listens_is_answered(self, server: Server) -> None:
        form = {"Action": "Publish", "Message": "StorageGRID Test Message", "TopicArn": "urn:test"}
        answer = requests.post(f"{server.address}/webhook/notify", data=form, timeout=60)
        assert (answer.status_code, answer.json()) == (200, None)
