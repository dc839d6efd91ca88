"""The abstract base classes that search, retrieve and extension plugins implement.

Only what is abstract has to be written. What a plugin leaves out, the server makes up for; each method says how.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Blueprint, Flask
    from flask_smorest.pagination import PaginationParameters

    from dservercore.sort import SortParameters

#: The base URI of a document that stands for a deleted dataset. It has no scheme, and so cannot be registered: no
#: permission can be given on it.
DELETED = "(deleted)"


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
        ``uri``: where a URI is registered again with another UUID, it is told first to forget the old one.

        :param dataset_info: the fields of ``PUT /uris/<uri>`` plus ``uploaded_by`` (str or None) and
            ``uploaded_at`` (naive UTC datetime). ``frozen_at`` and ``created_at`` are seconds since the
            epoch, UTC, as a number or a numeric string.
        :raises ValidationError: when this store cannot hold the document; the client gets a 400
        """

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> Any:
        """Store the documents of different datasets; by default one after the other.

        For search and retrieve plugins whose store takes many at once in less time. The server calls it with up to 500
        documents, where several datasets are registered together, and :meth:`register_dataset` where it is one.

        :raises ValidationError: when this store cannot hold one of them. The server then gives it fewer, until it has
            found out which: what has been stored already is stored again, or undone.
        """
        for dataset_info in dataset_infos:
            self.register_dataset(dataset_info)

    # A search or retrieve plugin may also define what it works out before the server begins to write, when nobody waits
    # for a lock:
    #
    # ``prepare_dataset(dataset_info)`` returns what :meth:`register_dataset` and :meth:`register_datasets` are given in
    # place of *dataset_info*, such as a subclass of ``dict`` that has what is to be stored as an attribute;
    # ``prepare_edit(field, value)`` returns what ``set_readme`` and ``set_annotations`` are given in place of *value*.
    # Both may raise a ValidationError, and must write nothing. The server does not always come to ask them.

    def delete_dataset(self, uri: str) -> Any:  # noqa: B027 optional by design
        """Forget the dataset; no error if it is not there.

        A plugin that leaves this out gets a *tombstone* instead: :meth:`register_dataset` with a document of the
        same ``uuid`` and ``uri`` that says nothing more, in the base URI :data:`DELETED`. Nobody can be permitted to
        search that, so that the dataset is no longer found. It stays in the plugin's store until it is registered
        again.
        """

    def require_available(self) -> None:  # noqa: B027 optional by design
        """Pass if the plugin's store can be reached.

        Asked of search and retrieve plugins, once in a request, before the server begins to write. A plugin that
        leaves this out may keep every other writer waiting for as long as it waits for its store.

        :raises UnavailableError: if it cannot, after a few seconds at most; the client gets a 503
        """

    # A plugin may also define, for ``flask dataset check``:
    #
    # ``list_stored()`` yields (URI, UUID) of each dataset that it holds, registered or not; ``is_stored(uri)`` says
    # whether it holds one, and ``holds(dataset_info)`` whether it holds it as ``register_dataset`` would store it.
    # ``faults()`` returns lines on what is wrong with its store as a whole, and ``mend_faults()`` mends that.
    # Without them the server asks :meth:`SearchABC.search` and the getters of :class:`RetrieveABC`, which say less.

    def get_config(self) -> Any:
        """Return an object (or mapping) whose upper-case attributes become configuration defaults."""
        return {}

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the configuration keys whose values must never be shown."""
        return []

    def ready(self) -> str | None:
        """Return None if the plugin can serve requests, else what is wrong, without addresses or secrets."""
        return None


class SearchABC(PluginABC):
    """Finds datasets.

    **Edits.** A subclass may also define

    * ``set_readme(uri, readme)``, ``set_tags(uri, tags)`` and ``set_annotations(uri, annotations)``, each given the
      full new value;
    * ``add_tag(uri, tag)``, ``remove_tag(uri, tag)``, ``set_annotation(uri, name, value)`` and
      ``delete_annotation(uri, name)``, which change one tag or annotation. It is no error if a tag is there already,
      or what is to be removed is not. The server prefers these, because writing the full value loses what another
      request changed at the same time.

    Where the finer method is missing the server calls the other one, and where that is missing too, it registers the
    full document again.

    **Results.** The server looks up what a plugin finds among the registered datasets, unless the plugin shares the SQL
    session: a dataset that is not registered, or not where the asker may search, is left out, and the answer has the
    times and numbers of the registration.
    """

    #: The fields of a query that :meth:`search` heeds. The server applies the others to what the plugin found without
    #: them, for which it asks for all of it at once. A plugin that knows ``uploaded_by`` should say so:
    #: ``filters = SearchABC.filters | {"uploaded_by"}``.
    filters: frozenset[str] = frozenset({"free_text", "creator_usernames", "base_uris", "uuids", "tags"})

    @abstractmethod
    def search(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters | None = None,
        sort_parameters: SortParameters | None = None,
    ) -> list[dict[str, Any]]:
        """Return one page of the datasets that match, as dictionaries with the fields of a dataset object.

        :param query: any of ``free_text`` (str), ``creator_usernames``, ``uuids``, ``tags``, ``uploaded_by``
            (lists of str), as far as they are in :attr:`filters`, and always ``base_uris``: the non-empty list that
            the asker may search
        :param pagination_parameters: page to return; ``item_count`` must be set on it. None: everything
        :param sort_parameters: has ``order``, ``{field: 1 | -1}``. None: by ``uri``
        :raises ValidationError: when the query cannot be expressed
        """


class RetrieveABC(PluginABC):
    """Hands out a dataset's README, manifest, annotations and tags.

    Each getter raises :class:`~dservercore.errors.UnknownURIError` for a URI that is not stored.
    The optional methods for edits are those of :class:`SearchABC`.

    A plugin without a :meth:`delete_dataset` of its own may hold several documents of a URI that datasets of different
    UUIDs had one after the other. It may hand out any of them: the server keeps their descriptions alike, and notes
    the UUIDs in their manifests.
    """

    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Store the document; by default nothing, for a plugin that reads what its search twin stores."""

    def only_read(self) -> None:
        """Change nothing in the store, not even to prepare it: it is only read from, to move what is in it elsewhere.

        Called once, before anything else is asked of the plugin, on one beside that in use.
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


class ExtensionABC(PluginABC):
    """Adds routes to the server and is told about every registration, edit and deletion."""

    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Take note of a dataset that was registered or edited: each time the full document.

        An exception here is logged and does not undo the registration or the edit. An extension that keeps what it is
        told, and has no :meth:`delete_dataset`, gets a tombstone here (see there).
        """

    @abstractmethod
    def get_blueprint(self) -> Blueprint:
        """Return the ``flask_smorest`` or ``dservercore`` blueprint to mount."""
