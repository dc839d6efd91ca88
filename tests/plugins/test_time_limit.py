"""A search that takes longer than ``DSERVER_SEARCH_TIMEOUT`` is ended, and nothing else."""

from __future__ import annotations

import random
import string
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import current_app
from flask_smorest.pagination import PaginationParameters

from dservercore.db import begin_write, sql_db
from dservercore.errors import UnavailableError
from dservercore.plugins.sql.cut_off import cut_off
from dservercore.plugins.tokens.time_limit import TimeLimit
from dservercore.rest.sort import SortParameters

pytestmark = pytest.mark.attack

SLOW = " ".join(f"{letter}*" for letter in "abcdefghij")


@pytest.fixture(scope="module")
def filled(
    new_shelf: Callable[[Path], Iterator[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Some hundred datasets with so many words that every prefix stands for thousands."""
    chance = random.Random(7)
    for shelf in new_shelf(tmp_path_factory.mktemp("filled")):
        for number in range(400):
            words = ("".join(chance.choices(string.ascii_lowercase, k=6)) for _ in range(400))
            shelf.register(f"set-{number}", readme=" ".join(words))
        yield shelf


@pytest.fixture
def shelf(filled: Any) -> Iterator[Any]:
    """The same, with the time that a search may take as it is by default."""
    yield filled
    filled.search.search_seconds = 20.0


@pytest.mark.parametrize("sort", ["relevance", "+name", "-frozen_at"])
@pytest.mark.parametrize("paged", [True, False])
def test_what_takes_too_long_is_ended_and_says_what_would_take_less(
    shelf: Any, sort: str, paged: bool
) -> None:
    pagination = PaginationParameters(1, 10) if paged else None
    query = {"base_uris": shelf.base_uris(), "free_text": SLOW}
    assert shelf.search.search(query, pagination, SortParameters(sort))
    shelf.search.search_seconds = 0.001
    with pytest.raises(UnavailableError) as raised:
        shelf.search.search(query, pagination, SortParameters(sort))
    assert raised.value.message == (
        "The search took longer than 0.001 seconds and was ended: ask for more words or rarer ones,"
        " for fewer that end in '*', or in fewer base URIs"
    )


def test_the_next_search_is_answered(shelf: Any) -> None:
    before = shelf.find(SLOW)
    for _ in range(5):
        shelf.search.search_seconds = 0.001
        with pytest.raises(UnavailableError):
            shelf.find(SLOW)
        shelf.search.search_seconds = 20.0
        assert shelf.find(SLOW) == before


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT count(*) FROM n"


def execute(statement: str) -> Any:
    return sql_db.session.connection().exec_driver_sql(statement)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
class TestTheConnectionThatSearchesAndWritesShare:
    def test_a_statement_is_ended_while_it_runs(self, shelf: Any) -> None:
        """And not only when it has come to its end."""
        begin = time.monotonic()
        with pytest.raises(UnavailableError), cut_off(TimeLimit(0.2)):
            execute(ENDLESS)
        assert 0.2 <= time.monotonic() - begin < 5

    def test_a_write_before_it_stays_and_can_go_on(self, shelf: Any) -> None:
        begin_write()
        shelf.add_base_uri("s3://before")
        shelf.search.search_seconds = 0.001
        with pytest.raises(UnavailableError):
            shelf.find(SLOW)
        shelf.add_base_uri("s3://after")
        sql_db.session.commit()
        assert {"s3://before", "s3://after"} <= set(shelf.base_uris())

    def test_what_comes_after_it_may_take_its_time(self, shelf: Any) -> None:
        shelf.search.search_seconds = 0.001
        with pytest.raises(UnavailableError):
            shelf.find(SLOW)
        assert execute(LONG).scalar_one() == 200_000

    def test_searches_at_the_same_time_go_on(self, shelf: Any) -> None:
        app, wanted = current_app._get_current_object(), shelf.find(SLOW)  # type: ignore[attr-defined]
        found: list[list[str]] = []

        def search() -> None:
            with app.app_context():
                found.append(shelf.find(SLOW))
                sql_db.session.remove()

        others = [threading.Thread(target=search) for _ in range(4)]
        for other in others:
            other.start()
        for _ in range(20):
            with pytest.raises(UnavailableError), cut_off(TimeLimit(0.0)):
                execute(ENDLESS)
        for other in others:
            other.join()
        assert found == [wanted] * 4
