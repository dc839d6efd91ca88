"""``/users``: registering users, and granting them permissions."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, on_usual_stores, route
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

pytestmark = on_every_store


def user(username, display_name=None, is_admin=False, search=(), register=()):
    return {
        "username": username,
        "display_name": display_name,
        "is_admin": is_admin,
        "search_permissions_on_base_uris": list(search),
        "register_permissions_on_base_uris": list(register),
    }


CARL = user(CHAMPION, search=[RED], register=[RED])
RITA = user(READER, search=[BLUE, RED])
NORA = user(NOBODY)
ADA = user(ADMIN, is_admin=True)


class TestReading:
    def test_everybody(self, admin):
        answer = admin.get("/users")
        assert (answer.status_code, answer.json) == (200, [ADA, CARL, NORA, RITA])

    def test_one(self, admin):
        assert admin.get(f"/users/{CHAMPION}").json == CARL
        assert admin.get(f"/users/{ADMIN}").json == ADA

    def test_yourself(self, champion, nobody):
        assert champion.get(f"/users/{CHAMPION}").json == CARL
        assert nobody.get(f"/users/{NOBODY}").json == NORA

    def test_others_are_none_of_your_business(self, champion):
        for path in (
            "/users",
            f"/users/{READER}",
            "/users/unknown",
            f"/users/{READER}/summary",
            "/users/unknown/summary",
        ):
            assert champion.get(path).status_code == 403

    def test_whoever_is_not_registered(self, admin):
        assert admin.get("/users/unknown").status_code == 404
        assert admin.get("/users/unknown/summary").status_code == 404
        assert admin.get(f"/users/{CHAMPION.upper()}").status_code == 404


class TestPut:
    def test_201_for_a_new_user_and_200_for_a_known_one(self, admin):
        first, second = (admin.put("/users/new", json={}) for _ in range(2))
        assert (first.status_code, first.json) == (201, "")
        assert (second.status_code, second.json) == (200, "")
        assert admin.get("/users/new").json == user("new")

    def test_without_a_body(self, admin):
        assert admin.put("/users/new").status_code == 201
        assert admin.get("/users/new").json == user("new")

    @pytest.mark.parametrize(
        "body", [{"is_admin": True, "display_name": "New"}, {"username": "other"}, {"username": ""}]
    )
    def test_its_properties(self, admin, body):
        assert admin.put("/users/new", json=body).status_code == 201
        assert admin.get("/users/new").json == user(
            "new", body.get("display_name"), body.get("is_admin", False)
        )
        assert admin.get("/users/other").status_code == 404

    @pytest.mark.parametrize("word", [True, "yes", "true", "True", "on", "1", 1, "y", "t"])
    def test_words_that_mean_yes(self, admin, word):
        admin.put("/users/new", json={"is_admin": word})
        assert admin.get("/users/new").json["is_admin"] is True

    @pytest.mark.parametrize("word", [False, "no", "false", "off", "0", 0, "n"])
    def test_words_that_mean_no(self, admin, word):
        admin.put("/users/new", json={"is_admin": word})
        assert admin.get("/users/new").json["is_admin"] is False

    def test_leaving_is_admin_out_revokes_it(self, admin):
        admin.put("/users/new", json={"is_admin": True})
        admin.put("/users/new", json={})
        assert admin.get("/users/new").json["is_admin"] is False

    def test_leaving_the_display_name_out_keeps_it_and_null_clears_it(self, admin):
        admin.put("/users/new", json={"display_name": "New"})
        admin.put("/users/new", json={})
        assert admin.get("/users/new").json["display_name"] == "New"
        admin.put("/users/new", json={"display_name": None})
        assert admin.get("/users/new").json["display_name"] is None

    def test_permissions_are_kept(self, admin):
        admin.put(f"/users/{CHAMPION}", json={"display_name": "Carl"})
        assert admin.get(f"/users/{CHAMPION}").json == {**CARL, "display_name": "Carl"}

    @on_usual_stores
    @pytest.mark.parametrize(
        "body",
        [
            {"is_admin": None},
            {"is_admin": "perhaps"},
            {"is_admin": 2},
            {"is_admin": []},
            {"username": "x" * 65},
            {"username": 1},
            {"username": None},
            {"display_name": "x" * 256},
            {"display_name": 1},
            {"display_name": "\0"},
            {"email": "new@example.org"},
        ],
        ids=str,
    )
    def test_what_is_no_property(self, admin, body):
        assert admin.put("/users/new", json=body).status_code == 422
        assert admin.get("/users/new").status_code == 404

    @on_usual_stores
    @pytest.mark.parametrize("name", ["x" * 65, "a%0Ab", "a%1Bb", "%7F"])
    def test_what_is_no_user_name(self, admin, name):
        answer = admin.put(f"/users/{name}", json={})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["username"]
        assert len(admin.get("/users").json) == 4

    @pytest.mark.parametrize(
        "name", ["x" * 64, "größe", "a b", "0000-0002-1825-0097", "a@example.org", "%F0%9F%98%80", "..."]
    )
    def test_unusual_user_names(self, admin, name):
        assert admin.put(f"/users/{name}", json={}).status_code == 201
        assert admin.get(f"/users/{name}").status_code == 200
        assert admin.post(f"/users/{name}/search/s3/red").status_code == 200
        assert admin.get(f"/users/{name}/summary").status_code == 200
        assert admin.delete(f"/users/{name}").status_code == 200

    def test_needs_an_administrator(self, champion):
        assert champion.put(f"/users/{CHAMPION}", json={"is_admin": True}).status_code == 403


class TestPatch:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, user("new", "New")),
            ({"is_admin": True}, user("new", "New", is_admin=True)),
            ({"is_admin": None}, user("new", "New")),
            ({"display_name": "Newer"}, user("new", "Newer")),
            ({"display_name": None}, user("new", None)),
            ({"display_name": ""}, user("new", "")),
            ({"display_name": "x" * 255, "is_admin": "yes"}, user("new", "x" * 255, is_admin=True)),
        ],
        ids=str,
    )
    def test_changes_what_is_given_and_nothing_else(self, admin, changes, expected):
        admin.put("/users/new", json={"display_name": "New"})
        answer = admin.patch("/users/new", json=changes)
        assert (answer.status_code, answer.json) == (200, expected)
        assert admin.get("/users/new").json == expected

    def test_what_is_absent_or_null_leaves_an_administrator_one(self, admin):
        admin.put("/users/new", json={"is_admin": True})
        for changes in ({}, {"is_admin": None}, {"display_name": "New"}):
            assert admin.patch("/users/new", json=changes).json["is_admin"] is True
        assert admin.patch("/users/new", json={"is_admin": False}).json["is_admin"] is False

    def test_permissions_are_kept(self, admin):
        answer = admin.patch(f"/users/{CHAMPION}", json={"is_admin": True})
        assert answer.json == {**CARL, "is_admin": True}

    @on_usual_stores
    @pytest.mark.parametrize(
        "body",
        [{"username": "x"}, {"display_name": "x" * 256}, {"is_admin": "perhaps"}, {"display_name": 1}],
        ids=str,
    )
    def test_what_is_no_change(self, admin, body):
        assert admin.patch(f"/users/{CHAMPION}", json=body).status_code == 422
        assert admin.get(f"/users/{CHAMPION}").json == CARL

    def test_whoever_is_not_registered(self, admin):
        assert admin.patch("/users/unknown", json={}).status_code == 404

    def test_needs_an_administrator(self, champion):
        assert champion.patch(f"/users/{CHAMPION}", json={"is_admin": True}).status_code == 403


class TestDelete:
    def test_a_user_with_all_permissions_but_not_the_datasets(self, admin, champion, reader, register):
        answer = admin.delete(f"/users/{CHAMPION}")
        assert (answer.status_code, answer.json) == (200, "")
        assert admin.get(f"/users/{CHAMPION}").status_code == 404
        assert admin.get("/base-uris/s3/red").json == {
            "base_uri": RED,
            "users_with_search_permissions": [READER],
            "users_with_register_permissions": [],
        }
        uri = register()["uri"]
        assert reader.get(route("uris", uri)).status_code == 200

    def test_datasets_still_say_who_registered_them(self, admin, champion, reader):
        info = dataset_info()
        champion.put(route("uris", info["uri"]), json=info)
        admin.delete(f"/users/{CHAMPION}")
        assert reader.get(route("uris", info["uri"])).json["uploaded_by"] == CHAMPION
        assert reader.get("/me/summary").json["uploaders"] == [CHAMPION]

    def test_a_user_of_the_same_name_starts_anew(self, admin):
        admin.put(f"/users/{CHAMPION}", json={"display_name": "Carl"})
        admin.delete(f"/users/{CHAMPION}")
        admin.put(f"/users/{CHAMPION}", json={})
        assert admin.get(f"/users/{CHAMPION}").json == user(CHAMPION)

    def test_whoever_is_not_registered_is_deleted_as_well(self, admin):
        assert admin.delete("/users/unknown").status_code == 200
        assert admin.delete("/users/unknown").json == ""

    def test_needs_an_administrator(self, champion):
        assert champion.delete(f"/users/{CHAMPION}").status_code == 403


class TestLastAdministrator:
    """Who could nobody else make an administrator again, is neither deleted nor demoted."""

    @pytest.mark.parametrize(
        "request_",
        [
            {"method": "DELETE"},
            {"method": "PUT", "json": {}},
            {"method": "PUT", "json": {"is_admin": False}},
            {"method": "PATCH", "json": {"is_admin": False, "display_name": "x"}},
        ],
        ids=str,
    )
    def test_stays(self, admin, request_):
        answer = admin.open(f"/users/{ADMIN}", **request_)
        assert answer.status_code == 409
        assert ADMIN in answer.json["message"]
        assert admin.get(f"/users/{ADMIN}").json == ADA

    @pytest.mark.parametrize(
        "request_",
        [
            {"method": "DELETE"},
            {"method": "PUT", "json": {}},
            {"method": "PATCH", "json": {"is_admin": False}},
        ],
        ids=str,
    )
    def test_any_other_may_go_and_then_has_nothing_more_to_say(self, admin, request_):
        admin.put("/users/new", json={"is_admin": True})
        assert admin.open(f"/users/{ADMIN}", **request_).status_code == 200
        assert admin.get("/users").status_code in (401, 403)

    def test_may_be_changed_otherwise(self, admin):
        assert admin.patch(f"/users/{ADMIN}", json={"display_name": "Ada"}).status_code == 200
        assert admin.put(f"/users/{ADMIN}", json={"is_admin": True, "display_name": "A"}).status_code == 200
        assert admin.get(f"/users/{ADMIN}").json == {**ADA, "display_name": "A"}


@pytest.mark.parametrize("kind", ["search", "register"])
class TestPermissions:
    def test_are_granted_and_revoked(self, admin, kind):
        key = f"{kind}_permissions_on_base_uris"
        answer = admin.post(f"/users/{NOBODY}/{kind}/s3/blue")
        assert (answer.status_code, answer.json) == (200, {**NORA, key: [BLUE]})
        answer = admin.post(f"/users/{NOBODY}/{kind}/s3/red")
        assert answer.json == {**NORA, key: [BLUE, RED]}
        assert admin.get(f"/users/{NOBODY}").json == answer.json
        assert NOBODY in admin.get("/base-uris/s3/red").json[f"users_with_{kind}_permissions"]
        answer = admin.delete(f"/users/{NOBODY}/{kind}/s3/blue")
        assert (answer.status_code, answer.json) == (200, {**NORA, key: [RED]})

    def test_a_second_grant_is_a_conflict(self, admin, kind):
        assert admin.post(f"/users/{CHAMPION}/{kind}/s3/red").status_code == 409
        assert admin.get(f"/users/{CHAMPION}").json == CARL

    def test_what_was_not_granted_is_revoked_as_well(self, admin, kind):
        for _ in range(2):
            answer = admin.delete(f"/users/{NOBODY}/{kind}/s3/red")
            assert (answer.status_code, answer.json) == (200, NORA)

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_on_what_is_not_registered(self, admin, kind, method):
        answer = admin.open(f"/users/{NOBODY}/{kind}/s3/unknown", method=method)
        assert answer.status_code == 404
        assert "s3://unknown" in answer.json["message"]
        answer = admin.open(f"/users/unknown/{kind}/s3/red", method=method)
        assert answer.status_code == 404
        assert "unknown" in answer.json["message"]
        # The base URI is looked at first.
        answer = admin.open(f"/users/unknown/{kind}/s3/unknown", method=method)
        assert "s3://unknown" in answer.json["message"]

    def test_bodies_are_ignored(self, admin, kind):
        assert admin.post(f"/users/{NOBODY}/{kind}/s3/blue", json={"colour": "red"}).status_code == 200
        answer = admin.delete(f"/users/{NOBODY}/{kind}/s3/blue", data="{", content_type="application/json")
        assert answer.status_code == 200

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_need_an_administrator(self, champion, kind, method):
        assert champion.open(f"/users/{CHAMPION}/{kind}/s3/blue", method=method).status_code == 403

    def test_take_effect_at_once(self, admin, nobody, kind, register):
        uri = register()["uri"]
        admin.post(f"/users/{NOBODY}/{kind}/s3/red")
        assert nobody.get(route("uris", uri)).status_code == (200 if kind == "search" else 403)
        assert nobody.delete(route("uris", uri)).status_code == (200 if kind == "register" else 403)


class TestSummary:
    def test_is_about_the_user_who_is_named(self, admin, champion, reader, register):
        register(RED)
        register(BLUE)
        assert admin.get(f"/users/{CHAMPION}/summary").json["number_of_datasets"] == 1
        assert admin.get(f"/users/{READER}/summary").json["number_of_datasets"] == 2
        assert admin.get(f"/users/{ADMIN}/summary").json["number_of_datasets"] == 0
        assert champion.get(f"/users/{CHAMPION}/summary").json == champion.get("/me/summary").json
