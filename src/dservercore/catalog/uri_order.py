"""Where in the order of their URIs a page of the datasets of some base URIs begins, found by counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import bindparam, func, select

from dservercore.catalog import summary
from dservercore.models import BaseURI
from dservercore.reading import Remembered, Row
from dservercore.scope import Scope

_base_uri, _counts = BaseURI.__table__, summary.TOTALS
_ids: Any = bindparam("ids", expanding=True)


@dataclass(frozen=True)
class URIOrder:
    """The datasets of some base URIs in the order of their URIs, by code point.

    In that order the datasets of a base URI stand together, unless another base URI lies inside it.

    :ivar parts: primary key and number of datasets of each base URI, in that order
    :ivar total: number of all datasets
    :ivar is_nested: a base URI lies inside another one
    """

    parts: tuple[tuple[int, int], ...]
    total: int
    is_nested: bool

    @classmethod
    def of(cls, rows: Sequence[Row]) -> URIOrder:
        """Return that of the rows of base URI, primary key and number of datasets."""
        in_order = sorted(((base_uri + "/", key, number) for base_uri, key, number in rows))
        is_nested = any(inner.startswith(outer) for (outer, *_), (inner, *_) in pairwise(in_order))
        parts = tuple((key, number) for _, key, number in in_order)
        return cls(parts, sum(number for _, number in parts), is_nested)

    def of_page(self, offset: int, limit: int, backwards: bool) -> tuple[list[int], int, int]:
        """Return the primary keys of the base URIs that a page can touch, their datasets, and where it begins in them.

        Counting instead of walking to page 9000 of 100,000 datasets makes it as fast as the first.
        """
        if self.is_nested:
            return [key for key, _ in self.parts], self.total, offset
        needed: list[int] = []
        before = skipped = 0  # datasets
        for key, number in reversed(self.parts) if backwards else self.parts:
            if before >= offset + limit:
                break
            before += number
            if before <= offset:
                skipped = before
            else:
                needed.append(key)
        return needed, before - skipped, offset - skipped


_ORDER = Remembered(
    select(_base_uri.c.base_uri, _base_uri.c.id, func.coalesce(_counts.c.datasets, 0))
    .select_from(_base_uri.outerjoin(_counts, _counts.c.base_uri_id == _base_uri.c.id))
    .where(_base_uri.c.id.in_(_ids)),
    URIOrder.of,
)


def uri_order(scope: Scope) -> URIOrder:
    """Return that of the datasets in *scope*."""
    return _ORDER.get({"ids": scope.ids})
