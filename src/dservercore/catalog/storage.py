"""The datasets themselves, where they are stored: finds and opens them, and brings an edit of the catalog to one."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlparse

import dtoolcore
import orjson
from dtoolcore.utils import DEFAULT_CONFIG_PATH
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host, uris
from dservercore.catalog import disk, s3_storage
from dservercore.dataset_info import generate_dataset_info
from dservercore.db import sql_db
from dservercore.errors import DserverError, UnavailableError
from dservercore.models import Dataset
from dservercore.plugin_api import RetrieveABC

logger = logging.getLogger(__name__)

Field = Literal["readme", "tags", "annotations"]

MAX_REASON_LENGTH = 500  # characters


class NotFrozenError(ValueError):
    """The dataset is still being put together, so that there is nothing final to register."""


# Reading


class Readable(Protocol):
    """A frozen dataset in its storage, to be registered."""

    @property
    def name(self) -> str: ...

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return what a registration takes; see ``dataset_info.generate_dataset_info``."""
        ...


def list_uris(base_uri: str) -> list[str]:
    """Return the URIs of all datasets, frozen or not, in the storage of a base URI.

    :raises UnavailableError: if it cannot be listed
    """
    try:
        _require_reach(base_uri)
        if _is_on_disk(base_uri):
            names = disk.names(_directory(base_uri))
        else:
            names = [uris.last_segment(uri) for uri in _listed_by_broker(base_uri)]
    except Exception as error:  # each storage has errors of its own
        raise UnavailableError(f"Cannot list the datasets in {base_uri}: {reason(error)}") from error
    return sorted(f"{base_uri}/{name}" for name in names)


def _listed_by_broker(base_uri: str) -> Sequence[str]:
    broker = _storage_broker_of(base_uri)
    if s3_storage.knows(broker):
        return s3_storage.list_uris(broker, base_uri)
    listed: Sequence[str] = broker.list_dataset_uris(base_uri, DEFAULT_CONFIG_PATH)
    return listed


def is_gone(uri: str) -> bool:
    """Return whether there is certainly no dataset at *uri*; one that cannot be looked at may be there."""
    try:
        _require_reach(uri)
        if _is_on_disk(uri):
            return disk.is_gone(_directory(uri))
        return not _storage_broker_of(uri)(uri, None).has_admin_metadata()
    except FileNotFoundError:
        return True
    except Exception:  # each storage has errors of its own
        return False


class _StoredDataset(dtoolcore.DataSet):
    """A dataset, opened without looking through everything that is installed for storage brokers three times over."""

    def __init__(self, uri: str, storage_broker: Any, admin_metadata: dict[str, Any]):
        self._uri = uri
        self._storage_broker = storage_broker
        self._admin_metadata = admin_metadata
        self._manifest_cache = None

    def document(self, base_uri: str) -> dict[str, Any]:
        return generate_dataset_info(self, base_uri)


def open_dataset(uri: str) -> _StoredDataset:
    """Return the frozen dataset that is stored at *uri*, as dtoolcore has it.

    :raises NotFrozenError: if it is not frozen yet
    :raises FileNotFoundError: if there is none, and whatever the storage raises
    """
    _require_reach(uri)
    storage_broker = _storage_broker_of(uri)(uri, None)
    if not storage_broker.has_admin_metadata():
        raise FileNotFoundError(f"no dataset is stored as {uri}")
    admin_metadata = storage_broker.get_admin_metadata()
    _require_frozen(admin_metadata)
    return _StoredDataset(uri, storage_broker, admin_metadata)


def open_readable(uri: str) -> Readable:
    """Return the frozen dataset that is stored at *uri*, to be read in the fastest way.

    :raises: as ``open_dataset``
    """
    if not _is_on_disk(uri):
        return open_dataset(uri)
    _require_reach(uri)
    if disk.is_gone(_directory(uri)):
        raise FileNotFoundError(f"no dataset is stored as {uri}")
    dataset = disk.DiskDataset(_directory(uri), uri)
    _require_frozen(dataset.admin_metadata)
    return dataset


def fingerprint(uri: str) -> str | None:
    """Return a digest of names and sizes of a dataset's metadata files, and of what changes with their contents.

    That is when they were modified, or their entity tags. None where the storage is neither a directory here nor S3,
    so that only reading the dataset tells whether it has changed.

    :raises NotFrozenError: if it has no administrative metadata yet
    """
    if _is_on_disk(uri):
        return disk.fingerprint(_directory(uri))
    broker = _storage_broker_of(uri)
    if not s3_storage.knows(broker):
        return None
    try:
        return s3_storage.fingerprint(broker, uri)
    except s3_storage.NoMetadataError as error:
        raise NotFrozenError(error.message) from None


def _is_on_disk(uri: str) -> bool:
    return urlparse(uri).scheme == "file"


def _directory(uri: str) -> str:
    return urlparse(uri).path


def _require_frozen(admin_metadata: Mapping[str, Any]) -> None:
    if admin_metadata["type"] != "dataset":
        raise NotFrozenError("not frozen yet")


def reason(error: Exception) -> str:
    """Return in one line what is wrong with a dataset, for a person who looks after its storage."""
    text = " ".join(_explain(error).split())
    return text if len(text) <= MAX_REASON_LENGTH else f"{text[:MAX_REASON_LENGTH]} ..."


def _explain(error: Exception) -> str:
    if isinstance(error, (DserverError, NotFrozenError)):
        return str(error)
    if isinstance(error, OSError):
        return ": ".join(str(part) for part in (error.strerror or error, error.filename) if part)
    if isinstance(error, json.JSONDecodeError):
        return f"a metadata file is not JSON: {error}"
    if isinstance(error, UnicodeDecodeError):
        return f"a metadata file is not UTF-8 text: {error}"
    if isinstance(error, DBAPIError):
        return db.reason(error)
    if isinstance(error, (KeyError, TypeError, AttributeError)):
        return f"the metadata is not as dtool writes it: {type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _require_reach(uri: str) -> None:
    if uris.is_out_of_reach(uri):
        raise OSError(f"it is on another host ({urlparse(uri).netloc})")


def _storage_broker_of(uri: str) -> Any:
    scheme = urlparse(uri).scheme
    if scheme not in _storage_brokers():
        raise OSError(f"no dtool storage broker for {scheme}:// is installed (such as dtool-{scheme})")
    return _storage_brokers()[scheme]


@functools.cache
def _storage_brokers() -> dict[str, Any]:
    # dtoolcore has no public way to the brokers by scheme.
    brokers: dict[str, Any] = dtoolcore._generate_storage_broker_lookup()
    return {
        scheme: s3_storage.sharing_connections(broker) if s3_storage.knows(broker) else broker
        for scheme, broker in brokers.items()
    }


# Writing


def update_dataset(uri: str, field: Field, value: Any) -> bool:
    """Make the README, tags or annotations of a stored dataset equal to *value*. Return whether that was possible.

    A storage that refuses, or is out of reach, is a warning in the log: the catalog stands as it was edited.

    Only a registered dataset is written to, and only where the one in storage has the same UUID. When somebody else
    edits it at the same time, storage gets the last value that was committed, whoever writes it.
    """
    written = None
    try:
        while written != orjson.dumps(value):
            _write(uri, field, value)
            value, written = _newest(uri, field), orjson.dumps(value)
    except Exception as error:  # each storage has errors of its own
        logger.warning("The %s of %s in storage not updated: %s", field, uri, reason(error))
        return False
    return True


def _newest(uri: str, field: Field) -> Any:
    db.rollback()  # else some databases show what was there when this session first looked
    return _READERS[field](plugin_host.plugins().retrieve, uri)


def _write(uri: str, field: Field, value: Any) -> None:
    uuid = sql_db.session.execute(select(Dataset.uuid).where(Dataset.uri == uri)).scalar()
    dataset = open_dataset(uri)
    if dataset.uuid != uuid:
        raise ValueError("another dataset is stored there")
    _require_own_files(uri)
    _UPDATES[field](dataset, value)


def _require_own_files(uri: str) -> None:
    """Pass if writing metadata cannot reach a file outside of the dataset's directory.

    Who may put files there could otherwise make the server write, with its rights, to whatever a link points at.
    """
    if urlparse(uri).scheme != "file":
        return
    directory = Path(urlparse(uri).path)
    written = [directory / "README.yml", directory / ".dtool"]
    for folder in (directory / ".dtool" / "tags", directory / ".dtool" / "annotations"):
        written += [folder, *(folder.iterdir() if folder.is_dir() else ())]
    links = [path.name for path in written if path.is_symlink()]
    if links:
        raise OSError(f"its metadata has symbolic links: {', '.join(links)}")


def _update_readme(dataset: Any, readme: str) -> None:
    if dataset.get_readme_content() != readme:
        dataset.put_readme(readme)


def _update_tags(dataset: Any, tags: list[str]) -> None:
    stored = set(dataset.list_tags())
    for tag in sorted(set(tags) - stored):
        dataset.put_tag(tag)
    for tag in sorted(stored - set(tags)):
        dataset.delete_tag(tag)


def _update_annotations(dataset: Any, annotations: Mapping[str, Any]) -> None:
    stored = {name: dataset.get_annotation(name) for name in dataset.list_annotation_names()}
    for name, value in annotations.items():
        if name not in stored or orjson.dumps(stored[name]) != orjson.dumps(value):
            dataset.put_annotation(name, value)
    for name in stored.keys() - annotations.keys():
        dataset.delete_annotation(name)


_READERS: dict[Field, Callable[[RetrieveABC, str], Any]] = {
    "readme": lambda plugin, uri: plugin.get_readme(uri),
    "tags": lambda plugin, uri: plugin.get_tags(uri),
    "annotations": lambda plugin, uri: plugin.get_annotations(uri),
}
_UPDATES: dict[Field, Callable[[Any, Any], None]] = {
    "readme": _update_readme,
    "tags": _update_tags,
    "annotations": _update_annotations,
}
