"""Many datasets of one request: registered in runs, of which each is durable before the next one begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from webargs.flaskparser import abort

from dservercore import db, guards, permissions, uris
from dservercore.api.errors import answer_to
from dservercore.api.retries import repeated
from dservercore.catalog import batches
from dservercore.catalog.batches import Incoming
from dservercore.request_parser import load_document, parse_json_line
from dservercore.schemas import RegisterDatasetSchema
from dservercore.scope import Actor

#: With more than so many bytes, lines make a run: all of it is in memory.
RUN_BYTES = 8 * 2**20

_SCHEMA = RegisterDatasetSchema()


@dataclass(frozen=True)
class Given:
    """A dataset as the body of a request has it.

    :param document: what stands there, if that can be read
    :param problems: text and numbers in it that cannot be stored
    :param error: why it cannot be read
    :param line: its number, where there are lines
    :param length: bytes
    """

    document: Any = None
    problems: dict[Any, Any] | None = None
    error: Exception | None = None
    line: int | None = None
    length: int = 0

    @classmethod
    def of_line(cls, number: int, line: bytes | None) -> Given:
        """Return what a line holds; None: more than the server takes."""
        try:
            if line is None:
                abort(413)
            document, problems = parse_json_line(line)
        except Exception as error:
            return cls(error=error, line=number)
        return cls(document, problems, line=number, length=len(line))

    def load(self) -> dict[str, Any]:
        """Return the document as a single registration would be given it. Errors as there."""
        if self.error:
            raise self.error
        return load_document(_SCHEMA, self.document, self.problems)

    def result(self, status: int, error: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what a client is told of it."""
        uri = self.document.get("uri") if isinstance(self.document, dict) else None
        is_uri = isinstance(uri, str) and len(uri) <= uris.MAX_LENGTH
        return {
            "uri": uri if is_uri else None,
            "status": status,
            **({"line": self.line} if self.line else {}),
            **({"error": error} if error else {}),
        }


def register(actor: Actor, given: Iterable[Given]) -> Iterator[dict[str, Any]]:
    """Register datasets; yield what became of each, in order, when it is durable.

    Once nothing can be stored any more, what is left is told the same.
    """
    failure: dict[str, Any] | None = None
    for run in _runs(given):
        if failure is None:
            results, failure = _register_run(actor, run)
            yield from results
        else:
            yield from (one.result(failure["code"], failure) for one in run)


def _runs(given: Iterable[Given]) -> Iterator[list[Given]]:
    run: list[Given] = []
    length = 0
    for one in given:
        run.append(one)
        length += one.length
        if len(run) == batches.RUN or length >= RUN_BYTES:
            yield run
            run, length = [], 0
    if run:
        yield run


def _register_run(actor: Actor, run: Sequence[Given]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the results of a run; and why nothing can be stored any more, if that is so."""
    infos: dict[int, dict[str, Any]] = {}
    results: dict[int, dict[str, Any]] = {}
    for number, one in enumerate(run):
        try:
            infos[number] = one.load()
        except Exception as error:
            results[number] = _result(one, error)
    failure: dict[str, Any] | None = None
    try:
        stored = repeated(lambda: _store(actor, list(infos.values())), "a part of many registrations")
        results |= {n: _result(run[n], outcome) for n, outcome in zip(infos, stored, strict=True)}
    except Exception as error:
        db.rollback()
        failure = _told(error)
        results |= {number: run[number].result(failure["code"], failure) for number in infos}
    return [results[number] for number in range(len(run))], failure


def _store(actor: Actor, infos: Sequence[dict[str, Any]]) -> list[batches.Outcome]:
    if not infos:
        return []
    # Asked again with each run: of a long request, permissions may be taken away in the middle.
    actor, scope = permissions.identify_with_scope(str(actor.username), "register")
    guards.require_token_of(actor)
    outcomes = batches.register_batch(actor, scope, [Incoming(info) for info in infos])
    db.commit()
    return outcomes


def _result(given: Given, outcome: batches.Outcome) -> dict[str, Any]:
    if isinstance(outcome, Exception):
        error = _told(outcome)
        return given.result(error["code"], error)
    return given.result(201 if outcome == "created" else 200)


def _told(error: Exception) -> dict[str, Any]:
    told: dict[str, Any] = answer_to(error).get_json()
    return told
