"""A dataset's README, manifest, tags and annotations: reading and editing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from sqlalchemy import select

from dservercore import plugin_host
from dservercore.catalog import events, limits, lookup, store_writes, summary
from dservercore.catalog.dataset_rows import find_registered, hold_registered, write_lacks, write_tags
from dservercore.catalog.datasets import Registered
from dservercore.catalog.journal import changes
from dservercore.catalog.scope import Scope, require_dataset
from dservercore.dataset import lacking, uris
from dservercore.dataset.document import (
    check_json,
    check_text,
    checked_annotations,
    checked_name,
    checked_tags,
)
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.models import Dataset
from dservercore.plugin_api import PluginABC, RetrieveABC

Value = TypeVar("Value")

#: Raises an error if the value at present is not the one that an edit is meant for.
Check = Callable[[Any], None]


# Names in paths


def is_registered(uri: str, scope: Scope | None = None) -> bool:
    """Return whether a dataset is registered under *uri*.

    :param scope: only look in its base URIs; None: in all
    """
    registered = find_registered(uri)
    if registered is None or scope is None:
        return registered is not None
    return registered.base_uri_id in scope.base_uris.values()


def split_name(scopes: Iterable[Scope], path: str) -> tuple[str, str]:
    """Return the URI of a dataset, and the name of a tag or annotation, that *path* joins with a slash.

    The URI is the longest beginning of *path* that is registered in one of *scopes*, so that a name with slashes in it
    is recognised as a wrong name. If none is registered there, the URI is everything before the last slash.
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
    return _read(scope, uri, "manifest_json", lambda plugin: plugin.get_manifest_json(uri))


def get_packed_manifest(scope: Scope, uri: str) -> bytes | None:
    """Return the manifest as JSON in one zstandard frame; None if the plugin keeps none.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    return _read(scope, uri, "packed_manifest", lambda plugin: plugin.get_packed_manifest(uri))


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
    """Return one field of what the retrieve plugin holds of a dataset in *scope*.

    :param field: its name for ``RetrieveABC.read_in_base_uri``, which reads the row and the field in one statement
    :param read: calls the getter of a plugin that cannot do so, once the row has been looked at
    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    """
    retrieve = plugin_host.plugins().retrieve
    base_uri_id = scope.base_uris.get(uris.parent(uri))
    if base_uri_id is not None:
        with suppress(UnknownURIError):  # also raised where the row is in another base URI than the parent
            return cast(Value, retrieve.read_in_base_uri(field, uri, base_uri_id))
    lookup.find(scope, uri)
    return read(retrieve)


# Editing. Each function takes the scopes in all of which the dataset must be, and returns the full new value.
# A check is made within the write: nobody else changes the value between the two.


def replace_readme(scopes: Iterable[Scope], uri: str, readme: str, check: Check | None = None) -> str:
    """Replace the README of a dataset. Return it.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 for text that is too long, or cannot be stored
    :raises UnavailableError: if a plugin cannot reach its store
    """
    check_text(readme, "readme")
    limits.check_description({"readme": readme})
    prepared = store_writes.prepare_edit("readme", readme)
    lacks = lacking.of_readme(readme)
    registered = _begin_edit(scopes, uri, "readme", check)
    write_lacks([(registered, registered.with_readme(lacks))])
    _store(registered, "readme", readme, prepared=prepared)
    return readme


def replace_tags(
    scopes: Iterable[Scope], uri: str, tags: Iterable[str], check: Check | None = None
) -> list[str]:
    """Replace the tags of a dataset. Return them, in order, each once.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 for a name that dtool would not accept, or too many tags
    :raises UnavailableError: if a plugin cannot reach its store
    """
    wanted = checked_tags(tags)
    limits.check_description({"tags": wanted})
    return _store_tags(_begin_edit(scopes, uri, "tags", check), wanted)


def add_tag(scopes: Iterable[Scope], uri: str, tag: str, check: Check | None = None) -> list[str]:
    """Add a tag to a dataset; no error if it is there already. Return all tags.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 for a name that dtool would not accept, or too many tags
    :raises UnavailableError: if a plugin cannot reach its store
    """
    return add_tags(scopes, uri, [tag], check)


def add_tags(scopes: Iterable[Scope], uri: str, new: Sequence[str], check: Check | None = None) -> list[str]:
    """Add tags to a dataset, all in one write; no error if some are there already. Return all tags.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 for a name that dtool would not accept, or too many tags
    :raises UnavailableError: if a plugin cannot reach its store
    """
    registered = _begin_edit(scopes, uri, "tags", check)
    for tag in new:
        checked_name(tag, "tag")  # not before: where the name begins in the path tells what is registered
    tags = list(dict.fromkeys([*registered.tags, *new]))
    if len(tags) > len(registered.tags):
        limits.check_description({"tags": tags})
    return _store_tags(registered, tags, ("add_tag", new[0]) if len(new) == 1 else None)


def remove_tag(scopes: Iterable[Scope], uri: str, tag: str, check: Check | None = None) -> list[str]:
    """Remove a tag from a dataset; no error if it is not there. Return the tags that are left.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises UnavailableError: if a plugin cannot reach its store
    """
    registered = _begin_edit(scopes, uri, "tags", check)
    left = [t for t in registered.tags if t != tag]
    return _store_tags(registered, left, ("remove_tag", tag))


def replace_annotations(
    scopes: Iterable[Scope], uri: str, annotations: Mapping[str, Any], check: Check | None = None
) -> dict[str, Any]:
    """Replace all annotations of a dataset. Return them by name.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 naming an annotation that is not acceptable, or if they are too large
    :raises UnavailableError: if a plugin cannot reach its store
    """
    wanted = checked_annotations(annotations)
    limits.check_description({"annotations": wanted})
    prepared = store_writes.prepare_edit("annotations", wanted)
    registered = _begin_edit(scopes, uri, "annotations", check)
    _store(registered, "annotations", wanted, prepared=prepared)
    return wanted


def set_annotation(
    scopes: Iterable[Scope], uri: str, name: str, value: Any, check: Check | None = None
) -> dict[str, Any]:
    """Set one annotation of a dataset. Return all annotations by name.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: 422 for a name or value that is not acceptable, or if all are too large together
    :raises UnavailableError: if a plugin cannot reach its store
    """
    registered = _begin_edit(scopes, uri, "annotations", check)
    check_json(value, checked_name(name, "name"))
    annotations = {**_annotations(uri), name: value}
    limits.check_description({"annotations": annotations})
    return _store_annotation(registered, annotations, "set_annotation", name, value)


def delete_annotation(
    scopes: Iterable[Scope], uri: str, name: str, check: Check | None = None
) -> dict[str, Any]:
    """Remove one annotation of a dataset; no error if it is not there. Return those that are left, by name.

    :param check: raises an error if the present value is not the one that the edit is meant for; None: it may be any
    :raises AuthorizationError: if the dataset, or the base URI that it would be in, is missing from one of *scopes*
    :raises UnknownURIError: if the dataset is not registered
    :raises UnavailableError: if a plugin cannot reach its store
    """
    registered = _begin_edit(scopes, uri, "annotations", check)
    left = {key: value for key, value in _annotations(uri).items() if key != name}
    return _store_annotation(registered, left, "delete_annotation", name)


def _begin_edit(scopes: Iterable[Scope], uri: str, field: changes.Field, check: Check | None) -> Registered:
    """Start the write. Return the dataset as it is before, locked, if it is in every scope and passes the check."""
    scopes = list(scopes)
    if not plugin_host.plugins().share_sql_session:
        # An edit that will be refused does not make the server read what it would undo.
        _permitted(scopes, uri, find_registered(uri))
        _compare(check, uri, field)
    changes.begin_change([changes.Change(uri, field)])
    registered = _permitted(scopes, uri, hold_registered(uri))
    _compare(check, uri, field)
    return registered


def _permitted(scopes: Sequence[Scope], uri: str, registered: Registered | None) -> Registered:
    require_dataset(scopes, uri, registered.base_uri_id if registered else None)
    assert registered is not None
    return registered


def _compare(check: Check | None, uri: str, field: changes.Field) -> None:
    if check:
        check(getattr(plugin_host.plugins().retrieve, f"get_{field}")(uri))


def _annotations(uri: str) -> dict[str, Any]:
    return plugin_host.plugins().retrieve.get_annotations(uri)


def _store_annotation(
    registered: Registered, annotations: dict[str, Any], method: str, *arguments: Any
) -> dict[str, Any]:
    is_changed_alone = _store(registered, "annotations", annotations, (method, *arguments))
    # Another request may have changed another annotation at the same time.
    return _annotations(registered.uri) if is_changed_alone else annotations


def _store_tags(registered: Registered, tags: list[str], change: tuple[str, str] | None = None) -> list[str]:
    write_tags([(registered.id, registered.tags, tuple(tags))])
    summary.count_changes([(registered, registered.with_tags(tags))])
    sql_db.session.flush()
    _store(registered, "tags", tags, change)
    return tags


def _store(
    registered: Registered,
    field: changes.Field,
    value: Any,
    change: tuple[Any, ...] | None = None,
    prepared: Mapping[PluginABC, Any] = {},
) -> bool:
    """Bring the new value to the plugins. Return whether the retrieve plugin has changed one annotation or tag alone.

    :param registered: the dataset before the edit
    :param change: the plugin's method that makes the change without the full value, and its arguments after the URI
    :param prepared: what the plugins have made of the value beforehand
    """
    uri = registered.uri
    is_changed_alone = store_writes.edit(uri, field, value, change, prepared)
    changes.strike([uri])
    events.edited(uri, registered.uuid, field)
    return is_changed_alone
