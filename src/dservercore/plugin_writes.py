"""Brings each write to every plugin, and makes up for what a plugin cannot do itself."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from dservercore import db, uris
from dservercore.date_utils import datetime_to_timestamp, timestamp_to_datetime
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.plugin_api import DELETED, ExtensionABC, PluginABC, RetrieveABC
from dservercore.plugin_host import plugins

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Former:
    """What is known of a dataset that is replaced or deleted; times are naive UTC."""

    uri: str
    uuid: str
    frozen_at: datetime
    created_at: datetime
    uploaded_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return the same with times in seconds since the epoch, as the journal keeps it."""
        times = {name: getattr(self, name) for name in ("frozen_at", "created_at", "uploaded_at")}
        seconds = {name: time and datetime_to_timestamp(time) for name, time in times.items()}
        return {"uri": self.uri, "uuid": self.uuid, **seconds}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Former:
        """Return what :meth:`as_json` was made of."""
        frozen_at, created_at = map(timestamp_to_datetime, (kept["frozen_at"], kept["created_at"]))
        uploaded_at = None if kept["uploaded_at"] is None else timestamp_to_datetime(kept["uploaded_at"])
        return cls(kept["uri"], kept["uuid"], frozen_at, created_at, uploaded_at)

    def tombstone(self) -> dict[str, Any]:
        """Return the document that takes the place of the dataset's own where that cannot be deleted."""
        return {
            "uuid": self.uuid,
            "uri": self.uri,
            "base_uri": DELETED,
            "name": "",
            "type": "dataset",
            "readme": "",
            "manifest": {"dtoolcore_version": "", "hash_function": "", "items": {}},
            "creator_username": "",
            "frozen_at": datetime_to_timestamp(self.frozen_at),
            "created_at": datetime_to_timestamp(self.created_at),
            "annotations": {},
            "tags": [],
            "number_of_items": 0,
            "size_in_bytes": 0,
            "uploaded_by": None,
            "uploaded_at": self.uploaded_at,
        }


@dataclass(frozen=True)
class Edit:
    """A change of the ``readme``, ``tags`` or ``annotations`` of a dataset.

    :param value: the full new value
    :param change: the optional method of a plugin that changes one tag or annotation alone, and its arguments after
        the URI; None where the full value is replaced
    :param read: returns the full document as it is before
    :param prepared: what :func:`prepare_edit` has returned for the value, if it was asked
    """

    uri: str
    field: str
    value: Any
    change: tuple[Any, ...] | None
    read: Callable[[], dict[str, Any]]
    prepared: Mapping[PluginABC, Any] = dataclasses.field(default_factory=dict)

    def made_by(self, plugin: PluginABC) -> Callable[[], Any] | None:
        """Return what makes the change in the plugin and touches nothing else; None where the plugin has no method."""
        whole = (f"set_{self.field}", self.prepared.get(plugin, self.value))
        for name, *arguments in (self.change, whole) if self.change else (whole,):
            method = getattr(plugin, name, None)
            if method:
                return partial(method, self.uri, *arguments)
        return None

    def document(self) -> dict[str, Any]:
        """Return the full document with the new value."""
        return {**self.read(), self.field: self.value}


def require_available() -> None:
    """Pass if the search and retrieve plugins can reach their stores. To be asked before a write begins.

    :raises UnavailableError: if one cannot
    """
    for plugin in _stores():
        plugin.require_available()


def begin(is_asked: bool = False) -> None:
    """Start a write to every store. Calling it again in the same transaction does nothing.

    :param is_asked: the plugins have just been asked whether they can reach their stores
    :raises UnavailableError: if one cannot
    """
    session = sql_db.session()
    session.connection()  # begins a transaction, if there is none
    if not is_asked and session.info.get("asked_plugins_in") is not session.get_transaction():
        require_available()  # before there is a lock for which others would wait as well
        session.info["asked_plugins_in"] = session.get_transaction()
    db.begin_write()


@dataclass(frozen=True)
class Registration:
    """What plugins are told of a dataset that is registered.

    :param former: the dataset of another UUID that was registered under the same URI
    :param prepared: what :func:`prepare` has returned for the document, if it was asked
    """

    document: dict[str, Any]
    former: Former | None = None
    prepared: Mapping[PluginABC, dict[str, Any]] = dataclasses.field(default_factory=dict)


def prepare(document: dict[str, Any]) -> dict[PluginABC, dict[str, Any]]:
    """Return what the plugins that work something out beforehand are to be given to register. Writes nothing.

    :raises ValidationError: if a store cannot hold the document
    """
    return _prepared("prepare_dataset", lambda ask: ask(dict(document)))


def prepare_edit(field: str, value: Any) -> dict[PluginABC, Any]:
    """Return what the plugins that work something out beforehand are to be given as a new value. Writes nothing.

    :param field: ``readme`` or ``annotations``
    :raises ValidationError: if a store cannot hold the value
    """
    return _prepared("prepare_edit", lambda ask: ask(field, value))


def _prepared(method: str, answer: Callable[[Callable[..., Any]], Any]) -> dict[PluginABC, Any]:
    return {plugin: answer(getattr(plugin, method)) for plugin in _stores() if hasattr(plugin, method)}


def register(document: dict[str, Any], former: Former | None = None) -> None:
    """Store one dataset's document everywhere: see :func:`register_all`."""
    register_all([Registration(document, former)])


def register_all(registrations: Sequence[Registration]) -> None:
    """Store the documents of different datasets in the search and retrieve plugins, then tell the extensions.

    Each gets a copy of its own.

    :raises ValidationError: if a store cannot hold a document
    """
    uuids = {one.document["uri"]: _uuids_of_registration(one) for one in registrations}
    for plugin in _stores():
        _register_in(plugin, registrations, uuids)
    for one in registrations:
        _tell(plugins().extensions, partial(_register_in, registrations=[one], uuids=uuids))


def _uuids_of_registration(registration: Registration) -> set[str]:
    document, former = registration.document, registration.former
    return _uuids_of(document["uri"], document["uuid"], *([former.uuid] if former else []))


def _register_in(
    plugin: PluginABC, registrations: Sequence[Registration], uuids: Mapping[str, Set[str]]
) -> None:
    """Store documents in one plugin: all at once, but for those that it must also store under other UUIDs."""
    together = []
    for one in registrations:
        document, former = one.document, one.former
        if former and not _has_own(plugin, "delete_dataset"):
            plugin.register_dataset(former.tombstone())
        if uuids[document["uri"]] - {document["uuid"]}:
            _write(plugin, document, uuids[document["uri"]])
        else:
            together.append(one.prepared.get(plugin) or dict(document))
    if len(together) == 1:
        plugin.register_dataset(together[0])
    elif together and _takes_many(plugin):
        plugin.register_datasets(together)
    else:
        PluginABC.register_datasets(plugin, together)


def _takes_many(plugin: PluginABC) -> bool:
    """Return whether what the plugin does with many datasets is what it does with each of them.

    It is not where a class changes what it has inherited for one, and does not know of many.
    """
    one, many = (
        next(index for index, base in enumerate(type(plugin).__mro__) if method in vars(base))
        for method in ("register_dataset", "register_datasets")
    )
    return many <= one


def delete(former: Former) -> None:
    """Remove a dataset's document from the search and retrieve plugins, then tell the extensions."""
    uuids = _uuids_of(former.uri, former.uuid)
    for plugin in _stores():
        _forget(plugin, former, uuids)
    _tell(plugins().extensions, lambda extension: _forget(extension, former))


def bury(former: Former) -> None:
    """Hide a dataset from the plugins that cannot delete, and so keep a document for each UUID that a URI has had."""
    for plugin in plugins():
        if not _has_own(plugin, "delete_dataset"):
            plugin.register_dataset(former.tombstone())


def delete_from_sql(former: Former) -> None:
    """Remove a dataset's document from the plugins that keep it in the SQL database, beside the dataset's row."""
    for plugin in _stores():
        if plugin.shares_sql_session:
            _forget(plugin, former)


def make(edit: Edit) -> None:
    """Make a change in the search and retrieve plugins, then tell the extensions.

    :raises ValidationError: if a store cannot hold the document
    """
    listeners = [extension for extension in plugins().extensions if _has_own(extension, "register_dataset")]
    made_by = [edit.made_by(plugin) for plugin in _stores()]
    # The document is put together from what the retrieve plugin holds, so before that is changed.
    document = edit.document() if listeners or not all(made_by) else {}
    uuids = _uuids_of(document["uri"], document["uuid"]) if document else set()
    for plugin, make in zip(_stores(), made_by, strict=True):
        if make:
            make()
        else:
            _write(plugin, document, uuids)
    _tell(listeners, lambda extension: extension.register_dataset(dict(document)))


def _stores() -> tuple[PluginABC, PluginABC]:
    return plugins().search, plugins().retrieve


def _forget(plugin: PluginABC, former: Former, uuids: Set[str] = frozenset()) -> None:
    if _has_own(plugin, "delete_dataset"):
        plugin.delete_dataset(former.uri)
    else:
        _write(plugin, former.tombstone(), uuids)


# What a URI was before. A retrieve plugin is asked by URI, and one that never deletes may hold several documents of it,
# under the UUIDs of datasets that had their place there one after the other: it may hand out any of them. So all are
# kept alike, and each has the UUIDs of all in its manifest.

_UUIDS = "uuids_of_uri"


def get_manifest(plugin: RetrieveABC, uri: str) -> dict[str, Any]:
    """Return the manifest that a retrieve plugin holds, as it was registered.

    :raises UnknownURIError: if it does not hold the dataset
    """
    return {key: value for key, value in plugin.get_manifest(uri).items() if key != _UUIDS}


def _uuids_of(uri: str, *known: str) -> set[str]:
    """Return the UUIDs under which the retrieve plugin may hold documents of the URI, if there can be several.

    :param known: the dataset's own, and others that are known already
    """
    retrieve = plugins().retrieve
    if uris.last_segment(uri) == known[0] or _has_own(retrieve, "delete_dataset"):
        return set()
    try:
        return {*known, *retrieve.get_manifest(uri).get(_UUIDS, ())}
    except UnknownURIError:
        return set(known)


def _write(plugin: PluginABC, document: dict[str, Any], uuids: Set[str]) -> None:
    """Store a document, and in the retrieve plugin also under the other UUIDs of its URI."""
    others = uuids - {document["uuid"]}
    stays_behind = bool(uuids) and document["base_uri"] == DELETED
    if plugin is plugins().retrieve and (others or stays_behind):
        document = {**document, "manifest": {**document["manifest"], _UUIDS: sorted(uuids)}}
        for uuid in sorted(others):
            plugin.register_dataset({**document, "uuid": uuid, "base_uri": DELETED})
    plugin.register_dataset(dict(document))


def _has_own(plugin: PluginABC, method: str) -> bool:
    """Return whether the plugin defines a method itself, and does not inherit the one that does nothing."""
    nothing = [getattr(base, method) for base in (PluginABC, RetrieveABC, ExtensionABC)]
    return getattr(type(plugin), method) not in nothing


def _tell(extensions: Iterable[ExtensionABC], tell: Callable[[ExtensionABC], Any]) -> None:
    """Call each extension; one that fails is logged, and whatever it wrote to SQL is undone."""
    for extension in extensions:
        session = sql_db.session()
        session.connection()  # begins a transaction, if there is none
        outer = session.get_transaction()
        try:
            with session.begin_nested():
                tell(extension)
        except Exception:
            logger.exception("The extension %s failed", type(extension).__name__)
        if session.get_transaction() is not outer:
            raise RuntimeError(f"The extension {type(extension).__name__} has ended the transaction")
