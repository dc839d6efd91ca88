"""How numbers, sizes and times are shown to people, as filters for templates."""

from __future__ import annotations

from datetime import datetime, timezone

from flask import Blueprint

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB")
_STEP = 1000


def size(number_of_bytes: float) -> str:
    """Return a size as people say it, in powers of 1000 with three digits: ``1.25 GB``."""
    value = float(number_of_bytes)
    for unit in _UNITS:
        # What would be shown as 1000 is one of the next unit.
        if abs(value) < _STEP - 0.5 or unit == _UNITS[-1]:
            break
        value /= _STEP
    digits = 0 if unit == "B" else max(0, 3 - len(str(int(abs(value)))))
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def number(value: float) -> str:
    """Return a number whose digits are in groups of three: ``12,345``."""
    return f"{value:,}"


def moment(seconds: float | datetime) -> datetime:
    """Return a time in UTC, to the second.

    :param seconds: since the epoch, or a time, which is in UTC where it has no zone
    """
    if isinstance(seconds, datetime):
        with_zone = seconds if seconds.tzinfo else seconds.replace(tzinfo=timezone.utc)
        return with_zone.astimezone(timezone.utc).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(seconds), timezone.utc)
    except (OverflowError, ValueError, OSError):  # beyond the year 9999, where somebody wrote it so
        return datetime.max.replace(tzinfo=timezone.utc, microsecond=0)


def add_to(pages: Blueprint) -> None:
    """Give templates the filters ``size``, ``number`` and ``moment``."""
    for function in (size, number, moment):
        pages.add_app_template_filter(function)
