"""Registering, finding, listing, searching and deleting datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, bindparam, delete, select

from dservercore import db, plugin_host, uris
from dservercore.catalog import summary
from dservercore.dataset_info import DATASET_KEYS, DATASET_SORT_FIELDS, checked, checked_uuid, dataset_object
from dservercore.date_utils import timestamp_to_datetime, utcnow
from dservercore.db import sql_db
from dservercore.errors import AuthorizationError, UnknownURIError, ValidationError, invalid
from dservercore.models import BaseURI, Dataset, DatasetTag
from dservercore.scope import Actor, Scope

_columns = {key: BaseURI.base_uri if key == "base_uri" else getattr(Dataset, key) for key in DATASET_KEYS}
_OBJECT = select(*_columns.values(), Dataset.base_uri_id).join(BaseURI, BaseURI.id == Dataset.base_uri_id)
_BY_URI = _OBJECT.where(Dataset.uri == bindparam("uri"))
_BY_UUID = _OBJECT.where(
    Dataset.uuid == bindparam("uuid"), Dataset.base_uri_id.in_(bindparam("ids", expanding=True))
)
_IN_SCOPE = _OBJECT.where(Dataset.base_uri_id.in_(bindparam("ids", expanding=True)))

_COUNTED = select(*summary.COUNTED_COLUMNS).where(Dataset.uri == bindparam("uri"))
_TAGS = (
    select(DatasetTag.tag)
    .where(DatasetTag.dataset_id == bindparam("dataset_id"))
    .order_by(DatasetTag.position, DatasetTag.tag)
)


# Finding


def find(scope: Scope, uri: str) -> dict[str, Any]:
    """Return the dataset object of *uri*.

    :raises AuthorizationError: if its base URI is not in *scope*, whether or not the dataset exists
    :raises UnknownURIError: if it is, and the dataset is not registered
    """
    row = sql_db.session.execute(_BY_URI, {"uri": uri}).first()
    if row is not None and row.base_uri_id in scope.base_uris.values():
        return _as_object(row)
    scope.require(uris.parent(uri))
    if row is not None:
        raise AuthorizationError("The dataset belongs to a base URI without permission")
    raise UnknownURIError(f"No dataset is registered as {uri}")


def stored(uri: str) -> dict[str, Any]:
    """Return the dataset object of a dataset known to be registered, with ``uploaded_at`` as plugins get it."""
    row = sql_db.session.execute(_BY_URI, {"uri": uri}).one()
    return {**_as_object(row), "uploaded_at": row.uploaded_at}


def find_copies(
    scope: Scope, uuid: str, order: Mapping[str, int], page: slice
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the copies in *scope* of the dataset with *uuid*, and how many copies there are.

    :param uuid: in any spelling; one that is no UUID has no copies
    """
    try:
        parameters = {"uuid": checked_uuid(uuid), "ids": scope.ids}
    except ValidationError:
        return [], 0
    # There are as many copies as places to keep them: few enough to count by fetching them.
    rows = sql_db.session.execute(_ordered(_BY_UUID, order), parameters).all()
    return [_as_object(row) for row in rows[page]], len(rows)


def list_datasets(
    scope: Scope, order: Mapping[str, int], page: slice | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the datasets in *scope*, and how many there are.

    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    """
    statement = _ordered(_IN_SCOPE, order)
    if page:
        statement = statement.offset(page.start).limit(page.stop - page.start)
    rows = sql_db.session.execute(statement, {"ids": scope.ids}).all()
    return [_as_object(row) for row in rows], summary.number_of_datasets(scope)


def filters_anything(query: Mapping[str, Any]) -> bool:
    """Return whether *query* asks for less than everything in scope; an empty list does so for ``base_uris`` alone."""
    return any(value != [] or key == "base_uris" for key, value in query.items())


def search(
    scope: Scope, query: Mapping[str, Any], pagination_parameters: Any = None, sort_parameters: Any = None
) -> list[dict[str, Any]]:
    """Return one page of the datasets in *scope* that match *query*; the plugin sets ``item_count`` on the pagination.

    :param query: ``free_text`` and filters; an empty list filters nothing, except that ``base_uris: []`` finds nothing
    """
    asked = query.get("base_uris")
    permitted = scope if asked is None else scope.narrowed_to(asked)
    if not permitted.base_uris:
        if pagination_parameters is not None:
            pagination_parameters.item_count = 0
        return []
    filters = {key: value for key, value in query.items() if value != [] and value is not None}
    filters["base_uris"] = list(permitted.base_uris)
    found = plugin_host.plugins().search.search(
        filters, pagination_parameters=pagination_parameters, sort_parameters=sort_parameters
    )
    return [dataset_object(dataset) for dataset in found]


def _ordered(statement: Select[Any], order: Mapping[str, int]) -> Select[Any]:
    unknown = set(order) - set(DATASET_SORT_FIELDS)
    if unknown:
        raise invalid("sort", f"cannot sort by {', '.join(sorted(unknown))}")
    keys = [
        _columns[field].desc() if direction < 0 else _columns[field] for field, direction in order.items()
    ]
    return statement.order_by(*keys, *([] if "uri" in order else [Dataset.uri]))


def _as_object(row: Any) -> dict[str, Any]:
    return dataset_object(row._mapping)


# Registering


def register_dataset(
    actor: Actor, scope: Scope, info: Mapping[str, Any], fingerprint: str | None = None
) -> bool:
    """Store a dataset's document everywhere, or replace the one of the same URI. Return whether it is new.

    :param scope: the base URIs in which *actor* may register
    :param info: the document (see ``dataset_info``)
    :param fingerprint: what its storage looked like, if it was read from there
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    """
    document = checked(info)
    scope.require(document["base_uri"])
    document["uploaded_by"] = actor.username
    document["uploaded_at"] = utcnow()
    db.begin_write()
    _, before = counted(document["uri"]) or (None, None)
    after = _count_of(document, scope.base_uris[document["base_uri"]])
    if before and before.base_uri_id != after.base_uri_id:
        raise AuthorizationError("The dataset is registered in another base URI")
    dataset_id = _write_row(document, after.base_uri_id, fingerprint)
    write_tags(dataset_id, before.tags if before else (), after.tags)
    summary.count_change(before, after)
    plugin_host.register(document)
    return before is None


def _write_row(document: Mapping[str, Any], base_uri_id: int, fingerprint: str | None) -> int:
    """Insert or replace the dataset's row; return its primary key."""
    values = {key: document[key] for key in DATASET_KEYS if key != "base_uri"}
    values |= {
        "base_uri_id": base_uri_id,
        "frozen_at": timestamp_to_datetime(document["frozen_at"]),
        "created_at": timestamp_to_datetime(document["created_at"]),
        "fingerprint": fingerprint,
    }
    upsert = db.insert(Dataset.__table__).values(values)
    return sql_db.session.execute(
        upsert.on_conflict_do_update(index_elements=["uri"], set_=values).returning(Dataset.__table__.c.id)
    ).scalar_one()


def write_tags(dataset_id: int, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Replace the tag rows of a dataset, if they differ."""
    if before == after:
        return
    if before:
        sql_db.session.execute(delete(DatasetTag).where(DatasetTag.dataset_id == dataset_id))
    if after:
        rows = [{"dataset_id": dataset_id, "tag": tag, "position": n} for n, tag in enumerate(after)]
        sql_db.session.execute(db.insert(DatasetTag.__table__).values(rows))


def counted(uri: str) -> tuple[int, summary.Counted] | None:
    """Return the primary key of a dataset and what it counts under now; None if it is not registered."""
    row = sql_db.session.execute(_COUNTED, {"uri": uri}).first()
    if row is None:
        return None
    tags = sql_db.session.execute(_TAGS, {"dataset_id": row.id}).scalars()
    return row.id, summary.Counted.of(row, tags)


def _count_of(document: Mapping[str, Any], base_uri_id: int) -> summary.Counted:
    return summary.Counted(
        base_uri_id,
        document["creator_username"],
        document["size_in_bytes"],
        document["uploaded_by"],
        tuple(document["tags"]),
    )


# Deleting


def delete_dataset(scope: Scope, uri: str) -> bool:
    """Remove the dataset from every store. Return whether there was one.

    :param scope: the base URIs in which the actor may register
    :raises AuthorizationError: if the dataset's base URI, or that of *uri*, is not in *scope*
    """
    db.begin_write()
    found = counted(uri)
    if found is None:
        scope.require(uris.parent(uri))
        return False
    if found[1].base_uri_id not in scope.base_uris.values():
        raise AuthorizationError("No register permission on the base URI of the dataset")
    remove(uri, *found)
    return True


def delete_all_in(base_uri_id: int) -> int:
    """Remove every dataset of a base URI from every store. Return how many there were."""
    found = (
        sql_db.session.execute(select(Dataset.uri).where(Dataset.base_uri_id == base_uri_id)).scalars().all()
    )
    for uri in found:
        registered = counted(uri)
        if registered:
            remove(uri, *registered)
    return len(found)


def remove(uri: str, dataset_id: int, before: summary.Counted) -> None:
    """Remove one dataset, known to exist, from every store."""
    plugin_host.delete(uri)
    sql_db.session.execute(delete(DatasetTag).where(DatasetTag.dataset_id == dataset_id))
    sql_db.session.execute(delete(Dataset).where(Dataset.id == dataset_id))
    summary.count_change(before, None)
