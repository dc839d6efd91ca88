"""``/me``: the user who asks."""

from __future__ import annotations

import pytest

from api.conftest import route
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

EMPTY = {
    "number_of_datasets": 0, "total_size_in_bytes": 0,
    "creator_usernames": [], "base_uris": [], "tags": [], "uploaders": [],
    "datasets_per_creator": {}, "datasets_per_base_uri": {}, "datasets_per_tag": {}, "datasets_per_uploader": {},
    "size_in_bytes_per_creator": {}, "size_in_bytes_per_base_uri": {}, "size_in_bytes_per_tag": {},
    "size_in_bytes_per_uploader": {},
}  # fmt: skip


class TestMe:
    def test_is_the_user_object(self, champion, reader, admin):
        assert champion.get("/me").json == {
            "username": CHAMPION,
            "display_name": None,
            "is_admin": False,
            "search_permissions_on_base_uris": [RED],
            "register_permissions_on_base_uris": [RED],
        }
        assert reader.get("/me").json["search_permissions_on_base_uris"] == [BLUE, RED]
        assert admin.get("/me").json["is_admin"] is True
        assert admin.get("/me").json == admin.get(f"/users/{ADMIN}").json


class TestPatch:
    @pytest.mark.parametrize("name", ["Nora", "", "größe 😀", "x" * 255, None])
    def test_the_display_name(self, nobody, name):
        answer = nobody.patch("/me", json={"display_name": name})
        assert answer.status_code == 200
        assert answer.json == nobody.get("/me").json
        assert answer.json["display_name"] == name

    @pytest.mark.parametrize("request_", [{"json": {}}, {}])
    def test_what_is_absent_is_unchanged(self, nobody, request_):
        nobody.patch("/me", json={"display_name": "Nora"})
        answer = nobody.patch("/me", **request_)
        assert (answer.status_code, answer.json["display_name"]) == (200, "Nora")

    @pytest.mark.parametrize(
        "body",
        [
            {"is_admin": True},
            {"is_admin": False, "display_name": "x"},
            {"username": "x"},
            {"display_name": "x" * 256},
            {"display_name": 1},
            {"search_permissions_on_base_uris": [RED]},
        ],
        ids=str,
    )
    def test_nothing_else(self, nobody, body):
        before = nobody.get("/me").json
        assert nobody.patch("/me", json=body).status_code == 422
        assert nobody.get("/me").json == before

    @pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
    def test_there_is_no_other_way(self, nobody, method):
        assert nobody.open("/me", method=method).status_code == 405


class TestSummary:
    def test_of_nothing_has_every_key(self, nobody, champion):
        assert nobody.get("/me/summary").json == EMPTY
        assert champion.get("/me/summary").json == EMPTY

    def test_counts_what_one_may_search(self, champion, reader, register):
        """A missing size counts 0; who registered by the command line is nobody."""
        info = dataset_info(RED, tags=["a", "b"], size_in_bytes=10, creator_username="amy")
        champion.put(route("uris", info["uri"]), json=info)
        register(RED, tags=["b"], size_in_bytes=None, creator_username="zoe")
        register(BLUE, tags=[], size_in_bytes=2**62, creator_username="amy")
        register(BLUE, tags=["a"], size_in_bytes=2**62, creator_username="amy")
        assert reader.get("/me/summary").json == {
            "number_of_datasets": 4,
            "total_size_in_bytes": 2**63 + 10,
            "creator_usernames": ["amy", "zoe"],
            "base_uris": [BLUE, RED],
            "tags": ["a", "b"],
            "uploaders": [CHAMPION],
            "datasets_per_creator": {"amy": 3, "zoe": 1},
            "datasets_per_base_uri": {BLUE: 2, RED: 2},
            "datasets_per_tag": {"a": 2, "b": 2},
            "datasets_per_uploader": {CHAMPION: 1},
            "size_in_bytes_per_creator": {"amy": 2**63 + 10, "zoe": 0},
            "size_in_bytes_per_base_uri": {BLUE: 2**63, RED: 10},
            "size_in_bytes_per_tag": {"a": 2**62 + 10, "b": 10},
            "size_in_bytes_per_uploader": {CHAMPION: 10},
        }
        assert champion.get("/me/summary").json == {
            "number_of_datasets": 2,
            "total_size_in_bytes": 10,
            "creator_usernames": ["amy", "zoe"],
            "base_uris": [RED],
            "tags": ["a", "b"],
            "uploaders": [CHAMPION],
            "datasets_per_creator": {"amy": 1, "zoe": 1},
            "datasets_per_base_uri": {RED: 2},
            "datasets_per_tag": {"a": 1, "b": 2},
            "datasets_per_uploader": {CHAMPION: 1},
            "size_in_bytes_per_creator": {"amy": 10, "zoe": 0},
            "size_in_bytes_per_base_uri": {RED: 10},
            "size_in_bytes_per_tag": {"a": 10, "b": 10},
            "size_in_bytes_per_uploader": {CHAMPION: 10},
        }

    def test_follows_every_change(self, champion, register):
        first, second = register(tags=["a"], size_in_bytes=1), register(tags=["a"], size_in_bytes=2)
        champion.put(route("tags", first["uri"]), json={"tags": ["b"]})
        assert champion.get("/me/summary").json["size_in_bytes_per_tag"] == {"a": 2, "b": 1}
        champion.put(
            route("uris", second["uri"]), json={**second, "size_in_bytes": 5, "creator_username": "amy"}
        )
        summary = champion.get("/me/summary").json
        assert summary["size_in_bytes_per_creator"] == {"amy": 5, "olga": 1}
        assert summary["datasets_per_uploader"] == {CHAMPION: 1}
        champion.delete(route("uris", first["uri"]))
        champion.delete(route("uris", second["uri"]))
        assert champion.get("/me/summary").json == EMPTY

    def test_follows_permissions(self, admin, nobody, register):
        register()
        admin.post(f"/users/{NOBODY}/search/s3/red")
        assert nobody.get("/me/summary").json["number_of_datasets"] == 1
        admin.delete(f"/users/{NOBODY}/search/s3/red")
        assert nobody.get("/me/summary").json == EMPTY
        assert admin.get(f"/users/{READER}/summary").json["number_of_datasets"] == 1
