"""The bundled retrieve plugin: documents in the SQL database, in the transaction of the dataset's row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import zstandard
from sqlalchemy import bindparam, delete, select, update

from dservercore import db
from dservercore.db import sql_db
from dservercore.errors import UnknownURIError
from dservercore.models import Dataset, DatasetDocument, DatasetTag
from dservercore.plugin_api import RetrieveABC

_documents = DatasetDocument.__table__
_id_of_uri = select(Dataset.id).where(Dataset.uri == bindparam("of_uri")).scalar_subquery()
_TAGS = (
    select(DatasetTag.tag)
    .select_from(Dataset)
    .outerjoin(DatasetTag, DatasetTag.dataset_id == Dataset.id)
    .where(Dataset.uri == bindparam("of_uri"))
    .order_by(DatasetTag.position, DatasetTag.tag)
)


class SqlRetrieve(RetrieveABC):
    """Keeps README and annotations as text, and the manifest compressed, in ``dataset_document``."""

    shares_sql_session = True
    version_key = "dserver_retrieve_plugin_sql"

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Store the document of a dataset whose row is there already."""
        values = {
            "readme": dataset_info["readme"],
            "annotations": _json(dataset_info["annotations"]),
            "manifest": _compressed(dataset_info["manifest"]),
        }
        insert = db.insert(_documents).values(dataset_id=_id_of_uri, **values)
        upsert = insert.on_conflict_do_update(index_elements=["dataset_id"], set_=values)
        sql_db.session.execute(upsert, {"of_uri": dataset_info["uri"]})

    def delete_dataset(self, uri: str) -> None:
        """Forget the document; called before the dataset's row goes."""
        sql_db.session.execute(delete(_documents).where(_documents.c.dataset_id == _id_of_uri), {"of_uri": uri})

    def get_readme(self, uri: str) -> str:
        """Return the README."""
        return self._column(uri, "readme")

    def get_annotations(self, uri: str) -> dict[str, Any]:
        """Return the annotations."""
        return orjson.loads(self._column(uri, "annotations"))

    def get_manifest(self, uri: str) -> dict[str, Any]:
        """Return the manifest."""
        return orjson.loads(self.get_manifest_json(uri))

    def get_manifest_json(self, uri: str) -> bytes:
        """Return the manifest as the JSON that is stored."""
        return zstandard.ZstdDecompressor().decompress(self._column(uri, "manifest"))

    def get_tags(self, uri: str) -> list[str]:
        """Return the tags, which are rows that the catalog keeps."""
        tags = sql_db.session.execute(_TAGS, {"of_uri": uri}).scalars().all()
        if not tags:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        return [tag for tag in tags if tag is not None]

    def set_readme(self, uri: str, readme: str) -> None:
        """Replace the README."""
        self._update(uri, readme=readme)

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace the annotations."""
        self._update(uri, annotations=_json(annotations))

    def set_tags(self, uri: str, tags: list[str]) -> None:
        """Do nothing: the catalog has written the rows that :meth:`get_tags` reads."""

    def _column(self, uri: str, name: str) -> Any:
        statement = select(_documents.c[name]).join(Dataset, Dataset.id == _documents.c.dataset_id)
        row = sql_db.session.execute(statement.where(Dataset.uri == uri)).first()
        if row is None:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        return row[0]

    def _update(self, uri: str, **values: Any) -> None:
        sql_db.session.execute(
            update(_documents).where(_documents.c.dataset_id == _id_of_uri).values(**values), {"of_uri": uri}
        )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _compressed(manifest: Mapping[str, Any]) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(orjson.dumps(manifest))
