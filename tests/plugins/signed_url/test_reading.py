"""Datasets in a directory of the server, read by URLs that are signed."""

from __future__ import annotations

import datetime
import io
import os
import time
import zipfile
from pathlib import Path

import dtoolcore
import pytest

from dservercore.catalog import base_uris
from dservercore.db import commit
from support.world import CHAMPION, NOBODY, READER

from .conftest import FILES, Signed, below, freeze, index, quoted

PODS = "pods/beans.csv"


class TestURLs:
    def test_all_files_of_a_dataset(self, signed: Signed) -> None:
        before = time.time()
        urls = signed.urls()
        assert urls["uri"] == signed.uri
        assert urls["expiry_seconds"] == 3600
        expiry = datetime.datetime.fromisoformat(urls["expiry_timestamp"])
        assert expiry.utcoffset() == datetime.timedelta(0)
        assert before + 3598 < expiry.timestamp() < before + 3610
        assert urls["tags"] == ["kept"]
        assert urls["item_urls"].keys() == signed.paths.keys()
        assert urls["overlay_urls"].keys() == {"is_csv"}
        assert urls["annotation_urls"].keys() == {"soil"}
        for identifier, url in urls["item_urls"].items():
            assert signed.get(below(url)).data == FILES[signed.paths[identifier]]
        assert signed.get(below(urls["readme_url"])).text == "crop: beans\n"
        assert (
            signed.get(below(urls["admin_metadata_url"])).data == (signed.path / ".dtool/dtool").read_bytes()
        )
        manifest = (signed.path / ".dtool/manifest.json").read_bytes()
        assert signed.get(below(urls["manifest_url"])).data == manifest
        assert signed.get(below(urls["annotation_urls"]["soil"])).text == '"loam"'
        assert b"true" in signed.get(below(urls["overlay_urls"]["is_csv"])).data

    def test_they_are_kept_by_nobody(self, signed: Signed) -> None:
        answer = signed.here.send("GET", f"/signed-urls/dataset/{quoted(signed.uri)}")
        assert answer.headers["Cache-Control"] == "no-store"

    def test_one_item(self, signed: Signed) -> None:
        one = signed.identifier[PODS]
        answer = signed.here.send("GET", f"/signed-urls/item/{quoted(signed.uri)}/{one}").get_json()
        assert answer.keys() == {"uri", "identifier", "expiry_seconds", "expiry_timestamp", "url"}
        assert (answer["uri"], answer["identifier"]) == (signed.uri, one)
        assert signed.get(below(answer["url"])).data == FILES[PODS]

    @pytest.mark.parametrize("identifier", ["0" * 40, "..", "%00", "%2e%2e%2fdtool", "x" * 5000, "%ed%a0%80"])
    def test_an_item_that_is_not_there(self, signed: Signed, identifier: str) -> None:
        answer = signed.here.send("GET", f"/signed-urls/item/{quoted(signed.uri)}/{identifier}")
        assert answer.status_code in (403, 404)
        assert answer.get_json()["message"]

    def test_what_is_not_registered(self, signed: Signed) -> None:
        there = f"/signed-urls/dataset/{quoted(signed.base_uri)}%2F{'0' * 8}-0000-4000-8000-{'0' * 12}"
        assert signed.here.send("GET", there).status_code == 404
        for nowhere in ("s3%3A%2F%2Fnowhere%2Fx", "nonsense", "file:///etc/passwd", "s3/b/u"):
            assert signed.here.send("GET", f"/signed-urls/dataset/{nowhere}").status_code == 403
            assert signed.here.send("GET", f"/signed-urls/item/{nowhere}/{'0' * 40}").status_code == 403

    def test_for_who_may_not_search_it_it_is_as_if_it_were_not_there(self, signed: Signed) -> None:
        others = signed.here.send("GET", f"/signed-urls/dataset/{quoted(signed.uri)}", NOBODY)
        none = signed.here.send("GET", f"/signed-urls/dataset/{quoted(signed.base_uri)}%2Fnone", NOBODY)
        assert (others.status_code, others.get_json()) == (none.status_code, none.get_json())
        assert others.status_code == 403

    @pytest.mark.parametrize(
        "base_uri", ["azure://beans", "file://elsewhere.example/beans", "symlink:///beans"]
    )
    def test_a_storage_for_which_nothing_can_be_signed(self, signed: Signed, base_uri: str) -> None:
        uri = _registered(signed, base_uri)
        for path in (f"dataset/{quoted(uri)}", f"item/{quoted(uri)}/{ITEM}"):
            answer = signed.here.send("GET", f"/signed-urls/{path}")
            assert answer.status_code == 501, answer.text
            assert base_uri in answer.get_json()["message"]

    def test_a_directory_that_is_out_of_reach(
        self, signed: Signed, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        uri = _registered(signed, f"file://{tmp_path}/unmounted")
        answer = signed.here.send("GET", f"/signed-urls/dataset/{quoted(uri)}")
        assert answer.status_code == 501
        assert "unmounted" in answer.get_json()["message"]
        assert "No such file or directory" in caplog.text

    def test_more_items_than_are_signed_at_once(
        self, signed: Signed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(signed.here.app.config, "SIGNED_URL_MAX_ITEMS", 3)
        answer = signed.here.send("GET", f"/signed-urls/dataset/{quoted(signed.uri)}")
        assert answer.status_code == 501
        assert "ask for each item" in answer.get_json()["message"]
        assert signed.get(signed.item_url(PODS)).data == FILES[PODS]

    def test_below_the_address_that_others_know(
        self, signed: Signed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(signed.here.app.config, "DSERVER_EXTERNAL_URL", "https://lookup.example.org/d")
        assert signed.urls()["readme_url"].startswith("https://lookup.example.org/d/signed-urls/files/")

    def test_whoever_comes_where_it_is_public(self, signed: Signed) -> None:
        there = f"/signed-urls/dataset/{quoted(signed.uri)}"
        assert signed.get(there).status_code == 401
        _publish(signed, True)
        try:
            url = below(signed.get(there).get_json()["readme_url"])
            assert signed.get(url).text == "crop: beans\n"
        finally:
            _publish(signed, False)
        assert signed.get(url).status_code == 403


ITEM = "e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3"


def _registered(signed: Signed, base_uri: str) -> str:
    from support.world import dataset_info

    info = dataset_info(base_uri)
    with signed.here.app.app_context():
        base_uris.put_base_uri(base_uri, [CHAMPION], [CHAMPION])
        commit()
    answer = signed.here.send("PUT", f"/uris/{quoted(info['uri'])}", json=info)
    assert answer.status_code == 201, answer.text
    return str(info["uri"])


def _publish(signed: Signed, public: bool) -> None:
    with signed.here.app.app_context():
        base_uris.set_public(signed.base_uri, public)
        commit()


class TestFiles:
    def test_headers(self, signed: Signed) -> None:
        answer = signed.get(signed.item_url("evil.html"))
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="evil.html"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Length"] == str(len(FILES["evil.html"]))

    def test_a_name_beyond_ascii(self, signed: Signed) -> None:
        disposition = signed.get(signed.item_url("notes, ünï¢ode.txt")).headers["Content-Disposition"]
        assert disposition == (
            'attachment; filename="notes, _n__ode.txt"'
            "; filename*=UTF-8''notes%2C%20%C3%BCn%C3%AF%C2%A2ode.txt"
        )

    def test_an_empty_file(self, signed: Signed) -> None:
        answer = signed.get(signed.item_url("empty"))
        assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")
        assert signed.get(signed.item_url("empty"), Range="bytes=0-").data == b""

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [
            ("0-0", 0, 1),
            ("5-9", 5, 10),
            ("-7", -7, None),
            ("17999-", 17999, None),
            ("3-99999999999", 3, None),
        ],
    )
    def test_a_part(self, signed: Signed, asked: str, start: int, end: int | None) -> None:
        whole = FILES[PODS]
        answer = signed.get(signed.item_url(PODS), Range=f"bytes={asked}")
        assert answer.status_code == 206
        assert answer.data == whole[start:end]
        first = start % len(whole)
        last = first + len(answer.data) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
        assert answer.headers["Content-Length"] == str(len(answer.data))

    @pytest.mark.parametrize(
        "asked", ["18000-", "0-1,4-5", ",".join("0-1" for _ in range(5000)), "9" * 400 + "-"]
    )
    def test_a_part_that_there_is_none_of(self, signed: Signed, asked: str) -> None:
        answer = signed.get(signed.item_url(PODS), Range=f"bytes={asked}")
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(FILES[PODS])}"
        assert answer.get_json()["message"]

    @pytest.mark.parametrize(
        "asked", ["bytes=x-y", "bytes=5-1", "pods=1-2", "bytes", "=", "bytes=--1", "bytes=-"]
    )
    def test_what_is_no_range_counts_for_nothing(self, signed: Signed, asked: str) -> None:
        answer = signed.get(signed.item_url(PODS), Range=asked)
        assert answer.status_code in (200, 416)
        assert answer.status_code == 416 or answer.data == FILES[PODS]

    def test_what_the_client_has_already(self, signed: Signed) -> None:
        url = signed.item_url(PODS)
        answer = signed.get(url)
        tag, changed = answer.headers["ETag"], answer.headers["Last-Modified"]
        assert signed.get(url, If_None_Match=tag).status_code == 304
        assert signed.get(url, If_Modified_Since=changed).status_code == 304
        assert signed.get(url, If_Range=tag, Range="bytes=0-3").data == FILES[PODS][:4]
        assert signed.get(url, If_Range='"another"', Range="bytes=0-3").data == FILES[PODS]
        assert signed.get(url, If_Match='"another"').status_code == 412

    def test_pages_of_other_sites_may_ask_for_a_part(self, signed: Signed) -> None:
        url = signed.item_url(PODS)
        asks = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
        allowed = signed.here.client.options(url, headers={**asks, "Access-Control-Request-Headers": "range"})
        assert allowed.headers["Access-Control-Allow-Origin"] in ("*", asks["Origin"])
        assert "range" in allowed.headers["Access-Control-Allow-Headers"].lower()
        answer = signed.get(url, Origin="https://app.example.org", Range="bytes=0-1")
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", asks["Origin"])

    def test_the_head_alone(self, signed: Signed) -> None:
        answer = signed.get(signed.item_url(PODS), "HEAD")
        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(FILES[PODS]))

    def test_descriptors_are_closed(self, signed: Signed) -> None:
        url = signed.item_url(PODS)
        for method, headers in [("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=99999-"})]:
            signed.get(url, method, **headers).close()
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                signed.get(url, method, **headers).close()
            assert len(os.listdir("/proc/self/fd")) <= before + 3

    def test_a_file_that_changes_meanwhile_is_not_sent_to_its_end(
        self, signed: Signed, tmp_path: Path
    ) -> None:
        uri = _another(signed, tmp_path, {"large": b"x" * 2**20})
        (url,) = signed.urls(uri)["item_urls"].values()
        answer = signed.here.client.get(below(url), buffered=False)
        pieces = iter(answer.response)
        assert next(pieces)
        large = tmp_path / "base" / "more" / "data" / "large"
        large.write_bytes(b"y" * 2**20)
        with pytest.raises(OSError, match="changed"):
            list(pieces)


def _another(signed: Signed, folder: Path, files: dict[str, bytes]) -> str:
    """Register another dataset, in a base URI of its own."""
    base = folder / "base"
    base.mkdir()
    uri = freeze(base, "more", files)
    index(signed.here, uri.rpartition("/")[0], CHAMPION)
    return uri


class TestArchives:
    def test_it_is_a_dataset(self, signed: Signed, tmp_path: Path) -> None:
        answer = signed.get(below(signed.urls()["archive_url"]))
        assert answer.headers["Content-Type"] == "application/zip"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="bean-harvest.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path)
        dataset = dtoolcore.DataSet.from_uri(str(tmp_path / "bean-harvest"))
        assert dataset.uuid == dtoolcore.DataSet.from_uri(signed.uri).uuid
        assert dataset.get_readme_content() == "crop: beans\n"
        assert dataset.list_tags() == ["kept"]
        assert dataset.get_annotation("soil") == "loam"
        assert dataset.list_overlay_names() == ["is_csv"]
        for identifier in dataset.identifiers:
            path = dataset.item_properties(identifier)["relpath"]
            assert Path(dataset.item_content_abspath(identifier)).read_bytes() == FILES[path]

    def test_for_who_may_search_it(self, signed: Signed) -> None:
        url = below(signed.urls(username=READER)["archive_url"])
        assert signed.get(url, "HEAD").status_code == 200
        assert signed.get(url.replace("/archive/", "/files/")).status_code == 403

    def test_it_breaks_off_where_a_file_is_missing(self, signed: Signed, tmp_path: Path) -> None:
        uri = _another(signed, tmp_path, {"a": b"beans", "b": b"pods"})
        url = below(signed.urls(uri)["archive_url"])
        (tmp_path / "base" / "more" / "data" / "b").unlink()
        answer = signed.here.client.get(url, buffered=False)
        with pytest.raises(Exception, match="no such file"):
            b"".join(answer.response)

    def test_a_dataset_that_is_gone_is_answered_at_once(self, signed: Signed, tmp_path: Path) -> None:
        uri = _another(signed, tmp_path, {"a": b"beans"})
        url = below(signed.urls(uri)["archive_url"])
        (tmp_path / "base" / "more").rename(tmp_path / "base" / "elsewhere")
        assert signed.get(url).status_code == 501


class TestOtherSites:
    """A web application of another site asks for URLs, reads parts of files, and sees which they are."""

    SITE = "https://app.example.org"

    def preflight(self, signed: Signed, path: str, method: str, headers: str) -> None:
        asked = {
            "Origin": self.SITE,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        }
        answer = signed.here.client.options(path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == self.SITE
        assert answer.headers["Access-Control-Allow-Headers"] == headers
        assert method in answer.headers["Access-Control-Allow-Methods"]

    def test_parts_of_a_file(self, signed: Signed) -> None:
        item = f"/signed-urls/item/{quoted(signed.uri)}/{signed.identifier[PODS]}"
        self.preflight(signed, item, "GET", "authorization, content-type")
        url = signed.item_url(PODS)
        self.preflight(signed, url, "GET", "range")
        answer = signed.get(url, Range="bytes=0-3", Origin=self.SITE)
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert answer.headers["Access-Control-Allow-Origin"] == self.SITE
        assert {"Content-Range", "Content-Disposition"} <= {*exposed} & {*answer.headers.keys()}
