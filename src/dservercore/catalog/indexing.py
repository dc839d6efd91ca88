"""Registering the datasets that are found in storage."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import dtoolcore
from dtoolcore.utils import DEFAULT_CONFIG_PATH
from sqlalchemy import select

from dservercore import db, uris
from dservercore.catalog import base_uris, datasets
from dservercore.dataset_info import generate_dataset_info
from dservercore.db import sql_db
from dservercore.errors import UnavailableError, ValidationError
from dservercore.models import Dataset
from dservercore.scope import OPERATOR, Scope

Outcome = Literal["registered", "unchanged", "not frozen", "failed", "pruned"]

BATCH = 100  # datasets that share one commit


@dataclass(frozen=True)
class Indexed:
    """What became of one dataset; ``name`` and ``reason`` say more about one that failed."""

    outcome: Outcome
    uri: str
    name: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Read:
    """What was found in storage: a document to register, or an outcome that needs nothing more."""

    uri: str
    document: dict[str, Any] | None = None
    fingerprint: str | None = None
    outcome: Indexed | None = None


def index_base_uri(
    scope: Scope,
    base_uri: str,
    *,
    jobs: int = 4,
    full: bool = False,
    prune: bool = False,
    started: Callable[[int], None] = lambda number_of_datasets: None,
) -> Iterator[Indexed]:
    """Register every dataset in the storage of a base URI; yield what became of each, once it is durable.

    Commits after each batch, so that an interrupted run loses nothing that it reported.

    :param scope: register scope of the operator
    :param jobs: datasets read from storage at the same time
    :param full: read again what has not changed since it was registered
    :param prune: then remove registrations whose dataset is gone from storage
    :param started: told the number of datasets in storage, when that is known
    :raises UnknownBaseURIError: if the base URI is not registered
    :raises UnavailableError: if its storage cannot be listed
    """
    base_uri_id = base_uris.get_id(base_uri)
    found = list_stored(base_uri)
    started(len(found))
    known = _fingerprints(base_uri_id)
    reads = _in_parallel(lambda uri: _read(uri, base_uri, None if full else known.get(uri)), found, jobs)
    for batch in _batches(reads, BATCH):
        yield from _register_batch(scope, batch)
    if prune:
        yield from _prune(known.keys() - set(found))


def register_from_storage(scope: Scope, uri: str) -> None:
    """Register the one dataset that is stored at *uri*; flushes, and leaves the commit to the caller.

    :raises ValidationError: if it cannot be read, or its document is not acceptable
    """
    base_uri = uris.parent(uri)
    base_uris.get_id(base_uri)
    try:
        document = {**generate_dataset_info(dtoolcore.DataSet.from_uri(uri), base_uri), "uri": uri}
    except Exception as error:  # each storage has errors of its own
        raise ValidationError(f"Cannot read {uri}: {_reason(error)}") from error
    datasets.register_dataset(OPERATOR, scope, document, _fingerprint(uri))


# Storage


def list_stored(base_uri: str) -> list[str]:
    """Return the URIs of all datasets, frozen or not, in the storage of a base URI.

    :raises UnavailableError: if it cannot be listed
    """
    try:
        if uris.is_out_of_reach(base_uri):
            raise OSError(f"it is on another host ({urlparse(base_uri).netloc})")
        broker = _storage_broker(base_uri)
        listed = broker.list_dataset_uris(base_uri, DEFAULT_CONFIG_PATH)
    except Exception as error:  # each storage has errors of its own
        raise UnavailableError(f"Cannot list the datasets in {base_uri}: {_reason(error)}") from error
    # dtool writes the host name into the URIs of files, whether or not the base URI has it.
    return sorted(f"{base_uri}/{uris.last_segment(uri)}" for uri in listed)


def _storage_broker(uri: str) -> Any:
    scheme = urlparse(uri).scheme
    # dtoolcore has no public way to the brokers by scheme.
    brokers = dtoolcore._generate_storage_broker_lookup()
    if scheme not in brokers:
        raise ValueError(f"no dtool storage broker for {scheme}:// is installed (such as dtool-{scheme})")
    return brokers[scheme]


def _read(uri: str, base_uri: str, known: str | None) -> _Read:
    """Read one dataset, unless its storage still looks as it did when it was registered."""
    try:
        fingerprint = _fingerprint(uri)
        if known is not None and fingerprint == known:
            return _Read(uri, outcome=Indexed("unchanged", uri))
        dataset = dtoolcore.DataSet.from_uri(uri)
        return _Read(uri, {**generate_dataset_info(dataset, base_uri), "uri": uri}, fingerprint)
    except dtoolcore.DtoolCoreTypeError:
        return _Read(uri, outcome=Indexed("not frozen", uri))
    except Exception as error:  # one broken dataset must not stop the others
        return _Read(uri, outcome=Indexed("failed", uri, uris.last_segment(uri), _reason(error)))


def _fingerprint(uri: str) -> str | None:
    """Return a digest of names, sizes and modification times of a dataset's metadata files.

    None where the storage is not a directory here, so that only reading the dataset tells whether it has changed.
    """
    parsed = urlparse(uri)
    if parsed.scheme != "file":
        return None
    directory = Path(parsed.path)
    hidden = directory / ".dtool"
    files = [directory / "README.yml", hidden / "dtool", hidden / "manifest.json"]
    for name in ("annotations", "tags"):
        if (hidden / name).is_dir():
            files.extend(Path(entry) for entry in os.scandir(hidden / name))
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(files):
        status = path.stat()
        digest.update(json.dumps([path.name, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# Registering


def _fingerprints(base_uri_id: int) -> dict[str, str | None]:
    rows = sql_db.session.execute(
        select(Dataset.uri, Dataset.fingerprint).where(Dataset.base_uri_id == base_uri_id)
    )
    return {row.uri: row.fingerprint for row in rows}


def _in_parallel(read: Callable[[str], _Read], found: Iterable[str], jobs: int) -> Iterator[_Read]:
    """Yield the result of *read* for each URI, in order, never holding many more than *jobs* results."""
    waiting: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for uri in found:
                waiting.append(pool.submit(read, uri))
                if len(waiting) > 4 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _batches(reads: Iterator[_Read], size: int) -> Iterator[list[_Read]]:
    batch: list[_Read] = []
    for read in reads:
        batch.append(read)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _register_batch(scope: Scope, batch: list[_Read]) -> list[Indexed]:
    """Register a batch in one transaction, in which a dataset that fails undoes itself alone."""
    outcomes = [read.outcome or _register(scope, read) for read in batch]
    db.commit()
    return outcomes


def _register(scope: Scope, read: _Read) -> Indexed:
    assert read.document is not None
    db.begin_write()
    try:
        with sql_db.session.begin_nested():
            datasets.register_dataset(OPERATOR, scope, read.document, read.fingerprint)
    except Exception as error:  # a document that one store refuses must not stop the others
        return Indexed("failed", read.uri, str(read.document.get("name", "")), _reason(error))
    return Indexed("registered", read.uri)


def _prune(gone: Iterable[str]) -> Iterator[Indexed]:
    db.begin_write()
    pruned = []
    for uri in sorted(gone):
        registered = datasets.counted(uri)
        if registered:
            datasets.remove(uri, *registered)
            pruned.append(Indexed("pruned", uri))
    db.commit()
    yield from pruned
