"""Dependency keys: where in a document stand the UUIDs of the datasets that it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable

#: Keys that may be asked for at once, and characters of each.
MOST_KEYS, LONGEST_KEY = 20, 255

#: Parts of a document that can name datasets.
PARTS = ("readme", "annotations")


def why_no_key(key: object) -> str | None:
    """Return what is wrong with a dependency key; None: nothing.

    What it begins with is of no importance: a part of the document that names no datasets has no edges.
    """
    if not isinstance(key, str):
        return "Not a text."
    if len(key) > LONGEST_KEY:
        return f"Longer than {LONGEST_KEY} characters."
    names = key.split(".")
    if any(not name.strip() or name.startswith("$") or "\0" in name for name in names):
        return "Not names with dots between them, such as readme.derived_from.uuid."
    return None


def parse_keys(text: str) -> list[str]:
    """Return the dependency keys of a setting: a JSON list of them, or one as it is.

    :raises ValueError: for anything else
    """
    keys = [text]
    if text.lstrip().startswith("["):
        try:
            keys = json.loads(text)
        except (ValueError, RecursionError):
            keys = []
    for key in keys or [""]:
        reason = why_no_key(key)
        if reason or key.partition(".")[0] not in PARTS or "." not in key:
            raise ValueError(
                'expected a JSON list of keys such as ["readme.derived_from.uuid", "annotations.parent"],'
                " which begin with readme. or annotations., or one of them"
            )
    if len(keys) > MOST_KEYS:
        raise ValueError(f"expected at most {MOST_KEYS} keys")
    return list(dict.fromkeys(keys))


def number_of(key: str) -> int:
    """Return the number that stands for a key in the table of edges: 63 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(key.encode(errors="replace")).digest()[:8], "big") >> 1


def numbers_of(keys: Iterable[str]) -> list[int]:
    """Return the numbers of some keys, in order."""
    return sorted({number_of(key) for key in keys})


#: Of the datasets of which every UUID is kept, under whatever key it stands. Higher with each change of what is read.
EVERY_KEY = 1


def number_of_all(keys: Collection[str]) -> int:
    """Return the number that stands for all of some keys together."""
    return number_of(json.dumps([EVERY_KEY, *sorted(keys)]))
