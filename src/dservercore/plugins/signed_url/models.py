"""The table of the datasets that are being uploaded."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from dservercore.db import sql_db
from dservercore.models import CREATOR_LENGTH, NAME_LENGTH, URI_LENGTH, USERNAME_LENGTH

DIGEST_LENGTH = 64


class PendingUpload(sql_db.Model):  # type: ignore[name-defined]
    """A dataset that somebody has begun to upload: deleted when it is registered.

    The first eight columns are those of the original server, which knows no others.
    """

    __tablename__ = "pending_upload"
    __table_args__ = (
        Index("ix_pending_upload_uri", "uri", mysql_length={"uri": 255}, mariadb_length={"uri": 255}),
        Index(
            "ix_pending_upload_base_uri",
            "base_uri",
            mysql_length={"base_uri": 255},
            mariadb_length={"base_uri": 255},
        ),
        {"info": {"own_migrations": True}},
    )

    uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    uri: Mapped[str] = mapped_column(String(URI_LENGTH))
    base_uri: Mapped[str] = mapped_column(String(URI_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    creator_username: Mapped[str] = mapped_column(String(CREATOR_LENGTH))
    # When it was begun, or begun again: seconds since the epoch, UTC.
    created_at: Mapped[float] = mapped_column(Double)
    # Of the dataset, as whoever uploads it has announced.
    frozen_at: Mapped[float] = mapped_column(Double)
    # As it will be that of the dataset: ``items``, ``hash_function``, ``dtoolcore_version``.
    manifest: Mapped[Any] = mapped_column(JSON)
    # ``tags``, ``annotations`` and ``overlays``. NULL: begun by the original server, which has written them to the
    # storage already.
    description: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    # Of what is announced of the items: a URL for another one writes nothing. NULL: begun by the original server.
    digest: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH))
    # Who began it, or began it again. NULL: nobody knows.
    username: Mapped[str | None] = mapped_column(String(USERNAME_LENGTH))
