"""Plugins that lack methods of their base class, or do not inherit it, get what makes them complete.

A complete plugin is what it was, of a class made here: its own class, whose methods and attributes come first, and one
class for each thing that it cannot do itself. Each of these inherits the base class whose method it replaces, and so
comes between the plugin's class and that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dservercore.compat.former_datasets import Undeleting, UndeletingRetrieve
from dservercore.errors import ConfigurationError
from dservercore.plugin_api import Edit, ExtensionABC, Matches, PluginABC, RetrieveABC, SearchABC, StoreABC

_EDITS = (
    "set_readme",
    "set_tags",
    "set_annotations",
    "add_tag",
    "remove_tag",
    "set_annotation",
    "delete_annotation",
)
_COMPARED = ("uri", "uuid", "name", "creator_username")
_BASES = (PluginABC, StoreABC, SearchABC, RetrieveABC, ExtensionABC)


def completed(plugin: Any, base: Any) -> Any:
    """Return the plugin, as an instance of *base* that has every method which the server calls.

    :param base: the abstract base class of the plugin's kind
    :raises ConfigurationError: if it lacks a method that the server cannot do without
    """
    own, additions = type(plugin), tuple(_additions(plugin, base))
    if isinstance(plugin, _Completed) or (isinstance(plugin, base) and not additions):
        return plugin
    bases = [own, *additions, *([] if isinstance(plugin, base) else [base]), _Completed]
    # In the plugin's own module, under whose name its version is reported.
    members = {"__module__": own.__module__, "__doc__": own.__doc__, "lacking_edits": _lacking_edits(plugin)}
    try:
        complete: Any = type(base)(own.__name__, tuple(bases), members)
        if complete.__abstractmethods__:
            lacking = ", ".join(sorted(complete.__abstractmethods__))
            raise ConfigurationError(
                f"The plugin {own.__name__} lacks {lacking} (see dservercore.{base.__name__})"
            )
        plugin.__class__ = complete
    except TypeError as error:
        raise ConfigurationError(
            f"The plugin {own.__name__} should inherit {base.__name__}: {error}"
        ) from error
    return plugin


def _additions(plugin: Any, base: Any) -> Iterator[type]:
    """Yield a class for each thing that the plugin cannot do itself."""
    if _lacks(plugin, "delete_dataset"):
        yield UndeletingRetrieve if issubclass(base, RetrieveABC) else Undeleting
    if issubclass(base, ExtensionABC):
        if _lacks(plugin, "register_dataset"):
            yield _Uninterested
        return
    if not _lacks(plugin, "register_datasets") and not _takes_many(plugin):
        yield _OneByOne
    if _lacking_edits(plugin):
        yield _EditedWithMore
    if issubclass(base, SearchABC):
        if _lacks(plugin, "search_all") or _lacks(plugin, "fetch"):
            yield _FoundAtOnce
        if _lacks(plugin, "list_stored"):
            yield _ListedBySearching
        if _lacks(plugin, "is_stored"):
            yield _FoundBySearching
        if _lacks(plugin, "count_facets"):
            yield _CountedByServer
        if _lacks(plugin, "holds"):
            yield _ComparedBySearching


def _lacks(plugin: Any, method: str) -> bool:
    """Return whether the plugin does not define a method itself, or inherits that of a base class of ours."""
    own = getattr(plugin, method, None)
    return own is None or any(getattr(own, "__func__", own) is getattr(base, method, None) for base in _BASES)


def _takes_many(plugin: Any) -> bool:
    """Return whether the plugin does with many datasets what it does with each of them.

    It does not where a class overrides ``register_dataset``, and inherits ``register_datasets`` from another one.
    """
    for base in type(plugin).__mro__:
        if "register_datasets" in vars(base):
            return True
        if "register_dataset" in vars(base):
            return False
    return True


def _lacking_edits(plugin: Any) -> frozenset[str]:
    return frozenset(method for method in _EDITS if _lacks(plugin, method))


class _Completed:
    """Marks classes that are made here."""

    __slots__ = ()


class _Uninterested(ExtensionABC):
    """An extension without a ``register_dataset`` of its own: no documents are put together for it."""

    wants_documents = False


class _OneByOne(PluginABC):
    """A plugin whose ``register_datasets`` does not do what its ``register_dataset`` does: it is not called."""

    def register_together(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        for dataset_info in dataset_infos:
            self.register_dataset(dataset_info)


class _EditedWithMore(StoreABC):
    """A plugin that lacks methods for edits: it is given all tags or annotations instead, or the full document."""

    lacking_edits: frozenset[str]

    def edit_dataset(self, edit: Edit) -> bool:
        if edit.call[0] in self.lacking_edits:
            edit = edit.as_a_whole()
        if edit.call[0] not in self.lacking_edits:
            return super().edit_dataset(edit)
        _, other_uuids = edit.read()
        self.register_under(edit.document(), other_uuids)
        return False


class _FoundAtOnce(SearchABC):
    """A search plugin that cannot find everything bit by bit: it is asked for all of it, and that is kept."""

    def search_all(self, query: dict[str, Any], sort_parameters: Any = None) -> Matches:
        return Matches(list(self.search(query, sort_parameters=sort_parameters)))

    def fetch(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        return list(keys)


class _ListedBySearching(SearchABC):
    """A search plugin that cannot list what it holds: it is asked for everything that it finds."""

    def stored_in(self, base_uris: Sequence[str]) -> dict[str, str]:
        found = self.search({"base_uris": list(base_uris)}) if base_uris else []
        return {dataset["uri"]: str(dataset["uuid"]) for dataset in found}


class _FoundBySearching(SearchABC):
    """A search plugin that cannot tell whether it holds a dataset: it is asked to find it."""

    def can_find(self, dataset_info: dict[str, Any]) -> bool:
        return _found(self, dataset_info) is not None


class _CountedByServer(SearchABC):
    """A search plugin that cannot count facets: ``catalog.facets`` counts what it finds."""

    counts_facets = False


class _ComparedBySearching(SearchABC):
    """A search plugin that cannot compare a document with what it holds: what it finds is compared."""

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        found = _found(self, dataset_info)
        return found is not None and all(str(found.get(key)) == str(dataset_info[key]) for key in _COMPARED)


def _found(search: SearchABC, dataset_info: dict[str, Any]) -> dict[str, Any] | None:
    query = {"base_uris": [dataset_info["base_uri"]], "uuids": [dataset_info["uuid"]]}
    return next((found for found in search.search(query) if found["uri"] == dataset_info["uri"]), None)
