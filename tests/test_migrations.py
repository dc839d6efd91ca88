"""Migrations on each database: from nothing, and from each earlier revision with rows in every table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy.sql.sqltypes import NullType

from dservercore import create_app, sql_db
from dservercore.catalog import base_uris, summary, users
from dservercore.compat.plugin_tables import OWN_MIGRATIONS
from dservercore.dataset.serialization import pack
from dservercore.db import migrations_directory
from dservercore.models import SEARCH_INDEX, SummaryCount
from support.databases import new_database
from support.live_server import environment
from support.mongod import mongo_plugins

REVISIONS = [
    script.revision
    for script in reversed(list(ScriptDirectory(str(migrations_directory())).walk_revisions()))
]
ROWS = 3
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901)

# What a migration may have to read.
MEANINGFUL = {"manifest": pack(b"{}"), "tokens": pack(b"\n" * 6), "annotations": "{}", "kind": "creator"}

# What a migration writes anew, on SQLite: tests/test_index_versions.py looks into it.
REWRITTEN = {"search_document": "tokens"}

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path / 'test.db'}"
        else:
            yield stack.enter_context(new_database(request.param))


@pytest.fixture
def settings(address: str) -> dict[str, str]:
    return {"SQLALCHEMY_DATABASE_URI": address, **mongo_plugins("mongodb://127.0.0.1:1/", "none")}


@pytest.fixture
def app(settings: dict[str, str]) -> Iterator[Flask]:
    app = create_app(settings)
    with app.app_context():
        yield app
        sql_db.session.remove()
        sql_db.engine.dispose()


def tables() -> list[sqlalchemy.Table]:
    """The tables that the database has, those that others point at first; not those of SQLite's text index."""
    found = sqlalchemy.MetaData()
    found.reflect(sql_db.engine, only=lambda name, _: not name.startswith((SEARCH_INDEX, "alembic_")))
    return found.sorted_tables


def fill() -> Rows:
    """Put rows into every table; return all of them."""
    with sql_db.engine.begin() as connection:
        for table in tables():
            for number in range(1, ROWS + 1):
                values = {c.name: value_for(c, number) for c in table.columns if needs_value(c)}
                connection.execute(table.insert(), values)
    return rows()


def needs_value(column: sqlalchemy.Column[Any]) -> bool:
    is_unknown = isinstance(column.type, NullType) or column.computed is not None
    return not (is_unknown and (column.nullable or column.computed is not None))


def value_for(column: sqlalchemy.Column[Any], number: int) -> Any:
    for key in column.foreign_keys:
        return value_for(key.column, number)
    if column.name in MEANINGFUL:
        return MEANINGFUL[column.name]
    kind: type = column.type.python_type
    if kind is bool:
        return number % 2 == 0
    if kind in (int, float, Decimal):
        return number
    if kind is datetime:
        return MOMENT
    if kind is bytes:
        return f"s3://{column.name}/{number}".encode()
    if kind is dict:
        return {}
    text = f"{number} {column.name} \N{GRINNING FACE}"
    return text[: getattr(column.type, "length", None) or 80]


def rows() -> Rows:
    with sql_db.engine.connect() as connection:
        return {
            table.name: [
                {
                    name: bytes(value) if isinstance(value, memoryview) else value
                    for name, value in row.items()
                }
                for row in connection.execute(table.select().order_by(*table.primary_key)).mappings()
            ]
            for table in tables()
        }


def differences() -> list[Any]:
    """Return what autogenerate would change."""

    def is_ours(described: Any, name: str | None, kind: str, *_more: object) -> bool:
        is_of_extension = kind == "table" and described.info.get(OWN_MIGRATIONS)
        return not (is_of_extension or (kind == "table" and name and name.startswith(SEARCH_INDEX)))

    options = {"compare_type": True, "include_object": is_ours}
    with sql_db.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts=options), sql_db.metadata)


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_survive_from_each_revision(app: Flask, revision: str) -> None:
    flask_migrate.upgrade(revision=revision)
    before = fill()
    assert "dataset_document" in before
    flask_migrate.upgrade()
    assert differences() == []
    after = rows()
    for table, stored in before.items():
        assert len(after[table]) >= len(stored) == ROWS
        kinds = {row.get("kind") for row in stored}  # later revisions count more of them
        kept = [row for row in after[table] if table != "summary_count" or row["kind"] in kinds]
        for old, new in zip(stored, kept, strict=False):
            assert {name: new[name] for name in old if name != REWRITTEN.get(table)} == {
                name: value for name, value in old.items() if name != REWRITTEN.get(table)
            }
    flask_migrate.upgrade()
    assert rows() == after


def test_figures_are_counted_of_what_is_there(app: Flask) -> None:
    flask_migrate.upgrade(revision="0016")
    fill()
    flask_migrate.upgrade()
    stored = sql_db.session.execute(sqlalchemy.select(SummaryCount.__table__)).mappings().all()
    new = {"month", "items", "-unread"}
    counted = [
        tuple(sorted((name, str(value)) for name, value in row.items()))
        for row in stored
        if row["kind"] in new
    ]
    summary.recount()
    sql_db.session.flush()
    again = sql_db.session.execute(sqlalchemy.select(SummaryCount.__table__)).mappings().all()
    assert sorted(counted) == sorted(
        tuple(sorted((name, str(value)) for name, value in row.items()))
        for row in again
        if row["kind"] in new
    )
    assert {row["kind"] for row in again} >= new
    sql_db.session.rollback()


def test_the_way_back_removes_everything(app: Flask) -> None:
    flask_migrate.upgrade()
    for revision in reversed([*REVISIONS[:-1]]):
        flask_migrate.downgrade(revision=revision)
    flask_migrate.downgrade(revision="base")
    assert tables() == []
    flask_migrate.upgrade()
    assert differences() == []


def test_two_upgrades_at_once(settings: dict[str, str], tmp_path: Path) -> None:
    """As where an orchestrator starts several servers."""
    command = [sys.executable, "-m", "flask", "db", "upgrade"]
    options: dict[str, Any] = {
        "env": environment(tmp_path, **settings),
        "stderr": subprocess.PIPE,
        "text": True,
    }
    upgrades = [subprocess.Popen(command, **options) for _ in range(2)]
    for upgrade in upgrades:
        _, said = upgrade.communicate(timeout=120)
        assert upgrade.returncode == 0, said
        assert f"at revision {REVISIONS[-1]}" in said


def test_lists_are_sorted_by_code_point_whatever_language_postgresql_sorts_by() -> None:
    names = ["B", "_", "a", "a-b", "ab", "c", "é"]
    english = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C.UTF-8'"
    with new_database("postgresql", options=english) as address:
        app = create_app({"SQLALCHEMY_DATABASE_URI": address})
        with app.app_context():
            by_language = sql_db.session.execute(
                sqlalchemy.text("SELECT name FROM unnest(CAST(:names AS text[])) AS name ORDER BY name"),
                {"names": names},
            )
            assert by_language.scalars().all() != names
            sql_db.session.rollback()
            flask_migrate.upgrade()
            base_uris.create_base_uri("s3://a", [], [])
            for name in names:
                users.add_user(name)
                base_uris.create_base_uri(f"s3://x{name}", [], [])
            sql_db.session.commit()
            assert [user["username"] for user in users.list_users({"username": 1})[0]] == names
            listed = base_uris.list_base_uris({"base_uri": 1})[0]
            assert [found["base_uri"] for found in listed] == ["s3://a", *(f"s3://x{name}" for name in names)]
            sql_db.session.remove()
            sql_db.engine.dispose()
