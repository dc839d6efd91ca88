"""What the address of a search asks for, and the addresses of searches that differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import marshmallow as ma
from flask import Flask, Request, current_app, request, url_for
from flask_smorest.pagination import PaginationParameters
from marshmallow import fields
from marshmallow.validate import Range

from dservercore.catalog import search, structured_search
from dservercore.dataset.fields import DATASET_SORT_FIELDS
from dservercore.dataset.values import is_blank
from dservercore.errors import invalid
from dservercore.rest.query_parameters import QueryParameters
from dservercore.rest.request_parser import RequestParser
from dservercore.rest.schemas import PageOptionsSchema, SearchQueryStringSchema
from dservercore.rest.sort import RELEVANCE, SortMixin, SortParameters
from dservercore.web.search import conditions
from dservercore.web.search.conditions import Parts, SizeClass, Years

#: Parameters that may be repeated.
FILTERS = ("tags", "creator_usernames", "base_uris", "uploaded_by", "uuids")

PAGE_SIZE, MAX_PAGE_SIZE = 10, 100

#: Of all filters together: there are links that take back each, and each of those has all the others.
MAX_VALUES = 100

#: The orders without a wish: where there are words, and where there are none.
BEST_FIRST, NEWEST_FIRST = f"-{RELEVANCE}", "-frozen_at"

#: ``GET /uris`` takes ``include`` and ``group``, too; pages show all of that anyway.
_SINGLE = frozenset({"free_text", "strict", "page", "page_size", "include", "group"})

# Databases count rows in 64 bits.
_MAX_PAGE = 2**63 // MAX_PAGE_SIZE - 1


class _PageSchema(ma.Schema):
    page = fields.Integer(load_default=1, validate=Range(min=1, max=_MAX_PAGE))
    page_size = fields.Integer(load_default=PAGE_SIZE, validate=Range(min=1, max=MAX_PAGE_SIZE))

    @ma.pre_load
    def _drop_blanks(self, given: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        """Leave out what a form sends for what was not chosen."""
        return {name: given[name] for name in self.fields if name in given and not is_blank(given[name])}


class _OptionsSchema(PageOptionsSchema):
    @ma.pre_load
    def _drop_blanks(self, given: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        return {name: given[name] for name in self.fields if name in given and not is_blank(given[name])}


@dataclass(frozen=True)
class Asked:
    """A search, as its address has it.

    :ivar text: what stands in the box: ``free_text``
    :ivar filters: values by the name of the parameter, of those that have some
    :ivar sort: the order that is wished for, such as ``-name``; ``""``: none is
    :ivar is_structured: whether the text is a query that an extension answers, and has no words
    """

    text: str = ""
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_strict: bool = False
    sort: str = ""
    page: int = 1
    page_size: int = PAGE_SIZE
    is_structured: bool = False

    @property
    def query(self) -> dict[str, Any]:
        """What the catalog is asked for; empty where that is everything."""
        given = {name: list(values) for name, values in self.filters.items()}
        return search.without_blanks({"free_text": self.text, **given})

    @property
    def takes_structured(self) -> bool:
        """Whether there is an extension that answers structured queries."""
        return structured_search.extension_for("{}") is not None

    @property
    def parts(self) -> Parts:
        """The text in its parts."""
        return Parts(self.text) if self.is_structured else conditions.split(self.text)

    @property
    def words(self) -> str:
        """The text without the years and the size at its end."""
        return self.parts.words

    @property
    def years(self) -> Years | None:
        """The years at the end of the text."""
        return self.parts.years

    @property
    def size(self) -> SizeClass | None:
        """The class of sizes at the end of the text."""
        return self.parts.size

    @property
    def has_words(self) -> bool:
        """Whether results can be more or less relevant."""
        return not self.is_structured and not is_blank(self.words)

    @property
    def order(self) -> str:
        """The order of the results, such as ``-name``."""
        if self.sort and (self.has_words or RELEVANCE not in self.sort):
            return self.sort
        return BEST_FIRST if self.has_words else NEWEST_FIRST

    @property
    def sort_parameters(self) -> SortParameters:
        """The same, as the catalog takes it."""
        return SortParameters(self.order)

    @property
    def pagination_parameters(self) -> PaginationParameters:
        """The page, as the catalog takes it."""
        return PaginationParameters(self.page, self.page_size)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked for."""
        return not self.query

    def of(self, name: str) -> tuple[str, ...]:
        """Return the values that a filter has."""
        return self.filters.get(name, ())

    def changed(self, **changes: Any) -> Asked:
        """Return another search, on its first page."""
        return replace(self, **{"page": 1, **changes})

    def reworded(self, **parts: Any) -> Asked:
        """Return the search with other parts of its text: ``words``, ``years``, ``size``."""
        return self.changed(text=replace(self.parts, **parts).text)

    def with_value(self, name: str, value: str) -> Asked:
        """Return the search with one more value of a filter."""
        values = self.of(name)
        return self if value in values else self._with_values(name, (*values, value))

    def without_value(self, name: str, value: str) -> Asked:
        """Return the search without a value of a filter."""
        return self._with_values(name, tuple(other for other in self.of(name) if other != value))

    def _with_values(self, name: str, values: tuple[str, ...]) -> Asked:
        filters = {**self.filters, name: values}
        return self.changed(filters={name: given for name, given in filters.items() if given})

    def parameters(self) -> list[tuple[str, str]]:
        """Return the parameters of its address, without those that say nothing."""
        given = [("free_text", self.text)] if self.text else []
        given += [(name, value) for name in FILTERS for value in self.of(name)]
        given += [("strict", "true")] if self.is_strict else []
        given += [("sort", self.sort)] if self.sort else []
        given += [("page", str(self.page))] if self.page > 1 else []
        given += [("page_size", str(self.page_size))] if self.page_size != PAGE_SIZE else []
        return given

    @property
    def query_string(self) -> str:
        """The same, as they stand in the address."""
        return urlencode(self.parameters())

    def url(self, endpoint: str = "web.home") -> str:
        """Return the address of a page that shows it, or makes something of it."""
        path, query = url_for(endpoint), self.query_string
        return f"{path}?{query}" if query else path


_PARSER = RequestParser()


def asked_in(app: Flask, of: Request, *others: str) -> Asked:
    """Return what a request asks for.

    :param others: names of parameters that the page takes besides
    :raises HTTPException: 422, for parameters that are unknown or wrong
    :raises ValidationError: the same
    """
    known = QueryParameters(frozenset(FILTERS), _SINGLE | set(others), frozenset({"sort"}))
    known.check(app, of)
    query = _PARSER.parse(SearchQueryStringSchema, of, location="query")
    options = _PARSER.parse(_OptionsSchema, of, location="query")
    page = _PARSER.parse(_PageSchema, of, location="query")
    wished = SortMixin().requested_sort([], [*DATASET_SORT_FIELDS, RELEVANCE])
    if len(wished.order) > len(DATASET_SORT_FIELDS):
        raise invalid("sort", "Too many fields.", location="query")
    many = max(FILTERS, key=lambda name: len(query.get(name, ())))
    if sum(len(query.get(name, ())) for name in FILTERS) > MAX_VALUES:
        raise invalid(many, f"This page takes {MAX_VALUES} values of filters at most.", location="query")
    text = query.get("free_text", "").strip()
    is_structured = structured_search.extension_for(text) is not None
    return Asked(
        text=text if is_structured else " ".join(text.split()),
        is_structured=is_structured,
        filters={name: tuple(dict.fromkeys(query[name])) for name in FILTERS if query.get(name)},
        is_strict=bool(options.get("strict")),
        sort=",".join(("-" if sign < 0 else "") + name for name, sign in wished.order.items()),
        **page,
    )


def require_words(wanted: Asked) -> None:
    """Pass if a search is for words, and not a query that an extension answers.

    :raises ValidationError: 422, if it is one
    """
    if wanted.is_structured:
        raise invalid("free_text", "This is not there for structured queries.", location="query")


def asked(*others: str) -> Asked:
    """Return what the request at hand asks for; see :func:`asked_in`."""
    return asked_in(current_app, request, *others)
