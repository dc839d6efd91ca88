"""How many datasets there are, and how large: counted by the writes, read here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from dservercore import db
from dservercore.db import sql_db
from dservercore.models import Dataset, DatasetTag, SummaryCount
from dservercore.reading import Prepared, Remembered
from dservercore.scope import Scope

_TOTAL = "base_uri"
_PART = 2**32
_PLURALS = {
    "creator": "creator_usernames",
    "base_uri": "base_uris",
    "tag": "tags",
    "uploader": "uploaders",
}

_counts, _dataset = SummaryCount.__table__, Dataset.__table__

COUNTED_COLUMNS = tuple(
    _dataset.c[name] for name in ("id", "base_uri_id", "creator_username", "size_in_bytes", "uploaded_by")
)


@dataclass(frozen=True)
class Counted:
    """What a dataset counts under. None for size or uploader counts nothing."""

    base_uri_id: int
    creator_username: str
    size_in_bytes: int | None
    uploaded_by: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(cls, row: Any, tags: Iterable[str]) -> Counted:
        """Return what the dataset of a row with ``COUNTED_COLUMNS`` counts under."""
        return cls(row.base_uri_id, row.creator_username, row.size_in_bytes, row.uploaded_by, tuple(tags))

    def with_tags(self, tags: Iterable[str]) -> Counted:
        """Return what the dataset counts under with other tags."""
        return replace(self, tags=tuple(tags))

    def rows(self) -> Iterable[tuple[str, str, int]]:
        """Yield (kind, value, base URI) of each row of ``summary_count`` that includes the dataset."""
        yield _TOTAL, str(self.base_uri_id), self.base_uri_id
        yield "creator", self.creator_username, self.base_uri_id
        if self.uploaded_by is not None:
            yield "uploader", self.uploaded_by, self.base_uri_id
        for tag in self.tags:
            yield "tag", tag, self.base_uri_id


# Writing


def count_changes(changes: Iterable[tuple[Counted | None, Counted | None]]) -> None:
    """Bring the counts up to date with changes of datasets, each from what it counted under to what it counts under.

    :param changes: None stands for a dataset that is not there
    """
    datasets: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    sizes: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    for before, after in changes:
        for counted, sign in ((before, -1), (after, 1)):
            for key in counted.rows() if counted else ():
                datasets[key] += sign
                sizes[key] += sign * (counted.size_in_bytes or 0)  # type: ignore[union-attr]
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
    """Return whether what is counted is not what there is; a write in progress may make a difference."""
    stored = sql_db.session.execute(select(_counts)).mappings()
    return set(map(_counted, stored)) != set(map(_counted, _counted_anew()))


def _counted(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    # The same size may be in different parts: they are added up one by one.
    size = row["size_high"] * _PART + row["size_low"]
    return row["kind"], row["value"], row["base_uri_id"], row["datasets"], size


def _counted_anew() -> list[dict[str, Any]]:
    tags: defaultdict[int, list[str]] = defaultdict(list)
    for dataset_id, tag in sql_db.session.execute(select(DatasetTag.dataset_id, DatasetTag.tag)):
        tags[dataset_id].append(tag)
    datasets: Counter[tuple[str, str, int]] = Counter()
    sizes: Counter[tuple[str, str, int]] = Counter()
    for row in sql_db.session.execute(select(*COUNTED_COLUMNS)):
        counted = Counted.of(row, tags[row.id])
        for key in counted.rows():
            datasets[key] += 1
            sizes[key] += counted.size_in_bytes or 0
    return [_row(key, datasets[key], sizes[key]) for key in datasets]


# Reading


_ids: Any = bindparam("ids", expanding=True)
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
    .where(_counts.c.base_uri_id.in_(_ids))
    .group_by(_counts.c.kind, _counts.c.value),
    tuple,
)


def datasets_per_base_uri(scope: Scope) -> dict[str, int]:
    """Return how many datasets each base URI in *scope* holds."""
    numbers = dict.fromkeys(scope.ids, 0)
    for base_uri_id, datasets in _NUMBERS.all({"ids": scope.ids}):
        numbers[base_uri_id] = datasets
    return {uri: numbers[key] for uri, key in scope.base_uris.items()}


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
    for kind, value, datasets, high, low in _FIGURES.get({"ids": scope.ids}):
        label = names[value] if kind == _TOTAL else value
        found[kind][label] = (int(datasets), int(high) * _PART + int(low))
    return found
