"""The abstract base classes that search, retrieve and extension plugins implement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Blueprint, Flask
    from flask_smorest.pagination import PaginationParameters

    from dservercore.sort import SortParameters


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

        :param dataset_info: the fields of ``PUT /uris/<uri>`` plus ``uploaded_by`` (str or None) and
            ``uploaded_at`` (naive UTC datetime). ``frozen_at`` and ``created_at`` are seconds since the
            epoch, UTC, as a number or a numeric string.
        :raises ValidationError: when this store cannot hold the document; the client gets a 400
        """

    def delete_dataset(self, uri: str) -> Any:  # noqa: B027 optional by design
        """Forget the dataset; no error if it is not there."""

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

    A subclass may also define ``set_tags(uri, tags)``, ``set_annotations(uri, annotations)`` and
    ``set_readme(uri, readme)``, each given the full new value. Where one is missing the server
    registers the full document again instead.
    """

    @abstractmethod
    def search(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters | None = None,
        sort_parameters: SortParameters | None = None,
    ) -> list[dict[str, Any]]:
        """Return one page of the datasets that match, as dictionaries with the fields of a dataset object.

        :param query: any of ``free_text`` (str), ``creator_usernames``, ``uuids``, ``tags``, ``uploaded_by``
            (lists of str), and always ``base_uris``: the non-empty list that the asker may search
        :param pagination_parameters: page to return; ``item_count`` must be set on it. None: everything
        :param sort_parameters: has ``order``, ``{field: 1 | -1}``. None: by ``uri``
        :raises ValidationError: when the query cannot be expressed
        """


class RetrieveABC(PluginABC):
    """Hands out a dataset's README, manifest, annotations and tags.

    Each getter raises :class:`~dservercore.errors.UnknownURIError` for a URI that is not stored.
    The optional setters are those of :class:`SearchABC`.
    """

    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Store the document; by default nothing, for a plugin that reads what its search twin stores."""

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
    """Adds routes to the server and is told about every registration and deletion."""

    def register_dataset(self, dataset_info: dict[str, Any]) -> Any:
        """Take note of a registered dataset. An exception here is logged and does not undo the registration."""

    @abstractmethod
    def get_blueprint(self) -> Blueprint:
        """Return the ``flask_smorest`` or ``dservercore`` blueprint to mount."""
