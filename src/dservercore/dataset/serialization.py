"""From what describes a dataset to text and bytes that every store takes, and back."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import orjson
import zstandard

from dservercore.errors import ValidationError


class _Packers(threading.local):
    """One pair for each thread: they cannot be shared, and making them costs as much as using them."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor()
        self.decompressor = zstandard.ZstdDecompressor()


_packers = _Packers()


def pack(content: bytes) -> bytes:
    """Return *content* as one zstandard frame."""
    return _packers.compressor.compress(content)


def unpack(frame: bytes) -> bytes:
    """Return the content of a zstandard frame that :func:`pack` has made."""
    return _packers.decompressor.decompress(frame)


def storable_text(field: str, text: str) -> str:
    """Return *text*, if it can be encoded in UTF-8.

    :param field: for the error
    :raises ValidationError: if it cannot
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(f"{field}: has characters (surrogates) that are no text") from None
    return text


def json_text(field: str, value: Any) -> str:
    """Return *value* as JSON; also integers beyond 64 bits, which orjson does not write.

    :param field: for the error
    :raises ValidationError: if it cannot be written as such
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise ValidationError(f"{field}: cannot be stored as JSON ({problem})") from None


def manifest_json(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as JSON in UTF-8.

    :raises ValidationError: if it cannot be written as such
    """
    try:
        text = orjson.dumps(manifest)
    except TypeError:  # a file name that is no text, for which json has escapes
        return json_text("manifest", manifest).encode()
    if b"null" in text and orjson.loads(text) != manifest:
        raise ValidationError("manifest: cannot be stored as JSON (a number is not finite)")
    return text


def parse_manifest(text: bytes) -> dict[str, Any]:
    """Return the manifest that :func:`manifest_json` has written."""
    manifest: dict[str, Any]
    try:
        manifest = orjson.loads(text)
    except orjson.JSONDecodeError:
        manifest = json.loads(text)
    return manifest


def beginning_of(frame: bytes, most: int) -> bytes:
    """Return no more than the first *most* bytes of the content of a zstandard frame, without unpacking the rest.

    :raises zstandard.ZstdError: if it is no zstandard frame
    """
    with _packers.decompressor.stream_reader(frame) as reader:
        return reader.read(most)
