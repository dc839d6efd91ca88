"""``/groups``: users who are granted the same together, and why somebody may do something."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from api.conftest import on_every_store, on_usual_stores, pagination, route
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

pytestmark = on_every_store


def group(name, members=(), search=(), register=()):
    return {
        "group": name,
        "members": list(members),
        "search_permissions_on_base_uris": list(search),
        "register_permissions_on_base_uris": list(register),
    }


def because(name, what, directly=False, groups=(), public=False):
    return {what: name, "directly": directly, "groups": list(groups), "public": public}


@pytest.fixture
def lab(admin):
    """A group of nobody in particular, who may search RED by it."""
    assert admin.put("/groups/lab").status_code == 201
    assert admin.put(f"/groups/lab/members/{NOBODY}").status_code == 201
    assert admin.post(f"/groups/lab/search/{RED}").status_code == 200
    return "/groups/lab"


class TestGroups:
    def test_201_for_a_new_one_and_200_for_a_known_one(self, admin):
        first, second = (admin.put("/groups/lab") for _ in range(2))
        assert (first.status_code, first.json) == (201, "")
        assert (second.status_code, second.json) == (200, "")
        assert admin.get("/groups/lab").json == group("lab")

    def test_are_listed_by_name(self, admin):
        assert admin.get("/groups").json == []
        for name in ("lab", "Zoo", "ärzte", "imaging"):
            admin.put(f"/groups/{name}")
        answer = admin.get("/groups?page_size=3")
        assert [each["group"] for each in answer.json] == ["Zoo", "imaging", "lab"]
        assert pagination(answer)["total"] == 4
        backwards = admin.get("/groups?sort=-group").json
        assert [each["group"] for each in backwards] == ["ärzte", "lab", "imaging", "Zoo"]

    def test_one_has_its_members_and_permissions(self, admin, lab):
        admin.put(f"{lab}/members/{READER}")
        answer = admin.post(f"{lab}/register/{BLUE}")
        expected = group("lab", [NOBODY, READER], [RED], [BLUE])
        assert (answer.status_code, answer.json) == (200, expected)
        assert admin.get(lab).json == expected
        assert admin.get("/groups").json == [expected]

    def test_what_is_not_there(self, admin, lab):
        for method, path in (
            ("GET", "/groups/none"),
            ("PUT", f"/groups/none/members/{NOBODY}"),
            ("PUT", f"{lab}/members/stranger"),
            ("DELETE", f"{lab}/members/stranger"),
            ("POST", f"/groups/none/search/{RED}"),
            ("POST", f"{lab}/search/s3://unknown"),
            ("DELETE", f"/groups/none/register/{RED}"),
            ("DELETE", f"{lab}/register/s3://unknown"),
        ):
            assert admin.open(path, method=method).status_code == 404, path
        assert admin.delete("/groups/none").status_code == 200
        assert admin.get(lab).json == group("lab", [NOBODY], [RED])

    def test_what_is_there_already(self, admin, lab):
        assert admin.put(f"{lab}/members/{NOBODY}").status_code == 200
        refused = admin.post(f"{lab}/search/{RED}")
        assert (refused.status_code, refused.json["message"]) == (
            409,
            "Group 'lab' already has search permissions",
        )

    @on_usual_stores
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("LAB", "group: differs from that of group 'lab' in upper and lower case alone"),
            ("%20lab", "group: must not begin or end with a space"),
            ("a%E2%80%8Bb", "group: contains a control character, or one that nobody sees (U+200B)"),
            ("x" * 65, "group: must have 1 to 64 characters"),
            ("..%2F", None),
        ],
    )
    def test_names_that_no_group_may_have(self, admin, lab, name, reason):
        answer = admin.put(f"/groups/{name}")
        if reason is None:
            assert answer.status_code == 404
        else:
            assert (answer.status_code, answer.json["message"]) == (422, reason)
        assert [each["group"] for each in admin.get("/groups").json] == ["lab"]

    @on_usual_stores
    @pytest.mark.parametrize("name", ["Zoë's", "50%25", "日本", "a:b", "group", "-"])
    def test_names_that_one_may_have(self, admin, name):
        assert admin.put(f"/groups/{name}").status_code == 201
        assert admin.put(f"/groups/{name}/members/{NOBODY}").status_code == 201
        assert admin.get(f"/groups/{name}").json["members"] == [NOBODY]
        assert admin.delete(f"/groups/{name}").status_code == 200
        assert admin.get("/groups").json == []

    @on_usual_stores
    def test_a_name_is_the_same_however_its_accents_are_written(self, admin):
        assert admin.put("/groups/Zoe\u0308").status_code == 201
        assert admin.put("/groups/Zo\u00eb").status_code == 200
        assert admin.put(f"/groups/Zoe\u0308/members/{NOBODY}").status_code == 201
        assert admin.get("/groups/Zoe\u0308").json == group("Zo\u00eb", [NOBODY])
        assert admin.delete("/groups/Zoe\u0308").status_code == 200
        assert admin.get("/groups").json == []

    def test_are_none_of_anybody_elses_business(self, champion, lab):
        for method, path in (
            ("GET", "/groups"),
            ("GET", lab),
            ("PUT", "/groups/new"),
            ("DELETE", lab),
            ("PUT", f"{lab}/members/{CHAMPION}"),
            ("DELETE", f"{lab}/members/{NOBODY}"),
            ("POST", f"{lab}/register/{BLUE}"),
            ("DELETE", f"{lab}/search/{RED}"),
            ("GET", f"{route('base-uris', RED)}/audience"),
        ):
            assert champion.open(path, method=method).status_code == 403, path


class TestMembers:
    def test_may_what_the_group_may(self, admin, nobody, lab):
        info = dataset_info(RED)
        admin.post(f"{lab}/register/{RED}")
        assert nobody.put(route("uris", info["uri"]), json=info).status_code == 201
        assert [each["uri"] for each in nobody.get("/uris").json] == [info["uri"]]
        assert nobody.get(route("readmes", info["uri"])).status_code == 200
        assert nobody.put(route("readmes", info["uri"]), json={"readme": "new"}).status_code == 200
        assert nobody.get("/me/summary").json["number_of_datasets"] == 1

    @pytest.mark.parametrize("taken", ["membership", "permission", "group"])
    def test_may_it_no_longer_when_it_is_taken_away(self, admin, champion, nobody, lab, taken):
        info = dataset_info(RED)
        champion.put(route("uris", info["uri"]), json=info)
        assert nobody.get(route("readmes", info["uri"])).status_code == 200
        path = {"membership": f"/members/{NOBODY}", "permission": f"/search/{RED}", "group": ""}[taken]
        assert admin.delete(f"{lab}{path}").status_code == 200
        assert nobody.get(route("readmes", info["uri"])).status_code == 403
        assert nobody.get("/uris").json == []
        assert nobody.get("/me").json["search_permissions_on_base_uris"] == []

    def test_keep_what_they_have_otherwise(self, admin, reader, lab):
        admin.put("/groups/other")
        for name in ("lab", "other"):
            admin.put(f"/groups/{name}/members/{READER}")
            admin.post(f"/groups/{name}/search/{RED}")
        for path in ("/groups/lab", f"/groups/other/search/{RED}"):
            admin.delete(path)
            assert reader.get("/me").json["search_permissions_on_base_uris"] == [BLUE, RED]

    def test_see_what_is_effective_and_others_what_is_granted_to_them(self, admin, nobody, lab):
        assert nobody.get("/me").json["search_permissions_on_base_uris"] == [RED]
        assert nobody.patch("/me", json={"display_name": "N"}).json["search_permissions_on_base_uris"] == [
            RED
        ]
        assert admin.get(f"/users/{NOBODY}").json["search_permissions_on_base_uris"] == []
        assert NOBODY not in admin.get(route("base-uris", RED)).json["users_with_search_permissions"]

    def test_go_when_the_user_is_deleted(self, admin, lab):
        admin.delete(f"/users/{NOBODY}")
        assert admin.get("/audit?action=user.delete").json[0]["details"]["groups"] == ["lab"]
        assert admin.get(lab).json["members"] == []
        admin.put(f"/users/{NOBODY}")
        assert admin.get(lab).json["members"] == []

    def test_permissions_go_when_the_base_uri_is_deleted(self, admin, lab):
        assert admin.delete(f"{route('base-uris', RED)}?with_datasets=true").status_code == 200
        assert admin.get("/audit?action=base_uri.delete").json[0]["details"]["search_groups"] == ["lab"]
        assert admin.get(lab).json == group("lab", [NOBODY])
        admin.put(route("base-uris", RED))
        assert admin.get(lab).json == group("lab", [NOBODY])


class TestWhy:
    def test_a_user_may_something(self, admin, nobody, lab):
        admin.post(f"/users/{NOBODY}/search/{RED}")
        admin.post(f"{lab}/register/{BLUE}")
        expected = {
            "username": NOBODY,
            "is_admin": False,
            "is_service": False,
            "groups": ["lab"],
            "search": [because(RED, "base_uri", True, ["lab"])],
            "register": [because(BLUE, "base_uri", False, ["lab"])],
            "would_change": None,
        }
        for client in (admin, nobody):
            answer = client.get(f"/users/{NOBODY}/permissions")
            assert (answer.status_code, answer.json) == (200, expected)

    def test_is_told_to_oneself_and_to_administrators(self, champion):
        assert champion.get(f"/users/{CHAMPION}/permissions").status_code == 200
        assert champion.get(f"/users/{READER}/permissions").status_code == 403
        assert champion.get(f"/users/{CHAMPION}/permissions?member_of=lab").status_code == 403

    def test_somebody_sees_a_base_uri(self, admin, lab):
        answer = admin.get(f"{route('base-uris', RED)}/audience").json
        assert answer["search"] == [
            because(CHAMPION, "username", True),
            because(NOBODY, "username", False, ["lab"]),
            because(READER, "username", True),
        ]
        assert answer["register"] == [because(CHAMPION, "username", True)]
        assert (answer["base_uri"], answer["public"], answer["would_change"]) == (RED, False, None)
        assert admin.get("/base-uris/s3/unknown/audience").status_code == 404

    def test_a_base_uri_whose_name_ends_like_the_route_is_looked_up(self, app, admin, tokens):
        path = "/base-uris/s3/red/audience"
        assert admin.put(path, json={"users_with_search_permissions": [NOBODY]}).status_code == 201
        # By the path alone, the OpenAPI document promises the other answer.
        unchecked, headers = FlaskClient(app), {"Authorization": f"Bearer {tokens[ADMIN]}"}
        assert unchecked.get(path, headers=headers).json == {
            "base_uri": f"{RED}/audience",
            "users_with_search_permissions": [NOBODY],
            "users_with_register_permissions": [],
        }
        assert [each["username"] for each in admin.get(f"{path}/audience").json["search"]] == [NOBODY]
        assert admin.delete(path).status_code == 200
        assert admin.get(path).json["base_uri"] == RED

    def test_what_is_public_is_there_for_everybody(self, admin, nobody, lab):
        admin.put(route("base-uris", RED), json={"public": True})
        admin.put(route("base-uris", BLUE), json={"public": True})
        shown = nobody.get(f"/users/{NOBODY}/permissions").json
        assert shown["search"] == [
            because(BLUE, "base_uri", public=True),
            because(RED, "base_uri", False, ["lab"], public=True),
        ]
        assert shown["register"] == []
        audience = admin.get(f"{route('base-uris', RED)}/audience").json
        assert audience["public"] is True
        assert audience["search"] == [
            because(ADMIN, "username", public=True),
            because(CHAMPION, "username", True, public=True),
            because(NOBODY, "username", False, ["lab"], public=True),
            because(READER, "username", True, public=True),
        ]
        assert audience["register"] == [because(CHAMPION, "username", True)]

    @on_usual_stores
    def test_what_is_public_is_neither_gained_nor_lost(self, admin, lab):
        admin.put(route("base-uris", RED), json={"public": True})
        nothing = {kind: {"gained": [], "lost": []} for kind in ("search", "register")}
        for query in (f"grant=search:{NOBODY}", f"revoke=search:{READER}", "revoke=search:group/lab"):
            answer = admin.get(f"{route('base-uris', RED)}/audience?{query}").json
            assert answer["would_change"] == nothing
        for query in (f"grant=search:{RED}", f"revoke=search:{RED}", "member_of=lab"):
            assert admin.get(f"/users/{READER}/permissions?{query}").json["would_change"] == nothing
        answer = admin.get(f"{route('base-uris', RED)}/audience?grant=register:{NOBODY}").json
        assert answer["would_change"] == {**nothing, "register": {"gained": [NOBODY], "lost": []}}

    @on_usual_stores
    @pytest.mark.parametrize(
        ("query", "search", "register"),
        [
            (f"grant=search:{BLUE}", ([BLUE], []), ([], [])),
            (f"grant=search:{RED}", ([], []), ([], [])),
            (f"grant=register:{RED}&grant=register:{BLUE}", ([], []), ([BLUE, RED], [])),
            (f"revoke=search:{RED}", ([], []), ([], [])),
            ("member_of=rich", ([BLUE], []), ([BLUE], [])),
            ("member_of=lab", ([], []), ([], [])),
        ],
    )
    def test_what_would_change_for_a_user(self, admin, lab, query, search, register):
        admin.put("/groups/rich")
        for kind in ("search", "register"):
            admin.post(f"/groups/rich/{kind}/{BLUE}")
        before = admin.get(f"/users/{NOBODY}/permissions").json
        answer = admin.get(f"/users/{NOBODY}/permissions?{query}").json
        assert answer.pop("would_change") == {
            "search": {"gained": search[0], "lost": search[1]},
            "register": {"gained": register[0], "lost": register[1]},
        }
        assert {**answer, "would_change": None} == before
        assert admin.get(f"/users/{NOBODY}/permissions").json == before

    @on_usual_stores
    @pytest.mark.parametrize(
        ("query", "search", "register"),
        [
            (f"grant=search:{ADMIN}", ([ADMIN], []), ([], [])),
            (f"grant=register:group/lab&revoke=register:{CHAMPION}", ([], []), ([NOBODY], [CHAMPION])),
            ("revoke=search:group/lab", ([], [NOBODY]), ([], [])),
            (f"revoke=search:{READER}&member_of={READER}/lab", ([], []), ([], [])),
            (f"member_of={ADMIN}/lab", ([ADMIN], []), ([], [])),
        ],
    )
    def test_what_would_change_for_a_base_uri(self, admin, lab, query, search, register):
        path = f"{route('base-uris', RED)}/audience"
        before = admin.get(path).json
        assert admin.get(f"{path}?{query}").json["would_change"] == {
            "search": {"gained": search[0], "lost": search[1]},
            "register": {"gained": register[0], "lost": register[1]},
        }
        assert admin.get(path).json == before

    @on_usual_stores
    @pytest.mark.parametrize(
        ("path", "field", "reason"),
        [
            (
                f"/users/{NOBODY}/permissions?grant=read:{RED}",
                "grant",
                "must begin with search: or register:",
            ),
            (
                f"/users/{NOBODY}/permissions?revoke=search:s3://no",
                "revoke",
                "Base URI 's3://no' is not registered",
            ),
            (f"/users/{NOBODY}/permissions?member_of=none", "member_of", "There is no group 'none'"),
            ("/base-uris/s3/red/audience?grant=search:who", "grant", "User 'who' is not registered"),
            ("/base-uris/s3/red/audience?grant=search:group/no", "grant", "There is no group 'no'"),
            ("/base-uris/s3/red/audience?member_of=x", "member_of", "There is no group ''"),
        ],
    )
    def test_a_change_that_makes_no_sense(self, admin, path, field, reason):
        answer = admin.get(path)
        assert (answer.status_code, answer.json["errors"]) == (422, {"query": {field: [reason]}})


@on_usual_stores
def test_what_is_done_to_groups_is_on_record(admin, lab):
    admin.delete(f"{lab}/search/{RED}")
    admin.delete(f"{lab}/members/{NOBODY}")
    admin.delete(lab)
    records = admin.get("/audit?action=group.&sort=%2Bat").json
    assert [(each["action"], each["subject"], each["base_uri"], each["details"]) for each in records] == [
        ("group.create", "lab", None, {}),
        ("group.add_member", "lab", None, {"user": NOBODY}),
        ("group.grant_search", "lab", RED, {}),
        ("group.revoke_search", "lab", RED, {}),
        ("group.remove_member", "lab", None, {"user": NOBODY}),
        (
            "group.delete",
            "lab",
            None,
            {
                "members": [],
                "search_permissions_on_base_uris": [],
                "register_permissions_on_base_uris": [],
            },
        ),
    ]
    assert {each["actor"] for each in records} == {ADMIN}
