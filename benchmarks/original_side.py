"""What is done inside the virtual environment of the original server, by its own Python: see ``original.py``.

Prints one JSON object. Imports nothing of this package but the workload.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib import import_module
from itertools import islice
from typing import Any

import flask
import pymongo

from benchmarks.workload import BASE_URIS, USERNAME, Workload

# By name, because linters would take them for ours.
server: Any = import_module("dservercore")
utils: Any = import_module("dservercore.utils")
models: Any = import_module("dservercore.sql_models")

BATCH = 1000
CHECKED = 3  # registered by the original's own function, to see what that makes


def _collection() -> Any:
    app: Any = flask.current_app
    return app.search.collection


def fill(workload: Workload) -> dict[str, Any]:
    """Make the tables, the user with all permissions, and the datasets, in the shape that registering them makes.

    Its own function takes hours for 100,000. The last few are registered by it, and compared to what is inserted here.
    """
    server.sql_db.create_all()
    utils.register_users([{"username": USERNAME}])
    for base_uri in BASE_URIS:
        utils.register_base_uri(base_uri)
        utils.register_permissions(
            base_uri,
            {
                "base_uri": base_uri,
                "users_with_search_permissions": [USERNAME],
                "users_with_register_permissions": [USERNAME],
            },
        )
    collection = _collection()
    collection.drop_indexes()  # of the whole text: quicker made at the end
    started = time.perf_counter()
    inserted = workload.size - CHECKED
    documents = workload.documents(0, inserted)
    while batch := list(islice(documents, BATCH)):
        insert(batch)
    collection.create_index([("$**", pymongo.TEXT)])
    for document in workload.documents(inserted):
        utils.register_dataset(document)
        _check(document, collection)
    return {"seconds": time.perf_counter() - started}


def insert(documents: list[dict[str, Any]]) -> None:
    """Store documents as the original's registration does, many at once."""
    ids = {base.base_uri: base.id for base in models.BaseURI.query}
    server.sql_db.session.execute(
        server.sql_db.insert(models.Dataset), [_row(document, ids) for document in documents]
    )
    server.sql_db.session.commit()
    _collection().insert_many([_stored(document) for document in documents])


def _row(document: dict[str, Any], base_uri_ids: dict[str, int]) -> dict[str, Any]:
    names = ("uri", "uuid", "name", "creator_username", "number_of_items", "size_in_bytes")
    row = {name: document[name] for name in names}
    times = {name: _time(document[name]) for name in ("frozen_at", "created_at")}
    return {**row, **times, "base_uri_id": base_uri_ids[document["base_uri"]]}


def _stored(document: dict[str, Any]) -> dict[str, Any]:
    times = {name: _time(document[name]) for name in ("frozen_at", "created_at")}
    return {**document, **times}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def _check(document: dict[str, Any], collection: Any) -> None:
    """Fail unless what the original's function has stored is what ``insert`` stores."""
    ids = {base.base_uri: base.id for base in models.BaseURI.query}
    found = collection.find_one({"uri": document["uri"]}, {"_id": False})
    wanted = _stored(document)
    for name in ("frozen_at", "created_at"):  # BSON has milliseconds
        wanted[name] = wanted[name].replace(microsecond=wanted[name].microsecond // 1000 * 1000)
    assert found == wanted, (found, wanted)
    row = models.Dataset.query.filter_by(uri=document["uri"]).one()
    wanted = _row(document, ids)
    assert {name: getattr(row, name) for name in wanted} == wanted, wanted


def register(documents: Iterable[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Register one dataset after another by the original's own function, for so long; making them is not counted."""
    number, elapsed = 0, 0.0
    for document in documents:
        started = time.perf_counter()
        utils.register_dataset(document)
        elapsed += time.perf_counter() - started
        number += 1
        if elapsed > seconds:
            break
    return {"datasets": number, "seconds": elapsed}


def forget(uris: Sequence[str]) -> dict[str, Any]:
    """Remove datasets from both databases, as the original itself cannot."""
    for start in range(0, len(uris), BATCH):
        models.Dataset.query.filter(models.Dataset.uri.in_(uris[start : start + BATCH])).delete()
    server.sql_db.session.commit()
    _collection().delete_many({"uri": {"$in": uris}})
    return {"datasets": models.Dataset.query.count()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["fill", "register", "forget", "prepare", "registered"])
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--extra", type=int, default=0, help="datasets after the first --size ones")
    parser.add_argument("--seconds", type=float, default=0)
    options = parser.parse_args()
    workload = Workload(options.size, options.seed)
    extra = range(options.size, options.size + options.extra)
    with server.create_app().app_context():
        if options.action == "fill":
            outcome = fill(workload)
        elif options.action == "prepare":
            server.sql_db.create_all()
            outcome = {}
        elif options.action == "registered":
            outcome = {"uris": [dataset.uri for dataset in models.Dataset.query]}
        elif options.action == "register":
            outcome = register(map(workload.document, extra), options.seconds)
        else:
            outcome = forget([workload.uri(number) for number in extra])
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
