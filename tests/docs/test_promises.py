"""What is promised about security has tests: every promise names some, and all that are named are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import named_tests
from support.named_tests import CHECKOUT, TEST

PAGE = CHECKOUT / "docs" / "explanation" / "security.rst"
POLICY = CHECKOUT / "SECURITY.md"


def promises() -> dict[str, list[str]]:
    """Return the promises of the page, each with the names of its tests."""
    section = PAGE.read_text().partition("Who is trusted with what")[2].partition("\nTokens\n")[0]
    items = re.split(r"^\* ", section, flags=re.MULTILINE)[1:]
    return {item.partition("\n\n")[0]: TEST.findall(item) for item in items}


@pytest.fixture(scope="module")
def collected() -> set[str]:
    named = {name for page in (PAGE, POLICY) for name in TEST.findall(page.read_text())}
    return named_tests.collected(named)


def test_every_promise_names_a_test() -> None:
    assert len(promises()) > 30
    assert not [promise for promise, tests in promises().items() if not tests]


@pytest.mark.parametrize("page", [PAGE, POLICY], ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path, collected: set[str]) -> None:
    named = TEST.findall(page.read_text())
    assert named
    assert not [name for name in named if name not in collected]


def test_the_policy_promises_what_the_page_does() -> None:
    section = POLICY.read_text().partition("## What is promised")[2].partition("\n## ")[0]
    items = re.split(r"^- ", section, flags=re.MULTILINE)[1:]
    assert len(items) > 5
    assert not [item for item in items if not TEST.search(item)]
