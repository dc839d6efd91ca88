"""The tests that a page of the documentation names, and those that pytest finds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)*)`")


def collected(named: Iterable[str]) -> set[str]:
    """Return the tests that pytest finds in the modules of tests, without parameters, and what they are in.

    :param named: tests, classes or modules, such as ``tests/x.py::TestY::test_z``
    """
    modules = sorted({name.partition("::")[0] for name in named})
    missing = [module for module in modules if not (CHECKOUT / module).is_file()]
    assert not missing, f"There are no such modules: {missing}"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *modules]
    listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert listing.returncode == 0, listing.stdout + listing.stderr
    tests = {line.partition("[")[0] for line in listing.stdout.splitlines() if "::" in line}
    return {"::".join(test.split("::")[:depth]) for test in tests for depth in (1, 2, 3)}
