"""Datasets in storage that dtool reaches with a storage broker: S3, web servers, and whatever else is installed.

S3 and web servers are read within limits of time and size (``s3_storage``, ``http_storage``). Of other brokers nobody
knows what they do, so they work in threads that are given up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlparse

import dtoolcore
from dtoolcore.storagebroker import DiskStorageBroker
from dtoolcore.utils import DEFAULT_CONFIG_PATH

from dservercore import uris
from dservercore.catalog import http_storage, s3_storage, time_limits
from dservercore.catalog.storage_limits import Limits
from dservercore.dataset_info import document_of_parts

Result = TypeVar("Result")


class BrokerBase:
    """The datasets in a base URI that a storage broker reads.

    :param seconds: for which one dataset is waited
    :raises OSError: if no broker for it is installed
    """

    def __init__(self, base_uri: str, limits: Limits, seconds: float) -> None:
        self._base_uri, self._seconds = base_uri, seconds
        broker = _broker_of(base_uri)
        self._is_s3, is_http = s3_storage.knows(broker), http_storage.knows(broker)
        self._keeps_time = self._is_s3 or is_http
        if self._is_s3:
            broker = s3_storage.limited(broker, limits)
        elif is_http:
            broker = http_storage.limited(broker, base_uri, limits)
        self._broker = broker

    def list_uris(self) -> list[str]:
        """Return the URIs of all datasets, frozen or not; raises whatever the storage raises."""
        if self._is_s3:
            listed = s3_storage.list_uris(self._broker, self._base_uri)
        else:
            listed = self._broker.list_dataset_uris(self._base_uri, DEFAULT_CONFIG_PATH)
        return [f"{self._base_uri}/{uri.rsplit('/', 1)[-1]}" for uri in listed]

    def is_gone(self, uri: str) -> bool:
        """Return whether there is certainly no dataset at *uri*; raises whatever the storage raises."""
        return self.in_time(lambda: not self._broker(uri, None).has_admin_metadata())

    def fingerprint(self, uri: str) -> str | None:
        """Return a digest of names, sizes and entity tags of a dataset's metadata; None where only reading it tells.

        :raises NoMetadataError: if it has no administrative metadata yet
        """
        return self.in_time(lambda: s3_storage.fingerprint(self._broker, uri)) if self._is_s3 else None

    def open_readable(self, uri: str) -> BrokerDataset:
        """Return the dataset that is stored at *uri*, of which the administrative metadata has been read.

        :raises FileNotFoundError: if there is none
        :raises TimeoutError: if its storage takes too long, and whatever else the storage raises
        """
        return self.in_time(lambda: self._opened(uri))

    def open_editable(self, uri: str) -> BrokerDataset:
        """Return the dataset that is stored at *uri*, to be changed.

        :raises OSError: if its storage cannot be written to, and is not even asked
        :raises FileNotFoundError: if there is none
        :raises TimeoutError: if its storage takes too long, and whatever else the storage raises
        """
        if not hasattr(self._broker, "put_text"):
            raise OSError("its storage can only be read")
        return self.open_readable(uri)

    def in_time(self, work: Callable[[], Result]) -> Result:
        """Return what *work* with one dataset returns.

        :raises TimeoutError: if it takes too long
        """
        if not self._keeps_time:
            return time_limits.given_up_after(self._seconds, work)
        with time_limits.within(self._seconds):
            return work()

    def _opened(self, uri: str) -> BrokerDataset:
        broker = self._broker(uri, None)
        if not broker.has_admin_metadata():
            raise FileNotFoundError(f"no dataset is stored as {uri}")
        return BrokerDataset(uri, broker, broker.get_admin_metadata(), self.in_time)


class BrokerDataset(dtoolcore.DataSet):
    """A dataset, opened without looking through everything that is installed for storage brokers three times over."""

    def __init__(
        self,
        uri: str,
        storage_broker: Any,
        admin_metadata: dict[str, Any],
        in_time: Callable[[Callable[[], Any]], Any],
    ):
        self._uri = uri
        self._storage_broker = storage_broker
        self._admin_metadata = admin_metadata
        self._manifest_cache = None
        self._in_time = in_time

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return what a registration takes; see ``dataset_info.generate_dataset_info``.

        :raises TimeoutError: if its storage takes too long, and whatever else the storage raises
        """
        document: dict[str, Any] = self._in_time(
            lambda: document_of_parts(
                self.admin_metadata,
                self.uri,
                base_uri,
                manifest=self._manifest,
                readme=self.get_readme_content(),
                annotations=self.get_annotations(),
                tags=self.list_tags(),
            )
        )
        return document

    def get_annotations(self) -> dict[str, Any]:
        """Return the annotations by name; those on S3 and web servers are no larger together than one may be."""
        broker = self._storage_broker
        if hasattr(broker, "get_annotations"):
            annotations: dict[str, Any] = broker.get_annotations()
            return annotations
        return {name: broker.get_annotation(name) for name in self.list_annotation_names()}

    def check_edits(self) -> None:
        """Pass: an object is what it is called."""


def is_on_disk(uri: str) -> bool:
    """Return whether a broker would read directories of this machine, as dtoolcore lays them out."""
    scheme = urlparse(uri).scheme
    if scheme == "file":
        return True
    broker = _brokers().get(scheme)
    is_of_dtoolcore = isinstance(broker, type) and issubclass(broker, DiskStorageBroker)
    return is_of_dtoolcore and uris.is_of_this_host(uri)


def _broker_of(uri: str) -> Any:
    scheme = urlparse(uri).scheme
    if scheme not in _brokers():
        raise OSError(f"no dtool storage broker for {scheme}:// is installed (such as dtool-{scheme})")
    return _brokers()[scheme]


@functools.cache
def _brokers() -> Mapping[str, Any]:
    # dtoolcore has no public way to the brokers by scheme.
    brokers: dict[str, Any] = dtoolcore._generate_storage_broker_lookup()
    return brokers
