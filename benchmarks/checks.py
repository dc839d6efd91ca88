"""Answers that are timed are also right: the same from both servers, before anything is timed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import requests

from benchmarks.installations import Served
from benchmarks.load import Measured
from benchmarks.questions import ANY, PAGE_SIZE, Operation, Request
from benchmarks.workload import BASE_URIS, COMMON, TAGS, Workload

#: What our answers have and those of the original do not: who registered a dataset, and when.
UPLOADS = {"uploaded_by", "uploaded_at", "uploaders", "datasets_per_uploader", "size_in_bytes_per_uploader"}

TIMES = {"created_at", "frozen_at"}


class WrongAnswerError(Exception):
    """A server has answered something else than the other, or than it must."""


def ask(server: Served, request: Request) -> tuple[int | None, Any]:
    """Return the total of the ``X-Pagination`` header, if there is one, and the JSON of an answer.

    :raises WrongAnswerError: for a status of 400 or more
    """
    answer = _answer(server, request)
    pagination = answer.headers.get("X-Pagination")
    return json.loads(pagination)["total"] if pagination else None, answer.json()


def text(server: Served, request: Request) -> str:
    """Return the body of an answer.

    :raises WrongAnswerError: for a status of 400 or more
    """
    return _answer(server, request).text


def _answer(server: Served, request: Request) -> requests.Response:
    answer = requests.request(
        request.method,
        server.address + request.path,
        data=request.payload or None,
        headers={"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
        timeout=120,
    )
    if not answer.ok:
        raise WrongAnswerError(f"{answer.status_code} from {answer.url}: {answer.text[:500]}")
    return answer


def compare(operation: Operation, original: Served, ours: Served) -> None:
    """Send every request to both, and fail if we answer anything else than the original.

    :raises WrongAnswerError: with both answers
    """
    for request in operation.requests:
        compare_one = _compare_words if " " in (request.body or {}).get("free_text", "") else _compare
        compare_one(request, original, ours)


def _compare(request: Request, original: Served, ours: Served) -> None:
    total, wanted = ask(original, request)
    our_total, answered = ask(ours, request)
    if (our_total, _like(answered, wanted)) != (total, wanted):
        raise WrongAnswerError(
            f"{request}\nours:     {our_total} {json.dumps(answered)[:2000]}"
            f"\noriginal: {total} {json.dumps(wanted)[:2000]}"
        )


def _compare_words(request: Request, original: Served, ours: Served) -> None:
    """Compare a search for several words: ours finds the datasets with all of them, the original those with any."""
    in_full = replace(request, path="/uris?page_size=100")
    any_total, with_any = ask(original, in_full)
    if any_total is None or any_total > 100:
        raise WrongAnswerError(f"{request} finds {any_total}, too many to compare")
    words = request.body["free_text"].split()
    wanted = [dataset["uri"] for dataset in with_any if _has_all(dataset["uri"], words, ours)]
    total, answered = ask(ours, in_full)
    if (total, [dataset["uri"] for dataset in answered]) != (len(wanted), wanted):
        raise WrongAnswerError(f"{request}\nours:     {answered}\nexpected: {wanted}")


def _has_all(uri: str, words: list[str], ours: Served) -> bool:
    _, readme = ask(ours, Request("GET", f"/readmes/{quote(uri, safe='')}"))
    return set(words) <= set(readme["readme"].split())


def _like(answered: Any, wanted: Any) -> Any:
    """Return *answered* without what the original does not know, and with its times, of which MongoDB keeps the ms."""
    if isinstance(answered, list) and isinstance(wanted, list) and len(answered) == len(wanted):
        return [_like(*pair) for pair in zip(answered, wanted, strict=True)]
    if isinstance(answered, dict) and isinstance(wanted, dict):
        known = {key: value for key, value in answered.items() if key in wanted or key not in UPLOADS}
        near = {key for key in TIMES & wanted.keys() & known.keys() if abs(known[key] - wanted[key]) < 0.002}
        return {**known, **{key: wanted[key] for key in near}}
    return answered


def check(operation: Operation, ours: Served, workload: Workload) -> None:
    """Send every request to ours alone, and fail if an answer is not what the datasets make it.

    :raises WrongAnswerError: with the answer
    """
    for request in operation.requests:
        total, answered = ask(ours, request)
        if not _is_right(request, total, answered, workload):
            raise WrongAnswerError(f"{request}: {total} {json.dumps(answered)[:2000]}")


def check_registered(
    server: Served, size: int, requests: Sequence[Request], rounds: Sequence[Measured]
) -> None:
    """Fail unless what was acknowledged is there: *size* datasets before, *requests* shared out to *rounds*.

    :raises WrongAnswerError: if there are fewer, or more than were sent
    """
    total, _ = ask(server, Request("GET", "/uris"))
    share = len(requests) // len(rounds)
    acknowledged = sum(
        min(share, done.requests) for done in rounds
    )  # after the last one, the first comes again
    under_way = len(rounds)  # not answered when the time was up
    if total is None or not acknowledged <= total - size <= acknowledged + under_way:
        raise WrongAnswerError(
            f"{acknowledged} datasets were acknowledged, and {total} are there, not {size} more"
        )


def _is_right(request: Request, total: int | None, answered: Any, workload: Workload) -> bool:
    if request.about == ANY:
        return bool(answered)
    if request.path.endswith("/facets"):
        return _are_facets(request, answered, workload)
    if request.path.endswith("/summary"):
        return bool(answered["number_of_datasets"] == workload.size)
    if request.about is None and request.body is None:
        return total == workload.size and [d["uri"] for d in answered] == _page(request, workload)
    if request.about is None:
        return _is_common(request, total, answered, workload)
    document = workload.document(request.about)
    if request.path.startswith("/readmes/"):
        return bool(answered == {"readme": document["readme"]})
    if request.path.startswith("/manifests/"):
        return bool(answered == document["manifest"])
    found = answered if isinstance(answered, list) else [answered]
    return document["uri"] in [dataset["uri"] for dataset in found] or (total or 0) > PAGE_SIZE


def _are_facets(request: Request, answered: Any, workload: Workload) -> bool:
    """Return whether about as many datasets are counted as are expected: in all years, or with a tag."""
    if not request.body:
        return bool(sum(each["count"] for each in answered["frozen"]) == workload.size)
    chance = 1 / len(COMMON)
    if "tags" in request.body:  # each counted without the filter; two tags of a dataset, on average
        (counted,) = [each["count"] for each in answered["tags"] if each["value"] in request.body["tags"]]
        chance *= 2 / len(TAGS)
    else:
        counted = sum(each["count"] for each in answered["frozen"])
    return bool(abs(counted - workload.size * chance) <= 5 * math.sqrt(workload.size * chance))


def _is_common(request: Request, total: int | None, found: Any, workload: Workload) -> bool:
    """Return whether as many were found as have a common word, and where they were asked for."""
    among = request.body.get("base_uris", BASE_URIS)
    chance = 1 / len(COMMON)
    expected = workload.size * len(among) / len(BASE_URIS) * chance
    spread = 5 * math.sqrt(expected * (1 - chance))  # once in two million
    return (
        total is not None
        and abs(total - expected) <= spread
        and all(dataset["base_uri"] in among for dataset in found)
    )


def _page(request: Request, workload: Workload) -> list[str]:
    page = int(request.path.partition("?page=")[2] or 1)
    return _sorted_uris(workload)[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]


@lru_cache(maxsize=1)
def _sorted_uris(workload: Workload) -> list[str]:
    return sorted(workload.uri(number) for number in range(workload.size))
