"""Copies of one UUID as one, and whether a query finds anything; alike on every backend."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest
from flask_smorest.pagination import PaginationParameters

from dservercore.rest.sort import SortParameters

RED, BLUE, GREEN = "s3://red", "s3://blue", "file:///green"

ORDERS = [
    "uri",
    "-uri",
    "name",
    "-name,base_uri",
    "base_uri",
    "-base_uri",
    "frozen_at,-name",
    "uuid",
    "-relevance",
]
ORDERS += ["relevance", "-relevance,name", "creator_username"]


@pytest.fixture
def copies(shelf: Any) -> Any:
    """Forty datasets with twelve UUIDs, in three base URIs."""
    chance = random.Random(5)
    for n in range(12):
        identifier = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        for base_uri in [RED, BLUE, GREEN][: 1 + n % 3]:
            shelf.register(
                f"name-{n % 5}-{base_uri[-1]}",
                base_uri,
                uuid=identifier,
                readme="barley " * (1 + n % 4) + ("rice" if base_uri == RED else "maize"),
                creator_username=f"c{n % 2}",
                frozen_at=1_500_000_000 + n % 7,
                tags=["x"] if n % 2 else [],
            )
    return shelf


def asked(
    shelf: Any, text: str | None, sort: str, page: int, size: int, **query: Any
) -> tuple[list[Any], int]:
    pagination = PaginationParameters(page, size)
    words = {} if text is None else {"free_text": text}
    found = shelf.search.search(
        {"base_uris": shelf.base_uris(), **words, **query}, pagination, SortParameters(sort)
    )
    return found, pagination.item_count


@pytest.mark.parametrize(
    "text", ["barley", "barley OR rice", "bar*", "barlye", "items:0 barley", "rice maize", None]
)
def test_the_first_copy_in_the_order_stands_for_all(copies: Any, text: str | None) -> None:
    for order in ORDERS if text else [order for order in ORDERS if "relevance" not in order]:
        everything, number = asked(copies, text, order, 1, 100)
        assert number == len(everything) > 12 or text == "rice maize"
        first: dict[str, str] = {}
        for dataset in everything:
            first.setdefault(str(dataset["uuid"]), dataset["uri"])
        pages = [asked(copies, text, order, page, 5, group="uuid") for page in (1, 2, 3, 4)]
        assert [dataset["uri"] for found, _ in pages for dataset in found] == list(first.values()), order
        assert {total for _, total in pages} == {len(first)}


def test_only_copies_in_scope_count(copies: Any) -> None:
    for scope in ([RED], [BLUE], [BLUE, GREEN]):
        everything, _ = asked(copies, "barley", "uri", 1, 100, base_uris=scope)
        found, total = asked(copies, "barley", "uri", 1, 100, base_uris=scope, group="uuid")
        assert total == len(found) == len({dataset["uuid"] for dataset in everything})
        assert {dataset["base_uri"] for dataset in found} <= set(scope)


def test_copies_that_do_not_match_do_not_stand_for_others(copies: Any) -> None:
    found, total = asked(copies, "rice", "-uri", 1, 100, group="uuid")
    assert total == 12
    assert {dataset["base_uri"] for dataset in found} == {RED}


def test_what_is_said_of_a_relaxed_search_counts_groups(copies: Any) -> None:
    pagination = PaginationParameters(1, 3)
    query = {"base_uris": copies.base_uris(), "free_text": "barley maize", "group": "uuid"}
    copies.search.search(query, pagination, SortParameters("-relevance"))
    assert pagination.item_count == 12
    assert pagination.search_report["strict_total"] == 8


def test_everything_at_once_is_grouped_too(copies: Any) -> None:
    found = copies.search.search({"base_uris": copies.base_uris(), "group": "uuid"})
    assert len(found) == len({dataset["uuid"] for dataset in found}) == 12


def test_many_copies_of_one_dataset_leave_room_for_the_others(shelf: Any) -> None:
    """More copies than are looked at to make a first page."""
    same = str(uuid.uuid4())
    for n in range(140):
        shelf.register("a", f"s3://b{n:03}", uuid=same, readme="barley barley")
    shelf.register("z", "s3://z", readme="barley")
    for order in ("name", "-relevance", "uri"):
        found, total = asked(shelf, "barley", order, 1, 10, group="uuid")
        assert (len(found), total) == (2, 2)
        assert asked(shelf, "barley", order, 2, 1, group="uuid")[0][0]["name"] == found[1]["name"]


# -- Completing what is typed ----------------------------------------------------------------------------------------


def completed(shelf: Any, text: str, base_uris: list[str] | None = None, most: int = 10) -> list[str]:
    return list(shelf.search.complete(text, base_uris or shelf.base_uris(), most))


@pytest.fixture
def words(shelf: Any) -> Any:
    shelf.register(
        "one", readme="description: greenhouse, Grünkohl and gravel; sequencing of rice\n", tags=["grain"]
    )
    shelf.register("two", BLUE, readme="granite gravel, basalt\n", size_in_bytes=2_000_000_000)
    return shelf


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gr", ["grain", "gravel", "granite", "grunkohl", "greenhouse"]),
        ("GRÜ", ["grunkohl"]),
        ("grun", ["grunkohl"]),
        ("rice gr", ["rice grain", "rice gravel", "rice grunkohl", "rice greenhouse"]),
        ("basalt gr", ["basalt gravel", "basalt granite"]),
        ("unheardof gr", []),
        ("size:>1GB gra", ["size:>1GB gravel", "size:>1GB granite"]),
        ("readme:gra", ["readme:gravel", "readme:granite"]),
        ("rice -gra", ["rice -granite"]),
        ("sequ", ["sequencing"]),
        ("gravel ", []),
        ("g", []),
        ("", []),
        ("7", []),
        ('"greenhouse gru', ['"greenhouse grunkohl']),
        ("gravel", []),
    ],
)
def test_what_is_half_typed_is_completed_so_that_it_finds_something(
    words: Any, text: str, found: list[str]
) -> None:
    assert completed(words, text) == found
    for each in found:
        assert words.find(each), each


def test_no_more_than_asked_for(words: Any) -> None:
    assert completed(words, "gr", most=2) == ["grain", "gravel"]


def test_words_of_datasets_that_are_gone_are_not_offered(words: Any) -> None:
    uri = words.register("three", BLUE, readme="graphene\n")
    assert completed(words, "grap") == ["graphene"]
    words.delete(uri)
    assert completed(words, "grap") == []


def test_words_of_others_are_not_offered(words: Any) -> None:
    assert completed(words, "gr", [RED]) == ["grain", "gravel", "grunkohl", "greenhouse"]
    assert completed(words, "gr", [BLUE]) == ["gravel", "granite"]


def test_words_of_others_change_nothing(words: Any) -> None:
    """Neither what is offered, nor its order, nor how much of it."""
    before = [completed(words, text, [RED]) for text in ("gr", "rice gr", "se", "gra")]
    for n in range(30):
        letters = "".join(chr(97 + int(digit)) for digit in f"{n:03}")
        words.register(f"hidden-{n}", GREEN, readme=f"gr{letters} gra{letters} rice {'gravel ' * 30}")
    assert [completed(words, text, [RED]) for text in ("gr", "rice gr", "se", "gra")] == before
