"""The uploads that are pending: rows that outlive the process, and say what may be written for whom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, literal, select

from dservercore import db
from dservercore.catalog.scope import Actor
from dservercore.db import sql_db
from dservercore.errors import ConflictError, UnknownUploadError
from dservercore.models import Dataset
from dservercore.plugins.signed_url.announced import Announcement
from dservercore.plugins.signed_url.models import PendingUpload

_upload = PendingUpload.__table__
_OVERWRITTEN = tuple(column.name for column in _upload.c if column.name != "uuid")

#: Why nothing can be uploaded any more, or completed.
NOT_PENDING = "No such upload is pending: it is completed, was removed, or was never begun"


@dataclass(frozen=True)
class Pending(Announcement):
    """An upload that is pending, as it was announced.

    :param created_at: when it was begun, or begun again: seconds since the epoch, UTC
    :param is_described: False where the original server has begun it, which writes tags, annotations and overlays to
        the storage at once: what is there counts
    :param digest_in_row: None where the original server has begun it
    """

    created_at: float = 0.0
    is_described: bool = True
    digest_in_row: str | None = None


def _pending(row: Any) -> Pending:
    return Pending(
        uuid=row.uuid,
        uri=row.uri,
        base_uri=row.base_uri,
        name=row.name,
        creator_username=row.creator_username,
        frozen_at=row.frozen_at,
        manifest=row.manifest,
        description=row.description or {},
        created_at=row.created_at,
        is_described=row.description is not None,
        digest_in_row=row.digest,
    )


def enter(actor: Actor, announcement: Announcement) -> tuple[Pending, Pending | None]:
    """Note that a dataset is being uploaded. Return the upload, and what was pending under that URI before.

    :raises ConflictError: if the dataset is registered, or one with its UUID is pending elsewhere
    """
    db.begin_write()
    if sql_db.session.execute(select(Dataset.id).where(Dataset.uri == announcement.uri)).first():
        raise ConflictError(f"A dataset is registered as {announcement.uri}")
    wanted = select(_upload).where(_upload.c.uuid == announcement.uuid).with_for_update()
    row = sql_db.session.execute(wanted).first()
    if row is not None and row.uri != announcement.uri:
        raise ConflictError(f"An upload of the dataset {announcement.uuid} is pending elsewhere")
    values = {name: value for name, value in vars(announcement).items() if name in _OVERWRITTEN}
    values |= {
        "uuid": announcement.uuid,
        "created_at": time.time(),
        "digest": announcement.digest,
        "username": actor.username,
    }
    if row is None:
        # Somebody else may have been faster, and elsewhere: the row tells.
        db.insert_if_new(_upload, ("uuid",), values)
        row_now = sql_db.session.execute(wanted).one()
        if row_now.uri != announcement.uri:
            raise ConflictError(f"An upload of the dataset {announcement.uuid} is pending elsewhere")
    sql_db.session.execute(_upload.update().where(_upload.c.uuid == announcement.uuid).values(values))
    return _pending(sql_db.session.execute(wanted).one()), None if row is None else _pending(row)


def find(uri: str) -> Pending | None:
    """Return the upload of the dataset that is to have a URI; None: none is pending."""
    rows = sql_db.session.execute(select(_upload).where(_upload.c.uri == uri))
    # Some databases find what differs in case alone.
    return next((_pending(row) for row in rows if row.uri == uri), None)


def find_by_uuid(uuid: str) -> Pending | None:
    """Return the upload of the dataset with a UUID; None: none is pending."""
    row = sql_db.session.execute(select(_upload).where(_upload.c.uuid == uuid)).first()
    return None if row is None else _pending(row)


def require(uri: str, digest: str) -> str:
    """Pass if what may be uploaded of a dataset is what it was when its URLs were signed. Return its base URI.

    :param digest: of the items that were announced then
    :raises UnknownUploadError: if no upload of it is pending
    :raises ConflictError: if something else is announced since
    """
    wanted = select(_upload.c.uri, _upload.c.base_uri, _upload.c.digest).where(_upload.c.uri == uri)
    row = next((row for row in sql_db.session.execute(wanted) if row.uri == uri), None)
    if row is None:
        raise UnknownUploadError(NOT_PENDING)
    if row.digest != digest:
        raise ConflictError("The upload was begun again with other items: its new URLs are those that work")
    return str(row.base_uri)


def leave(uuid: str) -> bool:
    """Forget an upload. Return whether it was pending."""
    return bool(db.changed_rows(delete(_upload).where(_upload.c.uuid == uuid)))


def leave_unchanged(pending: Pending) -> bool:
    """Forget an upload, unless it was removed or begun again since it was read. Return whether it was forgotten."""
    same = delete(_upload).where(_upload.c.uuid == pending.uuid, _upload.c.created_at == pending.created_at)
    return bool(db.changed_rows(same))


def list_pending(before: float | None = None) -> Sequence[Pending]:
    """Return the uploads that are pending, oldest first, without what is announced of their items.

    :param before: those that were begun, or begun again, before that moment: seconds since the epoch, UTC; None: all
    """
    columns = [column for column in _upload.c if column.name not in ("manifest", "description")]
    no_items, no_description = literal(None).label("manifest"), literal(None).label("description")
    wanted = select(*columns, no_items, no_description).order_by(_upload.c.created_at, _upload.c.uuid)
    if before is not None:
        wanted = wanted.where(_upload.c.created_at < before)
    return [_pending(row) for row in sql_db.session.execute(wanted)]
