"""Tests for reading which page is asked for."""

from __future__ import annotations

import pytest
from flask import Flask
from flask_smorest.pagination import _pagination_parameters_schema_factory
from werkzeug.exceptions import UnprocessableEntity

from dservercore.rest.pagination import PaginationParser

SCHEMA = _pagination_parameters_schema_factory(1, 10, 100)


def test_a_page_that_was_asked_for_before_is_another_one_for_another_request():
    """The numbers of a query string are remembered, and not what a view sets of the page."""
    parser = PaginationParser()
    app = Flask("pages")
    with app.test_request_context("/?page=3&page_size=20"):
        first, second = (parser.parse(SCHEMA, location="query") for _ in range(2))
        first.item_count = 99
        assert (second.page, second.page_size, second.item_count) == (3, 20, None)
    with app.test_request_context("/?page=4"):
        page = parser.parse(SCHEMA, location="query")
        assert (page.page, page.page_size) == (4, 10)


def test_a_bounded_number_of_short_query_strings_is_remembered(monkeypatch):
    monkeypatch.setattr("dservercore.rest.pagination._MAX_REMEMBERED", 2)
    parser = PaginationParser()
    for number in range(1, 6):
        with Flask("pages").test_request_context(f"/?page={number}"):
            assert parser.parse(SCHEMA, location="query").page == number
        assert len(parser._remembered) <= 2
    with Flask("pages").test_request_context("/?page=7&" + "x" * 100):
        parser.parse(SCHEMA, location="query")
    assert all(len(query) <= 100 for _, query in parser._remembered)


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=9223372036854775807&page_size=2"])
def test_what_is_no_page_is_refused_each_time(query):
    parser = PaginationParser()
    with Flask("pages").test_request_context(f"/?{query}"):
        for _ in range(2):
            with pytest.raises(UnprocessableEntity):
                parser.parse(SCHEMA, location="query")
