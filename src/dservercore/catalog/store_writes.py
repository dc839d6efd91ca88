"""Brings each write to every plugin: to the search and retrieve plugins, then to the extensions."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from dservercore import db
from dservercore.catalog.datasets import Document
from dservercore.catalog.full_documents import document_of
from dservercore.db import sql_db
from dservercore.plugin_api import Edit, ExtensionABC, Former, PluginABC, StoreABC
from dservercore.plugin_host import plugins

logger = logging.getLogger(__name__)


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


def prepare(document: dict[str, Any]) -> dict[PluginABC, dict[str, Any]]:
    """Return, by plugin, the document that each search and retrieve plugin is to be given. Writes nothing.

    :raises ValidationError: if a store cannot hold the document
    """
    return {store: store.prepare_dataset(dict(document)) for store in _stores()}


def prepare_edit(field: str, value: Any) -> dict[PluginABC, Any]:
    """Return, by plugin, the new value that each search and retrieve plugin is to be given. Writes nothing.

    :param field: ``readme`` or ``annotations``
    :raises ValidationError: if a store cannot hold the value
    """
    return {store: store.prepare_edit(field, value) for store in _stores()}


def register(info: dict[str, Any], replaced: Former | None = None) -> None:
    """Store one dataset's document in the search and retrieve plugins, then tell the extensions.

    :param info: the document, with ``uploaded_by`` and ``uploaded_at``
    :param replaced: the dataset of another UUID that was registered under the same URI; None: there was none
    :raises ValidationError: if a store cannot hold the document
    """
    register_all([Document(info)], {info["uri"]: replaced} if replaced else {})


def register_all(documents: Sequence[Document], replaced: Mapping[str, Former] = {}) -> None:
    """Store the documents of different datasets in the search and retrieve plugins, then tell the extensions.

    Each plugin gets a copy of its own, which it may change, or what it has prepared.

    :param replaced: by URI, the datasets of another UUID that were registered under it
    :raises ValidationError: if a store cannot hold a document
    """
    # Before anything is written: search and retrieve plugin may share a store.
    other_uuids = {one.uri: _other_uuids(one.info, replaced.get(one.uri)) for one in documents}
    for store in _stores():
        _register_in(store, documents, replaced, other_uuids)
    _register_in_extensions(documents, replaced, other_uuids)


def _register_in_extensions(
    documents: Sequence[Document],
    replaced: Mapping[str, Former],
    other_uuids: Mapping[str, frozenset[str]],
) -> None:
    """Tell the extensions of documents: at once those that take many, unless they fail with one of them."""
    tell = partial(_register_in, replaced=replaced, other_uuids=other_uuids)
    told = set()
    for extension in plugins().extensions:
        takes_many = type(extension).register_datasets is not PluginABC.register_datasets
        if takes_many and len(documents) > 1 and _tell([extension], partial(tell, documents=documents)):
            told.add(extension)
    others = [extension for extension in plugins().extensions if extension not in told]
    for one in documents:
        _tell(others, partial(tell, documents=[one]))


def _other_uuids(info: Mapping[str, Any], replaced: Former | None) -> frozenset[str]:
    known = [replaced.uuid] if replaced else []
    return plugins().retrieve.other_uuids(info["uri"], info["uuid"], *known)


def _register_in(
    plugin: PluginABC,
    documents: Sequence[Document],
    replaced: Mapping[str, Former],
    other_uuids: Mapping[str, frozenset[str]],
) -> None:
    """Store documents in one plugin, all at once but for those that it may also hold under other UUIDs.

    What it holds of a dataset that another one replaces is hidden first.
    """
    infos = []
    for document in documents:
        if document.uri in replaced:
            plugin.forget_replaced(replaced[document.uri])
        if other_uuids[document.uri]:
            plugin.register_under(dict(document.info), other_uuids[document.uri])
        else:
            info = document.prepared.get(plugin, document.info)
            # A plugin may change what it is given: what all are given is copied, and what was prepared is its own.
            infos.append(dict(info) if type(info) is dict else info)
    if len(infos) == 1:
        plugin.register_dataset(infos[0])
    elif infos:
        plugin.register_together(infos)


def delete(former: Former) -> None:
    """Remove a dataset's document from the search and retrieve plugins, then tell the extensions."""
    other_uuids = plugins().retrieve.other_uuids(former.uri, former.uuid)
    former = dataclasses.replace(former, other_uuids=other_uuids)
    for store in _stores():
        store.forget_dataset(former)
    _tell(plugins().extensions, lambda extension: extension.forget_dataset(former))


def bury(former: Former) -> None:
    """Hide a dataset, whose URI now is another one's, in the plugins that keep a document for each UUID of a URI."""
    for plugin in plugins():
        plugin.forget_replaced(former)


def delete_from_sql(former: Former) -> None:
    """Remove a dataset's document from the plugins that keep it in the SQL database, beside the dataset's row."""
    for store in _stores():
        if store.shares_sql_session:
            store.forget_dataset(former)


def edit(
    uri: str,
    field: str,
    value: Any,
    change: tuple[Any, ...] | None = None,
    prepared: Mapping[PluginABC, Any] = {},
) -> bool:
    """Make a change of the README, tags or annotations in the search and retrieve plugins, then tell the extensions.

    :param value: the full new value
    :param change: the method of a plugin that changes one tag or annotation alone, and its arguments after the URI;
        None where the full value is replaced
    :param prepared: what :func:`prepare_edit` has returned for the value, if it was asked
    :returns: whether the retrieve plugin has changed one tag or annotation alone, so that a request at the same time
        may have changed others
    :raises UnknownURIError: if a store does not hold the dataset
    :raises ValidationError: if a store cannot hold the value
    """

    @cache
    def read() -> tuple[dict[str, Any], frozenset[str]]:
        document = document_of(uri)
        return document, plugins().retrieve.other_uuids(uri, document["uuid"])

    made = Edit(uri, field, value, change, read)
    listeners = [extension for extension in plugins().extensions if extension.wants_documents]
    if listeners:
        read()  # the document is put together from what the retrieve plugin holds, so before that is changed
    for store in _stores():
        is_alone = store.edit_dataset(dataclasses.replace(made, value=prepared.get(store, value)))
    _tell(listeners, lambda extension: extension.register_dataset(made.document()))
    return is_alone  # of the retrieve plugin, which comes last


def _stores() -> tuple[StoreABC, StoreABC]:
    return plugins().search, plugins().retrieve


def _tell(extensions: Iterable[ExtensionABC], tell: Callable[[ExtensionABC], Any]) -> bool:
    """Call each extension; one that fails is logged, and whatever it wrote to SQL is undone.

    :returns: whether none has failed
    """
    has_failed = False
    for extension in extensions:
        session = sql_db.session()
        session.connection()  # begins a transaction, if there is none
        outer = session.get_transaction()
        try:
            with session.begin_nested():
                tell(extension)
        except Exception:
            logger.exception("The extension %s failed", type(extension).__name__)
            has_failed = True
        if session.get_transaction() is not outer:
            raise RuntimeError(f"The extension {type(extension).__name__} has ended the transaction")
    return not has_failed
