"""The shapes in which object stores send their events."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest

from support.world import BLUE, RED

from .bodies import UUID, aws, of_aws, of_ceph, of_eventbridge, of_minio, of_storagegrid
from .conftest import PATH, Inbox

URI = f"{RED}/{UUID}"
OTHER = "9b2f3c1e-7a44-4d0e-8f6e-52b1f0a7c9d3"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", [PATH, f"{PATH}/red/events"])
@pytest.mark.parametrize("message", [of_aws(aws()), of_minio(), of_ceph(), of_eventbridge()])
def test_each_store_is_understood(notified: Inbox, message: Any, path: str) -> None:
    assert notified.take(message, path=path) == [URI]


def test_a_form_of_storagegrid_has_the_message_in_a_field(notified: Inbox) -> None:
    answer = notified.post(data=of_storagegrid(json.dumps(of_aws(aws()))))
    assert (answer.status_code, answer.json) == (200, None)
    assert [one["uri"] for one in notified.empty()] == [URI]


def test_a_form_that_tries_whether_somebody_answers_is_answered(notified: Inbox) -> None:
    for message in ("StorageGRID Test Message", "", "{", "[" * 1000, '{"a": NaN}'):
        answer = notified.post(data=of_storagegrid(message))
        assert (answer.status_code, answer.data) == (200, b"null")
    assert notified.jobs() == []


def test_all_records_count(notified: Inbox) -> None:
    message = of_aws(aws(), aws(f"{OTHER}/dtool"), aws(f"{UUID}/README.yml"), aws(bucket="blue"))
    assert sorted(notified.take(message)) == [f"{BLUE}/{UUID}", URI, f"{RED}/{OTHER}"]


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
@pytest.mark.parametrize("prefix", ["", "s3:"])
def test_every_way_to_come_counts(notified: Inbox, name: str, prefix: str) -> None:
    assert notified.take(of_aws(aws(name=f"{prefix}ObjectCreated:{name}"))) == [URI]


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRemoved:Delete",
        "s3:ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "s3:ObjectLifecycle:Expiration:Current",
    ],
)
def test_a_dataset_goes_with_its_administrative_metadata(notified: Inbox, name: str) -> None:
    assert notified.take(of_aws(aws(f"{UUID}/data/e4cc3a7d", name), aws(f"{UUID}/README.yml", name))) == []
    assert notified.take(of_aws(aws(f"{UUID}/data/dtool.txt", name))) == []
    notified.post(json=of_aws(aws(f"lab/{UUID}/dtool", name)))
    assert [(one["uri"], one["is_removal"]) for one in notified.empty()] == [(URI, True)]


@pytest.mark.parametrize(
    "name",
    [
        "ObjectAccessed:Get",
        "s3:ObjectTagging:Put",
        "ObjectRestore:Post",
        "s3:TestEvent",
        "x",
        "ObjectCreated",
    ],
)
def test_what_else_happens_is_nothing_to_do(notified: Inbox, name: str) -> None:
    assert notified.take(of_aws(aws(name=name))) == []


def test_a_bucket_that_is_set_up_says_so(notified: Inbox) -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-28T23:12:41Z", "Bucket": "red"}
    assert notified.take(event) == []
    assert notified.take(of_aws()) == []


@pytest.mark.parametrize(
    ("key", "uuids"),
    [
        (f"dtool-{UUID}", [UUID]),
        (f"{UUID.upper()}/dtool", [UUID]),
        (f"a lab/ü+%/{UUID}/data/1", [UUID]),
        (f"{UUID}/data/{OTHER}", [UUID]),
        (f"{OTHER}/{UUID}/dtool", [OTHER, UUID]),
        (f"../../{UUID}/../dtool", [UUID]),
        ("no-uuid/dtool", []),
        (f"{UUID[:-1]}/dtool", []),
        (f"{UUID}0/dtool", []),
        (UUID.replace("-4d16-", "-1d16-"), []),  # of another kind
        ("/", []),
        (UUID.replace("-", "\u2010"), []),
        (UUID.replace("3", "\u0663"), []),
    ],
)
def test_the_first_uuid_of_a_key_is_the_dataset(notified: Inbox, key: str, uuids: list[str]) -> None:
    found = sorted(notified.take(of_aws(aws(quote_plus(key)))))
    assert found == sorted(f"{RED}/{uuid}" for uuid in uuids)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ([], "Records"),
        ({}, "Records"),
        ({"Records": None}, "Records"),
        ({"Records": {"0": aws()}}, "Records"),
        (of_aws(aws(), []), "Records.1"),  # type: ignore[arg-type]
        (of_aws({**aws(), "eventName": None}), "Records.0.eventName"),
        (of_aws({**aws(), "eventName": []}), "Records.0.eventName"),
        (of_aws({**aws(), "s3": "x"}), "Records.0.s3"),
        (of_aws({**aws(), "s3": [1]}), "Records.0.s3"),
        (
            of_aws({**aws(), "s3": {"bucket": {"name": 1}, "object": {"key": "x"}}}),
            "Records.0.s3.bucket.name",
        ),
        (of_aws({**aws(), "s3": {"bucket": {"name": "red"}}}), "Records.0.s3.object"),
        (of_aws(aws("")), "Records.0.s3.object.key"),
        (of_aws(aws("x" * 5000)), "Records.0.s3.object.key"),
        (of_aws(aws(), aws(bucket="purple")), "bucket"),
        (of_aws(aws(), aws(bucket="green")), "bucket"),
        ({"detail-type": "Object Created", "detail": []}, "detail"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_done(notified: Inbox, message: Any, field: str) -> None:
    answer = notified.post(json=message)
    assert (answer.status_code, answer.json["code"]) == (400, 400)
    assert field in answer.json["message"]
    assert notified.jobs() == []


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (400, {"data": b"{}"}),
        (400, {"data": b"", "content_type": "application/json"}),
        (400, {"data": b"null", "content_type": "application/json"}),
        (422, {"data": b"[" * 100_000, "content_type": "application/json"}),
        (422, {"data": of_storagegrid("[" * 100_000)}),
        (413, {"data": b" " * 2**20, "content_type": "application/json"}),
        (400, {"data": b"{", "content_type": "application/json"}),
        (400, {"data": b"\xff", "content_type": "application/json"}),
        (400, {"data": b"\xff", "content_type": FORM}),
        (400, {"data": b"Action=Publish", "content_type": FORM}),
        (400, {"data": b"Message=x&" * 30, "content_type": FORM}),
        (415, {"data": b"{}", "content_type": "text/plain"}),
        (415, {"data": b"<a/>", "content_type": "application/xml"}),
        (415, {"data": b"{}", "content_type": "application/json", "headers": {"Content-Encoding": "gzip"}}),
        (422, {"json": of_aws(), "path": f"{PATH}?token=1"}),
    ],
)
def test_what_is_no_message_is_refused(notified: Inbox, status: int, options: dict[str, Any]) -> None:
    answer = notified.post(**options)
    assert (answer.status_code, bool(answer.json["message"])) == (status, True), answer.text
