"""How figures are shown and kept: a table for terminal and documentation, and JSON with where they come from."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.installations import REPOSITORY

PACKAGES = ["dservercore", "flask", "gunicorn", "sqlalchemy", "werkzeug"]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that reads well on a terminal, and is one of reStructuredText. The first column is text."""
    lines = [[str(cell) or "-" for cell in row] for row in (heads, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    rule = "  ".join("=" * width for width in widths)
    body = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join([rule, body[0], rule, *body[1:], rule])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *rest = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]


def cells(row: Mapping[str, Any], first: str, second: str) -> list[str]:
    """Return the cells of what :func:`load.in_turns` returns of the servers of these two names.

    They are the operation, both rates, the part of the first one that the second one reaches, what is required of it,
    and whether that is reached.
    """
    return [
        row["operation"],
        number(row[first]["rate"]),
        number(row[second]["rate"]),
        f"{row['part']:.0%}",
        f"{row['required']:.0%}",
        "yes" if row["part"] >= row["required"] else "NO",
    ]


def number(value: float) -> str:
    """Return a rate or a ratio with as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def origin(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a figure depends on: when, where, with which versions and options it was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    )
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or None,  # None: not from a clone
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.platform(),
        },
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "options": {
            name: str(value) for name, value in vars(options).items() if name not in ("json", "work")
        },
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def write(path: Path | None, options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Write figures and their origin to a JSON file, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**origin(options), **figures}, indent=1) + "\n")


def say(text: str) -> None:
    """Say what is being done, beside the results."""
    print(text, file=sys.stderr, flush=True)
