"""Applications with the extension ``graph``, and datasets that were made from each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask

from dservercore import create_app, db, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR, Scope
from dservercore.plugins.graph import service
from support.databases import do_not_wait_for_the_disk, new_database, on_other_stores
from support.mongod import mongo_plugins
from support.world import BLUE, CHAMPION, READER, RED, dataset_info


def uuid_of(number: int) -> str:
    """The UUID of the dataset with this number."""
    return f"{number:08x}-aaaa-4bbb-8ccc-0123456789ab"


class Family:
    """Datasets by their numbers, which name each other."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.ids = {uri: operator_scope("search").base_uris[uri] for uri in (RED, BLUE)}

    def add(self, number: int, *parents: int, base_uri: str = RED, **changes: Any) -> str:
        """Register a dataset that was made from others, or again; return its URI."""
        listed = "".join(f"  - uuid: {uuid_of(parent)}\n" for parent in parents)
        readme = f"derived_from:\n{listed}" if parents else "description: nothing\n"
        info = dataset_info(base_uri, uuid=uuid_of(number), **{"readme": readme, **changes})
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        return info["uri"]

    def scope(self, *wanted: str) -> Scope:
        """What somebody has who may search these base URIs."""
        return Scope("search", {uri: self.ids[uri] for uri in wanted or (RED, BLUE)})

    def connected(self, number: int, *wanted: str, **options: Any) -> dict[int, list[int]]:
        """Numbers of the datasets that are connected with one, and of those that each names."""
        graph = service.connected(self.scope(*wanted), uuid_of(number), **options)
        return {
            int(node.uuid[:8], 16): [int(uuid[:8], 16) for uuid in node.derived_from]
            for node in graph.nodes.values()
        }


@contextmanager
def graph_app(
    folder: Path, database: str | None = None, is_migrated: bool = False, **config: Any
) -> Iterator[Flask]:
    """An application with the extension, and nothing in it but users and base URIs.

    :param is_migrated: its tables are made by migrations, as commands want it
    """
    app = create_app(
        {
            "SECRET_KEY": "a secret of no less than 32 characters",
            "JWT_ALGORITHM": "HS256",
            "JWT_SECRET_KEY": "a secret of no less than 32 characters",
            "SQLALCHEMY_DATABASE_URI": database or f"sqlite:///{folder / 'graph.db'}",
            "DSERVER_EXTENSIONS": ["graph"],
            "PROPAGATE_EXCEPTIONS": False,
            **config,
        }
    )
    with app.app_context():
        do_not_wait_for_the_disk(sql_db.engine)
        if is_migrated:
            flask_migrate.upgrade()
            db.upgrade_branches()
        else:
            sql_db.create_all()
        users.add_user(CHAMPION)
        users.add_user(READER)
        base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION])
        base_uris.create_base_uri(BLUE, [READER], [])
        sql_db.session.commit()
        yield app
        sql_db.session.remove()
        sql_db.engine.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", *on_other_stores("mariadb")])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    """Datasets on each kind of database. Tests of a module share it, and use numbers of their own."""
    kind = request.param
    stores: dict[str, str] = {}
    if kind == "mariadb":  # which has no search plugin of its own
        stores = mongo_plugins(request.getfixturevalue("mongod").uri, "graph")
    with (
        nullcontext(None) if kind == "sqlite" else new_database(kind) as database,
        graph_app(tmp_path_factory.mktemp("graph"), database, **stores) as app,
    ):
        yield Family(app)
