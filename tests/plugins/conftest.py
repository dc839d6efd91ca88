"""The bundled search and retrieve plugins on a database of their own, with nothing of the server above them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import delete, func, select

from dservercore.dataset.times import timestamp_to_datetime
from dservercore.db import sql_db, watch_engines
from dservercore.models import BaseURI, Dataset, DatasetTag, SummaryCount
from dservercore.plugin_api import RetrieveABC, SearchABC
from dservercore.plugins.mongo.retrieve import MongoRetrieve
from dservercore.plugins.mongo.search import MongoSearch
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch
from dservercore.rest.sort import SortParameters
from support.counting import noted_in
from support.mongod import Mongod, mongo_plugins
from support.postgresql import new_schema

RED, BLUE, GREEN = "s3://red", "s3://blue", "file:///green"
UUID = "8ecd8e05-558a-48e2-b563-0c9ea273e71e"


class Shelf:
    """Datasets in a database: does to the rows what the server does, and calls the plugins as it does."""

    def __init__(self, app: Flask, search: SearchABC, retrieve: RetrieveABC) -> None:
        self.app = app
        self.search: Any = search
        self.retrieve: Any = retrieve
        app.search, app.retrieve = search, retrieve  # type: ignore[attr-defined]
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
        self.register_all([info])
        uri: str = info["uri"]
        return uri

    def register_all(self, infos: list[dict[str, Any]]) -> None:
        """Register different datasets together, or again."""
        for info in infos:
            self._write_row(info)
        self._count()
        self.search.register_datasets(infos)
        self.retrieve.register_datasets(infos)
        sql_db.session.commit()

    def _write_row(self, info: dict[str, Any]) -> None:
        row = sql_db.session.scalar(select(Dataset).where(Dataset.uri == info["uri"]))
        row = row or Dataset(uri=info["uri"])
        row.base_uri_id = self.add_base_uri(info["base_uri"])
        for field in ("name", "uuid", "creator_username", "number_of_items", "size_in_bytes", "uploaded_by"):
            setattr(row, field, info[field])
        row.frozen_at = timestamp_to_datetime(info["frozen_at"])
        row.created_at = timestamp_to_datetime(info["created_at"])
        row.uploaded_at = info["uploaded_at"]
        sql_db.session.add(row)
        sql_db.session.flush()
        self._write_tags(row.id, info["tags"])

    def delete(self, uri: str) -> None:
        self.search.delete_dataset(uri)
        self.retrieve.delete_dataset(uri)
        sql_db.session.execute(delete(Dataset).where(Dataset.uri == uri))
        self._count()
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

    def _count(self) -> None:
        """Count the datasets of each base URI, as the server does."""
        sql_db.session.execute(delete(SummaryCount))
        numbers = sql_db.session.execute(
            select(Dataset.base_uri_id, func.count(Dataset.id)).group_by(Dataset.base_uri_id)
        )
        sql_db.session.add_all(
            SummaryCount(
                kind="base_uri", value=str(id_), base_uri_id=id_, datasets=number, size_high=0, size_low=0
            )
            for id_, number in numbers.all()
        )
        sql_db.session.flush()

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


BACKENDS = ["sqlite", "postgresql", "mongo"]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """What the search and the retrieve plugin keep their data in."""
    return str(request.param)


@pytest.fixture(scope="session")
def new_shelf(backend: str, request: pytest.FixtureRequest) -> Callable[[Path], Iterator[Shelf]]:
    """Makes an empty shelf, within an application context, in a folder; for fixtures of a wider scope too."""

    def make_shelf(folder: Path) -> Iterator[Shelf]:
        app = Flask("shelf")
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder / 'shelf.db'}"
        databases = ExitStack()
        if backend == "postgresql":
            address = databases.enter_context(new_schema(request.getfixturevalue("postgresql")))
            app.config["SQLALCHEMY_DATABASE_URI"] = address
        sql_db.init_app(app)
        watch_engines()
        with databases, app.app_context():
            sql_db.create_all()
            if backend == "mongo":
                mongod: Mongod = request.getfixturevalue("mongod")
                database = f"shelf_{uuid.uuid4().hex}"
                app.config.update(mongo_plugins(mongod.uri, database))
                shelf = Shelf(app, MongoSearch(), MongoRetrieve())
                yield shelf
                shelf.search.client.drop_database(database)
                shelf.search.connection.close()
                shelf.retrieve.connection.close()
            else:
                yield Shelf(app, SqlSearch(), SqlRetrieve())
            sql_db.session.remove()
            sql_db.engine.dispose()

    return make_shelf


@pytest.fixture
def shelf(new_shelf: Callable[[Path], Iterator[Shelf]], tmp_path: Path) -> Iterator[Shelf]:
    """An empty shelf."""
    yield from new_shelf(tmp_path)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The SQL statements executed so far."""
    seen: list[str] = []

    with noted_in(seen):
        yield seen


@pytest.fixture
def beans(shelf: Any) -> Any:
    """A shelf with one dataset in which there is something to find everywhere, and one that shares nothing with it."""
    return put_beans(shelf)


def put_beans(shelf: Any) -> Any:
    shelf.register(
        "bean-harvest",
        BLUE,
        uuid=UUID,
        readme="description: The École's sequencing of runner beans, 37.5 °C\nproject: legumes\n",
        tags=["soil-sample", "2026"],
        annotations={"growth stage": "flowering", "plots": {"north": [17, 2.5, True, None]}},
        creator_username="Olga.Petrova",
        uploaded_by="rita",
        files=["reads/U00096.3.rev.1.bt2", "notes/weather report.txt", "基因组.csv"],
    )
    shelf.register("void", RED)
    return shelf


@pytest.fixture
def four(shelf: Any) -> Any:
    """Four datasets that differ in everything one can filter by."""
    return put_four(shelf)


def put_four(shelf: Any) -> Any:
    shelf.register("a", RED, creator_username="ada", tags=["x", "y"], uploaded_by="rita", readme="word one")
    shelf.register("b", RED, creator_username="Ada", tags=["x"], uploaded_by=None, readme="word two")
    shelf.register("c", BLUE, creator_username="bob", tags=["x", "y", "z"], uploaded_by="carl", readme="word")
    shelf.register("d", GREEN, creator_username="bob", tags=[], uploaded_by="rita", uuid=UUID)
    return shelf


@pytest.fixture(scope="module")
def filled_shelf(
    new_shelf: Callable[[Path], Iterator[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Callable[[Any], Any]], Any]]:
    """Gives a shelf that something has filled, the same one all the time: for tests that only read."""
    with ExitStack() as stack:

        def filled(fill: Callable[[Any], Any]) -> Any:
            make = contextmanager(new_shelf)
            shelf = stack.enter_context(make(tmp_path_factory.mktemp("filled")))
            fill(shelf)
            return shelf

        yield cache(filled)


def in_its_context(shelf: Shelf) -> Iterator[Shelf]:
    """Yield a shelf beside which there are others, within its own application context."""
    with shelf.app.app_context():
        yield shelf


@pytest.fixture
def beans_to_read(filled_shelf: Callable[[Callable[[Any], Any]], Any]) -> Iterator[Any]:
    """The same as ``beans``, for tests that change nothing."""
    yield from in_its_context(filled_shelf(put_beans))


@pytest.fixture
def four_to_read(filled_shelf: Callable[[Callable[[Any], Any]], Any]) -> Iterator[Any]:
    """The same as ``four``, for tests that change nothing."""
    yield from in_its_context(filled_shelf(put_four))


@pytest.fixture
def hundred(filled_shelf: Callable[[Callable[[Any], Any]], Any]) -> Iterator[Any]:
    """A hundred datasets, of which 80 have a word in common, in an order that is not that of their URIs; to be read."""
    yield from in_its_context(filled_shelf(fill))


def fill(shelf: Any) -> None:
    chance = random.Random(1)
    shelf.register_all(
        [
            dataset_info(
                f"name-{n % 7}",
                [RED, BLUE, GREEN][n % 3],
                uuid=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                creator_username=f"creator{n % 5}",
                frozen_at=1_500_000_000 + n % 11,
                created_at=1_400_000_000.000001 + n % 13,
                readme="common " * (n % 4) + "text" if n >= 20 else "",
                tags=[f"t{n % 2}"],
            )
            for n in chance.sample(range(100), 100)
        ]
    )
