"""The blueprint: pages, and how bodies and query strings are read."""

from __future__ import annotations

import json
from urllib.parse import quote

import marshmallow as ma
import pytest
from flask import Flask
from openapi_spec_validator import validate

from dservercore.blueprint import Blueprint
from dservercore.rest.documentation import Api
from dservercore.rest.request_parser import MAX_REPORTED_PROBLEMS
from dservercore.rest.schemas import ErrorSchema, TokenErrorSchema

BIG = 2**63


class BodySchema(ma.Schema):
    name = ma.fields.String()
    value = ma.fields.Raw(allow_none=True)


class QuerySchema(ma.Schema):
    tags = ma.fields.List(ma.fields.String())


@pytest.fixture
def api() -> Api:
    app = Flask("blueprint")
    app.config.update(API_TITLE="Pages", API_VERSION="1", OPENAPI_VERSION="3.0.2", TESTING=True)
    api = Api(app)
    blp = Blueprint("things", __name__)

    @blp.route("/pages")
    @blp.response(200)
    @blp.alt_response(422, schema={"anyOf": [TokenErrorSchema, ErrorSchema]})
    @blp.paginate()
    def pages(pagination_parameters):
        pagination_parameters.item_count = 23
        return [pagination_parameters.first_item, pagination_parameters.last_item]

    @blp.route("/nothing")
    @blp.response(200)
    @blp.paginate()
    def nothing(pagination_parameters):
        pagination_parameters.item_count = 0
        return []

    @blp.route("/body", methods=["PUT"])
    @blp.arguments(BodySchema)
    @blp.response(200)
    def body(body):
        return body

    @blp.route("/query")
    @blp.arguments(QuerySchema, location="query")
    @blp.response(200)
    def query(query):
        return query

    api.register_blueprint(blp)
    return api


@pytest.fixture
def client(api):
    return api._app.test_client()


@pytest.fixture
def put(client):
    """Return a function that PUTs raw bytes, or an object as JSON."""

    def _put(body, content_type="application/json"):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return client.put("/body", data=data, content_type=content_type)

    return _put


class TestPages:
    @pytest.mark.parametrize(
        ("query", "items", "metadata"),
        [
            ("", [0, 9], {"page": 1, "next_page": 2}),
            ("page=2", [10, 19], {"page": 2, "previous_page": 1, "next_page": 3}),
            ("page=3&page_size=10", [20, 29], {"page": 3, "previous_page": 2}),
            ("page=4", [30, 39], {}),
        ],
    )
    def test_header_tells_where_we_are(self, client, query, items, metadata):
        answer = client.get(f"/pages?{query}")
        assert answer.json == items
        assert json.loads(answer.headers["X-Pagination"]) == {
            **{"total": 23, "total_pages": 3, "first_page": 1, "last_page": 3},
            **metadata,
        }

    def test_last_page_may_be_full(self, client):
        header = json.loads(client.get("/pages?page_size=23").headers["X-Pagination"])
        assert header == {"total": 23, "total_pages": 1, "first_page": 1, "last_page": 1, "page": 1}

    @pytest.mark.parametrize("query", ["", "page=1", "page=7"])
    def test_header_of_nothing(self, client, query):
        answer = client.get(f"/nothing?{query}")
        assert json.loads(answer.headers["X-Pagination"]) == {"total": 0, "total_pages": 0}

    @pytest.mark.parametrize(
        ("parameter", "value"),
        [
            *[("page", value) for value in ("0", "-1", "x", "1.5", "", "9" * 20, "9" * 5000, str(BIG))],
            *[("page_size", value) for value in ("0", "101", "x", "")],
            *[("page", "%FF"), ("page_size", "1%00")],
        ],
    )
    def test_what_is_no_page_is_a_422(self, client, parameter, value):
        answer = client.get(f"/pages?{parameter}={value}")
        assert answer.status_code == 422
        assert parameter in answer.json["errors"]["query"]

    def test_the_furthest_page_ends_at_the_last_64_bit_row(self, client):
        furthest = (BIG - 1) // 100
        assert client.get(f"/pages?page={furthest}&page_size=100").status_code == 200
        assert client.get(f"/pages?page={furthest + 1}&page_size=100").status_code == 422

    def test_documentation_keeps_what_the_route_says_about_422(self, api):
        document = api.spec.to_dict()
        validate(document)
        responses = document["paths"]["/pages"]["get"]["responses"]
        assert "anyOf" in responses["422"]["content"]["application/json"]["schema"]
        assert "X-Pagination" in responses["200"]["headers"]


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            ("", "application/json"),
            ("", None),
            ("name=x", "application/x-www-form-urlencoded"),
            ("{", "text/plain"),
        ],
    )
    def test_no_json_is_an_empty_object(self, put, body, content_type):
        answer = put(body, content_type)
        assert answer.status_code == 200
        assert answer.json == {}

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/ld+json"])
    def test_json_by_any_name(self, put, content_type):
        assert put({"name": "é😀"}, content_type).json == {"name": "é😀"}

    @pytest.mark.parametrize(
        "body",
        [
            *[
                b"{",
                b"{}{}",
                b"nonsense",
                b"\xff\xfe{\x00}\x00",
                b'{"name": "\xff"}',
                b'{"name": "\xed\xa0\x80"}',
            ],
            *[b'{"value": NaN}', b'{"value": Infinity}', b'{"value": -Infinity}', b" "],
            *[b'{"name": "a\x00b"}', b'{"name": "\\x"}'],
            *[b'{"value": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"],
        ],
    )
    def test_what_is_not_json_is_a_400(self, put, body):
        answer = put(body)
        assert answer.status_code == 400
        assert answer.json == {
            "code": 400,
            "errors": {"json": ["Invalid JSON body."]},
            "status": "Bad Request",
        }

    @pytest.mark.parametrize("body", [[], [1], "text", 1, None, True])
    def test_what_is_not_an_object_is_a_422(self, put, body):
        answer = put(json.dumps(body))
        assert answer.status_code == 422
        assert answer.json["errors"]["json"]["_schema"]

    def test_an_unknown_key_is_a_422(self, put):
        answer = put({"nmae": "x"})
        assert answer.status_code == 422
        assert answer.json["errors"]["json"] == {"nmae": ["Unknown field."]}

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            (b'{"name": "a\\u0000"}', ["name"]),
            (b'{"name": "\\ud800"}', ["name"]),
            (b'{"name": "\\uDFFF\\ud800"}', ["name"]),
            (b'{"value": {"a": [0, {"b": "\\u0000"}]}}', ["value", "a", "1", "b"]),
            (b'{"value": {"a\\u0000": 1}}', ["value", "a\\u0000"]),
            (b'{"\\ud800": {"deeper": 1}}', ["\\ud800"]),
            (b'{"value": 9223372036854775808}', ["value"]),
            (b'{"value": -9223372036854775809}', ["value"]),
            (b'{"value": [1, 18446744073709551616]}', ["value", "1"]),
            (b'{"value": ' + b"9" * 5000 + b"}", ["value"]),
            (b'{"value": 1e400}', ["value"]),
            (b'{"value": {"x": -1e999}}', ["value", "x"]),
            (b'{"value": ' + b"9" * 400 + b".0}", ["value"]),
            (b'"\\u0000"', ["_schema"]),
        ],
    )
    def test_what_no_store_can_hold_is_a_422_at_its_place(self, put, body, path):
        answer = put(body)
        assert answer.status_code == 422
        errors = answer.json["errors"]["json"]
        for key in path:
            assert list(errors) == [key]
            errors = errors[key]
        (message,) = errors
        assert isinstance(message, str)

    def test_problems_are_listed_up_to_a_number(self, put):
        answer = put({"value": {f"key {number}": "\0" for number in range(1000)}})
        assert answer.status_code == 422
        assert len(answer.json["errors"]["json"]["value"]) == MAX_REPORTED_PROBLEMS

    @pytest.mark.parametrize(
        "value",
        [
            *[
                BIG - 1,
                -BIG,
                0,
                -0.5,
                1.7976931348623157e308,
                5e-324,
                1e15,
                123456789012345678,
                1234567890123456789,
            ],
            *["😀", "\ufffd", "\u001f", "\\u0000", "\\ud800", {"😀\\": ["\\u0000"]}, None, True],
        ],
    )
    def test_what_can_be_stored_arrives_unchanged(self, put, value):
        answer = put(json.dumps({"value": value}))
        assert answer.status_code == 200
        assert answer.json == {"value": value}
        assert type(answer.json["value"]) is type(value)


class TestQueryStrings:
    def test_lists_are_repeated_parameters_and_commas_are_text(self, client):
        assert client.get("/query?tags=a&tags=b,c").json == {"tags": ["a", "b,c"]}

    def test_unknown_parameters_are_ignored(self, client):
        assert client.get("/query?colour=red").json == {}

    @pytest.mark.parametrize("text", ["é", "😀", "a+b c", "%", "a=b&c", "\ufffd"])
    def test_any_text_arrives(self, client, text):
        assert client.get(f"/query?tags={quote(text)}").json == {"tags": [text]}

    @pytest.mark.parametrize("text", ["%FF", "%00", "a%C3", "%ED%A0%80", "%c3%28"])
    def test_what_is_no_text_is_a_422_at_its_parameter(self, client, text):
        answer = client.get(f"/query?tags=fine&tags={text}")
        assert answer.status_code == 422
        assert list(answer.json["errors"]["query"]) == ["tags"]

    def test_raw_bytes(self, client):
        answer = client.get("/query", environ_overrides={"QUERY_STRING": "tags=\xff"})
        assert answer.status_code == 422
        utf8 = "é".encode().decode("latin-1")
        answer = client.get("/query", environ_overrides={"QUERY_STRING": f"tags={utf8}"})
        assert answer.json == {"tags": ["é"]}

    def test_a_name_that_is_no_text(self, client):
        answer = client.get("/query?%FF%00=1")
        assert answer.status_code == 422
        assert list(answer.json["errors"]["query"]) == ["\\xff\\x00"]
