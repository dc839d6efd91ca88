"""The migrations make the tables that the models describe, on each database, and take them away again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from flask import Flask
from sqlalchemy import inspect

from dservercore import create_app, sql_db
from dservercore.db import revisions
from support.databases import new_database, on_other_stores
from support.mongod import mongo_plugins

OURS = {"notification_dataset", "notification_bucket"}


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql", "mariadb")])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    settings: dict[str, Any] = {"DSERVER_EXTENSIONS": ["notification"], "DSERVER_LOG_LEVEL": "ERROR"}
    if request.param == "mariadb":
        settings |= mongo_plugins(request.getfixturevalue("mongod").uri, "tables_of_notification")
    if request.param == "sqlite":
        app = create_app({**settings, "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'a.db'}"})
        with app.app_context():
            yield app
            sql_db.engine.dispose()
        return
    with new_database(request.param) as address:
        app = create_app({**settings, "SQLALCHEMY_DATABASE_URI": address})
        with app.app_context():
            yield app
            sql_db.session.remove()
            sql_db.engine.dispose()


def differences() -> list[Any]:
    def is_ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
        return kind != "table" or name in OURS

    options = {"compare_type": True, "include_object": is_ours}
    with sql_db.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), sql_db.metadata))


def test_the_migrations_are_in_step_with_the_models(app: Flask) -> None:
    assert len(differences()) == len(OURS)
    revisions.upgrade_branches()
    assert differences() == []
    assert revisions.branches_behind() == []
    (branch,) = app.extensions[revisions._BRANCHES]
    command.downgrade(revisions._config_of(branch), "base")
    assert not OURS & set(inspect(sql_db.engine).get_table_names())
