"""The kinds of arguments that commands take."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

from dservercore.date_utils import parse_moment, utcnow
from dservercore.uris import uri_of_location

_DURATION = re.compile(r"([0-9]+) ?([smhdw])")
_AGO = re.compile(r"([0-9]+) ?([smhdwy])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Location(click.ParamType):
    """A URI, or the path of a directory on this machine, which stands for ``file://<host name><absolute path>``."""

    name = "uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URI without a slash at its end."""
        try:
            return uri_of_location(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType):
    """A time span such as ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the time span."""
        found = _DURATION.fullmatch(value)
        if not found or not int(found.group(1)):
            self.fail(
                f"{value!r} is not a number and a unit (s, m, h, d or w), such as 12h or 30d.", param, ctx
            )
        try:
            span = timedelta(**{_UNITS[found.group(2)]: int(found.group(1))})
            datetime.now() + span + timedelta(days=1)
        except OverflowError:
            self.fail(f"{value} ends after the year 9999.", param, ctx)
        return span


class Moment(click.ParamType):
    """A time in the past: a time span ago, such as ``7d`` or ``2y``, or what ``date_utils.parse_moment`` takes."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the naive UTC datetime."""
        if isinstance(value, datetime):
            return value
        found = _AGO.fullmatch(value)
        try:
            if found:
                number, unit = int(found.group(1)), found.group(2)
                span = timedelta(days=365.2425) if unit == "y" else timedelta(**{_UNITS[unit]: 1})
                return utcnow() - number * span
            return parse_moment(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time: give one such as 7d, 2y (ago), 2026-11-24 or 2026-11-24T10:30:00Z.",
                param,
                ctx,
            )


LOCATION = Location()
DURATION = Duration()
MOMENT = Moment()
