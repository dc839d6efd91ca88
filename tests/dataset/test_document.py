"""The document of a dataset: what is refused, and what is said of it."""

from __future__ import annotations

import uuid

import pytest

from dservercore.dataset.document import checked, checked_annotations
from dservercore.errors import ValidationError
from support.world import RED, dataset_info


def test_a_uri_that_ends_in_another_uuid_is_refused() -> None:
    info = {**dataset_info(), "uri": f"{RED}/{uuid.uuid4()}"}
    with pytest.raises(ValidationError, match="differs from the UUID that the uri ends in"):
        checked(info)


@pytest.mark.parametrize("segment", ["beans", "b" * 36])
def test_a_uri_that_ends_in_no_uuid_may_be_of_any_dataset(segment: str) -> None:
    info = {**dataset_info(), "uri": f"{RED}/{segment}"}
    assert checked(info)["uri"] == info["uri"]


@pytest.mark.parametrize("value", [float("nan"), object(), {"deep": [float("inf")]}])
def test_an_annotation_that_is_no_json_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ValidationError, match=r"annotations\.soil"):
        checked_annotations({"plot": 1, "soil": value})
