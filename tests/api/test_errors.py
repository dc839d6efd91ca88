"""What a client is told when a request fails: always JSON, always of one shape."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from api.conftest import CheckedClient, on_every_store, on_sql_alone, route
from dservercore import create_app
from dservercore.db import sql_db
from support.world import CHAMPION, RED, dataset_info

INVALID_JSON = {
    "code": 400,
    "status": "Bad Request",
    "message": "Invalid JSON body.",
    "errors": {"json": ["Invalid JSON body."]},
}


def without_message(answer):
    return {key: value for key, value in answer.json.items() if key != "message"}


class TestShape:
    @pytest.mark.parametrize("path", ["/nowhere", "/uris/", "/users/", "/me/", "/config", "/doc", "/uuids/"])
    def test_an_unknown_route(self, admin, path):
        answer = admin.get(path)
        assert answer.status_code == 404
        assert answer.content_type == "application/json"
        assert without_message(answer) == {"code": 404, "status": "Not Found"}

    def test_without_pages_the_bare_address_says_where_to_go(self, config):
        client = create_app({**config, "DSERVER_WEB": False}).test_client()
        message = client.get("/").json["message"]
        assert "has no page here" in message
        assert " /doc/swagger " in message
        assert client.get("/doc/swagger").status_code == 200
        proxied = client.get("/", environ_overrides={"SCRIPT_NAME": "/lookup"})
        assert " /lookup/doc/swagger " in proxied.json["message"]
        assert "/doc/swagger" not in client.get("/nowhere").json.get("message", "")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("DELETE", "/uris"),
            ("PATCH", "/uris/s3/red/x"),
            ("PUT", "/manifests/s3/red/x"),
            ("POST", "/readmes/s3/red/x"),
            ("POST", "/me"),
            ("POST", "/users"),
            ("GET", "/users/carl/search/s3/red"),
        ],
    )
    def test_a_wrong_method(self, champion, method, path):
        answer = champion.open(path, method=method)
        assert answer.status_code == 405
        assert answer.content_type == "application/json"
        assert without_message(answer) == {"code": 405, "status": "Method Not Allowed"}
        assert method not in answer.headers["Allow"]

    def test_something_missing(self, champion):
        answer = champion.get("/uris/s3/red/missing")
        assert answer.content_type == "application/json"
        assert without_message(answer) == {"code": 404, "status": "Not Found"}

    def test_something_forbidden(self, nobody):
        answer = nobody.get("/uris/s3/red/missing")
        assert answer.content_type == "application/json"
        assert without_message(answer) == {"code": 403, "status": "Forbidden"}

    def test_a_conflict(self, admin):
        answer = admin.post(f"/users/{CHAMPION}/search/s3/red")
        assert without_message(answer) == {"code": 409, "status": "Conflict"}

    def test_the_reason_is_in_the_message(self, champion, nobody, admin):
        assert "s3://red/missing" in champion.get("/uris/s3/red/missing").json["message"]
        assert "search" in nobody.get("/uris/s3/red/missing").json["message"]
        assert CHAMPION in admin.post(f"/users/{CHAMPION}/search/s3/red").json["message"]
        assert (
            "type"
            in champion.put("/uris/s3/red/x", json=dataset_info(uri="s3://red/x", type="x")).json["message"]
        )


class TestBodies:
    """How a body is read, which is the same on every route."""

    @pytest.fixture(
        params=[
            ("POST", "/uris"),
            ("PUT", "/uris/s3/red/x"),
            ("PUT", "/readmes/s3/red/x"),
            ("PUT", "/tags/s3/red/x"),
            ("PUT", "/annotations/s3/red/x"),
            ("PATCH", "/me"),
        ],
        ids=" ".join,
    )
    def send(self, request, champion):
        """``send(body)`` sends raw bytes as JSON."""
        method, path = request.param
        return lambda body: champion.open(path, method=method, data=body, content_type="application/json")

    @pytest.mark.parametrize("body", ["{", "nonsense", "{'a': 1}", "[1,]", b"\xff", '{"a": NaN}', " "])
    def test_what_is_not_json(self, send, body):
        answer = send(body)
        assert (answer.status_code, answer.json) == (400, INVALID_JSON)

    def test_an_unknown_key(self, send):
        answer = send('{"colour": "red"}')
        assert answer.status_code == 422
        assert (answer.json["code"], answer.json["status"]) == (422, "Unprocessable Entity")
        assert answer.json["errors"]["json"]["colour"] == ["Unknown field."]

    @pytest.mark.parametrize("body", ["[]", "1", '"x"', "null"])
    def test_what_is_not_an_object(self, send, body):
        answer = send(body)
        assert answer.status_code == 422
        assert set(answer.json["errors"]) == {"json"}

    @pytest.mark.parametrize(
        "body", ['{"\\u0000": 1}', '{"\\ud800": 1}', '{"x": 1e999}', '{"x": ' + "9" * 30 + "}"]
    )
    def test_what_no_store_can_hold(self, send, body):
        answer = send(body)
        assert answer.status_code == 422
        assert set(answer.json["errors"]) == {"json"}


class TestBodiesOfAdministrators:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/users/x"),
            ("PATCH", "/users/carl"),
            ("PUT", "/base-uris/s3/x"),
            ("POST", "/base-uris/s3/x"),
        ],
    )
    def test_are_read_in_the_same_way(self, admin, method, path):
        def send(body):
            return admin.open(path, method=method, data=body, content_type="application/json")

        assert send("{").json == INVALID_JSON
        assert send('{"colour": "red"}').json["errors"] == {"json": {"colour": ["Unknown field."]}}
        assert send("[]").status_code == 422


class TestNoBody:
    @pytest.mark.parametrize(
        "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json"]
    )
    def test_no_body_is_an_empty_object_whatever_it_is_called(self, champion, content_type):
        answer = champion.post("/uris", data=b"", content_type=content_type)
        assert (answer.status_code, answer.json) == (200, [])
        answer = champion.put("/readmes/s3/red/x", data=b"", content_type=content_type)
        assert answer.status_code == 422
        assert "readme" in answer.json["errors"]["json"]

    def test_an_empty_body_called_json_is_one_too(self, champion):
        assert champion.post("/uris", data=b"", content_type="application/json").status_code == 200

    def test_a_body_where_none_is_expected_is_ignored(self, admin, champion, register):
        request = {"data": "{", "content_type": "application/json"}
        assert champion.get("/uris", **request).status_code == 200
        assert admin.post(f"/users/{CHAMPION}/search/s3/blue", **request).status_code == 200
        assert admin.delete(f"/users/{CHAMPION}/search/s3/blue", **request).status_code == 200
        assert champion.post(route("tags", register()["uri"], "new"), **request).status_code == 200


class TestFields:
    def test_null_where_a_value_is_needed(self, champion):
        answer = champion.post("/uris", json={"free_text": None, "tags": None})
        assert answer.status_code == 422
        assert set(answer.json["errors"]["json"]) == {"free_text", "tags"}

    def test_elements_of_lists_are_named_by_their_position(self, champion):
        body = {"uuids": ["af6727bf-29c7-43dd-b42f-a5d7ede28337", "x"], "tags": [1]}
        answer = champion.post("/uris", json=body)
        assert answer.json["errors"] == {
            "json": {"uuids": {"1": ["Not a valid UUID."]}, "tags": {"0": ["Not a valid string."]}}
        }

    def test_a_query_string_is_named_as_such(self, champion):
        answer = champion.get("/uris?uuids=x&page=2")
        assert answer.status_code == 422
        assert without_message(answer) == {
            "code": 422,
            "errors": {"query": {"uuids": {"0": ["Not a valid UUID."]}}},
            "status": "Unprocessable Entity",
        }

    @pytest.mark.parametrize("text", ["%00", "%FF", "%ED%A0%80", "a%00b"])
    def test_a_query_string_that_is_no_text(self, champion, text):
        for parameter in ("free_text", "tags", "sort", "page", "base_uris", "creator_usernames"):
            answer = champion.get(f"/uris?{parameter}={text}")
            assert answer.status_code == 422
            assert set(answer.json["errors"]) == {"query"}


@on_every_store
class TestPaths:
    """Whatever stands in a path, the answer is one that the route documents."""

    ODD = [
        *[
            "%00",
            "a%00b",
            "%FF",
            "%ED%A0%80",
            "%0A",
            "a%0Ab",
            "%1B",
            "%7F",
            "%C2%85",
            "%E2%80%AE",
            "%F0%9F%98%80",
        ],
        *[
            ".",
            "..",
            "...",
            "%2E%2E",
            "..%2F..",
            "%25",
            "%2525",
            "'",
            '"',
            "%3F",
            "%23",
            ";",
            "&",
            "=",
            "[",
            "]",
        ],
        *["s3:", ":", "%3A%2F%2F", "s3:%2F%2F", "://", "http://[x", "<x>", "{uri}", "x" * 5000, "%20", "+"],
        *["' OR 1=1--", "*", "\\", "_", "-", "%C3%A9", "javascript:alert(1)", "null", "true", "9" * 30],
    ]

    @pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
    def test_of_datasets(self, champion, odd):
        for resource in ("readmes", "manifests", "uuids"):
            assert champion.get(f"/{resource}/s3/red/{odd}").status_code in (200, 403, 404)
        for path in (f"s3/red/{odd}", odd):
            for resource in ("uris", "tags"):
                assert champion.get(f"/{resource}/{path}").status_code in (200, 403, 404)
            assert champion.delete(f"/uris/{path}").status_code in (200, 403, 404)
            assert champion.put(f"/tags/{path}", json={"tags": ["x"]}).status_code in (403, 404, 405)
            assert champion.put(f"/annotations/{path}", json={"value": 1}).status_code in (403, 404, 422)
        assert champion.post(f"/tags/s3/red/x/{odd}").status_code in (403, 404, 405, 422)

    @pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
    def test_of_administration(self, admin, odd):
        for path in (f"/users/{odd}", f"/users/{odd}/summary"):
            assert admin.get(path).status_code in (200, 404)
        assert admin.put(f"/users/{odd}", json={}).status_code in (201, 404, 422)
        assert admin.delete(f"/users/{odd}").status_code in (200, 404)
        for path in (odd, f"s3/{odd}"):
            assert admin.get(f"/base-uris/{path}").status_code == 404
            assert admin.post(f"/users/{CHAMPION}/search/{path}").status_code == 404
            assert admin.put(f"/base-uris/{path}", json={}).status_code in (201, 404, 422)
            assert admin.delete(f"/base-uris/{path}").status_code in (200, 404)


class TestLargeBodies:
    @pytest.fixture(autouse=True)
    def limit(self, app, monkeypatch):
        monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 10_000)

    def test_a_body_beyond_the_limit(self, champion):
        for method, path in [
            ("POST", "/uris"),
            ("PUT", "/uris/s3/red/x"),
            ("PUT", "/readmes/s3/red/x"),
            ("PUT", "/tags/s3/red/x"),
            ("PUT", "/annotations/s3/red/x"),
            ("PUT", "/annotations/s3/red/x/y"),
            ("PATCH", "/me"),
        ]:
            answer = champion.open(path, method=method, json={"x": "y" * 20_000})
            assert answer.status_code == 413
            assert without_message(answer) == {"code": 413, "status": "Request Entity Too Large"}
        assert champion.post("/uris", json={"free_text": "y" * 5000}).status_code == 200

    def test_a_body_of_an_administrator_beyond_the_limit(self, admin):
        for method, path in [
            ("PUT", "/users/x"),
            ("PATCH", "/users/carl"),
            ("PUT", "/base-uris/s3/x"),
            ("POST", "/base-uris/s3/x"),
        ]:
            assert admin.open(path, method=method, json={"x": "y" * 20_000}).status_code == 413


class TestFailures:
    """What is not the client's fault is told without details, which are in the log."""

    @on_sql_alone
    def test_a_database_that_cannot_serve(self, app, champion, caplog):
        with app.app_context():
            sql_db.session.execute(text("DROP TABLE search_index"))
            sql_db.session.commit()
        answer = champion.get("/uris?free_text=x")
        assert answer.status_code == 503
        assert without_message(answer) == {"code": 503, "status": "Service Unavailable"}
        assert "search_index" not in answer.text
        assert "search_index" in caplog.text

    @on_sql_alone
    def test_a_write_that_the_database_fails_leaves_nothing(self, app, champion):
        info = dataset_info()
        with app.app_context():
            sql_db.session.execute(text("DROP TABLE dataset_document"))
            sql_db.session.commit()
        assert champion.put(route("uris", info["uri"]), json=info).status_code == 503
        assert champion.get("/uris").json == []
        assert champion.get("/uris?free_text=beans").json == []
        assert champion.get("/me/summary").json["number_of_datasets"] == 0

    def test_a_bug(self, make_app, sign_in, caplog):
        app = make_app()
        app.add_url_rule("/bug", view_func=lambda: {}["the secret"])
        answer = super(CheckedClient, sign_in(CHAMPION, app)).open("/bug")
        assert answer.status_code == 500
        assert answer.content_type == "application/json"
        assert without_message(answer) == {"code": 500, "status": "Internal Server Error"}
        assert "X-Request-ID" in answer.json["message"]
        assert "the secret" in caplog.text

    @on_sql_alone  # other drivers find nothing wrong with that
    def test_a_bug_in_a_statement(self, make_app, sign_in, caplog):
        """What was to be written is not for the log."""

        def view():
            values = {"number": object(), "readme": "embargoed"}
            sql_db.session.execute(text("SELECT :number, :readme"), values)

        app = make_app()
        app.add_url_rule("/bug", view_func=view)
        answer = super(CheckedClient, sign_in(CHAMPION, app)).open("/bug")
        assert without_message(answer) == {"code": 500, "status": "Internal Server Error"}
        assert "SELECT" in caplog.text
        assert "embargoed" not in caplog.text


def test_head_answers_like_get_without_a_body(anonymous, champion, admin, register):
    uri = register()["uri"]
    paths = [
        "/uris",
        "/uris?free_text=beans",
        "/me",
        "/me/summary",
        "/config/info",
        "/uuids/x",
        f"/users/{CHAMPION}",
    ]
    paths += [route(resource, uri) for resource in ("uris", "readmes", "manifests", "tags", "annotations")]
    paths += ["/uris/s3/red/missing", "/uris/s3/blue/x", "/uris?page=7", "/users"]
    for client, asked in [
        (champion, paths),
        (admin, ["/users", "/users/x", "/base-uris", "/base-uris/s3/red", f"/users/{CHAMPION}/summary"]),
        (
            anonymous,
            ["/config/health", "/config/versions", "/config/ready", "/doc/openapi.json", "/uris", "/none"],
        ),
    ]:
        for path in asked:
            head, get = client.head(path), client.get(path)
            assert head.status_code == get.status_code
            assert head.data == b""
            differing = {"Date", "X-Request-ID"}
            assert {k: v for k, v in head.headers.items() if k not in differing} == {
                k: v for k, v in get.headers.items() if k not in differing
            }
    assert RED in uri
