"""How many datasets there are, how large and what they lack: counted by writes, read here and by ``statistics``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, select

from dservercore import db
from dservercore.catalog.datasets import Registered
from dservercore.catalog.scope import Scope
from dservercore.dataset import lacking
from dservercore.dataset.analysis import completion_key
from dservercore.db import sql_db
from dservercore.db.fast_reads import Prepared, Remembered
from dservercore.models import Dataset, DatasetTag, SummaryCount

_TOTAL = "base_uri"
_PART = 2**32
_PLURALS = {
    "creator": "creator_usernames",
    "base_uri": "base_uris",
    "tag": "tags",
    "uploader": "uploaders",
}

#: Numbers of items instead of bytes, in one row for each base URI.
ITEMS = "items"
#: Of the month of freezing, such as ``2026-05``.
MONTH = "month"
#: Of creators: their datasets that lack something, by what that is.
LACKING: dict[lacking.Lack, str] = {
    "readme": "-readme",
    "description": "-text",
    "owner": "-owner",
    "licence": "-licence",
    "tags": "-tags",
}
#: Of creators: their datasets that lack anything of it, and those of which nobody knows yet what they lack.
LACKING_ANY, UNREAD = "-any", "-unread"

#: The kinds of values that are completed while somebody types them.
COMPLETED = ("creator", "tag")

_counts, _dataset = SummaryCount.__table__, Dataset.__table__

#: The columns of what is registered (see ``datasets.Registered``), but for the tags.
REGISTERED_COLUMNS = tuple(
    _dataset.c[name]
    for name in (
        "id",
        "base_uri_id",
        "uri",
        "uuid",
        "creator_username",
        "size_in_bytes",
        "uploaded_by",
        "frozen_at",
        "created_at",
        "uploaded_at",
        "number_of_items",
        "lacks",
    )
)


def _figures_of(registered: Registered) -> Iterator[tuple[tuple[str, str, int], int]]:
    """Yield (kind, value, base URI) of each row of ``summary_count`` that includes a dataset, and what it adds there.

    That is its bytes, and in the row of its items their number.
    """
    size = registered.size_in_bytes or 0
    yield from ((key, size) for key in _keys_of(registered))
    if registered.number_of_items:
        yield (ITEMS, "", registered.base_uri_id), registered.number_of_items


def _keys_of(registered: Registered) -> Iterator[tuple[str, str, int]]:
    key, creator = registered.base_uri_id, registered.creator_username
    yield _TOTAL, str(key), key
    yield "creator", creator, key
    if registered.uploaded_by is not None:
        yield "uploader", registered.uploaded_by, key
    for tag in registered.tags:
        yield "tag", tag, key
    yield MONTH, f"{registered.frozen_at:%Y-%m}".rjust(7, "0"), key
    lacks = lacking.with_tags(registered.lacks, bool(registered.tags))
    if lacks is None:
        yield UNREAD, creator, key
    elif lacks:
        yield LACKING_ANY, creator, key
        for lack in lacking.names_of(lacks):
            yield LACKING[lack], creator, key


# Writing


def count_changes(changes: Iterable[tuple[Registered | None, Registered | None]]) -> None:
    """Bring the counts up to date with changes of datasets, each from what it was to what it is.

    :param changes: pairs of what a dataset was and what it is; None: it is not registered
    """
    datasets: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    sizes: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    for before, after in changes:
        for registered, sign in ((before, -1), (after, 1)):
            for key, size in _figures_of(registered) if registered else ():
                datasets[key] += sign
                sizes[key] += sign * size
    # In one order everywhere, so that two writers never wait for each other's rows.
    changed = sorted(key for key in datasets if datasets[key] or sizes[key])
    if changed:
        _add([_row(key, datasets[key], sizes[key]) for key in changed])
    _drop_empty([key for key in changed if datasets[key] < 0])


def _row(key: tuple[str, str, int], datasets: int, size: int) -> dict[str, Any]:
    kind, value, base_uri_id = key
    # The two parts carry the sign of the whole, so that each is a plain sum.
    high, low = divmod(abs(size), _PART)
    sign = -1 if size < 0 else 1
    return {
        "kind": kind,
        "value": value,
        "base_uri_id": base_uri_id,
        "datasets": datasets,
        "size_high": sign * high,
        "size_low": sign * low,
        "folded": completion_key(value) if kind in COMPLETED else "",
    }


def _add(rows: list[dict[str, Any]]) -> None:
    upsert = db.upsert(_counts, ("kind", "value", "base_uri_id"), add=("datasets", "size_high", "size_low"))
    sql_db.session.execute(upsert, rows)


def _drop_empty(keys: list[tuple[str, str, int]]) -> None:
    # By their keys, so that no row is looked at, and on MariaDB locked, that others are changing.
    if keys:
        names = ("of_kind", "of_value", "of_base_uri")
        sql_db.session.execute(_DELETE_EMPTY, [dict(zip(names, key, strict=True)) for key in keys])


_DELETE_EMPTY = delete(_counts).where(
    _counts.c.kind == bindparam("of_kind"),
    _counts.c.value == bindparam("of_value"),
    _counts.c.base_uri_id == bindparam("of_base_uri"),
    _counts.c.datasets == 0,
)


def recount() -> None:
    """Count everything anew from the datasets, as an adopted database or a repair needs it."""
    sql_db.session.execute(delete(_counts))
    rows = _counted_anew()
    if rows:
        sql_db.session.execute(_counts.insert(), rows)


def is_miscounted() -> bool:
    """Return whether the stored counts differ from the datasets, as they may for a moment while somebody writes."""
    stored = sql_db.session.execute(select(_counts)).mappings()
    return set(map(_counted, stored)) != set(map(_counted, _counted_anew()))


def _counted(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    # The same size may be in different parts: they are added up one by one.
    size = row["size_high"] * _PART + row["size_low"]
    return row["kind"], row["value"], row["base_uri_id"], row["datasets"], size


_COUNTED_AT_ONCE = 5000
_NEXT = (
    select(*REGISTERED_COLUMNS)
    .where(_dataset.c.id > bindparam("last"))
    .order_by(_dataset.c.id)
    .limit(_COUNTED_AT_ONCE)
)
_TAGS_OF_NEXT = select(DatasetTag.dataset_id, DatasetTag.tag).where(
    DatasetTag.dataset_id.between(bindparam("first"), bindparam("last"))
)


def _counted_anew() -> list[dict[str, Any]]:
    datasets: Counter[tuple[str, str, int]] = Counter()
    sizes: Counter[tuple[str, str, int]] = Counter()
    last = 0
    while rows := sql_db.session.execute(_NEXT, {"last": last}).all():
        first, last = rows[0].id, rows[-1].id
        tags: defaultdict[int, list[str]] = defaultdict(list)
        for dataset_id, tag in sql_db.session.execute(_TAGS_OF_NEXT, {"first": first, "last": last}):
            tags[dataset_id].append(tag)
        for row in rows:
            for key, size in _figures_of(Registered.of(row, tags[row.id])):
                datasets[key] += 1
                sizes[key] += size
    return [_row(key, datasets[key], sizes[key]) for key in datasets]


# Reading


_ids: Any = bindparam("ids", expanding=True)
_totals = select(_counts).where(_counts.c.kind == _TOTAL).subquery("totals_with_sizes")
#: Of each base URI, by ``base_uri_id``: what a list of base URIs can be sorted by. NULL where it holds no dataset.
SORTED_BY: Mapping[str, ColumnElement[Any]] = {
    "number_of_datasets": _totals.c.datasets,
    # To about 16 digits: the sum of all sizes may be more than a whole number of the database can be.
    "size_in_bytes": _totals.c.size_high * float(_PART) + _totals.c.size_low,
}
WITH_TOTALS, TOTALS_OF = _totals, _totals.c.base_uri_id
_kinds: Any = bindparam("kinds", expanding=True)
#: How many datasets each base URI holds, of those that hold any: ``base_uri_id`` and ``datasets``.
TOTALS = select(_counts.c.base_uri_id, _counts.c.datasets).where(_counts.c.kind == _TOTAL).subquery("totals")
_NUMBERS = Prepared(select(TOTALS).where(TOTALS.c.base_uri_id.in_(_ids)))
# Adding up a thousand numbers takes ten times as long as the rest of a summary.
_FIGURES = Remembered(
    select(
        _counts.c.kind,
        _counts.c.value,
        func.sum(_counts.c.datasets),
        func.sum(_counts.c.size_high),
        func.sum(_counts.c.size_low),
    )
    .where(_counts.c.kind.in_(_kinds), _counts.c.base_uri_id.in_(_ids))
    .group_by(_counts.c.kind, _counts.c.value),
    tuple,
)


def datasets_per_base_uri(scope: Scope) -> dict[str, int]:
    """Return how many datasets each base URI in *scope* holds."""
    numbers = dict.fromkeys(scope.ids, 0)
    for base_uri_id, datasets in _NUMBERS.all({"ids": scope.ids}):
        numbers[base_uri_id] = datasets
    return {uri: numbers[key] for uri, key in scope.base_uris.items()}


def totals() -> tuple[int, int]:
    """Return how many datasets the server knows, and how many bytes these have."""
    sums = [func.sum(_totals.c[name]) for name in ("datasets", "size_high", "size_low")]
    datasets, high, low = (int(number or 0) for number in sql_db.session.execute(select(*sums)).one())
    return datasets, high * _PART + low


def totals_of(base_uri_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return how many datasets some base URIs hold, by their primary keys, and how many bytes these have."""
    found = dict.fromkeys(base_uri_ids, (0, 0))
    for some in db.batched(list(base_uri_ids)):
        for row in sql_db.session.execute(select(_totals).where(TOTALS_OF.in_(some))):
            found[row.base_uri_id] = int(row.datasets), int(row.size_high) * _PART + int(row.size_low)
    return found


def summarise(scope: Scope) -> dict[str, Any]:
    """Return the summary of the datasets in *scope*: totals, and number and bytes per creator, base URI, tag, uploader.

    Every key is there even where nothing is counted; a dataset without a size counts 0 bytes.
    """
    figures = _figures(scope)
    totals = figures[_TOTAL].values()
    summary: dict[str, Any] = {
        "number_of_datasets": sum(count for count, _ in totals),
        "total_size_in_bytes": sum(size for _, size in totals),
    }
    for kind, plural in _PLURALS.items():
        summary[plural] = sorted(figures[kind])
        summary[f"datasets_per_{kind}"] = {value: count for value, (count, _) in figures[kind].items()}
        summary[f"size_in_bytes_per_{kind}"] = {value: size for value, (_, size) in figures[kind].items()}
    return summary


def _figures(scope: Scope) -> dict[str, dict[str, tuple[int, int]]]:
    """Return ``{kind: {value: (datasets, bytes)}}``."""
    names = {str(key): uri for uri, key in scope.base_uris.items()}
    found: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in _PLURALS}
    for kind, value, datasets, high, low in _FIGURES.get({"kinds": list(_PLURALS), "ids": scope.ids}):
        label = names[value] if kind == _TOTAL else value
        found[kind][label] = (int(datasets), int(high) * _PART + int(low))
    return found
