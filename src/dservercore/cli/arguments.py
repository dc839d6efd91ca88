"""The kinds of arguments that commands take."""

from __future__ import annotations

import os
import re
import socket
from datetime import datetime, timedelta
from typing import Any

import click
from dtoolcore.utils import sanitise_uri

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # urllib drops some of them without a word
_DURATION = re.compile(r"([0-9]+) ?([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Location(click.ParamType):
    """A URI, or the path of a directory on this machine, which stands for ``file://<host name><absolute path>``."""

    name = "uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URI without a slash at its end."""
        if not value.strip() or _CONTROL.search(value):
            self.fail(f"{value!a} is empty or has control characters.", param, ctx)
        try:
            uri = sanitise_uri(value) if _has_scheme(value) else _uri_of_path(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return uri.rstrip("/")


def _has_scheme(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text) is not None


def _uri_of_path(path: str) -> str:
    # As dtool writes it. dtool takes what follows one of these characters for another part of the URI.
    if set("?#") & set(path):
        raise ValueError("dtool cannot address a directory with ? or # in its path.")
    return f"file://{socket.gethostname()}{os.path.abspath(path)}"


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


LOCATION = Location()
DURATION = Duration()
