"""``flask query``: the documents that structured queries are about, and their indexes."""

from __future__ import annotations

import click

from dservercore import db
from dservercore.auth import permissions
from dservercore.catalog import dataset_rows
from dservercore.cli.console import Failure, Group, count_of, require_server, say
from dservercore.cli.progress import Progress
from dservercore.plugins.query import rebuilding, service
from dservercore.plugins.query.language import InvalidQueryError
from dservercore.plugins.query.mongo import pending
from dservercore.plugins.query.mongo.store import MongoDocumentStore
from dservercore.plugins.query.sql import indexes
from dservercore.plugins.query.sql.store import SqlDocumentStore


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
    store = service.store()
    uris = store.missing() if missing and isinstance(store, SqlDocumentStore) else _all_uris()
    db.rollback()
    with Progress("Documents", len(uris), "datasets") as progress:
        if isinstance(store, MongoDocumentStore):
            undescribed = pending.rebuild(store, uris, progress)
        else:
            undescribed = rebuilding.rebuild(store, uris, progress)  # type: ignore[arg-type]
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
    _require_sql()
    if indexes.list_indexes().get(path):
        raise Failure(f"{path} has an index")
    uris = _all_uris()
    db.rollback()
    try:
        with Progress("Index", len(uris), "datasets") as progress:
            rebuilding.create_index(path, uris, progress)
    except InvalidQueryError as error:
        raise Failure(error.message.removeprefix("query: ")) from None
    say(f"{path} has an index", err=True)


@index_cli.command(name="list")
def list_() -> None:
    """List the fields that have an index."""
    _require_sql()
    for path, is_ready in indexes.list_indexes().items():
        say(path if is_ready else f"{path} (not ready: flask query index create goes on with it)")


@index_cli.command(name="drop")
@click.argument("path")
def drop(path: str) -> None:
    """Drop the index of a field."""
    _require_sql()
    db.begin_write()
    if not indexes.drop_index(path):
        raise Failure(f"{path} has no index")
    db.commit()


def _require_sql() -> None:
    require_server()
    store = service.store()
    if isinstance(store, MongoDocumentStore):
        name = store.connection.collection.name
        raise Failure(f"MongoDB has the documents: make indexes there (db.{name}.createIndex)")


def _all_uris() -> list[str]:
    return sorted(dataset_rows.uris_in(permissions.operator_scope("search").ids))
