"""Many datasets of one request: registered in runs, of which each is durable before the next one begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app
from webargs.flaskparser import abort

from dservercore import db, plugin_host
from dservercore.auth import guards, permissions
from dservercore.catalog import registration
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import Actor
from dservercore.dataset import uris
from dservercore.dataset.fields import DATASET_INFO_REQUIRED_KEYS
from dservercore.errors import InvalidValueError
from dservercore.rest.body_limits import for_datasets
from dservercore.rest.error_messages import shortened
from dservercore.rest.errors import payload_of, status_of
from dservercore.rest.json_lists import Element
from dservercore.rest.request_parser import NotJSON, load_document, read_json, shared_instance
from dservercore.rest.responses import as_json
from dservercore.rest.retries import repeated
from dservercore.rest.schemas import RegisterDatasetSchema

#: Bytes of datasets that make a run, however few datasets they are: all of it is in memory, and other writers
#: wait while it is written.
RUN_BYTES = 2**20
#: Bytes that make a run where a plugin writes to a store of its own, which takes longer.
RUN_BYTES_ELSEWHERE = 2**18

#: Refused datasets of a request whose errors the answer has; of further ones it has the status alone.
MAX_EXPLAINED = 1000

#: After so many datasets that were refused, nothing is done with those that follow.
MAX_REFUSED = 100_000
TOO_MANY_REFUSED = InvalidValueError(
    f"After {MAX_REFUSED:,} datasets that were refused, nothing was done with this one and those after it:"
    " send them again when the errors are mended"
)

#: Bytes of JSON of an error, above which its message alone is told.
MAX_ERROR_BYTES = 2000

_SCHEMA = shared_instance(RegisterDatasetSchema)


@dataclass(frozen=True)
class Given:
    """A dataset as the body of a request has it.

    :param document: the JSON value that stands there; None if that cannot be read
    :param problems: errors of text and numbers in it that cannot be stored, in its own shape
    :param error: why it cannot be read; None: it can
    :param line: number of its line; None: it is an element of a list
    :param length: bytes of a line, characters of an element
    """

    document: Any = None
    problems: dict[Any, Any] | None = None
    error: Exception | None = None
    line: int | None = None
    length: int = 0

    @classmethod
    def of_line(cls, number: int, line: bytes | None) -> Given:
        """Return the dataset on a line, with the error if it cannot be read.

        :param number: of the line, from 1 on
        :param line: None if it is longer than the server takes
        """
        try:
            if line is None:
                abort(413)
            document, problems = read_json(line, for_datasets(current_app.config))
        except (ValueError, RecursionError):
            return cls(error=NotJSON(), line=number)
        except Exception as error:
            return cls(error=error, line=number)
        return cls(document, problems, line=number, length=len(line))

    @classmethod
    def of_element(cls, element: Element) -> Given:
        """Return the dataset at one place of a list."""
        return cls(element.document, element.problems, length=element.length)

    def evident_status(self) -> int | None:
        """Return the HTTP status of what is no dataset at first sight; None if it may be one.

        What cannot be read is none, and neither is what is no object or lacks a required key.
        """
        if self.error:
            return status_of(self.error)
        if not isinstance(self.document, dict):
            return 422
        return None if all(map(self.document.__contains__, DATASET_INFO_REQUIRED_KEYS)) else 400

    def load(self) -> dict[str, Any]:
        """Return the document as ``RegisterDatasetSchema`` loads it, which a ``PUT`` of the dataset takes, too.

        :raises HTTPException: 400 if it is not JSON, 413 if it is too long, 422 if it is not acceptable
        """
        if self.error:
            raise self.error
        return load_document(_SCHEMA, self.document, self.problems)

    def result(self, status: int, error: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the answer says of the dataset, as ``BulkResultSchema`` has it.

        :param status: HTTP status that a ``PUT`` of it would have
        :param error: the JSON of the error, if it is told
        """
        uri = self.document.get("uri") if isinstance(self.document, dict) else None
        is_uri = isinstance(uri, str) and len(uri) <= uris.MAX_LENGTH
        return {
            "uri": uri if is_uri else None,
            "status": status,
            **({"line": self.line} if self.line else {}),
            **({"error": error} if error else {}),
        }


def register(actor: Actor, given: Iterable[Given]) -> Iterator[dict[str, Any]]:
    """Register datasets; yield the result of each (``BulkResultSchema``), in order, when it is durable.

    Once nothing can be stored any more, the remaining datasets have the error of the first that could not be.
    """
    failure: dict[str, Any] | None = None
    refused = 0
    for run in _runs(given):
        if refused >= MAX_REFUSED:
            refusal = payload_of(TOO_MANY_REFUSED)
            yield run[0].result(refusal["code"], refusal)
            return
        if failure is None:
            results, failure = _register_run(actor, run, is_explained=refused < MAX_EXPLAINED)
            refused += sum(result["status"] >= 400 for result in results)
            yield from results
        else:
            yield from (one.result(failure["code"], failure) for one in run)


def _runs(given: Iterable[Given]) -> Iterator[list[Given]]:
    most = RUN_BYTES if plugin_host.plugins().share_sql_session else RUN_BYTES_ELSEWHERE
    run: list[Given] = []
    length = 0
    for one in given:
        run.append(one)
        length += one.length
        if len(run) == registration.RUN or length >= most:
            yield run
            run, length = [], 0
    if run:
        yield run


def _register_run(
    actor: Actor, run: Sequence[Given], is_explained: bool
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the results of a run, and the error because of which nothing can be stored any more; None: there is none.

    :param is_explained: whether results have their errors, and not only their statuses
    """
    infos: dict[int, dict[str, Any]] = {}
    results: dict[int, dict[str, Any]] = {}
    for number, one in enumerate(run):
        if not is_explained and (status := one.evident_status()):
            results[number] = one.result(status)
            continue
        try:
            infos[number] = one.load()
        except Exception as error:
            results[number] = _result(one, error, is_explained)
    failure: dict[str, Any] | None = None
    try:
        stored = repeated(lambda: _store(actor, list(infos.values())), "a part of many registrations")
        results |= {
            n: _result(run[n], outcome, is_explained) for n, outcome in zip(infos, stored, strict=True)
        }
    except Exception as error:
        db.rollback()
        failure = _told(error)
        results |= {number: run[number].result(failure["code"], failure) for number in infos}
    return [results[number] for number in range(len(run))], failure


def _store(actor: Actor, infos: Sequence[dict[str, Any]]) -> list[registration.Outcome]:
    if not infos:
        return []
    # Permissions are looked up for each run: they may be taken away in the middle of a long request.
    guards.require_credential()
    actor, scope = permissions.identify_with_scope(str(actor.username), "register")
    guards.require_token_of(actor)
    outcomes = registration.register_batch(actor, scope, [Document(info) for info in infos])
    db.commit()
    return outcomes


def _result(given: Given, outcome: registration.Outcome, is_explained: bool) -> dict[str, Any]:
    if isinstance(outcome, Exception):
        if not is_explained and (status := status_of(outcome)):
            return given.result(status)
        error = _told(outcome)
        return given.result(error["code"], error)
    return given.result(201 if outcome == "created" else 200)


def _told(error: Exception) -> dict[str, Any]:
    told = payload_of(error)
    if len(as_json(told)) > MAX_ERROR_BYTES:
        told = {"code": told["code"], "status": told["status"], "message": shortened(told["message"])}
    return told
