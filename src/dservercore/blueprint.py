"""The blueprint that every resource, ours or a plugin's, is made of."""

from __future__ import annotations

import json
from typing import Any

from flask import Request, request
from flask_smorest import Blueprint as SmorestBlueprint
from flask_smorest.pagination import PaginationParameters
from webargs.flaskparser import abort

from dservercore.request_parser import RequestParser
from dservercore.sort import SortMixin

# Databases count rows in 64 bits.
_MAX_ROW = 2**63 - 1

_KNOWN_QUERIES, _LONGEST_KNOWN_QUERY = 1000, 100  # bytes


class PaginationParser(RequestParser):
    """Reads ``page`` and ``page_size`` and refuses pages that no database can count to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: dict[tuple[Any, bytes], tuple[int, int]] = {}

    def parse(self, argmap: Any, req: Request | None = None, **options: Any) -> PaginationParameters:
        """Return the page that is asked for.

        :raises HTTPException: 422, if one of the two is not a number in its range
        """
        query = (req or request).query_string
        # Reading the same numbers again takes a tenth of listing a page (measured).
        known = self._known.get((argmap, query))
        if known:
            return PaginationParameters(*known)
        page = super().parse(argmap, req, **options)
        if page.page * page.page_size > _MAX_ROW:
            abort(422, messages={"query": {"page": ["There is no such page: the number is too large."]}})
        if len(query) <= _LONGEST_KNOWN_QUERY:
            if len(self._known) >= _KNOWN_QUERIES:
                self._known.clear()
            self._known[argmap, query] = page.page, page.page_size
        return page


class Blueprint(SmorestBlueprint, SortMixin):
    """A ``flask_smorest`` blueprint with the ``sort`` decorator.

    ``page`` counts from 1, ``page_size`` is 1 to 100 (default 10); ``X-Pagination`` and ``X-Sort`` hold JSON.
    """

    ARGUMENTS_PARSER = RequestParser()
    PAGINATION_ARGUMENTS_PARSER = PaginationParser()
    DEFAULT_PAGINATION_PARAMETERS = {"page": 1, "page_size": 10, "max_page_size": 100}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(self._prepare_sort_doc)

    def pagination_header(self, page: PaginationParameters) -> str:
        """Return the value of ``X-Pagination`` for a page of which the ``item_count`` is known."""
        return json.dumps(self._make_pagination_metadata(page.page, page.page_size, page.item_count))

    @staticmethod
    def _make_pagination_metadata(page: int, page_size: int, item_count: int) -> dict[str, int]:
        """Return the content of ``X-Pagination``; it has only the keys that make sense for the page."""
        last_page = -(-item_count // page_size)
        metadata = {"total": item_count, "total_pages": last_page}
        if not item_count:
            return metadata
        metadata |= {"first_page": 1, "last_page": last_page}
        if page > last_page:
            return metadata
        metadata["page"] = page
        if page > 1:
            metadata["previous_page"] = page - 1
        if page < last_page:
            metadata["next_page"] = page + 1
        return metadata

    def _prepare_pagination_doc(
        self, doc: dict[str, Any], doc_info: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        """Document the pagination without hiding what the route says itself about its errors."""
        documented = dict(doc.get("responses", {}))
        doc = super()._prepare_pagination_doc(doc, doc_info, **kwargs)
        doc.get("responses", {}).update(documented)
        return doc
