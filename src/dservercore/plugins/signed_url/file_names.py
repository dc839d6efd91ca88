"""Names of files as those who download them get them: whoever wrote a manifest may have put anything into it."""

from __future__ import annotations

import re
from urllib.parse import quote

#: Longest name of a file that is sent, in bytes: that of most file systems.
MAX_NAME = 255

# What separates paths on other systems, ends lines, or moves a cursor; and halves of characters.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NO_ASCII = re.compile(r'[^ -~]|["%]')


def safe_path(path: str) -> str:
    """Return a path that leads down from where it is unpacked, on every system; never an empty one."""
    segments = [_safe_segment(segment) for segment in path.split("/") if segment]
    return "/".join(segments) or "_"


def safe_name(path: str) -> str:
    """Return the name of the file at a path, as it can be given to a file anywhere."""
    name = safe_path(path).rpartition("/")[2]
    return name.encode()[:MAX_NAME].decode(errors="ignore")


def as_attachment(path: str) -> str:
    """Return the ``Content-Disposition`` with which the file at a path is saved under its name (RFC 6266, RFC 8187)."""
    name = safe_name(path)
    plain = _NO_ASCII.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


class Distinct:
    """Makes paths that nobody had before."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def path(self, path: str) -> str:
        """Return a path, with a number at its end if it was asked for before."""
        found = path
        while found in self._taken:
            self._taken[path] += 1
            found = f"{path}~{self._taken[path]}"
        self._taken[found] = 1
        return found


def _safe_segment(segment: str) -> str:
    safe = _UNSAFE.sub("_", segment)
    return "_" if safe in (".", "..") or not safe.strip() else safe
