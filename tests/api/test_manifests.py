"""``/manifests``: which files a dataset has."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, route
from support.world import BLUE, dataset_info

pytestmark = on_every_store


def test_the_manifest_itself(champion, register):
    info = register()
    answer = champion.get(route("manifests", info["uri"]))
    assert (answer.status_code, answer.json) == (200, info["manifest"])


def test_what_is_in_it_stays_as_it_was_put(champion):
    items = {
        f"{number:040x}": {
            "hash": f"{number:032x}",
            "relpath": f"größe {number}/😀.csv",
            "size_in_bytes": 2**62 + number,
            "utc_timestamp": 1536832115.123456 + number,
        }
        for number in range(300)
    }
    manifest = {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": items}
    info = dataset_info(manifest=manifest)
    assert champion.put(route("uris", info["uri"]), json=info).status_code == 201
    found = champion.get(route("manifests", info["uri"])).json
    assert found == manifest
    assert list(found["items"]) == list(items)


def test_needs_search_permission(champion, nobody, admin, register):
    red, blue = register(), register(BLUE)
    for client in (nobody, admin):
        assert client.get(route("manifests", red["uri"])).status_code == 403
    assert champion.get(route("manifests", blue["uri"])).status_code == 403


def test_what_is_not_registered(champion):
    assert champion.get("/manifests/s3/red/missing").status_code == 404
    assert champion.get("/manifests/s3/unknown/missing").status_code == 403


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_it_never_changes(champion, register, method):
    assert champion.open(route("manifests", register()["uri"]), method=method, json={}).status_code == 405


class TestCompressed:
    """A manifest goes as it is stored to a client that takes zstd, which is told from what it accepts."""

    @pytest.mark.parametrize("accepted", ["zstd", "gzip, deflate, br, zstd", "ZSTD;q=0.5, gzip"])
    def test_as_it_is_stored(self, champion, register, accepted):
        info = register()
        answer = champion.get(route("manifests", info["uri"]), headers={"Accept-Encoding": accepted})
        assert answer.headers["Content-Encoding"] == "zstd"
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json == info["manifest"]

    @pytest.mark.parametrize("accepted", ["", "identity", "gzip", "*", "zstd;q=0", "gzip, zstd;q=0.0"])
    def test_as_it_is_to_others(self, champion, register, accepted):
        info = register()
        answer = champion.get(route("manifests", info["uri"]), headers={"Accept-Encoding": accepted})
        assert "Content-Encoding" not in answer.headers
        assert answer.json == info["manifest"]

    def test_each_has_an_entity_tag_of_its_own(self, champion, register):
        path = route("manifests", register()["uri"])
        tags = {}
        for accepted in ("identity", "zstd"):
            answer = champion.get(path, headers={"Accept-Encoding": accepted})
            assert "Accept-Encoding" in ", ".join(answer.headers.getlist("Vary"))
            tags[accepted] = answer.headers["ETag"]
        assert tags["identity"] != tags["zstd"]
        for accepted, tag in tags.items():
            again = champion.get(path, headers={"Accept-Encoding": accepted, "If-None-Match": tag})
            assert (again.status_code, again.data) == (304, b"")
            assert again.headers["ETag"] == tag
            assert "Accept-Encoding" in ", ".join(again.headers.getlist("Vary"))
            assert "Content-Encoding" not in again.headers
        other = champion.get(path, headers={"Accept-Encoding": "zstd", "If-None-Match": tags["identity"]})
        assert other.status_code == 200

    def test_needs_search_permission(self, champion, nobody, register):
        red, blue = register(), register(BLUE)
        headers = {"Accept-Encoding": "zstd"}
        assert nobody.get(route("manifests", red["uri"]), headers=headers).status_code == 403
        assert champion.get(route("manifests", blue["uri"]), headers=headers).status_code == 403
        assert champion.get("/manifests/s3/red/missing", headers=headers).status_code == 404
