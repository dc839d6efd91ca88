"""``/manifests``: which files a dataset has."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, route
from world import BLUE, dataset_info

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
