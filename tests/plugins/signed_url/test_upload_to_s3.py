"""Datasets are uploaded into a bucket, by presigned requests to a server that speaks the protocol of S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import dtoolcore
import pytest

from support.live_server import LiveServer
from support.s3_server import Storage, client
from support.world import CHAMPION

from .uploader import Uploader, packaged, same

pytestmark = pytest.mark.long

FILES = {"a.txt": b"apples\n" * 100, "b/Ünï.txt": b"beans"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    storage = Storage(tmp_path_factory.mktemp("moto") / "log")
    yield storage
    storage.process.terminate()
    storage.process.wait(timeout=30)


@pytest.fixture(scope="module")
def bucket(storage: Storage) -> Iterator[str]:
    name = f"harvest{uuid.uuid4().hex}"
    with pytest.MonkeyPatch.context() as patched:
        for key, value in settings_of(storage, name).items():
            patched.setenv(key, value)
        client(storage).create_bucket(Bucket=name)
        yield name


def settings_of(storage: Storage, bucket: str) -> dict[str, str]:
    return {
        f"DTOOL_S3_ENDPOINT_{bucket}": storage.address,
        f"DTOOL_S3_ACCESS_KEY_ID_{bucket}": "test",
        f"DTOOL_S3_SECRET_ACCESS_KEY_{bucket}": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, storage: Storage, bucket: str) -> Iterator[LiveServer]:
    settings = {"DSERVER_EXTENSIONS": "signed_url", **settings_of(storage, bucket)}
    server = LiveServer(tmp_path_factory.mktemp("live"), workers=1, settings=settings, program="serve")
    server.add_people(f"s3://{bucket}")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def uploader(live: LiveServer, bucket: str) -> Uploader:
    return Uploader(live, f"s3://{bucket}")


def test_a_dataset_is_copied_in_unchanged_and_registered(
    uploader: Uploader, live: LiveServer, bucket: str, tmp_path: Path
) -> None:
    dataset = packaged(tmp_path / "own", files=FILES)
    uri = uploader.copy(dataset)
    assert uri == f"s3://{bucket}/{dataset.uuid}"
    copied = dtoolcore.DataSet.from_uri(uri)
    same(dataset, copied)
    # dtool itself finds nothing wrong with it: the manifest made anew is the one that is stored.
    again = copied.generate_manifest()["items"]
    stored = copied._manifest["items"]
    assert {key: again[key]["hash"] for key in again} == {key: stored[key]["hash"] for key in stored}
    registered = live.request("GET", f"/uris/{uri}", CHAMPION).json()
    assert (registered["uploaded_by"], registered["number_of_items"]) == (CHAMPION, 2)
