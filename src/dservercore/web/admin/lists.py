"""Lists that can be searched, sorted and leafed through: all of it is in the address, in the words of the REST API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request, url_for

PAGE_SIZE = 50
_MAX_PAGE = 10**9
_MAX_TEXT = 200


@dataclass(frozen=True)
class Wanted:
    """The part of a list that the address of a page asks for.

    What makes no sense in an address counts as if it were not there: people edit them.

    :param sort: the field that it is sorted by
    :param descending: from the last to the first
    :param page: counts from 1
    :param containing: the text to look for
    :param others: further parameters of the address that stay as they are from page to page
    """

    sort: str
    descending: bool = False
    page: int = 1
    containing: str = ""
    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_request(cls, fields: Sequence[str], others: Sequence[str] = ()) -> Wanted:
        """Return what the request at hand asks for.

        :param fields: which the list can be sorted by; the first one is what it is sorted by otherwise, from the last
            to the first if it has a ``-`` in front
        :param others: names of further parameters
        """
        default = fields[0]
        known = [field.lstrip("-") for field in fields]
        sort = request.args.get("sort", default)
        if sort.lstrip("+- ") not in known:
            sort = default
        return cls(
            sort.lstrip("+- "),
            sort.startswith("-"),
            _page(request.args.get("page", "1")),
            request.args.get("containing", "").strip()[:_MAX_TEXT],
            tuple((name, text) for name in others if (text := request.args.get(name, "").strip())),
        )

    @property
    def order(self) -> dict[str, int]:
        """The order, as the catalog takes it."""
        return {self.sort: -1 if self.descending else 1}

    @property
    def rows(self) -> slice:
        """The positions of the rows."""
        first = (self.page - 1) * PAGE_SIZE
        return slice(first, first + PAGE_SIZE)

    def last_page(self, total: int) -> int:
        """Return the number of the last page of a list with so many rows."""
        return max(1, -(-total // PAGE_SIZE))

    def url(self, **changes: Any) -> str:
        """Return the address of the same list with some parameters changed; the first page where none is given."""
        sort = ("-" if self.descending else "") + self.sort
        parameters = {**dict(self.others), "containing": self.containing, "sort": sort, **changes}
        given = {name: value for name, value in parameters.items() if value not in ("", None)}
        return url_for(str(request.endpoint), **(request.view_args or {}), **given)

    def url_of_page(self, number: int) -> str:
        """Return the address of a page of the same list."""
        return self.url(page=number)

    def sorted_by(self, field: str, descends_first: bool = False) -> tuple[str, str | None]:
        """Return the address of the list sorted by a field, and how it is now: a value of ``aria-sort``, or None.

        :param descends_first: begin with the last one, where it is not sorted by the field yet
        """
        if self.sort != field:
            return self.url(sort=f"-{field}" if descends_first else field), None
        return self.url(sort=field if self.descending else f"-{field}"), (
            "descending" if self.descending else "ascending"
        )


def _page(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_MAX_PAGE)) else 1
    return max(1, number)


def rows_of(
    wanted: Wanted, find: Callable[[slice], tuple[list[dict[str, Any]], int]]
) -> tuple[Wanted, list[dict[str, Any]], int]:
    """Return what is wanted, its rows and the number of all; the last page for one that is beyond it."""
    rows, total = find(wanted.rows)
    if rows or wanted.page == 1:
        return wanted, rows, total
    last = Wanted(wanted.sort, wanted.descending, wanted.last_page(total), wanted.containing, wanted.others)
    return last, find(last.rows)[0], total
