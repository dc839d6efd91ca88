"""Which page of a list is asked for, remembered by query string."""

from __future__ import annotations

from typing import Any

from flask import Request, request
from flask_smorest.pagination import PaginationParameters
from webargs.flaskparser import abort

from dservercore.rest.request_parser import RequestParser

# Databases count rows in 64 bits.
_MAX_ROW = 2**63 - 1

_MAX_REMEMBERED, _LONGEST_REMEMBERED = 1000, 100  # query strings, bytes


class PaginationParser(RequestParser):
    """Reads ``page`` and ``page_size`` and refuses pages that no database can count to.

    The pages of short query strings are remembered: most requests ask for the same few, and reading ``page`` and
    ``page_size`` anew is 10 % of a lookup by UUID (54 of 520 us).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._remembered: dict[tuple[Any, bytes], tuple[int, int]] = {}

    def parse(self, argmap: Any, req: Request | None = None, **options: Any) -> PaginationParameters:
        """Return the page that is asked for.

        :raises HTTPException: 422, if ``page`` or ``page_size`` is not a number in its range, or there is no such page
        """
        query = (req or request).query_string
        numbers = self._remembered.get((argmap, query))
        if numbers:
            return PaginationParameters(*numbers)
        page = super().parse(argmap, req, **options)
        if page.page * page.page_size > _MAX_ROW:
            abort(422, messages={"query": {"page": ["There is no such page: the number is too large."]}})
        if len(query) <= _LONGEST_REMEMBERED:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[argmap, query] = page.page, page.page_size
        return page
