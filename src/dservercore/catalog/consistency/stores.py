"""Whether the SQL database, the search store and the retrieve store say the same; and making them do so.

The SQL rows are right about which datasets there are, and about their tags; the retrieve store is right about READMEs,
manifests and annotations; what the search store and the extensions have follows from both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from typing import Literal

from dservercore import db, plugin_host
from dservercore.catalog import dataset_rows, lacks, reindexing, store_writes, summary
from dservercore.catalog.full_documents import document_of
from dservercore.catalog.journal import changes, entries, replay
from dservercore.catalog.scope import OperatorScope, Scope
from dservercore.catalog.storage import indexing
from dservercore.dataset import lacking, uris
from dservercore.dataset.times import utcnow
from dservercore.errors import UnknownURIError
from dservercore.plugin_api import Former, StoreABC

Store = Literal["journal", "search", "retrieve", "extensions", "summaries", "storage"]


@dataclass(frozen=True)
class Difference:
    """Something that one store says and another does not.

    :param subject: URI of the dataset or base URI, or what else it is about
    :param mend: makes the stores agree and returns what was done; raises ``LookupError`` if that is impossible
    """

    store: Store
    subject: str
    what: str
    mend: Callable[[], str]


def check(
    scope: Scope,
    register_scope: Scope,
    started: Callable[[int], object] = lambda _: None,
    told: Callable[[], object] = lambda: None,
) -> Iterator[Difference]:
    """Yield what differs between the stores. They may be written to meanwhile.

    :param scope: search scope of the operator, or a part of it
    :param register_scope: register scope of the operator, in which a dataset is registered from storage again
    :param started: called with the number of datasets to look at
    :param told: called after each dataset
    """
    yield from (
        Difference("journal", uri, f"a {kind} was cut short", _replay) for kind, uri in entries.pending()
    )
    # Read before the rows: what is registered meanwhile is then not taken for a leftover.
    stored = {store: plugin.stored_in(list(scope.base_uris)) for store, plugin in _stores()}
    outdated = set(reindexing.outdated())
    registered = dataset_rows.uris_in(scope.ids)
    started(len(registered))
    for uri in registered:
        yield from _certain(uri, partial(_look_at, register_scope, outdated))
        told()
    known = set(registered)
    if to_index := sorted(outdated & known):
        what = f"has {len(to_index)} dataset{'' if len(to_index) == 1 else 's'} that an older version has indexed"
        yield Difference("search", "the index", what, partial(_index_again, to_index))
    for store, plugin in _stores():
        for uri, uuid in sorted(stored[store].items()):
            if uri not in known:
                yield from _certain(uri, partial(_look_at_leftover, store, scope, uuid))
        for fault in plugin.faults():
            yield Difference(store, "the index", fault, partial(_mend_faults, plugin))
    if summary.is_miscounted() and _is_certainly_miscounted():
        yield Difference("summaries", "the counts", "are not those of the datasets", _recount)


def _certain(uri: str, look: Callable[[str], Iterator[Difference]]) -> list[Difference]:
    """Return what differs by *look*; if something does, by a second look, while nobody can write the dataset."""
    found = list(look(uri))
    if found:
        db.rollback()
        store_writes.begin()
        dataset_rows.keep_others_from([uri])
        found = list(look(uri))
    db.rollback()
    return found


def _look_at(register_scope: Scope, outdated: Set[str], uri: str) -> Iterator[Difference]:
    """Yield what differs between the stores of one dataset that is registered.

    :param outdated: datasets that are in the search index otherwise than they would be today
    """
    row = dataset_rows.find_registered(uri)
    if row is None or entries.is_pending(uri):
        return
    search = plugin_host.plugins().search
    try:
        document = document_of(uri)
    except UnknownURIError:
        yield Difference("retrieve", uri, "is missing", partial(read_from_storage, register_scope, uri))
        return
    tags = list(row.tags)
    if document["tags"] != tags:
        yield Difference("retrieve", uri, "has other tags", partial(_register_again, uri))
    document["tags"] = tags
    if not search.can_find(document):
        yield Difference("search", uri, "is missing", partial(_register_again, uri))
    elif uri not in outdated and not search.holds(document):
        yield Difference("search", uri, "is found by something else", partial(_register_again, uri))
    for extension in plugin_host.plugins().extensions:
        if not extension.holds(document):
            what = f"is kept otherwise by {extension.version_key}"
            yield Difference("extensions", uri, what, partial(_register_again, uri))
    if row.lacks != row.with_readme(lacking.of_readme(document["readme"])).lacks:
        yield Difference("summaries", uri, "is noted to lack something else", partial(_note_anew, uri))


def _look_at_leftover(store: Store, scope: Scope, uuid: str, uri: str) -> Iterator[Difference]:
    """Yield that a store holds a dataset which is not registered."""
    is_asked_for = uris.parent(uri) in scope or isinstance(scope, OperatorScope)
    if is_asked_for and dataset_rows.find_registered(uri) is None and not entries.is_pending(uri):
        yield Difference(store, uri, "is left over", partial(_forget, uri, uuid))


def _is_certainly_miscounted() -> bool:
    db.rollback()
    store_writes.begin()
    dataset_rows.keep_everybody_out()
    found = summary.is_miscounted()
    db.rollback()
    return found


def _stores() -> tuple[tuple[Store, StoreABC], ...]:
    held = plugin_host.plugins()
    return ("search", held.search), ("retrieve", held.retrieve)


# -- Mending. Each function ends its transaction, and returns what was done. ----------------------------------------


def _replay() -> str:
    replay.replay()
    return "settled"


def _mend_faults(plugin: StoreABC) -> str:
    db.begin_write()
    plugin.mend_faults()
    db.commit()
    return "made anew"


def _index_again(uris: list[str]) -> str:
    left = reindexing.index_again(uris)
    if left:
        raise LookupError(f"{len(left)} of them cannot be described, such as {left[0]}")
    return "indexed again"


def _note_anew(uri: str) -> str:
    lacks.note_anew([uri])
    db.commit()
    return "noted anew"


def _recount() -> str:
    db.begin_write()
    summary.recount()
    db.commit()
    return "counted anew"


def _register_again(uri: str) -> str:
    """Bring to the stores what the rows and the retrieve store say of a dataset."""
    row = dataset_rows.find_registered(uri)
    if row is None:
        return "no longer registered"
    changes.begin_change([changes.Change(uri, incoming=row.former)])
    row = dataset_rows.hold_registered(uri)
    if row is not None:
        store_writes.register({**document_of(uri), "tags": list(row.tags)})
    changes.strike([uri])
    db.commit()
    return "stored again"


def read_from_storage(register_scope: Scope, uri: str) -> str:
    """Register a dataset as it is stored, and commit. Return what was done, for the report.

    :param register_scope: register scope of the operator
    :raises LookupError: if that is impossible; the message says why
    """
    done = indexing.register_from_storage(register_scope, uri)
    if done.outcome != "registered":
        db.rollback()
        raise LookupError(f"it cannot be read from its storage ({done.reason or done.outcome})")
    db.commit()
    return "read from its storage"


def _forget(uri: str, uuid: str) -> str:
    store_writes.begin()
    dataset_rows.keep_others_from([uri])
    if dataset_rows.hold_registered(uri) is None:
        now = utcnow()
        changes.delete_from_stores([Former(uri, uuid, now, now, now)])
    db.commit()
    return "removed"
