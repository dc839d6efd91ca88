"""Telling extensions what has happened to datasets, once that is committed.

What a write does is noted in its session as it goes on, and forgotten with a transaction or savepoint that is rolled
back. What is committed waits in the application context, and extensions are told when no write is under way any more:
after the commit of the route or command, or, where a plugin has committed by itself, at the latest when the request or
command ends.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

from flask import g, has_app_context
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from dservercore import plugin_host
from dservercore.catalog.scope import acting
from dservercore.db import sql_db
from dservercore.plugin_api import DatasetEvent, ExtensionABC

logger = logging.getLogger(__name__)

_UNCOMMITTED, _SAVEPOINTS = "dataset_events", "dataset_events_at_savepoints"


def registered(uri: str, uuid: str) -> None:
    """Note that a dataset is registered in the transaction that is open."""
    _note(DatasetEvent("registered", uri, uuid, username=acting().username))


def edited(uri: str, uuid: str, field: str) -> None:
    """Note that the README, tags or annotations of a dataset are replaced in the transaction that is open."""
    _note(DatasetEvent("edited", uri, uuid, field, acting().username))


def deleted(uri: str, uuid: str) -> None:
    """Note that a dataset is deleted in the transaction that is open."""
    _note(DatasetEvent("deleted", uri, uuid, username=acting().username))


def _note(happened: DatasetEvent) -> None:
    sql_db.session().info.setdefault(_UNCOMMITTED, []).append(happened)


def watch() -> None:
    """From now on, keep events that sessions commit, for :func:`tell`, and forget those that they roll back."""
    if not event.contains(sql_db.session, "after_commit", _after_commit):
        event.listen(sql_db.session, "after_transaction_create", _after_begin)
        event.listen(sql_db.session, "after_commit", _after_commit)
        event.listen(sql_db.session, "after_soft_rollback", _after_rollback)
        event.listen(sql_db.session, "after_transaction_end", _after_end)


def _after_begin(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        before = len(session.info.get(_UNCOMMITTED, ()))
        session.info.setdefault(_SAVEPOINTS, WeakKeyDictionary())[transaction] = before


def _after_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    committed = session.info.pop(_UNCOMMITTED, ())
    if committed and has_app_context():
        _untold().extend(committed)


def _after_rollback(session: Session, transaction: SessionTransaction) -> None:
    # A flush that fails has a transaction of neither kind, within one that has to be rolled back next.
    if transaction.nested:
        before = session.info.get(_SAVEPOINTS, {}).get(transaction, 0)
        del session.info.get(_UNCOMMITTED, [])[before:]


def _after_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_UNCOMMITTED, None)


def _untold() -> list[DatasetEvent]:
    untold: list[DatasetEvent] = g.setdefault("dataset_events", [])
    return untold


def tell(_: Any = None) -> None:
    """Tell each extension what was committed since the last call, and what extensions commit when they are told.

    An extension that fails is logged, and what it wrote is rolled back.
    """
    if not g.get("dataset_events") or not plugin_host.is_at_home() or g.get("telling_dataset_events"):
        return
    g.telling_dataset_events = True
    try:
        while untold := _untold():
            happened = untold.pop(0)
            for extension in plugin_host.plugins().extensions:
                _tell(extension, happened)
    finally:
        g.telling_dataset_events = False


def _tell(extension: ExtensionABC, happened: DatasetEvent) -> None:
    try:
        extension.after_commit(happened)
        sql_db.session.commit()
    except Exception:
        logger.exception(
            "The extension %s failed after a dataset was %s", type(extension).__name__, happened.kind
        )
        sql_db.session.rollback()
