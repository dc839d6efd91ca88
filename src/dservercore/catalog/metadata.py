"""A dataset's README, manifest, tags and annotations: reading and editing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import orjson
from sqlalchemy import select

from dservercore import plugin_host, plugin_writes, uris
from dservercore.catalog import datasets, journal, limits, summary
from dservercore.catalog.dataset_rows import Registered, find_registered, hold_registered, write_tags
from dservercore.catalog.documents import document_of
from dservercore.dataset_info import check_json, check_text, checked_annotations, checked_name, checked_tags
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.models import Dataset
from dservercore.plugin_api import PluginABC, RetrieveABC
from dservercore.scope import Scope, require_dataset

Value = TypeVar("Value")

#: Raises an error if the value at present is not the one that an edit is meant for.
Check = Callable[[Any], None]


# Names in paths


def is_registered(uri: str, scope: Scope | None = None) -> bool:
    """Return whether a dataset is registered under *uri*, in a base URI of *scope* if there is one."""
    registered = find_registered(uri)
    if registered is None or scope is None:
        return registered is not None
    return registered.counted.base_uri_id in scope.base_uris.values()


def split_name(scopes: Iterable[Scope], path: str) -> tuple[str, str]:
    """Return the URI of a dataset, and the name of a tag or annotation, that *path* joins with a slash.

    A name may hold slashes if the client is wrong about names; then what is registered tells where the URI ends, as far
    as the client may know of it: in one of *scopes*.
    """
    ends = [end for end, character in enumerate(path[: uris.MAX_LENGTH + 1]) if character == "/"]
    candidates = [path[:end] for end in ends]
    registered = sql_db.session.execute(
        select(Dataset.uri, Dataset.base_uri_id).where(Dataset.uri.in_(candidates))
    )
    in_scope = {key for scope in scopes for key in scope.ids}
    known = [row.uri for row in registered if row.base_uri_id in in_scope]
    uri = max(known, key=len, default=uris.parent(path))
    return uri, path[len(uri) + 1 :]


# Reading


def get_readme(scope: Scope, uri: str) -> str:
    """Return the README.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    return _read(scope, uri, "readme", lambda plugin: plugin.get_readme(uri))


def get_manifest(scope: Scope, uri: str) -> bytes:
    """Return the manifest as JSON, without building it anew where the plugin keeps it as such.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    return _read(scope, uri, "manifest_json", lambda plugin: _manifest_json(plugin, uri))


def get_packed_manifest(scope: Scope, uri: str) -> bytes | None:
    """Return the manifest as JSON in one zstandard frame; None if the plugin keeps none.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    if not hasattr(plugin_host.plugins().retrieve, "get_packed_manifest"):
        return None
    packed = "packed_manifest"
    return _read(scope, uri, packed, lambda plugin: plugin.get_packed_manifest(uri))  # type: ignore[attr-defined]


def get_tags(scope: Scope, uri: str) -> list[str]:
    """Return the tags.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    return _read(scope, uri, "tags", lambda plugin: plugin.get_tags(uri))


def get_annotations(scope: Scope, uri: str) -> dict[str, Any]:
    """Return the annotations by name.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    return _read(scope, uri, "annotations", lambda plugin: plugin.get_annotations(uri))


def _read(scope: Scope, uri: str, field: str, read: Callable[[RetrieveABC], Value]) -> Value:
    """Return what a plugin holds of a dataset in *scope*.

    :param field: what a plugin calls it that looks at the row with the statement that reads the field
    :param read: asks any other plugin for it, once the row has been looked at
    """
    retrieve = plugin_host.plugins().retrieve
    read_in_base_uri = getattr(retrieve, "read_in_base_uri", None)
    base_uri_id = scope.base_uris.get(uris.parent(uri))
    if read_in_base_uri and base_uri_id is not None:
        with suppress(UnknownURIError):  # as where the dataset lies deeper than its base URI
            return cast(Value, read_in_base_uri(field, uri, base_uri_id))
    datasets.find(scope, uri)
    return read(retrieve)


def _manifest_json(plugin: RetrieveABC, uri: str) -> bytes:
    as_kept = getattr(plugin, "get_manifest_json", None)
    return as_kept(uri) if as_kept else orjson.dumps(plugin_writes.get_manifest(plugin, uri))


# Editing. Each function takes the scopes that all have to hold the dataset's base URI, and returns the full new value.
# A check, where there is one, is made within the write: nobody else changes the value between the two.


def replace_readme(scopes: Iterable[Scope], uri: str, readme: str, check: Check | None = None) -> str:
    """Replace the README.

    :param check: passes if the README at present is the one that is meant; None: whatever it is
    :raises AuthorizationError: if the base URI is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 for text that cannot be stored
    """
    check_text(readme, "readme")
    limits.check_description({"readme": readme})
    prepared = plugin_writes.prepare_edit("readme", readme)
    _begin_edit(scopes, uri, "readme", check)
    _store(uri, "readme", readme, prepared=prepared)
    return readme


def replace_tags(
    scopes: Iterable[Scope], uri: str, tags: Iterable[str], check: Check | None = None
) -> list[str]:
    """Replace the tags. Errors as for README; 422 for a name that dtool would not accept."""
    wanted = checked_tags(tags)
    limits.check_description({"tags": wanted})
    return _store_tags(uri, _begin_edit(scopes, uri, "tags", check), wanted)


def add_tag(scopes: Iterable[Scope], uri: str, tag: str, check: Check | None = None) -> list[str]:
    """Add a tag, if it is not there. Errors as for :func:`replace_tags`."""
    registered = _begin_edit(scopes, uri, "tags", check)
    checked_name(tag, "tag")  # where a name begins depends on what is registered: not for everybody's eyes
    tags = list(registered.counted.tags)
    if tag not in tags:
        tags.append(tag)
        limits.check_description({"tags": tags})
    return _store_tags(uri, registered, tags, ("add_tag", tag))


def remove_tag(scopes: Iterable[Scope], uri: str, tag: str, check: Check | None = None) -> list[str]:
    """Remove a tag, if it is there. Errors as for README."""
    registered = _begin_edit(scopes, uri, "tags", check)
    left = [t for t in registered.counted.tags if t != tag]
    return _store_tags(uri, registered, left, ("remove_tag", tag))


def replace_annotations(
    scopes: Iterable[Scope], uri: str, annotations: Mapping[str, Any], check: Check | None = None
) -> dict[str, Any]:
    """Replace all annotations. Errors as for README; 422 naming an annotation that is not acceptable."""
    wanted = checked_annotations(annotations)
    limits.check_description({"annotations": wanted})
    prepared = plugin_writes.prepare_edit("annotations", wanted)
    _begin_edit(scopes, uri, "annotations", check)
    _store(uri, "annotations", wanted, prepared=prepared)
    return wanted


def set_annotation(
    scopes: Iterable[Scope], uri: str, name: str, value: Any, check: Check | None = None
) -> dict[str, Any]:
    """Set one annotation. Errors as for :func:`replace_annotations`."""
    _begin_edit(scopes, uri, "annotations", check)
    check_json(value, checked_name(name, "name"))
    annotations = {**_annotations(uri), name: value}
    limits.check_description({"annotations": annotations})
    return _store_annotation(uri, annotations, "set_annotation", name, value)


def delete_annotation(
    scopes: Iterable[Scope], uri: str, name: str, check: Check | None = None
) -> dict[str, Any]:
    """Remove one annotation, if it is there. Errors as for README."""
    _begin_edit(scopes, uri, "annotations", check)
    left = {key: value for key, value in _annotations(uri).items() if key != name}
    return _store_annotation(uri, left, "delete_annotation", name)


def _begin_edit(scopes: Iterable[Scope], uri: str, field: journal.Field, check: Check | None) -> Registered:
    """Start the write; return what the dataset is before it, once every scope and the check have let it pass."""
    scopes = list(scopes)
    if not plugin_host.plugins().share_sql_session:
        _permitted(scopes, uri, find_registered(uri))  # nobody else makes the server read what it would undo
        _compare(check, uri, field)  # nor one who is late already
    journal.begin_change([journal.Change(uri, field)])
    registered = _permitted(scopes, uri, hold_registered(uri))
    _compare(check, uri, field)
    return registered


def _permitted(scopes: Sequence[Scope], uri: str, registered: Registered | None) -> Registered:
    require_dataset(scopes, uri, registered.base_uri_id if registered else None)
    assert registered is not None
    return registered


def _compare(check: Check | None, uri: str, field: journal.Field) -> None:
    if check:
        check(getattr(plugin_host.plugins().retrieve, f"get_{field}")(uri))


def _annotations(uri: str) -> dict[str, Any]:
    return plugin_host.plugins().retrieve.get_annotations(uri)


def _store_annotation(uri: str, annotations: dict[str, Any], method: str, *arguments: Any) -> dict[str, Any]:
    _store(uri, "annotations", annotations, (method, *arguments))
    # Where one annotation alone was changed, another may have been so at the same time.
    is_changed_alone = hasattr(plugin_host.plugins().retrieve, method)
    return _annotations(uri) if is_changed_alone else annotations


def _store_tags(
    uri: str, registered: Registered, tags: list[str], change: tuple[str, str] | None = None
) -> list[str]:
    before = registered.counted
    write_tags([(registered.id, before.tags, tuple(tags))])
    summary.count_changes([(before, before.with_tags(tags))])
    sql_db.session.flush()
    _store(uri, "tags", tags, change)
    return tags


def _store(
    uri: str,
    field: journal.Field,
    value: Any,
    change: tuple[Any, ...] | None = None,
    prepared: Mapping[PluginABC, Any] = {},
) -> None:
    """Bring the new value to the plugins.

    :param change: the plugin's method that makes the change without the full value, and its arguments after the URI
    :param prepared: what the plugins have made of the value beforehand
    """
    plugin_writes.make(plugin_writes.Edit(uri, field, value, change, lambda: document_of(uri), prepared))
    journal.strike([uri])
