"""``/annotations``: the annotations of a dataset."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from api.conftest import on_every_store, on_usual_stores, route
from support.world import BLUE, RED

pytestmark = on_every_store

BAD_NAMES = ["bad name!", "a/b", "ü", "a" * 81, "a\n", "a,b", "%", "\x1b", "😀"]
SOIL = {"annotations": {"soil": "loam"}}


@pytest.fixture
def uri(register):
    return register(annotations={"soil": "loam"})["uri"]


class TestReading:
    def test_all(self, champion, uri):
        answer = champion.get(route("annotations", uri))
        assert (answer.status_code, answer.json) == (200, SOIL)

    def test_none(self, champion, register):
        assert champion.get(route("annotations", register(annotations={})["uri"])).json == {"annotations": {}}

    def test_needs_search_permission(self, champion, nobody, admin, uri, register):
        for client in (nobody, admin):
            assert client.get(route("annotations", uri)).status_code == 403
        assert champion.get(route("annotations", register(BLUE)["uri"])).status_code == 403

    def test_what_is_not_registered(self, champion):
        assert champion.get("/annotations/s3/red/missing").status_code == 404
        assert champion.get("/annotations/s3/unknown/missing").status_code == 403


class TestReplacingAll:
    @pytest.mark.parametrize(
        "annotations", [{}, {"crop": "peas", "yield": [1, 2.5, None, {"a": "b"}]}, {"x": None}], ids=str
    )
    def test_answers_with_the_new_ones_which_are_then_read(self, champion, uri, annotations):
        answer = champion.put(route("annotations", uri), json={"annotations": annotations})
        assert (answer.status_code, answer.json) == (200, {"annotations": annotations})
        assert champion.get(route("annotations", uri)).json == {"annotations": annotations}

    def test_search_follows(self, champion, uri):
        champion.put(route("annotations", uri), json={"annotations": {"crop": "peas"}})
        assert len(champion.get("/uris?free_text=peas").json) == 1
        assert champion.get("/uris?free_text=loam").json == []

    def test_needs_register_permission_alone(self, admin, champion, reader, nobody, uri, register):
        for client in (reader, nobody, admin):
            assert client.put(route("annotations", uri), json={"annotations": {}}).status_code == 403
        blue = register(BLUE)["uri"]
        assert champion.put(route("annotations", blue), json={"annotations": {}}).status_code == 403
        admin.post("/users/nora/register/s3/red")
        assert nobody.put(route("annotations", uri), json={"annotations": {}}).status_code == 200

    def test_what_is_not_registered(self, champion):
        assert champion.put("/annotations/s3/red/missing", json={"annotations": {}}).status_code == 404
        assert champion.put("/annotations/s3/unknown/missing", json={"annotations": {}}).status_code == 403

    @on_usual_stores
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"annotations": None},
            {"annotations": []},
            {"annotations": "x"},
            {"colour": 1},
            {"annotations": {"x": 2**63}},
            {"annotations": {"x": "\0"}},
            {"annotations": {}, "value": 1},
        ],
        ids=str,
    )
    def test_what_is_no_set_of_annotations(self, champion, uri, body):
        assert champion.put(route("annotations", uri), json=body).status_code == 422
        assert champion.get(route("annotations", uri)).json == SOIL

    @on_usual_stores
    @pytest.mark.parametrize("name", [*BAD_NAMES, ""])
    def test_a_name_that_dtool_would_not_take(self, champion, uri, name):
        answer = champion.put(route("annotations", uri), json={"annotations": {"fine": 1, name: 1}})
        assert answer.status_code == 422
        assert champion.get(route("annotations", uri)).json == SOIL


class TestOne:
    @pytest.mark.parametrize(
        "value", ["peas", "", None, 0, 1.5, -(2**63), True, [], {}, [1, [None]], {"a": {"b": None}}], ids=str
    )
    def test_is_set_to_any_value(self, champion, uri, value):
        answer = champion.put(route("annotations", uri, "crop"), json={"value": value})
        assert (answer.status_code, answer.json) == (200, {"annotations": {"soil": "loam", "crop": value}})
        assert champion.get(route("annotations", uri)).json == answer.json
        assert type(answer.json["annotations"]["crop"]) is type(value)

    def test_is_replaced(self, champion, uri):
        answer = champion.put(route("annotations", uri, "soil"), json={"value": "sand"})
        assert answer.json == {"annotations": {"soil": "sand"}}
        assert len(champion.get("/uris?free_text=sand").json) == 1
        assert champion.get("/uris?free_text=loam").json == []

    @pytest.mark.parametrize("request_", [{"json": {}}, {}], ids=["empty object", "no body"])
    def test_without_a_value_nothing_is_set(self, champion, uri, request_):
        answer = champion.put(route("annotations", uri, "crop"), **request_)
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["value"]
        assert champion.get(route("annotations", uri)).json == SOIL

    @on_usual_stores
    @pytest.mark.parametrize(
        "body",
        [{"value": 2**63}, {"value": "\0"}, {"value": 1, "x": 1}, {"values": 1}],
        ids=str,
    )
    def test_what_is_no_value(self, champion, uri, body):
        assert champion.put(route("annotations", uri, "crop"), json=body).status_code == 422
        assert champion.get(route("annotations", uri)).json == SOIL

    def test_is_removed(self, champion, uri):
        champion.put(route("annotations", uri, "crop"), json={"value": "peas"})
        answer = champion.delete(route("annotations", uri, "soil"))
        assert (answer.status_code, answer.json) == (200, {"annotations": {"crop": "peas"}})
        assert champion.get(route("annotations", uri)).json == answer.json
        assert champion.get("/uris?free_text=loam").json == []

    def test_what_is_not_there_is_removed_as_well(self, champion, uri):
        answer = champion.delete(route("annotations", uri, "crop"))
        assert (answer.status_code, answer.json) == (200, SOIL)

    @pytest.mark.parametrize("request_", [{"method": "PUT", "json": {"value": 1}}, {"method": "DELETE"}])
    def test_needs_search_and_register_permission(
        self, admin, champion, reader, nobody, uri, register, request_
    ):
        path = route("annotations", uri, "soil")
        for client in (reader, nobody, admin):
            assert client.open(path, **request_).status_code == 403
        assert champion.open(route("annotations", register(BLUE)["uri"], "x"), **request_).status_code == 403
        admin.post("/users/nora/register/s3/red")
        assert nobody.open(path, **request_).status_code == 403
        admin.post("/users/nora/search/s3/red")
        assert nobody.open(path, **request_).status_code == 200

    @pytest.mark.parametrize("request_", [{"method": "PUT", "json": {"value": 1}}, {"method": "DELETE"}])
    def test_of_what_is_not_registered(self, champion, request_):
        assert champion.open("/annotations/s3/red/missing/x", **request_).status_code == 404
        assert champion.open("/annotations/s3/unknown/missing/x", **request_).status_code == 403

    @on_usual_stores
    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_that_dtool_would_not_take(self, champion, uri, name):
        path = route("annotations", uri, quote(name, safe=""))
        assert champion.put(path, json={"value": 1}).status_code == 422
        assert champion.delete(path).json == SOIL
        assert champion.get(route("annotations", uri)).json == SOIL

    def test_percent_encoding_is_no_part_of_the_name(self, champion, uri):
        answer = champion.put(route("annotations", uri, "%63rop%2D1%2e"), json={"value": 1})
        assert answer.json == {"annotations": {"soil": "loam", "crop-1.": 1}}

    def test_a_name_like_that_of_a_key_of_the_body(self, champion, uri):
        for name in ("value", "annotations"):
            answer = champion.put(route("annotations", uri, name), json={"value": 1})
            assert answer.json["annotations"][name] == 1


class TestWhichIsMeant:
    """``<uri>`` and ``<uri>/<name>`` look alike; the body tells them apart, and what is registered."""

    def test_all_annotations_never_mean_one(self, champion, uri):
        """Even where the URI seems to end earlier."""
        answer = champion.put(route("annotations", uri), json={"annotations": {"x": 1}})
        assert answer.json == {"annotations": {"x": 1}}
        answer = champion.put(route("annotations", uri, "soil"), json={"annotations": {"x": 1}})
        assert answer.status_code == 403  # nothing is registered right below the dataset

    def test_a_value_never_means_all(self, champion, uri):
        assert champion.put(route("annotations", uri), json={"value": 1}).status_code in (403, 404, 422)
        assert champion.get(route("annotations", uri)).json == SOIL

    def test_a_base_uri_within_a_dataset(self, app, admin, champion, register):
        """Unusual, and still told apart."""
        outer = register(uri=f"{RED}/outer", annotations={})["uri"]
        users = {"users_with_search_permissions": ["carl"], "users_with_register_permissions": ["carl"]}
        admin.put(route("base-uris", outer), json=users)
        inner = register(outer, uri=f"{outer}/inner", annotations={})["uri"]
        answer = champion.put(route("annotations", inner), json={"annotations": {"which": "inner"}})
        assert answer.json == {"annotations": {"which": "inner"}}
        answer = champion.put(route("annotations", inner, "which"), json={"value": "still inner"})
        assert answer.json == {"annotations": {"which": "still inner"}}
        assert champion.get(route("annotations", outer)).json == {"annotations": {}}
