"""The bundled extension ``query``: answers queries in the language of MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from flask import Flask, current_app

from dservercore.catalog import jobs
from dservercore.catalog.scope import Scope
from dservercore.plugin_api import ExtensionABC, JobHandler
from dservercore.plugins.query import models as models
from dservercore.plugins.query import store as stores
from dservercore.plugins.query.commands import query_cli
from dservercore.plugins.query.settings import MONGO_SETTINGS, SETTINGS, uses_mongo
from dservercore.settings.table import Setting

if TYPE_CHECKING:
    from dservercore.rest.blueprint import Blueprint


class Query(ExtensionABC):
    """Answers queries in the language of MongoDB."""

    version_key = "dserver_direct_mongo_plugin"

    #: A request only reads; what it brings to MongoDB on the way is brought again.
    repeatable = True

    def __init__(self) -> None:
        self._store: Any = None

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the settings that say where documents are, which may have passwords in them."""
        return list(MONGO_SETTINGS)

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:
        """Choose the store of documents that *app* is configured for.

        :raises ConfigurationError: if it cannot be used
        """
        if uses_mongo(app.config):
            self._store = _module("mongo.store").MongoDocumentStore()
            self._store.init_app(app)
        else:
            _module("sql.databases").require_supported(app.config["SQLALCHEMY_DATABASE_URI"])
            self._store = _module("sql.store").SqlDocumentStore()
        stores.use(app, self._store)

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Take the document of a dataset."""
        self._store.put_all([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Take the documents of datasets that are registered together."""
        self._store.put_all(dataset_infos)

    def delete_dataset(self, uri: str) -> None:
        """Forget a dataset."""
        self._store.remove(uri)

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the document of a dataset is what queries are about, or is still to be brought to MongoDB."""
        return bool(self._store.holds(dataset_info))

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/mongo``."""
        return cast("Blueprint", _module("routes").blueprint)

    def understands(self, text: str) -> bool:
        """Return whether a text begins as a structured query does, if those are answered."""
        return text.startswith("{") and bool(current_app.config["DSERVER_ALLOW_DIRECT_QUERY"])

    def find_datasets(
        self,
        text: str,
        scope: Scope,
        filters: Mapping[str, Sequence[str]],
        order: Mapping[str, int],
        page: slice,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page of the datasets that match a structured query, and how many do."""
        found: tuple[list[dict[str, Any]], int] = _module("service").query_text(
            text, scope, filters, order, page
        )
        return found

    def get_commands(self) -> Sequence[click.Command]:
        """Return ``flask query``."""
        return [query_cli]

    def get_migrations(self) -> Path:
        """Return the migrations of the tables of documents, which are empty where MongoDB has those."""
        return Path(__file__).parent / "migrations"

    def get_job_handlers(self) -> Mapping[str, JobHandler]:
        """Return what brings documents to MongoDB, outside of the transaction, and what makes missing ones."""
        return {stores.BRING: self._bring, stores.REBUILD: self._rebuild}

    def before_serving(self) -> None:
        """Have documents made of datasets that have none."""
        _module("rebuilding").begin_if_needed(self._store)

    def _rebuild(self, payload: Any) -> None:
        if not uses_mongo(current_app.config):
            _module("rebuilding").rebuild_batch(self._store, payload)
        elif (last := _module("mongo.pending").bring_next(self._store, payload["after"])) is not None:
            jobs.enqueue(stores.REBUILD, {"after": last})

    def _bring(self, payload: Any) -> None:
        kept_in_mongo = uses_mongo(current_app.config)
        _module("mongo.pending").do(self._store if kept_in_mongo else None, payload)


def _module(name: str) -> Any:
    """Return what requests and jobs need: a short command does without it, and starts sooner."""
    return import_module(f"{__name__}.{name}")
