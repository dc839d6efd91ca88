"""What ``make audit`` tells of the known holes of dependencies, and that it does not call silence good news."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOLE = {"id": "PYSEC-1", "aliases": ["CVE-2"], "fix_versions": ["1.1", "2.0"], "description": "..."}
KNOWN = {"name": "bad", "version": "1.0", "vulns": [HOLE]}
GOOD = {"name": "good", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "who", "skip_reason": "Dependency not found on PyPI and could not be audited: who (1.0)"}


@pytest.fixture(scope="module")
def report() -> Callable[..., str]:
    """``report(answer)``, of the script."""
    return runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "audit.py"))["report"]


def test_a_known_hole_is_told_with_its_numbers_and_the_release_that_mends_it(
    report: Callable[[dict[str, Any]], str],
) -> None:
    assert report({"dependencies": [KNOWN, GOOD]}).splitlines() == [
        "bad 1.0: PYSEC-1 CVE-2, mended in 1.1 or 2.0",
        "Of 2 releases, 2 were looked up: 1 known holes.",
    ]


def test_what_could_not_be_looked_up_is_not_called_safe(report: Callable[[dict[str, Any]], str]) -> None:
    assert report({"dependencies": [UNKNOWN, GOOD]}).splitlines() == [
        "Of 2 releases, 1 were looked up: 0 known holes.",
        "Not looked up, because the advisories cannot be reached: who",
    ]
