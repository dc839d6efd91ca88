"""The documents of datasets in the SQL database, beside the datasets' rows."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select, text

from dservercore.catalog.scope import Scope
from dservercore.dataset.fields import DATASET_SORT_FIELDS, TIMES
from dservercore.db import kind, sql_db
from dservercore.models import Dataset
from dservercore.plugins.query import documents
from dservercore.plugins.query.conditions import Filter
from dservercore.plugins.query.expressions import time_limit as context_limit
from dservercore.plugins.query.language import InvalidQueryError
from dservercore.plugins.query.matching import compiled
from dservercore.plugins.query.models import QueryDocument, QueryIndexValue
from dservercore.plugins.query.sql import databases, indexes
from dservercore.plugins.query.sql.databases import Reader
from dservercore.plugins.query.sql.dialect import Parameters, TooComplexError
from dservercore.plugins.query.sql.encoding import decode, encode
from dservercore.plugins.query.sql.translation import Translation
from dservercore.plugins.query.store import Restrictions
from dservercore.plugins.query.time_limit import TimeLimit
from dservercore.plugins.sql.columns import FIELDS, sorted_by

logger = logging.getLogger(__name__)

_dataset = Dataset.__table__
_document = QueryDocument.__table__
_uris: Any = bindparam("uris", expanding=True)
_IDS = select(_dataset.c.uri, _dataset.c.id).where(_dataset.c.uri.in_(_uris))
# SQLite takes tables around CROSS JOIN in this order: so no condition is tried on a document before it is known that
# whoever asks may see the dataset. An expression can take for ever in one text, and so tell by the time what is in it.
_TABLES = "dataset d CROSS JOIN query_document q JOIN base_uri b ON b.id = d.base_uri_id"
# Documents that are read at once, whole.
_AT_ONCE = 100


class SqlDocumentStore:
    """Keeps a document for each dataset, and finds them by a translation of the filter."""

    def __init__(self) -> None:
        self._is_asked_first = True

    # -- Writing

    def put_all(self, dataset_infos: Sequence[Mapping[str, Any]]) -> None:
        """Store the documents of registered datasets, or replace them.

        :param dataset_infos: as plugins are given them when datasets are registered; others are left out
        """
        connection = sql_db.session.connection()
        ids = {
            row.uri: row.id
            for row in connection.execute(_IDS, {"uris": [info["uri"] for info in dataset_infos]})
        }
        self.put_documents(
            {ids[info["uri"]]: documents.document(info) for info in dataset_infos if info["uri"] in ids}
        )

    def put_documents(self, by_id: Mapping[int, dict[str, Any]]) -> None:
        """Store documents, or replace them.

        :param by_id: by the primary key of the dataset
        """
        connection = sql_db.session.connection()
        rows = [{"dataset_id": id_, **_columns(document)} for id_, document in by_id.items()]
        if rows:
            connection.execute(_put(kind()), rows)
            indexes.put(by_id)

    def remove(self, uri: str) -> None:
        """Forget the document of a dataset; no error if there is none."""
        id_ = select(_dataset.c.id).where(_dataset.c.uri == uri).scalar_subquery()
        connection = sql_db.session.connection()
        connection.execute(delete(QueryIndexValue.__table__).where(QueryIndexValue.dataset_id == id_))
        connection.execute(delete(_document).where(_document.c.dataset_id == id_))

    # -- Reading

    def missing(self, after: str = "", most: int | None = None) -> list[str]:
        """Return the URIs of the datasets that have no document, in order; those behind *after*, *most* of them."""
        without = select(_dataset.c.uri).where(
            _dataset.c.uri > after, ~select(1).where(_document.c.dataset_id == _dataset.c.id).exists()
        )
        return list(
            sql_db.session.connection().execute(without.order_by(_dataset.c.uri).limit(most)).scalars()
        )

    def holds(self, dataset_info: Mapping[str, Any]) -> bool:
        """Return whether the stored document of a registered dataset is the one that follows from its description."""
        id_ = sql_db.session.connection().execute(_IDS, {"uris": [dataset_info["uri"]]}).one().id
        stored = _documents(_SessionReader(), array("q", [id_]), with_manifest=True)
        return stored.get(id_) == documents.document(dataset_info)

    def count_missing(self) -> int:
        """Return how many datasets have no document."""
        connection = sql_db.session.connection()
        datasets = connection.execute(select(func.count()).select_from(_dataset)).scalar_one()
        stored = connection.execute(select(func.count()).select_from(_document)).scalar_one()
        return max(0, int(datasets) - int(stored))

    def index_values_of(self, uris: Sequence[str]) -> None:
        """Put into the indexes what is in the documents of datasets."""
        connection = sql_db.session.connection()
        of_uris = connection.execute(_IDS, {"uris": list(uris)})
        ids = array("q", (row.id for row in of_uris))
        rows = _documents(_SessionReader(), ids, with_manifest=True)
        indexes.put(rows)

    def find(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        *,
        sort: Mapping[str, int] | None,
        skip: int,
        limit: int,
        seconds: float,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return one page of the documents that match, without ``manifest``, and how many match in all.

        :param sort: 1 or -1 by field of a dataset object; None: by ``uri``, which also comes last otherwise
        :raises InvalidQueryError: if the filter is too complex, or documents cannot be sorted so
        :raises OutOfTimeError: if it takes longer than *seconds*
        """
        self._warn_of_missing()
        time_limit = TimeLimit(seconds)
        with databases.reader(time_limit) as reader:
            ids = _ids(reader, time_limit, scope, filter, restrictions, sort or {})
            page = ids[skip : skip + limit] if skip < len(ids) else array("q")
            return list(_documents(reader, page).values()), len(ids)

    def _warn_of_missing(self) -> None:
        """Say once what a query cannot find."""
        if self._is_asked_first:
            self._is_asked_first = False
            number = self.count_missing()
            if number:
                logger.warning(
                    "Structured queries do not find %d registered datasets: run `flask query rebuild --missing`",
                    number,
                )

    def stream(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        *,
        most: int,
        seconds: float,
        with_manifest: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents that match, whole, by ``uri``, up to *most* of them.

        :param with_manifest: False: without ``manifest``, which takes the longest to read
        :raises InvalidQueryError: if the filter is too complex
        :raises OutOfTimeError: if it takes longer than *seconds*
        """
        time_limit = TimeLimit(seconds)
        with databases.reader(time_limit) as reader:
            ids = _ids(reader, time_limit, scope, filter, restrictions, {}, most)
        for start in range(0, len(ids), _AT_ONCE):
            with databases.reader(time_limit) as reader:
                some = _documents(reader, ids[start : start + _AT_ONCE], with_manifest=with_manifest)
            yield from some.values()


class _SessionReader:
    """Reads with the session, for as long as it takes."""

    def rows(self, statement: str, values: Mapping[str, Any]) -> Any:
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return sql_db.session.connection().execute(text(statement), lists)


def _put(dialect: str) -> Any:
    def as_json(name: str) -> str:
        return f"CAST(:{name} AS jsonb)" if dialect == "postgresql" else f":{name}"

    return text(
        "INSERT INTO query_document (dataset_id, document, manifest)"
        f" VALUES (:dataset_id, {as_json('document')}, {as_json('manifest')})"
        " ON CONFLICT (dataset_id) DO UPDATE SET document = excluded.document, manifest = excluded.manifest"
    )


def _columns(document: Mapping[str, Any]) -> dict[str, str]:
    return {
        "document": encode({key: value for key, value in document.items() if key != "manifest"}),
        "manifest": encode(document.get("manifest", {})),
    }


def _whole(document: str, manifest: str) -> dict[str, Any]:
    return {**decode(document), "manifest": decode(manifest)}


def _ids(
    reader: Reader,
    limit: TimeLimit,
    scope: Scope,
    filter: Filter,
    restrictions: Restrictions,
    order: Mapping[str, int],
    most: int | None = None,
) -> array[int]:
    """Return the primary keys of the datasets that match, in order."""
    known = indexes.ready_indexes()

    def read(translate: Callable[[Parameters], str], most: int | None) -> array[int]:
        parameters = Parameters()
        statement = _statement(scope, restrictions, translate(parameters), order, most, parameters)
        return databases.ids_of(reader.rows(statement, parameters.values))

    try:
        return read(lambda parameters: _translated(filter, known, parameters), most)
    except TooComplexError:  # no statement has been executed
        pass
    return _tried(reader, limit, read(lambda _parameters: "1 = 1", None), filter, most)


def _tried(reader: Reader, limit: TimeLimit, ids: array[int], filter: Filter, most: int | None) -> array[int]:
    """Return the primary keys of those datasets that match a filter, which is tried on each of their documents."""
    context_limit.set(limit)
    matches = compiled(filter.condition)
    found = array("q")
    for start in range(0, len(ids), _AT_ONCE):
        limit.seconds_left()
        documents_ = _documents(reader, ids[start : start + _AT_ONCE], with_manifest=True)
        found.extend(id_ for id_, document in documents_.items() if matches(document))
        if most is not None and len(found) >= most:
            return found[:most]
    return found


def _translated(filter: Filter, known: Mapping[str, int], parameters: Parameters) -> str:
    translation = Translation(
        databases.node("q.document", parameters),
        {"manifest": databases.node("q.manifest", parameters)},
        indexes.hint(known, parameters),
    )
    return translation.condition(filter.condition)


def _statement(
    scope: Scope,
    restrictions: Restrictions,
    condition: str,
    order: Mapping[str, int],
    most: int | None,
    parameters: Parameters,
) -> str:
    """Return the statement that reads the primary keys of the datasets that match, in order."""
    allowed = [
        "q.dataset_id = d.id",
        _in_scope(scope, restrictions, parameters),
        *_restricted(restrictions, parameters),
        # In parentheses of its own: whatever it is, it can only take from what is allowed.
        f"({condition})",
    ]
    statement = f"SELECT d.id FROM {_TABLES} WHERE {' AND '.join(allowed)} ORDER BY {_order(order)}"
    return statement if most is None else f"{statement} LIMIT {parameters.add(most)}"


def _in_scope(scope: Scope, restrictions: Restrictions, parameters: Parameters) -> str:
    if restrictions.base_uris is not None:
        scope = scope.narrowed_to(restrictions.base_uris)
    return databases.is_in("d.base_uri_id", scope.ids, parameters) if scope.ids else "(1 = 0)"


def _restricted(restrictions: Restrictions, parameters: Parameters) -> Iterator[str]:
    if restrictions.creator_usernames:
        yield databases.is_in("d.creator_username", list(restrictions.creator_usernames), parameters)
    if restrictions.uuids:
        yield databases.is_in("d.uuid", list(restrictions.uuids), parameters)
    for tag in restrictions.tags or ():
        of_dataset = "SELECT 1 FROM dataset_tag t WHERE t.dataset_id = d.id"
        yield f"EXISTS ({of_dataset} AND t.tag = {parameters.add(tag)})"


def _order(order: Mapping[str, int]) -> str:
    for field in order:
        if field not in DATASET_SORT_FIELDS:
            raise InvalidQueryError("sort", f"documents cannot be sorted by {field}")
    columns = dict(FIELDS)
    if kind() == "postgresql":
        columns = {
            field: column if field in TIMES else f'{column} COLLATE "C"' for field, column in columns.items()
        }
    return sorted_by(order, columns)


def _documents(reader: Reader, ids: array[int], with_manifest: bool = False) -> dict[int, dict[str, Any]]:
    """Return the documents of datasets by their primary keys, in the order of these, without those that are gone."""
    if not ids:
        return {}
    parameters = Parameters()
    columns = ("document", "manifest") if with_manifest else ("document",)
    cast = "CAST({} AS text)" if kind() == "postgresql" else "{}"
    statement = (
        f"SELECT dataset_id, {', '.join(map(cast.format, columns))} FROM query_document"
        f" WHERE {databases.is_in('dataset_id', list(ids), parameters)}"
    )
    rows = {row[0]: row[1:] for row in reader.rows(statement, parameters.values)}
    read = _whole if with_manifest else decode
    return {id_: read(*rows[id_]) for id_ in ids if id_ in rows}
