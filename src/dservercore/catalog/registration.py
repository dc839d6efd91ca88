"""Registering datasets, one or many at once: rows, summaries and plugins are written for many datasets together.

A batch is written in *runs* of different datasets, each in one savepoint. If a store refuses one of them, the run is
rolled back and written again in two halves, and so on, until only the datasets that are refused are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.exc import OperationalError

from dservercore import db
from dservercore.catalog import dataset_rows as rows
from dservercore.catalog import limits, store_writes
from dservercore.catalog.datasets import Document
from dservercore.catalog.journal import changes
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset import lacking
from dservercore.dataset.document import checked
from dservercore.db import sql_db
from dservercore.errors import DserverError, UnavailableError

#: Most datasets in a run: fewer than the parameters that any database takes in one statement.
RUN = 500


class _UploadedMeanwhileError(DserverError):
    """Another user registered the dataset just now: ``uploaded_by`` must be read again, to be kept."""


#: What became of a dataset; an error says why it was not stored.
Outcome = Literal["created", "replaced"] | Exception


def register_batch(actor: Actor, scope: Scope, batch: Sequence[Document]) -> list[Outcome]:
    """Store the documents of datasets in every store, in place of those of the same URIs.

    A document that is not acceptable, whose base URI is not in *scope* or that a store refuses does not keep the others
    from being stored. Of two documents with the same URI, the later one replaces the earlier one.

    :param scope: the base URIs in which *actor* may register
    :param batch: documents as they were handed over, not checked yet
    :returns: what became of each document, in the order of *batch*
    :raises UnavailableError: if a plugin cannot reach its store
    :raises sqlalchemy.exc.OperationalError: if the database cannot take anything, because it is full or away
    """
    outcomes: dict[int, Outcome] = {}
    accepted: list[tuple[int, Document]] = []
    uploads = _uploads(batch)
    for number, document in enumerate(batch):
        try:
            accepted.append((number, _accepted(actor, scope, document, uploads)))
        except Exception as error:  # one broken dataset must not stop the others
            outcomes[number] = error
    for run in _runs(accepted):
        documents = [document for _, document in run]
        _begin(documents)
        done = _register(documents)
        changes.strike([uri for uri, outcome in done.items() if not isinstance(outcome, Exception)])
        outcomes |= {number: done[document.uri] for number, document in run}
    again = [number for number, outcome in outcomes.items() if isinstance(outcome, _UploadedMeanwhileError)]
    if again:
        outcomes |= zip(again, register_batch(actor, scope, [batch[n] for n in again]), strict=True)
    return [outcomes[number] for number in range(len(batch))]


def register_dataset(actor: Actor, scope: Scope, info: Mapping[str, Any]) -> bool:
    """Store a dataset's document in every store, or replace the one of the same URI. Return whether it is new.

    :param scope: the base URIs in which *actor* may register
    :param info: the document: the fields of ``PUT /uris/<uri>``
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises UnavailableError: if a plugin cannot reach its store
    """
    return register_one(actor, scope, Document(info)) == "created"


def register_one(actor: Actor, scope: Scope, document: Document) -> Literal["created", "replaced"]:
    """Store the document of one dataset in every store. Return whether it is new or replaces one of the same URI.

    :param scope: the base URIs in which *actor* may register
    :param document: as it was handed over, not checked yet
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises UnavailableError: if a plugin cannot reach its store
    """
    accepted = _accepted(actor, scope, document, {})
    _begin([accepted])
    done = _write([accepted])
    changes.strike([accepted.uri])
    return done[accepted.uri]


def _uploads(batch: Sequence[Document]) -> Mapping[str, tuple[str, datetime | None]]:
    """Return ``{URI: (user name, naive UTC)}`` of earlier registrations, for the documents that are to keep them."""
    kept = [str(document.info.get("uri")) for document in batch if document.keeps_upload]
    known: dict[str, tuple[str, datetime | None]] = {}
    for some in db.batched(kept):
        known |= rows.uploads(some)
    return known


def _accepted(
    actor: Actor, scope: Scope, document: Document, uploads: Mapping[str, tuple[str, datetime | None]]
) -> Document:
    """Return the document as it is to be stored, with what the plugins have prepared of it.

    :param uploads: ``{URI: (user name, naive UTC)}`` of earlier registrations, which are kept
    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    """
    given = document.info
    if isinstance(given.get("base_uri"), str):
        scope.require(given["base_uri"])  # first, so that nobody else learns what is wrong with the document
    info = checked(given)
    limits.check_description(info)
    limits.check_file_names(info["manifest"])
    uploaded_by, uploaded_at = uploads.get(info["uri"]) or (actor.username, document.uploaded_at)
    info["uploaded_by"] = uploaded_by
    info["uploaded_at"] = uploaded_at
    # Before anything is locked: what plugins make of long texts takes longer than writing it.
    return replace(
        document, info=info, prepared=store_writes.prepare(info), lacks=lacking.of_readme(info["readme"])
    )


def _runs(accepted: Iterable[tuple[int, Document]]) -> Iterator[list[tuple[int, Document]]]:
    """Yield runs: up to ``RUN`` documents of different datasets, each with its number."""
    run: dict[str, tuple[int, Document]] = {}
    for number, document in accepted:
        if len(run) == RUN or document.uri in run:
            yield list(run.values())
            run = {}
        run[document.uri] = number, document
    if run:
        yield list(run.values())


def _begin(run: Sequence[Document]) -> None:
    """Enter the registration of these datasets in the journal, and start the transaction that makes it.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    changes.begin_change([changes.Change(one.uri, incoming=one.former) for one in run])


def _register(run: Sequence[Document]) -> dict[str, Outcome]:
    """Store a run in a savepoint, or, if a store refuses it, in two halves. Return what became of each dataset, by URI.

    :raises sqlalchemy.exc.OperationalError: if the database cannot take anything, because it is full or away
    :raises UnavailableError: if a plugin cannot reach its store
    """
    try:
        with sql_db.session.begin_nested():
            return {**_write(run)}
    except (OperationalError, UnavailableError):  # a full disk, a lost connection: no dataset's fault
        raise
    except Exception as error:
        if len(run) == 1:
            return {run[0].uri: error}
        half = len(run) // 2
        return _register(run[:half]) | _register(run[half:])


def _write(run: Sequence[Document]) -> dict[str, Literal["created", "replaced"]]:
    """Store a run in every store; an error leaves it half done. Return ``created`` or ``replaced`` by URI."""
    # The scope was read before the write began: the base URI may be gone since, and its key another one's.
    keys = rows.hold_base_uris(one.info["base_uri"] for one in run)
    registered = rows.find_all_registered([one.uri for one in run])
    for one in run:
        before = registered.get(one.uri)
        if one.keeps_upload and before and before.uploaded_by not in (None, one.info["uploaded_by"]):
            raise _UploadedMeanwhileError
    rows.write_rows({one.uri: one for one in run}, keys, registered)
    replaced = {
        one.uri: registered[one.uri].former
        for one in run
        if one.uri in registered and registered[one.uri].uuid != one.info["uuid"]
    }
    store_writes.register_all(run, replaced)
    return {one.uri: "replaced" if one.uri in registered else "created" for one in run}
