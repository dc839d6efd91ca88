"""Bounds as people type them: ``>300``, ``1GB..2GB``, ``2024``, ``>=2024-05``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from dservercore.dataset.query_tree import Bounds

_BYTES = {"": 1, "b": 1}
_BYTES |= {f"{letter}{rest}": 1000**power for power, letter in enumerate("kmgtp", 1) for rest in ("", "b")}
_BYTES |= {f"{letter}i{rest}": 1024**power for power, letter in enumerate("kmgtp", 1) for rest in ("", "b")}

#: A number as people write it.
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([a-zA-Z]*)")
_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:T(\d{1,2}):(\d{2})(?::(\d{2}))?)?)?)?")


class Stretch(NamedTuple):
    """What a value stands for: a number, or all moments of a year or a day.

    :ivar end: the first moment behind it, which is not part of it; None: it is the one number *start*
    """

    start: float
    end: float | None = None


#: Reads one value; None: it is none.
Read = Callable[[str], "Stretch | None"]


def number(text: str) -> Stretch | None:
    """Return the number that *text* is."""
    return Stretch(float(text)) if NUMBER.fullmatch(text) else None


def quantity(text: str) -> Stretch | None:
    """Return the number of bytes that *text* is, such as ``100``, ``1.5GB`` or ``10 MiB`` without its space."""
    found = _QUANTITY.fullmatch(text)
    if found is None or found[2].lower() not in _BYTES:
        return None
    return Stretch(float(found[1]) * _BYTES[found[2].lower()])


def moment(text: str) -> Stretch | None:
    """Return what *text* is, such as ``2024``, ``2024-05``, ``2024-05-31`` or ``2024-05-31T10:30``, UTC.

    The numbers are seconds since the epoch.
    """
    found = _DAY.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (None if part is None else int(part) for part in found.groups())
    try:
        start = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        if second is not None:
            end = start + timedelta(seconds=1)
        elif minute is not None:
            end = start + timedelta(minutes=1)
        elif day is not None:
            end = start + timedelta(days=1)
        elif month is not None:
            end = start.replace(year=start.year + month // 12, month=month % 12 + 1)
        else:
            end = start.replace(year=start.year + 1)
    except (ValueError, OverflowError):
        return None
    return Stretch(_seconds(start), _seconds(end))


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=timezone.utc).timestamp()


def bounds(text: str, read: Read) -> Bounds | None:
    """Return the bounds that *text* says; None if it says none.

    A value alone means just that; behind ``>``, ``>=``, ``<`` or ``<=`` it is one bound, and on both sides of ``..``,
    of which one may be empty, they are two, both included.
    """
    sign = re.match(r">=|<=|>|<|=", text)
    if sign:
        value = read(text[sign.end() :])
        return None if value is None else bounds_of(sign[0], value)
    if ".." in text:
        first, _, last = text.partition("..")
        least, most = read(first) if first else None, read(last) if last else None
        if (first and least is None) or (last and most is None) or not (least or most):
            return None
        lower = least.start if least else None
        return Bounds(lower) if most is None else _until(lower, most)
    value = read(text)
    return None if value is None else _until(value.start, value)


def bounds_of(sign: str, value: Stretch) -> Bounds:
    """Return the bounds that a value has behind a sign: ``>``, ``>=``, ``<``, ``<=`` or ``=``."""
    if sign == ">":
        return Bounds(value.start, without_least=True) if value.end is None else Bounds(value.end)
    if sign == ">=":
        return Bounds(value.start)
    if sign == "<":
        return Bounds(most=value.start, without_most=True)
    return _until(None if sign == "<=" else value.start, value)


def _until(least: float | None, most: Stretch) -> Bounds:
    if most.end is None:
        return Bounds(least, most.start)
    return Bounds(least, most.end, without_most=True)
