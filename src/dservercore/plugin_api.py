"""The abstract base classes that search, retrieve and extension plugins implement: every method that the server calls.

Only what is abstract has to be written. What a plugin leaves out, the server makes up for when it loads the plugin
(``compat.completion``); each method says how.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from dservercore.dataset.facets import Facet
from dservercore.dataset.serialization import json_text, manifest_json
from dservercore.dataset.times import datetime_to_timestamp, timestamp_to_datetime
from dservercore.errors import UnknownURIError
from dservercore.settings.table import Setting

if TYPE_CHECKING:
    import click
    import flask
    from flask import Blueprint, Flask
    from flask_smorest.pagination import PaginationParameters
    from markupsafe import Markup

    from dservercore.catalog.scope import Scope
    from dservercore.rest.sort import SortParameters

#: The base URI of a document that stands for a deleted dataset. It has no scheme, and so cannot be registered: no
#: permission can be given on it.
DELETED = "(deleted)"

#: What a manifest may have beside what was registered, in the store of a retrieve plugin that cannot delete: the UUIDs
#: of all datasets that had the URI.
UUIDS_NOTE = "uuids_of_uri"


@dataclass(frozen=True)
class Former:
    """What is known of a dataset that is replaced or deleted; times are naive UTC.

    :ivar other_uuids: of datasets that had its URI before, under which a retrieve plugin may hold documents of the URI
    """

    uri: str
    uuid: str
    frozen_at: datetime
    created_at: datetime
    uploaded_at: datetime | None
    other_uuids: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """Return the dataset with times in seconds since the epoch, as the journal keeps it."""
        return {
            "uri": self.uri,
            "uuid": self.uuid,
            "frozen_at": datetime_to_timestamp(self.frozen_at),
            "created_at": datetime_to_timestamp(self.created_at),
            "uploaded_at": self.uploaded_at and datetime_to_timestamp(self.uploaded_at),
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Former:
        """Return the dataset that :meth:`as_json` has described."""
        frozen_at, created_at = map(timestamp_to_datetime, (kept["frozen_at"], kept["created_at"]))
        uploaded_at = None if kept["uploaded_at"] is None else timestamp_to_datetime(kept["uploaded_at"])
        return cls(kept["uri"], kept["uuid"], frozen_at, created_at, uploaded_at)


@dataclass(frozen=True)
class Edit:
    """A change of the ``readme``, ``tags`` or ``annotations`` of a dataset.

    :param value: the full new value
    :param change: the method that changes one tag or annotation alone, and its arguments after the URI; None where the
        full value is replaced
    :param read: returns the full document before the edit, and the other UUIDs under which a retrieve plugin may hold
        documents of its URI
    """

    uri: str
    field: str
    value: Any
    change: tuple[Any, ...] | None
    read: Callable[[], tuple[dict[str, Any], frozenset[str]]]

    @property
    def call(self) -> tuple[Any, ...]:
        """The name of the plugin's method that makes the change, and its arguments after the URI."""
        return self.change or (f"set_{self.field}", self.value)

    def as_a_whole(self) -> Edit:
        """Return the edit that replaces the full value."""
        return replace(self, change=None)

    def document(self) -> dict[str, Any]:
        """Return the full document with the new value."""
        return {**self.read()[0], self.field: self.value}


#: Called with the payload of a queued job: does the job.
JobHandler = Callable[[Any], Any]


@dataclass(frozen=True)
class DatasetEvent:
    """Something that has happened to one dataset, and counts.

    :param kind: ``registered`` (for the first time or again), ``edited`` or ``deleted``
    :param field: what was edited: ``readme``, ``tags`` or ``annotations``; None: it was no edit
    :param username: of the user on whose behalf it was done; None: the operator, or code that named nobody
    """

    kind: Literal["registered", "edited", "deleted"]
    uri: str
    uuid: str
    field: str | None = None
    username: str | None = None


@dataclass(frozen=True)
class PageSection:
    """A section on the page of a dataset.

    :param title: its heading, plain text
    :param html: its content, in which everything that was written by somebody is escaped
    """

    title: str
    html: Markup


@dataclass(frozen=True)
class Dependents:
    """Datasets that depend on another one, which somebody is about to delete.

    :param why: what makes them depend on it, such as ``were made from it``
    :param datasets: as far as the reader may search them, and as many as are to be named: ``uri`` and ``name`` of each
    :param number: how many of them the reader may search; None: more than are named, and not counted
    """

    why: str
    datasets: Sequence[Mapping[str, Any]]
    number: int | None


@dataclass(frozen=True)
class Attention:
    """Something that an administrator is to look at.

    :param what: a sentence without its full stop, which may lead up to the command
    :param command: that says more; empty: there is none
    """

    what: str
    command: str = ""


@dataclass(frozen=True)
class Downloads:
    """Where somebody who looks at the page of a dataset can download its files.

    :param item: given the identifier of an item, returns an address on this server
    :param everything: address of all files in one; None: there is none
    """

    item: Callable[[str], str]
    everything: str | None = None


@dataclass(frozen=True)
class ExportFormat:
    """A form in which the description of a dataset can be fetched.

    :param name: by which it is asked for: lower-case letters, digits and hyphens, such as ``ro-crate``
    :param title: by which people know it
    :param media_type: of the file, such as ``application/ld+json``
    :param suffix: of the file's name, such as ``.json``
    :param export: given the dataset's full document (the fields of ``PUT /uris/<uri>``), returns the file's content
    """

    name: str
    title: str
    media_type: str
    suffix: str
    export: Callable[[Mapping[str, Any]], bytes]


@dataclass(frozen=True)
class Matches:
    """All datasets that match a query, in the order asked for, by what a search plugin finds each of them again.

    :ivar keys: little enough of each that those of a million datasets fit into memory
    :ivar report: what was done to the query, as ``search_report``; None: nothing
    """

    keys: Sequence[Any]
    report: dict[str, Any] | None = None


class PluginABC(ABC):
    """What the server calls on every plugin. Plugins are created without arguments.

    A plugin stores what it needs of a dataset under the dataset's URI. Every write is idempotent:
    the server may repeat it after a crash.
    """

    #: True for a plugin whose writes go through ``sql_db.session`` and so count, or do not count,
    #: together with the dataset's own row.
    shares_sql_session = False

    #: Key under which ``/config/versions`` reports the plugin; None: its top-level module.
    version_key: str | None = None

    def init_app(self, app: Flask, *args: Any, **kwargs: Any) -> None:  # noqa: B027 optional by design
        """Prepare to serve *app*, whose configuration is complete.

        :raises ConfigurationError: with one line for the administrator when that is impossible
        """

    @abstractmethod
    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Store a dataset's document, or replace the one of the same ``uri``.

        A plugin without a :meth:`delete_dataset` of its own need only replace the one of the same ``uuid`` and
        ``uri``: where a URI is registered again with another UUID, the plugin is told first to forget the old dataset.

        :param dataset_info: the fields of ``PUT /uris/<uri>`` plus ``uploaded_by`` (str or None) and
            ``uploaded_at`` (naive UTC datetime). ``frozen_at`` and ``created_at`` are seconds since the
            epoch, UTC, as a number or a numeric string.
        :raises ValidationError: when this store cannot hold the document; the client gets a 400
        """

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> Any:
        """Store the documents of different datasets; by default one after the other.

        For plugins whose store takes many at once in less time. The server calls it with up to 500
        documents, where several datasets are registered together, and :meth:`register_dataset` for a single one.

        :raises ValidationError: when this store cannot hold one of them. The server then calls it with fewer, until it
            has found out which: what has been stored already is stored again, or undone.
        """
        for dataset_info in dataset_infos:
            self.register_dataset(dataset_info)

    def delete_dataset(self, uri: str) -> Any:  # noqa: B027 optional by design
        """Forget the dataset; no error if it is not there.

        A plugin that leaves this out gets a *tombstone* instead: :meth:`register_dataset` with a document of the
        same ``uuid`` and ``uri`` that says nothing more, in the base URI :data:`DELETED`. Nobody can be permitted to
        search that, so that the dataset is no longer found. It stays in the plugin's store until it is registered
        again.
        """

    def get_config(self) -> Any:
        """Return an object (or mapping) whose upper-case attributes become configuration defaults."""
        return {}

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings that the server reads from the environment, checks, and adds to ``app.config``.

        A setting that cannot be parsed stops the server with one line that names it, and a variable whose name is
        nearly that of a setting gets a warning. The name must not be that of a setting of the server.
        """
        return ()

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the configuration keys whose values must never be shown."""
        return []

    def require_available(self) -> None:  # noqa: B027 a plugin without a store of its own always can
        """Pass if the plugin's store can be reached.

        Asked of search and retrieve plugins, once in a request, before the server begins to write. A plugin that
        leaves this out may keep every other writer waiting for as long as it waits for its store.

        :raises UnavailableError: if it cannot, after a few seconds at most; the client gets a 503
        """

    def ready(self) -> str | None:
        """Return None if the plugin can serve requests, else what is wrong, without addresses or secrets."""
        return None

    # What follows is made of the methods above, and is not for a plugin to write: the server puts something else in its
    # place where a plugin lacks one of them.

    def register_together(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Store the documents of different datasets as :meth:`register_dataset` would store each of them."""
        self.register_datasets(dataset_infos)

    def forget_dataset(self, former: Former) -> None:
        """Forget a dataset, or store a tombstone in its place; no error if it is not there."""
        self.delete_dataset(former.uri)

    def forget_replaced(self, former: Former) -> None:  # noqa: B027 nothing is left where a URI has one document
        """Hide a dataset whose URI now has another UUID, if the plugin keeps a document for each UUID of a URI."""

    def register_under(self, dataset_info: dict[str, Any], other_uuids: Collection[str]) -> None:
        """Store a dataset's document, and a copy under each of its URI's other UUIDs, if the plugin may hand out those.

        :param other_uuids: of datasets that had its URI before
        """
        self.register_dataset(dataset_info)


class StoreABC(PluginABC):
    """What search and retrieve plugins have in common: edits, and what administrators check.

    **Edits.** Each of the methods may be left out. Where a method that changes a single tag or annotation is missing,
    the server calls the method that sets all of them; where that is missing too, it registers the full document again.
    """

    def prepare_dataset(self, dataset_info: dict[str, Any]) -> dict[str, Any]:
        """Work out what is to be stored of a dataset before the server begins to write, when nobody waits for a lock.

        It writes nothing. The server does not call it before every registration.

        :returns: what :meth:`register_dataset` and :meth:`register_datasets` are given in place of *dataset_info*, such
            as a subclass of ``dict`` that has what is to be stored as an attribute; by default the same
        :raises ValidationError: when this store cannot hold the document
        """
        return dataset_info

    def prepare_edit(self, field: str, value: Any) -> Any:
        """Work out what is to be stored of a new value before the server begins to write. It writes nothing.

        :param field: ``readme`` or ``annotations``
        :returns: what :meth:`set_readme` or :meth:`set_annotations` is given in place of *value*; by default the same
        :raises ValidationError: when this store cannot hold the value
        """
        return value

    def set_readme(self, uri: str, readme: str) -> Any:
        """Replace the README of a dataset."""
        raise NotImplementedError

    def set_tags(self, uri: str, tags: list[str]) -> Any:
        """Replace the tags of a dataset."""
        raise NotImplementedError

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> Any:
        """Replace the annotations of a dataset."""
        raise NotImplementedError

    def add_tag(self, uri: str, tag: str) -> Any:
        """Add a tag; no error if it is there already.

        The server prefers this to :meth:`set_tags`, which loses what another request changes at the same time.
        """
        raise NotImplementedError

    def remove_tag(self, uri: str, tag: str) -> Any:
        """Remove a tag, and touch no other one; no error if it is not there."""
        raise NotImplementedError

    def set_annotation(self, uri: str, name: str, value: Any) -> Any:
        """Set one annotation.

        The server prefers this to :meth:`set_annotations`, which loses what another request changes at the same time.
        """
        raise NotImplementedError

    def delete_annotation(self, uri: str, name: str) -> Any:
        """Remove one annotation, and touch no other one; no error if it is not there."""
        raise NotImplementedError

    def list_stored(self) -> Iterable[tuple[str, str]]:
        """Yield (URI, UUID) of each dataset that the plugin holds, registered or not.

        For ``flask dataset check``. A search plugin that leaves this out is asked for everything that it finds, and a
        retrieve plugin is taken to hold nothing but what is registered.
        """
        return ()

    def is_stored(self, uri: str) -> bool:
        """Return whether the plugin holds a dataset.

        For ``flask dataset check``, of search plugins. One that leaves this out is asked to find the dataset.
        """
        raise NotImplementedError

    def faults(self) -> list[str]:
        """Return lines on what is wrong with the store as a whole, for ``flask dataset check``; by default none."""
        return []

    def mend_faults(self) -> None:
        """Mend what :meth:`faults` has found."""

    # What follows is made of the methods above, and is not for a plugin to write: the server puts something else in its
    # place where a plugin lacks one of them.

    def edit_dataset(self, edit: Edit) -> bool:
        """Change the README, tags or annotations of a dataset.

        :returns: whether one tag or annotation alone was changed: others may have been changed at the same time
        """
        method, *arguments = edit.call
        getattr(self, method)(edit.uri, *arguments)
        return edit.change is not None

    def stored_in(self, base_uris: Sequence[str]) -> dict[str, str]:
        """Return ``{URI: UUID}`` of what the plugin holds: at least in these base URIs, as far as it can tell."""
        return dict(self.list_stored())


@dataclass(frozen=True)
class FacetCounts:
    """How many of the datasets that a query finds have which values.

    :ivar counts: numbers of datasets, by value, by facet
    :ivar search_report: what was done to the query, as :attr:`SearchABC.is_forgiving` says; None: nothing
    """

    counts: Mapping[Facet, Mapping[str, int]]
    search_report: dict[str, Any] | None = None


class SearchABC(StoreABC):
    """Finds datasets.

    **Results.** The server looks up what a plugin finds among the registered datasets, unless the plugin shares the SQL
    session: a dataset that is not registered, or not where the asker may search, is left out, and the answer has the
    times and numbers of the registration.
    """

    #: The fields of a query that :meth:`search` heeds. The server applies the other fields itself, to
    #: everything that the plugin finds without them, which it asks for at once. A plugin that knows
    #: ``uploaded_by`` should say so: ``filters = SearchABC.filters | {"uploaded_by"}``. Of the conditions
    #: (``dataset.conditions.CONDITIONS``, such as ``size``) it cannot apply any: those that a plugin does not heed are
    #: refused with a 422.
    filters: frozenset[str] = frozenset({"free_text", "creator_usernames", "base_uris", "uuids", "tags"})

    #: Whether :meth:`search` finds what may be meant where little or nothing is found. Then it is given ``strict``,
    #: true, in a query that is to be answered as it is typed; and where it did something to a query, it sets
    #: ``search_report`` on the pagination: ``{"corrected": {typed: [words]}, "optional": [typed], "strict_total": n}``,
    #: and ``answered_query``, a ``dataset.query_tree.Query`` by which words are highlighted in what was found.
    is_forgiving: bool = False

    #: Whether :meth:`count_facets` is there: not for a plugin to write.
    counts_facets: bool = True

    #: Whether :meth:`search` can count copies as one: then a query may have ``group``, ``uuid``, and of all datasets
    #: that match and have the same UUID, the first one in the order is returned, and counted. Otherwise the server does
    #: it, to everything that the plugin finds, which it asks for at once.
    groups_copies: bool = False

    @abstractmethod
    def search(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters | None = None,
        sort_parameters: SortParameters | None = None,
    ) -> list[dict[str, Any]]:
        """Return one page of the datasets that match, as dictionaries with the fields of a dataset object.

        :param query: any of ``free_text`` (str), ``creator_usernames``, ``uuids``, ``tags``, ``uploaded_by``
            (lists of str) and the conditions of ``POST /uris`` (as in its body), as far as they are in
            :attr:`filters`, and always ``base_uris``: the non-empty list that the asker may search
        :param pagination_parameters: page to return; ``item_count`` must be set on it. None: everything
        :param sort_parameters: has ``order``, ``{field: 1 | -1}``. None: by ``uri``
        :raises ValidationError: when the query cannot be expressed
        """

    def count_facets(
        self,
        query: dict[str, Any],
        facets: Sequence[Facet],
        base_uris: Sequence[str],
        sort_parameters: SortParameters | None = None,
    ) -> FacetCounts:
        """Return how many of the datasets that match have each value of facets, without the values that none has.

        Each facet is counted without its own filter, which is called as the facet is; all others hold. Words mean what
        they mean to :meth:`search` with the whole query. The facets are ``tags``, ``creator_usernames``, ``base_uris``,
        ``uploaded_by``, ``created`` and ``frozen`` (four digits of the year, UTC), ``size`` (a class of
        ``dataset.facets.SIZE_CLASSES``) and ``annotations`` (names). For a plugin that leaves this out, the server
        counts what :meth:`search` finds, as long as that is not too much.

        :param query: as :meth:`search` is given it, and ``base_uris`` may be empty: then nothing is found
        :param facets: names of those to count
        :param base_uris: all that the asker may search, in which the facet ``base_uris`` is counted
        :param sort_parameters: as :meth:`search` is given it, where it depends on the order what is found
        :raises ValidationError: when the query cannot be expressed
        """
        raise NotImplementedError

    def search_all(self, query: dict[str, Any], sort_parameters: SortParameters | None = None) -> Matches:
        """Return the keys of all datasets that match: just those that :meth:`search` counts for its pages.

        For exports. A plugin that leaves this out, or :meth:`fetch`, is asked for everything at once, without a page.

        :param query: as :meth:`search` gets it
        :param sort_parameters: has ``order``, ``{field: 1 | -1}``. None: by ``uri``
        :raises ValidationError: when the query cannot be expressed
        """
        raise NotImplementedError

    def fetch(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        """Return datasets as :meth:`search` does, in the order of their keys; those that are gone are left out.

        :param keys: some hundreds of those that :meth:`search_all` has returned
        """
        raise NotImplementedError

    def complete(self, text: str, base_uris: Sequence[str], most: int) -> Sequence[str]:
        """Return texts that complete what somebody types into a search box, each of which finds something.

        For ``/suggest``, which adds names, tags and creators. A plugin that leaves this out completes nothing.

        :param text: what is typed so far
        :param base_uris: the non-empty list that the asker may search: nothing of others may be told
        :param most: how many texts at most
        :raises UnavailableError: if it cannot be done now; then none are suggested
        """
        return ()

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the plugin holds a dataset as :meth:`register_dataset` would store it.

        For ``flask dataset check``. A plugin that leaves this out is asked to find the dataset, and the name, UUID and
        creator of what it finds are compared.
        """
        raise NotImplementedError

    def list_outdated(self) -> Iterable[str]:
        """Yield the URI of each dataset that an earlier version of the plugin has stored otherwise than it would today.

        ``flask db upgrade`` and ``flask dataset check --repair`` call :meth:`register_datasets` with the documents of
        these datasets. A plugin that leaves this out is taken to have none.
        """
        return ()

    def can_find(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the plugin holds a dataset: made of :meth:`is_stored`, and not for a plugin to write."""
        return self.is_stored(dataset_info["uri"])


class RetrieveABC(StoreABC):
    """Hands out a dataset's README, manifest, annotations and tags.

    Each getter raises :class:`~dservercore.errors.UnknownURIError` for a URI that is not stored.

    A plugin without a :meth:`delete_dataset` of its own may hold several documents of a URI that datasets of different
    UUIDs had one after the other. It may hand out any of them: the server keeps their descriptions alike, and notes
    the UUIDs in their manifests.
    """

    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Store the document; by default nothing, for a plugin that reads what its search twin stores."""

    def only_read(self) -> None:
        """Change nothing in the store, not even to prepare it: it is only read from, to move what is in it elsewhere.

        Called once, before anything else is asked of the plugin, and never on the plugin in use.
        """

    @abstractmethod
    def get_readme(self, uri: str) -> str:
        """Return the README as it was registered."""

    @abstractmethod
    def get_manifest(self, uri: str) -> dict[str, Any]:
        """Return the manifest: ``items``, ``hash_function`` and ``dtoolcore_version``."""

    @abstractmethod
    def get_annotations(self, uri: str) -> dict[str, Any]:
        """Return the annotations by name."""

    @abstractmethod
    def get_tags(self, uri: str) -> list[str]:
        """Return the tags."""

    def get_registered_manifest(self, uri: str) -> dict[str, Any]:
        """Return the manifest without notes of the server: made of :meth:`get_manifest`, and not for a plugin to write.

        :raises UnknownURIError: if the dataset is not stored
        """
        return {key: value for key, value in self.get_manifest(uri).items() if key != UUIDS_NOTE}

    def get_manifest_json(self, uri: str) -> bytes:
        """Return the manifest as JSON text in UTF-8: as it is stored, where it need not be built anew.

        :raises UnknownURIError: if the dataset is not stored
        """
        return orjson.dumps(self.get_registered_manifest(uri))

    def get_packed_manifest(self, uri: str) -> bytes | None:
        """Return the manifest as JSON in one zstandard frame, if the plugin stores it so; by default None.

        :raises UnknownURIError: if the dataset is not stored
        """
        return None

    def read_in_base_uri(self, field: str, uri: str, base_uri_id: int) -> Any:
        """Return one field of a dataset's description, if the dataset is registered in a base URI.

        For a plugin that reads the dataset's row with the statement that reads the field. Where there is an error, as
        by default, the server looks for the row itself, and calls the getter of the field.

        :param field: ``readme``, ``annotations``, ``tags``, ``manifest_json`` or ``packed_manifest``
        :param base_uri_id: the primary key of the base URI
        :raises UnknownURIError: if the plugin does not know of the dataset in that base URI
        """
        raise UnknownURIError(uri)

    def read_texts(self, uris: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield what a backup needs of those datasets that are stored; by default by a call of each getter.

        :returns: pairs of a URI and ``{"readme": str, "annotations": JSON object as text, "manifest": JSON object as
            text}``
        """
        for uri in uris:
            try:
                texts = {
                    "readme": self.get_readme(uri),
                    "annotations": json_text("annotations", self.get_annotations(uri)),
                    "manifest": manifest_json(self.get_registered_manifest(uri)).decode(),
                }
            except UnknownURIError:
                continue
            yield uri, texts

    def other_uuids(self, uri: str, uuid: str, *known: str) -> frozenset[str]:
        """Return the UUIDs under which the plugin may hold other documents of a dataset's URI.

        By default none: a plugin that deletes has one document for a URI. It is not for a plugin to write.

        :param uuid: the dataset's own
        :param known: UUIDs that are known to have had the URI before
        """
        return frozenset()


class ExtensionABC(PluginABC):
    """Adds to the server: routes, pages, tables, settings, commands; and is told of registrations, edits and deletions.

    :meth:`register_dataset` and :meth:`delete_dataset` are called within the transaction of a write, which may still be
    rolled back, and while the client waits. :meth:`after_commit` is called once it counts. Work that must not be lost
    is queued by ``dservercore.catalog.jobs.enqueue`` in the first two, and so counts together with the write.
    """

    #: True if a request to the extension's blueprints may be repeated: the server does so when the database gave up the
    #: request's transaction in favour of another one. Whatever the request did elsewhere is then done twice.
    repeatable = False

    #: False for an extension without a :meth:`register_dataset` of its own: no document is put together for
    #: it. The server finds that out by itself.
    wants_documents = True

    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Take note of a dataset that was registered or edited: each time the full document.

        An exception here is logged and does not undo the registration or the edit. An extension without a
        :meth:`delete_dataset` of its own is told of a deletion here: by a document of the same ``uuid`` and ``uri``
        that says nothing more, in the base URI :data:`DELETED`.
        """

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether what the extension keeps of a dataset is what :meth:`register_dataset` makes of its document.

        Asked by ``flask dataset check``, which otherwise has the dataset registered again. By default nothing is kept.
        """
        return True

    @abstractmethod
    def get_blueprint(self) -> Blueprint:
        """Return the ``flask_smorest`` or ``dservercore`` blueprint to mount."""

    def get_blueprints(self) -> Sequence[Blueprint]:
        """Return all blueprints to mount; by default the one of :meth:`get_blueprint`."""
        return [self.get_blueprint()]

    def get_pages(self) -> Sequence[flask.Blueprint]:
        """Return blueprints with pages for people, which are not part of the API. Made with ``dservercore.web.pages``.

        They are mounted unless ``DSERVER_WEB`` turns pages off.
        """
        return ()

    def get_commands(self) -> Sequence[click.Command]:
        """Return commands and groups of commands to add to ``flask``. They run in the context of the application."""
        return ()

    def get_migrations(self) -> Path | None:
        """Return the directory with the Alembic migrations of the extension's own tables; None: it has none.

        The files are a history of their own, that begins with ``down_revision = None``. ``flask db upgrade`` runs them
        after those of the server, whose tables they may refer to. Which of them have run is kept in a table of the
        extension's own (``alembic_version_`` and the key of the extension in ``/config/versions``), so that the server
        works as before where the extension is removed.
        """
        return None

    def get_job_handlers(self) -> Mapping[str, JobHandler]:
        """Return the functions that do the queued jobs of the extension, by kind of job.

        A handler is called with the payload of the job, in the context of the application, and in a transaction that is
        committed together with the job's end when it returns. A job is done at least once: one whose process ended in
        the middle is done again. An exception is logged, rolls the transaction back, and has the job done again later;
        after several of them it is left for the administrator (``flask jobs list``).

        Kinds begin with the name of the extension's package, lest two extensions choose the same.
        """
        return {}

    def before_serving(self) -> None:
        """Take note that the process is about to answer requests, in the context of the application.

        The database is there, and up to date. Called in each process that serves the configuration of the environment.
        An exception is logged, and does not keep the server from serving.
        """

    def after_commit(self, event: DatasetEvent) -> Any:
        """Take note of a registration, edit or deletion that counts: called once for each, in order.

        Called by the process that made the write, whether a request, a command or a plugin did; not for what was rolled
        back, and not by a restore of a backup. What is written to ``sql_db.session`` here is committed when this
        returns. An exception is logged, and changes nothing for whoever made the write. If the process is killed after
        the commit, this is not called: see the class for what must not be lost.
        """

    def get_static_files(self) -> Path | None:
        """Return the directory with what the extension adds to the style and the script of all pages; None: nothing.

        The files of its folders ``css`` and ``js`` are sent together with those of the server, as one style sheet and
        one script: a page needs no more requests, and its policy is kept.
        """
        return None

    def dataset_sections(
        self, dataset: Mapping[str, Any], base_uris: Mapping[str, int]
    ) -> Sequence[PageSection]:
        """Return sections to show on the page of a dataset, to somebody who may search it.

        :param dataset: the dataset object, as ``GET /uris/<uri>`` answers it
        :param base_uris: those that the reader may search, and their primary keys: of nothing else may a section tell
            anything. ``Scope("search", base_uris)`` is what functions of the catalog take
        """
        return ()

    def dependents(self, dataset: Mapping[str, Any], base_uris: Mapping[str, int]) -> Sequence[Dependents]:
        """Return what depends on a dataset, to be said to who is about to delete it; by default nothing.

        :param dataset: the dataset object, as ``GET /uris/<uri>`` answers it
        :param base_uris: those that whoever deletes it may search, and their primary keys: of nothing else may anything
            be told
        """
        return ()

    def attention(self) -> Sequence[Attention]:
        """Return what an administrator is to look at, to be said on the page ``/admin``; by default nothing."""
        return ()

    def downloads(self, dataset: Mapping[str, Any]) -> Downloads | None:
        """Return where the files of a dataset can be downloaded; None: not by this extension. The first one counts.

        :param dataset: the dataset object, as ``GET /uris/<uri>`` answers it, to somebody who may search it
        """
        return None

    def understands(self, text: str) -> bool:
        """Return whether a text that somebody searches for begins as a query does that the extension answers.

        Asked by the page where people search, and by ``flask search``, of each text in which there is something. What
        no extension understands is searched for by the search plugin.
        """
        return False

    def find_datasets(
        self,
        text: str,
        scope: Scope,
        filters: Mapping[str, Sequence[str]],
        order: Mapping[str, int],
        page: slice,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page of the datasets that match a query, and how many do. For texts that it :meth:`understands`.

        :param scope: what the asker may search: of nothing else may be told anything
        :param filters: ``creator_usernames``, ``base_uris``, ``uuids``, ``tags`` and ``uploaded_by``, all of which the
            datasets must pass; those that are there have some values
        :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
        :returns: mappings that have what a dataset object has; what else is in them does not count
        :raises ValidationError: when the query is wrong, with a message for whoever has typed it
        :raises UnavailableError: when it cannot be answered now, or takes too long
        """
        return [], 0

    def export_formats(self) -> Sequence[ExportFormat]:
        """Return the forms in which the description of any dataset can be fetched."""
        return ()
