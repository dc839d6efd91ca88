"""Registering datasets, many at once or one: the rows, the summaries and the plugins take them as sets.

A batch is written in *runs* of different datasets, each in one savepoint. If a store refuses one of them, the run is
taken back and written again in two halves, and so on: what is refused undoes itself alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.exc import OperationalError

from dservercore import plugin_writes
from dservercore.catalog import dataset_rows as rows
from dservercore.catalog import journal, limits
from dservercore.dataset_info import checked
from dservercore.date_utils import timestamp_to_datetime, utcnow
from dservercore.db import sql_db
from dservercore.errors import UnavailableError
from dservercore.plugin_api import PluginABC
from dservercore.scope import Actor, Scope

#: So many datasets make a run; every database takes more parameters than that in one statement.
RUN = 500


@dataclass(frozen=True)
class Incoming:
    """A dataset to register.

    :param info: its document (see ``dataset_info``)
    :param fingerprint: what its storage looked like, if it was read from there
    :param uploaded_at: naive UTC; None: now
    """

    info: Mapping[str, Any]
    fingerprint: str | None = None
    uploaded_at: datetime | None = None


#: What became of a dataset; an error: nothing, because of that.
Outcome = Literal["created", "replaced"] | Exception


@dataclass(frozen=True)
class _Accepted:
    """A dataset that may be stored, and its place in the batch."""

    number: int
    document: dict[str, Any]
    fingerprint: str | None
    prepared: Mapping[PluginABC, dict[str, Any]]

    @property
    def uri(self) -> str:
        return str(self.document["uri"])


def register_batch(actor: Actor, scope: Scope, batch: Sequence[Incoming]) -> list[Outcome]:
    """Store the documents of datasets everywhere, in place of those of the same URIs. Return what became of each.

    Those that are not acceptable, that *scope* does not have or that a store refuses do not keep the others from being
    stored. A dataset that comes twice is replaced by what comes later.

    :param scope: the base URIs in which *actor* may register
    :raises UnavailableError: if a plugin cannot reach its store
    :raises sqlalchemy.exc.OperationalError: if the database cannot take anything, because it is full or away
    """
    outcomes: dict[int, Outcome] = {}
    accepted = []
    for number, incoming in enumerate(batch):
        try:
            accepted.append(_accepted(actor, scope, incoming, number))
        except Exception as error:  # one broken dataset must not stop the others
            outcomes[number] = error
    for run in _runs(accepted):
        _begin(run)
        done = _register(run)
        journal.strike([one.uri for one in run if not isinstance(done[one.number], Exception)])
        outcomes |= done
    return [outcomes[number] for number in range(len(batch))]


def register_one(actor: Actor, scope: Scope, incoming: Incoming) -> Literal["created", "replaced"]:
    """Store the document of one dataset everywhere. Return what became of it.

    :raises ValidationError: if the document is not acceptable
    :raises AuthorizationError: if *scope* does not have its base URI
    :raises UnavailableError: if a plugin cannot reach its store
    """
    run = [_accepted(actor, scope, incoming)]
    _begin(run)
    done = _write(run)
    journal.strike([run[0].uri])
    return done[0]


def _accepted(actor: Actor, scope: Scope, incoming: Incoming, number: int = 0) -> _Accepted:
    """Return the document to store. Errors as for :func:`register_one`."""
    info = incoming.info
    if isinstance(info.get("base_uri"), str):
        scope.require(info["base_uri"])  # first, so that nobody else learns what is wrong with the document
    document = checked(info)
    limits.check_description(document)
    limits.check_file_names(document["manifest"])
    document["uploaded_by"] = actor.username
    document["uploaded_at"] = incoming.uploaded_at or utcnow()
    # Before anything is locked: what plugins make of long texts takes longer than writing it.
    return _Accepted(number, document, incoming.fingerprint, plugin_writes.prepare(document))


def _runs(accepted: Iterable[_Accepted]) -> Iterator[list[_Accepted]]:
    """Yield what can be written at once: different datasets, and not too many."""
    run: dict[str, _Accepted] = {}
    for one in accepted:
        if len(run) == RUN or one.uri in run:
            yield list(run.values())
            run = {}
        run[one.uri] = one
    if run:
        yield list(run.values())


def _begin(run: Sequence[_Accepted]) -> None:
    """Start the write in which these datasets are stored, and then struck off the journal.

    :raises UnavailableError: if a plugin cannot reach its store
    """
    journal.begin_change([journal.Change(one.uri, incoming=_identity(one.document)) for one in run])


def _identity(document: Mapping[str, Any]) -> plugin_writes.Former:
    return plugin_writes.Former(
        document["uri"],
        document["uuid"],
        timestamp_to_datetime(document["frozen_at"]),
        timestamp_to_datetime(document["created_at"]),
        document["uploaded_at"],
    )


def _register(run: Sequence[_Accepted]) -> dict[int, Outcome]:
    """Store a run; return what became of each dataset, by its number."""
    try:
        with sql_db.session.begin_nested():
            return {**_write(run)}
    except (OperationalError, UnavailableError):  # a full disk, a lost connection: no dataset's fault
        raise
    except Exception as error:
        if len(run) == 1:
            return {run[0].number: error}
        half = len(run) // 2
        return _register(run[:half]) | _register(run[half:])


def _write(run: Sequence[_Accepted]) -> dict[int, Literal["created", "replaced"]]:
    """Store a run everywhere, or raise and leave it half done. Return what becomes of each dataset, by its number."""
    # The scope is older than the write: meanwhile the base URI may be gone, and its key be that of another one.
    keys = rows.hold_base_uris(one.document["base_uri"] for one in run)
    registered = rows.find_all_registered([one.uri for one in run])
    written = [
        rows.Written(one.document, keys[one.document["base_uri"]], registered.get(one.uri), one.fingerprint)
        for one in run
    ]
    rows.write_rows(written)
    plugin_writes.register_all(
        [
            plugin_writes.Registration(row.document, _replaced(row), one.prepared)
            for row, one in zip(written, run, strict=True)
        ]
    )
    return {one.number: "replaced" if one.uri in registered else "created" for one in run}


def _replaced(written: rows.Written) -> plugin_writes.Former | None:
    """Return the dataset of another UUID whose place the written one takes."""
    before = written.before
    return before.former if before and before.former.uuid != written.document["uuid"] else None
