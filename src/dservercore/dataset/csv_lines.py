"""Datasets as lines of CSV (RFC 4180), as spreadsheets open them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from dservercore.dataset.fields import DATASET_KEYS, TIMES

_FIRST = ("name", "uri")

#: What each line has: the keys of a dataset object, and its tags.
COLUMNS = (*_FIRST, *(key for key in DATASET_KEYS if key not in _FIRST), "tags")

# A spreadsheet takes a cell that begins so for a formula, which may send what is in others elsewhere.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def header() -> str:
    """Return the first line: the names of the columns."""
    return _lines([COLUMNS])


def lines_of(datasets: Iterable[Mapping[str, Any]], tags: Mapping[str, Iterable[str]]) -> str:
    """Return a line for each dataset.

    Times are in ISO 8601, UTC. The tags are in one cell, sorted, with a comma and a space between them: no tag has
    either. A text that a spreadsheet would take for a formula has an apostrophe in front. What is not known is empty.

    :param datasets: dataset objects
    :param tags: of the datasets by their URIs, as far as they have any
    """
    return _lines([_cells(dataset, sorted(tags.get(dataset["uri"], ()))) for dataset in datasets])


def _cells(dataset: Mapping[str, Any], tags: list[str]) -> list[Any]:
    row = {**dataset, "tags": ", ".join(tags)}
    for key in TIMES:
        if row[key] is not None:
            row[key] = _iso(row[key])
    return [_harmless(row[column]) for column in COLUMNS]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
