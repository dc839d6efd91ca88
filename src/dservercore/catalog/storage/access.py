"""The datasets themselves, where they are stored: finds and opens them, and brings an edit of the catalog to one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlparse

import orjson
from dtoolcore.utils import DEFAULT_CONFIG_PATH
from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.catalog.storage import brokers
from dservercore.catalog.storage.disk import DiskBase
from dservercore.catalog.storage.s3 import NoMetadataError
from dservercore.catalog.storage.storage_limits import Limits, UnreadableError
from dservercore.dataset import uris
from dservercore.dataset.document import checked_name
from dservercore.db import sql_db
from dservercore.errors import DserverError, UnavailableError
from dservercore.models import BaseURI, Dataset
from dservercore.plugin_api import RetrieveABC
from dservercore.settings import keys

logger = logging.getLogger(__name__)

Field = Literal["readme", "tags", "annotations"]

MAX_REASON_LENGTH = 500  # characters
EDIT_SECONDS = 10.0  # that a client waits for the storage to be opened, and again for its edit to be written


class NotFrozenError(ValueError):
    """The dataset is still being put together, so that there is nothing final to register."""


# Reading


class Readable(Protocol):
    """A dataset in its storage, to be registered."""

    @property
    def name(self) -> str: ...

    @property
    def admin_metadata(self) -> Mapping[str, Any]: ...

    @property
    def warnings(self) -> list[str]:
        """What is odd about what has been read, and was no reason not to read it; each names a file."""
        ...

    def path_of(self, file: str) -> str:
        """Return where ``README.yml``, ``dtool``, ``manifest.json`` or one in ``annotations/`` is, for messages."""
        ...

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return the dataset's document, as a registration takes it, with *base_uri* as its base URI."""
        ...


class Base(Protocol):
    """The datasets in the storage of a base URI. Each method raises whatever the storage raises."""

    def list_uris(self) -> list[str]:
        """Return the URIs of all datasets, frozen or not, in no order."""
        ...

    def why_not_listed(self) -> str | None:
        """Return why its datasets cannot be listed, without asking a server; None: nothing is known against it."""
        ...

    def is_gone(self, uri: str) -> bool:
        """Return whether there is certainly no dataset at *uri*."""
        ...

    def fingerprint(self, uri: str) -> str | None:
        """Return a digest of what changes when a dataset's metadata does; None where only reading it tells."""
        ...

    def changed_at(self, uri: str) -> float | None:
        """Return when a dataset's metadata was last changed, in seconds since the epoch; None where nothing tells."""
        ...

    def open_readable(self, uri: str) -> Readable:
        """Return the dataset that is stored at *uri*, frozen or not."""
        ...

    def open_editable(self, uri: str) -> Any:
        """Return the dataset that is stored at *uri*, to be changed as ``dtoolcore.DataSet`` is."""
        ...

    def in_time(self, work: Callable[[], None]) -> None:
        """Call *work*, which uses one dataset, within the time limit of the storage."""
        ...


def open_base(base_uri: str, seconds: float | None = None, limits: Limits | None = None) -> Base:
    """Return the storage of a base URI, which any thread may use.

    :param seconds: to wait for a dataset that is not on disk, if that is less than the setting says
    :param limits: on the files of a dataset; None: the limits for reading it
    :raises OSError: if it is on another host, is no directory, or no storage broker for it is installed
    :raises UnreadableError: if it lies in another base URI and is reached through a link in there
    """
    if uris.is_out_of_reach(base_uri):
        raise OSError(f"it is on another host ({urlparse(base_uri).netloc})")
    limits = limits or Limits.of(current_app.config)
    if not brokers.is_on_disk(base_uri):
        timeout = current_app.config["DSERVER_STORAGE_TIMEOUT"]
        return brokers.BrokerBase(base_uri, limits, min(timeout, seconds or timeout))
    private = [*keys.private_places(current_app.config), Path(DEFAULT_CONFIG_PATH)]
    return DiskBase(base_uri, urlparse(base_uri).path, limits, _registered_directories(), private)


def listed(base_uri: str) -> tuple[Base, list[str]]:
    """Return the storage of a base URI, and the URIs of all datasets in it, frozen or not, in order.

    :raises UnavailableError: if it cannot be listed
    """
    try:
        base = open_base(base_uri)
        return base, sorted(base.list_uris())
    except Exception as error:  # each storage has errors of its own
        raise UnavailableError(f"Cannot list the datasets in {base_uri}: {reason(error)}") from error


def is_gone(base: Base, uri: str) -> bool:
    """Return whether there is certainly no dataset at *uri*; one that cannot be looked at may be there."""
    try:
        return base.is_gone(uri)
    except FileNotFoundError:
        return True
    except Exception:  # each storage has errors of its own
        return False


def fingerprint(base: Base, uri: str) -> str | None:
    """Return a digest of what changes when a dataset's metadata does; None where only reading it tells.

    :raises NotFrozenError: if it has no administrative metadata yet, and whatever the storage raises
    """
    try:
        return base.fingerprint(uri)
    except NoMetadataError as error:
        raise NotFrozenError(error.message) from None


def has_changed_since(base: Base, uri: str, moment: float) -> bool:
    """Return whether a dataset's metadata was changed after a moment, as far as its storage tells.

    :param moment: seconds since the epoch
    """
    try:
        changed_at = base.changed_at(uri)
    except Exception:  # each storage has errors of its own
        return True
    return changed_at is None or changed_at > moment


def open_readable(base: Base, uri: str) -> Readable:
    """Return the frozen dataset that is stored at *uri*.

    :raises NotFrozenError: if it is not frozen yet
    :raises FileNotFoundError: if there is none, and whatever else the storage raises
    """
    dataset = base.open_readable(uri)
    _require_frozen(dataset.admin_metadata)
    return dataset


def _registered_directories() -> list[str]:
    """Return the directories of this machine that are base URIs."""
    rows = sql_db.session.execute(
        select(BaseURI.base_uri).where(BaseURI.base_uri.not_like("s3://%"))
    ).scalars()
    return [urlparse(uri).path for uri in rows if brokers.is_on_disk(uri) and not uris.is_out_of_reach(uri)]


def _require_frozen(admin_metadata: Mapping[str, Any]) -> None:
    if admin_metadata["type"] != "dataset":
        raise NotFrozenError("not frozen yet")


def reason(error: Exception) -> str:
    """Return in one line what is wrong with a dataset, for a person who looks after its storage."""
    text = " ".join(_explain(error).split())
    return text if len(text) <= MAX_REASON_LENGTH else f"{text[:MAX_REASON_LENGTH]} ..."


def _explain(error: Exception) -> str:
    if isinstance(error, (DserverError, NotFrozenError, UnreadableError)):
        return str(error)
    if isinstance(error, OSError):
        return ": ".join(str(part) for part in (error.strerror or error, error.filename) if part)
    if isinstance(error, json.JSONDecodeError):
        return f"a metadata file is not JSON: {error}"
    if isinstance(error, RecursionError):
        return "a metadata file is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"a metadata file is not UTF-8 text: {error}"
    if isinstance(error, DBAPIError):
        return db.reason(error)
    if isinstance(error, (KeyError, TypeError, AttributeError)):
        return f"the metadata is not as dtool writes it: {type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def why_not_indexable(base_uri: str) -> str | None:
    """Return why the datasets of a base URI cannot be indexed from here; None: nothing is known against it.

    Servers are not asked, as far as there is a storage broker for them.
    """
    try:
        return open_base(base_uri).why_not_listed()
    except Exception as error:  # each storage has errors of its own
        return reason(error)


# Writing


def bring_edit(uri: str, field: Field, value: Any) -> bool | None:
    """Bring an edit that has been committed to the dataset in its storage. Return whether that was possible.

    None: it was not tried, because of the setting ``DSERVER_UPDATE_STORAGE``.
    """
    return update_dataset(uri, field, value) if current_app.config["DSERVER_UPDATE_STORAGE"] else None


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
    registered = select(Dataset.uuid, BaseURI.base_uri).join(Dataset.base_uri).where(Dataset.uri == uri)
    row = sql_db.session.execute(registered).one_or_none()
    if row is None:
        raise LookupError("it is no longer registered")
    base = open_base(row.base_uri, EDIT_SECONDS, Limits.of_edits(current_app.config))
    db.rollback()  # nothing is to be held while storage answers
    dataset = base.open_editable(uri)
    _require_frozen(dataset.admin_metadata)
    if dataset.uuid != row.uuid:
        raise ValueError("another dataset is stored there")
    base.in_time(lambda: _change(dataset, field, value))


def _change(dataset: Any, field: Field, value: Any) -> None:
    dataset.check_edits()
    _UPDATES[field](dataset, value)


def _update_readme(dataset: Any, readme: str) -> None:
    if dataset.get_readme_content() != readme:
        dataset.put_readme(readme)


def _update_tags(dataset: Any, tags: list[str]) -> None:
    stored = set(dataset.list_tags())
    for tag in sorted(set(tags) - stored):
        dataset.put_tag(checked_name(tag, "tags"))
    for tag in sorted(stored - set(tags)):
        dataset.delete_tag(tag)


def _update_annotations(dataset: Any, annotations: Mapping[str, Any]) -> None:
    stored = dataset.get_annotations()
    for name, value in annotations.items():
        if name not in stored or orjson.dumps(stored[name]) != orjson.dumps(value):
            dataset.put_annotation(checked_name(name, "annotations"), value)
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
