"""Whether datasets are registered as their storage has them; and registering them from there, where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from dservercore import db
from dservercore.catalog.consistency.stores import Difference, read_from_storage
from dservercore.catalog.full_documents import differences, document_of
from dservercore.catalog.scope import Scope
from dservercore.catalog.storage import access, index_reads, indexing, pruning
from dservercore.errors import DserverError, UnavailableError, UnknownURIError


def check_storage(
    scope: Scope,
    register_scope: Scope,
    started: Callable[[int], object] = lambda _: None,
    told: Callable[[], object] = lambda: None,
    may_prune: pruning.Permit = pruning.never,
) -> Iterator[Difference]:
    """Yield what differs between the registered datasets and those in storage, one base URI after the other.

    Datasets that are not frozen yet are left out. What looks as it did when it was indexed is not read.

    :param scope: search scope of the operator, or a part of it
    :param register_scope: register scope of the operator, in which datasets are registered from storage
    :param started: called, for each base URI, with the number of datasets to look at
    :param told: called after each dataset
    :param may_prune: asked before the registrations of more datasets of a base URI are removed than
        ``DSERVER_PRUNE_LIMIT`` lets go
    """
    for base_uri, key in sorted(scope.base_uris.items()):
        try:
            base, uris = access.listed(base_uri)
        except UnavailableError as error:
            yield Difference("storage", base_uri, f"cannot be looked at: {error.message}", _cannot_be_mended)
            continue
        listed, known = set(uris), indexing.fingerprints(key)
        db.rollback()  # reading takes long, and nothing is to be held meanwhile
        wanted = sorted(listed | known.keys())
        started(len(wanted))
        gone = {uri for uri in known.keys() - listed if access.is_gone(base, uri)}
        removal = _Removal(base_uri, base, len(gone), len(known), may_prune)
        for uri in wanted:
            if uri in listed:
                yield from _look_at(base, uri, base_uri, known, register_scope)
            elif uri in gone:
                yield Difference("storage", uri, "is missing there", partial(removal.unregister, uri))
            told()


def _look_at(
    base: access.Base,
    uri: str,
    base_uri: str,
    known: Mapping[str, str | None],
    register_scope: Scope,
) -> Iterator[Difference]:
    read = index_reads.read(base, uri, base_uri, known.get(uri))
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
    """Return the fields in which a registered dataset differs from its storage, or what makes its document invalid."""
    try:
        return differences(info, document_of(uri))
    except UnknownURIError:  # the other check reports it
        return []
    except DserverError as error:
        return [error.message]
    finally:
        db.rollback()


class _Removal:
    """Removing the registrations of the datasets that are gone from the storage of a base URI: of all, or of none."""

    def __init__(
        self, base_uri: str, base: access.Base, gone: int, registered: int, may_prune: pruning.Permit
    ) -> None:
        self._base = base
        self._refusal: DserverError | None = None
        self._decide = partial(pruning.require_prunable, base_uri, gone, registered, may_prune)
        self._is_decided = False

    def unregister(self, uri: str) -> str:
        """Remove one registration.

        :raises TooManyGoneError: if too many would be removed
        :raises LookupError: if the dataset is there again
        """
        if not self._is_decided:
            self._is_decided = True
            try:
                self._decide()
            except DserverError as error:
                self._refusal = error
        if self._refusal:
            raise self._refusal
        if not access.is_gone(self._base, uri):
            raise LookupError("it is there again")
        pruning.remove([uri])
        return "registration removed"


def _cannot_be_mended() -> str:
    raise LookupError("that is a matter of the storage")
