"""Extensions that keep documents in MongoDB do not get those of the search and retrieve plugins into their hands."""

from __future__ import annotations

import logging
import os
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from flask_smorest import Blueprint

from dservercore import ExtensionABC, create_app, plugin_host
from dservercore.compat import mongo_collection

LOCAL = "mongodb://localhost:27017/"


class Collector(ExtensionABC):
    """Reads its settings as the published extensions do: some when it is created, some when it is initialised."""

    found: tuple[str | None, str | None] = None, None

    def __init__(self) -> None:
        self.from_environment = os.environ.get("DSERVER_MONGO_COLLECTION")

    def init_app(self, app: Any, *args: Any, **kwargs: Any) -> None:
        Collector.found = self.from_environment, app.config["MONGO_COLLECTION"]

    def get_config(self) -> dict[str, Any]:
        return {"MONGO_URI": LOCAL, "MONGO_DB": "dtool_info", "MONGO_COLLECTION": self.from_environment}

    def get_blueprint(self) -> Blueprint:
        return Blueprint("collector", __name__)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_point = EntryPoint("collector", f"{__name__}:Collector", plugin_host.EXTENSION_GROUP)
    monkeypatch.setattr(plugin_host, "extension_entrypoints_iterator", lambda: [entry_point])


def settings(
    prefix: str, uri: str = LOCAL, db: str = "dtool_info", collection: str = "datasets"
) -> dict[str, str]:
    return {f"{prefix}MONGO_URI": uri, f"{prefix}MONGO_DB": db, f"{prefix}MONGO_COLLECTION": collection}


def used_by_extensions(config: dict[str, Any]) -> str:
    with mongo_collection.kept_apart(config):
        pass
    return config["MONGO_COLLECTION"]


@pytest.mark.parametrize("prefix", ["SEARCH_", "RETRIEVE_"])
def test_one_that_another_plugin_has_is_replaced(prefix: str) -> None:
    assert used_by_extensions({**settings(prefix), **settings("")}) == "datasets_direct"


@pytest.mark.parametrize(
    "other",
    [{"collection": "metadata"}, {"db": "other"}, {"uri": "mongodb://elsewhere/"}],
    ids=lambda other: next(iter(other)),
)
def test_one_that_no_other_plugin_has_is_left(other: dict[str, str]) -> None:
    config = {**settings("SEARCH_"), **settings("", **other)}
    assert used_by_extensions(config) == other.get("collection", "datasets")


@pytest.mark.parametrize(
    "spelling",
    [
        "mongodb://localhost",
        "mongodb://localhost:27017",
        "mongodb://LOCALHOST/?retryWrites=true",
        "mongodb://user:pa%40ss@localhost:27017/admin",
    ],
)
def test_the_same_server_is_recognised(spelling: str) -> None:
    assert used_by_extensions({**settings("SEARCH_"), **settings("", uri=spelling)}) == "datasets_direct"


def test_the_members_of_a_replica_set_may_be_in_any_order() -> None:
    config = {**settings("SEARCH_", uri="mongodb://a,b:27018/"), **settings("", uri="mongodb://b:27018,a/x")}
    assert used_by_extensions(config) == "datasets_direct"


def test_one_that_takes_its_place_is_free() -> None:
    config = {**settings("SEARCH_"), **settings("RETRIEVE_", collection="datasets_direct"), **settings("")}
    assert used_by_extensions(config) == "datasets_direct_direct"


def test_plugins_without_mongodb_leave_it_alone() -> None:
    assert used_by_extensions(settings("")) == "datasets"


class TestAnApplication:
    def test_tells_the_extension_and_the_administrator(
        self, collector: None, config: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "dservercore"):
            create_app({**config, **settings("SEARCH_"), **settings("")})
        assert Collector.found == ("datasets_direct", "datasets_direct")
        (record,) = caplog.records
        assert record.getMessage() == (
            "The collection datasets belongs to the search or retrieve plugin: extensions use datasets_direct instead;"
            " `flask base_uri index --full` fills it"
        )

    def test_leaves_the_environment_as_it_was(
        self, collector: None, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create_app({**config, **settings("SEARCH_"), **settings("")})
        assert "DSERVER_MONGO_COLLECTION" not in os.environ
        monkeypatch.setenv("DSERVER_MONGO_COLLECTION", "mine")
        create_app({**config, **settings("SEARCH_"), **settings("")})
        assert os.environ["DSERVER_MONGO_COLLECTION"] == "mine"

    def test_says_nothing_where_all_is_well(
        self, collector: None, config: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        create_app({**config, **settings("SEARCH_"), **settings("", collection="metadata")})
        assert Collector.found == ("metadata", "metadata")
        assert caplog.records == []

    def test_says_nothing_where_there_is_no_extension(
        self, config: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        create_app({**config, **settings("SEARCH_"), **settings("")})
        assert caplog.records == []
