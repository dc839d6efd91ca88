"""Edits reach the dataset itself where the server can write to its storage; ``X-Storage-Updated`` says if they did."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import dtoolcore
import pytest
from sqlalchemy import text

from api.conftest import on_every_store, on_sql_alone
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.catalog.storage import storage_limits
from dservercore.dataset.document import generate_dataset_info
from dservercore.db import sql_db
from support.world import CHAMPION

pytestmark = on_every_store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of the frozen dataset ``beans``, made by dtool."""
    (tmp_path / "storage").mkdir()
    (tmp_path / "yield.csv").write_text("a,b\n")
    with dtoolcore.DataSetCreator(
        "beans", str(tmp_path / "storage"), readme_content="description: Beans\n", creator_username="olga"
    ) as creator:
        creator.put_item(str(tmp_path / "yield.csv"), "yield.csv")
        creator.put_annotation("soil", "loam")
        creator.put_tag("fruit")
    return tmp_path / "storage" / "beans"


def stored(directory: Path) -> dtoolcore.DataSet:
    """Return the dataset as it is on disk now."""
    return dtoolcore.DataSet.from_uri(str(directory))


def register(app, directory: Path, base_uri: str, **changes) -> str:
    """Register the dataset in a base URI that means its directory, and return its URI."""
    with app.app_context():
        base_uris.create_base_uri(base_uri, [CHAMPION], [CHAMPION])
        uri = f"{base_uri}/{directory.name}"
        info = {**generate_dataset_info(stored(directory), base_uri), "uri": uri, **changes}
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
    return uri


@pytest.fixture(params=["without a host", "with the host's name"])
def uri(request, app, people, directory) -> str:
    host = "" if request.param == "without a host" else socket.gethostname()
    return register(app, directory, f"file://{host}{directory.parent}")


def path(resource: str, uri: str, *more: str) -> str:
    return "/".join(["", resource, uri.replace("/", "%2F"), *more])


class TestOnDisk:
    def test_a_readme(self, champion, uri, directory):
        answer = champion.put(path("readmes", uri), json={"readme": "description: größe 😀\n"})
        assert (answer.status_code, answer.headers["X-Storage-Updated"]) == (200, "true")
        assert stored(directory).get_readme_content() == "description: größe 😀\n"
        assert (directory / "README.yml").read_text() == "description: größe 😀\n"

    def test_all_tags(self, champion, uri, directory):
        answer = champion.put(path("tags", uri), json={"tags": ["veg", "b"]})
        assert (answer.json, answer.headers["X-Storage-Updated"]) == ({"tags": ["veg", "b"]}, "true")
        assert sorted(stored(directory).list_tags()) == ["b", "veg"]

    def test_one_tag(self, champion, uri, directory):
        assert champion.post(path("tags", uri, "veg")).headers["X-Storage-Updated"] == "true"
        assert sorted(stored(directory).list_tags()) == ["fruit", "veg"]
        assert champion.delete(path("tags", uri, "fruit")).headers["X-Storage-Updated"] == "true"
        assert stored(directory).list_tags() == ["veg"]

    def test_all_annotations(self, champion, uri, directory):
        annotations = {"crop": {"a": [1, None, 2.5]}, "none": None}
        answer = champion.put(path("annotations", uri), json={"annotations": annotations})
        assert (answer.json, answer.headers["X-Storage-Updated"]) == ({"annotations": annotations}, "true")
        dataset = stored(directory)
        assert {name: dataset.get_annotation(name) for name in dataset.list_annotation_names()} == annotations

    def test_one_annotation(self, champion, uri, directory):
        answer = champion.put(path("annotations", uri, "soil"), json={"value": "sand"})
        assert answer.headers["X-Storage-Updated"] == "true"
        assert stored(directory).get_annotation("soil") == "sand"
        champion.put(path("annotations", uri, "crop"), json={"value": 1})
        assert champion.delete(path("annotations", uri, "soil")).headers["X-Storage-Updated"] == "true"
        assert stored(directory).list_annotation_names() == ["crop"]

    @pytest.mark.parametrize("folder", ["tags", "annotations"])
    def test_a_dataset_of_many_files_is_left_as_it_is(
        self, app, champion, uri, directory, folder, monkeypatch
    ):
        """Going through all of them would take a client's time, and the server's."""
        monkeypatch.setattr(storage_limits, "MAX_FILES_OF_EDITS", 20)
        monkeypatch.setitem(app.config, "DSERVER_MAX_TAGS", 20)
        for number in range(19):
            (directory / ".dtool" / folder / f"x{number}.json").write_text("1")
        answer = champion.put(path("readmes", uri), json={"readme": "first"})
        assert answer.headers["X-Storage-Updated"] == "true"
        (directory / ".dtool" / folder / "x19.json").write_text("1")
        for method, of, *more, body in (
            ("put", "readmes", {"readme": "second"}),
            ("put", "tags", {"tags": ["a"]}),
            ("post", "tags", "b", None),
            ("put", "annotations", {"annotations": {"a": 1}}),
        ):
            answer = getattr(champion, method)(path(of, uri, *more), json=body)
            assert (answer.status_code, answer.headers["X-Storage-Updated"]) == (200, "false")
        assert stored(directory).get_readme_content() == "first"
        assert len(list((directory / ".dtool" / folder).iterdir())) == 21

    def test_nothing_else_of_the_dataset_changes(self, champion, uri, directory):
        def others():
            kept = [directory / ".dtool" / name for name in ("dtool", "manifest.json", "structure.json")]
            files = [*kept, *(directory / "data").iterdir()]
            return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

        before = others()
        champion.put(path("readmes", uri), json={"readme": "x"})
        champion.put(path("tags", uri), json={"tags": ["x"]})
        champion.put(path("annotations", uri), json={"annotations": {"x": 1}})
        assert others() == before

    def test_an_edit_that_changes_nothing_is_there_already(self, champion, uri, directory):
        tag = directory / ".dtool" / "tags" / "fruit"
        before = tag.stat().st_mtime_ns
        assert champion.post(path("tags", uri, "fruit")).headers["X-Storage-Updated"] == "true"
        assert tag.stat().st_mtime_ns == before

    def test_what_is_refused_does_not_reach_it(self, champion, reader, uri, directory):
        assert champion.put(path("tags", uri), json={"tags": ["veg", "bad tag!"]}).status_code == 422
        assert champion.post(path("tags", uri, "bad%20tag!")).status_code == 422
        assert (
            champion.put(path("annotations", uri), json={"annotations": {"x": 1, "bad name!": 1}}).status_code
            == 422
        )
        assert reader.put(path("readmes", uri), json={"readme": "x"}).status_code == 403
        dataset = stored(directory)
        assert (dataset.list_tags(), dataset.list_annotation_names()) == (["fruit"], ["soil"])
        assert dataset.get_readme_content() == "description: Beans\n"

    def test_registering_and_deleting_leave_it_alone(self, champion, uri, directory):
        champion.delete(path("uris", uri))
        assert stored(directory).list_tags() == ["fruit"]


class TestOutOfReach:
    """The server's stores are edited all the same, and the log warns."""

    def edits(self, client, uri):
        assert (
            client.put(path("readmes", uri), json={"readme": "new"}).headers["X-Storage-Updated"] == "false"
        )
        assert client.put(path("tags", uri), json={"tags": ["new"]}).headers["X-Storage-Updated"] == "false"
        assert client.post(path("tags", uri, "newer")).headers["X-Storage-Updated"] == "false"
        assert client.delete(path("tags", uri, "new")).headers["X-Storage-Updated"] == "false"
        answer = client.put(path("annotations", uri), json={"annotations": {"a": 1}})
        assert answer.headers["X-Storage-Updated"] == "false"
        answer = client.put(path("annotations", uri, "b"), json={"value": 2})
        assert answer.headers["X-Storage-Updated"] == "false"
        assert client.delete(path("annotations", uri, "a")).headers["X-Storage-Updated"] == "false"
        assert client.get(path("readmes", uri)).json == {"readme": "new"}
        assert client.get(path("tags", uri)).json == {"tags": ["newer"]}
        assert client.get(path("annotations", uri)).json == {"annotations": {"b": 2}}

    def unchanged(self, directory):
        dataset = stored(directory)
        assert dataset.get_readme_content() == "description: Beans\n"
        assert dataset.list_tags() == ["fruit"]
        assert dataset.list_annotation_names() == ["soil"]

    @pytest.mark.parametrize("base_uri", ["s3://bucket", "nosuchstorage://bucket"])
    def test_a_storage_that_the_server_cannot_talk_to(
        self, champion, people, app, directory, caplog, base_uri
    ):
        uri = register(app, directory, base_uri)
        self.edits(champion, uri)
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 7
        assert all(uri in record.getMessage() for record in warnings)

    def test_a_directory_on_another_host(self, champion, people, app, directory):
        """The same path may lead to something else here."""
        uri = register(app, directory, f"file://another-host.invalid{directory.parent}")
        self.edits(champion, uri)
        self.unchanged(directory)

    def test_a_dataset_that_is_gone(self, champion, people, app, directory):
        uri = register(app, directory, f"file://{directory.parent}")
        directory.rename(directory.with_name("elsewhere"))
        self.edits(champion, uri)
        assert not directory.exists()

    def test_another_dataset_in_its_place(self, champion, people, app, directory):
        other = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
        uri = register(app, directory, f"file://{directory.parent}", uuid=other)
        self.edits(champion, uri)
        self.unchanged(directory)

    def test_a_dataset_that_is_not_frozen(self, champion, people, app, directory):
        uri = register(app, directory, f"file://{directory.parent}")
        admin_file = directory / ".dtool" / "dtool"
        admin_file.write_text(json.dumps({**json.loads(admin_file.read_text()), "type": "protodataset"}))
        self.edits(champion, uri)
        assert (directory / "README.yml").read_text() == "description: Beans\n"

    def test_a_storage_that_refuses(self, champion, people, app, directory):
        uri = register(app, directory, f"file://{directory.parent}")
        tags = directory / ".dtool" / "tags"
        for tag in tags.iterdir():
            tag.unlink()
        tags.rmdir()
        tags.write_text("in the way")
        assert champion.put(path("tags", uri), json={"tags": ["new"]}).headers["X-Storage-Updated"] == "false"
        assert champion.get(path("tags", uri)).json == {"tags": ["new"]}
        assert champion.put(path("readmes", uri), json={"readme": "x"}).headers["X-Storage-Updated"] == "true"

    def test_an_administrator_who_does_not_want_it(
        self, champion, people, app, directory, caplog, monkeypatch
    ):
        monkeypatch.setitem(app.config, "DSERVER_UPDATE_STORAGE", False)
        uri = register(app, directory, f"file://{directory.parent}")
        self.edits(champion, uri)
        self.unchanged(directory)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    @on_sql_alone
    def test_an_edit_that_the_server_could_not_store(self, champion, people, app, directory):
        """Then it does not reach the dataset either."""
        uri = register(app, directory, f"file://{directory.parent}")
        with app.app_context():
            sql_db.session.execute(text("DROP TABLE search_index"))
            sql_db.session.commit()
        assert champion.put(path("tags", uri), json={"tags": ["new"]}).status_code == 503
        assert champion.put(path("readmes", uri), json={"readme": "new"}).status_code == 503
        self.unchanged(directory)
        assert champion.get(path("tags", uri)).json == {"tags": ["fruit"]}
        assert champion.get(path("readmes", uri)).json == {"readme": "description: Beans\n"}
