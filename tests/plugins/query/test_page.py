"""The page where people search: a text that begins with ``{`` is a structured query."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from support.world import BLUE, CHAMPION, NOBODY, READER, RED
from support.worlds import World
from web.browser import client_of


def page(garden: World, text: str, username: str = READER, **parameters: Any) -> tuple[int, str]:
    given = {"free_text": text, "page_size": 100, **parameters}
    answer = client_of(garden.app, username).get(f"/?{urlencode(given, doseq=True)}")
    return answer.status_code, answer.text


def total(html: str) -> str:
    return re.sub(r"<[^>]+>", "", re.search(r'<h1 id="total"[^>]*>(.*?)</h1>', html)[1])  # type: ignore[index]


def test_results_are_rows_as_of_any_search(garden: World) -> None:
    status, html = page(garden, '{"readme.project": "wheat", "tags": "odd"}')
    assert status == 200
    assert total(html) == "2 results"
    assert set(re.findall(r"bed-\d\d", html)) == {"bed-05", "bed-07"}
    assert "A structured query" in html
    assert "search.csv" not in html
    assert "all-facets" not in html
    assert 'value="{&#34;readme.project&#34;: &#34;wheat&#34;, &#34;tags&#34;: &#34;odd&#34;}"' in html


def test_filters_and_pages(garden: World) -> None:
    query = '{"annotations.bed": {"$gte": 2}}'
    assert total(page(garden, query, tags="odd", base_uris=RED)[1]) == "3 results"
    assert total(page(garden, query, creator_usernames=["olga", "petra"])[1]) == "10 results"
    assert total(page(garden, query, uploaded_by="nobody")[1]) == "0 results"
    html = page(garden, query, page=2, page_size=4, sort="name")[1]
    assert set(re.findall(r"bed-\d\d", html)) == {f"bed-{n:02}" for n in range(6, 10)}
    assert "There is no such page" in page(garden, query, page=9)[1]


def test_who_sees_what(garden: World) -> None:
    assert total(page(garden, "{}", CHAMPION)[1]) == "8 results"
    assert total(page(garden, json.dumps({"base_uri": BLUE}), CHAMPION)[1]) == "0 results"
    assert total(page(garden, "{}", NOBODY)[1]) == "0 results"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": ', "no JSON"),
        ("{name: 1}", "double quotes"),
        ('{"$where": "1"}', "$where"),
        ('{"a": {"$regex": "("}}', "$regex"),
        ("{" * 3000, "no JSON"),
        ('{"a": ' + "[" * 3000 + "]" * 3000 + "}", "query"),
        ('{"a": NaN}', "no JSON"),
        ('{"a": 1e999}', "query"),
        ('{"a": "\\ud800"}', "query"),
        ('{"a\\u0000": 1}', "query"),
        ('{"a": ' + "9" * 5000 + "}", "no JSON"),
    ],
)
def test_what_is_wrong_is_said(garden: World, text: str, message: str) -> None:
    status, html = page(garden, text)
    assert status == 422
    assert message in unescape(html)
    assert "This is no search" in html


def test_texts_in_a_query_keep_their_spaces(garden: World) -> None:
    assert 'value="{&#34;name&#34;: &#34;a  b&#34;}"' in page(garden, '  {"name": "a  b"} ')[1]


def test_what_has_no_structured_form_says_so(garden: World) -> None:
    client = client_of(garden.app, READER)
    for path in ("/search.csv", "/search.ndjson", "/search/values"):
        assert client.get(f"{path}?{urlencode({'free_text': '{}'})}").status_code == 422


def test_other_texts_are_words(garden: World) -> None:
    status, html = page(garden, "bed-03 {")
    assert (status, "A structured query" in html) == (200, False)


def test_where_queries_are_turned_off_it_is_a_text(garden: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(garden.app.config, "DSERVER_ALLOW_DIRECT_QUERY", False)
    status, html = page(garden, '{"name": "bed-03"}')
    assert (status, "A structured query" in html) == (200, False)


def test_the_same_search_for_programs(garden: World) -> None:
    html = page(garden, '{"annotations.bed": {"$lt": 3}}', tags="even")[1]
    command = unescape(re.search(r"(curl &#39;.*?)</code>|(curl .*?)</(?:code|pre)>", html, re.DOTALL)[0])  # type: ignore[index]
    words = shlex.split(re.sub(r"<[^>]+>", "", command).replace("\\\n", ""))
    assert "/mongo/query?page=1&page_size=100&sort=-frozen_at" in words[1]
    body = json.loads(words[words.index("--data") + 1])
    assert body == {"query": {"annotations.bed": {"$lt": 3}}, "tags": ["even"]}
    path = words[1].partition("://")[2].partition("/")[2]
    answer = garden.send("POST", f"/{path}", READER, json=body)
    assert [found["name"] for found in answer.json] == ["bed-02", "bed-00"]
    assert "get_datasets_by_mongo_query" in html
