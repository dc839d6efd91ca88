"""One manifest of very many items: whether it registers over HTTP and comes back as it was, and in how much memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from benchmarks import memory
from benchmarks.checks import WrongAnswerError
from benchmarks.installations import Served, keys
from benchmarks.ours import Ours
from benchmarks.processes import Mongod
from benchmarks.workload import Workload

MOST_MEMORY = 10  # times the size of the manifest as JSON

PATIENCE_SECONDS = 1200
#: Gunicorn takes a worker that is busy for 30 s for one that hangs, unless told otherwise.
PATIENT = {"GUNICORN_CMD_ARGS": f"--timeout {PATIENCE_SECONDS}"}


@contextmanager
def _serving(work: Path, store: str, address: str) -> Iterator[Served]:
    """Serve with nothing registered: ``sqlite``, ``postgresql``, or ``mongo`` with its SQL database on SQLite."""
    nothing = Workload(0)
    if store == "mongo":
        folder = work / "mongo-manifest"
        folder.mkdir(parents=True, exist_ok=True)
        with (
            Mongod(folder) as mongod,
            _served(Ours(work, keys(work), nothing, settings=_mongo(mongod.uri))) as served,
        ):
            yield served
        return
    database = address if store == "postgresql" else "sqlite"
    with _served(Ours(work, keys(work), nothing, database, settings=PATIENT)) as served:
        yield served


def _mongo(uri: str) -> dict[str, str]:
    settings = {**PATIENT}
    for kind in ("SEARCH", "RETRIEVE"):
        settings[f"DSERVER_{kind}_PLUGIN"] = "mongo"
        settings[f"{kind}_MONGO_URI"] = uri
        settings[f"{kind}_MONGO_DB"] = f"benchmark_{time.time_ns()}"
        settings[f"{kind}_MONGO_COLLECTION"] = "datasets"
    return settings


@contextmanager
def _served(ours: Ours) -> Iterator[Served]:
    ours.begin_anew()
    ours.fill()
    with ours.serve() as served:
        yield served
    ours.remove()


def measure(work: Path, store: str, address: str, items: int) -> dict[str, Any]:
    """Register a manifest and read it; return seconds, bytes, and how many times its size a worker took at most.

    :raises WrongAnswerError: if it is refused, or comes back as another one
    """
    document = Workload(1, items=items).document(0)
    body = json.dumps(document).encode()
    manifest_bytes = len(json.dumps(document["manifest"]))
    uri = quote(document["uri"], safe="")
    with _serving(work, store, address) as server:
        registered, registration_seconds = _timed(server, "PUT", f"/uris/{uri}", body)
        peak_of_registration = _peak(server)
        answer, reading_seconds = _timed(server, "GET", f"/manifests/{uri}")
        peak = _peak(server)
    if registered.status_code != 201 or answer.json() != document["manifest"]:
        raise WrongAnswerError(f"{registered.status_code} {registered.text[:500]}, {answer.status_code}")
    return {
        "items": items,
        "manifest_bytes": manifest_bytes,
        "registration_seconds": registration_seconds,
        "reading_seconds": reading_seconds,
        "peak_bytes_of_registration": peak_of_registration,
        "peak_bytes": peak,
        "times": peak / manifest_bytes,
    }


def _timed(
    server: Served, method: str, path: str, body: bytes | None = None
) -> tuple[requests.Response, float]:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    started = time.perf_counter()
    answer = requests.request(
        method, server.address + path, data=body, headers=headers, timeout=PATIENCE_SECONDS
    )
    return answer, time.perf_counter() - started


def _peak(server: Served) -> int:
    return max(memory.of_process(worker)["peak_bytes"] for worker in server.gunicorn.workers)
