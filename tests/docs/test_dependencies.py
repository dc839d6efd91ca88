"""The page about dependencies and pyproject.toml have the same lower bounds."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
BOUNDS = re.findall(r'"([\w-]+(?:>=[\w.]+)?)[",]', (CHECKOUT / "pyproject.toml").read_text())
PAGE = (CHECKOUT / "docs" / "explanation" / "dependencies.rst").read_text()


def test_a_hole_that_the_page_names_is_kept_out() -> None:
    rows = re.findall(r"^   \* - ``(.+?)``\n     - (CVE-.+)$", PAGE, re.MULTILINE)
    assert len(rows) > 10
    for bound, _ in rows:
        assert bound in BOUNDS, bound


def test_the_page_has_a_word_on_every_dependency() -> None:
    dependencies = (
        (CHECKOUT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("]")[0]
    )
    names = re.findall(r'"([\w-]+)', dependencies)
    assert len(names) > 20
    for name in names:
        assert f"``{name}``" in PAGE or f"``{name}>=" in PAGE, name
