"""Plugins become complete when they are loaded, and stay what they are."""

from __future__ import annotations

from typing import Any

import pytest
from flask_smorest import Blueprint

from dservercore import ExtensionABC, RetrieveABC, SearchABC
from dservercore.compat.completion import completed
from dservercore.errors import ConfigurationError
from dservercore.plugins.mongo.retrieve import MongoRetrieve
from dservercore.plugins.mongo.search import MongoSearch
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch


class Drawer:
    """Has nothing of ours, and something of its own."""

    label = "seeds"

    def __init__(self) -> None:
        self.cards: list[Any] = []

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        self.cards.append(dataset_info)

    def search(self, query: Any, pagination_parameters: Any = None, sort_parameters: Any = None) -> list[Any]:
        return [card for card in self.cards if card["base_uri"] in query["base_uris"]]

    def shuffle(self) -> str:
        return f"{len(self.cards)} {self.label}"


class Inheriting(Drawer, SearchABC):
    """The same, with our base class."""


class Deleting(Inheriting):
    def delete_dataset(self, uri: str) -> None:
        self.cards = [card for card in self.cards if card["uri"] != uri]


class Tagging(Inheriting):
    def set_tags(self, uri: str, tags: list[str]) -> None:
        self.cards.append(("tags", uri, tags))


class Listener(ExtensionABC):
    def get_blueprint(self) -> Blueprint:
        return Blueprint("listener", __name__)


@pytest.mark.parametrize("kind", [Drawer, Inheriting, Deleting, Tagging])
def test_a_plugin_is_what_it_was(kind: type) -> None:
    plugin = kind()
    plugin.found_later = 3
    assert completed(plugin, SearchABC) is plugin
    assert isinstance(plugin, kind)
    assert isinstance(plugin, SearchABC)
    assert (type(plugin).__name__, type(plugin).__module__) == (kind.__name__, kind.__module__)
    assert (plugin.label, plugin.found_later, plugin.shuffle()) == ("seeds", 3, "0 seeds")
    with pytest.raises(AttributeError):
        plugin.never_heard_of  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (SqlSearch, SearchABC),
        (SqlRetrieve, RetrieveABC),
        (MongoSearch, SearchABC),
        (MongoRetrieve, RetrieveABC),
    ],
)
def test_a_bundled_one_lacks_only_edits_of_single_tags(kind: type, base: type) -> None:
    before = kind()
    added = {one.__name__ for one in type(completed(before, base)).__mro__} - {
        one.__name__ for one in kind.__mro__
    }
    assert added <= {"_EditedWithMore", "_Completed"}


def test_what_is_complete_is_not_completed_again() -> None:
    plugin = completed(Drawer(), SearchABC)
    kind = type(plugin)
    assert type(completed(plugin, SearchABC)) is kind


def test_one_that_keeps_what_it_is_told_wants_documents() -> None:
    class Keeping(Listener):
        def register_dataset(self, dataset_info: dict[str, Any]) -> None:
            pass

    assert completed(Keeping(), ExtensionABC).wants_documents
    assert not completed(Listener(), ExtensionABC).wants_documents


DOCUMENT = {
    "uri": "s3://red/a",
    "uuid": "7e5cd0a5-8dd6-4bd9-a2cb-d9dc4cbf0a51",
    "base_uri": "s3://red",
    "name": "a",
    "creator_username": "olga",
}


@pytest.mark.parametrize("kind", [Drawer, Inheriting])
def test_one_that_cannot_tell_what_it_holds_is_asked_to_find_it(kind: type) -> None:
    plugin = completed(kind(), SearchABC)
    assert plugin.stored_in([]) == {}
    assert not plugin.can_find(DOCUMENT)
    assert not plugin.holds(DOCUMENT)
    plugin.register_dataset(DOCUMENT)
    assert plugin.stored_in(["s3://red"]) == {DOCUMENT["uri"]: DOCUMENT["uuid"]}
    assert plugin.stored_in(["s3://blue"]) == {}
    assert plugin.can_find(DOCUMENT)
    assert plugin.holds(DOCUMENT)
    assert not plugin.holds({**DOCUMENT, "name": "b"})


def test_one_that_can_tell_is_asked_for_that() -> None:
    class Telling(Inheriting):
        def list_stored(self) -> list[tuple[str, str]]:
            return [("a", "b")]

        def is_stored(self, uri: str) -> bool:
            return uri == DOCUMENT["uri"]

        def holds(self, dataset_info: dict[str, Any]) -> bool:
            return dataset_info["name"] == "told"

    plugin = completed(Telling(), SearchABC)
    assert plugin.stored_in([]) == {"a": "b"}
    assert plugin.can_find(DOCUMENT)
    assert plugin.holds({**DOCUMENT, "name": "told"})
    assert not plugin.holds(DOCUMENT)


def test_one_without_what_it_must_have_is_refused() -> None:
    class Empty:
        pass

    with pytest.raises(ConfigurationError, match="The plugin Empty lacks register_dataset, search"):
        completed(Empty(), SearchABC)
