"""How routes answer and what the OpenAPI document says about it."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from flask.views import MethodView
from openapi_spec_validator import validate

from dservercore.rest.blueprint import Blueprint
from dservercore.rest.documentation import Api, init_docs
from dservercore.rest.responses import also_answers, answers, json_answer
from dservercore.rest.schemas import DatasetObjectSchema, HealthSchema, ReadmeRequestSchema, ReadmeSchema

TOKEN_OR_ERROR = {
    "anyOf": [{"$ref": "#/components/schemas/TokenError"}, {"$ref": "#/components/schemas/Error"}]
}
ERROR = {"$ref": "#/components/schemas/Error"}


@pytest.fixture
def api() -> Api:
    app = Flask("answers")
    app.config.update(
        API_TITLE="Answers", API_VERSION="1", OPENAPI_VERSION="3.0.2", OPENAPI_URL_PREFIX="/doc", TESTING=True
    )
    api = Api(app)
    blp = Blueprint("things", __name__)

    @blp.route("/health")
    @answers(blp, 200, HealthSchema, errors=(), public=True)
    def health():
        """Tell that the process is up."""
        return json_answer({"status": "healthy"})

    @blp.route("/check")
    @answers(blp, 200, HealthSchema, errors=(422, 503), public=True)
    def check():
        return json_answer({"status": "healthy"})

    @blp.route("/readme", methods=["GET", "PUT"])
    class Readme(MethodView):
        @answers(blp, 200, ReadmeSchema, description="The README")
        def get(self):
            return json_answer(b'{"readme":"as it is"}')

        @also_answers(blp, 201, ReadmeSchema)
        @answers(blp, 200, ReadmeSchema, errors=(400, 401, 422))
        @blp.arguments(ReadmeRequestSchema)
        def put(self, body):
            return json_answer(body, 201, {"X-Storage-Updated": "true"})

    @blp.route("/list")
    @answers(blp, 200, DatasetObjectSchema, many=True)
    @blp.paginate()
    @blp.sort(sort="+uri", allowed_sort_fields=["uri"])
    def datasets(pagination_parameters, sort_parameters):
        pagination_parameters.item_count = 1
        return json_answer([{"any": "thing"}])

    api.register_blueprint(blp)
    init_docs(app, api)
    return api


@pytest.fixture
def client(api):
    return api._app.test_client()


@pytest.fixture
def paths(api):
    document = json.loads(json.dumps(api.spec.to_dict()))
    validate(document)
    return document["paths"]


def schema_of(response):
    return response["content"]["application/json"]["schema"]


class TestJSONAnswer:
    @pytest.fixture(autouse=True)
    def _within_an_app(self, api):
        with api._app.app_context():
            yield

    @pytest.mark.parametrize(
        "value",
        ["", [], {}, {"a": [1, 2.5, None, True, "é😀"]}, 1536238185.881941, {"b": 2**63 - 1, "a": -(2**63)}],
    )
    def test_is_json(self, value):
        answer = json_answer(value)
        assert answer.status_code == 200
        assert answer.mimetype == "application/json"
        assert answer.get_json() == value

    def test_bytes_are_passed_on_as_they_are(self):
        assert json_answer(b'{ "a" : 1 }').data == b'{ "a" : 1 }'

    def test_status_and_headers(self):
        answer = json_answer({}, 201, {"X-Storage-Updated": "false"})
        assert answer.status_code == 201
        assert answer.headers["X-Storage-Updated"] == "false"

    def test_what_is_unusual_but_can_be_json(self):
        answer = json_answer({"uuids": {0: ["Not a valid UUID."]}, "text": "\ud800", "big": 2**70})
        assert json.loads(answer.data) == {
            "uuids": {"0": ["Not a valid UUID."]},
            "text": "\ud800",
            "big": 2**70,
        }


class TestViews:
    def test_a_response_is_passed_on(self, client):
        assert client.get("/readme").data == b'{"readme":"as it is"}'
        answer = client.put("/readme", json={"readme": "new"})
        assert (answer.status_code, answer.json) == (201, {"readme": "new"})
        assert answer.headers["X-Storage-Updated"] == "true"

    def test_pages_and_order_are_told_about_a_response(self, client):
        answer = client.get("/list?sort=-uri")
        assert answer.json == [{"any": "thing"}]
        assert json.loads(answer.headers["X-Pagination"])["total"] == 1
        assert json.loads(answer.headers["X-Sort"]) == {"sort": {"uri": -1}}


class TestDocumentation:
    def test_success(self, paths):
        get = paths["/readme"]["get"]
        assert get["responses"]["200"]["description"] == "The README"
        assert schema_of(get["responses"]["200"]) == {"$ref": "#/components/schemas/Readme"}

    def test_a_list(self, paths):
        schema = schema_of(paths["/list"]["get"]["responses"]["200"])
        assert schema == {"type": "array", "items": {"$ref": "#/components/schemas/DatasetObject"}}

    def test_every_error_has_its_schema(self, paths):
        responses = paths["/list"]["get"]["responses"]
        assert set(responses) == {"200", "401", "403", "404", "422", "default"}
        assert schema_of(responses["401"]) == schema_of(responses["422"]) == TOKEN_OR_ERROR
        assert schema_of(responses["403"]) == schema_of(responses["404"]) == ERROR

    def test_another_success(self, paths):
        responses = paths["/readme"]["put"]["responses"]
        assert set(responses) == {"200", "201", "400", "401", "422", "default"}
        assert schema_of(responses["201"]) == {"$ref": "#/components/schemas/Readme"}

    def test_a_token_is_needed_unless_the_view_is_public(self, api, paths):
        assert paths["/readme"]["get"]["security"] == [{"bearerAuth": []}]
        assert paths["/health"]["get"]["security"] == []
        schemes = api.spec.to_dict()["components"]["securitySchemes"]
        assert schemes["bearerAuth"]["scheme"] == "bearer"

    def test_a_public_view_knows_no_token_errors(self, paths):
        responses = paths["/check"]["get"]["responses"]
        assert schema_of(responses["422"]) == schema_of(responses["503"]) == ERROR

    def test_docstrings_are_the_summary(self, paths):
        assert paths["/health"]["get"]["summary"] == "Tell that the process is up."
