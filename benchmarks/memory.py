"""How much memory a process has, as the kernel counts it."""

from __future__ import annotations

import re
from pathlib import Path

KB = 1024  # the kernel says kB and means this


def of_process(pid: int) -> dict[str, int]:
    """Return what a process has in memory now, in bytes.

    ``rss_bytes`` is everything, and ``uss_bytes`` what it shares with nobody: neither code, nor what it has from the
    process that started it, nor files that others read too. ``peak_bytes`` is the most that ``rss_bytes`` ever was.
    """
    now = _figures(Path(f"/proc/{pid}/smaps_rollup"))
    return {
        "rss_bytes": now["Rss"] * KB,
        "uss_bytes": (now["Private_Clean"] + now["Private_Dirty"]) * KB,
        "peak_bytes": _figures(Path(f"/proc/{pid}/status"))["VmHWM"] * KB,
    }


def _figures(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", file.read_text(), re.M)}
