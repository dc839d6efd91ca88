"""From an event to a registration: datasets that dtool puts into a bucket of a real S3 server, and takes out again."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import dtoolcore
import pytest

from cli.test_index_s3 import Storage, _descriptions_of_the_protocol  # noqa: F401 used by itself
from dservercore import sql_db
from dservercore.catalog import audit, base_uris, job_runs, jobs
from dservercore.catalog.storage import s3 as in_bucket
from dservercore.dataset.times import datetime_to_timestamp, utcnow
from dservercore.plugins.notification import inbox, looking
from support.worlds import World, world

from .bodies import aws, of_aws
from .conftest import Inbox
from .sns_service import Service, running

BUCKET = f"beans{uuid.uuid4().hex[:12]}"
BASE_URI = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    storage = Storage(tmp_path_factory.mktemp("moto") / "log")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(f"DTOOL_S3_ENDPOINT_{BUCKET}", storage.address)
        for key in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patched.setenv(f"DTOOL_S3_{key}_{BUCKET}", "test")
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield storage
    storage.process.terminate()
    storage.process.wait(timeout=30)


@pytest.fixture(scope="module")
def s3(storage: Storage) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=storage.address, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path], s3: Any
) -> Iterator[World]:
    settings = {
        "DSERVER_EXTENSIONS": ["notification"],
        "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": {BUCKET: BASE_URI},
    }
    with world(tmp_path_factory.mktemp("looking"), key_pair, **settings) as standing:
        with standing.app.app_context():
            base_uris.create_base_uri(BASE_URI, ["carl"], ["carl"])
            sql_db.session.commit()
        yield standing


class Bucket:
    """A bucket, and the server that it notifies."""

    def __init__(self, notified: Inbox, s3: Any):
        self.notified, self.s3 = notified, s3

    def package(self, name: str = "peas", is_frozen: bool = True, items: int = 1) -> str:
        """Put a dataset into the bucket, and return its UUID."""
        creator = dtoolcore.DataSetCreator(name, BASE_URI, f"description: {name}\n", "olga")
        proto = creator.__enter__().proto_dataset
        if is_frozen:
            creator.__exit__(None, None, None)
        return str(proto.uuid)

    def keys(self, identifier: str) -> list[str]:
        """Return the keys of the objects of a dataset."""
        found = self.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        return [entry["Key"] for entry in found if identifier in entry["Key"]]

    def remove(self, identifier: str) -> None:
        for key in self.keys(identifier):
            self.s3.delete_object(Bucket=BUCKET, Key=key)

    def tell(self, key: str, name: str = "ObjectCreated:Put") -> None:
        answer = self.notified.post(json=of_aws(aws(key, name, BUCKET)))
        assert (answer.status_code, answer.json) == (200, None)

    def tell_removal(self, identifier: str) -> None:
        self.tell(f"{identifier}/dtool", "ObjectRemoved:Delete")

    def work(self) -> int:
        """Do what is due, and return how many jobs were tried."""
        with self.notified.app.app_context():
            return job_runs.work(threading.Event(), once=True)

    def is_registered(self, identifier: str) -> bool:
        answer = self.notified.standing.send("GET", f"/uris/{BASE_URI}/{identifier}")
        assert answer.status_code in (200, 404)
        return answer.status_code == 200

    def flask(self, *arguments: str) -> Any:
        result = self.notified.app.test_cli_runner().invoke(args=["notification", *arguments])
        return result


@pytest.fixture
def bucket(notified: Inbox, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(inbox, "AGAIN_SECONDS", 0.0)
    return Bucket(notified, s3)


def test_a_dataset_comes_and_goes(bucket: Bucket) -> None:
    identifier = bucket.package("pigeon-pea")
    bucket.tell(f"{identifier}/dtool")
    assert not bucket.is_registered(identifier)
    assert bucket.work() == 1
    world_ = bucket.notified.standing
    found = world_.send("POST", "/uris", json={"free_text": "pigeon"}).json
    assert [one["uri"] for one in found] == [f"{BASE_URI}/{identifier}"]
    assert found[0]["uploaded_by"] is None

    bucket.remove(identifier)
    bucket.tell_removal(identifier)
    assert bucket.work() == 1
    assert not bucket.is_registered(identifier)
    assert world_.send("POST", "/uris", json={"free_text": "pigeon"}).json == []
    with bucket.notified.app.app_context():
        records, _ = audit.list_records(audit.Filter(subject=f"{BASE_URI}/{identifier}"))
    assert [(one["action"], one["origin"]) for one in records] == [("dataset.delete", "notification")]
    assert bucket.notified.datasets() == bucket.notified.jobs() == []


def test_what_is_not_frozen_is_left_alone_until_it_is(bucket: Bucket) -> None:
    identifier = bucket.package(is_frozen=False)
    bucket.tell(f"{identifier}/dtool")
    bucket.tell(f"dtool-{identifier}")
    assert bucket.work() == 1
    assert not bucket.is_registered(identifier)
    dtoolcore.ProtoDataSet.from_uri(f"{BASE_URI}/{identifier}").freeze()
    bucket.tell(f"{identifier}/dtool")
    assert bucket.work() == 1
    assert bucket.is_registered(identifier)


def test_a_thousand_events_of_an_upload_are_one_look(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    identifier = bucket.package("lentils")
    for part in range(10):
        records = [aws(f"{identifier}/data/{part}{n:039x}", bucket=BUCKET) for n in range(100)]
        assert bucket.notified.post(json=of_aws(*records)).status_code == 200
    assert [(job["kind"], job["state"]) for job in bucket.notified.jobs()] == [
        ("notification.look", "waiting")
    ]
    assert bucket.work() == 0  # more may follow
    bucket.tell(f"{identifier}/dtool")
    assert [one["events"] for one in bucket.notified.datasets()] == [1001]
    assert bucket.work() == 1
    assert bucket.is_registered(identifier)


def test_what_comes_twice_or_in_another_order_does_no_harm(bucket: Bucket) -> None:
    identifier = bucket.package()
    bucket.tell_removal(identifier)
    assert bucket.work() == 1
    assert bucket.is_registered(identifier)  # for it is there
    for _ in range(3):
        bucket.tell(f"{identifier}/dtool")
        bucket.tell(f"{identifier}/README.yml")
        assert bucket.work() == 1
    bucket.remove(identifier)
    bucket.tell(f"{identifier}/dtool")
    assert bucket.work() == 1
    assert bucket.is_registered(identifier)  # for nobody said that it is gone
    for _ in range(3):
        bucket.tell_removal(identifier)
        bucket.tell(f"{identifier}/dtool")
        assert bucket.work() == 1
        assert not bucket.is_registered(identifier)


def test_what_was_edited_in_the_catalogue_is_kept(bucket: Bucket) -> None:
    identifier = bucket.package()
    bucket.tell(f"{identifier}/dtool")
    bucket.work()
    send = bucket.notified.standing.send
    uri = f"{BASE_URI}/{identifier}"
    with bucket.notified.app.app_context():
        bucket.notified.app.config["DSERVER_UPDATE_STORAGE"] = False
    try:
        assert send("PUT", f"/tags/{uri}", json={"tags": ["mine"]}).status_code == 200
    finally:
        bucket.notified.app.config["DSERVER_UPDATE_STORAGE"] = True
    bucket.tell(f"{identifier}/data/1")
    bucket.tell(f"{identifier}/dtool")
    assert bucket.work() == 1
    assert send("GET", f"/tags/{uri}").json == {"tags": ["mine"]}


def fault(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>".encode()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``endpoint(address)`` has the bucket looked for at an address from now on."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def change(address: str) -> None:
        monkeypatch.setenv(f"DTOOL_S3_ENDPOINT_{BUCKET}", address)
        monkeypatch.setattr(in_bucket, "_held", in_bucket._Connections())

    return change


@pytest.mark.attack
def test_nothing_is_removed_because_storage_does_not_answer(
    bucket: Bucket, storage: Storage, endpoint: Callable[[str], None]
) -> None:
    """An event says that a dataset is gone, and what stands before S3, or in its place, says something else."""
    identifier = bucket.package()
    bucket.tell(f"{identifier}/dtool")
    bucket.work()
    with running(Service()) as broken:
        for address, answer in (
            ("http://127.0.0.1:9", None),
            (broken.address, (503, fault("SlowDown"))),
            (broken.address, (500, b"")),
            (broken.address, (403, fault("AccessDenied"))),
            (broken.address, (403, fault("InvalidAccessKeyId"))),
            (broken.address, (404, fault("NoSuchBucket"))),
            (broken.address, (404, fault("NoSuchKey"))),
            (broken.address, (404, b"<html>Not found</html>")),
            (broken.address, (200, b"<html>Please sign in</html>")),
            (broken.address, (301, b"")),
        ):
            if answer:
                broken.answer = lambda _path, answer=answer: (answer[0], {}, answer[1])
            endpoint(address)
            bucket.tell_removal(identifier)
            assert bucket.flask("retry").exit_code == 0
            assert bucket.work() == 1
            (left,) = bucket.notified.datasets()
            assert (left["state"] in ("trying", "failed"), left["is_removal"]) == (True, True), answer
            assert bucket.is_registered(identifier), answer
    endpoint(storage.address)
    assert bucket.flask("retry").exit_code == 0
    assert bucket.work() == 1
    assert bucket.is_registered(identifier)
    assert bucket.notified.datasets() == bucket.notified.jobs() == []


def test_what_fails_is_tried_again_and_shown(
    bucket: Bucket, storage: Storage, endpoint: Callable[[str], None]
) -> None:
    identifier = bucket.package()
    uri = f"{BASE_URI}/{identifier}"
    endpoint("http://127.0.0.1:9")
    bucket.tell(f"{identifier}/dtool")
    for number in range(jobs.MAX_ATTEMPTS):
        assert bucket.work() == 1
        assert bucket.work() == 0  # not at once
        assert bucket.notified.datasets()[0]["state"] == (
            "failed" if number == jobs.MAX_ATTEMPTS - 1 else "trying"
        )
        if number < jobs.MAX_ATTEMPTS - 1:
            assert bucket.flask("retry", uri).exit_code == 0
    shown = bucket.flask("status")
    assert f"failed  {uri}  change  events 1  last " in shown.stdout
    assert "cannot be looked at" in shown.stdout
    assert "0 datasets waiting, 1 failed, 0 held" in shown.stderr
    (state,) = json.loads(bucket.flask("status", "--json").stdout)["datasets"]
    assert (state["uri"], state["state"], state["attempts"]) == (uri, "failed", jobs.MAX_ATTEMPTS)
    endpoint(storage.address)
    bucket.tell(f"{identifier}/README.yml")  # what has failed for good begins anew with the next event
    assert bucket.work() == 1
    assert bucket.is_registered(identifier)
    unknown = bucket.flask("retry", uri)
    assert (unknown.exit_code, unknown.stderr) == (1, f"Nothing about {uri} has failed, or is only held\n")


def test_a_job_that_was_deleted_comes_again_with_the_next_event(bucket: Bucket) -> None:
    identifier = bucket.package()
    for again in (lambda: bucket.tell(f"{identifier}/dtool"), lambda: bucket.flask("retry")):
        bucket.tell(f"{identifier}/dtool")
        with bucket.notified.app.app_context():
            assert jobs.remove([job["id"] for job in jobs.list_jobs()]) == 1
            sql_db.session.commit()
        assert [one["state"] for one in bucket.notified.datasets()] == ["failed"]
        again()
        assert bucket.work() == 1
        assert bucket.is_registered(identifier)


def test_a_bucket_that_is_emptied_does_not_empty_the_catalogue(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "FREE_REMOVALS", 2)
    with bucket.notified.app.app_context():
        sql_db.session.execute(sql_db.text("DELETE FROM audit"))
        sql_db.session.commit()
    present = {one["uuid"] for one in bucket.notified.standing.send("GET", "/uris?page_size=100").json}
    many = [bucket.package() for _ in range(6)]
    for identifier in many:
        bucket.tell(f"{identifier}/dtool")
    bucket.work()
    for identifier in present | set(many):
        bucket.remove(identifier)
        bucket.tell_removal(identifier)
    total = len(present) + len(many)
    assert bucket.work() == total
    held = [one["uri"] for one in bucket.notified.datasets() if one["state"] == "held"]
    left = len(held)
    assert total // 2 - 1 <= left <= total // 2 + 1
    shown = bucket.flask("status")
    assert "flask notification retry --removals" in shown.stdout
    assert f"{left} held" in shown.stderr
    assert bucket.flask("retry").exit_code == 0
    assert bucket.work() == 0
    back = bucket.package()  # another event of one that is held has it looked at again, and held again
    bucket.tell_removal(held[0].rpartition("/")[2])
    assert bucket.work() == 1
    assert len(bucket.notified.datasets()) == left
    assert bucket.flask("retry", "--removals").exit_code == 0
    assert bucket.work() == left
    assert bucket.notified.datasets() == []
    assert bucket.notified.standing.send("GET", "/uris?page_size=100").json == []
    bucket.remove(back)


def test_events_that_come_while_a_dataset_is_looked_at_have_it_looked_at_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = bucket.package(is_frozen=False)
    bucket.tell(f"{identifier}/dtool")
    really = looking._settle

    def freezes_meanwhile(seen: inbox.Noted) -> str | None:
        done = really(seen)
        monkeypatch.setattr(looking, "_settle", really)
        dtoolcore.ProtoDataSet.from_uri(f"{BASE_URI}/{identifier}").freeze()
        bucket.tell(f"{identifier}/dtool")
        assert len(bucket.notified.jobs()) == 1  # the one that is being done
        return done

    monkeypatch.setattr(looking, "_settle", freezes_meanwhile)
    assert bucket.work() == 2
    assert bucket.is_registered(identifier)
    assert bucket.notified.datasets() == []


def test_a_base_uri_that_is_no_longer_registered_is_let_be(bucket: Bucket) -> None:
    with bucket.notified.app.app_context():
        base_uris.create_base_uri("s3://gone", [], [])
        sql_db.session.commit()
        bucket.notified.app.config["DSERVER_NOTIFY_BUCKET_TO_BASE_URI"]["gone"] = "s3://gone"
    answer = bucket.notified.post(json=of_aws(aws(bucket="gone")))
    assert answer.status_code == 200
    with bucket.notified.app.app_context():
        base_uris.delete_base_uri("s3://gone")
        sql_db.session.commit()
    assert bucket.work() == 1
    assert bucket.notified.datasets() == bucket.notified.jobs() == []


def test_the_buckets_are_shown(bucket: Bucket) -> None:
    before = json.loads(bucket.flask("status", "--json").stdout)["buckets"]
    bucket.tell(f"{uuid.uuid4()}/dtool")
    after = json.loads(bucket.flask("status", "--json").stdout)["buckets"]
    numbers = [next(one["events"] for one in found if one["bucket"] == BUCKET) for found in (before, after)]
    assert numbers[1] == numbers[0] + 1
    (one,) = (one for one in after if one["bucket"] == BUCKET)
    assert one["base_uri"] == BASE_URI
    assert abs(one["received_at"] - datetime_to_timestamp(utcnow())) < 60


def test_a_dataset_below_a_prefix_comes_and_goes(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"DTOOL_S3_DATASET_PREFIX_{BUCKET}", "u/olga/")
    identifier = bucket.package()
    monkeypatch.delenv(f"DTOOL_S3_DATASET_PREFIX_{BUCKET}")  # its registration in the bucket says where it is
    key = f"u/olga/{identifier}/dtool"
    assert key in bucket.keys(identifier)
    for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"):  # the second one is not true
        bucket.tell(key, name)
        assert bucket.work() == 1
        assert bucket.is_registered(identifier)
    bucket.s3.delete_object(Bucket=BUCKET, Key=key)
    bucket.tell(key, "ObjectRemoved:Delete")
    assert bucket.work() == 1
    assert not bucket.is_registered(identifier)
    bucket.remove(identifier)
