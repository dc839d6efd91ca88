"""Registering the datasets that are found in storage."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from sqlalchemy import select

from dservercore import db
from dservercore.catalog import base_uris, dataset_rows, registration
from dservercore.catalog.datasets import Document
from dservercore.catalog.full_documents import EDITABLE, differences, document_of
from dservercore.catalog.scope import OPERATOR, Scope
from dservercore.catalog.storage import access, index_reads, pruning
from dservercore.catalog.storage.index_reads import MAX_NAME, Indexed, Read
from dservercore.catalog.storage.index_runs import IndexRun
from dservercore.catalog.storage.json_budget import JsonBudget
from dservercore.dataset import uris
from dservercore.dataset.times import datetime_to_timestamp
from dservercore.db import sql_db, statistics
from dservercore.errors import DserverError, ValidationError
from dservercore.models import Dataset

#: Characters of JSON that are in memory as values; one dataset alone may have more.
JSON_AT_ONCE = 16 * 2**20

# The file of a dataset for each part of its document; all other fields are in the administrative metadata.
_FILES = {"readme": "README.yml", "manifest": "manifest.json", "tags": "tags", "annotations": "annotations"}


def index_base_uri(
    scope: Scope,
    base_uri: str,
    *,
    jobs: int = 4,
    full: bool = False,
    prune: bool = False,
    may_prune: pruning.Permit = pruning.never,
    started: Callable[[int], None] = lambda number_of_datasets: None,
) -> Generator[Indexed]:
    """Register every dataset in the storage of a base URI; yield what became of each, once it is durable.

    Commits after each batch, so that an interrupted run loses nothing that it reported. A dataset that is registered
    as it is stored is left alone. One that is registered again keeps its ``uploaded_by`` and ``uploaded_at``. How the
    run ended is recorded with the base URI.

    :param scope: register scope of the operator
    :param jobs: datasets read from storage at the same time
    :param full: register again what has not changed since it was registered
    :param prune: afterwards, remove the registrations of datasets that are gone from storage
    :param may_prune: asked before more registrations are removed than ``DSERVER_PRUNE_LIMIT`` lets go
    :param started: called with the number of datasets in storage, when that is known
    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnavailableError: if its storage cannot be listed, or a plugin cannot reach its store
    :raises TooManyGoneError: if more registrations would be removed than may be; what is in storage is registered then
    """
    base_uri_id = base_uris.get_id(base_uri)
    run = IndexRun(base_uri)
    try:
        base, found = access.listed(base_uri)
        started(len(found))
        known = fingerprints(base_uri_id)
        with closing(_index(scope, base_uri, base, found, known, jobs, full)) as done:
            for indexed in done:
                run.count(indexed.outcome)
                yield indexed
        if prune:
            gone = [uri for uri in sorted(known.keys() - set(found)) if access.is_gone(base, uri)]
            pruning.require_prunable(base_uri, len(gone), len(known), may_prune)
            for uri in pruning.remove(gone):
                run.count("pruned")
                yield Indexed("pruned", uri)
    except (GeneratorExit, KeyboardInterrupt):
        run.end("interrupted")
        raise
    except Exception as error:
        run.end(access.reason(error))
        raise
    run.end(None)


def _index(
    scope: Scope,
    base_uri: str,
    base: access.Base,
    found: Sequence[str],
    known: Mapping[str, str | None],
    jobs: int,
    full: bool,
) -> Generator[Indexed]:
    """Register the datasets that are found in a base URI, but for those that are registered as they are stored."""
    registered = 0
    with ExitStack() as stack:
        pool = stack.enter_context(_pool(jobs))
        unchanged: set[str] = set()
        for uri in () if full else index_reads.unchanged(base, found, known, pool, jobs):
            unchanged.add(uri)
            yield Indexed("unchanged", uri)
        changed = [uri for uri in found if uri not in unchanged]
        budget = stack.enter_context(closing(JsonBudget(JSON_AT_ONCE)))
        reads = index_reads.in_parallel(
            lambda uri: index_reads.read(base, uri, base_uri, None), changed, pool, 4 * jobs, budget
        )
        for batch in index_reads.in_batches(reads, budget):
            if not full:
                _leave_alone(base, batch, known)
            done = _register_batch(scope, batch)
            registered += sum(indexed.outcome == "registered" for indexed in done)
            yield from done
    statistics.after_registering(registered)


def register_from_storage(scope: Scope, uri: str) -> Indexed:
    """Register the one dataset that is stored at *uri*, without a commit. Return what became of it.

    A dataset that is registered already keeps its ``uploaded_by`` and ``uploaded_at``.

    :param scope: register scope of the operator
    :raises UnknownBaseURIError: if its base URI is not registered
    """
    base_uri = uris.parent(uri)
    base_uris.get_id(base_uri)
    try:
        base = access.open_base(base_uri)
    except Exception as error:  # each storage has errors of its own
        return Indexed("failed", uri, uris.last_segment(uri), access.reason(error))
    return _register_batch(scope, [index_reads.read(base, uri, base_uri, None)], commit=False)[0]


def index_dataset(scope: Scope, base: access.Base, uri: str) -> Indexed:
    """Register the one dataset that is stored at *uri*, unless it is registered as it is stored, and commit.

    Return what became of it. One that is registered again keeps its ``uploaded_by`` and ``uploaded_at``.

    :param scope: register scope of the operator
    """
    rows = sql_db.session.execute(select(Dataset.uri, Dataset.fingerprint).where(Dataset.uri == uri))
    known = {row.uri: row.fingerprint for row in rows}
    db.rollback()  # reading takes long, and nothing is to be held meanwhile
    batch = [index_reads.read(base, uri, uris.parent(uri), known.get(uri))]
    _leave_alone(base, batch, known)
    return _register_batch(scope, batch)[0]


def fingerprints(base_uri_id: int) -> dict[str, str | None]:
    """Return ``{URI: fingerprint}`` of the datasets that are registered in a base URI; None: none was noted."""
    rows = sql_db.session.execute(
        select(Dataset.uri, Dataset.fingerprint).where(Dataset.base_uri_id == base_uri_id)
    )
    return {row.uri: row.fingerprint for row in rows}


@contextmanager
def _pool(jobs: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        yield pool
    finally:
        # Whoever interrupts is not kept waiting by a storage that may never answer.
        pool.shutdown(wait=False, cancel_futures=True)


# What is registered as it is stored


def _leave_alone(base: access.Base, batch: list[Read], known: Mapping[str, str | None]) -> None:
    """Put outcomes in place of the documents of *batch* that are registered as they are stored; set their fingerprints.

    A dataset that was registered over HTTP, or edited, has no fingerprint, or another one: only reading it tells.
    """
    seen = []
    for number, read in enumerate(batch):
        if read.document is None or read.uri not in known:
            continue
        try:
            registered = document_of(read.uri)
            changed = differences(read.document, registered)
        except DserverError:  # it is no longer registered, or cannot be: the registration reports that
            continue
        if changed and (known[read.uri] is not None or not _is_edited(base, read.uri, registered, changed)):
            continue
        batch[number] = Read(read.uri, outcome=Indexed("unchanged", read.uri, warnings=read.warnings))
        seen.append((read.uri, registered["uploaded_at"], read.fingerprint))
    db.rollback()  # the registration is to read the rows as they are then
    if any(fingerprint for _, _, fingerprint in seen):
        db.begin_write()
        dataset_rows.keep_others_from([uri for uri, _, _ in seen])
        dataset_rows.set_fingerprints(seen)
        db.commit()


def _is_edited(base: access.Base, uri: str, registered: Mapping[str, Any], changed: Sequence[str]) -> bool:
    """Return whether a dataset differs because the catalogue was edited, and not because its storage was."""
    if registered["uploaded_at"] is None or not set(changed) <= set(EDITABLE):
        return False
    return not access.has_changed_since(base, uri, datetime_to_timestamp(registered["uploaded_at"]))


# Registering


def _register_batch(scope: Scope, batch: list[Read], commit: bool = True) -> list[Indexed]:
    """Register a batch in one transaction, in which a dataset that fails undoes itself alone."""
    incoming = {
        read.uri: Document(read.document, read.fingerprint, keeps_upload=True)
        for read in batch
        if read.document is not None
    }
    done = registration.register_batch(OPERATOR, scope, list(incoming.values()))
    if commit:
        db.commit()
    outcomes = dict(zip(incoming, done, strict=True))
    return [read.outcome or _indexed(read, outcomes[read.uri]) for read in batch]


def _indexed(read: Read, outcome: registration.Outcome) -> Indexed:
    if not isinstance(outcome, Exception):
        return Indexed("registered", read.uri, warnings=read.warnings)
    name = str(read.document.get("name", ""))[:MAX_NAME] if read.document else ""
    return Indexed("failed", read.uri, name, _reason(read, outcome), read.warnings)


def _reason(read: Read, error: Exception) -> str:
    """Return why a dataset is not registered, with the file that is at fault where that is known."""
    reason = access.reason(error)
    field = next(iter(error.errors or ()), None) if isinstance(error, ValidationError) else None
    if field is None:
        return reason
    part, _, name = field.partition(".")
    file = _FILES.get(part, "dtool")
    if part == "annotations" and name:
        file = next((f"{file}/{own}.json" for own in _names(read) if f"{name}.".startswith(f"{own}.")), file)
    return f"{read.path_of(file)}: {reason}"


def _names(read: Read) -> list[str]:
    """Return the names of a dataset's annotations, the longest first, of which one may be the beginning of another."""
    return sorted(read.document["annotations"] if read.document else (), key=len, reverse=True)
