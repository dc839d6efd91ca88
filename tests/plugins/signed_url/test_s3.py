"""Datasets in a bucket, read by requests that S3 takes because they are signed."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dtoolcore
import pytest
import requests

from dservercore.plugins.signed_url.settings import parse_rewrite
from support.s3_server import Storage, client
from support.world import CHAMPION, NOBODY
from support.worlds import World, world

from .conftest import FILES, below, freeze, index, paths_of, quoted

pytestmark = pytest.mark.long

PREFIX = "u/carl/"


class Bucket:
    """A dataset in a bucket of a server."""

    def __init__(self, here: World, server: Storage, name: str, uri: str):
        self.here, self.server, self.name, self.uri = here, server, name, uri

    def urls(self) -> dict[str, object]:
        answer = self.here.send("GET", f"/signed-urls/dataset/{quoted(self.uri)}")
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.get_json()
        return found


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("bucket")
    server = Storage(folder / "log")
    name = f"harvest{uuid.uuid4().hex}"
    with pytest.MonkeyPatch.context() as patched, world(folder, key_pair) as here:
        patched.setenv(f"DTOOL_S3_ENDPOINT_{name}", server.address)
        patched.setenv(f"DTOOL_S3_ACCESS_KEY_ID_{name}", "test")
        patched.setenv(f"DTOOL_S3_SECRET_ACCESS_KEY_{name}", "test")
        patched.setenv(f"DTOOL_S3_DATASET_PREFIX_{name}", PREFIX)
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client(server).create_bucket(Bucket=name)
        uri = freeze(folder, "bean-harvest", base_uri=f"s3://{name}")
        index(here, f"s3://{name}", CHAMPION)
        yield Bucket(here, server, name, uri)
    server.process.terminate()
    server.process.wait(timeout=30)


def test_every_file_is_read_from_s3(bucket: Bucket) -> None:
    urls = bucket.urls()
    assert urls["tags"] == ["kept"]
    items, paths = urls["item_urls"], paths_of(bucket.uri)
    assert isinstance(items, dict)
    assert items.keys() == paths.keys()
    for identifier, url in items.items():
        assert url.startswith(f"{bucket.server.address}/{bucket.name}/{PREFIX}")
        answer = requests.get(url, timeout=30)
        assert (answer.status_code, answer.content) == (200, FILES[paths[identifier]])
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    html = next(one for one, path in paths.items() if path == "evil.html")
    assert requests.get(items[html], timeout=30).headers["Content-Disposition"].endswith('"evil.html"')
    assert requests.get(str(urls["readme_url"]), timeout=30).text == "crop: beans\n"
    uuid_of = requests.get(str(urls["admin_metadata_url"]), timeout=30).json()["uuid"]
    assert bucket.uri.endswith(uuid_of)
    assert requests.get(str(urls["manifest_url"]), timeout=30).json()["items"].keys() == paths.keys()
    for kind, name, start in (("overlay_urls", "is_csv", "{"), ("annotation_urls", "soil", '"loam"')):
        found = urls[kind]
        assert isinstance(found, dict)
        assert found.keys() == {name}
        assert requests.get(found[name], timeout=30).text.startswith(start)


def test_they_are_signed_for_a_time_and_a_method(bucket: Bucket) -> None:
    query = parse_qs(urlsplit(str(bucket.urls()["readme_url"])).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["3600"]
    assert len(query["X-Amz-Signature"][0]) == 64
    assert "test" not in query["X-Amz-Signature"][0]


def test_one_item(bucket: Bucket) -> None:
    identifier, path = next(iter(paths_of(bucket.uri).items()))
    there = f"/signed-urls/item/{quoted(bucket.uri)}/"
    answer = bucket.here.send("GET", there + identifier)
    assert requests.get(answer.get_json()["url"], timeout=30).content == FILES[path]
    assert bucket.here.send("GET", f"{there}{'0' * 40}").status_code == 404
    assert bucket.here.send("GET", there + identifier, NOBODY).status_code == 403


def test_all_of_it(bucket: Bucket, tmp_path: Path) -> None:
    answer = bucket.here.client.get(below(str(bucket.urls()["archive_url"])))
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    dataset = dtoolcore.DataSet.from_uri(str(tmp_path / "bean-harvest"))
    assert bucket.uri.endswith(dataset.uuid)
    for identifier in dataset.identifiers:
        path = dataset.item_properties(identifier)["relpath"]
        assert Path(dataset.item_content_abspath(identifier)).read_bytes() == FILES[path]


@pytest.mark.parametrize("are_hosts", [True, False])
def test_under_the_name_that_others_know(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, are_hosts: bool
) -> None:
    inside, outside = bucket.server.address, "http://localhost:9000"
    pair = [address.removeprefix("http://") if are_hosts else address for address in (inside, outside)]
    monkeypatch.setitem(bucket.here.app.config, "SIGNED_URL_HOST_REWRITE", parse_rewrite("|".join(pair)))
    url = str(bucket.urls()["readme_url"])
    assert url.startswith(f"{outside}/{bucket.name}/")
    monkeypatch.setitem(bucket.here.app.config, "SIGNED_URL_HOST_REWRITE", parse_rewrite("minio:9000|x:1"))
    assert str(bucket.urls()["readme_url"]).startswith(f"{inside}/")


@pytest.mark.parametrize("text", ["a", "a|", "|", "a|b|c", "http://a|b", "a b|c", "http://a|ftp://b"])
def test_a_rewrite_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_rewrite(text)


def test_a_bucket_that_is_out_of_reach(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    other = f"s3://{uuid.uuid4().hex}"
    from support.world import dataset_info

    index_nothing(bucket.here, other)
    info = dataset_info(other)
    assert bucket.here.send("PUT", f"/uris/{quoted(info['uri'])}", json=info).status_code == 201
    monkeypatch.setenv(f"DTOOL_S3_ENDPOINT_{other[5:]}", "http://127.0.0.1:9")
    monkeypatch.setenv(f"DTOOL_S3_ACCESS_KEY_ID_{other[5:]}", "test")
    monkeypatch.setenv(f"DTOOL_S3_SECRET_ACCESS_KEY_{other[5:]}", "test")
    answer = bucket.here.send("GET", f"/signed-urls/dataset/{quoted(info['uri'])}")
    assert answer.status_code == 501
    assert "127.0.0.1" not in answer.text


def index_nothing(here: World, base_uri: str) -> None:
    from dservercore import sql_db
    from dservercore.catalog import base_uris

    with here.app.app_context():
        base_uris.put_base_uri(base_uri, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
