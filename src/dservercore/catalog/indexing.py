"""Registering the datasets that are found in storage."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select

from dservercore import db, plugin_writes, uris
from dservercore.catalog import base_uris, batches, dataset_rows, datasets, storage, upkeep
from dservercore.catalog.batches import Incoming
from dservercore.catalog.json_budget import JsonBudget
from dservercore.db import sql_db
from dservercore.models import Dataset
from dservercore.scope import OPERATOR, Scope

Outcome = Literal["registered", "unchanged", "not frozen", "failed", "pruned"]

LOOKS = 50  # datasets that a thread looks at before it tells
BATCH = 500  # datasets that share one commit
MAX_NAME = 80  # characters of a dataset's name, which may be anything before it is registered
# Above which a batch takes no more datasets: all of it is in memory, and other writers wait while it is written.
BATCH_SIZE = 2 * 2**20  # characters of READMEs and annotations, and so many for each item of a manifest:
ITEM_SIZE = 20
#: Characters of JSON that are in memory as values; one dataset alone may have more.
JSON_AT_ONCE = 16 * 2**20
LOOK_SECONDS = 0.05  # after which somebody is seen to wait for that
BATCH_SECONDS = 1.0  # for how long what has been read waits for slow storage to fill its batch


@dataclass(frozen=True)
class Indexed:
    """What became of one dataset; ``name`` and ``reason`` say more about one that was not registered."""

    outcome: Outcome
    uri: str
    name: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Read:
    """What was found in storage: a document to register, or an outcome that needs nothing more.

    :param size: of the document in memory: characters of README and annotations, and ``ITEM_SIZE`` for each item
    """

    uri: str
    document: dict[str, Any] | None = None
    fingerprint: str | None = None
    outcome: Indexed | None = None
    size: int = 0


def index_base_uri(
    scope: Scope,
    base_uri: str,
    *,
    jobs: int = 4,
    full: bool = False,
    prune: bool = False,
    started: Callable[[int], None] = lambda number_of_datasets: None,
) -> Generator[Indexed]:
    """Register every dataset in the storage of a base URI; yield what became of each, once it is durable.

    Commits after each batch, so that an interrupted run loses nothing that it reported.

    :param scope: register scope of the operator
    :param jobs: datasets read from storage at the same time
    :param full: read again what has not changed since it was registered
    :param prune: then remove registrations whose dataset is gone from storage
    :param started: told the number of datasets in storage, when that is known
    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnavailableError: if its storage cannot be listed, or a plugin cannot reach its store
    """
    base_uri_id = base_uris.get_id(base_uri)
    base, found = storage.listed(base_uri)
    started(len(found))
    known = fingerprints(base_uri_id)
    registered = 0
    with ExitStack() as stack:
        pool = stack.enter_context(_pool(jobs))
        unchanged: set[str] = set()
        for uri in () if full else _unchanged(base, found, known, pool, jobs):
            unchanged.add(uri)
            yield Indexed("unchanged", uri)
        changed = [uri for uri in found if uri not in unchanged]
        budget = stack.enter_context(closing(JsonBudget(JSON_AT_ONCE)))
        reads = _in_parallel(lambda uri: read(base, uri, base_uri, None), changed, pool, 4 * jobs, budget)
        for batch in _batches(reads, budget):
            done = _register_batch(scope, batch)
            registered += sum(indexed.outcome == "registered" for indexed in done)
            yield from done
    if prune:
        yield from _prune(uri for uri in sorted(known.keys() - set(found)) if storage.is_gone(base, uri))
    upkeep.after_registering(registered)


def register_from_storage(scope: Scope, uri: str) -> Indexed:
    """Register the one dataset that is stored at *uri*; flushes, and leaves the commit to the caller.

    :param scope: register scope of the operator
    :raises UnknownBaseURIError: if its base URI is not registered
    """
    base_uri = uris.parent(uri)
    base_uris.get_id(base_uri)
    try:
        base = storage.open_base(base_uri)
    except Exception as error:  # each storage has errors of its own
        return Indexed("failed", uri, uris.last_segment(uri), storage.reason(error))
    return _register_batch(scope, [read(base, uri, base_uri, None)], commit=False)[0]


# Reading


def read(base: storage.Base, uri: str, base_uri: str, known: str | None) -> Read:
    """Read one dataset, unless its storage still looks as it did when it was registered."""
    name = uris.last_segment(uri)
    try:
        fingerprint = storage.fingerprint(base, uri)
        if known is not None and fingerprint == known:
            return Read(uri, outcome=Indexed("unchanged", uri))
        dataset = storage.open_readable(base, uri)
        name = str(dataset.name)[:MAX_NAME]
        document = dataset.document(base_uri)
        return Read(uri, document, fingerprint, size=_size_of(document))
    except storage.NotFrozenError as error:
        return Read(uri, outcome=Indexed("not frozen", uri, name, storage.reason(error)))
    except Exception as error:  # one broken dataset must not stop the others
        return Read(uri, outcome=Indexed("failed", uri, name, storage.reason(error)))


def fingerprints(base_uri_id: int) -> dict[str, str | None]:
    """Return ``{URI: fingerprint}`` of the datasets that are registered in a base URI."""
    rows = sql_db.session.execute(
        select(Dataset.uri, Dataset.fingerprint).where(Dataset.base_uri_id == base_uri_id)
    )
    return {row.uri: row.fingerprint for row in rows}


def _unchanged(
    base: storage.Base,
    found: Sequence[str],
    known: Mapping[str, str | None],
    pool: ThreadPoolExecutor,
    jobs: int,
) -> Iterator[str]:
    """Yield the URIs of the datasets that look in storage as they did when they were registered."""
    to_look_at = [uri for uri in found if known.get(uri) is not None]
    # Many at once, as looking at one on disk takes less time than handing it to another thread.
    size = max(1, min(LOOKS, len(to_look_at) // (4 * jobs)))
    parts = [to_look_at[start : start + size] for start in range(0, len(to_look_at), size)]
    looked = pool.map(lambda part: [uri for uri in part if _looks_as(base, known[uri], uri)], parts)
    for unchanged in looked:
        yield from unchanged


def _looks_as(base: storage.Base, known: str | None, uri: str) -> bool:
    try:
        return storage.fingerprint(base, uri) == known
    except Exception:  # each storage has errors of its own; reading it will tell what is wrong
        return False


@contextmanager
def _pool(jobs: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        yield pool
    finally:
        # Whoever interrupts is not kept waiting by a storage that may never answer.
        pool.shutdown(wait=False, cancel_futures=True)


def _in_parallel(
    read_one: Callable[[str], Read],
    found: Iterable[str],
    pool: ThreadPoolExecutor,
    ahead: int,
    budget: JsonBudget,
) -> Iterator[Future[Read]]:
    """Yield the future result of *read_one* for each URI, in order, never holding many more than *ahead* results."""

    def read_within_budget(number: int, uri: str) -> Read:
        with budget.reading(number):
            return read_one(uri)

    waiting: deque[Future[Read]] = deque()
    for number, uri in enumerate(found):
        waiting.append(pool.submit(read_within_budget, number, uri))
        if len(waiting) > ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def _batches(reads: Iterable[Future[Read]], budget: JsonBudget) -> Iterator[list[Read]]:
    """Gather results into batches, each of ``BATCH`` or as many as there are when something keeps one waiting.

    A batch is empty, and its memory free, when the next one is asked for.
    """
    batch: list[Read] = []
    size, deadline = 0, 0.0
    for read in reads:
        if not batch:
            size, deadline = 0, time.monotonic() + BATCH_SECONDS
        elif len(batch) == BATCH or size >= BATCH_SIZE or not _is_done_by(deadline, read, budget):
            yield batch
            budget.let_go(len(batch))
            batch.clear()
            size, deadline = 0, time.monotonic() + BATCH_SECONDS
        batch.append(read.result())
        size += batch[-1].size
        del read  # it holds the result
    if batch:
        yield batch


def _size_of(document: Mapping[str, Any]) -> int:
    described = len(document["readme"]) + len(json.dumps(document["annotations"]))
    return described + ITEM_SIZE * len(document["manifest"]["items"])


def _is_done_by(deadline: float, read: Future[Read], budget: JsonBudget) -> bool:
    while (seconds := deadline - time.monotonic()) > 0:
        if read.done():
            return True
        if budget.is_short:  # it may wait for the batch
            return False
        wait([read], timeout=min(seconds, LOOK_SECONDS))
    return False


# Registering


def _register_batch(scope: Scope, batch: list[Read], commit: bool = True) -> list[Indexed]:
    """Register a batch in one transaction, in which a dataset that fails undoes itself alone."""
    incoming = {
        read.uri: Incoming(read.document, read.fingerprint) for read in batch if read.document is not None
    }
    done = batches.register_batch(OPERATOR, scope, list(incoming.values()))
    if commit:
        db.commit()
    outcomes = dict(zip(incoming, done, strict=True))
    return [read.outcome or _indexed(read, outcomes[read.uri]) for read in batch]


def _indexed(read: Read, outcome: batches.Outcome) -> Indexed:
    if not isinstance(outcome, Exception):
        return Indexed("registered", read.uri)
    name = str(read.document.get("name", ""))[:MAX_NAME] if read.document else ""
    return Indexed("failed", read.uri, name, storage.reason(outcome))


def _prune(gone: Iterable[str]) -> Iterator[Indexed]:
    """Remove the registrations of datasets that are gone from storage."""
    pruned = []
    for uri in list(gone):  # looks at the storage, so before the write begins
        plugin_writes.begin()
        registered = dataset_rows.hold_registered(uri)
        if registered:
            datasets.remove([registered])
            datasets.record_deletion(registered, OPERATOR)
            pruned.append(Indexed("pruned", uri))
    db.commit()
    yield from pruned
