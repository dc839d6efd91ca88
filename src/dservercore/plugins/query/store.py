"""What a store of documents can be asked, whatever it keeps them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from flask import current_app

from dservercore.catalog.scope import Scope
from dservercore.plugins.query.turns import Turns

if TYPE_CHECKING:
    from dservercore.plugins.query.conditions import Filter

#: The kind of the jobs that bring documents to MongoDB.
BRING = "query.document"

#: The kind of the job that makes missing documents of a batch, and enters itself again for the next one.
REBUILD = "query.rebuild"

_STORE, _TURNS = "dservercore-documents", "dservercore-query-turns"


@dataclass(frozen=True)
class Restrictions:
    """What a query is restricted to beside its filter; None: not by this.

    :ivar base_uris: in none but these; those that are not in the scope do not count
    :ivar tags: with each of these
    """

    creator_usernames: tuple[str, ...] | None = None
    base_uris: tuple[str, ...] | None = None
    uuids: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None


class DocumentStore(Protocol):
    """Finds documents. None is ever seen that is not in the scope."""

    def find(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        *,
        sort: Mapping[str, int] | None,
        skip: int,
        limit: int,
        seconds: float,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return one page of the documents that match, without ``manifest``, and how many match in all.

        :param sort: 1 or -1 by field of a dataset object; None: by ``uri``, which also comes last otherwise
        :raises OutOfTimeError: if it takes longer than *seconds*
        :raises UnavailableError: if the store cannot be reached
        """

    def stream(
        self,
        scope: Scope,
        filter: Filter,
        restrictions: Restrictions,
        *,
        most: int,
        seconds: float,
        with_manifest: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents that match, whole, by ``uri``, up to *most* of them.

        :param with_manifest: False: ``manifest``, which takes the longest to read, may be left out
        :raises OutOfTimeError: if it takes longer than *seconds*
        :raises UnavailableError: if the store cannot be reached
        """


def use(app: Any, store: DocumentStore) -> None:
    """Have *app* ask a store, by as many at the same time as it is configured for."""
    app.extensions[_STORE] = store
    app.extensions[_TURNS] = Turns(app.config["DSERVER_DIRECT_QUERIES_AT_ONCE"])


def store() -> DocumentStore:
    """Return the store that the application asks."""
    return cast(DocumentStore, current_app.extensions[_STORE])


def turns() -> Turns:
    """Return who is asking the store at this moment."""
    return cast(Turns, current_app.extensions[_TURNS])
