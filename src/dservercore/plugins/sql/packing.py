"""Compression of what is stored in binary columns."""

from __future__ import annotations

import threading

import zstandard


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
    """Return what :func:`pack` was given."""
    return _packers.decompressor.decompress(frame)
