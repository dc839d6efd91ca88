"""All datasets that a search finds, by their keys: just those that its pages have, in their order, on every backend."""

from __future__ import annotations

from typing import Any

import pytest
from flask_smorest.pagination import PaginationParameters

from dservercore.rest.sort import SortParameters

from .conftest import RED


def everything(shelf: Any, query: dict[str, Any], sort: str) -> list[str]:
    matches = shelf.search.search_all({"base_uris": shelf.base_uris(), **query}, SortParameters(sort))
    keys = matches.keys
    found = [*shelf.search.fetch(keys[:7]), *shelf.search.fetch(keys[7:])]
    assert len(found) == len(keys)
    return [dataset["uri"] for dataset in found]


def pages(shelf: Any, query: dict[str, Any], sort: str) -> list[str]:
    found: list[str] = []
    for number in range(1, 12):
        page = PaginationParameters(number, 10)
        asked = {"base_uris": shelf.base_uris(), **query}
        found += [d["uri"] for d in shelf.search.search(asked, page, SortParameters(sort))]
        assert page.item_count is not None
    assert len(found) == page.item_count
    return found


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"free_text": "text"},
        {"free_text": "common"},
        {"free_text": "comon txet"},
        {"free_text": "common -text"},
        {"tags": ["t1"]},
        {"tags": ["t1"], "free_text": "text"},
        {"base_uris": [RED], "free_text": "text"},
        {"not": {"name": "name-3"}, "free_text": "text"},
        {"items": 0, "creator_usernames": ["creator1", "creator2"]},
        {"free_text": "name-3"},
        {"free_text": "nothinglikeit"},
        {"free_text": "..."},
    ],
)
def test_it_is_what_all_pages_have(hundred: Any, query: dict[str, Any]) -> None:
    for sort in (
        "uri",
        "-uri",
        "name",
        "-frozen_at,name",
        "-created_at",
        "base_uri",
        "-relevance",
        "relevance,name",
    ):
        assert everything(hundred, query, sort) == pages(hundred, query, sort), sort


def test_what_is_gone_is_left_out(shelf: Any) -> None:
    uris = [shelf.register(name) for name in "abc"]
    keys = shelf.search.search_all(
        {"base_uris": [RED], "free_text": "a OR b OR c"}, SortParameters("name")
    ).keys
    shelf.delete(uris[1])
    assert [d["name"] for d in shelf.search.fetch(keys)] == ["a", "c"]


def test_the_report_is_that_of_the_search(shelf: Any) -> None:
    shelf.register("a", readme="zebrafish")
    asked = {"base_uris": [RED], "free_text": "zebarfish"}
    matches = shelf.search.search_all(asked, SortParameters("-relevance"))
    assert matches.report == {"corrected": {"zebarfish": ["zebrafish"]}, "optional": [], "strict_total": 0}
    strict = shelf.search.search_all({**asked, "strict": True}, SortParameters("-relevance"))
    assert (len(strict.keys), strict.report) == (0, None)
