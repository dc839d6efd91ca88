"""``/uuids``: where the copies of a dataset are."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, pagination, route
from support.world import BLUE, RED

pytestmark = on_every_store

UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"


@pytest.fixture
def copies(register):
    """One dataset in both base URIs, and twice in one of them, next to another dataset."""
    register(RED)
    return [
        register(base_uri, uuid=UUID, uri=uri)["uri"]
        for base_uri, uri in [(BLUE, f"{BLUE}/{UUID}"), (RED, f"{RED}/{UUID}"), (RED, f"{RED}/by-name")]
    ]


def uris_of(answer):
    assert answer.status_code == 200
    return [dataset["uri"] for dataset in answer.json]


def test_all_copies_that_one_may_search(reader, champion, nobody, admin, copies):
    assert uris_of(reader.get(f"/uuids/{UUID}")) == sorted(copies)
    assert uris_of(champion.get(f"/uuids/{UUID}")) == sorted(uri for uri in copies if uri.startswith(RED))
    assert uris_of(nobody.get(f"/uuids/{UUID}")) == []
    assert uris_of(admin.get(f"/uuids/{UUID}")) == []


def test_a_copy_is_the_dataset_that_its_uri_gives(reader, copies):
    for dataset in reader.get(f"/uuids/{UUID}").json:
        assert dataset == reader.get(route("uris", dataset["uri"])).json


@pytest.mark.parametrize(
    "spelling", [UUID.upper(), UUID.replace("-", ""), f"%7B{UUID}%7D", f"urn:uuid:{UUID}", UUID.title()]
)
def test_any_spelling_of_the_uuid(reader, copies, spelling):
    assert uris_of(reader.get(f"/uuids/{spelling}")) == sorted(copies)


@pytest.mark.parametrize(
    "uuid",
    ["af6727bf-29c7-43dd-b42f-a5d7ede28338", "x", UUID[:-1], UUID + "0", "%20", "é", "0" * 32, "null", "*"],
)
def test_what_nobody_knows_has_no_copies(reader, copies, uuid):
    answer = reader.get(f"/uuids/{uuid}")
    assert (answer.status_code, answer.json) == (200, [])
    assert pagination(answer) == {"total": 0, "total_pages": 0}


def test_pages_and_order(reader, copies):
    answer = reader.get(f"/uuids/{UUID}?page=2&page_size=2&sort=-uri")
    assert uris_of(answer) == sorted(copies)[:1]
    assert pagination(answer) == {
        "total": 3, "total_pages": 2, "first_page": 1, "last_page": 2, "page": 2, "previous_page": 1,
    }  # fmt: skip
