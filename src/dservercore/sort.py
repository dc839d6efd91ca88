"""Sorting, for plugin authors: the ``sort`` query parameter and the ``X-Sort`` header."""

from dservercore.rest.sort import (
    ASCENDING,
    DESCENDING,
    CommaSeparatedListFlaskParser,
    SortMetadataSchema,
    SortMixin,
    SortParameters,
)

__all__ = [
    "ASCENDING",
    "DESCENDING",
    "CommaSeparatedListFlaskParser",
    "SortMetadataSchema",
    "SortMixin",
    "SortParameters",
]
