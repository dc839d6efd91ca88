"""The blueprint that every resource, ours or a plugin's, is made of."""

from __future__ import annotations

import json
from typing import Any

from flask_smorest import Blueprint as SmorestBlueprint
from flask_smorest.pagination import PaginationParameters

from dservercore.rest.pagination import PaginationParser
from dservercore.rest.request_parser import RequestParser
from dservercore.rest.sort import SortMixin


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
