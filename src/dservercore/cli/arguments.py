"""The kinds of arguments that commands take."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import click

from dservercore.dataset.times import parse_duration, parse_moment, utcnow
from dservercore.dataset.uris import uri_of_location


class Location(click.ParamType):
    """A URI, or the path of a directory on this machine, which stands for ``file://<host name><absolute path>``."""

    name = "uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URI without a slash at its end."""
        try:
            return uri_of_location(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PermissionChange(click.ParamType):
    """A kind of permission and the place that it is for: ``search:s3://my-bucket``, or ``search:my-directory``."""

    name = "permission"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the kind, a colon, and the URI of the place; what is nothing of the sort, as it is."""
        kind, separator, location = value.partition(":")
        if kind not in ("search", "register") or not location:
            return str(value)  # whoever thinks it through says what is wrong with it
        return f"{kind}{separator}{LOCATION.convert(location, param, ctx)}"


class Duration(click.ParamType):
    """A time span such as ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the time span."""
        try:
            span = parse_duration(value)
            datetime.now() + span + timedelta(days=1)
        except ValueError as error:
            self.fail(f"{value!r}: {error}.", param, ctx)
        except OverflowError:
            self.fail(f"{value} ends after the year 9999.", param, ctx)
        return span


class Moment(click.ParamType):
    """A time in the past: a time span ago, such as ``7d`` or ``2y``, seconds since the epoch, or ISO 8601."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the naive UTC datetime."""
        if isinstance(value, datetime):
            return value
        try:
            with suppress(ValueError):
                return utcnow() - parse_duration(value, units="smhdwy")
            return parse_moment(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time: give one such as 7d, 2y (ago), 2026-11-24 or 2026-11-24T10:30:00Z.",
                param,
                ctx,
            )


LOCATION = Location()
PERMISSION_CHANGE = PermissionChange()
DURATION = Duration()
MOMENT = Moment()
