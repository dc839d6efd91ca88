"""Pages of lists that come from SQL."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from flask import Response
from flask_smorest import abort
from flask_smorest.pagination import PaginationParameters

from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import documented_as, json_answer


def listing(
    blp: Blueprint, *, sort: str, allowed_sort_fields: Iterable[str]
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Decorate a view that answers one page of a list, which can be sorted.

    Does what ``blp.sort`` and ``blp.paginate`` do, with one call instead of six: that is a tenth of listing a page.
    The view gets the keyword arguments ``pagination_parameters``, where it sets ``item_count``, and
    ``sort_parameters``.

    :param sort: field to sort by when the request does not say
    :param allowed_sort_fields: names of the fields that a client may sort by
    """
    allowed = list(allowed_sort_fields)

    def decorator(view: Callable[..., Response]) -> Callable[..., Response]:
        documented = blp.sort(sort=sort, allowed_sort_fields=allowed)(blp.paginate()(view))
        pages = documented._apidoc["pagination"]["parameters"]["schema"]

        @functools.wraps(view)
        def answer_page(*args: Any, **kwargs: Any) -> Response:
            order = blp.requested_sort([sort], allowed)
            page = blp.PAGINATION_ARGUMENTS_PARSER.parse(pages, location="query")
            answer = view(*args, pagination_parameters=page, sort_parameters=order, **kwargs)
            answer.headers["X-Pagination"] = blp.pagination_header(page)
            answer.headers["X-Sort"] = blp.sort_header(order)
            return answer

        return documented_as(documented, answer_page)

    return decorator


def slice_of(pagination: PaginationParameters) -> slice:
    """Return which rows of a list make up the page."""
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
