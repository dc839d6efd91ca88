"""Whether a document matches a filter, for what comes out of a stage of an aggregation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import regex

from dservercore.plugins.query import conditions
from dservercore.plugins.query.expressions import time_limit
from dservercore.plugins.query.language import is_position
from dservercore.plugins.query.regular_expressions import Expression
from dservercore.plugins.query.values import MISSING, order_key, rank, type_name

#: Given a document, returns whether it matches.
Match = Callable[[Any], bool]

#: Given a value, or :data:`MISSING`, returns whether it is a wanted one.
_Wanted = Callable[[Any], bool]


def compiled(condition: conditions.Condition) -> Match:
    """Return the function that says whether a condition holds for a document."""
    if isinstance(condition, conditions.Not):
        inner = compiled(condition.condition)
        return lambda document: not inner(document)
    if isinstance(condition, conditions.OnValue):
        return _on_value(condition.path, condition.test)
    parts = [compiled(part) for part in condition.conditions]
    combined = all if isinstance(condition, conditions.AllOf) else any
    return lambda document: combined(part(document) for part in parts)


def _on_value(path: conditions.Path, test: conditions.Test) -> Match:
    wanted = _wanted(test)
    if not path:  # an element of a list, as a whole
        return wanted
    whole = isinstance(test, (conditions.HasSize, conditions.AnyElement))

    def match(document: Any) -> bool:
        time_limit.get().seconds_left()  # a single document may be large, and conditions many
        return any(map(wanted, _values(document, path, whole)))

    return match


def _wanted(test: conditions.Test) -> _Wanted:
    match test:
        case conditions.Equal(value):
            return _equal_to((value,))
        case conditions.OneOf(values):
            return _equal_to(values)
        case conditions.Compared(order, value):
            return _ordered(order, value)
        case conditions.Exists():
            return lambda found: found is not MISSING
        case conditions.HasType(types):
            return lambda found: type_name(found) in types
        case conditions.Matches(expression):
            return _matches(expression)
        case conditions.HasSize(size):
            return lambda found: isinstance(found, list) and len(found) == size
        case conditions.HasRemainder(divisor, remainder):
            return lambda found: _remainder(found, divisor) == remainder
        case conditions.AnyElement():
            return _has_element(test)


def _matches(expression: Expression) -> _Wanted:
    search = regex.compile(expression.portable, regex.DOTALL).search

    def wanted(found: Any) -> bool:
        if not isinstance(found, str):
            return False
        limit = time_limit.get()
        try:
            return bool(search(found, timeout=limit.seconds_for_one_text()))
        except TimeoutError:
            limit.give_up()
            raise limit.exceeded() from None

    return wanted


def _remainder(value: Any, divisor: int) -> int | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return None
    whole = math.trunc(value)
    if abs(whole) >= 2**63:
        return None
    return abs(whole) % abs(divisor) * (-1 if whole < 0 else 1)


def _equal_to(values: Sequence[Any]) -> _Wanted:
    keys = {order_key(value) for value in values}
    takes_missing = None in values
    return lambda found: takes_missing if found is MISSING else order_key(found) in keys


def _ordered(order: conditions.Order, value: Any) -> _Wanted:
    """Return what is true for values of the same type on one side of a value."""
    key, of_type = order_key(value), rank(value)

    def wanted(found: Any) -> bool:
        if rank(found) != of_type or (isinstance(found, float) and math.isnan(found)):
            return False
        other = order_key(found)
        if other == key:
            return "=" in order
        return (other < key) == ("<" in order)

    return wanted


def _has_element(test: conditions.AnyElement) -> _Wanted:
    match = compiled(test.condition)
    if not test.of_objects:
        return lambda found: isinstance(found, list) and any(map(match, found))

    def has(found: Any) -> bool:
        return isinstance(found, list) and any(
            match(_as_object(item)) for item in found if _has_members(item)
        )

    return has


def _has_members(item: Any) -> bool:
    return isinstance(item, (dict, list))


def _as_object(item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, dict) else {str(place): value for place, value in enumerate(item)}


# Paths


def _values(document: Mapping[str, Any], path: Sequence[str], whole: bool) -> Iterator[Any]:
    """Yield what a path leads to: also in each object of a list, and each element of a list at its end.

    :param whole: a list at the end of the path counts as a whole, and not its elements
    """
    value = document.get(path[0], MISSING)
    rest = path[1:]
    if not rest:
        yield from _leaves(value, whole)
    elif isinstance(value, Mapping):
        yield from _values(value, rest, whole)
    elif isinstance(value, list):
        yield from _values_in_list(value, rest, whole)
    else:
        yield MISSING


def _leaves(value: Any, whole: bool) -> Iterator[Any]:
    if isinstance(value, list) and not whole:
        yield from value
    yield value


def _values_in_list(items: Sequence[Any], path: Sequence[str], whole: bool) -> Iterator[Any]:
    for item in items:
        if isinstance(item, dict):
            yield from _values(item, path, whole)
    if not is_position(path[0]) or int(path[0]) >= len(items):
        return
    item = items[int(path[0])]
    if len(path) == 1:
        yield item  # by its position, and so as a whole
    elif isinstance(item, dict):
        yield from _values(item, path[1:], whole)
    elif isinstance(item, list):
        yield from _values_in_list(item, path[1:], whole)
