"""The page on OWASP's standard has a word on every requirement, and tests that are there for those that are met."""

from __future__ import annotations

import re

import pytest

from dservercore.models import User
from support import named_tests
from support.named_tests import CHECKOUT, TEST

PAGE = (CHECKOUT / "docs" / "explanation" / "security-requirements.rst").read_text()
ROW = re.compile(
    r"^   \* - ([\d.]+) \(level ([12])\)\n     - .+?\n"
    r"     - \*\*(Met|Not met|Not applicable)\*\*(.*?)(?=^   \* - |^\S|\Z)",
    re.MULTILINE | re.DOTALL,
)
#: How many requirements of the levels 1 and 2 each section has, which come before those of level 3 (ASVS 5.0.0).
NUMBERS = {
    **{"6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4},
    **{"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2},
    **{"9.1": 3, "9.2": 4},
    **{"10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3},
}


@pytest.fixture(scope="module")
def collected() -> set[str]:
    return named_tests.collected(TEST.findall(PAGE))


def test_every_requirement_is_there_in_order() -> None:
    expected = [f"{section}.{n}" for section, number in NUMBERS.items() for n in range(1, number + 1)]
    assert [number for number, *_ in ROW.findall(PAGE)] == expected


def test_what_is_met_names_a_test_or_where_it_is_written() -> None:
    met = {number: answer for number, _, state, answer in ROW.findall(PAGE) if state == "Met"}
    written = {number for number, answer in met.items() if not TEST.search(answer)}
    assert written == {"6.1.1", "6.1.2", "6.1.3", "7.1.1", "7.1.3"}, "what asks for documentation"
    assert all(re.search(r":doc:|`What was decided`_", met[number]) for number in written)


def test_what_is_not_met_stands_at_the_top() -> None:
    top = PAGE.partition("What is not met\n")[2].partition("\n\nAuthentication")[0]
    not_met = [number for number, _, state, _ in ROW.findall(PAGE) if state == "Not met"]
    assert re.findall(r"^\* ([\d.]+): ", top, re.MULTILINE) == not_met


def test_every_test_that_is_named_is_there(collected: set[str]) -> None:
    assert not [name for name in TEST.findall(PAGE) if name not in collected]


def test_of_a_password_nothing_but_its_hash_is_kept() -> None:
    """No time at which it expires, and no hint at it."""
    named = [column.name for column in User.__table__.columns]
    assert [name for name in named if re.search("password|secret|hint|question", name)] == ["password_hash"]
