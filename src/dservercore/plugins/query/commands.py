"""``flask query``: the documents that structured queries are about, and their indexes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
from flask import current_app

from dservercore import db
from dservercore.auth import permissions
from dservercore.catalog import dataset_rows
from dservercore.cli.console import Failure, Group, count_of, require_server, say
from dservercore.cli.progress import Progress
from dservercore.errors import InvalidValueError
from dservercore.plugins.query.settings import uses_mongo
from dservercore.plugins.query.store import store


@click.group(name="query", cls=Group)
def query_cli() -> None:
    """Keep what structured queries are about."""


@query_cli.command(name="rebuild")
@click.option(
    "--missing", is_flag=True, help="Only of datasets that have none (where SQL has the documents)."
)
def rebuild(missing: bool) -> None:
    """Make the documents of all datasets anew.

    Needed once, where there were datasets before the extension was switched on, and where they were edited without it.
    Documents that are missing are made by the server, too, after its start. It may be interrupted and repeated,
    and the server may run meanwhile.

    \b
      flask query rebuild
      flask query rebuild --missing
    """
    require_server()
    documents: Any = store()
    in_mongo = uses_mongo(current_app.config)
    uris = documents.missing() if missing and not in_mongo else _all_uris()
    db.rollback()
    with Progress("Documents", len(uris), "datasets") as progress:
        rebuild_in = _module("mongo.pending" if in_mongo else "rebuilding").rebuild
        undescribed = rebuild_in(documents, uris, progress)
    for uri in undescribed:
        say(f"Without a description: {uri}", err=True)
    say(f"Made {count_of(len(uris) - len(undescribed), 'document')}", err=True)


@query_cli.group(name="index", cls=Group)
def index_cli() -> None:
    """Have fields that are asked for often found by an index (where SQL has the documents)."""


@index_cli.command(name="create")
@click.argument("path")
def create(path: str) -> None:
    """Make an index of a field, such as readme.project.

    Comparisons with texts, numbers and truths find datasets by it. It may be interrupted and repeated, and the server
    may run meanwhile.

    \b
      flask query index create readme.project
      flask query index create annotations.soil
    """
    indexes = _indexes()
    if indexes.list_indexes().get(path):
        raise Failure(f"{path} has an index")
    uris = _all_uris()
    db.rollback()
    try:
        with Progress("Index", len(uris), "datasets") as progress:
            _module("rebuilding").create_index(path, uris, progress)
    except InvalidValueError as error:
        raise Failure(error.message.removeprefix("query: ")) from None
    say(f"{path} has an index", err=True)


@index_cli.command(name="list")
def list_() -> None:
    """List the fields that have an index."""
    for path, is_ready in _indexes().list_indexes().items():
        say(path if is_ready else f"{path} (not ready: flask query index create goes on with it)")


@index_cli.command(name="drop")
@click.argument("path")
def drop(path: str) -> None:
    """Drop the index of a field."""
    indexes = _indexes()
    db.begin_write()
    if not indexes.drop_index(path):
        raise Failure(f"{path} has no index")
    db.commit()


def _indexes() -> Any:
    """Return the module of indexes, where SQL has the documents."""
    require_server()
    if uses_mongo(current_app.config):
        documents: Any = store()
        name = documents.connection.collection.name
        raise Failure(f"MongoDB has the documents: make indexes there (db.{name}.createIndex)")
    return _module("sql.indexes")


def _module(name: str) -> Any:
    """Return what these commands alone need: others do without it, and start sooner."""
    return import_module(f"dservercore.plugins.query.{name}")


def _all_uris() -> list[str]:
    return sorted(dataset_rows.uris_in(permissions.operator_scope("search").ids))
