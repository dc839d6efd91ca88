"""Indexing what is registered already: over HTTP, by somebody, as it is stored or not"""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from dservercore import create_app, sql_db
from dservercore.dataset.document import generate_dataset_info
from support.databases import new_database
from support.mongod import Mongod, mongo_plugins

from .conftest import CommandLine

Package = Callable[..., Path]
UNCHANGED = "0 registered, 1 unchanged, 0 failed\n"


@pytest.fixture(params=["sql", "PostgreSQL", "MariaDB and MongoDB"])
def app(request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[Flask]:
    with ExitStack() as stack:
        if request.param != "sql":
            kind = "postgresql" if request.param == "PostgreSQL" else "mariadb"
            config["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database(kind))
        if "MongoDB" in request.param:
            mongod: Mongod = request.getfixturevalue("mongod")
            config |= mongo_plugins(mongod.uri, f"again_{uuid.uuid4().hex}")
        app = create_app(config)
        with app.app_context():
            sql_db.create_all()
        yield app
        with app.app_context():
            sql_db.engine.dispose()


class Olga:
    """Somebody who registers over HTTP what is stored in a directory."""

    def __init__(self, flask: CommandLine, client: FlaskClient, base: Path):
        self.client, self.base = client, base
        self.base_uri = f"file://{socket.gethostname()}{base}"
        flask.succeed("base_uri", "add", str(base))
        flask.succeed("user", "add", "olga")
        for kind in ("search", "register"):
            flask.succeed("user", f"{kind}_permission", "olga", str(base))
        self.headers = {"Authorization": f"Bearer {flask.succeed('user', 'token', 'olga').strip()}"}

    def register(self, name: str) -> str:
        """Return the URI."""
        uri = f"{self.base_uri}/{name}"
        document = generate_dataset_info(dtoolcore.DataSet.from_uri(uri), self.base_uri)
        answer = self.client.put(f"/uris/{uri}", json=document, headers=self.headers)
        assert answer.status_code == 201, answer.get_json()
        return uri

    def get(self, path: str) -> Any:
        answer = self.client.get(path, headers=self.headers)
        assert answer.status_code == 200, answer.get_json()
        return answer.get_json()


@pytest.fixture
def olga(flask: CommandLine, client: FlaskClient, base: Path) -> Olga:
    return Olga(flask, client, base)


def test_what_is_registered_as_it_is_stored_is_left_alone(
    app: Flask, flask: CommandLine, olga: Olga, package: Package
) -> None:
    package("beans", tags=("legume",))
    uri = olga.register("beans")
    before = olga.get(f"/uris/{uri}")
    assert before["uploaded_by"] == "olga"
    for _ in range(2):  # first by what it says, then by what it looks like
        result = flask("base_uri", "index", str(olga.base))
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", UNCHANGED)
        assert olga.get(f"/uris/{uri}") == before
    with app.app_context():
        (fingerprint,) = sql_db.session.execute(text("SELECT fingerprint FROM dataset")).scalars()
    assert fingerprint is not None
    assert olga.get("/me/summary")["datasets_per_uploader"] == {"olga": 1}


def test_a_second_run_does_not_read_it(flask: CommandLine, olga: Olga, package: Package) -> None:
    dataset = package("beans")
    olga.register("beans")
    flask("base_uri", "index", str(olga.base))
    item = dataset / ".dtool" / "manifest.json"
    status = item.stat()
    item.write_text("x" * status.st_size)  # which reading would stumble over, and which looks the same
    os.utime(item, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert flask("base_uri", "index", str(olga.base)).stderr == UNCHANGED


@pytest.mark.parametrize("change", ["readme", "tag", "annotation", "untag", "manifest"])
@pytest.mark.parametrize("options", [[], ["--full"]])
def test_what_has_changed_is_registered_and_stays_hers(
    flask: CommandLine, olga: Olga, package: Package, change: str, options: list[str]
) -> None:
    package("beans", tags=("old",))
    uri = olga.register("beans")
    before = olga.get(f"/uris/{uri}")
    dataset = dtoolcore.DataSet.from_uri(uri)
    {
        "readme": lambda: dataset.put_readme("description: runner beans\n"),
        "tag": lambda: dataset.put_tag("new"),
        "annotation": lambda: dataset.put_annotation("soil", "clay"),
        "untag": lambda: dataset.delete_tag("old"),
        "manifest": lambda: (olga.base / "beans" / ".dtool" / "manifest.json").write_text('{"items": {}}'),
    }[change]()
    result = flask("base_uri", "index", str(olga.base), *options)
    assert result.stdout == f"Registered: {uri}\n"
    after = olga.get(f"/uris/{uri}")
    assert (after["uploaded_by"], after["uploaded_at"]) == ("olga", before["uploaded_at"])
    assert olga.get(f"/readmes/{uri}")["readme"] == dataset.get_readme_content()
    assert sorted(olga.get(f"/tags/{uri}")["tags"]) == sorted(dataset.list_tags())
    assert olga.get(f"/annotations/{uri}")["annotations"]["soil"] == dataset.get_annotation("soil")
    assert olga.get("/uris?uploaded_by=olga") == [after]


def test_registering_one_or_repairing_forgets_nobody(
    flask: CommandLine, olga: Olga, package: Package
) -> None:
    package("beans")
    uri = olga.register("beans")
    flask.succeed("dataset", "register", uri)
    assert olga.get(f"/uris/{uri}")["uploaded_by"] == "olga"
    dtoolcore.DataSet.from_uri(uri).put_tag("new")
    flask.succeed("dataset", "check", "--storage", "--repair")
    assert olga.get(f"/uris/{uri}")["uploaded_by"] == "olga"
    assert olga.get(f"/tags/{uri}")["tags"] == ["new"]


def test_an_edit_that_storage_did_not_take_outlives_indexing(
    app: Flask, flask: CommandLine, olga: Olga, package: Package
) -> None:
    """Nothing has changed in storage since she registered the dataset."""
    package("beans")
    uri = olga.register("beans")
    app.config["DSERVER_UPDATE_STORAGE"] = False
    olga.client.post(f"/tags/{uri}/mine", headers=olga.headers)
    olga.client.put(f"/readmes/{uri}", json={"readme": "mine"}, headers=olga.headers)
    assert flask("base_uri", "index", str(olga.base)).stderr == UNCHANGED
    assert olga.get(f"/tags/{uri}")["tags"] == ["mine"]
    # Now it has, and storage is right.
    dtoolcore.DataSet.from_uri(uri).put_tag("new")
    assert flask("base_uri", "index", str(olga.base)).stdout == f"Registered: {uri}\n"
    assert olga.get(f"/tags/{uri}")["tags"] == ["new"]
    assert olga.get(f"/readmes/{uri}")["readme"] == "description: beans\n"
    assert olga.get(f"/uris/{uri}")["uploaded_by"] == "olga"


def test_an_edit_that_storage_took_is_no_change(flask: CommandLine, olga: Olga, package: Package) -> None:
    package("beans")
    flask.succeed("base_uri", "index", str(olga.base))
    uri = f"{olga.base_uri}/beans"
    answer = olga.client.post(f"/tags/{uri}/mine", headers=olga.headers)
    assert answer.headers["X-Storage-Updated"] == "true"
    for _ in range(2):
        assert flask("base_uri", "index", str(olga.base)).stderr == UNCHANGED


def test_another_dataset_in_its_place_is_registered(flask: CommandLine, olga: Olga, package: Package) -> None:
    package("beans")
    uri = olga.register("beans")
    copy = package("peas")
    shutil.rmtree(olga.base / "beans")
    copy.rename(olga.base / "beans")
    assert flask("base_uri", "index", str(olga.base)).stdout == f"Registered: {uri}\n"
    assert (olga.get(f"/uris/{uri}")["name"], olga.get(f"/uris/{uri}")["uploaded_by"]) == ("peas", "olga")


def test_what_the_command_line_registers_has_no_uploader(
    flask: CommandLine, olga: Olga, package: Package
) -> None:
    package("beans")
    flask.succeed("base_uri", "index", str(olga.base))
    assert olga.get(f"/uris/{olga.base_uri}/beans")["uploaded_by"] is None


def test_who_registers_a_dataset_while_it_is_indexed_is_not_forgotten(
    app: Flask, flask: CommandLine, olga: Olga, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("beans")
    package("peas")
    search = app.search  # type: ignore[attr-defined]
    prepare, uris = search.prepare_dataset, []

    def register_first(document: Any) -> Any:
        """Take so long that she is faster."""
        if not uris:
            uris.append("on the way")
            uris[0] = olga.register("beans")
        return prepare(document)

    monkeypatch.setattr(search, "prepare_dataset", register_first)
    result = flask("base_uri", "index", str(olga.base))
    assert (result.exit_code, result.stderr) == (0, "2 registered, 0 unchanged, 0 failed\n"), result.output
    assert olga.get(f"/uris/{uris[0]}")["uploaded_by"] == "olga"
    assert olga.get("/me/summary")["datasets_per_uploader"] == {"olga": 1}
    assert [found["uri"] for found in olga.get("/uris?uploaded_by=olga")] == uris
