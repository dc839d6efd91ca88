"""The tables of the extension: datasets that are still to be looked at, and what each bucket has sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from dservercore.db import sql_db
from dservercore.plugins.notification.settings import MAX_BUCKET_LENGTH

_DateTime = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_BigInteger = BigInteger().with_variant(Integer, "sqlite")


class NotifiedDataset(sql_db.Model):  # type: ignore[name-defined]
    """A dataset that events have told of, until nothing about it is left to be done."""

    __tablename__ = "notification_dataset"
    __table_args__ = {"info": {"own_migrations": True}}

    # The SHA-256 of the URI, in hexadecimal digits: an index has no room for all of a URI.
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    uri: Mapped[str] = mapped_column(Text)
    # How many events there were since somebody last had nothing left to do.
    events: Mapped[int] = mapped_column(_BigInteger)
    # When the last one came, naive UTC.
    noted_at: Mapped[Any] = mapped_column(_DateTime)
    # Whether one of them said that the dataset is gone.
    is_removal: Mapped[bool] = mapped_column(Boolean)
    # Whether an administrator lets its registration go, however many others go.
    is_permitted: Mapped[bool] = mapped_column(Boolean)
    # The job that looks at it. NULL: none does, as it is held.
    job_id: Mapped[int | None] = mapped_column(_BigInteger)
    # Why its registration is not removed until an administrator says so. NULL: it is not held.
    held: Mapped[str | None] = mapped_column(Text)


class NotifyingBucket(sql_db.Model):  # type: ignore[name-defined]
    """What a bucket has sent."""

    __tablename__ = "notification_bucket"
    __table_args__ = {"info": {"own_migrations": True}}

    # The SHA-256 of the bucket's name, in hexadecimal digits.
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    bucket: Mapped[str] = mapped_column(String(MAX_BUCKET_LENGTH))
    # Events that had to do with a dataset.
    events: Mapped[int] = mapped_column(_BigInteger)
    # When the last one came, naive UTC.
    received_at: Mapped[Any] = mapped_column(_DateTime)
