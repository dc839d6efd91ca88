"""Between seconds since the epoch (UTC, float) and the naive UTC datetimes that the databases hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any


def timestamp_to_datetime(seconds: float | int | str) -> datetime:
    """Return the naive UTC datetime of *seconds* since the epoch, to the microsecond.

    :raises ValueError: if it is not a finite number within the years 1 to 9999
    """
    try:
        return datetime.fromtimestamp(float(seconds), timezone.utc).replace(tzinfo=None)
    except (OverflowError, OSError, ValueError):
        raise ValueError(f"Not a time between the years 1 and 9999: {seconds!r}") from None


def parse_moment(text: str) -> datetime:
    """Return the naive UTC datetime that *text* names.

    :param text: seconds since the epoch, or ISO 8601 (``2026-11-24``, ``2026-11-24T10:30``, with ``Z`` or an offset);
        UTC where it does not say
    :raises ValueError: if it is neither
    """
    with suppress(ValueError):
        return timestamp_to_datetime(text)
    # An unescaped + in a query string arrives as a space; Python 3.10 does not know Z.
    iso = re.sub(r" (?=\d\d:?\d\d$)", "+", text.strip()) if "T" in text else text.strip()
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", iso))
        return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise ValueError(
            "expected seconds since the epoch, or a time such as 2026-11-24 or 2026-11-24T10:30:00Z"
        ) from None


_DURATION = re.compile(r"([0-9]+) ?([a-z])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365.2425),
}


def parse_duration(text: str, units: str = "smhdw") -> timedelta:
    """Return the time span that *text* names, such as ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``.

    :param units: letters that may follow the number
    :raises ValueError: if *text* names no time span, or one of no length
    :raises OverflowError: if the span is longer than a ``timedelta`` can be
    """
    found = _DURATION.fullmatch(text.strip())
    if not found or found[2] not in units or not int(found[1]):
        named = " or ".join([", ".join(units[:-1]), units[-1]])
        raise ValueError(f"expected a number and a unit ({named}), such as 12h or 30d")
    return int(found[1]) * _UNITS[found[2]]


def datetime_to_timestamp(moment: datetime) -> float:
    """Return the seconds since the epoch of a naive UTC datetime (or of an aware one)."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def stored_timestamp(moment: datetime | str | None) -> float | None:
    """Return the seconds since the epoch of a naive UTC datetime, or of SQLite's text for it; None for None."""
    if isinstance(moment, str):
        return datetime.fromisoformat(f"{moment}+00:00").timestamp()
    return None if moment is None else datetime_to_timestamp(moment)


def utcnow() -> datetime:
    """Return the present moment as a naive UTC datetime."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def extract_frozen_at_as_datetime(admin_metadata: Mapping[str, Any]) -> datetime:
    """Return ``frozen_at``, a number or a numeric string, as a naive UTC datetime."""
    return timestamp_to_datetime(admin_metadata["frozen_at"])


def extract_created_at_as_datetime(admin_metadata: Mapping[str, Any]) -> datetime:
    """Return ``created_at`` as a naive UTC datetime, or ``frozen_at`` where there is no ``created_at``.

    Datasets made by dtoolcore before 3.11 carry no ``created_at``.
    """
    created_at = admin_metadata.get("created_at")
    if created_at is None:
        return extract_frozen_at_as_datetime(admin_metadata)
    return timestamp_to_datetime(created_at)
