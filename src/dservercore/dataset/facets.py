"""The facets by which datasets that are found can be counted, and the classes of their sizes."""

from __future__ import annotations

from typing import Literal, get_args

Facet = Literal[
    "tags", "creator_usernames", "base_uris", "uploaded_by", "created", "frozen", "size", "annotations"
]

#: Names of the facets; those that are also filters are called as these are.
FACETS: tuple[Facet, ...] = get_args(Facet)

#: What classes of sizes are called, each from a thousand times the one before it on, in bytes: 1, 1000, ...
SIZE_CLASSES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")

#: So many names of annotations of a dataset are counted.
MAX_ANNOTATION_NAMES = 200


def size_power(size: int) -> int:
    """Return the power of a thousand that a size in bytes reaches: 0 below 1 kB, 1 below 1 MB."""
    return (len(str(size)) - 1) // 3


def size_class(power: int) -> str:
    """Return the name of the class of sizes that reach a power of a thousand bytes, such as ``kB``."""
    return SIZE_CLASSES[min(power, len(SIZE_CLASSES) - 1)]
