"""The jobs: a look at what is stored of a dataset, by which its registration comes, stays or goes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import current_app
from sqlalchemy import func, select

from dservercore import db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import dataset_rows, scope
from dservercore.catalog.storage import access, indexing, pruning
from dservercore.dataset import uris
from dservercore.dataset.times import utcnow
from dservercore.db import sql_db
from dservercore.errors import UnavailableError
from dservercore.models import AuditRecord, BaseURI, Dataset
from dservercore.plugins.notification import inbox, sns
from dservercore.plugins.notification.inbox import Noted

#: Registrations of a base URI that may go within a day, however many it has; and within how many hours they count.
FREE_REMOVALS, REMOVAL_HOURS = 25, 24

#: Where acts of this extension come from, on record.
PLACE = "notification"

logger = logging.getLogger(__name__)


def look(payload: Mapping[str, Any]) -> None:
    """Register a dataset as it is stored; or remove its registration, if it was said to be gone, and is.

    :raises UnavailableError: if its storage does not say what it holds, or it cannot be registered
    """
    seen = inbox.read(payload["uri"])
    db.rollback()  # nothing is to be held while storage answers
    if seen is not None:
        inbox.settle(seen, _settle(seen))


def confirm(payload: Mapping[str, Any]) -> None:
    """Confirm a subscription of a topic.

    :raises UnavailableError: if the service does not answer, or refuses
    """
    db.rollback()
    sns.confirm(payload["topic"], payload["path"])
    logger.info("The subscription of %s is confirmed", payload["topic"])


def _settle(seen: Noted) -> str | None:
    """Do what there is to be done about a dataset. Return why an administrator is to decide; None: it is done."""
    base_uri = uris.parent(seen.uri)
    register_scope = operator_scope("register")
    if base_uri not in register_scope:
        logger.warning("%s is not registered: its base URI is no longer", seen.uri)
        return None
    base = _opened(base_uri)
    db.rollback()
    if _is_gone(base, seen.uri):
        return _remove(seen, base_uri) if seen.is_removal else None
    done = indexing.index_dataset(register_scope, base, seen.uri)
    if done.outcome == "failed":
        raise UnavailableError(f"{seen.uri} is not registered: {done.reason}")
    logger.info("%s: %s", seen.uri, done.outcome)
    return None


def _opened(base_uri: str) -> access.Base:
    try:
        return access.open_base(base_uri)
    except Exception as error:  # each storage has errors of its own
        raise UnavailableError(f"{base_uri} cannot be opened: {access.reason(error)}") from error


def _is_gone(base: access.Base, uri: str) -> bool:
    """Return whether nothing is stored at *uri*.

    :raises UnavailableError: if the storage does not say so, nor that there is something
    """
    try:
        return base.is_gone(uri)
    except FileNotFoundError:
        return True
    except Exception as error:  # each storage has errors of its own
        raise UnavailableError(f"{uri} cannot be looked at: {access.reason(error)}") from error


def _remove(seen: Noted, base_uri: str) -> str | None:
    """Remove the registration of a dataset that is gone. Return why an administrator is to decide; None: it is done."""
    if dataset_rows.find_registered(seen.uri) is None:
        return None
    if not seen.is_permitted and (held := _why_held(base_uri)):
        logger.warning("%s is gone, and its registration is held: %s", seen.uri, held)
        return held
    db.rollback()
    pruning.remove([seen.uri], _ACTOR)
    logger.info("%s: registration removed", seen.uri)
    return None


def _why_held(base_uri: str) -> str | None:
    """Return why no further registration of a base URI may go; None: it may.

    A rule that goes wrong empties a bucket as thoroughly as somebody who means to, and with the registrations goes what
    users had added to them in the catalogue.
    """
    since = utcnow() - timedelta(hours=REMOVAL_HOURS)
    removed = sql_db.session.execute(
        select(func.count())
        .select_from(AuditRecord)
        .where(
            AuditRecord.base_uri == base_uri,
            AuditRecord.at >= since,
            AuditRecord.action == "dataset.delete",
            AuditRecord.origin == PLACE,
        )
    ).scalar_one()
    registered = sql_db.session.execute(
        select(func.count())
        .select_from(Dataset)
        .join(BaseURI, BaseURI.id == Dataset.base_uri_id)
        .where(BaseURI.base_uri == base_uri)
    ).scalar_one()
    limit: float = current_app.config["DSERVER_PRUNE_LIMIT"]
    if removed < max(FREE_REMOVALS, limit * (registered + removed)):
        return None
    return (
        f"{removed:,} registrations of {base_uri} went within {REMOVAL_HOURS} hours, more than {100 * limit:g} %"
        " (DSERVER_PRUNE_LIMIT): flask notification retry --removals lets the others go"
    )


_ACTOR = scope.Actor(None, is_admin=True, origin=scope.Origin(PLACE, operator=scope.OPERATOR.origin.operator))
