"""A bucket whose events reach a server that is running: S3, SNS and the server over HTTP, and dtool as a user has it.

S3 and SNS are those of moto's server, which signs its messages with a certificate that it hands out at an address of
its own. It tells by the credentials of a request which of its services is asked: the address that the server is
configured with here adds some, and does nothing else.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import dtoolcore
import pytest
import requests

from cli.test_index_s3 import Storage
from support.live_server import LiveServer
from support.world import CHAMPION

from .sns_service import Service, running

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

WAIT_SECONDS = 90
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
FOR_SNS = (
    "AWS4-HMAC-SHA256 Credential=test/20261128/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=x"
)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(tmp_path / "moto.log")
    yield storage
    storage.process.terminate()
    storage.process.wait(timeout=30)


@pytest.fixture
def certificates(storage: Storage) -> Iterator[Service]:
    """Where the certificates of moto's SNS are."""
    service = Service()

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        found = requests.get(storage.address + path, headers={"Authorization": FOR_SNS}, timeout=30)
        return found.status_code, {}, found.content

    service.answer = answer
    with running(service):
        yield service


def wait_for(condition: Callable[[], Any], log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_a_dataset_is_found_when_it_has_come_and_gone_when_it_has_gone(
    tmp_path: Path,
    storage: Storage,
    certificates: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = f"harvest{uuid.uuid4().hex[:12]}"
    s3 = boto3.client("s3", endpoint_url=storage.address, **CREDENTIALS)
    topics = boto3.client("sns", endpoint_url=storage.address, **CREDENTIALS)
    topic = topics.create_topic(Name="datasets")["TopicArn"]
    of_dtool = {
        f"DTOOL_S3_ENDPOINT_{bucket}": storage.address,
        f"DTOOL_S3_ACCESS_KEY_ID_{bucket}": "test",
        f"DTOOL_S3_SECRET_ACCESS_KEY_{bucket}": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in of_dtool.items():
        monkeypatch.setenv(name, value)
    server = LiveServer(
        tmp_path,
        workers=1,
        program="serve",
        settings={
            **of_dtool,
            "DSERVER_EXTENSIONS": "notification",
            "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": f'{{"{bucket}": "s3://{bucket}"}}',
            "DSERVER_NOTIFY_ALLOW_ACCESS_FROM": "192.0.2.1",  # so that only what is signed is taken
            "DSERVER_NOTIFY_SNS_TOPICS": topic,
            "DSERVER_NOTIFY_SNS_ENDPOINT": certificates.address,
        },
    )
    server.add_people(f"s3://{bucket}")
    server.start()
    try:
        topics.subscribe(
            TopicArn=topic, Protocol="http", Endpoint=f"{server.address}/webhook/notify/{bucket}"
        )
        s3.create_bucket(Bucket=bucket)
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"TopicConfigurations": [{"TopicArn": topic, "Events": events}]},
        )
        (tmp_path / "pods.csv").write_text("pods,weight\n1,12.5\n")
        (tmp_path / "local").mkdir()
        description = "description: Chickpeas of the terrace\n"
        with dtoolcore.DataSetCreator(
            "chickpeas", f"file://{tmp_path}/local", description, "olga"
        ) as creator:
            for number in range(5):
                creator.put_item(str(tmp_path / "pods.csv"), f"pods-{number}.csv")
            creator.proto_dataset.put_tag("legume")
        copied = dtoolcore.copy(creator.uri, f"s3://{bucket}")

        def found() -> list[str]:
            answer = server.request("POST", "/uris", CHAMPION, json={"free_text": "chickpea terrace"})
            assert answer.status_code == 200
            return [dataset["uri"] for dataset in answer.json()]

        wait_for(lambda: found() == [copied], server.log)
        identifier = copied.rpartition("/")[2]
        assert server.request("GET", f"/tags/{copied}", CHAMPION).json() == {"tags": ["legume"]}
        for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            assert identifier in entry["Key"]
            s3.delete_object(Bucket=bucket, Key=entry["Key"])
        wait_for(lambda: found() == [], server.log)
        wait_for(
            lambda: "0 datasets waiting, 0 failed" in server.flask("notification", "status").stderr,
            server.log,
        )
    finally:
        server.stop()
    assert f"POST /webhook/notify/{bucket} 200 " in server.log.read_text()
