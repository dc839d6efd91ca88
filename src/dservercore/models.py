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
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    false,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from dservercore.dataset.analysis import COMPLETION_KEY_LENGTH, completion_key
from dservercore.dataset.fields import DATASET_KEYS, TIMES
from dservercore.dataset.times import stored_timestamp
from dservercore.dataset.uris import MAX_BYTES
from dservercore.db import sql_db
from dservercore.db.registered_names import RegisteredName as RegisteredName  # a table like those here
from dservercore.db.registered_names import name_key, tokens_since
from dservercore.db.usernames import KEY_LENGTH, USERNAME_LENGTH, key_of

NAME_LENGTH = 80
DISPLAY_NAME_LENGTH = 255
CREATOR_LENGTH = 255
TAG_LENGTH = 80
URI_LENGTH = 1024
ACTION_LENGTH = 64
ORIGIN_LENGTH = 64
REQUEST_ID_LENGTH = 128
JOB_KIND_LENGTH = 128
SOURCE_LENGTH = 64
SOURCE_KEY_LENGTH = 255
TOKEN_NAME_LENGTH = 80
SEARCH_NAME_LENGTH = 80
DIGEST_LENGTH = 64
ADDRESS_LENGTH = 64
PRICE_LENGTH = 24


def _index_by_beginning(name: str, text: str, *columns: str) -> Index:
    """Return an index that begins with a long text, of which MariaDB (also as ``mysql``) takes the beginning alone."""
    length = {text: 255}
    return Index(name, text, *columns, mysql_length=length, mariadb_length=length)


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
_NAME_KEY = String(KEY_LENGTH).with_variant(
    mysql.VARCHAR(KEY_LENGTH, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
)


def _folded_text(length: int) -> Any:
    """Return the type of a text that is compared by code point on every database, spaces at its end included."""
    in_mysql = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return _sorted_text(length).with_variant(in_mysql, "mysql", "mariadb")


_WORD = _folded_text(64)
_DateTime = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _pairs_of(name: str, first: str, second: str, *columns: Column[Any]) -> Table:
    """Return the table of pairs of rows of two tables, of which each column is named after its table.

    :param columns: what else there is to know of a pair
    """
    return Table(
        name,
        sql_db.metadata,
        Column(f"{first}_id", ForeignKey(f"{_TABLES[first]}.id", ondelete="CASCADE"), primary_key=True),
        Column(
            f"{second}_id",
            ForeignKey(f"{_TABLES[second]}.id", ondelete="CASCADE"),
            primary_key=True,
            index=True,
        ),
        *columns,
    )


_TABLES = {"user": "user", "base_uri": "base_uri", "group": "user_group"}

search_permissions = _pairs_of("search_permissions", "user", "base_uri")
register_permissions = _pairs_of("register_permissions", "user", "base_uri")
#: What users are granted themselves.
GRANT_TABLES = {"search": search_permissions, "register": register_permissions}

group_members = _pairs_of(
    "group_member",
    "group",
    "user",
    # What says so at each sign-in, such as ``ldap`` or ``oidc:keycloak``. NULL: an administrator of this server.
    Column("source", String(SOURCE_LENGTH)),
)
#: What the members of groups are granted.
GROUP_GRANT_TABLES = {
    "search": _pairs_of("group_search_permissions", "group", "base_uri"),
    "register": _pairs_of("group_register_permissions", "group", "base_uri"),
}


class User(sql_db.Model):  # type: ignore[name-defined]
    """Somebody who may use the server."""

    __tablename__ = "user"
    __table_args__ = (Index("ix_user_source", "source", "source_key", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(_sorted_text(USERNAME_LENGTH), unique=True, index=True)
    # NULL: no name to show has been given.
    display_name: Mapped[str | None] = mapped_column(String(DISPLAY_NAME_LENGTH))
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)
    # Seconds since the epoch, UTC: tokens that were made before are those of a namesake who was deleted, or were
    # revoked. NULL: there are none, or the user is from before this was noted.
    tokens_since: Mapped[int | None] = mapped_column(BigInteger, default=tokens_since)

    # NULL: the user has no password here.
    password_hash: Mapped[str | None] = mapped_column(String(255))
    # A program, which has tokens and cannot sign in.
    is_service: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    # What says at sign-in who this is, such as ``ldap`` or ``oidc:keycloak``, and the name it has for the user, which
    # never changes. NULL: an administrator registered the user.
    source: Mapped[str | None] = mapped_column(String(SOURCE_LENGTH))
    source_key: Mapped[str | None] = mapped_column(_folded_text(SOURCE_KEY_LENGTH))

    # The name without the difference of upper and lower case, so that no two names differ in that alone.
    # NULL: the user is from before this was noted, and differs from another one in that alone.
    name_key: Mapped[str | None] = mapped_column(_NAME_KEY, unique=True, index=True, default=name_key)

    search_base_uris: Mapped[list[BaseURI]] = relationship(
        secondary=search_permissions, back_populates="search_users", order_by="BaseURI.base_uri"
    )
    register_base_uris: Mapped[list[BaseURI]] = relationship(
        secondary=register_permissions, back_populates="register_users", order_by="BaseURI.base_uri"
    )

    @validates("username")
    def _note_key(self, _name: str, username: str) -> str:
        self.name_key = key_of(username)
        return username

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


class Group(sql_db.Model):  # type: ignore[name-defined]
    """Users who are granted the same together."""

    __tablename__ = "user_group"  # GROUP is a word of SQL

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(_sorted_text(USERNAME_LENGTH), unique=True, index=True)
    # The name without the difference of upper and lower case, so that no two names differ in that alone.
    name_key: Mapped[str] = mapped_column(_NAME_KEY, unique=True, index=True)

    def __repr__(self) -> str:
        return f"<Group {self.name}>"


class BaseURI(sql_db.Model):  # type: ignore[name-defined]
    """A place that holds datasets: a bucket, a share, a directory."""

    __tablename__ = "base_uri"

    id: Mapped[int] = mapped_column(primary_key=True)
    base_uri: Mapped[str] = mapped_column(_URI, unique=True, index=True)
    # Whoever comes may search it, without a token.
    public: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    # How the last run of `flask base_uri index` ended: a JSON object (see catalog/storage/index_runs.py).
    # NULL: there was none.
    last_indexed: Mapped[str | None] = mapped_column(Text)
    # What a TB (10**12 bytes) costs a year, as a decimal number: in a text, as no database rounds that. NULL: no price.
    price_per_tb: Mapped[str | None] = mapped_column(String(PRICE_LENGTH))
    # Its currency, as ISO 4217 calls it. NULL: there is no price.
    currency: Mapped[str | None] = mapped_column(String(3))

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


def _key_of_user() -> Mapped[int]:
    return mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)


def _digest() -> Mapped[str]:
    """Return a column for the SHA-256, in hexadecimal, of a secret of at least 128 random bits."""
    return mapped_column(String(DIGEST_LENGTH), unique=True, index=True)


class PersonalToken(sql_db.Model):  # type: ignore[name-defined]
    """A token that a user has made for a program, which may do what is named in it, and never more than the user."""

    __tablename__ = "personal_token"
    __table_args__ = (
        {"sqlite_autoincrement": True},
    )  # or else the audit would know two tokens by one number

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    user_id: Mapped[int] = _key_of_user()
    name: Mapped[str] = mapped_column(String(TOKEN_NAME_LENGTH))
    digest: Mapped[str] = _digest()
    # Words with blanks between them: ``search``, ``register``, ``admin``.
    may: Mapped[str] = mapped_column(String(32))
    # JSON list of base URIs. NULL: all that the user may use.
    base_uris: Mapped[str | None] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))
    # Seconds since the epoch, UTC.
    created_at: Mapped[int] = mapped_column(BigInteger)
    # NULL: never.
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    # To some minutes. NULL: it was not used yet.
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class BrowserSession(sql_db.Model):  # type: ignore[name-defined]
    """A user who has signed in with a browser. Times are seconds since the epoch, UTC."""

    __tablename__ = "browser_session"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    user_id: Mapped[int] = _key_of_user()
    digest: Mapped[str] = _digest()
    # How the user signed in: ``password``, ``link``, ``ldap``, or ``oidc:`` and the name of a provider.
    means: Mapped[str] = mapped_column(String(SOURCE_LENGTH))
    created_at: Mapped[int] = mapped_column(BigInteger)
    # To some minutes.
    last_used_at: Mapped[int] = mapped_column(BigInteger)
    # Of the client that signed in.
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    agent: Mapped[str] = mapped_column(String(255))
    # Of the provider, to be shown to it when the user signs out. NULL: there is none.
    id_token: Mapped[str | None] = mapped_column(Text)


class LoginLink(sql_db.Model):  # type: ignore[name-defined]
    """An address that signs its holder in as a user, once. Times are seconds since the epoch, UTC."""

    __tablename__ = "login_link"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    user_id: Mapped[int] = _key_of_user()
    digest: Mapped[str] = _digest()
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)


class KeptSearch(sql_db.Model):  # type: ignore[name-defined]
    """A search that a user has named, to ask for it again."""

    __tablename__ = "kept_search"
    __table_args__ = (UniqueConstraint("user_id", "name", name="uq_kept_search_name"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    # The constraint is an index that begins with it.
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(_folded_text(SEARCH_NAME_LENGTH))
    # A query string as ``GET /uris`` takes it, percent-encoded.
    query: Mapped[str] = mapped_column(Text)
    # Seconds since the epoch, UTC.
    created_at: Mapped[int] = mapped_column(BigInteger)


class SignInAttempt(sql_db.Model):  # type: ignore[name-defined]
    """An attempt to sign in with a password, or another secret that could be guessed.

    It refers to no user: names that nobody has are counted, too.
    """

    __tablename__ = "sign_in_attempt"
    __table_args__ = (
        Index("ix_sign_in_attempt_name_key", "name_key", "at"),
        Index("ix_sign_in_attempt_address", "address", "at"),
        Index("ix_sign_in_attempt_at", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    # SHA-256, in hexadecimal, of the name without the difference of upper and lower case: people type passwords there.
    name_key: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    # IPv4, or the first 64 bits of IPv6, of which a client usually has all others.
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    # Seconds since the epoch, UTC.
    at: Mapped[int] = mapped_column(BigInteger)
    has_succeeded: Mapped[bool] = mapped_column(Boolean)


class SpentSignIn(sql_db.Model):  # type: ignore[name-defined]
    """A sign-in with a provider of OpenID Connect that has come to an end, and cannot do so again."""

    __tablename__ = "spent_sign_in"
    __table_args__ = (Index("ix_spent_sign_in_spent_at", "spent_at"),)

    # SHA-256, in hexadecimal, of what it is known by.
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH), primary_key=True)
    # Seconds since the epoch, UTC.
    spent_at: Mapped[int] = mapped_column(BigInteger)


def _folded_name_of_row(context: Any) -> str:
    return completion_key(context.get_current_parameters().get("name") or "")


class Dataset(sql_db.Model):  # type: ignore[name-defined]
    """One dataset in one base URI; a copy elsewhere has the same UUID and a row of its own."""

    __tablename__ = "dataset"
    __table_args__ = (
        Index("ix_dataset_base_uri_id_uri", "base_uri_id", "uri"),
        Index("ix_dataset_base_uri_id_folded_name", "base_uri_id", "folded_name"),
        Index("ix_dataset_uuid_base_uri_id", "uuid", "base_uri_id"),
        Index("ix_dataset_lacks_base_uri_id", "lacks", "base_uri_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    base_uri_id: Mapped[int] = mapped_column(ForeignKey("base_uri.id"))
    uri: Mapped[str] = mapped_column(_URI, unique=True, index=True)
    uuid: Mapped[str] = mapped_column(_sorted_text(36))
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
    # NULL: not registered from storage, or from storage that cannot tell.
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    # By which the name is completed while somebody types it.
    folded_name: Mapped[str] = mapped_column(
        _folded_text(COMPLETION_KEY_LENGTH), default=_folded_name_of_row, server_default=text("''")
    )

    # What its description lacks, as a number (see dataset/lacking.py). NULL: nobody has looked yet.
    lacks: Mapped[int | None] = mapped_column(SmallInteger)

    base_uri: Mapped[BaseURI] = relationship(back_populates="datasets")

    @validates("name")
    def _fold_name(self, _attribute: str, name: str) -> str:
        self.folded_name = completion_key(name or "")
        return name

    def __repr__(self) -> str:
        return f"<Dataset {self.uri}>"

    def as_dict(self) -> dict[str, Any]:
        """Return the dataset object of the REST API; times are seconds since the epoch, UTC."""
        found = {key: getattr(self, key) for key in DATASET_KEYS} | {"base_uri": self.base_uri.base_uri}
        return found | {key: stored_timestamp(found[key]) for key in TIMES}


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
        _index_by_beginning("ix_audit_subject", "subject", "at", "id"),
        _index_by_beginning("ix_audit_base_uri", "base_uri", "at", "id"),
        {"sqlite_autoincrement": True},  # or else the number of a record that was pruned would come again
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[Any] = mapped_column(_DateTime)
    # A user name, or ``operator:`` and a name at the operating system. NULL: a client without a token.
    actor: Mapped[str | None] = mapped_column(String(CREATOR_LENGTH))
    action: Mapped[str] = mapped_column(String(ACTION_LENGTH))
    # A user name, a base URI or the URI of a dataset. NULL: the act is about the server as a whole.
    subject: Mapped[str | None] = mapped_column(String(URI_LENGTH))
    # The base URI that the act has to do with. NULL: it has to do with none.
    base_uri: Mapped[str | None] = mapped_column(String(URI_LENGTH))
    # JSON object.
    details: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))
    # The address of a client, or ``command line``, or ``python``.
    origin: Mapped[str] = mapped_column(String(ORIGIN_LENGTH))
    # NULL: it was no request.
    request_id: Mapped[str | None] = mapped_column(String(REQUEST_ID_LENGTH))
    # What the request was made with, such as ``token 12``. NULL: a token that allows all that its user may do.
    credential: Mapped[str | None] = mapped_column(String(SOURCE_LENGTH))


class DatasetTag(sql_db.Model):  # type: ignore[name-defined]
    """A tag of a dataset; ``position`` keeps the order in which the tags were given."""

    __tablename__ = "dataset_tag"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(TAG_LENGTH), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(Integer)


class SummaryCount(sql_db.Model):  # type: ignore[name-defined]
    """Number and size of the datasets of one base URI that share a creator, tag, uploader, month, or what they lack.

    Kept by every write, in its transaction. Sizes are summed in two parts, ``size_in_bytes // 2**32`` and the rest,
    because a sum of 63-bit numbers has no room in a 64-bit column. ``kind`` is ``base_uri`` (one row with the
    primary key as its value: the total), ``creator``, ``tag``, ``uploader``, ``month`` (of freezing), ``items`` (with
    their number in place of the size), or begins with ``-``: the datasets of a creator that lack something (see
    catalog/summary.py). A row that counts nothing is deleted.
    """

    __tablename__ = "summary_count"
    # In the order of the primary key, in which it is read: sums need no sorting.
    __table_args__ = (
        Index("ix_summary_count_kind_base_uri_id_folded", "kind", "base_uri_id", "folded"),
        {"sqlite_with_rowid": False},
    )

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    base_uri_id: Mapped[int] = mapped_column(ForeignKey("base_uri.id", ondelete="CASCADE"), primary_key=True)
    datasets: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"))
    size_high: Mapped[int] = mapped_column(BigInteger)
    size_low: Mapped[int] = mapped_column(BigInteger)
    # By which the value is completed while somebody types it; empty: it is none that is completed.
    folded: Mapped[str] = mapped_column(
        _folded_text(COMPLETION_KEY_LENGTH), default="", server_default=text("''")
    )


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
    # What is outdated is looked for without reading all tokens.
    __table_args__ = (Index("ix_search_document_version", "version"),)

    dataset_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # The columns of the index, one a line, zstandard-compressed.
    tokens: Mapped[bytes] = mapped_column(LargeBinary().with_variant(mysql.LONGBLOB, "mysql", "mariadb"))
    # Of the text analysis that has made them (index_document.VERSION). 1: from before this was noted.
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class SearchNumber(sql_db.Model):  # type: ignore[name-defined]
    """A number in the annotations of a dataset, by which the ``sql`` search plugin finds it."""

    __tablename__ = "search_number"
    __table_args__ = (Index("ix_search_number_name_value", "name", "value"),)

    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    # The name of the annotation, folded.
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[float] = mapped_column(Double(), primary_key=True)


class SearchWord(sql_db.Model):  # type: ignore[name-defined]
    """A word of the vocabulary of the ``sql`` search plugin, as it is spelled."""

    __tablename__ = "search_word"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(_WORD, unique=True)


class SearchWordPlace(sql_db.Model):  # type: ignore[name-defined]
    """That datasets in a base URI have a word, or have had it."""

    __tablename__ = "search_word_place"
    __table_args__ = (
        Index("ix_search_word_place_base_uri_id_word", "base_uri_id", "word"),
        {"sqlite_with_rowid": False},
    )

    word_id: Mapped[int] = mapped_column(
        ForeignKey("search_word.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    base_uri_id: Mapped[int] = mapped_column(
        ForeignKey("base_uri.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    # The word itself, so that those of a base URI can be gone through in their order.
    word: Mapped[str] = mapped_column(_WORD, server_default=text("''"))


class SearchDeletion(sql_db.Model):  # type: ignore[name-defined]
    """What is left of a word when letters are deleted, as a number (see plugins/tokens/vocabulary.py)."""

    __tablename__ = "search_deletion"
    __table_args__ = {"sqlite_with_rowid": False}

    deletion: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    word_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class SearchFacet(sql_db.Model):  # type: ignore[name-defined]
    """What the ``sql`` search plugin counts a dataset under; on PostgreSQL ``search_index`` has it."""

    __tablename__ = "search_facet"

    dataset_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Primary keys of ``search_facet_group``, with commas in between.
    facet_groups: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))


class SearchFacetGroup(sql_db.Model):  # type: ignore[name-defined]
    """Facets that datasets of one base URI have together (see plugins/sql/facets.py), and how many have them.

    It stays when no dataset has them any more.
    """

    __tablename__ = "search_facet_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    # A digest of the base URI and the facets.
    digest: Mapped[str] = mapped_column(String(32), unique=True)
    base_uri_id: Mapped[int] = mapped_column(ForeignKey("base_uri.id", ondelete="CASCADE"), index=True)
    # Tokens (index_document.py), separated by spaces.
    facets: Mapped[str] = mapped_column(Text)
    datasets: Mapped[int] = mapped_column(Integer)


class SearchFacetValue(sql_db.Model):  # type: ignore[name-defined]
    """The creator, uploader, tag or name of an annotation that a facet of the ``sql`` search plugin stands for."""

    __tablename__ = "search_facet_value"

    # The token (index_document.py).
    facet: Mapped[str] = mapped_column(String(32), primary_key=True)
    # JSON string: names of annotations may have characters that a database refuses.
    value: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))


class JournalEntry(sql_db.Model):  # type: ignore[name-defined]
    """A write to stores outside of this database that is not known to be done (see catalog/journal/changes.py)."""

    __tablename__ = "journal_entry"
    __table_args__ = (_index_by_beginning("ix_journal_entry_uri", "uri"),)

    # A UUID in hexadecimal digits, made by the process that begins the write.
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


class Job(sql_db.Model):  # type: ignore[name-defined]
    """Something that is to be done later (see catalog/jobs.py). It is deleted when it is done."""

    __tablename__ = "job"
    # What is due is asked for again and again.
    __table_args__ = (
        Index("ix_job_due_at", "failed_at", "due_at", "id"),
        {"sqlite_autoincrement": True},  # or else the number of a job that is done would come again
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(JOB_KIND_LENGTH))
    # JSON of any kind.
    payload: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT, "mysql", "mariadb"))
    queued_at: Mapped[Any] = mapped_column(_DateTime)
    # When it may be begun; while a worker does it, when the worker's lease ends.
    due_at: Mapped[Any] = mapped_column(_DateTime)
    # How often it has been begun.
    attempts: Mapped[int] = mapped_column(Integer)
    # The worker that does it, in hexadecimal digits. NULL: none.
    holder: Mapped[str | None] = mapped_column(String(32))
    # NULL: it has not failed for good.
    failed_at: Mapped[Any | None] = mapped_column(_DateTime)
    # Why the last attempt failed. NULL: none has.
    error: Mapped[str | None] = mapped_column(Text)


# The full-text index of the ``sql`` search plugin on SQLite; the row id is the dataset's id. Its columns hold
# tokens that dataset/analysis.py made, separated by spaces, so the tokenizer has nothing left to decide:
# every byte beyond ASCII is part of a token, and so are the signs that mark what is no word of a text (see
# plugins/tokens/index_document.py). Without content of its own it needs a third of the space;
# ``search_document`` has it, compressed.
SEARCH_INDEX = "search_index"
CREATE_SEARCH_INDEX = DDL(
    f"CREATE VIRTUAL TABLE IF NOT EXISTS {SEARCH_INDEX} USING fts5("
    "name, tags, lead, readme, annotations, about, files, facets, content='', tokenize=\"ascii tokenchars '_=|'\")"
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

# The full-text index on PostgreSQL: ``plugins/sql/gin.py`` says what is where. Rows stay narrow, because what
# is long is stored apart from them, and a URI (PLAIN) never is, by which most results are sorted. The list of
# entries that are still to be sorted into the index is kept short, for each search goes through it.
CREATE_POSTGRESQL_SEARCH = f"""
CREATE TABLE {SEARCH_INDEX} (
  dataset_id integer PRIMARY KEY REFERENCES dataset (id) ON DELETE CASCADE,
  base_uri_id integer NOT NULL,
  uri text COLLATE "C" NOT NULL,
  texts text NOT NULL,
  words tsvector NOT NULL,
  version smallint NOT NULL DEFAULT 1,
  facet_groups text
) WITH (toast_tuple_target = 128);
ALTER TABLE {SEARCH_INDEX} ALTER COLUMN uri SET STORAGE PLAIN;
ALTER TABLE {SEARCH_INDEX} ALTER COLUMN facet_groups SET STORAGE MAIN;
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


#: Names of the tables that the migrations make; models of extensions, loaded later, add theirs to the metadata.
CORE_TABLES = frozenset(sql_db.metadata.tables)
