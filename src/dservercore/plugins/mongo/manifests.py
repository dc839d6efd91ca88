"""Manifests: packed, within the dataset's document where they are small, in pieces beside it where they are not.

A document of MongoDB has 16 MB at most, which is not enough for a manifest of a million items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import orjson
from bson import Binary
from pymongo.collection import Collection

from dservercore.dataset.serialization import manifest_json, pack, parse_manifest, unpack
from dservercore.errors import UnknownURIError

INLINE_BYTES = 256 * 2**10
PIECE_BYTES = 8 * 2**20

# The dataset may be registered again while its pieces are being read.
_ATTEMPTS = 5


def pieces_of(collection: Collection[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """Return the collection that holds the pieces of large manifests of a collection of datasets."""
    return collection.database[f"{collection.name}.manifests"]


def store(collection: Collection[dict[str, Any]], uri: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field ``_retrieve`` of a dataset's document; store a manifest that is too large for it in pieces.

    The pieces of the document that is to be replaced stay; :func:`forget_others` removes them afterwards.

    :raises ValidationError: if the manifest cannot be written as JSON
    """
    packed = pack(manifest_json(manifest))
    if len(packed) <= INLINE_BYTES:
        return {"manifest": Binary(packed)}
    # Named after what is in it, so that registering the same again writes over the same pieces.
    digest = blake2b(packed, digest_size=16).hexdigest()
    starts = range(0, len(packed), PIECE_BYTES)
    for number, start in enumerate(starts):
        key = {"uri": uri, "digest": digest, "number": number}
        piece = {**key, "content": Binary(packed[start : start + PIECE_BYTES])}
        pieces_of(collection).replace_one(key, piece, upsert=True)
    return {"digest": digest, "pieces": len(starts)}


def forget(collection: Collection[dict[str, Any]], uri: str) -> None:
    """Remove the pieces of a dataset's manifests."""
    pieces_of(collection).delete_many({"uri": uri})


def forget_others(collection: Collection[dict[str, Any]], stored: Iterable[Mapping[str, Any]]) -> None:
    """Remove the pieces of the manifests that earlier documents of the same datasets had.

    :param stored: the documents, as they are now
    """
    digests = {document["uri"]: document["_retrieve"].get("digest") for document in stored}
    whole = [uri for uri, digest in digests.items() if digest is None]
    if whole:
        pieces_of(collection).delete_many({"uri": {"$in": whole}})
    for uri, digest in digests.items():
        if digest is not None:
            pieces_of(collection).delete_many({"uri": uri, "digest": {"$ne": digest}})


def load(
    collection: Collection[dict[str, Any]], uri: str, selector: Mapping[str, Any] | None = None
) -> bytes:
    """Return the manifest of a dataset: JSON in UTF-8, in one zstandard frame.

    :param selector: finds the document that has it; None: the one with that URI
    :raises UnknownURIError: if the dataset is not stored
    :raises LookupError: if pieces of the manifest are missing, and stay so
    """
    for _ in range(_ATTEMPTS):
        document = collection.find_one(selector or {"uri": uri}, {"_retrieve": True, "manifest": True})
        if document is None:
            raise UnknownURIError(f"No dataset is registered as {uri}")
        if "_retrieve" not in document and "manifest" not in document:
            break  # the search plugin alone has written it, and there is no manifest
        packed = of_document(collection, uri, document)
        if packed is not None:
            return packed
    else:
        raise LookupError(f"Pieces of the manifest of {uri} are missing")
    raise UnknownURIError(f"No dataset is registered as {uri}")


def of_document(
    collection: Collection[dict[str, Any]], uri: str, document: Mapping[str, Any]
) -> bytes | None:
    """Return the manifest of a document: JSON in one zstandard frame; None if some of its pieces are gone."""
    kept = document.get("_retrieve")
    if kept is None:  # written by the original's plugin
        return pack(orjson.dumps(document.get("manifest") or {}, default=str))
    if "manifest" in kept:
        return bytes(kept["manifest"])
    found = pieces_of(collection).find({"uri": uri, "digest": kept["digest"]}).sort("number", 1)
    pieces = [piece["content"] for piece in found]
    return b"".join(pieces) if len(pieces) == kept["pieces"] else None


def parsed(collection: Collection[dict[str, Any]], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a document; ``{}`` if pieces of it are gone, or it is not one."""
    packed = of_document(collection, document["uri"], document)
    manifest = parse_manifest(unpack(packed)) if packed else {}
    return manifest if isinstance(manifest.get("items", {}), dict) else {}
