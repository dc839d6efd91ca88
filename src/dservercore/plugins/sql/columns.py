"""What the search indexes of all SQL databases have in common: their columns, and the dataset objects they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dservercore.dataset.fields import DATASET_KEYS, TIMES
from dservercore.dataset.times import stored_timestamp

#: From the dataset's row (``index_document.ROW``) to tokens by column.
Columns = Callable[[Mapping[str, Any]], Mapping[str, str]]

#: The dataset object of the REST API: ``d`` is the dataset's row, ``b`` that of its base URI.
FIELDS = {key: "b.base_uri" if key == "base_uri" else f"d.{key}" for key in DATASET_KEYS}


def sorted_by(order: Mapping[str, int], columns: Mapping[str, str]) -> str:
    """Return the terms of an ORDER BY. Datasets that *order* leaves equal are sorted by URI.

    :param order: ``{field: 1 (ascending) or -1}``, the most important first
    :param columns: the SQL expression of each field, and of ``uri``
    """
    terms = [f"{columns[field]} {'ASC' if direction > 0 else 'DESC'}" for field, direction in order.items()]
    return ", ".join(terms if "uri" in order else [*terms, columns["uri"]])


def dataset_object(row: Iterable[Any]) -> dict[str, Any]:
    """Return the dataset object of a row with the columns ``FIELDS``; times are seconds since the epoch, UTC."""
    dataset = dict(zip(FIELDS, row, strict=True))
    for field in TIMES:
        dataset[field] = stored_timestamp(dataset[field])
    return dataset
