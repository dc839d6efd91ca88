"""Datasets in storage that dtool reaches with a storage broker: S3, web servers, and whatever else is installed.

S3 and web servers are read within limits of time and size (``s3``, ``web_servers``). What other brokers do is not
known, so they work in threads that are given up when they take too long.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlparse

import dtoolcore
from dtoolcore.storagebroker import DiskStorageBroker
from dtoolcore.utils import DEFAULT_CONFIG_PATH

from dservercore.catalog.storage import dtool_names, s3, time_limits, web_servers
from dservercore.catalog.storage.storage_limits import Limits
from dservercore.catalog.storage.stored_text import admin_metadata_of, decoded_readme, manifest_of, naming
from dservercore.dataset import uris
from dservercore.dataset.document import document_of_parts

Result = TypeVar("Result")

#: The published brokers, by scheme.
_PACKAGES = {
    "s3": "dtool-s3",
    "http": "dtool-http",
    "https": "dtool-http",
    "azure": "dtool-azure",
    "ecs": "dtool-ecs",
    "irods": "dtool-irods",
    "smb": "dtool-smb",
}


class BrokerBase:
    """The datasets in a base URI that a storage broker reads.

    :param limits: on the files that are read
    :param seconds: most seconds to wait for one dataset
    :raises OSError: if no broker for it is installed
    """

    def __init__(self, base_uri: str, limits: Limits, seconds: float) -> None:
        self._base_uri, self._seconds = base_uri, seconds
        broker = _broker_of(base_uri)
        self._is_s3, self._is_http = s3.knows(broker), web_servers.knows(broker)
        self._keeps_time = self._is_s3 or self._is_http
        if self._is_s3:
            broker = s3.limited(broker, limits)
        elif self._is_http:
            broker = web_servers.limited(broker, base_uri, limits)
        self._broker = broker

    def list_uris(self) -> list[str]:
        """Return the URIs of all datasets, frozen or not; raises whatever the storage raises."""
        if self._is_s3:
            listed = s3.list_uris(self._broker, self._base_uri)
        else:
            listed = self._broker.list_dataset_uris(self._base_uri, DEFAULT_CONFIG_PATH)
        return [f"{self._base_uri}/{uri.rsplit('/', 1)[-1]}" for uri in listed]

    def why_not_listed(self) -> str | None:
        """Return why the datasets cannot be listed, without trying to; None: nothing is known against it."""
        return web_servers.NOT_LISTED if self._is_http else None

    def is_gone(self, uri: str) -> bool:
        """Return whether there is certainly no dataset at *uri*; raises whatever the storage raises."""
        if self._is_s3:
            return self.in_time(lambda: s3.is_gone(self._broker, uri))
        return self.in_time(lambda: not self._broker(uri, None).has_admin_metadata())

    def fingerprint(self, uri: str) -> str | None:
        """Return a digest of names, sizes and entity tags of a dataset's metadata; None where only reading it tells.

        :raises NoMetadataError: if it has no administrative metadata yet
        """
        return self.in_time(lambda: s3.fingerprint(self._broker, uri)) if self._is_s3 else None

    def changed_at(self, uri: str) -> float | None:
        """Return when a dataset's metadata was last written: seconds since the epoch; None where nothing tells."""
        return self.in_time(lambda: s3.changed_at(self._broker, uri)) if self._is_s3 else None

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

    def broker_of_s3(self, uri: str) -> Any:
        """Return the storage broker of a dataset on S3, by which nothing is found out yet whether it is there.

        :raises OSError: if the storage broker for ``s3`` is another one than that of ``dtool-s3``
        """
        if not self._is_s3:
            raise OSError("the storage broker for s3:// is not that of dtool-s3")
        return self.in_time(lambda: self._broker(uri, None))

    def in_time(self, work: Callable[[], Result]) -> Result:
        """Call *work*, which uses one dataset, and return what it returns.

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
        with naming("dtool"):
            admin_metadata = admin_metadata_of(broker.get_admin_metadata(), "dtool")
        return BrokerDataset(uri, broker, admin_metadata, self.in_time)


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
        #: What is odd about it and was no reason not to read it.
        self.warnings: list[str] = getattr(storage_broker, "warnings", [])

    def path_of(self, file: str) -> str:
        """Return where a file is, for messages."""
        locate: Callable[[str], str] | None = getattr(self._storage_broker, "path_of", None)
        return locate(file) if locate else file

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return the dataset's document, as a registration takes it, with *base_uri* as its base URI.

        :raises TimeoutError: if its storage takes too long, and whatever else the storage raises
        """
        return self._in_time(lambda: self._document(base_uri))

    def _document(self, base_uri: str) -> dict[str, Any]:
        with naming("manifest.json"):
            manifest = manifest_of(self._manifest, "manifest.json")
        return document_of_parts(
            self.admin_metadata,
            self.uri,
            base_uri,
            manifest=manifest,
            readme=self.get_readme_content(),
            annotations=self.get_annotations(),
            tags=self.list_tags(),
        )

    def get_readme_content(self) -> str:
        """Return the README."""
        try:
            text: str = self._storage_broker.get_readme_content()
        except UnicodeDecodeError as error:  # it has what it could not decode
            return decoded_readme(error.object, "README.yml", self.warnings.append)
        is_odd = text.startswith("\ufeff") or "\0" in text  # never from S3 and web servers: decoded already
        return decoded_readme(text.encode(), "README.yml", self.warnings.append) if is_odd else text

    def get_annotations(self) -> dict[str, Any]:
        """Return the annotations by name; on S3 and web servers, all together must not exceed the limit for one."""
        broker = self._storage_broker
        if hasattr(broker, "get_annotations"):
            annotations: dict[str, Any] = broker.get_annotations()
            return annotations
        names = self._own("annotations", broker.list_annotation_names(), dtool_names.is_annotation)
        return {name: self._annotation(name) for name in names}

    def _annotation(self, name: str) -> Any:
        with naming(f"annotations/{name}.json"):
            return self._storage_broker.get_annotation(name)

    def list_tags(self) -> list[str]:
        """Return the tags, in no order."""
        return self._own("tags", self._storage_broker.list_tags(), dtool_names.is_tag)

    def _own(self, folder: str, names: Iterable[str], is_own: Callable[[str], bool]) -> list[str]:
        names = list(names)
        foreign = [str(name) for name in names if not is_own(name)]
        self.warnings.extend(dtool_names.foreign_files(folder, foreign))
        return [name for name in names if is_own(name)]

    def check_edits(self) -> None:
        """Pass: there are links and pipes on disks alone."""


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
        package = _PACKAGES.get(scheme)
        remedy = f": pip install {package}" if package else ""
        raise OSError(f"no dtool storage broker for {scheme}:// is installed{remedy}")
    return _brokers()[scheme]


@functools.cache
def _brokers() -> Mapping[str, Any]:
    # dtoolcore has no public way to the brokers by scheme.
    brokers: dict[str, Any] = dtoolcore._generate_storage_broker_lookup()
    return brokers
