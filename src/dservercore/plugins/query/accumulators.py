"""What ``$group`` makes of the documents of a group."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dservercore.plugins.query.expressions import refused, size_of
from dservercore.plugins.query.values import (
    MISSING,
    compare,
    is_nullish,
    is_number,
    order_key,
    within_64_bits,
)

#: Bytes of JSON that the groups and the sorted documents of an aggregation may take together.
MOST_BYTES = 16 * 2**20

#: Bytes that a group or a document takes beside its values, roughly, in the JSON that is counted.
_OVERHEAD = 50

#: The same of what is made for one group.
_OVERHEAD_OF_ACCUMULATOR = 25


class Room:
    """How much of the memory is taken that an aggregation may have."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._left = self._most = most

    def take(self, value: Any) -> int:
        """Take the room for a value. Return how much that is.

        :raises InvalidValueError: if there is not so much
        """
        size = _OVERHEAD + size_of(value)
        self.take_bytes(size)
        return size

    def take_bytes(self, size: int) -> None:
        """Take so much room.

        :raises InvalidValueError: if there is not so much
        """
        self._left -= size
        if self._left < 0:
            raise refused(
                f"its groups or sorted documents take more than {self._most // 2**20} MB: match fewer datasets, or"
                " project the fields that are needed, first."
            )

    def give_back(self, size: int) -> None:
        """Give back room of a value that is not kept any more."""
        self._left += size


class Accumulator:
    """Takes the values of a group, one after the other."""

    def __init__(self, room: Room) -> None:
        self._room = room
        room.take_bytes(_OVERHEAD_OF_ACCUMULATOR)

    def take(self, value: Any) -> None:
        """Take the value of one more document."""
        raise NotImplementedError

    def result(self) -> Any:
        """Return what has become of the values."""
        raise NotImplementedError


class _Total:
    """The sum of numbers: of integers exactly, and of others with what rounding has lost."""

    def __init__(self) -> None:
        self._whole = 0
        self._float, self._lost = 0.0, 0.0
        self.is_float = False

    def add(self, number: float) -> None:
        if isinstance(number, int):
            self._whole += number
            return
        self.is_float = True
        total = self._float + number
        if math.isfinite(total):
            greater, less = (
                (self._float, number) if abs(self._float) >= abs(number) else (number, self._float)
            )
            self._lost += (greater - total) + less
        else:
            self._lost = 0.0
        self._float = total

    def value(self) -> Any:
        if not self.is_float:
            return within_64_bits(self._whole)
        return (
            math.fsum((self._float, self._lost, self._whole)) if math.isfinite(self._float) else self._float
        )


class _Sum(Accumulator):
    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._total = _Total()

    def take(self, value: Any) -> None:
        if is_number(value):
            self._total.add(value)

    def result(self) -> Any:
        return self._total.value()


class _Average(_Sum):
    _number = 0

    def take(self, value: Any) -> None:
        super().take(value)
        self._number += is_number(value)

    def result(self) -> Any:
        return float(self._total.value()) / self._number if self._number else None


class _One(Accumulator):
    """Keeps one of the values."""

    _value: Any = MISSING
    _size = 0

    def _keep(self, value: Any) -> None:
        self._room.give_back(self._size)
        self._value, self._size = value, self._room.take(value)

    def result(self) -> Any:
        return None if self._value is MISSING else self._value


class _Extreme(_One):
    _sign = 0

    def take(self, value: Any) -> None:
        if not is_nullish(value) and (self._value is MISSING or compare(value, self._value) * self._sign > 0):
            self._keep(value)


class _Least(_Extreme):
    _sign = -1


class _Greatest(_Extreme):
    _sign = 1


class _First(_One):
    _is_given = False

    def take(self, value: Any) -> None:
        if not self._is_given:
            self._is_given = True
            self._keep(value)


class _Last(_One):
    def take(self, value: Any) -> None:
        self._keep(value)


class _All(Accumulator):
    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._values: list[Any] = []

    def take(self, value: Any) -> None:
        if value is not MISSING:
            self._room.take(value)
            self._values.append(value)

    def result(self) -> Any:
        return self._values


class _Set(_All):
    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._keys: set[Any] = set()

    def take(self, value: Any) -> None:
        if value is MISSING or (key := order_key(value)) in self._keys:
            return
        super().take(value)
        self._keys.add(key)


#: The accumulators by name, each of which is given the room that there is.
ACCUMULATORS: dict[str, Callable[[Room], Accumulator]] = {
    "$addToSet": _Set,
    "$avg": _Average,
    "$count": _Sum,
    "$first": _First,
    "$last": _Last,
    "$max": _Greatest,
    "$min": _Least,
    "$push": _All,
    "$sum": _Sum,
}
