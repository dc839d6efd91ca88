"""The values that a path leads to in a document, with the rules of MongoDB for lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dservercore.plugins.query.conditions import Path
from dservercore.plugins.query.language import is_position


def values_at(value: Any, path: Path) -> Iterator[Any]:
    """Yield each value that a path leads to; of a list at its end also the elements.

    What is not there is not yielded.
    """
    if not path:
        yield value
        if isinstance(value, list):
            yield from value
    elif isinstance(value, Mapping):
        if path[0] in value:
            yield from values_at(value[path[0]], path[1:])
    elif isinstance(value, list):
        for element in value:
            if isinstance(element, Mapping):
                yield from values_at(element, path)
        if is_position(path[0]) and int(path[0]) < len(value):
            element = value[int(path[0])]
            if len(path) == 1:
                yield element
            else:
                yield from values_at(element, path[1:])
