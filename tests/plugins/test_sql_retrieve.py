"""What is particular about the sql retrieve plugin; what it shares with the others is in test_retrieve.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dservercore.db import sql_db
from dservercore.errors import UnknownURIError

NONE = "s3://red/none"


pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def test_a_manifest_is_handed_out_as_it_is_stored(shelf: Any, statements: list[str]) -> None:
    uri = shelf.register(files=[f"data/{n}.csv" for n in range(1000)])
    [stored] = sql_db.session.connection().exec_driver_sql("SELECT manifest FROM dataset_document").scalars()
    text = shelf.retrieve.get_manifest_json(uri)
    assert isinstance(text, bytes)
    assert len(stored) < len(text) / 2
    assert len(json.loads(text)["items"]) == 1000


@pytest.mark.parametrize(
    "getter", ["get_readme", "get_annotations", "get_tags", "get_manifest", "get_manifest_json"]
)
def test_one_statement_each(shelf: Any, statements: list[str], getter: str) -> None:
    uri = shelf.register(tags=["a", "b"])
    statements.clear()
    getattr(shelf.retrieve, getter)(uri)
    assert len(statements) == 1


def test_registering_without_a_row_is_an_error(shelf: Any) -> None:
    info = {"uri": NONE, "readme": "", "annotations": {}, "manifest": {}}
    with pytest.raises(UnknownURIError):
        shelf.retrieve.register_dataset(info)
