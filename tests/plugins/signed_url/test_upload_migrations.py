"""The table of pending uploads, on a new database and on one that the original server has made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from flask import Flask
from sqlalchemy import text

from dservercore import create_app
from dservercore.catalog.scope import Actor
from dservercore.db import commit, rollback, sql_db, upgrade_branches
from dservercore.errors import ConflictError, UnknownUploadError
from dservercore.plugins.signed_url import pending
from dservercore.plugins.signed_url.announced import announced
from support.databases import new_database, on_other_stores
from support.mongod import mongo_plugins

from .uploader import announcement, item

# What the original server makes, as far as that is known: with a number as primary key.
FORMER_TABLE = {
    "sqlite": "id INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "id SERIAL PRIMARY KEY",
    "mariadb": "id INTEGER PRIMARY KEY AUTO_INCREMENT",
}
FORMER_COLUMNS = (
    "uuid VARCHAR(36) UNIQUE, uri VARCHAR(255), base_uri VARCHAR(255), name VARCHAR(80),"
    " creator_username VARCHAR(255), created_at {float}, frozen_at {float}, manifest JSON"
)
UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql", "mariadb")])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Flask]:
    if kind == "sqlite":
        yield from in_context(f"sqlite:///{tmp_path / 'app.db'}")
        return
    stores = {}
    if kind == "mariadb":  # where another plugin searches
        stores = mongo_plugins(request.getfixturevalue("mongod").uri, f"uploads_{uuid4().hex}")
    with new_database(kind) as address:
        yield from in_context(address, **stores)


def in_context(address: str, **stores: Any) -> Iterator[Flask]:
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": address,
            "SECRET_KEY": "a secret of no less than 32 characters",
            "JWT_ALGORITHM": "HS256",
            "JWT_SECRET_KEY": "a secret of no less than 32 characters",
            "DSERVER_EXTENSIONS": ["signed_url"],
            **stores,
        }
    )
    with app.app_context():
        yield app
        sql_db.session.remove()
        sql_db.engine.dispose()


def differences() -> list[Any]:
    """Return what the models have otherwise than the database."""
    with sql_db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_object": lambda _o, name, kind, *_: kind != "table" or name == "pending_upload",
            },
        )
        return [each for each in compare_metadata(context, sql_db.metadata) if "pending_upload" in str(each)]


def test_the_migrations_make_what_the_model_says(app: Flask) -> None:
    assert upgrade_branches() == ["dserver_signed_url_plugin"]
    assert differences() == []
    assert upgrade_branches() == []


def test_rows_of_the_original_server_stay(app: Flask, kind: str) -> None:
    columns = FORMER_COLUMNS.format(float="DOUBLE PRECISION")
    with sql_db.engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE pending_upload ({FORMER_TABLE[kind]}, {columns})"))
        connection.execute(text("CREATE INDEX ix_pending_upload_base_uri ON pending_upload (base_uri)"))
        connection.execute(
            text(
                "INSERT INTO pending_upload"
                " (uuid, uri, base_uri, name, creator_username, created_at, frozen_at, manifest)"
                f" VALUES ('{UUID}', 's3://b/{UUID}', 's3://b', 'peas', 'olga', 1536832115.5, 1536832115.25, :m)"
            ),
            {"m": '{"items": {}, "hash_function": "md5sum_hexdigest", "dtoolcore_version": "3"}'},
        )
    upgrade_branches()
    assert differences() == []
    found = pending.find(f"s3://b/{UUID}")
    assert found is not None
    assert (found.uuid, found.name, found.created_at, found.frozen_at) == (
        UUID,
        "peas",
        1536832115.5,
        1536832115.25,
    )
    assert (found.manifest["items"], found.is_described) == ({}, False)


def test_uploads_are_entered_and_left_on_every_database(app: Flask) -> None:
    sql_db.create_all()
    actor = Actor("carl")
    given = announcement(item("a/ü.txt", b"x"), uuid=UUID, tags=["beans"])
    first, before = pending.enter(actor, announced("s3://b", given, 10))
    assert (first.uri, before) == (f"s3://b/{UUID}", None)
    commit()
    with pytest.raises(ConflictError):
        pending.enter(actor, announced("s3://other", given, 10))
    rollback()
    pending.require(first.uri, first.digest)
    with pytest.raises(ConflictError):
        pending.require(first.uri, "0")
    with pytest.raises(UnknownUploadError):
        pending.require(first.uri.upper(), first.digest)
    second, before = pending.enter(actor, announced("s3://b", {**given, "tags": []}, 10))
    assert (before, second.items, second.description["tags"]) == (first, first.items, [])
    commit()
    assert pending.find(first.uri) == pending.find_by_uuid(UUID) == second
    assert [one.uri for one in pending.list_pending(second.created_at + 1)] == [first.uri]
    assert pending.list_pending(second.created_at) == []
    assert not pending.leave_unchanged(first)
    assert pending.leave_unchanged(second)
    assert not pending.leave(UUID)
    commit()
