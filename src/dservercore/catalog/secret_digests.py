"""What is stored of secrets that this server has made: nobody who reads the database can use one."""

from __future__ import annotations

import hashlib


def digest_of(secret: str) -> str:
    """Return what is stored of a secret that is random, and so needs no slow hash: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()
