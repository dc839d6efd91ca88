"""One manifest of very many items: whether it registers over HTTP and comes back as it was, and in how much memory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from benchmarks import backends, memory
from benchmarks.checks import WrongAnswerError
from benchmarks.installations import Served
from benchmarks.workload import Workload

MOST_MEMORY = 10  # times the size of the manifest as JSON

PATIENCE_SECONDS = 1200
#: Gunicorn takes a worker that is busy for 30 s for one that hangs, unless told otherwise.
PATIENT = {"GUNICORN_CMD_ARGS": f"--timeout {PATIENCE_SECONDS}"}


def measure(work: Path, store: str, address: str, items: int) -> dict[str, Any]:
    """Register a manifest and read it; return seconds, bytes, and how many times its size a worker took at most.

    :raises WrongAnswerError: if it is refused, or comes back as another one
    """
    document = Workload(1, items=items).document(0)
    body = json.dumps(document).encode()
    manifest_bytes = len(json.dumps(document["manifest"]))
    uri = quote(document["uri"], safe="")
    with backends.empty(work, store, address, PATIENT) as ours, ours.serve() as server:
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
