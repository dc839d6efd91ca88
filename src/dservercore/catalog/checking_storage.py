"""Whether what is registered is what is stored, and making it so, as indexing the base URI would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from dservercore import db, plugin_writes
from dservercore.catalog import dataset_rows, datasets, indexing, storage
from dservercore.catalog.checking import Difference, read_from_storage
from dservercore.catalog.documents import document_of
from dservercore.dataset_info import checked
from dservercore.date_utils import timestamp_to_datetime
from dservercore.errors import DserverError, UnavailableError, UnknownURIError
from dservercore.scope import OPERATOR, Scope

_COMPARED = ("uuid", "name", "creator_username", "readme", "manifest", "annotations")
_TIMES = ("frozen_at", "created_at")


def check_storage(
    scope: Scope,
    register_scope: Scope,
    started: Callable[[int], object] = lambda _: None,
    told: Callable[[], object] = lambda: None,
) -> Iterator[Difference]:
    """Yield what differs between the registered datasets and those in storage, one base URI after the other.

    Datasets that are not frozen yet are left out. What looks as it did when it was indexed is not read.

    :param scope: search scope of the operator, or a part of it
    :param register_scope: of the operator, for what is to be registered
    :param started: told, for each base URI, the number of datasets to look at
    :param told: called after each of them
    """
    for base_uri, key in sorted(scope.base_uris.items()):
        try:
            base, uris = storage.listed(base_uri)
        except UnavailableError as error:
            yield Difference("storage", base_uri, f"cannot be looked at: {error.message}", _cannot_be_mended)
            continue
        listed, known = set(uris), indexing.fingerprints(key)
        db.rollback()  # reading takes long, and nothing is to be held meanwhile
        wanted = sorted(listed | known.keys())
        started(len(wanted))
        for uri in wanted:
            if uri in listed:
                yield from _look_at(base, uri, base_uri, known, register_scope)
            elif storage.is_gone(base, uri):
                yield Difference("storage", uri, "is missing there", partial(_unregister, base, uri))
            told()


def _look_at(
    base: storage.Base,
    uri: str,
    base_uri: str,
    known: Mapping[str, str | None],
    register_scope: Scope,
) -> Iterator[Difference]:
    read = indexing.read(base, uri, base_uri, known.get(uri))
    if read.outcome and read.outcome.outcome == "failed":
        yield Difference("storage", uri, f"cannot be read: {read.outcome.reason}", _cannot_be_mended)
    elif read.document is None:
        return
    elif uri not in known:
        yield Difference("storage", uri, "is not registered", partial(read_from_storage, register_scope, uri))
    else:
        changed = _changed(uri, read.document)
        if changed:
            what = f"has changed there: {', '.join(changed)}"
            yield Difference("storage", uri, what, partial(read_from_storage, register_scope, uri))


def _changed(uri: str, info: Mapping[str, Any]) -> list[str]:
    """Return the fields of a dataset that are not registered as they are stored."""
    try:
        stored, registered = checked(info), document_of(uri)
    except UnknownURIError:  # the other check reports it
        return []
    except DserverError as error:
        return [error.message]
    finally:
        db.rollback()
    changed = [field for field in _COMPARED if stored[field] != registered[field]]
    changed += [
        time
        for time in _TIMES
        if timestamp_to_datetime(stored[time]) != timestamp_to_datetime(registered[time])
    ]
    return changed + (["tags"] if sorted(stored["tags"]) != sorted(registered["tags"]) else [])


def _unregister(base: storage.Base, uri: str) -> str:
    if not storage.is_gone(base, uri):
        raise LookupError("it is there again")
    plugin_writes.begin()
    registered = dataset_rows.hold_registered(uri)
    if registered:
        datasets.remove([registered])
        datasets.record_deletion(registered, OPERATOR)
    db.commit()
    return "registration removed"


def _cannot_be_mended() -> str:
    raise LookupError("that is a matter of the storage")
