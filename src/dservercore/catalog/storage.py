"""The datasets themselves, where they are stored: brings an edit of the catalog to the dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

import dtoolcore
import orjson
from sqlalchemy import select

from dservercore import uris
from dservercore.db import sql_db
from dservercore.models import Dataset

logger = logging.getLogger(__name__)

Field = Literal["readme", "tags", "annotations"]


def update_dataset(uri: str, field: Field, value: Any) -> bool:
    """Make the README, tags or annotations of a stored dataset equal to *value*. Return whether that was possible.

    A storage that refuses, or is out of reach, is a warning in the log: the catalog stands as it was edited.

    Only a registered dataset is written to, and only where the one in storage has the same UUID.
    """
    uuid = sql_db.session.execute(select(Dataset.uuid).where(Dataset.uri == uri)).scalar()
    try:
        if uris.is_out_of_reach(uri):
            raise OSError("the storage is on another host")
        dataset = dtoolcore.DataSet.from_uri(uri)
        if dataset.uuid != uuid:
            raise ValueError("another dataset is stored there")
        _UPDATES[field](dataset, value)
    except Exception as error:  # each storage has errors of its own
        logger.warning("The %s of %s in storage not updated: %s: %s", field, uri, type(error).__name__, error)
        return False
    return True


def _update_readme(dataset: Any, readme: str) -> None:
    if dataset.get_readme_content() != readme:
        dataset.put_readme(readme)


def _update_tags(dataset: Any, tags: list[str]) -> None:
    stored = set(dataset.list_tags())
    for tag in sorted(set(tags) - stored):
        dataset.put_tag(tag)
    for tag in sorted(stored - set(tags)):
        dataset.delete_tag(tag)


def _update_annotations(dataset: Any, annotations: Mapping[str, Any]) -> None:
    stored = {name: dataset.get_annotation(name) for name in dataset.list_annotation_names()}
    for name, value in annotations.items():
        if name not in stored or orjson.dumps(stored[name]) != orjson.dumps(value):
            dataset.put_annotation(name, value)
    for name in stored.keys() - annotations.keys():
        dataset.delete_annotation(name)


_UPDATES: dict[Field, Callable[[Any, Any], None]] = {
    "readme": _update_readme,
    "tags": _update_tags,
    "annotations": _update_annotations,
}
