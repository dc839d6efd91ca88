"""Figures of the datasets in a scope: over time, by base URI, person and tag; what they cost, and what they lack.

They are read from what the writes have counted (see ``summary``), so they take as long for a million datasets as for a
thousand that are in as many base URIs, and have as many creators and tags.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, func, select

from dservercore.catalog import summary
from dservercore.catalog.dataset_rows import OBJECT, as_object
from dservercore.catalog.scope import Scope
from dservercore.dataset import lacking, prices
from dservercore.db import sql_db
from dservercore.db.fast_reads import Prepared, Remembered
from dservercore.models import BaseURI, Dataset, SummaryCount

#: Datasets that were registered last.
NEWEST = 10

_PART = 2**32

_counts, _dataset, _base_uri = SummaryCount.__table__, Dataset.__table__, BaseURI.__table__
_ids: Any = bindparam("ids", expanding=True)
_kinds: Any = bindparam("kinds", expanding=True)
_values: Any = bindparam("of_values", expanding=True)
_datasets = func.sum(_counts.c.datasets)
_sums = (_datasets, func.sum(_counts.c.size_high), func.sum(_counts.c.size_low))
_in_scope = _counts.c.base_uri_id.in_(_ids)
_of_kind = _counts.c.kind == bindparam("kind")

_PER_BASE_URI = Remembered(
    select(_counts.c.kind, _counts.c.base_uri_id, *_sums)
    .where(_counts.c.kind.in_(_kinds), _in_scope)
    .group_by(_counts.c.kind, _counts.c.base_uri_id),
    tuple,
)
_PER_VALUE = Remembered(
    select(_counts.c.value, *_sums).where(_of_kind, _in_scope).group_by(_counts.c.value), tuple
)
_COMMONEST = Remembered(
    select(_counts.c.value, *_sums)
    .where(_of_kind, _in_scope)
    .group_by(_counts.c.value)
    .order_by(_datasets.desc(), _counts.c.value)
    .limit(bindparam("top")),
    tuple,
)
_DIFFERENT = Remembered(
    select(func.count(func.distinct(_counts.c.value))).where(_of_kind, _in_scope),
    lambda rows: int(rows[0][0]),
)
_OF_VALUES = Remembered(
    select(_counts.c.kind, _counts.c.value, _datasets)
    .where(_counts.c.kind.in_(_kinds), _counts.c.value.in_(_values), _in_scope)
    .group_by(_counts.c.kind, _counts.c.value),
    tuple,
)
_PRICES = Remembered(
    select(_base_uri.c.id, _base_uri.c.price_per_tb, _base_uri.c.currency).where(
        _base_uri.c.price_per_tb.is_not(None), _base_uri.c.id.in_(_ids)
    ),
    tuple,
)

# Of descriptions, by how it is called in the answer.
_LACKING_KINDS: dict[str, str] = {
    "any": summary.LACKING_ANY,
    **{str(lack): kind for lack, kind in summary.LACKING.items()},
    "unread": summary.UNREAD,
}
_NAMES = {kind: name for name, kind in _LACKING_KINDS.items()}


def of_scope(scope: Scope, top: int = 10) -> dict[str, Any]:
    """Return the figures of the datasets in *scope*.

    Totals: ``number_of_datasets``, ``total_size_in_bytes``, ``number_of_items``, ``cost_per_year`` (by currency),
    ``number_of_base_uris``, ``number_of_creators``, ``number_of_tags``, ``lacking``. Lists: ``newest`` (dataset
    objects), ``months`` (all, in order), and of ``base_uris`` the largest, of ``creators`` and ``tags`` those with most
    datasets, of ``creators_lacking`` those of whose datasets most lack something. ``lacking`` says how many datasets
    lack what, ``any`` of it, or are ``unread``: nobody has looked yet. Costs are texts: decimal numbers.

    :param top: of each of the latter lists, so many at most
    """
    base_uris = _base_uris(scope)
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for each in base_uris:
        if "cost_per_year" in each:
            costs[each["currency"]] += Decimal(each["cost_per_year"])
    return {
        "number_of_datasets": sum(each["datasets"] for each in base_uris),
        "total_size_in_bytes": sum(each["size_in_bytes"] for each in base_uris),
        "number_of_items": sum(each["number_of_items"] for each in base_uris),
        "cost_per_year": {currency: str(costs[currency]) for currency in sorted(costs)},
        "number_of_base_uris": len(base_uris),
        "number_of_creators": _different(scope, "creator"),
        "number_of_tags": _different(scope, "tag"),
        "lacking": {name: sum(each["lacking"][name] for each in base_uris) for name in _LACKING_KINDS},
        "newest": newest(scope),
        "months": _months(scope),
        "base_uris": base_uris[:top],
        "creators": _with_lacking(scope, _commonest(scope, "creator", "creator_username", top)),
        "creators_lacking": _creators_lacking(scope, top),
        "tags": _commonest(scope, "tag", "tag", top),
    }


def _size(high: Any, low: Any) -> int:
    return int(high) * _PART + int(low)


def _base_uris(scope: Scope) -> list[dict[str, Any]]:
    """Return the figures of each base URI in scope, the largest first, also of those that hold nothing."""
    if not scope.ids:
        return []
    found: dict[int, dict[str, Any]] = {
        key: {
            "base_uri": uri,
            "datasets": 0,
            "size_in_bytes": 0,
            "number_of_items": 0,
            "lacking": dict.fromkeys(_LACKING_KINDS, 0),
        }
        for uri, key in scope.base_uris.items()
    }
    kinds = ["base_uri", summary.ITEMS, *_NAMES]
    for kind, key, datasets, high, low in _PER_BASE_URI.get({"kinds": kinds, "ids": scope.ids}):
        each = found[key]
        if kind in _NAMES:
            each["lacking"][_NAMES[kind]] = int(datasets)
        elif kind == summary.ITEMS:
            each["number_of_items"] = _size(high, low)
        else:
            each |= {"datasets": int(datasets), "size_in_bytes": _size(high, low)}
    for key, price, currency in _PRICES.get({"ids": scope.ids}):
        each = found[key]
        cost = str(prices.cost(each["size_in_bytes"], price))
        each |= {"price_per_tb": price, "currency": currency, "cost_per_year": cost}
    return sorted(found.values(), key=lambda each: (-each["size_in_bytes"], each["base_uri"]))


def _months(scope: Scope) -> list[dict[str, Any]]:
    rows = _PER_VALUE.get({"kind": summary.MONTH, "ids": scope.ids}) if scope.ids else ()
    months = [
        {"month": month, "datasets": int(datasets), "size_in_bytes": _size(high, low)}
        for month, datasets, high, low in rows
    ]
    return sorted(months, key=lambda each: str(each["month"]))


def _commonest(scope: Scope, kind: str, name: str, top: int) -> list[dict[str, Any]]:
    rows = _COMMONEST.get({"kind": kind, "ids": scope.ids, "top": top}) if scope.ids else ()
    return [
        {name: value, "datasets": int(datasets), "size_in_bytes": _size(high, low)}
        for value, datasets, high, low in rows
    ]


def _different(scope: Scope, kind: str) -> int:
    return _DIFFERENT.get({"kind": kind, "ids": scope.ids}) if scope.ids else 0


def _creators_lacking(scope: Scope, top: int) -> list[dict[str, Any]]:
    """Return the creators of whose datasets most lack something, with all of their figures."""
    names = [each["creator"] for each in _commonest(scope, summary.LACKING_ANY, "creator", top)]
    totals: dict[str, int] = {}
    if names:
        parameters = {"kinds": ["creator"], "of_values": names, "ids": scope.ids}
        totals = {value: int(datasets) for _, value, datasets in _OF_VALUES.get(parameters)}
    return _with_lacking(
        scope, [{"creator_username": name, "datasets": totals.get(name, 0)} for name in names]
    )


def _with_lacking(scope: Scope, creators: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if not creators:
        return []
    found = {
        each["creator_username"]: each | {"lacking": dict.fromkeys(_LACKING_KINDS, 0)} for each in creators
    }
    parameters = {"kinds": list(_NAMES), "of_values": list(found), "ids": scope.ids}
    for kind, value, datasets in _OF_VALUES.get(parameters):
        found[value]["lacking"][_NAMES[kind]] = int(datasets)
    return list(found.values())


# -- The newest ------------------------------------------------------------------------------------------------------

# Datasets of a scope that are sorted within a few milliseconds.
_FEW = 5000
_newest = OBJECT.order_by(_dataset.c.id.desc()).limit(bindparam("top"))
_NEWEST_OF_FEW = Prepared(_newest.where(_dataset.c.base_uri_id.in_(_ids)))
# With a sum, SQLite does not read all datasets of the base URIs by their index, but the last ones in their order.
_NEWEST_OF_MANY = Prepared(_newest.where((_dataset.c.base_uri_id + 0).in_(_ids)))


def newest(scope: Scope, top: int = NEWEST) -> list[dict[str, Any]]:
    """Return the dataset objects of the datasets in *scope* that were registered last for the first time."""
    if not scope.ids:
        return []
    number = sum(summary.datasets_per_base_uri(scope).values())
    statement = _NEWEST_OF_FEW if number <= _FEW else _NEWEST_OF_MANY
    return [as_object(row) for row in statement.all({"ids": scope.ids, "top": top})]


# -- What is lacking -------------------------------------------------------------------------------------------------


def list_lacking(
    scope: Scope, lack: lacking.Lack | None = None, creator: str | None = None, page: slice = slice(0, 10)
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the datasets in *scope* that lack something, and how many there are.

    They come by base URI, and in each with those first that lack most. Each dataset object has ``lacking``: a list of
    what it lacks, the most important first.

    :param lack: what; None: anything
    :param creator: of these datasets; None: anybody
    """
    numbers = _numbers_lacking(scope, lack, creator)
    total = sum(numbers.values())
    found: list[Any] = []
    start, wanted = page.start, page.stop - page.start
    for base_uri in sorted(numbers):
        if len(found) == wanted:
            break
        if start >= numbers[base_uri]:
            start -= numbers[base_uri]
            continue
        found += _rows_lacking(scope.base_uris[base_uri], lack, creator, start, wanted - len(found))
        start = 0
    return [as_object(row) | {"lacking": lacking.names_of(row.lacks)} for row in found], total


def _numbers_lacking(scope: Scope, lack: lacking.Lack | None, creator: str | None) -> dict[str, int]:
    """Return how many datasets of each base URI lack something, of those where any do."""
    kind = _LACKING_KINDS[lack or "any"]
    names = {key: uri for uri, key in scope.base_uris.items()}
    statement = (
        select(_counts.c.base_uri_id, _datasets)
        .where(_counts.c.kind == kind, _in_scope)
        .group_by(_counts.c.base_uri_id)
    )
    if creator is not None:
        statement = statement.where(_counts.c.value == creator)
    rows = sql_db.session.execute(statement, {"ids": scope.ids}) if names else ()
    return {names[key]: int(datasets) for key, datasets in rows}


def _rows_lacking(
    base_uri_id: int, lack: lacking.Lack | None, creator: str | None, start: int, limit: int
) -> Sequence[Any]:
    # Each of the sums by itself, in the order of an index.
    bit = lacking.BITS[lack] if lack else lacking.ALL
    sums = [number for number in range(1, lacking.ALL + 1) if number & bit]
    wanted = select(_dataset.c.id).where(_dataset.c.lacks.in_(sums), _dataset.c.base_uri_id == base_uri_id)
    if creator is not None:
        wanted = wanted.where(_dataset.c.creator_username == creator)
    wanted = wanted.order_by(_dataset.c.lacks.desc(), _dataset.c.id.desc()).offset(start).limit(limit)
    ids = list(sql_db.session.execute(wanted).scalars())
    rows = sql_db.session.execute(
        OBJECT.add_columns(_dataset.c.lacks, _dataset.c.id).where(_dataset.c.id.in_(ids))
    )
    by_id = {row.id: row for row in rows}
    return [by_id[id_] for id_ in ids if id_ in by_id]
