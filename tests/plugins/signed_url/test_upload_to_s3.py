"""Datasets are uploaded into a bucket, by presigned requests to a server that speaks the protocol of S3."""

from __future__ import annotations

import hashlib
import time
import uuid
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dtoolcore
import pytest
from dtoolcore.utils import generate_identifier

from dservercore.plugins.signed_url.pending import Pending
from dservercore.plugins.signed_url.signatures import Holder
from dservercore.plugins.signed_url.storages.interface import Validity
from dservercore.plugins.signed_url.storages.s3_uploads import S3Uploads
from support.live_server import LiveServer
from support.s3_server import Storage, client
from support.world import CHAMPION

from .uploader import Uploader, announcement, item, packaged, put, same

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


def objects(storage: Storage, bucket: str, identifier: str) -> set[str]:
    """Return the keys of what belongs to a dataset."""
    found = client(storage).list_objects_v2(Bucket=bucket).get("Contents", [])
    return {entry["Key"] for entry in found if identifier in entry["Key"]}


def test_urls_are_for_one_content_alone(uploader: Uploader, bucket: str) -> None:
    begun = uploader.begun(announcement(item("a.txt", b"apples")))
    (one,) = begun["upload_urls"]["items"].values()
    query = parse_qs(urlsplit(one["url"]).query)
    # S3 refuses a request in which one of these is another one; this server of it does not.
    signed = {"content-length", "content-md5", "host", "x-amz-meta-checksum", "x-amz-meta-handle"}
    assert set(query["X-Amz-SignedHeaders"][0].split(";")) == signed
    assert query["X-Amz-Expires"] == [str(begun["expiry_seconds"])]
    assert b64decode(one["headers"]["Content-MD5"]).hex() == hashlib.md5(b"apples").hexdigest()
    assert urlsplit(one["url"]).path.endswith(f"/{begun['uuid']}/data/{generate_identifier('a.txt')}")
    # The URL of the README leads to where dtool does not look once the dataset is frozen.
    assert urlsplit(begun["upload_urls"]["readme"]).path.endswith("/fragments/README.yml")


def test_a_signature_is_the_one_that_the_client_of_s3_makes(
    live: LiveServer, bucket: str, storage: Storage
) -> None:
    with live.app.app_context():
        storage_of = S3Uploads(f"s3://{bucket}", f"s3://{bucket}/{uuid.uuid4()}")
        pending = Pending(
            uuid=storage_of._broker.uuid,
            uri="",
            base_uri="",
            name="",
            creator_username="",
            frozen_at=0,
            manifest={"items": {generate_identifier("ä b"): item("ä b", b"apples")}},
            description={},
        )
        now = int(time.time())
        validity = Validity(Holder(CHAMPION), now, now + 100)
        for _ in range(10):  # until both are made in the same second
            ((identifier, one),) = storage_of.urls(pending, validity)["items"].items()
            headers = one["headers"]
            parameters = {
                "Key": f"{storage_of._broker.data_key_prefix}{identifier}",
                "ContentMD5": headers["Content-MD5"],
                "ContentLength": 6,
                "Metadata": {
                    name.removeprefix("x-amz-meta-"): value
                    for name, value in headers.items()
                    if name.startswith("x-amz")
                },
            }
            if storage_of.presigned("put_object", parameters, validity) == one["url"]:
                return
    pytest.fail("They differ")


def test_what_is_missing_or_another_file_is_not_registered(
    uploader: Uploader, storage: Storage, bucket: str
) -> None:
    files = {"a.txt": b"apples", "b.txt": b"beans"}
    begun = uploader.begun(announcement(*(item(path, content) for path, content in files.items())))
    first, second = begun["upload_urls"]["items"].values()
    assert put(first["url"], b"apples", first["headers"]).status_code == 200
    answer = uploader.complete(begun["uri"])
    assert (answer.status_code, "Not uploaded yet, or not as announced: b.txt" in answer.text) == (400, True)
    client(storage).put_object(
        Bucket=bucket, Key=urlsplit(second["url"]).path.split("/", 2)[2], Body=b"BEANS"
    )
    assert uploader.complete(begun["uri"]).status_code == 400
    assert put(second["url"], b"beans", second["headers"]).status_code == 200
    assert "README is not uploaded" in uploader.complete(begun["uri"]).text
    assert put(begun["upload_urls"]["readme"], b"a: b\n").status_code == 200
    stray = f"{begun['uuid']}/data/stray"
    client(storage).put_object(Bucket=bucket, Key=stray, Body=b"x")
    assert "stray" in uploader.complete(begun["uri"]).text
    client(storage).delete_object(Bucket=bucket, Key=stray)
    uploader.completed(begun["uri"])
    assert dtoolcore.DataSet.from_uri(begun["uri"]).get_readme_content() == "a: b\n"
    # Whoever still has the URL of the README changes nothing.
    put(begun["upload_urls"]["readme"], b"changed")
    assert dtoolcore.DataSet.from_uri(begun["uri"]).get_readme_content() == "a: b\n"
    assert uploader.begin(announcement(uuid=begun["uuid"])).status_code == 409


def test_an_upload_is_begun_again_and_removed(
    uploader: Uploader, live: LiveServer, storage: Storage, bucket: str
) -> None:
    first = uploader.begun(announcement(item("a", b"x"), tags=["one"]))
    uploader.send_all(first, lambda _identifier: b"x")
    second = uploader.begun(announcement(item("b", b"x"), uuid=first["uuid"], tags=["two"]))
    assert "Not uploaded yet" in uploader.complete(second["uri"]).text
    removed = live.flask("pending_upload", "delete", first["uuid"], "--delete-storage")
    assert removed.stdout == f"Removed: {first['uuid']} {first['uri']}\n"
    assert objects(storage, bucket, first["uuid"]) == set()
    again = uploader.begun(announcement(item("b", b"x"), uuid=first["uuid"], tags=["two"]))
    uploader.send_all(again, lambda _identifier: b"x")
    uploader.completed(again["uri"])
    assert dtoolcore.DataSet.from_uri(again["uri"]).list_tags() == ["two"]


def test_what_dtool_cannot_keep_there_is_refused(uploader: Uploader) -> None:
    large = item("a", b"") | {"size_in_bytes": 5 * 2**30 + 1}
    for changes in (
        {"items": [large]},
        {"items": [item("/".join(["ü" * 127] * 6), b"")]},
        {"annotations": {"a.b": 1}},
        {"overlays": {"a.b": {}}},
    ):
        answer = uploader.begin(announcement(**changes))
        assert answer.status_code == 422, changes
