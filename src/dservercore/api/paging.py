"""Pages of lists that come from SQL."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import abort
from flask_smorest.pagination import PaginationParameters

from dservercore.api.answers import json_answer


def slice_of(pagination: PaginationParameters) -> slice:
    """Return the rows that make up the page."""
    return slice(pagination.first_item, pagination.last_item + 1)


def page_answer(found: tuple[list[Any], int], pagination: PaginationParameters) -> Response:
    """Return one page of a list as JSON, and leave the total in *pagination* for ``X-Pagination``.

    :param found: the items of the page, and the number of all items
    :raises HTTPException: 404 for a page beyond the last one
    """
    items, pagination.item_count = found
    if pagination.page > 1 and pagination.first_item >= pagination.item_count:
        abort(404, message="There is no such page")
    return json_answer(items)
