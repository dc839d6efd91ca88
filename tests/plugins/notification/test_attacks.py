"""Bodies that no object store sends: each is a clear answer, soon, and nothing is queued but for real datasets."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from .bodies import UUID, aws, of_aws, of_storagegrid
from .conftest import PATH, Inbox

pytestmark = pytest.mark.attack

JSON = "application/json"
DEEP = b'{"Records": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
ODD = [
    None,
    True,
    -1,
    10**400,
    1e308,
    "",
    "x" * 100_000,
    "\0",
    "\ud800",
    [],
    [[]],
    {},
    {"name": "red"},
    {"name": ["red"]},
    {"key": {}},
    "../../../etc/passwd",
    "%00%ff%2e%2e%2f",
    "{{7*7}}",
    "' OR 1=1 --",
]


def with_value(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    record = aws()
    at: Any = record
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    return record


@pytest.mark.parametrize(
    "place",
    [
        ("eventName",),
        ("s3",),
        ("s3", "bucket"),
        ("s3", "bucket", "name"),
        ("s3", "object"),
        ("s3", "object", "key"),
        ("s3", "object", "sequencer"),
    ],
)
def test_odd_values_in_each_place(notified: Inbox, place: tuple[str, ...]) -> None:
    for value in ODD:
        message = of_aws(with_value(place, value))
        for options in (
            {"data": json.dumps(message), "content_type": JSON},
            {"data": of_storagegrid(json.dumps(message))},
        ):
            answer = notified.post(**options)
            assert answer.status_code in (200, 400, 422), (value, answer.text)
            assert answer.status_code == 200 or answer.json["message"]
    assert {one["uri"].rpartition("/")[2] for one in notified.datasets()} <= {UUID}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, DEEP),
        (400, b"[" * 10_000),
        (422, json.dumps(of_aws(*[aws()] * 1000)).encode()),
        (422, b'{"Records": [' + b"{}," * 100_000 + b"{}]}"),
        (422, json.dumps({"Records": [{"eventName": "x"}] * 251}).encode()),
        (413, json.dumps(of_aws(*[aws()] * 100_000)).encode()),
        (400, b'{"Records": [NaN]}'),
        (400, b"\xef\xbb\xbf\xff"),
        (422, b'{"Records": [], "a": "\\u0000"}'),
        (422, b'{"Records": [], "a": ' + b"9" * 4000 + b"}"),
    ],
)
def test_what_is_too_much_is_refused_at_once(notified: Inbox, status: int, body: bytes) -> None:
    started = time.process_time()
    answer = notified.post(data=body, content_type=JSON)
    assert (answer.status_code, bool(answer.json["message"])) == (status, True), answer.text[:300]
    assert time.process_time() - started < 1
    assert notified.jobs() == []


def test_another_bucket_is_never_looked_at(notified: Inbox) -> None:
    """Neither by its name in another place, nor by a key or a name that looks like an address."""
    for bucket in ("red/../blue", "s3://blue", "RED", "red ", "red\u200b", "purple", "__class__"):
        answer = notified.post(json=of_aws(aws(bucket=bucket)))
        assert answer.status_code == 400, bucket
    for key in (
        f"s3://blue/{UUID}/dtool",
        f"../blue/{UUID}/dtool",
        f"//blue/{UUID}/dtool",
        f"%2e%2e/blue/{UUID}",
    ):
        assert notified.take(of_aws(aws(key))) == [f"s3://red/{UUID}"]


def test_a_thousand_made_up_datasets_are_a_job_each_and_no_more(notified: Inbox) -> None:
    for _ in range(4):
        message = of_aws(*[aws(f"{uuid.uuid4()}/dtool") for _ in range(250)])
        assert notified.post(json=message).status_code == 200
        assert notified.post(json=message).status_code == 200
    assert len(notified.jobs()) == 1000


def test_who_sends_is_not_told_what_is_registered(notified: Inbox) -> None:
    from support.world import dataset_info

    known = str(uuid.uuid4())
    sent = notified.standing.send("PUT", f"/uris/s3://red/{known}", json=dataset_info(uuid=known))
    assert sent.status_code == 201
    answers = {
        (answer.status_code, answer.data)
        for one in (known, str(uuid.uuid4()))
        for name in ("ObjectCreated:Put", "ObjectRemoved:Delete")
        for answer in [notified.post(PATH, json=of_aws(aws(f"{one}/dtool", name)))]
    }
    assert answers == {(200, b"null")}
