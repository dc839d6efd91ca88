"""What is done to our own server's database without HTTP, in a process of its own: see ``ours.py``.

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from flask import current_app

from benchmarks.workload import BASE_URIS, USERNAME, Workload
from dservercore import create_app, db, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, deletion, registration, users
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import OPERATOR, Scope
from dservercore.db import statistics

BATCH = 500  # datasets that share one commit


def fill(workload: Workload) -> dict[str, Any]:
    """Make the user with all permissions, and register the datasets."""
    users.put_user(USERNAME, {})
    for base_uri in BASE_URIS:
        base_uris.put_base_uri(base_uri, [USERNAME], [USERNAME])
    db.commit()
    return register(workload.documents(), float("inf"))


def register(documents: Iterator[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Register datasets in batches, for about so long at most; making the documents is not counted."""
    scope = operator_scope("register")
    number, elapsed, cpu = 0, 0.0, 0.0
    while elapsed < seconds and (batch := list(islice(documents, BATCH))):
        started, cpu_started = time.perf_counter(), time.process_time()
        _register(scope, batch)
        elapsed += time.perf_counter() - started
        cpu += time.process_time() - cpu_started
        number += len(batch)
    started, cpu_started = time.perf_counter(), time.process_time()
    statistics.after_registering(number)
    elapsed += time.perf_counter() - started
    cpu += time.process_time() - cpu_started
    max_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"datasets": number, "seconds": elapsed, "cpu_seconds": cpu, "max_rss_bytes": max_rss}


def _register(scope: Scope, batch: list[dict[str, Any]]) -> None:
    for done in registration.register_batch(OPERATOR, scope, [Document(document) for document in batch]):
        if isinstance(done, Exception):
            raise done
    db.commit()


def forget(uris: Sequence[str]) -> dict[str, Any]:
    """Delete datasets; return how many are left."""
    scope = operator_scope("register")
    for start in range(0, len(uris), BATCH):
        for uri in uris[start : start + BATCH]:
            deletion.delete_dataset(scope, uri)
        db.commit()
    left = sql_db.session.execute(sql_db.text("SELECT count(*) FROM dataset")).scalar()
    return {"datasets": left}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["fill", "register", "forget"])
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--extra", type=int, default=0, help="datasets after the first --size ones")
    parser.add_argument("--seconds", type=float, default=0)
    options = parser.parse_args()
    workload = Workload(options.size, options.seed)
    extra = range(options.size, options.size + options.extra)
    with create_app().app_context():
        if options.action == "fill":
            outcome = fill(workload)
        elif options.action == "register":
            outcome = register(map(workload.document, extra), options.seconds)
        else:
            outcome = forget([workload.uri(number) for number in extra])
        outcome["database"] = current_app.config["SQLALCHEMY_DATABASE_URI"].partition(":")[0]
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
