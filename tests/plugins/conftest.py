"""The bundled sql plugins on a database of their own, with nothing of the server above them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import Engine, delete, event, select

from dservercore.date_utils import timestamp_to_datetime
from dservercore.db import sql_db
from dservercore.models import BaseURI, Dataset, DatasetTag
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch
from dservercore.sort import SortParameters

RED, BLUE, GREEN = "s3://red", "s3://blue", "file:///green"


class Shelf:
    """Datasets in a database: does to the rows what the server does, and calls the plugins as it does."""

    def __init__(self, app: Flask) -> None:
        self.search = SqlSearch()
        self.retrieve = SqlRetrieve()
        self.search.init_app(app)
        self.retrieve.init_app(app)

    def add_base_uri(self, base_uri: str) -> int:
        found = sql_db.session.scalar(select(BaseURI.id).where(BaseURI.base_uri == base_uri))
        if found is None:
            row = BaseURI(base_uri=base_uri)
            sql_db.session.add(row)
            sql_db.session.flush()
            found = row.id
        return found

    def register(self, name: str = "bean-harvest", base_uri: str = RED, **changes: Any) -> str:
        """Register a dataset, or again; return its URI."""
        info = dataset_info(name, base_uri, **changes)
        uri: str = info["uri"]
        row = sql_db.session.scalar(select(Dataset).where(Dataset.uri == uri)) or Dataset(uri=uri)
        row.base_uri_id = self.add_base_uri(base_uri)
        for field in ("name", "uuid", "creator_username", "number_of_items", "size_in_bytes", "uploaded_by"):
            setattr(row, field, info[field])
        row.frozen_at = timestamp_to_datetime(info["frozen_at"])
        row.created_at = timestamp_to_datetime(info["created_at"])
        row.uploaded_at = info["uploaded_at"]
        sql_db.session.add(row)
        sql_db.session.flush()
        self._write_tags(row.id, info["tags"])
        self.search.register_dataset(info)
        self.retrieve.register_dataset(info)
        sql_db.session.commit()
        return uri

    def delete(self, uri: str) -> None:
        self.search.delete_dataset(uri)
        self.retrieve.delete_dataset(uri)
        sql_db.session.execute(delete(Dataset).where(Dataset.uri == uri))
        sql_db.session.commit()

    def set_tags(self, uri: str, tags: list[str]) -> None:
        self._write_tags(sql_db.session.scalars(select(Dataset.id).where(Dataset.uri == uri)).one(), tags)
        self.search.set_tags(uri, tags)
        self.retrieve.set_tags(uri, tags)
        sql_db.session.commit()

    def set_readme(self, uri: str, readme: str) -> None:
        self.search.set_readme(uri, readme)
        self.retrieve.set_readme(uri, readme)
        sql_db.session.commit()

    def set_annotations(self, uri: str, annotations: dict[str, Any]) -> None:
        self.search.set_annotations(uri, annotations)
        self.retrieve.set_annotations(uri, annotations)
        sql_db.session.commit()

    def _write_tags(self, dataset_id: int, tags: list[str]) -> None:
        sql_db.session.execute(delete(DatasetTag).where(DatasetTag.dataset_id == dataset_id))
        sql_db.session.add_all(
            DatasetTag(dataset_id=dataset_id, tag=tag, position=n) for n, tag in enumerate(tags)
        )

    def find(
        self,
        free_text: str | None = None,
        *,
        sort: str | None = None,
        page: int | None = None,
        page_size: int = 10,
        **filters: list[str],
    ) -> list[str]:
        """Return the names of the datasets that match, in all base URIs unless told otherwise."""
        query: dict[str, Any] = {"base_uris": self.base_uris(), **filters}
        if free_text is not None:
            query["free_text"] = free_text
        pagination = PaginationParameters(page, page_size) if page else None
        found = self.search.search(query, pagination, SortParameters(sort) if sort else None)
        return [dataset["name"] for dataset in found]

    def count(self, free_text: str | None = None, **filters: list[str]) -> int:
        """Return how many the pagination of a search says there are."""
        pagination = PaginationParameters(1, 1)
        query: dict[str, Any] = {"base_uris": self.base_uris(), "free_text": free_text, **filters}
        self.search.search(query, pagination)
        assert pagination.item_count is not None
        return pagination.item_count

    def base_uris(self) -> list[str]:
        return list(sql_db.session.scalars(select(BaseURI.base_uri)))


def dataset_info(name: str, base_uri: str, **changes: Any) -> dict[str, Any]:
    """What the server gives a plugin to register."""
    identifier = changes.pop("uuid", None) or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{base_uri}/{name}"))
    files = changes.pop("files", [])
    return {
        "uuid": identifier,
        "base_uri": base_uri,
        "uri": f"{base_uri}/{identifier}",
        "name": name,
        "type": "dataset",
        "readme": "",
        "manifest": manifest(*files),
        "creator_username": "olga",
        "frozen_at": 1536238185.881941,
        "created_at": 1536236399.19497,
        "annotations": {},
        "tags": [],
        "number_of_items": len(files),
        "size_in_bytes": 10 * len(files),
        "uploaded_by": None,
        "uploaded_at": timestamp_to_datetime(1767225600.5),
        **changes,
    }


def manifest(*relpaths: str) -> dict[str, Any]:
    return {
        "dtoolcore_version": "3.19.0",
        "hash_function": "md5sum_hexdigest",
        "items": {
            uuid.uuid5(uuid.NAMESPACE_URL, relpath).hex: {
                "relpath": relpath,
                "hash": "d89117c9da2cc34586e183017cb14851",
                "size_in_bytes": 10,
                "utc_timestamp": 1536832115.123456,
            }
            for relpath in relpaths
        },
    }


def make_shelf(database: Path) -> Iterator[Shelf]:
    """Yield an empty shelf, within an application context."""
    app = Flask("shelf")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{database}"
    sql_db.init_app(app)
    with app.app_context():
        sql_db.create_all()
        yield Shelf(app)
        sql_db.session.remove()
        sql_db.engine.dispose()


@pytest.fixture(scope="session")
def new_shelf() -> Callable[[Path], Iterator[Shelf]]:
    """For fixtures of a wider scope than :func:`shelf`."""
    return make_shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An empty shelf."""
    yield from make_shelf(tmp_path / "shelf.db")


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The SQL statements executed so far."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)
