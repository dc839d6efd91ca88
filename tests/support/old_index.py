"""A search index as version 1 of the text analysis has left it, at revision 0010: what it made of three datasets."""

from __future__ import annotations

import uuid
from typing import Any

import flask_migrate
from sqlalchemy import text

from dservercore import sql_db
from dservercore.dataset.serialization import pack
from dservercore.plugins.sql.fts5_relevance import weight_tokens
from dservercore.plugins.sql.ranking import weights
from support.world import dataset_info

BASE_URI = "s3://old"
REVISION = "0010"

COLUMNS = ("name", "tags", "lead", "readme", "annotations", "rest", "facets")


def _manifest(*relpaths: str) -> dict[str, Any]:
    items = {
        str(n): {"relpath": path, "hash": "0", "size_in_bytes": 1, "utc_timestamp": 1.5}
        for n, path in enumerate(relpaths)
    }
    return {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": items}


#: The documents of the datasets.
DATASETS = [
    dataset_info(
        BASE_URI,
        uuid=uuid.UUID(int=1),
        name="bean-harvest",
        readme="Measured with SP500 on plates.\n",
        tags=["Beans", "field_7"],
        annotations={"soil": "loam"},
        manifest=_manifest("raw/U00096.3.bt2", "notes.txt"),
    ),
    dataset_info(
        BASE_URI,
        uuid=uuid.UUID(int=2),
        name="empty",
        readme="",
        tags=[],
        annotations={},
        manifest=_manifest(),
    ),
    dataset_info(
        BASE_URI,
        uuid=uuid.UUID(int=3),
        name="SalesRegion",
        readme='project: lung cancer\ndescription: "M\\xFCller\'s mice"\n',
        tags=["mice"],
        annotations={"depth": 1.5},
        manifest=_manifest("lung/cancer_01.csv"),
    ),
]

#: What version 1 has stored of each.
TOKENS: list[dict[str, str]] = [
    {
        "name": "bean harvest",
        "tags": "bean | field 7 _beans",
        "rest": "olga | s3 old 00000000 0000 0000 0000 000000000001 | raw u00096 3 bt2 | note txt _notes",
        "annotations": "soil | loam",
        "lead": "measur with sp500 on plate",
        "readme": "measur with sp500 on plate _measured _plates",
        "facets": "=all =b1 =cd4dd81e8ebd134c8e6818553 =uf6c3531d564902dc3388e44d =t3a9c747034a2a6fb5707a318"
        " =t46faaaf85758c03e1032b73b =pa8fab6a0d8218e61dd723a38",
    },
    {
        "name": "empti _empty",
        "tags": "",
        "rest": "olga | s3 old 00000000 0000 0000 0000 000000000002",
        "annotations": "",
        "lead": "",
        "readme": "",
        "facets": "=all =b1 =cd4dd81e8ebd134c8e6818553 =u076bb5da1c7cc6fcb95efeed",
    },
    {
        "name": "salesregion",
        "tags": "mice",
        "rest": "olga | s3 old 00000000 0000 0000 0000 000000000003 | lung cancer 01 csv",
        "annotations": "depth | 1 5",
        "lead": "project lung cancer descript m xfcller mice",
        "readme": "project lung cancer descript m xfcller mice _description",
        "facets": "=all =b1 =cd4dd81e8ebd134c8e6818553 =u440216f1680977ce1dec7ca7 =t1832697b1bc42385a6ca6db2"
        " =pa8fab6a0d8218e61dd723a38",
    },
]


def put_back() -> None:
    """Bring the database, in which :data:`DATASETS` are registered first of all, to the old revision with its index."""
    flask_migrate.downgrade(revision=REVISION)
    with sql_db.engine.begin() as connection:
        put = _put_into_sqlite if connection.dialect.name == "sqlite" else _put_into_postgresql
        for id_, columns in enumerate(TOKENS, start=1):
            put(connection, id_, columns)


def _put_into_sqlite(connection: Any, id_: int, columns: dict[str, str]) -> None:
    values = {"id": id_, **columns}
    names = ", ".join(COLUMNS)
    parameters = ", ".join(f":{name}" for name in COLUMNS)
    connection.execute(text(f"INSERT INTO search_index (rowid, {names}) VALUES (:id, {parameters})"), values)
    connection.execute(
        text("INSERT INTO search_index_weights (rowid, words) VALUES (:id, :words)"),
        {"id": id_, "words": weight_tokens(_as_today(columns))},
    )
    connection.execute(
        text("INSERT INTO search_document (dataset_id, tokens) VALUES (:id, :tokens)"),
        {"id": id_, "tokens": pack("\n".join(columns[name] for name in COLUMNS).encode())},
    )


def _put_into_postgresql(connection: Any, id_: int, columns: dict[str, str]) -> None:
    words = dict.fromkeys(" ".join(columns.values()).split())
    words.pop("|", None)
    connection.execute(
        text(
            "INSERT INTO search_index (dataset_id, base_uri_id, uri, texts, words)"
            " VALUES (:id, 1, :uri, :texts, array_to_tsvector(string_to_array(:words, ' ')))"
        ),
        {
            "id": id_,
            "uri": DATASETS[id_ - 1]["uri"],
            "texts": "\n".join(f" {columns[name]} " for name in COLUMNS),
            "words": " ".join(words),
        },
    )
    connection.execute(
        text("INSERT INTO search_index_weights (dataset_id, weights) VALUES (:id, :weights)"),
        {"id": id_, "weights": weights(_as_today(columns))},
    )


def _as_today(columns: dict[str, str]) -> dict[str, str]:
    return {**columns, "about": "", "files": columns["rest"]}
