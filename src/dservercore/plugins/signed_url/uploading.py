"""Uploading datasets: begun, received where a route of this server receives them, completed, removed.

Nothing is held in the database while a storage answers. So an upload is entered, and counts, before its storage is
asked; and it is completed in the transaction in which its dataset is registered, and only if it is what was frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse
from uuid import UUID

from sqlalchemy import select

from dservercore import db
from dservercore.catalog import audit, registration
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import Actor, Scope
from dservercore.catalog.storage import access
from dservercore.dataset import uris
from dservercore.db import sql_db
from dservercore.errors import (
    ConflictError,
    DserverError,
    UnsupportedError,
    ValidationError,
)
from dservercore.models import Dataset
from dservercore.plugins.signed_url import pending as pending_uploads
from dservercore.plugins.signed_url.announced import Announcement, check_document
from dservercore.plugins.signed_url.pending import Pending
from dservercore.plugins.signed_url.signatures import Claims
from dservercore.plugins.signed_url.storages.disk_uploads import DiskUploads
from dservercore.plugins.signed_url.storages.s3_uploads import S3Uploads
from dservercore.plugins.signed_url.storages.uploads import UploadStorage


def storage_of(base_uri: str, uri: str) -> UploadStorage:
    """Return where a dataset is to be stored.

    :raises UnsupportedError: if no URLs can be signed for it
    :raises StorageError: if it cannot be reached
    """
    scheme = urlparse(base_uri).scheme
    if scheme == "s3":
        return S3Uploads(base_uri, uri)
    if scheme == "file" and not uris.is_out_of_reach(base_uri):
        return DiskUploads(base_uri, uri)
    raise UnsupportedError(f"This server can sign no URLs for datasets in {base_uri}")


def begin(actor: Actor, scope: Scope, announcement: Announcement) -> tuple[Pending, UploadStorage]:
    """Begin to upload a dataset, or begin again. Return the upload, which counts already, and its storage.

    :param scope: the base URIs in which *actor* may register
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises ValidationError: if its storage cannot hold what is announced
    :raises ConflictError: if the dataset is there, or one with its UUID is pending elsewhere
    :raises StorageError, UnsupportedError: if its storage refuses, or is no place for uploads
    """
    scope.require(announcement.base_uri)
    storage = storage_of(announcement.base_uri, announcement.uri)
    storage.check(announcement)
    db.rollback()  # nothing is to be held while storage answers
    pending, before = pending_uploads.enter(actor, announcement)
    db.commit()
    try:
        storage.prepare(pending, before)
    except DserverError:
        if before is None:
            pending_uploads.leave_unchanged(pending)
            db.commit()
        raise
    return pending, storage


def receive(claims: Claims, admit: Callable[[], Scope], chunks: Callable[[int], bytes]) -> None:
    """Write one file of a dataset that is being uploaded into a directory of this machine.

    :param claims: of the URL
    :param admit: returns where the user of the URL may register at this moment, or raises an error
    :param chunks: given a number of bytes, returns so many of the file, or fewer; none at its end
    :raises AuthorizationError: if the user may not register in its base URI, before or after the file has come
    :raises UnknownUploadError: if its dataset is complete, or was removed
    :raises ConflictError: if its dataset was begun again with other items
    :raises ValidationError: 400 if the file is not the one that was announced
    :raises StorageError: if it cannot be written
    """

    def still() -> str:
        base_uri = pending_uploads.require(claims.uri, claims.extra["digest"])
        admit().require(base_uri)
        db.rollback()  # nothing is to be held while a file comes
        return base_uri

    storage = storage_of(still(), claims.uri)
    if not isinstance(storage, DiskUploads):
        raise UnsupportedError("This URL is for no directory of this server")
    size, md5 = claims.extra.get("size"), claims.extra.get("hash")
    storage.receive(claims.name, size, md5, chunks, still)


def complete(actor: Actor, scope: Scope, uri: str) -> Pending:
    """Freeze and register a dataset that is uploaded. Return the upload, which is pending no more.

    :param actor: who completes it, be it somebody else than began it, and registers the dataset
    :param scope: the base URIs in which *actor* may register
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises ValidationError: 400 if none is pending, or something is missing; 422 if it cannot be registered
    :raises ConflictError: if the dataset of that UUID is to have another URI, or somebody else completed it just now
    :raises StorageError: if its storage refuses
    """
    scope.require(uris.parent(uri))
    pending = _pending(scope, uri)
    db.rollback()  # nothing is to be held while storage answers
    _check_manifest(pending)
    storage = storage_of(pending.base_uri, uri)
    db.rollback()
    check_document(pending, storage.readme(pending))
    storage.freeze(pending)
    document = _stored_document(pending)
    db.rollback()
    registration.register_one(actor, scope, document)
    if not pending_uploads.leave_unchanged(pending):
        raise ConflictError("Somebody else completed, removed or began this upload at this moment")
    audit.record(actor, "dataset.upload", uri, {"uuid": pending.uuid, "name": pending.name}, pending.base_uri)
    return pending


def _pending(scope: Scope, uri: str) -> Pending:
    pending = pending_uploads.find(uri)
    if pending is None:
        other = pending_uploads.find_by_uuid(_uuid_of(uri))
        # Of what is pending where the asker may not register, nothing is told.
        if other is not None and other.base_uri in scope:
            raise ConflictError(f"The dataset {other.uuid} is being uploaded as {other.uri}")
        raise ValidationError(f"uri: {pending_uploads.NOT_PENDING}", {"uri": ["No upload is pending."]})
    scope.require(pending.base_uri)
    return pending


def _uuid_of(uri: str) -> str:
    try:
        return str(UUID(uris.last_segment(uri)))
    except ValueError:
        return ""


def _check_manifest(pending: Pending) -> None:
    """Pass if the manifest is one that can be looked at, which is not sure of one of the original server."""
    items = pending.manifest.get("items") if isinstance(pending.manifest, dict) else None
    wanted = {"relpath", "size_in_bytes", "hash"}
    if not isinstance(items, dict) or not all(
        isinstance(item, dict) and wanted <= item.keys() for item in items.values()
    ):
        raise ValidationError("What was announced of this upload cannot be read: begin it again")


def _stored_document(pending: Pending) -> Document:
    """Return the document of the dataset as it is read from its storage, like that of any other one.

    :raises ValidationError: 400 if it cannot be
    """
    base = access.open_base(pending.base_uri)
    try:
        fingerprint = access.fingerprint(base, pending.uri)
        info: dict[str, Any] = access.open_readable(base, pending.uri).document(pending.base_uri)
    except Exception as error:  # each storage has errors of its own
        raise ValidationError(f"The dataset cannot be read again: {access.reason(error)}") from error
    if info["uuid"] != pending.uuid:
        raise ConflictError(f"Another dataset is stored as {pending.uri}")
    return Document(info, fingerprint)


def remove(
    actor: Actor, pending: Pending, with_storage: bool, only_unchanged: bool = False
) -> tuple[bool, str | None]:
    """Forget an upload, and remove what is there of its dataset, if it is not frozen.

    :param only_unchanged: leave it where it was begun again since it was read
    :returns: whether it was pending still, and why its storage could not be removed; None: it was, or was not to be
    """
    is_left = (
        pending_uploads.leave_unchanged(pending) if only_unchanged else pending_uploads.leave(pending.uuid)
    )
    if not is_left:
        return False, None
    audit.record(
        actor, "upload.delete", pending.uri, {"uuid": pending.uuid, "storage": with_storage}, pending.base_uri
    )
    db.commit()  # first, so that nobody completes it meanwhile
    if not with_storage:
        return True, None
    if sql_db.session.execute(select(Dataset.id).where(Dataset.uri == pending.uri)).first():
        return True, "the dataset is registered"
    try:
        storage_of(pending.base_uri, pending.uri).remove(pending)
    except DserverError as error:
        return True, error.message
    return True, None
