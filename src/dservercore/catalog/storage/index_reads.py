"""Reading datasets from storage, many at the same time and within a budget of memory, to be registered in batches."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from dservercore import db
from dservercore.catalog.storage import access
from dservercore.catalog.storage.index_runs import Outcome
from dservercore.catalog.storage.json_budget import JsonBudget
from dservercore.dataset import uris

LOOKS = 50  # datasets that a thread looks at before it returns
BATCH = 500  # datasets that share one commit
MAX_NAME = 80  # characters of a dataset's name, which may be anything before it is registered
# Above which a batch takes no more datasets: all of it is in memory, and other writers wait while it is written.
BATCH_SIZE = 2 * 2**20  # characters of READMEs and annotations, and so many for each item of a manifest:
ITEM_SIZE = 20
LOOK_SECONDS = 0.05  # between two looks whether a reader waits for memory
BATCH_SECONDS = 1.0  # for how long what has been read waits for slow storage to fill its batch


@dataclass(frozen=True)
class Indexed:
    """What became of one dataset.

    :param name: of a dataset that was not registered; else empty
    :param reason: why it was not registered; else empty
    :param warnings: what is odd about it and was no reason not to register it
    """

    outcome: Outcome
    uri: str
    name: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """What was found in storage: a document to register, or an outcome that needs nothing more.

    :param size: of the document in memory: characters of README and annotations, and ``ITEM_SIZE`` for each item
    :param path_of: returns where a file of the dataset is, for messages
    """

    uri: str
    document: dict[str, Any] | None = None
    fingerprint: str | None = None
    outcome: Indexed | None = None
    size: int = 0
    warnings: tuple[str, ...] = ()
    path_of: Callable[[str], str] = str


def read(base: access.Base, uri: str, base_uri: str, known: str | None) -> Read:
    """Read one dataset, unless its storage still looks as it did when it was registered. Errors are outcomes.

    :param known: the fingerprint that was noted with the registration; None: read it in any case
    """
    name = uris.last_segment(uri)
    try:
        fingerprint = access.fingerprint(base, uri)
        if known is not None and fingerprint == known:
            return Read(uri, outcome=Indexed("unchanged", uri))
        dataset = access.open_readable(base, uri)
        name = str(dataset.name)[:MAX_NAME]
        document = dataset.document(base_uri)
        warnings = tuple(dataset.warnings)
        return Read(uri, document, fingerprint, None, _size_of(document), warnings, dataset.path_of)
    except access.NotFrozenError as error:
        return Read(uri, outcome=Indexed("not frozen", uri, name, access.reason(error)))
    except Exception as error:  # one broken dataset must not stop the others
        return Read(uri, outcome=Indexed("failed", uri, name, access.reason(error)))


def unchanged(
    base: access.Base,
    found: Sequence[str],
    known: Mapping[str, str | None],
    pool: ThreadPoolExecutor,
    jobs: int,
) -> Iterator[str]:
    """Yield the URIs of the datasets that look in storage as they did when they were registered.

    :param found: URIs of the datasets in storage
    :param known: by URI, the fingerprints that were noted with the registrations
    """
    to_look_at = [uri for uri in found if known.get(uri) is not None]
    # Many at once, as looking at one on disk takes less time than handing it to another thread.
    size = max(1, min(LOOKS, len(to_look_at) // (4 * jobs)))
    parts = db.batched(to_look_at, size)
    looked = pool.map(lambda part: [uri for uri in part if _looks_as(base, known[uri], uri)], parts)
    for found_unchanged in looked:
        yield from found_unchanged


def _looks_as(base: access.Base, known: str | None, uri: str) -> bool:
    try:
        return access.fingerprint(base, uri) == known
    except Exception:  # each storage has errors of its own; reading it will tell what is wrong
        return False


def in_parallel(
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


def in_batches(reads: Iterable[Future[Read]], budget: JsonBudget) -> Iterator[list[Read]]:
    """Yield the results in batches: of up to ``BATCH``, or what there is when a batch is large or the next result late.

    A batch is emptied, and its memory freed, when the next one is asked for.
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
        if budget.is_short:  # it may wait for the memory of the batch
            return False
        wait([read], timeout=min(seconds, LOOK_SECONDS))
    return False
