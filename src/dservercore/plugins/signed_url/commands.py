"""``flask pending_upload``: datasets that somebody has begun to upload."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import click

from dservercore import db
from dservercore.catalog.scope import OPERATOR
from dservercore.cli.console import Group, count_of, say
from dservercore.plugins.signed_url import pending as pending_uploads
from dservercore.plugins.signed_url import uploading
from dservercore.plugins.signed_url.pending import Pending

pending_upload_cli = Group(
    "pending_upload", help="Show and remove uploads that were begun and not completed."
)

#: Hours that fit into a time.
_HOURS = click.FloatRange(min=0, max=10_000_000)

_with_storage = click.option(
    "--delete-storage", is_flag=True, help="Delete what was uploaded, too; never a dataset that is frozen."
)


@pending_upload_cli.command(name="list")
@click.option("--older-than", type=_HOURS, metavar="HOURS", help="Those alone that were begun before that.")
def list_uploads(older_than: float | None) -> None:
    """List the uploads that were begun and not completed, oldest first. Times are UTC.

    \b
      flask pending_upload list
      flask pending_upload list --older-than 24
    """
    for upload in pending_uploads.list_pending(_before(older_than)):
        say(_line_of(upload))


@pending_upload_cli.command(name="cleanup")
@click.option(
    "--older-than", type=_HOURS, required=True, metavar="HOURS", help="Those that were begun before that."
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, and list what would be removed.")
@_with_storage
def clean_up(older_than: float, dry_run: bool, delete_storage: bool) -> None:
    """Remove the uploads that were begun long ago. Who has URLs of one can upload nothing more by them.

    Choose more hours than the URLs work for (SIGNED_URL_WRITE_EXPIRY_SECONDS).

    \b
      flask pending_upload cleanup --older-than 48 --dry-run
      flask pending_upload cleanup --older-than 48 --delete-storage
    """
    uploads = pending_uploads.list_pending(_before(older_than))
    if dry_run:
        for upload in uploads:
            say(f"Would remove: {_line_of(upload)}")
        say(f"{count_of(len(uploads), 'upload')} would be removed", err=True)
        return
    removed = sum(_remove(upload, delete_storage, only_unchanged=True) for upload in uploads)
    say(f"{count_of(removed, 'upload')} removed", err=True)


@pending_upload_cli.command(name="delete")
@click.argument("uuid")
@_with_storage
def delete_upload(uuid: str, delete_storage: bool) -> None:
    """Remove the upload of the dataset UUID.

    \b
      flask pending_upload delete af6727bf-29c7-43dd-b42f-a5d7ede28337 --delete-storage
    """
    upload = pending_uploads.find_by_uuid(uuid.lower())
    if upload is None or not _remove(upload, delete_storage):
        say(f"No pending upload found with UUID: {uuid}")


def _remove(upload: Pending, with_storage: bool, only_unchanged: bool = False) -> bool:
    """Remove an upload, and say so. Return whether it was pending still."""
    was_pending, why_not = uploading.remove(OPERATOR, upload, with_storage, only_unchanged)
    db.commit()
    if was_pending:
        say(f"Removed: {upload.uuid} {upload.uri}")
    if why_not:
        say(f"Not deleted from its storage: {upload.uri}: {why_not}", err=True)
    return was_pending


def _before(hours: float | None) -> float | None:
    return None if hours is None else time.time() - hours * 3600


def _line_of(upload: Pending) -> str:
    begun = datetime.fromtimestamp(upload.created_at, timezone.utc)
    return f"{upload.uuid}  {begun:%Y-%m-%d %H:%M:%S}  {upload.name}  {upload.creator_username}  {upload.uri}"
