"""The record of administrative acts: who did what to whom, when, and from where.

A record is written in the transaction of the act, by the function of the catalog that does it. What was refused, has
failed, or changed nothing leaves none. Records are never changed; :func:`prune` deletes old ones, and says so in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Select, delete, func, insert, select

from dservercore import db
from dservercore.catalog.scope import Actor, acting
from dservercore.dataset.times import datetime_to_timestamp, utcnow
from dservercore.db import sql_db
from dservercore.models import AuditRecord

_audit = AuditRecord.__table__
_INSERT = insert(_audit)
_INDEXED_BYTES = 2500  # PostgreSQL has no more than 2704 for an entry of an index
_LENGTHS = {column.name: column.type.length for column in _audit.c if getattr(column.type, "length", None)}


def record(
    actor: Actor | None,
    action: str,
    subject: str | None = None,
    details: Mapping[str, Any] | None = None,
    base_uri: str | None = None,
) -> None:
    """Write down an act, in the transaction that it is part of.

    :param actor: who does it, and from where; None: whoever acts in this process (see ``scope.acting``)
    :param action: such as ``user.create``: what it is done to, and what is done
    :param subject: the user name, base URI or dataset URI that it is done to
    :param details: what JSON can express; a value that changes as ``[old, new]``
    :param base_uri: the base URI that the act has to do with; None: none
    """
    actor = actor or acting()
    values: dict[str, Any] = {
        "at": utcnow(),
        "actor": actor.recorded_name,
        "action": action,
        "subject": subject,
        "base_uri": base_uri,
        "details": orjson.dumps(details or {}).decode(),
        "origin": actor.origin.place,
        "request_id": actor.origin.request_id,
        "credential": actor.credential and actor.credential.name,
    }
    for name, length in _LENGTHS.items():
        values[name] = values[name] and _cut(values[name], length)
    sql_db.session.execute(_INSERT, values)


def _cut(text: str, length: int) -> str:
    # A name from a database of another program may be longer than ours can be: no reason to refuse the act.
    return text[:length].encode()[:_INDEXED_BYTES].decode(errors="ignore")


@dataclass(frozen=True)
class Filter:
    """Which records are wanted. None: any.

    :param action: an action, or with a dot at its end all that begin with it, such as ``user.``
    :param since: naive UTC; records of that moment and later
    :param until: naive UTC; records before that moment
    """

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    base_uri: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_records(
    wanted: Filter = Filter(), page: slice | None = None, newest_first: bool = True
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the records in the order of time, and how many there are.

    A record: ``id``, ``at`` (float, seconds since the epoch, UTC), ``actor``, ``action``, ``subject``, ``base_uri``,
    ``details`` (an object), ``origin``, ``request_id`` and ``credential``.

    :param page: positions of the records to return; None: all
    """
    order = (_audit.c.at.desc(), _audit.c.id.desc()) if newest_first else (_audit.c.at, _audit.c.id)
    statement = _matching(select(_audit), wanted).order_by(*order)
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    found = [_as_object(row) for row in sql_db.session.execute(statement)]
    number = _matching(select(func.count()).select_from(_audit), wanted)
    return found, sql_db.session.execute(number).scalar_one()


def _matching(statement: Select[Any], wanted: Filter) -> Select[Any]:
    for name in ("actor", "subject", "base_uri"):
        if getattr(wanted, name) is not None:
            statement = statement.where(_audit.c[name] == getattr(wanted, name))
    if wanted.action is not None and wanted.action.endswith("."):
        statement = statement.where(_audit.c.action.startswith(wanted.action, autoescape=True))
    elif wanted.action is not None:
        statement = statement.where(_audit.c.action == wanted.action)
    if wanted.since is not None:
        statement = statement.where(_audit.c.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(_audit.c.at < wanted.until)
    return statement


def _as_object(row: Any) -> dict[str, Any]:
    return {
        **row._mapping,
        "at": datetime_to_timestamp(row.at),
        "details": orjson.loads(row.details),
    }


def prune(actor: Actor, before: datetime) -> int:
    """Delete the records of acts before a moment (naive UTC), and write that down. Return how many they were."""
    db.begin_write()
    number = db.changed_rows(delete(_audit).where(_audit.c.at < before))
    if number:
        record(actor, "audit.prune", details={"before": before.isoformat() + "Z", "records": number})
    return number
