"""Requests that could be taken for something else than they ask for: they are refused, and nothing is done."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import unquote

import pytest

from api.conftest import on_sql_alone, pagination, route
from support.world import BLUE, CHAMPION, NOBODY, READER, RED

pytestmark = on_sql_alone

FORM = "application/x-www-form-urlencoded"
PERMISSIONS = {"users_with_search_permissions": [READER], "users_with_register_permissions": [CHAMPION]}


class TestDeclaredBodies:
    """A body counts if it is declared as JSON; otherwise the client hears how to declare it."""

    REQUESTS = [
        ("PUT", "/base-uris/s3/red", '{"users_with_search_permissions":["rita"]}'),
        ("POST", "/base-uris/s3/green", '{"users_with_search_permissions":["rita"]}'),
        ("PUT", "/users/dora", '{"is_admin":true}'),
        ("PATCH", f"/users/{NOBODY}", '{"is_admin":true}'),
        ("POST", "/uris", '{"free_text":"zebrafish"}'),
        ("PATCH", "/me", '{"display_name":"Ada"}'),
    ]
    TYPES = [
        FORM,
        "text/plain",
        "text/json",
        "application/x-ndjson",
        "multipart/form-data; boundary=x",
        "json",
        None,
    ]

    @pytest.mark.parametrize("content_type", TYPES)
    @pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
    def test_another_type_is_a_415_and_nothing_is_done(self, admin, method, path, body, content_type):
        before = [admin.get(path).json for path in ("/users", "/base-uris", "/base-uris/s3/red")]
        answer = admin.open(path, method=method, data=body, content_type=content_type)
        assert answer.status_code == 415
        assert "Content-Type: application/json" in answer.json["message"]
        assert [admin.get(path).json for path in ("/users", "/base-uris", "/base-uris/s3/red")] == before

    @pytest.mark.parametrize("path", ["uris", "readmes", "tags", "annotations"])
    def test_of_datasets_too(self, champion, register, path):
        uri = register()["uri"]
        before = champion.get(route(path, uri)).json
        answer = champion.put(route(path, uri), data='{"readme": "x", "tags": []}', content_type=FORM)
        assert (answer.status_code, champion.get(route(path, uri)).json) == (415, before)
        answer = champion.put(route("annotations", uri, "soil"), data='{"value": 1}', content_type=FORM)
        assert answer.status_code == 415

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=UTF-8",
            "application/vnd.lab+json",
            "application/merge-patch+json; a=b",
        ],
    )
    def test_json_by_any_of_its_names(self, admin, content_type):
        answer = admin.put("/users/dora", data='{"is_admin": true}', content_type=content_type)
        assert (answer.status_code, admin.get("/users/dora").json["is_admin"]) == (201, True)

    @pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "GZIP, identity"])
    def test_a_compressed_body(self, admin, encoding):
        answer = admin.put("/users/dora", json={}, headers={"Content-Encoding": encoding})
        assert answer.status_code == 415
        assert answer.headers["Accept-Encoding"] == "identity"
        assert admin.put("/users/dora", json={}, headers={"Content-Encoding": "identity"}).status_code == 201

    def test_a_body_in_chunks(self, admin):
        def put(content, content_type, **environ):
            chunks = {"wsgi.input_terminated": True, **environ}
            headers = {"Transfer-Encoding": "chunked", "Content-Type": content_type}
            return admin.put("/users/dora", input_stream=content, headers=headers, environ_overrides=chunks)

        assert put(BytesIO(b"is_admin=1"), FORM).status_code == 415
        assert put(BytesIO(b'{"is_admin": true}'), "application/json").status_code == 201
        assert admin.get("/users/dora").json["is_admin"] is True
        assert put(BytesIO(b""), FORM).status_code == 200
        assert admin.get("/users/dora").json["is_admin"] is False

    def test_a_body_in_chunks_that_the_server_does_not_hand_over(self, admin):
        headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
        assert admin.put("/users/dora", headers=headers).status_code == 400

    def test_who_may_not_ask_hears_that_first(self, anonymous, nobody):
        assert anonymous.put("/users/dora", data="x", content_type=FORM).status_code == 401
        assert nobody.put("/users/dora", data="x", content_type=FORM).status_code == 403

    def test_a_route_that_needs_no_body_takes_any(self, admin, champion, register):
        assert admin.post(f"/users/{CHAMPION}/search/s3/blue", data="x", content_type=FORM).status_code == 200
        assert admin.delete("/users/nobody-is-called-so", data="x", content_type=FORM).status_code == 200
        assert (
            champion.post(route("tags", register()["uri"], "new"), data="x", content_type=FORM).status_code
            == 200
        )
        assert champion.get("/uris", data="x", content_type=FORM).status_code == 200

    @pytest.mark.parametrize("content_type", [FORM, "application/json", None])
    def test_no_body_is_no_wish(self, admin, content_type):
        assert admin.put("/base-uris/s3/red", data=b"", content_type=content_type).status_code == 200
        assert set(admin.get("/base-uris/s3/red").json["users_with_search_permissions"]) == {CHAMPION, READER}

    def test_a_byte_order_mark_is_skipped(self, admin):
        body = b'\xef\xbb\xbf{"is_admin": true}'
        assert admin.put("/users/dora", data=body, content_type="application/json").status_code == 201
        assert admin.get("/users/dora").json["is_admin"] is True


class TestQueryParameters:
    """One that there is not is named, with the one that is meant."""

    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("tag=simulation", "tags"),
            ("q=zebrafish", "free_text"),
            ("query=zebrafish", "free_text"),
            ("Tags=x", "tags"),
            ("tags[]=x", "tags"),
            ("freetext=x", "free_text"),
            ("base_uri=s3://red", "base_uris"),
            ("uuid=x", "uuids"),
            ("limit=5", "page_size"),
            ("pageSize=5", "page_size"),
            ("per_page=5", "page_size"),
            ("offset=5", "page"),
            ("creator_username=x", "creator_usernames"),
            ("order_by=name", "sort"),
            ("tag", "tags"),
            ("tag=a&tag=b&tags=c", "tags"),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_of_a_search(self, champion, method, given, meant):
        answer = champion.open(f"/uris?{given}", method=method)
        name = given.partition("=")[0]
        assert answer.status_code == 422
        assert name in answer.json["errors"]["query"]
        if method == "GET" or meant in ("page", "page_size", "sort"):  # POST takes filters in its body
            assert f"Did you mean {meant}?" in answer.json["message"]
        assert name in answer.json["message"]

    @pytest.mark.parametrize("given", ["page=1", "x=1", "colour=red", "include=matches"])
    def test_none_is_proposed_where_none_is_like_it(self, champion, given):
        message = champion.get(f"/uris.csv?{given}").json["message"]
        assert "Unknown parameter. There are " in message
        assert "Did you mean" not in message

    @pytest.mark.parametrize("path", ["/uris", "/uris.csv", "/uris.ndjson", "/uris/facets"])
    def test_an_error_is_said_of_where_the_value_is(self, champion, path):
        text = "word " * 300
        assert list(champion.get(path, query_string={"free_text": text}).json["errors"]) == ["query"]
        assert list(champion.post(path, json={"free_text": text}).json["errors"]) == ["json"]

    @pytest.mark.parametrize(
        "path",
        [
            *["/me", "/me/summary", "/config/info", "/config/versions", "/config/health", "/config/ready"],
            *["/uuids/x", f"/users/{CHAMPION}", f"/users/{CHAMPION}/summary"],
        ],
    )
    def test_of_any_route(self, champion, anonymous, path):
        answer = champion.get(f"{path}?x=1")
        assert (answer.status_code, set(answer.json["errors"]["query"])) == (422, {"x"})
        assert champion.get(path).status_code == 200
        assert champion.head(f"{path}?x=1").status_code == 422

    def test_of_requests_that_change_something(self, admin, champion, register):
        uri = register()["uri"]
        for client, method, path in (
            (admin, "DELETE", "/base-uris/s3/blue?with_dataset=true"),
            (admin, "DELETE", f"/users/{NOBODY}?force=1"),
            (admin, "PUT", "/users/dora?is_admin=true"),
            (admin, "PUT", "/base-uris/s3/green?users_with_search_permissions=rita"),
            (admin, "POST", f"/users/{NOBODY}/search/s3/red?x"),
            (champion, "DELETE", f"{route('uris', uri)}?x=1"),
            (champion, "POST", f"{route('tags', uri, 'new')}?x=1"),
            (champion, "DELETE", f"{route('annotations', uri, 'soil')}?x=1"),
            (champion, "PUT", f"{route('readmes', uri)}?readme=x"),
            (champion, "POST", "/uris/bulk?dry_run=true"),
        ):
            assert client.open(path, method=method).status_code == 422, path
        assert admin.get("/users/dora").status_code == admin.get("/base-uris/s3/green").status_code == 404
        assert admin.get("/base-uris/s3/blue").status_code == admin.get(f"/users/{NOBODY}").status_code == 200
        assert champion.get(route("annotations", uri)).json == {"annotations": {"soil": "loam"}}

    def test_what_belongs_into_the_body(self, admin):
        for method, path, name in (
            ("POST", "/uris?tags=x", "tags"),
            ("PUT", "/users/dora?is_admin=true", "is_admin"),
            ("PATCH", "/me?display_name=Ada", "display_name"),
        ):
            answer = admin.open(path, method=method)
            expected = {name: ["Unknown parameter: it belongs into the JSON body."]}
            assert (answer.status_code, answer.json["errors"]["query"]) == (422, expected)

    def test_two_values_where_there_can_be_one(self, champion):
        for query in ("free_text=a&free_text=b", "page=1&page=2", "page_size=1&page_size=2"):
            answer = champion.get(f"/uris?{query}")
            assert (answer.status_code, "more than once" in answer.json["message"]) == (422, True)
        assert champion.get("/uris?page=1&page=1&sort=name&sort=-name").status_code == 200

    def test_who_may_not_ask_hears_that_first(self, anonymous, stranger, champion):
        assert anonymous.get("/uris?tag=x").status_code == stranger.get("/uris?tag=x").status_code == 401
        assert champion.get("/users?x=1").status_code == 403

    def test_the_token_where_the_settings_have_it_there(self, make_app, tokens, anonymous):
        name = {"JWT_TOKEN_LOCATION": ["headers", "query_string"], "JWT_QUERY_STRING_NAME": "token"}
        client = make_app(**name).test_client()
        assert client.get(f"/me?token={tokens[CHAMPION]}").status_code == 200
        headers = {"Authorization": f"Bearer {tokens[CHAMPION]}"}
        assert make_app().test_client().get("/me?token=x", headers=headers).status_code == 422

    def test_many_and_long_ones_are_told_in_short(self, champion):
        query = "&".join(f"{n}{'x' * 1000}=1" for n in range(50))
        answer = champion.get(f"/uris?{query}")
        assert answer.status_code == 422
        assert len(answer.json["errors"]["query"]) == 20
        assert len(answer.data) < 10_000

    def test_pages_of_the_documentation_take_any(self, anonymous):
        assert anonymous.get("/doc/openapi.json?v=1").status_code == 200


class TestBlankFilters:
    @pytest.fixture(autouse=True)
    def datasets(self, register):
        register(name="one", tags=["beans"])
        register(name="two", tags=["peas"])

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("tags=beans&free_text=", ["one"]),
            ("free_text=%20", ["one", "two"]),
            ("tags=", ["one", "two"]),
            ("tags=beans&tags=", ["one"]),
            ("uuids=&base_uris=&creator_usernames=&uploaded_by=&tags=&free_text=", ["one", "two"]),
            ("base_uris=", ["one", "two"]),
            ("base_uris=%20&tags=peas", ["two"]),
            (f"base_uris={RED}&base_uris=", ["one", "two"]),
        ],
    )
    def test_they_filter_nothing(self, champion, query, found):
        answer = champion.get(f"/uris?sort=name&{query}")
        assert [dataset["name"] for dataset in answer.json] == found
        assert pagination(answer)["total"] == len(found)

    def test_a_page_beyond_the_last_is_that_of_a_list(self, champion):
        assert (
            champion.get("/uris?free_text=&page=9").status_code
            == champion.get("/uris?page=9").status_code
            == 404
        )

    def test_in_json(self, champion):
        assert len(champion.post("/uris", json={"free_text": ""}).json) == 2
        assert champion.post("/uris", json={"free_text": "", "base_uris": []}).json == []
        assert champion.post("/uris", json={"base_uris": [], "tags": []}).json == []


class TestPaths:
    """What a path does not name exactly is nothing; it leads nowhere else."""

    @pytest.mark.parametrize(
        "path",
        [
            *[
                "/users/%2Fnora",
                "/users//nora",
                "//users/nora",
                "//users",
                "/users/",
                "/users/nora/",
                "/users/nora//",
            ],
            *[
                "/users/nora//summary",
                "/users//nora/summary",
                "/me/",
                "/me//summary",
                "/config//health",
            ],
            *[
                "/config/health/",
                "/doc//openapi.json",
                "//doc/openapi.json",
                "/base-uris/",
                "/audit/",
                "/uuids//x",
            ],
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST", "DELETE"])
    def test_is_not_found(self, admin, method, path):
        # What begins with two slashes would be the name of a host to the client.
        answer = admin.open("/", method=method, json={}, environ_overrides={"PATH_INFO": unquote(path)})
        assert (answer.status_code, answer.headers.get("Location")) == (404, None)
        assert admin.get(f"/users/{NOBODY}").status_code == 200

    def test_uris_keep_their_slashes(self, champion, register):
        uri = register()["uri"]
        for path in (uri, uri.replace("s3://", "s3/"), uri.replace("s3://", "s3:/"), uri.replace("/", "%2F")):
            assert champion.get(f"/uris/{path}").json["uri"] == uri


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/uris", {"tags": [1]}, "tags.0: Not a valid string."),
        ("POST", "/uris", {"colour": "red"}, "colour: Unknown field."),
        ("POST", "/uris", [1], "Not an object with filters and conditions, such as {"),
        ("PUT", "/readmes/s3/red/x", ["a"], "Not a JSON object."),
        ("PATCH", "/me", "ada", "Not a JSON object."),
        ("PATCH", "/me", {"display_name": 1}, "display_name: Not a valid string."),
        ("GET", "/uris?page=0", None, "page: Must be greater than or equal to 1"),
        ("PUT", "/readmes/s3/red/x", {}, "readme: Missing data for required field."),
        ("GET", "/nowhere", None, "nothing at this address"),
        ("POST", "/me", None, "Allow"),
    ],
)
def test_every_error_says_in_a_sentence_what_is_wrong(champion, method, path, body, message):
    answer = (
        champion.open(path, method=method, json=body)
        if body is not None
        else champion.open(path, method=method)
    )
    assert answer.status_code >= 400
    assert message in answer.json["message"]


def test_nobody_else_is_touched(admin):
    """The permissions of other base URIs stay, whatever is left out."""
    admin.put("/base-uris/s3/red", json={"users_with_register_permissions": []})
    assert admin.get("/base-uris/s3/red").json["users_with_search_permissions"] == [CHAMPION, READER]
    assert admin.get("/base-uris/s3/blue").json["users_with_search_permissions"] == [READER]
    assert BLUE
