"""Registering many datasets with one request, which only our server can."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import requests

from benchmarks.checks import WrongAnswerError
from benchmarks.installations import Served
from benchmarks.load import Measured
from benchmarks.questions import Request


def send(server: Served, puts: Sequence[Request]) -> Measured:
    """Send the bodies of single registrations together; the rate is in datasets a second.

    :raises WrongAnswerError: unless all of them are registered as new
    """
    body = "\n".join(put.payload for put in puts).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/x-ndjson"}
    started = time.perf_counter()
    answer = requests.post(f"{server.address}/uris/bulk", data=body, headers=headers, timeout=600)
    seconds = time.perf_counter() - started
    results = [json.loads(line) for line in answer.iter_lines()] if answer.ok else []
    if [result["status"] for result in results] != [201] * len(puts):
        raise WrongAnswerError(f"{answer.status_code} from {answer.url}: {answer.text[:500]}")
    return Measured(len(puts) / seconds, 0, 0, 0)
