"""The tables.

``user``, ``base_uri``, the two permission tables and ``dataset`` have the columns that databases made by the original
server have; what we add to ``dataset`` may be NULL there, so that such a database can be adopted.
Times are naive UTC with microseconds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    VARBINARY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    TypeDecorator,
    event,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dservercore.date_utils import datetime_to_timestamp
from dservercore.db import sql_db
from dservercore.registered_names import USERNAME_LENGTH, tokens_since
from dservercore.registered_names import RegisteredName as RegisteredName  # a table like those here
from dservercore.uris import MAX_BYTES

NAME_LENGTH = 80
DISPLAY_NAME_LENGTH = 255
CREATOR_LENGTH = 255
TAG_LENGTH = 80
URI_LENGTH = 1024
ACTION_LENGTH = 64
ORIGIN_LENGTH = 64
REQUEST_ID_LENGTH = 128


class _BinaryText(TypeDecorator[str]):
    """Text in a binary column: on MariaDB an index has no room for 1024 characters of up to four bytes each."""

    impl = VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Any) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: Any, _dialect: Any) -> str | None:
        return value.decode() if isinstance(value, bytes) else value


def _sorted_text(length: int) -> Any:
    """Return the type of a text that lists are sorted by: by code point, whatever language the database sorts by."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


_URI = _sorted_text(URI_LENGTH).with_variant(_BinaryText(MAX_BYTES), "mysql", "mariadb")
_DateTime = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _permission_table(name: str) -> Table:
    return Table(
        name,
        sql_db.metadata,
        Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
        Column("base_uri_id", ForeignKey("base_uri.id", ondelete="CASCADE"), primary_key=True, index=True),
    )


search_permissions = _permission_table("search_permissions")
register_permissions = _permission_table("register_permissions")
GRANT_TABLES = {"search": search_permissions, "register": register_permissions}


class User(sql_db.Model):  # type: ignore[name-defined]
    """Somebody who may use the server."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(_sorted_text(USERNAME_LENGTH), unique=True, index=True)
    # NULL: no name to show has been given.
    display_name: Mapped[str | None] = mapped_column(String(DISPLAY_NAME_LENGTH))
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)
    # Seconds since the epoch, UTC: tokens that were made before are those of a namesake who was deleted. NULL: there
    # was none, or the user is from before this was noted.
    tokens_since: Mapped[int | None] = mapped_column(BigInteger, default=tokens_since)

    search_base_uris: Mapped[list[BaseURI]] = relationship(
        secondary=search_permissions, back_populates="search_users", order_by="BaseURI.base_uri"
    )
    register_base_uris: Mapped[list[BaseURI]] = relationship(
        secondary=register_permissions, back_populates="register_users", order_by="BaseURI.base_uri"
    )

    def __repr__(self) -> str:
        return f"<User {self.username}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the user object of the REST API."""
        return {
            "username": self.username,
            "display_name": self.display_name,
            "is_admin": self.is_admin,
            "search_permissions_on_base_uris": [b.base_uri for b in self.search_base_uris],
            "register_permissions_on_base_uris": [b.base_uri for b in self.register_base_uris],
        }


class BaseURI(sql_db.Model):  # type: ignore[name-defined]
    """A place that holds datasets: a bucket, a share, a directory."""

    __tablename__ = "base_uri"

    id: Mapped[int] = mapped_column(primary_key=True)
    base_uri: Mapped[str] = mapped_column(_URI, unique=True, index=True)

    search_users: Mapped[list[User]] = relationship(
        secondary=search_permissions, back_populates="search_base_uris", order_by="User.username"
    )
    register_users: Mapped[list[User]] = relationship(
        secondary=register_permissions, back_populates="register_base_uris", order_by="User.username"
    )
    datasets: Mapped[list[Dataset]] = relationship(back_populates="base_uri", passive_deletes="all")

    def __repr__(self) -> str:
        return f"<BaseURI {self.base_uri}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the base URI object of the REST API."""
        return {
            "base_uri": self.base_uri,
            "users_with_search_permissions": [u.username for u in self.search_users],
            "users_with_register_permissions": [u.username for u in self.register_users],
        }


class Dataset(sql_db.Model):  # type: ignore[name-defined]
    """One dataset in one base URI; a copy elsewhere has the same UUID and a row of its own."""

    __tablename__ = "dataset"
    __table_args__ = (Index("ix_dataset_base_uri_id_uri", "base_uri_id", "uri"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    base_uri_id: Mapped[int] = mapped_column(ForeignKey("base_uri.id"))
    uri: Mapped[str] = mapped_column(_URI, unique=True, index=True)
    uuid: Mapped[str] = mapped_column(_sorted_text(36), index=True)
    name: Mapped[str] = mapped_column(_sorted_text(NAME_LENGTH), index=True)
    creator_username: Mapped[str] = mapped_column(_sorted_text(CREATOR_LENGTH), index=True)
    frozen_at: Mapped[Any] = mapped_column(_DateTime)
    created_at: Mapped[Any] = mapped_column(_DateTime)
    # NULL: the registration did not say.
    number_of_items: Mapped[int | None] = mapped_column(BigInteger().with_variant(Integer, "sqlite"))
    size_in_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # NULL: registered by the command line.
    uploaded_by: Mapped[str | None] = mapped_column(_sorted_text(255), index=True)
    # NULL: registered before the server kept this.
    uploaded_at: Mapped[Any | None] = mapped_column(_DateTime)
    # What the dataset's storage looked like when it was indexed, to skip it while that has not changed.
    # NULL: not registered from storage, or from one that cannot tell.
    fingerprint: Mapped[str | None] = mapped_column(String(64))

    base_uri: Mapped[BaseURI] = relationship(back_populates="datasets")

    def __repr__(self) -> str:
        return f"<Dataset {self.uri}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the dataset object of the REST API; times are seconds since the epoch, UTC."""
        return {
            "base_uri": self.base_uri.base_uri,
            "created_at": datetime_to_timestamp(self.created_at),
            "creator_username": self.creator_username,
            "frozen_at": datetime_to_timestamp(self.frozen_at),
            "name": self.name,
            "number_of_items": self.number_of_items,
            "size_in_bytes": self.size_in_bytes,
            "uploaded_at": datetime_to_timestamp(self.uploaded_at) if self.uploaded_at else None,
            "uploaded_by": self.uploaded_by,
            "uri": self.uri,
            "uuid": self.uuid,
        }


class AuditRecord(sql_db.Model):  # type: ignore[name-defined]
    """One administrative act: who did what to whom, when and from where. Never changed, only pruned.

    It refers to nothing: users, base URIs and datasets go, and what was done to them stays on record.
    """

    __tablename__ = "audit"
    # What is listed is filtered by one of these and comes in the order of time.
    __table_args__ = (
        Index("ix_audit_at", "at", "id"),
        Index("ix_audit_actor", "actor", "at", "id"),
        Index("ix_audit_action", "action", "at", "id"),
        Index("ix_audit_subject", "subject", "at", "id", mysql_length={"subject": 255}),
        Index("ix_audit_base_uri", "base_uri", "at", "id", mysql_length={"base_uri": 255}),
        {"sqlite_autoincrement": True},  # or else the number of a record that was pruned would come again
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[Any] = mapped_column(_DateTime)
    # A user name, or ``operator:`` and a name at the operating system. NULL: a client without a token.
    actor: Mapped[str | None] = mapped_column(String(CREATOR_LENGTH))
    action: Mapped[str] = mapped_column(String(ACTION_LENGTH))
    # A user name, a base URI or the URI of a dataset. NULL: the act is about the server as a whole.
    subject: Mapped[str | None] = mapped_column(String(URI_LENGTH))
    # NULL: the act has nothing to do with one.
    base_uri: Mapped[str | None] = mapped_column(String(URI_LENGTH))
    # JSON object.
    details: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))
    # The address of a client, or ``command line``, or ``python``.
    origin: Mapped[str] = mapped_column(String(ORIGIN_LENGTH))
    # NULL: it was no request.
    request_id: Mapped[str | None] = mapped_column(String(REQUEST_ID_LENGTH))


class DatasetTag(sql_db.Model):  # type: ignore[name-defined]
    """A tag of a dataset; ``position`` keeps the order in which the tags were given."""

    __tablename__ = "dataset_tag"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(TAG_LENGTH), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(Integer)


class SummaryCount(sql_db.Model):  # type: ignore[name-defined]
    """Number and size of the datasets of one base URI that share a creator, tag or uploader.

    Kept by every write, in its transaction. Sizes are summed in two parts, ``size_in_bytes // 2**32`` and the rest,
    because a sum of 63-bit numbers has no room in a 64-bit column. ``kind`` is ``base_uri`` (one row with the
    primary key as its value: the total), ``creator``, ``tag`` or ``uploader``. A row that counts nothing is deleted.
    """

    __tablename__ = "summary_count"
    # In the order of the primary key, in which it is read: sums need no sorting.
    __table_args__ = {"sqlite_with_rowid": False}

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    base_uri_id: Mapped[int] = mapped_column(ForeignKey("base_uri.id", ondelete="CASCADE"), primary_key=True)
    datasets: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"))
    size_high: Mapped[int] = mapped_column(BigInteger)
    size_low: Mapped[int] = mapped_column(BigInteger)


class DatasetDocument(sql_db.Model):  # type: ignore[name-defined]
    """The descriptive part of a dataset, as the ``sql`` retrieve plugin keeps it."""

    __tablename__ = "dataset_document"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    readme: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))
    # JSON object.
    annotations: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))
    # JSON object, zstandard-compressed: handed out without being rebuilt.
    manifest: Mapped[bytes] = mapped_column(LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb"))


class SearchDocument(sql_db.Model):  # type: ignore[name-defined]
    """What the ``sql`` search plugin has put into its index for a dataset, which it must know to take it out again.

    Not tied to ``dataset`` by a foreign key: a row that outlived its dataset says what is still in the index.
    """

    __tablename__ = "search_document"

    dataset_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # The columns of the index, one a line, zstandard-compressed.
    tokens: Mapped[bytes] = mapped_column(LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb"))


class JournalEntry(sql_db.Model):  # type: ignore[name-defined]
    """A write to stores outside of this database that is not known to be done (see catalog/journal.py)."""

    __tablename__ = "journal_entry"
    __table_args__ = (Index("ix_journal_entry_uri", "uri", mysql_length={"uri": 255}),)

    # A UUID in hexadecimal digits, made by who begins the write.
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    uri: Mapped[str] = mapped_column(String(URI_LENGTH))
    # "change" or "deletion".
    kind: Mapped[str] = mapped_column(String(8))
    started_at: Mapped[Any] = mapped_column(_DateTime)
    # JSON object, zstandard-compressed: the first piece of it.
    content: Mapped[bytes] = mapped_column(LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb"))


class JournalPiece(sql_db.Model):  # type: ignore[name-defined]
    """The rest of a journal entry whose content is large."""

    __tablename__ = "journal_piece"

    entry_id: Mapped[str] = mapped_column(
        ForeignKey("journal_entry.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb"))


# The full-text index of the ``sql`` search plugin on SQLite; the row id is the dataset's id. Its columns hold tokens
# that text_query.py made, separated by spaces, so the tokenizer has nothing left to decide: every byte beyond ASCII is
# part of a token, and so are the signs that mark what is no word of a text (see plugins/index_document.py).
# Without content of its own it needs a third of the space; ``search_document`` has it, compressed.
SEARCH_INDEX = "search_index"
CREATE_SEARCH_INDEX = DDL(
    f"CREATE VIRTUAL TABLE IF NOT EXISTS {SEARCH_INDEX} USING fts5("
    "name, tags, lead, readme, annotations, rest, facets, content='', tokenize=\"ascii tokenchars '_=|'\")"
)
DROP_SEARCH_INDEX = DDL(f"DROP TABLE IF EXISTS {SEARCH_INDEX}")
# How much words count in each dataset (see plugins/sql/fts5_relevance.py). Which datasets have a token is all there is
# to know of it, so a posting takes a byte or two.
SEARCH_WEIGHTS = f"{SEARCH_INDEX}_weights"
CREATE_SEARCH_WEIGHTS = DDL(
    f"CREATE VIRTUAL TABLE IF NOT EXISTS {SEARCH_WEIGHTS} USING fts5("
    "words, content='', detail='none', tokenize=\"ascii tokenchars '='\")"
)
DROP_SEARCH_WEIGHTS = DDL(f"DROP TABLE IF EXISTS {SEARCH_WEIGHTS}")
for _create, _drop in (
    (CREATE_SEARCH_INDEX, DROP_SEARCH_INDEX),
    (CREATE_SEARCH_WEIGHTS, DROP_SEARCH_WEIGHTS),
):
    event.listen(SearchDocument.__table__, "after_create", _create.execute_if(dialect="sqlite"))
    event.listen(SearchDocument.__table__, "before_drop", _drop.execute_if(dialect="sqlite"))

# The same on PostgreSQL: ``plugins/sql/gin.py`` says what is where. Rows stay narrow, because what is long is stored
# apart from them, and a URI (PLAIN) never is, by which most results are sorted. The list of entries that are still to
# be sorted into the index is kept short, for each search goes through it.
CREATE_POSTGRESQL_SEARCH = f"""
CREATE TABLE {SEARCH_INDEX} (
  dataset_id integer PRIMARY KEY REFERENCES dataset (id) ON DELETE CASCADE,
  base_uri_id integer NOT NULL,
  uri text COLLATE "C" NOT NULL,
  texts text NOT NULL,
  words tsvector NOT NULL
) WITH (toast_tuple_target = 128);
ALTER TABLE {SEARCH_INDEX} ALTER COLUMN uri SET STORAGE PLAIN;
CREATE INDEX ix_{SEARCH_INDEX}_words ON {SEARCH_INDEX} USING gin (words) WITH (gin_pending_list_limit = 512);
CREATE TABLE {SEARCH_INDEX}_part (
  dataset_id integer REFERENCES dataset (id) ON DELETE CASCADE,
  number integer,
  words tsvector NOT NULL,
  PRIMARY KEY (dataset_id, number)
);
CREATE INDEX ix_{SEARCH_INDEX}_part_words ON {SEARCH_INDEX}_part USING gin (words);
CREATE TABLE {SEARCH_INDEX}_weights (
  dataset_id integer PRIMARY KEY REFERENCES dataset (id) ON DELETE CASCADE,
  weights bytea NOT NULL
);
ALTER TABLE {SEARCH_INDEX}_weights ALTER COLUMN weights SET STORAGE PLAIN
"""
DROP_POSTGRESQL_SEARCH = f"DROP TABLE IF EXISTS {SEARCH_INDEX}, {SEARCH_INDEX}_part, {SEARCH_INDEX}_weights"
event.listen(
    Dataset.__table__, "after_create", DDL(CREATE_POSTGRESQL_SEARCH).execute_if(dialect="postgresql")
)
event.listen(Dataset.__table__, "before_drop", DDL(DROP_POSTGRESQL_SEARCH).execute_if(dialect="postgresql"))
