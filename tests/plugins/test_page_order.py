"""Pages come in the order of URIs without gaps or doubles, also where a dataset is not in the parent of its URI.

Databases that the original server made have such rows.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_smorest.pagination import PaginationParameters

from dservercore.auth.permissions import operator_scope
from dservercore.catalog import lookup
from dservercore.db import sql_db
from dservercore.rest.sort import SortParameters
from support.databases import do_not_wait_for_the_disk

RED, BLUE, GREEN, VIOLET = "s3://red", "s3://blue", "file:///green", "s3://violet"

# Where datasets are, and by base URI where their URIs say that they are.
STRAYS = {
    "among those of another": {RED: [RED, RED, BLUE], BLUE: [BLUE], GREEN: [GREEN]},
    "before all others": {RED: [RED, RED, "a://"], BLUE: [BLUE], GREEN: [GREEN]},
    "behind all others": {GREEN: [GREEN, "z://z"], RED: [RED], BLUE: [BLUE]},
    "without a directory": {BLUE: [BLUE, "s3://blue-", "s3://blue.."], RED: [RED]},
    "all of them elsewhere": {BLUE: [GREEN], GREEN: [RED], RED: [BLUE]},
    "in no base URI at all": {BLUE: ["s3://cyan"], VIOLET: ["s3://aqua"], RED: [RED]},
    "inside one another": {RED: [RED], f"{RED}/deep": [f"{RED}/deep"], BLUE: [BLUE]},
}


NUMBER = 60  # more than the search on SQLite sorts without looking for a faster way


@pytest.fixture(scope="module", params=STRAYS.values(), ids=STRAYS)
def strays(
    request: pytest.FixtureRequest,
    new_shelf: Callable[[Path], Iterator[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    for shelf in new_shelf(tmp_path_factory.mktemp("strays")):
        do_not_wait_for_the_disk(sql_db.engine)
        chance = random.Random(3)
        for n in range(NUMBER):
            base_uri = list(request.param)[n % len(request.param)]
            identifier = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            uri = f"{chance.choice(request.param[base_uri])}/{identifier}"
            shelf.register(f"name-{n}", base_uri, uuid=identifier, uri=uri, readme="common words")
        shelf.add_base_uri("s3://empty")
        sql_db.session.commit()
        yield shelf


SEARCHES = [("common", "uri"), ("common", "-uri"), ("common", "-relevance"), (None, "uri"), (None, "-uri")]


@pytest.mark.parametrize(("text", "sort"), SEARCHES)
@pytest.mark.parametrize("size", [7, NUMBER])
def test_pages_of_a_search(strays: Any, text: str | None, size: int, sort: str) -> None:
    query: dict[str, Any] = {"base_uris": strays.base_uris(), **({"free_text": text} if text else {})}
    found = []
    for page in range(1, NUMBER // size + 2):
        pagination = PaginationParameters(page, size)
        found += [row["uri"] for row in strays.search.search(query, pagination, SortParameters(sort))]
        assert pagination.item_count == NUMBER
    if (
        sort != "-relevance" or strays.search.shares_sql_session
    ):  # to MongoDB a word in a URI makes a difference
        assert found == sorted(found, reverse=sort == "-uri")
    assert len(set(found)) == NUMBER


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("size", [1, 7, NUMBER])
def test_pages_of_a_list(strays: Any, size: int, direction: int) -> None:
    found = []
    for start in range(0, NUMBER, size):
        page, total = lookup.list_datasets(
            operator_scope("search"), {"uri": direction}, slice(start, start + size)
        )
        assert total == NUMBER
        assert len(page) <= size
        found += [row["uri"] for row in page]
    assert found == sorted(found, reverse=direction < 0)
    assert len(set(found)) == NUMBER
