"""How MongoDB compares values: the order of types, and what counts as equal.

The values are those of JSON, and :data:`MISSING`, which is what a field has that is not there.
"""

from __future__ import annotations

import math
from typing import Any, Final


class Missing:
    """The value of a field that is not there."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()

#: What an empty array is sorted by: less than null.
UNDEFINED: Final = (0,)

_RANK_OF_ARRAY = 25
_RANKS: dict[type, int] = {
    Missing: 0,
    type(None): 5,
    int: 10,
    float: 10,
    str: 15,
    dict: 20,
    list: _RANK_OF_ARRAY,
    bool: 40,
}

#: The least and the greatest integer of 32 and of 64 bits.
INT_BOUNDS, LONG_BOUNDS = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)


def rank(value: Any) -> int:
    """Return the place of a value's type in MongoDB's order of types."""
    return _RANKS[type(value)]


def order_key(value: Any) -> tuple[Any, ...]:
    """Return a tuple by which Python orders values as MongoDB does; equal values have equal ones.

    It can be hashed, too.
    """
    kind = type(value)
    if kind is int or kind is str or kind is bool:
        return _RANKS[kind], value
    if kind is float:
        return (10, -math.inf, 0) if math.isnan(value) else (10, value)
    if kind is dict:
        return 20, tuple((rank(item), name, order_key(item)) for name, item in value.items())
    if kind is list:
        return _RANK_OF_ARRAY, tuple(map(order_key, value))
    return (_RANKS[kind],)


def compare(one: Any, other: Any) -> int:
    """Return -1, 0 or 1: whether a value is less than another one, equal to it, or greater."""
    first, second = order_key(one), order_key(other)
    return (first > second) - (first < second)


def type_name(value: Any) -> str:
    """Return what MongoDB calls the type of a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if INT_BOUNDS[0] <= value <= INT_BOUNDS[1] else "long"
    names = {
        Missing: "missing",
        type(None): "null",
        float: "double",
        str: "string",
        dict: "object",
        list: "array",
    }
    return names[type(value)]


def is_number(value: Any) -> bool:
    """Return whether a value is a number, which booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_nullish(value: Any) -> bool:
    """Return whether a value is null, or not there."""
    return value is None or value is MISSING


def within_64_bits(number: Any) -> Any:
    """Return a number as it is; as a float if it is an integer of more than 64 bits."""
    if isinstance(number, int) and not LONG_BOUNDS[0] <= number <= LONG_BOUNDS[1]:
        return float(number)
    return number
