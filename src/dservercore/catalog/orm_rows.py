"""The rows of users, base URIs and datasets as SQLAlchemy objects, for plugins that work on the tables themselves.

What is written here, or deleted through the model :class:`Dataset`, leaves the summaries and the other stores right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import event, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session, joinedload

from dservercore import db, plugin_host
from dservercore.catalog import base_uris, dataset_rows, deletion, events, store_writes, summary
from dservercore.catalog.datasets import Document, Registered
from dservercore.catalog.journal import changes
from dservercore.catalog.scope import Scope
from dservercore.dataset.document import checked, checked_upload
from dservercore.dataset.fields import FIELDS
from dservercore.dataset.times import extract_created_at_as_datetime, extract_frozen_at_as_datetime, utcnow
from dservercore.db import registered_names, sql_db
from dservercore.errors import AuthenticationError, UnknownBaseURIError, UnknownURIError
from dservercore.models import BaseURI, Dataset, User

# What a document says where only its row is written.
_NO_DESCRIPTION = {"type": "dataset", "readme": "", "manifest": {"items": {}}, "annotations": {}}


# Reading


def get_user(username: str) -> User:
    """Return the row of the user of that name.

    :raises AuthenticationError: if nobody is registered under it
    """
    user = _one(select(User).where(User.username == registered_names.spelling(username)))
    if user is None:
        raise AuthenticationError(f"User {username!r} is not registered")
    return user


def get_base_uri(base_uri: str) -> BaseURI:
    """Return the row of a base URI.

    :raises UnknownBaseURIError: if it is not registered
    """
    found = _one(select(BaseURI).where(BaseURI.base_uri == base_uri))
    if found is None:
        raise UnknownBaseURIError(f"Base URI {base_uri!r} is not registered")
    return found


def get_dataset(uri: str) -> Dataset:
    """Return the row of a dataset.

    :raises UnknownURIError: if it is not registered
    """
    found = _one(select(Dataset).where(Dataset.uri == uri))
    if found is None:
        raise UnknownURIError(f"No dataset is registered as {uri}")
    return found


def _one(statement: Any) -> Any:
    return sql_db.session.execute(statement.execution_options(populate_existing=True)).scalar_one_or_none()


def of_objects(found: Iterable[Mapping[str, Any]]) -> list[Dataset]:
    """Return the rows of the datasets that dataset objects (as of ``lookup.list_datasets``) describe, in order."""
    uris = [dataset["uri"] for dataset in found]
    rows: dict[str, Dataset] = {}
    for some in db.batched(uris):
        statement = (
            select(Dataset)
            .options(joinedload(Dataset.base_uri))
            .where(Dataset.uri.in_(some))
            .execution_options(populate_existing=True)
        )
        rows |= {row.uri: row for row in sql_db.session.execute(statement).scalars()}
    return [rows[uri] for uri in uris]


# Writing the row of a dataset, and nothing in any other store


def new_dataset(admin_metadata: Mapping[str, Any]) -> Dataset:
    """Return the row of a dataset, without storing it; :func:`put_admin_metadata` stores rows.

    :param admin_metadata: the fields of a dataset object, and ``uploaded_by`` and ``uploaded_at`` if known
    :raises UnknownBaseURIError: if its base URI is not registered
    """
    uploaded_by, uploaded_at = checked_upload(admin_metadata)
    given = {
        field.name: admin_metadata[field.name] if field.is_required else admin_metadata.get(field.name)
        for field in FIELDS
        if field.is_given and field.name != "base_uri"
    }
    return Dataset(
        **given
        | {
            "base_uri_id": base_uris.get_id(admin_metadata["base_uri"]),
            "frozen_at": extract_frozen_at_as_datetime(admin_metadata),
            "created_at": extract_created_at_as_datetime(admin_metadata),
            "uploaded_by": uploaded_by,
            "uploaded_at": uploaded_at,
        }
    )


def put_admin_metadata(scope: Scope, admin_metadata: Mapping[str, Any]) -> str:
    """Insert or replace the row of a dataset; its tags stay as they are. Return its URI.

    :param admin_metadata: ``base_uri``, ``uri``, ``uuid``, ``name``, ``creator_username``, ``frozen_at`` and what else
        a dataset object has
    :raises AuthorizationError: if *scope* does not have the base URI
    :raises ValidationError: if one of these is not acceptable
    """
    if "base_uri" in admin_metadata:
        scope.require(admin_metadata["base_uri"])
    document = checked({**_NO_DESCRIPTION, **admin_metadata, "tags": []})
    uploaded_by, uploaded_at = checked_upload(admin_metadata)
    db.begin_write()
    registered = dataset_rows.hold_registered(document["uri"])
    document |= {
        "tags": registered.tags if registered else (),
        "uploaded_by": uploaded_by,
        "uploaded_at": uploaded_at or utcnow(),
    }
    uri: str = document["uri"]
    before = {uri: registered} if registered else {}
    lacks = registered.lacks if registered else None  # what its README says is not said here
    dataset_rows.write_rows({uri: Document(document, lacks=lacks)}, scope.base_uris, before)
    return uri


def delete_admin_metadata(uri: str) -> None:
    """Delete the row of a dataset and what hangs on it in the SQL database; no error if there is none."""
    db.begin_write()
    registered = dataset_rows.hold_registered(uri)
    if registered:
        store_writes.delete_from_sql(registered.former)
        dataset_rows.remove_row(registered)
        deletion.record_deletion(registered)


def delete(uri: str) -> None:
    """Delete a dataset from every store; no error if it is not registered."""
    store_writes.begin()
    registered = dataset_rows.hold_registered(uri)
    if registered:
        deletion.remove([registered])
        deletion.record_deletion(registered)


# What plugins delete through the session


def watch_deletions() -> None:
    """From now on, delete from every store what is deleted through the model :class:`Dataset`.

    That is ``session.query(Dataset).filter(...).delete()``, ``session.execute(delete(Dataset)...)`` and
    ``session.delete(dataset)``. The published notification plugin does the first. A dataset that is added with
    ``session.add(dataset)`` is counted in the summaries, and no other store has it. The names of users who are deleted
    through the model :class:`User` are noted, and a user who is renamed cannot use tokens of an earlier namesake.
    """
    if not event.contains(sql_db.session, "do_orm_execute", _before_bulk_deletion):
        event.listen(sql_db.session, "do_orm_execute", _before_bulk_deletion)
        event.listen(sql_db.session, "before_flush", _before_flush)
        event.listen(sql_db.session, "after_flush", _after_flush)


def _before_bulk_deletion(state: ORMExecuteState) -> None:
    if not state.is_delete or state.bind_mapper not in (inspect(Dataset), inspect(User)):
        return
    is_of_users = state.bind_mapper is inspect(User)
    doomed = select(User.username if is_of_users else Dataset.uri)
    condition = state.statement.whereclause  # type: ignore[attr-defined]
    if condition is not None:
        doomed = doomed.where(condition)
    names = state.session.execute(doomed, state.parameters).scalars().all()
    if is_of_users:
        registered_names.note_deletion(names if plugin_host.is_at_home() else ())
    else:
        _clear(names)


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    _clear([row.uri for row in session.deleted if isinstance(row, Dataset)])
    if plugin_host.is_at_home():
        registered_names.note_deletion([row.username for row in session.deleted if isinstance(row, User)])
        for row in session.dirty:
            if isinstance(row, User) and inspect(row).attrs.username.history.has_changes():
                _note_another_name(session, row)


def _note_another_name(session: Session, user: User) -> None:
    table = User.__table__
    former = session.execute(select(table.c.username).where(table.c.id == user.id)).scalar()
    if former and former != user.username:
        registered_names.note_deletion([former])
        since = registered_names.since(session.connection(), user.username)
        user.tokens_since = user.tokens_since if since is None else since


def _after_flush(session: Session, _context: Any) -> None:
    for row in session.new if plugin_host.is_at_home() else ():
        if isinstance(row, Dataset):
            summary.count_changes([(None, Registered.of(row, tags=()))])
            events.registered(row.uri, row.uuid)


def _clear(uris: Iterable[str]) -> None:
    """Delete everything of these datasets but their rows, which the statement at hand deletes."""
    for uri in uris if plugin_host.is_at_home() else ():
        store_writes.begin()
        registered = dataset_rows.hold_registered(uri)
        if registered:
            changes.delete_from_stores([registered.former])
            dataset_rows.uncount(registered)
            deletion.record_deletion(registered)
