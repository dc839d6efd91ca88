"""A registration, an edit or a deletion is in every store or in none, whatever fails in the middle of it."""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from flask_smorest import Blueprint
from sqlalchemy.exc import IntegrityError, OperationalError

from dservercore import ExtensionABC, create_app, db, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, users
from dservercore.catalog.storage import indexing
from dservercore.errors import UnavailableError, ValidationError
from dservercore.plugin_host import PluginSet
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch
from support.stores import disagreements
from support.world import ADMIN, BLUE, CHAMPION, RED, dataset_info
from support.worlds import World, world

WRITES = ("register_dataset", "delete_dataset", "set_tags", "set_readme", "set_annotations")


class _Failing:
    """Makes one method of a plugin raise, before or after it has done its work, at its *at*-th call."""

    def fail(self, method: str, error: BaseException, after_work: bool, at: int = 1) -> None:
        work = getattr(self, method)
        calls = itertools.count(1)

        def failing(*args: Any) -> None:
            number = next(calls)
            if number != at:
                return work(*args)
            if after_work:
                work(*args)
            raise error

        setattr(self, method, failing)


class FailingSearch(_Failing, SqlSearch):
    pass


class FailingRetrieve(_Failing, SqlRetrieve):
    pass


class FailingExtension(_Failing, ExtensionABC):
    """Writes to a table of the server, which no extension should, and fails."""

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        users.add_user(f"ghost-{uuid.uuid4()}")

    delete_dataset = register_dataset  # type: ignore[assignment]

    def get_blueprint(self) -> Blueprint:
        return Blueprint("failing", __name__)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("transactions"), key_pair) as shared:
        with shared.app.app_context():
            base_uris.put_base_uri(BLUE, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
        yield shared


@pytest.fixture
def here(shared: World) -> Iterator[World]:
    """A world whose plugins a test may replace."""
    plugins = shared.app.extensions["dservercore"]
    yield shared
    shared.app.extensions["dservercore"] = plugins


@pytest.fixture
def info(here: World) -> dict[str, Any]:
    info = dataset_info()
    assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
    return info


def with_plugins(here: World, *plugins: Any) -> None:
    found: dict[str, Any] = {"search": SqlSearch(), "retrieve": SqlRetrieve(), "extensions": ()}
    for plugin in plugins:
        if isinstance(plugin, ExtensionABC):
            found["extensions"] = (plugin,)
        else:
            found["search" if isinstance(plugin, SqlSearch) else "retrieve"] = plugin
    here.app.extensions["dservercore"] = PluginSet(**found)


Request = tuple[str, str, Any, str]  # method, path, body, and the plugins' method that is called

REQUESTS: dict[str, Callable[[dict[str, Any]], Request]] = {
    "registration": lambda _: _registration(dataset_info()),
    "registration again": lambda info: _registration(
        {**info, "readme": "new", "tags": ["new"], "name": "new"}
    ),
    "tags": lambda info: ("PUT", f"/tags/{info['uri']}", {"tags": ["new"]}, "set_tags"),
    "no tags": lambda info: ("PUT", f"/tags/{info['uri']}", {"tags": []}, "set_tags"),
    "one tag more": lambda info: ("POST", f"/tags/{info['uri']}/new", None, "set_tags"),
    "one tag less": lambda info: ("DELETE", f"/tags/{info['uri']}/beans", None, "set_tags"),
    "README": lambda info: ("PUT", f"/readmes/{info['uri']}", {"readme": "new"}, "set_readme"),
    "annotations": lambda info: (
        "PUT",
        f"/annotations/{info['uri']}",
        {"annotations": {}},
        "set_annotations",
    ),
    "annotation": lambda info: ("PUT", f"/annotations/{info['uri']}/new", {"value": 1}, "set_annotations"),
    "annotation less": lambda info: ("DELETE", f"/annotations/{info['uri']}/soil", None, "set_annotations"),
    "deletion": lambda info: ("DELETE", f"/uris/{info['uri']}", None, "delete_dataset"),
}


def _registration(info: dict[str, Any]) -> Request:
    return "PUT", f"/uris/{info['uri']}", info, "register_dataset"


@pytest.mark.parametrize("after_work", [False, True], ids=["before its work", "after its work"])
@pytest.mark.parametrize("plugin_class", [FailingSearch, FailingRetrieve])
@pytest.mark.parametrize("request_", REQUESTS)
class TestOneRequest:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (RuntimeError("as if the disk were full"), 500),
            (ValidationError("does not fit"), 400),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_plugin_that_fails_undoes_everything(
        self,
        here: World,
        info: dict[str, Any],
        request_: str,
        plugin_class: type,
        after_work: bool,
        error: Exception,
        status: int,
    ) -> None:
        method, path, body, called = REQUESTS[request_](info)
        plugin = plugin_class()
        plugin.fail(called, error, after_work)
        before = here.contents()
        with_plugins(here, plugin)
        assert here.send(method, path, json=body).status_code == status
        assert here.contents() == before
        with_plugins(here)
        assert here.send(method, path, json=body).status_code in (200, 201)
        assert disagreements(here.database) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), 500),
        (KeyError("tags"), 500),
        (UnavailableError("out of reach"), 503),
        (OperationalError("", None, sqlite3.OperationalError("database or disk is full")), 503),
        (IntegrityError("", None, sqlite3.IntegrityError("FOREIGN KEY constraint failed")), 409),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_it_fails_makes_no_difference(here: World, error: Exception, status: int) -> None:
    search = FailingSearch()
    search.fail("register_dataset", error, after_work=True)
    before = here.contents()
    with_plugins(here, search)
    info = dataset_info()
    assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == status
    assert here.contents() == before


class TestManyDatasets:
    def test_a_base_uri_is_not_half_emptied(self, here: World) -> None:
        here.send(
            "PUT", "/base-uris/s3://doomed", ADMIN, json={"users_with_register_permissions": [CHAMPION]}
        )
        for _ in range(5):
            info = dataset_info("s3://doomed")
            assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
        before = here.contents()
        search = FailingSearch()
        search.fail("delete_dataset", RuntimeError("in the middle"), after_work=True, at=3)
        with_plugins(here, search)
        assert here.send("DELETE", "/base-uris/s3://doomed?with_datasets=true", ADMIN).status_code == 500
        assert here.contents() == before
        with_plugins(here)
        assert here.send("DELETE", "/base-uris/s3://doomed?with_datasets=true", ADMIN).status_code == 200
        assert disagreements(here.database) == []

    def test_indexing_leaves_nothing_of_the_one_that_failed(self, here: World, tmp_path: Path) -> None:
        base_uri = f"file://{tmp_path}"
        for name in ("first", "second", "third"):
            with dtoolcore.DataSetCreator(name, str(tmp_path), readme_content="x: y\n"):
                pass

        class RefusingSearch(SqlSearch):
            def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
                super().register_datasets(dataset_infos)
                if any(dataset_info["name"] == "second" for dataset_info in dataset_infos):
                    raise RuntimeError("after its work")

        with_plugins(here, RefusingSearch())
        with here.app.app_context():
            base_uris.put_base_uri(base_uri, [CHAMPION], [])
            sql_db.session.commit()
            outcomes = list(indexing.index_base_uri(operator_scope("register"), base_uri, jobs=1))
        assert sorted(found.outcome for found in outcomes) == ["failed", "registered", "registered"]
        assert [found.name for found in outcomes if found.outcome == "failed"] == ["second"]
        assert disagreements(here.database) == []
        registered = {found.uri for found in outcomes if found.outcome == "registered"}
        found = here.send("POST", "/uris", json={"base_uris": [base_uri]}).json
        assert {dataset["uri"] for dataset in found} == registered


class TestExtensions:
    @pytest.mark.parametrize("after_work", [False, True])
    @pytest.mark.parametrize("called", ["register_dataset", "delete_dataset"])
    def test_one_that_fails_undoes_only_itself(self, here: World, called: str, after_work: bool) -> None:
        extension = FailingExtension()
        extension.fail(called, RuntimeError("of its own making"), after_work)
        extension.fail(
            "register_dataset" if called == "delete_dataset" else "delete_dataset", KeyError(), False
        )
        ghosts = len(here.contents()["user"])
        with_plugins(here, extension)
        info = dataset_info()
        assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
        assert here.send("GET", f"/uris/{info['uri']}").status_code == 200
        assert disagreements(here.database) == []
        assert here.send("DELETE", f"/uris/{info['uri']}").status_code == 200
        assert here.send("GET", f"/uris/{info['uri']}").status_code == 404
        assert disagreements(here.database) == []
        assert len(here.contents()["user"]) == ghosts


class TestPermissions:
    def test_an_unknown_user_leaves_no_base_uri(self, here: World) -> None:
        before = here.contents()
        body = {"users_with_search_permissions": [CHAMPION, "nobody-at-all"]}
        for method in ("PUT", "POST"):
            assert here.send(method, "/base-uris/s3://green", ADMIN, json=body).status_code == 422
        body = {"users_with_search_permissions": [], "users_with_register_permissions": ["nobody-at-all"]}
        assert here.send("PUT", f"/base-uris/{RED}", ADMIN, json=body).status_code == 422
        assert here.contents() == before


class TestADatabaseThatDoesNotServe:
    def test_a_write_lock_that_is_not_given_up_is_a_503(
        self, tmp_path: Path, key_pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dservercore.db.sqlite_files.SQLITE_BUSY_SECONDS", 0)
        with world(tmp_path, key_pair) as here:
            info = dataset_info()
            assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
            before = here.contents()
            other = sqlite3.connect(here.database, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for name, request_ in REQUESTS.items():
                method, path, body, _ = request_(info)
                answer = here.send(method, path, json=body)
                assert answer.status_code == 503, name
                assert "locked" not in answer.text
            for method, path, body in (
                ("PUT", "/users/new", {}),
                ("PATCH", "/me", {"display_name": "x"}),
                ("PUT", "/base-uris/s3://new", {}),
                ("POST", f"/users/{ADMIN}/search/{RED}", None),
                ("DELETE", f"/users/{CHAMPION}", None),
            ):
                assert here.send(method, path, ADMIN, json=body).status_code == 503, path
            assert here.send("GET", f"/readmes/{info['uri']}").status_code == 200
            other.close()
            assert here.contents() == before
            assert here.send("DELETE", f"/uris/{info['uri']}").status_code == 200

    def test_no_connection_left_is_a_503(self, tmp_path: Path, key_pair: tuple[Path, Path]) -> None:
        options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
        with world(tmp_path, key_pair, SQLALCHEMY_ENGINE_OPTIONS=options) as here:
            assert here.send("GET", "/me").status_code == 200
            with here.app.app_context(), sql_db.engine.connect():
                assert here.send("GET", "/me").status_code == 503
            assert here.send("GET", "/me").status_code == 200

    def test_a_read_only_database_is_a_503_for_writes_alone(
        self, tmp_path: Path, key_pair: tuple[Path, Path]
    ) -> None:
        with world(tmp_path, key_pair) as here:
            info = dataset_info()
            assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
            tokens = here.bearer(CHAMPION)
            config = {**here.app.config, "SQLALCHEMY_DATABASE_URI": read_only(here.database)}
            client = create_app(config).test_client()
            assert not Path("file:").exists()
            assert client.get(f"/uris/{info['uri']}", headers=tokens).status_code == 200
            assert client.post("/uris", json={"free_text": "beans"}, headers=tokens).status_code == 200
            assert client.put(f"/uris/{info['uri']}", json=info, headers=tokens).status_code == 503
            assert client.post(f"/tags/{info['uri']}/new", headers=tokens).status_code == 503
            assert client.delete(f"/uris/{info['uri']}", headers=tokens).status_code == 503


def read_only(database: Path) -> str:
    return f"sqlite:///file:{database}?mode=ro&uri=true"


@pytest.mark.parametrize("end", [db.commit, db.rollback])
def test_no_extension_ends_the_transaction_that_it_is_told_of(here: World, end: Callable[[], None]) -> None:
    class EndingExtension(FailingExtension):
        def register_dataset(self, dataset_info: dict[str, Any]) -> None:
            end()

    with_plugins(here, EndingExtension())
    info = dataset_info()
    assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
    with_plugins(here)
    assert here.send("GET", f"/readmes/{info['uri']}").json == {"readme": info["readme"]}
    assert disagreements(here.database) == []


def test_an_extension_that_ends_it_behind_the_back_of_the_server_is_an_error(here: World) -> None:
    class EndingExtension(FailingExtension):
        def register_dataset(self, dataset_info: dict[str, Any]) -> None:
            sql_db.session.rollback()

    with_plugins(here, EndingExtension())
    info = dataset_info()
    before = here.contents()
    assert here.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 500
    assert here.contents() == before
