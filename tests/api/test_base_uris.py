"""``/base-uris``: the places that hold datasets, and who may do what there."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, on_usual_stores, pagination, route
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED

pytestmark = on_every_store

SEARCH, REGISTER = "users_with_search_permissions", "users_with_register_permissions"


def base_uri(uri, search=(), register=(), public=False):
    shown = {"base_uri": uri, SEARCH: list(search), REGISTER: list(register)}
    return {**shown, "public": True} if public else shown


RED_OBJECT = base_uri(RED, [CHAMPION, READER], [CHAMPION])

NOT_BASE_URIS = [
    "garbage",
    "red",
    "s3",
    "s3%3A",
    "s3%3A%2F%2F",
    "%2Fdata",
    "C:%5Cdata",
    "s3%3A%2F%2Fa%0Ab",
    "s3://" + "x" * 1020,
]


class TestReading:
    def test_the_list_has_their_names_alone(self, admin):
        answer = admin.get("/base-uris")
        assert (answer.status_code, answer.json) == (200, [{"base_uri": BLUE}, {"base_uri": RED}])

    def test_one_has_its_users(self, admin):
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT
        assert admin.get("/base-uris/s3/blue").json == base_uri(BLUE, [READER])

    def test_what_is_not_registered(self, admin):
        assert admin.get("/base-uris/s3/unknown").status_code == 404


class TestPut:
    def test_201_for_a_new_one_and_200_for_a_known_one(self, admin):
        first, second = (admin.put("/base-uris/s3/green", json={}) for _ in range(2))
        assert (first.status_code, first.json) == (201, "")
        assert (second.status_code, second.json) == (200, "")
        assert admin.get("/base-uris/s3/green").json == base_uri("s3://green")

    def test_without_a_body(self, admin):
        assert admin.put("/base-uris/s3/green").status_code == 201

    @pytest.mark.parametrize(
        "uri",
        ["s3://green", "file:///data/x", "file://lab-pc/data", "ecs://b", "azure://a/b", "s3://a.b_c-d"],
    )
    def test_any_scheme(self, admin, uri):
        path = "/base-uris/" + uri.replace("/", "%2F")
        assert admin.put(path, json={SEARCH: [NOBODY]}).status_code == 201
        assert admin.get(path).json == base_uri(uri, [NOBODY])

    def test_permissions_are_replaced_and_what_is_left_out_stays(self, admin):
        assert (
            admin.put("/base-uris/s3/red", json={SEARCH: [NOBODY], REGISTER: [READER, NOBODY]}).status_code
            == 200
        )
        assert admin.get("/base-uris/s3/red").json == base_uri(RED, [NOBODY], [NOBODY, READER])
        admin.put("/base-uris/s3/red", json={REGISTER: [CHAMPION]})
        assert admin.get("/base-uris/s3/red").json == base_uri(RED, [NOBODY], [CHAMPION])
        admin.put("/base-uris/s3/red", json={SEARCH: []})
        assert admin.get("/base-uris/s3/red").json == base_uri(RED, [], [CHAMPION])
        for request in ({"json": {}}, {}):
            assert admin.put("/base-uris/s3/red", **request).status_code == 200
            assert admin.get("/base-uris/s3/red").json == base_uri(RED, [], [CHAMPION])
        assert admin.get("/base-uris/s3/blue").json == base_uri(BLUE, [READER])

    def test_permissions_take_effect_at_once(self, admin, champion, nobody, register):
        uri = register()["uri"]
        admin.put("/base-uris/s3/red", json={SEARCH: [NOBODY]})
        assert nobody.get(route("uris", uri)).status_code == 200
        assert champion.get(route("uris", uri)).status_code == 403

    def test_the_path_wins_over_the_body(self, admin):
        assert admin.put("/base-uris/s3/green", json={"base_uri": "s3://other"}).status_code == 201
        assert admin.get("/base-uris/s3/green").status_code == 200
        assert admin.get("/base-uris/s3/other").status_code == 404

    def test_what_the_server_gives_can_be_put(self, admin):
        assert admin.put("/base-uris/s3/red", json=admin.get("/base-uris/s3/red").json).status_code == 200
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT

    def test_a_user_named_twice_has_the_permission_once(self, admin):
        assert admin.put("/base-uris/s3/green", json={SEARCH: [NOBODY, NOBODY]}).status_code == 201
        assert admin.get("/base-uris/s3/green").json == base_uri("s3://green", [NOBODY])

    @pytest.mark.parametrize("key", [SEARCH, REGISTER])
    @pytest.mark.parametrize("path", ["/base-uris/s3/green", "/base-uris/s3/red"])
    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_an_unknown_user_is_named_and_nothing_is_stored(self, admin, key, path, method):
        answer = admin.open(path, method=method, json={key: [NOBODY, "unknown", "missing"]})
        if method == "POST" and path.endswith("red"):
            assert answer.status_code == 409
        else:
            assert answer.status_code == 422
            (reason,) = answer.json["errors"]["json"][key]
            assert "unknown" in reason
            assert "missing" in reason
            assert NOBODY not in reason
        assert admin.get("/base-uris/s3/green").status_code == 404
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT

    @on_usual_stores
    @pytest.mark.parametrize(
        "body", [{SEARCH: None}, {SEARCH: NOBODY}, {REGISTER: [1]}, {"users": []}, {"base_uri": 1}], ids=str
    )
    def test_what_is_no_list_of_users(self, admin, body):
        for method in ("PUT", "POST"):
            assert admin.open("/base-uris/s3/green", method=method, json=body).status_code == 422
        assert admin.get("/base-uris/s3/green").status_code == 404

    @on_usual_stores
    @pytest.mark.parametrize("path", NOT_BASE_URIS)
    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_what_is_no_base_uri(self, admin, path, method):
        """Least of all one that the server would complete from its own host and directory."""
        answer = admin.open(f"/base-uris/{path}", method=method, json={})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["base_uri"]
        assert len(admin.get("/base-uris").json) == 2

    def test_a_slash_at_the_end_makes_no_other_base_uri(self, admin):
        assert admin.put("/base-uris/s3%3A%2F%2Fred%2F", json={}).status_code == 200
        assert admin.put("/base-uris/s3%3A%2F%2Fgreen%2F", json={}).status_code == 201
        assert [found["base_uri"] for found in admin.get("/base-uris").json] == [BLUE, "s3://green", RED]


class TestPost:
    def test_creates(self, admin):
        answer = admin.post("/base-uris/s3/green", json={SEARCH: [READER, NOBODY], REGISTER: [NOBODY]})
        assert answer.status_code == 201
        assert answer.json == base_uri("s3://green", [NOBODY, READER], [NOBODY])
        assert admin.get("/base-uris/s3/green").json == answer.json

    def test_without_a_body(self, admin):
        answer = admin.post("/base-uris/s3%3A%2F%2Fgreen")
        assert (answer.status_code, answer.json) == (201, base_uri("s3://green"))

    def test_what_exists_is_a_conflict_and_stays_as_it_is(self, admin):
        answer = admin.post("/base-uris/s3/red", json={SEARCH: [NOBODY]})
        assert answer.status_code == 409
        assert RED in answer.json["message"]
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT


class TestDelete:
    def test_one_without_datasets(self, admin):
        answer = admin.delete("/base-uris/s3/red")
        assert (answer.status_code, answer.json) == (200, "")
        assert admin.get("/base-uris/s3/red").status_code == 404
        assert admin.get(f"/users/{CHAMPION}").json["search_permissions_on_base_uris"] == []
        assert admin.get(f"/users/{CHAMPION}").json["register_permissions_on_base_uris"] == []

    def test_what_is_not_registered_is_deleted_as_well(self, admin):
        assert admin.delete("/base-uris/s3/unknown").status_code == 200
        assert admin.delete("/base-uris/s3/unknown?with_datasets=true").json == ""

    @pytest.mark.parametrize(("number", "said"), [(1, "1 dataset"), (3, "3 datasets")])
    @pytest.mark.parametrize("query", ["", "?with_datasets=false", "?with_datasets=no"])
    def test_one_with_datasets_is_a_conflict_that_says_how_many(
        self, admin, champion, register, number, said, query
    ):
        for _ in range(number):
            register()
        answer = admin.delete(f"/base-uris/s3/red{query}")
        assert answer.status_code == 409
        assert said in answer.json["message"]
        assert len(champion.get("/uris").json) == number
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT

    @pytest.mark.parametrize("word", ["true", "True", "1", "yes", "on"])
    def test_with_its_datasets_from_every_store(self, admin, champion, reader, register, word):
        register(BLUE)
        gone = [register() for _ in range(3)]
        assert admin.delete(f"/base-uris/s3/red?with_datasets={word}").status_code == 200
        for path in ("/uris", "/uris?free_text=beans", "/uris?tags=beans"):
            assert [dataset["base_uri"] for dataset in reader.get(path).json] == [BLUE]
        assert reader.get("/me/summary").json["number_of_datasets"] == 1
        # Made again, it is empty: nothing of the old datasets comes back.
        admin.put("/base-uris/s3/red", json={SEARCH: [CHAMPION], REGISTER: [CHAMPION]})
        for path in ("/uris", "/uris?free_text=beans"):
            assert champion.get(path).json == []
        for info in gone:
            for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
                assert champion.get(route(resource, info["uri"])).status_code == 404
        assert champion.put(route("uris", gone[0]["uri"]), json=gone[0]).status_code == 201
        assert pagination(champion.get("/uris?free_text=beans"))["total"] == 1

    def test_what_is_neither_yes_nor_no(self, admin):
        answer = admin.delete("/base-uris/s3/red?with_datasets=perhaps")
        assert answer.status_code == 422
        assert list(answer.json["errors"]["query"]) == ["with_datasets"]
        assert admin.get("/base-uris/s3/red").status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_only_administrators(champion, admin, method):
    assert champion.open("/base-uris/s3/red", method=method, json={}).status_code == 403
    assert champion.get("/base-uris").status_code == 403
    assert admin.get("/base-uris/s3/red").json == RED_OBJECT
    assert admin.get("/me").json["username"] == ADMIN


class TestPublic:
    def test_none_is_unless_somebody_says_so(self, admin):
        assert admin.post("/base-uris/s3/green").json == base_uri("s3://green")
        assert admin.post("/base-uris/s3/open", json={"public": True}).json["public"] is True
        assert admin.put("/base-uris/s3/brown", json={"public": True}).status_code == 201
        assert admin.get("/base-uris/s3/brown").json == base_uri("s3://brown", public=True)

    def test_it_is_changed_alone(self, admin):
        for public in (True, True, False, True):
            assert admin.put("/base-uris/s3/red", json={"public": public}).status_code == 200
            assert admin.get("/base-uris/s3/red").json == {
                **RED_OBJECT,
                **({"public": True} if public else {}),
            }

    def test_it_stays_when_it_is_not_mentioned(self, admin):
        admin.put("/base-uris/s3/red", json={"public": True})
        admin.put("/base-uris/s3/red", json={SEARCH: []})
        admin.put("/base-uris/s3/red")
        assert admin.get("/base-uris/s3/red").json == base_uri(RED, [], [CHAMPION], public=True)

    def test_the_list_says_which_are(self, admin):
        admin.put("/base-uris/s3/red", json={"public": True})
        assert admin.get("/base-uris").json == [{"base_uri": BLUE}, {"base_uri": RED, "public": True}]

    @pytest.mark.parametrize("public", [True, False])
    def test_what_is_shown_can_be_put_again(self, admin, public):
        admin.put("/base-uris/s3/red", json={"public": public})
        shown = admin.get("/base-uris/s3/red").json
        assert ("public" in shown) == public
        admin.put("/base-uris/s3/red", json={"public": False, SEARCH: [], REGISTER: []})
        assert admin.put("/base-uris/s3/red", json=shown).status_code == 200
        assert admin.get("/base-uris/s3/red").json == shown

    def test_what_the_list_shows_can_be_put_again(self, admin):
        admin.put("/base-uris/s3/red", json={"public": True})
        for shown in admin.get("/base-uris").json:
            path = route("base-uris", shown["base_uri"])
            before = admin.get(path).json
            shown["last_indexed"] = {"started_at": 1.5, "reason": None}
            assert admin.put(path, json=shown).status_code == 200
            assert admin.get(path).json == before

    @pytest.mark.parametrize("value", [None, "perhaps", "", 2, [], {}, [True], "public"])
    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_what_is_neither_true_nor_false_changes_nothing(self, admin, method, value):
        for name in ("red", "green"):
            path = f"/base-uris/s3/{name}"
            before = admin.get(path).json
            answer = admin.open(path, method=method, json={"public": value, SEARCH: []})
            assert answer.status_code == 422
            assert list(answer.json["errors"]["json"]) == ["public"]
            assert admin.get(path).json == before

    def test_a_user_who_is_not_registered_keeps_it_from_being_opened(self, admin):
        assert admin.put("/base-uris/s3/red", json={"public": True, SEARCH: ["unknown"]}).status_code == 422
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT

    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_only_administrators_open_one(self, champion, admin, method):
        for path in ("/base-uris/s3/red", "/base-uris/s3/unknown"):
            assert champion.open(path, method=method, json={"public": True}).status_code == 403
        assert admin.get("/base-uris/s3/red").json == RED_OBJECT

    def test_everybody_may_search_it_then(self, admin, nobody):
        admin.put("/base-uris/s3/red", json={"public": True})
        for answer in (nobody.get("/me"), nobody.patch("/me", json={})):
            assert answer.json["search_permissions_on_base_uris"] == [RED]
            assert answer.json["register_permissions_on_base_uris"] == []
        assert admin.get(f"/users/{NOBODY}").json["search_permissions_on_base_uris"] == []

    def test_one_that_is_deleted_and_added_again_is_closed(self, admin, anonymous):
        admin.put("/base-uris/s3/green", json={"public": True})
        assert anonymous.get("/uris").status_code == 200
        admin.delete("/base-uris/s3/green")
        admin.put("/base-uris/s3/green")
        assert admin.get("/base-uris/s3/green").json == base_uri("s3://green")
        assert anonymous.get("/uris").status_code == 401
