"""Descriptive metadata kept in the SQL database itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, Update, bindparam, delete, select, update

from dservercore.dataset.serialization import (
    json_text,
    manifest_json,
    pack,
    parse_manifest,
    storable_text,
    unpack,
)
from dservercore.db import execute_many, kind, sql_db, upsert
from dservercore.db.fast_reads import Prepared
from dservercore.errors import UnknownURIError
from dservercore.models import Dataset, DatasetDocument, DatasetTag
from dservercore.plugin_api import RetrieveABC

_dataset = Dataset.__table__
_document = DatasetDocument.__table__
_tag = DatasetTag.__table__


def _document_column(name: str) -> Select[Any]:
    """Return the statement that reads one column of a dataset's document by the dataset's URI."""
    documents = _document.join(_dataset, _dataset.c.id == _document.c.dataset_id)
    return select(_document.c[name]).select_from(documents).where(_dataset.c.uri == bindparam("uri"))


_STORED = select(_dataset.c.uri, _dataset.c.uuid).join(_document, _document.c.dataset_id == _dataset.c.id)
_SELECT_ID = select(_dataset.c.id).where(_dataset.c.uri == bindparam("uri"))
_uris: Any = bindparam("uris", expanding=True)
_IDS = select(_dataset.c.uri, _dataset.c.id).where(_dataset.c.uri.in_(_uris))
_TAGS = (
    select(_tag.c.tag)
    .select_from(_dataset.outerjoin(_tag))  # one row without a tag, where there are none
    .where(_dataset.c.uri == bindparam("uri"))
    .order_by(_tag.c.position, _tag.c.tag)
)
_OF_URI = _document.c.dataset_id == _SELECT_ID.scalar_subquery()
_DELETE = delete(_document).where(_OF_URI)
_SET_README = update(_document).where(_OF_URI).values(readme=bindparam("value"))
_SET_ANNOTATIONS = update(_document).where(_OF_URI).values(annotations=bindparam("value"))

_DESCRIPTIONS = (
    select(_dataset.c.uri, _document.c.readme, _document.c.annotations, _document.c.manifest)
    .join(_document, _document.c.dataset_id == _dataset.c.id)
    .where(_dataset.c.uri.in_(_uris))
    .order_by(_dataset.c.id)
)


class SqlRetrieve(RetrieveABC):
    """Keeps README, annotations and manifest in ``dataset_document``, beside the dataset's row.

    Tags are rows that the server itself writes.
    """

    shares_sql_session = True
    version_key = "dserver_retrieve_plugin_sql"

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Store a dataset's README, annotations and manifest, or replace them.

        :raises UnknownURIError: if the dataset has no row
        :raises ValidationError: if one of the three cannot be stored
        """
        self.register_datasets([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Store README, annotations and manifest of several datasets, each with another URI, or replace them.

        :raises UnknownURIError: if a dataset has no row
        :raises ValidationError: if one of the values cannot be stored
        """
        connection = sql_db.session.connection()
        uris = [dataset_info["uri"] for dataset_info in dataset_infos]
        ids = {row.uri: row.id for row in connection.execute(_IDS, {"uris": uris})}
        documents = []
        for dataset_info in dataset_infos:
            if dataset_info["uri"] not in ids:
                raise _unknown(dataset_info["uri"])
            documents.append(
                {
                    "dataset_id": ids[dataset_info["uri"]],
                    "readme": _to_store(storable_text("readme", dataset_info["readme"])),
                    "annotations": json_text("annotations", dataset_info["annotations"]),
                    "manifest": pack(manifest_json(dataset_info["manifest"])),
                }
            )
        replace = upsert(_document, ("dataset_id",), overwrite=("readme", "annotations", "manifest"))
        execute_many(connection, replace, documents)

    def delete_dataset(self, uri: str) -> None:
        """Forget a dataset's README, annotations and manifest; no error if there are none."""
        sql_db.session.connection().execute(_DELETE, {"uri": uri})

    def list_stored(self) -> Iterator[tuple[str, str]]:
        """Yield URI and UUID of each dataset that is stored."""
        for row in sql_db.session.connection().execute(_STORED):
            yield row.uri, row.uuid

    def read_texts(self, uris: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield URI and description of those of the datasets that are stored, annotations and manifest as JSON text."""
        for row in sql_db.session.connection().execute(_DESCRIPTIONS, {"uris": list(uris)}):
            yield (
                row.uri,
                {
                    "readme": _as_registered(row.readme),
                    "annotations": row.annotations,
                    "manifest": unpack(bytes(row.manifest)).decode(),
                },
            )

    def read_in_base_uri(self, field: str, uri: str, base_uri_id: int) -> Any:
        """Return one field of a dataset's description, if the dataset is registered in a base URI.

        The statement that reads the field looks at the row, too: whether somebody may see it costs no other one.

        :param field: ``readme``, ``annotations``, ``tags``, ``manifest_json`` or ``packed_manifest``
        :param base_uri_id: the primary key of the base URI
        :raises UnknownURIError: if the dataset is not stored, or is registered in another base URI
        """
        return _FIELDS[field].read(uri, base_uri_id)

    def get_readme(self, uri: str) -> str:
        """Return the README as it was registered.

        :raises UnknownURIError: if the dataset is not stored
        """
        readme: str = _FIELDS["readme"].read(uri)
        return readme

    def get_annotations(self, uri: str) -> dict[str, Any]:
        """Return the annotations by name.

        :raises UnknownURIError: if the dataset is not stored
        """
        annotations: dict[str, Any] = _FIELDS["annotations"].read(uri)
        return annotations

    def get_tags(self, uri: str) -> list[str]:
        """Return the tags, in the order in which they were given.

        :raises UnknownURIError: if the dataset is not registered
        """
        tags: list[str] = _FIELDS["tags"].read(uri)
        return tags

    def get_manifest(self, uri: str) -> dict[str, Any]:
        """Return the manifest: ``items``, ``hash_function`` and ``dtoolcore_version``.

        :raises UnknownURIError: if the dataset is not stored
        """
        return parse_manifest(self.get_manifest_json(uri))

    def get_manifest_json(self, uri: str) -> bytes:
        """Return the manifest as JSON text in UTF-8, as it is stored, to be handed out without being rebuilt.

        :raises UnknownURIError: if the dataset is not stored
        """
        manifest: bytes = _FIELDS["manifest_json"].read(uri)
        return manifest

    def get_packed_manifest(self, uri: str) -> bytes:
        """Return the manifest as JSON in one zstandard frame, as it is stored.

        :raises UnknownURIError: if the dataset is not stored
        """
        manifest: bytes = _FIELDS["packed_manifest"].read(uri)
        return manifest

    def set_readme(self, uri: str, readme: str) -> None:
        """Replace the README.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if it cannot be stored
        """
        _change(_SET_README, uri, _to_store(storable_text("readme", readme)))

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace the annotations.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if they cannot be stored
        """
        _change(_SET_ANNOTATIONS, uri, json_text("annotations", annotations))

    def set_tags(self, uri: str, tags: Iterable[str]) -> None:
        """Do nothing: the server has written the rows that :meth:`get_tags` reads."""


# PostgreSQL has no NUL in a text, and a README may: there it is written as two characters, of which the first is hardly
# ever used (DATA LINK ESCAPE), and is doubled where it is.
_NUL, _ESCAPE = "\x00", "\x10"
_ESCAPED = {_ESCAPE: _ESCAPE + _ESCAPE, _NUL: _ESCAPE + "0"}
_UNESCAPED = {escaped: character for character, escaped in _ESCAPED.items()}


def _to_store(readme: str) -> str:
    if not _has_escapes() or (_NUL not in readme and _ESCAPE not in readme):
        return readme
    return re.sub(f"[{_ESCAPE}{_NUL}]", lambda character: _ESCAPED[character[0]], readme)


def _as_registered(readme: str) -> str:
    if _ESCAPE not in readme or not _has_escapes():
        return readme
    return re.sub(f"{_ESCAPE}.", lambda escaped: _UNESCAPED.get(escaped[0], escaped[0]), readme)


def _has_escapes() -> bool:
    return kind() == "postgresql"


class _Field:
    """A field of a dataset's description.

    :param statement: its rows have one value each
    :param value_of: makes the field of the values of all rows
    """

    def __init__(self, statement: Select[Any], value_of: Callable[[Sequence[Any]], Any]):
        self._wherever = Prepared(statement)
        self._in_base_uri = Prepared(statement.where(_dataset.c.base_uri_id == bindparam("base_uri_id")))
        self._value_of = value_of

    def read(self, uri: str, base_uri_id: int | None = None) -> Any:
        """Return the field.

        :param base_uri_id: primary key of the base URI that the dataset must be registered in; None: any
        :raises UnknownURIError: if the dataset is not stored, or is registered in another base URI
        """
        rows: Sequence[Any] = []
        if _NUL in uri:  # then none is stored; PostgreSQL would refuse the question
            pass
        elif base_uri_id is None:
            rows = self._wherever.all({"uri": uri})
        else:
            rows = self._in_base_uri.all({"uri": uri, "base_uri_id": base_uri_id})
        if not rows:
            raise _unknown(uri)
        return self._value_of([value for (value,) in rows])


_FIELDS = {
    "readme": _Field(_document_column("readme"), lambda values: _as_registered(values[0])),
    "annotations": _Field(_document_column("annotations"), lambda values: json.loads(values[0])),
    "tags": _Field(_TAGS, lambda values: [tag for tag in values if tag is not None]),
    "manifest_json": _Field(_document_column("manifest"), lambda values: unpack(bytes(values[0]))),
    "packed_manifest": _Field(_document_column("manifest"), lambda values: bytes(values[0])),
}


def _change(statement: Update, uri: str, value: str) -> None:
    changed = sql_db.session.connection().execute(statement, {"uri": uri, "value": value})
    if not changed.rowcount:
        raise _unknown(uri)


def _unknown(uri: str) -> UnknownURIError:
    return UnknownURIError(f"No dataset is registered as {uri}")
