"""How long a text may be, and how many elements there may be, before anything is made of a body."""

from __future__ import annotations

import json
import random

import pytest
from werkzeug.exceptions import UnprocessableEntity

from dservercore.rest import body_limits
from dservercore.rest.body_limits import check_elements, check_texts, for_datasets
from support.costing import manifest
from support.world import dataset_info

pytestmark = pytest.mark.attack

CONFIG = {
    "MAX_CONTENT_LENGTH": 2**28,
    "DSERVER_MAX_TAGS": 10_000,
    "DSERVER_MAX_README_LENGTH": 2**20,
    "DSERVER_MAX_ANNOTATIONS_LENGTH": 2**19,
}


def is_refused(body: bytes, most: int) -> bool:
    try:
        check_texts(body, most)
    except UnprocessableEntity:
        return True
    return False


@pytest.mark.parametrize("slice_", [1, 2, 3, 64, 2**18])
def test_texts_of_every_length(monkeypatch: pytest.MonkeyPatch, slice_: int) -> None:
    monkeypatch.setattr(body_limits, "_SLICE", slice_)
    chance = random.Random(1)
    for _ in range(1000):
        texts = ["".join(chance.choices('a"\\é', k=chance.randrange(40))) for _ in range(4)]
        body = json.dumps(texts, ensure_ascii=False).encode()
        longest = max(len(json.dumps(text, ensure_ascii=False).encode()) - 2 for text in texts)
        assert is_refused(body, max(longest, 4)) is False, body
        assert is_refused(body, longest - 1) is (longest > 4 and len(body) > longest - 1) or longest <= 4, (
            body
        )


@pytest.mark.parametrize("filler", ["a", '\\"', "\\\\", "\\u00e9"])
@pytest.mark.parametrize("before", [b"", b'{"name": "x", '])
def test_a_text_is_named(filler: str, before: bytes) -> None:
    body = (before or b"{") + b'"readme" : "' + filler.encode() * 1000 + b'"}'
    with pytest.raises(UnprocessableEntity) as error:
        check_texts(body, 500)
    (message,) = error.value.data["messages"]["json"]["_schema"]
    assert message == 'The text "readme" is longer than 500 bytes of JSON, the most that any may have.'


def test_the_longest_readme_in_the_longest_way_passes() -> None:
    most = for_datasets(CONFIG).text
    assert most
    body = json.dumps(dataset_info(readme="\U0001f600" * 2**20)).encode()
    assert len(body) > 12 * 2**20
    check_texts(body, most)


def structure(text: str) -> int:
    return sum(map(text.count, "{[,"))


def test_files_as_dtool_writes_them_need_no_more_elements_than_their_bytes_allow() -> None:
    text = json.dumps(manifest(1000, ""), separators=(",", ":"))
    assert structure(text) < len(text) / 24
    most = for_datasets(CONFIG).most_elements
    assert most(2**28) - most(0) < 2**28 / 23


def test_identifiers_may_be_short_in_a_manifest_of_a_hundred_thousand_files() -> None:
    file = {"hash": "0" * 32, "relpath": "a", "size_in_bytes": 1, "utc_timestamp": 1.5}
    text = json.dumps({"items": {str(n): file for n in range(100_000)}}, separators=(",", ":"))
    check_elements(text, for_datasets(CONFIG).most_elements(len(text)))
