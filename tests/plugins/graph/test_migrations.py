"""The tables that the migrations of the extension make are those of its models, on each kind of database."""

from __future__ import annotations

import uuid
from contextlib import nullcontext

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dservercore import sql_db
from support.databases import new_database, on_other_stores
from support.mongod import mongo_plugins

from .conftest import Family, graph_app


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", *on_other_stores("mariadb")])
def test_migrations_make_what_the_models_say(kind: str, tmp_path, request) -> None:
    stores = {}
    if kind == "mariadb":
        stores = mongo_plugins(request.getfixturevalue("mongod").uri, f"test_{uuid.uuid4().hex}")
    with (
        nullcontext(None) if kind == "sqlite" else new_database(kind) as database,
        graph_app(tmp_path, database, is_migrated=True, **stores) as app,
    ):

        def is_ours(_object: object, name: str | None, kind: str, *_more: object) -> bool:
            return kind != "table" or bool(name and name.startswith("graph_"))

        options = {"compare_type": True, "include_object": is_ours}
        with sql_db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, sql_db.metadata) == []
        family = Family(app)
        family.add(1)
        family.add(2, 1)
        assert family.connected(1) == {1: [], 2: [1]}
