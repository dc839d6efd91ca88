"""By what ``$sort`` compares documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dservercore.plugins.query.expressions import refused
from dservercore.plugins.query.values import MISSING, UNDEFINED, order_key

_State = tuple[Any, tuple[str, ...]]


class Ordering:
    """An order of documents.

    :param paths: the parts of each path to sort by, and its direction, 1 or -1
    """

    def __init__(self, paths: Sequence[tuple[Sequence[str], int]]) -> None:
        self._paths = [tuple(parts) for parts, _ in paths]
        self._directions = [direction for _, direction in paths]

    def key(self, document: Mapping[str, Any]) -> list[Any]:
        """Return what Python orders documents by: of an array, its first element in the order asked for.

        :raises InvalidValueError: if two of the fields are different arrays
        """
        if self._paths == [("_id",)]:  # what there is one of, and so never an array in an index
            return self._directed([order_key(document.get("_id"))])
        return min(map(self._directed, _keys(tuple((document, parts) for parts in self._paths))))

    def _directed(self, keys: Sequence[Any]) -> list[Any]:
        return [
            key if direction > 0 else _Backwards(key)
            for key, direction in zip(keys, self._directions, strict=True)
        ]


class _Backwards:
    """A key that is less than those that are less than itself."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: _Backwards) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and bool(other.key == self.key)

    def __hash__(self) -> int:
        return hash(self.key)


def _keys(states: Sequence[_State]) -> Iterator[list[Any]]:
    """Yield the keys that a document has in an index: one for each element of the array that is on a path.

    :param states: for each path, where it has come to, and the rest of it
    """
    reached = [_advanced(value, parts) for value, parts in states]
    arrays = {id(value): value for value, _ in reached if isinstance(value, list)}
    if not arrays:
        yield [_key_of(value, parts) for value, parts in reached]
        return
    if len(arrays) > 1:
        raise refused("$sort cannot sort by two fields that are arrays.")
    (array,) = arrays.values()
    if not array:
        yield [
            (UNDEFINED if not parts else order_key(None)) if value is array else _key_of(value, parts)
            for value, parts in reached
        ]
    for item in array:
        inside = tuple(_within(item, parts) if value is array else (value, parts) for value, parts in reached)
        if any(isinstance(value, list) for value, _ in (_advanced(*state) for state in inside)):
            yield from _keys(inside)
        else:
            yield [_key_of(*_advanced(value, parts)) for value, parts in inside]


class _Element:
    """An element of an array, at the end of a path: an array in an array counts as a whole."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _within(item: Any, parts: tuple[str, ...]) -> _State:
    if not parts:
        return _Element(item), parts
    return (item if isinstance(item, dict) else MISSING), parts


def _advanced(value: Any, parts: tuple[str, ...]) -> _State:
    """Return where a path comes to from a value: its end, or an array, or nowhere."""
    while parts and isinstance(value, Mapping):
        value, parts = value.get(parts[0], MISSING), parts[1:]
    while parts and isinstance(value, list) and parts[0].isdigit() and len(parts[0]) < 10:
        place = int(parts[0])
        if place >= len(value) or any(isinstance(item, dict) and parts[0] in item for item in value):
            break
        value, parts = value[place], parts[1:]
        if not parts:
            return _Element(value), parts
        while parts and isinstance(value, Mapping):
            value, parts = value.get(parts[0], MISSING), parts[1:]
    return value, parts


def _key_of(value: Any, parts: tuple[str, ...]) -> Any:
    if isinstance(value, _Element):
        return order_key(value.value)
    return order_key(None) if parts or value is MISSING else order_key(value)
