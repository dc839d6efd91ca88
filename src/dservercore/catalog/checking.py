"""Whether the SQL database, the search store and the retrieve store say the same; and making them do so.

The SQL rows are right about which datasets there are, and about their tags; the retrieve store is right about READMEs,
manifests and annotations; what the search store has follows from both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from dservercore import db, plugin_host, plugin_writes, uris
from dservercore.catalog import dataset_rows, indexing, journal, journal_entries, settling, summary
from dservercore.catalog.documents import document_of
from dservercore.date_utils import utcnow
from dservercore.errors import UnknownURIError
from dservercore.plugin_api import PluginABC, SearchABC
from dservercore.scope import OperatorScope, Scope

Store = Literal["journal", "search", "retrieve", "summaries", "storage"]

_COMPARED = ("uri", "uuid", "name", "creator_username")


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
    :param register_scope: of the operator, for what is to be read from storage again
    :param started: told the number of datasets to look at
    :param told: called after each of them
    """
    yield from (
        Difference("journal", uri, f"a {kind} was cut short", _replay)
        for kind, uri in journal_entries.pending()
    )
    # Before the rows: what is registered meanwhile is no leftover then.
    stored = {store: _listed(plugin, scope) for store, plugin in _stores()}
    registered = dataset_rows.uris_in(scope.ids)
    started(len(registered))
    for uri in registered:
        yield from _certain(uri, partial(_look_at, register_scope))
        told()
    known = set(registered)
    for store, plugin in _stores():
        for uri, uuid in sorted(stored[store].items()):
            if uri not in known:
                yield from _certain(uri, partial(_look_at_leftover, store, scope, uuid))
        for fault in getattr(plugin, "faults", list)():
            yield Difference(store, "the index", fault, partial(_mend_faults, plugin))
    if summary.is_miscounted() and _is_certainly_miscounted():
        yield Difference("summaries", "the counts", "are not those of the datasets", _recount)


def _certain(uri: str, look: Callable[[str], Iterator[Difference]]) -> list[Difference]:
    """Return what differs, after a second look in which nobody is writing the dataset."""
    found = list(look(uri))
    if found:
        db.rollback()
        plugin_writes.begin()
        dataset_rows.keep_others_from([uri])
        found = list(look(uri))
    db.rollback()
    return found


def _look_at(register_scope: Scope, uri: str) -> Iterator[Difference]:
    """Yield what differs between the stores of one dataset that is registered."""
    row = dataset_rows.find_registered(uri)
    if row is None or journal_entries.is_pending(uri):
        return
    search = plugin_host.plugins().search
    try:
        document = document_of(uri)
    except UnknownURIError:
        yield Difference("retrieve", uri, "is missing", partial(read_from_storage, register_scope, uri))
        return
    tags = list(row.counted.tags)
    if document["tags"] != tags:
        yield Difference("retrieve", uri, "has other tags", partial(_register_again, uri))
    document["tags"] = tags
    if not _is_stored(search, document):
        yield Difference("search", uri, "is missing", partial(_register_again, uri))
    elif not _holds(search, document):
        yield Difference("search", uri, "is found by something else", partial(_register_again, uri))


def _look_at_leftover(store: Store, scope: Scope, uuid: str, uri: str) -> Iterator[Difference]:
    """Yield that a store holds a dataset which is not registered."""
    is_asked_for = uris.parent(uri) in scope or isinstance(scope, OperatorScope)
    if is_asked_for and dataset_rows.find_registered(uri) is None and not journal_entries.is_pending(uri):
        yield Difference(store, uri, "is left over", partial(_forget, uri, uuid))


def _is_certainly_miscounted() -> bool:
    db.rollback()
    plugin_writes.begin()
    dataset_rows.keep_everybody_out()
    found = summary.is_miscounted()
    db.rollback()
    return found


def _stores() -> tuple[tuple[Store, PluginABC], ...]:
    held = plugin_host.plugins()
    return ("search", held.search), ("retrieve", held.retrieve)


# -- What a plugin holds. Those of third parties are asked as far as they can tell. ----------------------------------


def _listed(plugin: PluginABC, scope: Scope) -> dict[str, str]:
    """Return ``{URI: UUID}`` of what a plugin holds."""
    listed = getattr(plugin, "list_stored", None)
    if listed:
        return dict(listed())
    if isinstance(plugin, SearchABC):
        found = plugin.search({"base_uris": list(scope.base_uris)}) if scope.base_uris else []
        return {dataset["uri"]: str(dataset["uuid"]) for dataset in found}
    return {}


def _is_stored(search: SearchABC, document: dict[str, Any]) -> bool:
    if hasattr(search, "is_stored"):
        return bool(search.is_stored(document["uri"]))
    return _found(search, document) is not None


def _holds(search: SearchABC, document: dict[str, Any]) -> bool:
    """Return whether a search plugin finds a dataset by what describes it now."""
    if hasattr(search, "holds"):
        return bool(search.holds(document))
    found = _found(search, document)
    return found is not None and all(str(found.get(key)) == str(document[key]) for key in _COMPARED)


def _found(search: SearchABC, document: dict[str, Any]) -> dict[str, Any] | None:
    query = {"base_uris": [document["base_uri"]], "uuids": [document["uuid"]]}
    return next((found for found in search.search(query) if found["uri"] == document["uri"]), None)


# -- Mending. Each ends its transaction. -----------------------------------------------------------------------------


def _replay() -> str:
    settling.replay()
    return "settled"


def _mend_faults(plugin: Any) -> str:
    db.begin_write()
    plugin.mend_faults()
    db.commit()
    return "made anew"


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
    journal.begin_change([journal.Change(uri, incoming=row.former)])
    row = dataset_rows.hold_registered(uri)
    if row is not None:
        plugin_writes.register({**document_of(uri), "tags": list(row.counted.tags)})
    journal.strike([uri])
    db.commit()
    return "stored again"


def read_from_storage(register_scope: Scope, uri: str) -> str:
    """Register a dataset as it is stored; return that it was.

    :raises LookupError: if that is impossible
    """
    done = indexing.register_from_storage(register_scope, uri)
    if done.outcome != "registered":
        db.rollback()
        raise LookupError(f"it cannot be read from its storage ({done.reason or done.outcome})")
    db.commit()
    return "read from its storage"


def _forget(uri: str, uuid: str) -> str:
    plugin_writes.begin()
    dataset_rows.keep_others_from([uri])
    if dataset_rows.hold_registered(uri) is None:
        now = utcnow()
        journal.delete_from_stores([plugin_writes.Former(uri, uuid, now, now, now)])
    db.commit()
    return "removed"
