"""Taking over a database that the original server made: its rows stay, and get what they lack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, column, delete, func, inspect, select, table, update
from sqlalchemy.schema import CreateTable, DropTable

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, store_writes, summary
from dservercore.catalog.full_documents import document_of
from dservercore.dataset import lacking
from dservercore.db import sql_db
from dservercore.errors import ConflictError, UnknownURIError
from dservercore.models import BaseURI, Dataset, DatasetTag, User
from dservercore.plugin_api import RetrieveABC

_THEIRS = ("user", "base_uri", "dataset", "search_permissions", "register_permissions")
_BATCH = 200  # datasets that share one commit
_SAMPLE = 100  # datasets of which one must have a document

_revision = table("alembic_version", column("version_num"))

# That this table exists says that the database is being taken over; it has no rows.
_unfinished = Table(db.UNFINISHED, MetaData(), Column("marker", Integer))

Progress = Callable[[], object]


@dataclass(frozen=True)
class Plan:
    """What there is to take over, and what that changes in the SQL database."""

    revision: str | None  # None: without migrations, or with none run
    users: int
    base_uris: int
    new_tables: list[str]
    new_columns: list[str]


def plan() -> Plan | None:
    """Return what there is to do; None if nothing is.

    :raises ConflictError: if the database was not made by the original server
    """
    inspector = inspect(sql_db.engine)
    tables = set(inspector.get_table_names())
    lacking = [name for name in _THEIRS if name not in tables]
    if lacking:
        raise ConflictError(f"This is no database of the original server: it has no table {lacking[0]!r}")
    revision = db.current_revision()
    if revision in db.known_revisions() and not db.is_unfinished():
        return None
    new_columns = []
    for model in (User, BaseURI, Dataset):
        there = {column["name"] for column in inspector.get_columns(model.__tablename__)}
        new_columns += [
            f"{model.__tablename__}.{c.name}" for c in model.__table__.columns if c.name not in there
        ]
    return Plan(
        revision,
        _number(User.__table__),
        _number(BaseURI.__table__),
        sorted(sql_db.metadata.tables.keys() - tables),
        new_columns,
    )


def _number(counted: Any) -> int:
    return sql_db.session.execute(select(func.count()).select_from(counted)).scalar_one()


def number_of_datasets() -> int:
    """Return how many datasets there are."""
    return _number(Dataset.__table__)


def begin() -> None:
    """Note that the database is being taken over, so that nobody serves it before :func:`end`.

    Then let the migrations begin at the first one, which leaves tables and rows that are there as they are. May be
    called again, where it was interrupted.
    """
    sql_db.session.execute(CreateTable(_unfinished, if_not_exists=True))
    db.commit()
    if db.current_revision() not in {None, *db.known_revisions()}:
        sql_db.session.execute(delete(_revision))
        db.commit()


def end() -> None:
    """Note that the database has been taken over completely."""
    sql_db.session.execute(DropTable(_unfinished))
    db.commit()


def require_documents(source: RetrieveABC) -> None:
    """Pass if a plugin describes at least one of the first datasets, before anything is changed.

    :raises ConflictError: if it describes none of them, as where the settings name an empty database
    :raises UnavailableError: if its store cannot be reached
    """
    uris = sql_db.session.execute(select(Dataset.uri).order_by(Dataset.id).limit(_SAMPLE)).scalars().all()
    if not uris:
        return
    name = plugin_host.name_of(source)
    if source.shares_sql_session:
        raise ConflictError(
            f"{name} has no documents of the original: name the mongo plugins, or say --documents-from mongo"
        )
    if not any(_describes(source, uri) for uri in uris):
        raise ConflictError(
            f"{name} has no document of any of the first {len(uris)} datasets: do the settings name the right database?"
        )


def _describes(plugin: RetrieveABC, uri: str) -> bool:
    try:
        plugin.get_readme(uri)
    except UnknownURIError:
        return False
    return True


def complete(told: Progress) -> list[str]:
    """Read the tags of all datasets from the retrieve plugin, and count the summaries anew.

    Return the URIs of the datasets that the retrieve plugin does not have. The caller commits.

    :param told: called after each dataset
    """
    retrieve = plugin_host.plugins().retrieve
    undescribed = []
    db.begin_write()
    for dataset_id, uri in _all_datasets():
        tags: tuple[str, ...] = ()
        lacks = None
        try:
            tags = tuple(dict.fromkeys(retrieve.get_tags(uri)))
            lacks = lacking.with_tags(lacking.of_readme(retrieve.get_readme(uri)), bool(tags))
        except UnknownURIError:
            undescribed.append(uri)
        sql_db.session.execute(delete(DatasetTag).where(DatasetTag.dataset_id == dataset_id))
        dataset_rows.write_tags([(dataset_id, (), tags)])
        sql_db.session.execute(update(Dataset).where(Dataset.id == dataset_id).values(lacks=lacks))
        told()
    summary.recount()
    return undescribed


def count() -> None:
    """Count the summaries anew, of datasets whose tags are not known yet. The caller commits."""
    db.begin_write()
    summary.recount()


def copy_documents(source: RetrieveABC, told: Progress) -> list[str]:
    """Register every dataset in the search and retrieve plugins in use, with its description from *source*.

    Datasets that the retrieve plugin in use describes already are left alone. Commits after each batch: it may be
    interrupted, and repeated. Return the URIs of the datasets that *source* does not have.

    :param source: another retrieve plugin
    :param told: called after each dataset
    """
    missing = []
    retrieve = plugin_host.plugins().retrieve
    for number, (_, uri) in enumerate(_all_datasets(), start=1):
        if _describes(retrieve, uri):
            told()
            continue
        db.begin_write()
        try:
            document = document_of(uri, source)
        except UnknownURIError:
            missing.append(uri)
        else:
            tags = list(dict.fromkeys(document["tags"]))
            registered = dataset_rows.hold_registered(uri)
            if registered:  # nobody has deleted it meanwhile
                dataset_rows.write_tags([(registered.id, registered.tags, tuple(tags))])
                tagged = registered.with_tags(tags)
                summary.count_changes([(registered, tagged)])
                described = tagged.with_readme(lacking.of_readme(document["readme"]))
                dataset_rows.write_lacks([(tagged, described)])
                sql_db.session.flush()
                store_writes.register({**document, "tags": tags})
        told()
        if number % _BATCH == 0:
            db.commit()
    db.commit()
    return missing


def _all_datasets() -> Iterator[tuple[int, str]]:
    rows = sql_db.session.execute(select(Dataset.id, Dataset.uri).order_by(Dataset.id)).all()
    yield from ((row.id, row.uri) for row in rows)
