"""URLs by which the files of a dataset are read for a limited time, and what they lead to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from flask import Flask, current_app

from dservercore.catalog import lookup, metadata
from dservercore.catalog.files.items import chunks_of, items_of
from dservercore.catalog.scope import Scope
from dservercore.errors import UnknownFileError, UnsupportedError
from dservercore.plugins.signed_url import holders, signatures
from dservercore.plugins.signed_url.signatures import Claims, Holder
from dservercore.plugins.signed_url.storages import File, Validity, storage_of
from dservercore.plugins.signed_url.storages.file_system import READ, FileSystem, OpenFile, own_url

#: Path of the route by which a whole dataset is read, before its URI.
ARCHIVE_ROUTE = "/signed-urls/archive"
#: What a signature is for by which a whole dataset is read.
ARCHIVE = "archive"
#: Seconds between two looks whether somebody still may have what is being sent to them.
LOOK_SECONDS = 10.0


# URLs


def dataset_urls(scope: Scope, uri: str, holder: Holder) -> dict[str, Any]:
    """Return URLs of all files of a dataset, as ``GET /signed-urls/dataset/<uri>`` answers them.

    :param holder: for whom they are signed
    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    :raises UnsupportedError: if its storage is out of reach, or can sign no URLs, or it has too many items
    """
    dataset = lookup.find(scope, uri)
    storage = storage_of(dataset["base_uri"], uri)
    require_few_items(dataset)
    validity = validity_for(holder)

    def url(file: File) -> str:
        return storage.read_url(file, validity)

    return {
        "uri": uri,
        **_expiry(validity),
        "admin_metadata_url": url(File("admin")),
        "manifest_url": url(File("manifest")),
        "readme_url": url(File("readme")),
        "item_urls": {item.name: url(item) for item in items(scope, uri)},
        "overlay_urls": {name: url(File("overlay", name)) for name in storage.overlay_names()},
        "annotation_urls": {name: url(File("annotation", name)) for name in storage.annotation_names()},
        "tags": metadata.get_tags(scope, uri),
        "archive_url": _archive_url(uri, validity),
    }


def item_url(scope: Scope, uri: str, identifier: str, holder: Holder) -> dict[str, Any]:
    """Return the URL of one item, as ``GET /signed-urls/item/<uri>/<identifier>`` answers it.

    :param holder: for whom it is signed
    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    :raises UnknownFileError: if the dataset has no such item
    :raises UnsupportedError: if its storage is out of reach, or can sign no URLs
    """
    dataset = lookup.find(scope, uri)
    item = next((item for item in items(scope, uri) if item.name == identifier), None)
    if item is None:
        raise UnknownFileError(f"The dataset has no item {identifier[:100]!r}")
    validity = validity_for(holder)
    url = storage_of(dataset["base_uri"], uri).read_url(item, validity)
    return {"uri": uri, "identifier": identifier, **_expiry(validity), "url": url}


def archive_url(scope: Scope, uri: str, holder: Holder) -> str:
    """Return the URL by which all files of a dataset are read, as one archive.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *scope*
    :raises UnknownURIError: if it is, and no dataset of *scope* is registered as *uri*
    :raises UnsupportedError: if its storage is out of reach, or can sign no URLs, or it has too many items
    """
    dataset = lookup.find(scope, uri)
    storage_of(dataset["base_uri"], uri)
    require_few_items(dataset)
    return _archive_url(uri, validity_for(holder))


def _archive_url(uri: str, validity: Validity) -> str:
    return own_url(ARCHIVE_ROUTE, "GET", ARCHIVE, uri, "", validity)


def items(scope: Scope, uri: str) -> Iterator[File]:
    """Yield the items of a dataset, one after the other, as its manifest was registered.

    :raises AuthorizationError, UnknownURIError: if there is none in *scope*
    """
    packed = metadata.get_packed_manifest(scope, uri)
    chunks = [metadata.get_manifest(scope, uri)] if packed is None else chunks_of(packed)
    for identifier, item in items_of(chunks):
        if isinstance(relpath := item.get("relpath"), str):
            yield File("item", identifier, relpath)


def require_few_items(dataset: dict[str, Any]) -> None:
    """Pass if a dataset has no more items than are read in one answer.

    :raises UnsupportedError: if it has
    """
    number, most = dataset["number_of_items"] or 0, current_app.config["SIGNED_URL_MAX_ITEMS"]
    if number > most:
        raise UnsupportedError(
            f"The dataset has {number} items, and this server signs URLs of {most} at once: ask for each item"
        )


def validity_for(holder: Holder) -> Validity:
    """Return from when to when a URL works that is signed now, for reading."""
    now = int(time.time())
    return Validity(holder, now, now + current_app.config["SIGNED_URL_READ_EXPIRY_SECONDS"])


def _expiry(validity: Validity) -> dict[str, Any]:
    moment = datetime.fromtimestamp(validity.expires_at, timezone.utc)
    return {"expiry_seconds": validity.seconds, "expiry_timestamp": moment.isoformat()}


# What they lead to


@dataclass(frozen=True)
class Permit:
    """A signature that was good, and whether its user still may have what it is for."""

    app: Flask
    claims: Claims

    def look(self) -> dict[str, Any]:
        """Return the dataset object, if the user may search it at this moment.

        :raises AuthorizationError: if not, or the user, or the token or session the URL comes from, is no longer good
        :raises UnknownURIError: if the dataset is no longer registered
        """
        return lookup.find(self.scope(), self.claims.uri)

    def scope(self) -> Scope:
        """Return where the user may search at this moment.

        :raises AuthorizationError: if the user, or the token or session the URL comes from, is no longer good
        """
        return holders.admit(self.claims, "search")[1]

    def watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield pieces as long as the user may have them; needs no context of the application.

        :raises AuthorizationError, UnknownURIError: as soon as it is seen that the user may not
        """
        looked_at = time.monotonic()
        for piece in pieces:
            if time.monotonic() > looked_at + LOOK_SECONDS:
                with self.app.app_context():
                    self.look()
                looked_at = time.monotonic()
            yield piece


def permit(signature: str, method: str, purpose: str, uri: str) -> Permit:
    """Return the permit of a signature.

    :raises AuthorizationError: if it is not a signature for this
    :raises ExpiredError: if its time is over
    """
    claims = signatures.verify(signature, method=method, purpose=purpose, uri=uri)
    return Permit(current_app._get_current_object(), claims)  # type: ignore[attr-defined]


def open_signed(signature: str, method: str, uri: str) -> tuple[OpenFile, Permit]:
    """Return the file in a directory of this machine that a signature is for.

    :param method: of the request
    :raises AuthorizationError: if it is no signature for this, or its user may not search the dataset any more
    :raises ExpiredError: if its time is over
    :raises UnknownURIError: if the dataset is no longer registered
    :raises UnknownFileError: if the file is not there, or no regular file, or reached through a link
    :raises UnsupportedError: if the storage is out of reach
    """
    allowed = permit(signature, method, READ, uri)
    dataset = allowed.look()
    storage = storage_of(dataset["base_uri"], uri)
    if not isinstance(storage, FileSystem):  # it was registered in another base URI since
        raise UnknownFileError("The dataset is no longer stored where the URL leads")
    return storage.open_path(allowed.claims.name), allowed
