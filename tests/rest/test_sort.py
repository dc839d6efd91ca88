"""Sorting: the parameter, the header, the documentation."""

from __future__ import annotations

import json

import flask_smorest
import pytest
from flask import Flask, jsonify
from flask.views import MethodView
from flask_smorest import Api
from openapi_spec_validator import validate

from dservercore.blueprint import Blueprint
from dservercore.sort import (
    ASCENDING,
    DESCENDING,
    CommaSeparatedListFlaskParser,
    SortMetadataSchema,
    SortMixin,
    SortParameters,
)

FIELDS = ["name", "uri", "relevance"]


@pytest.fixture
def api() -> Api:
    app = Flask("sorting")
    app.config.update(
        API_TITLE="Sorting", API_VERSION="1", OPENAPI_VERSION="3.0.2", OPENAPI_URL_PREFIX="/doc", TESTING=True
    )
    api = Api(app)
    blp = Blueprint("things", __name__)

    @blp.route("/function")
    @blp.response(200)
    @blp.sort(sort="+uri,-name", allowed_sort_fields=FIELDS)
    def function(sort_parameters: SortParameters) -> str:
        return repr(sort_parameters)

    @blp.route("/view")
    class View(MethodView):
        @blp.response(200)
        @blp.paginate()
        @blp.sort(sort=["+uri"], allowed_sort_fields=FIELDS)
        def get(self, sort_parameters: SortParameters, pagination_parameters):
            pagination_parameters.item_count = 3
            return jsonify(sort_parameters.order), 200, {"X-Other": "kept"}

    @blp.route("/class")
    @blp.sort()
    class Everything(MethodView):
        @blp.response(200)
        def get(self, sort_parameters: SortParameters) -> str:
            return repr(sort_parameters)

        @blp.response(200)
        def post(self, sort_parameters: SortParameters) -> str:
            return repr(sort_parameters)

    class Silent(Blueprint):
        SORT_HEADER_NAME = None

    silent = Silent("silent", __name__)

    @silent.route("/silent")
    @silent.response(200)
    @silent.sort(sort="name")
    def without_header(sort_parameters: SortParameters) -> str:
        return repr(sort_parameters)

    api.register_blueprint(blp)
    api.register_blueprint(silent)
    return api


@pytest.fixture
def client(api):
    return api._app.test_client()


@pytest.fixture
def operation(api):
    """Return a function that gives the description of a GET in the OpenAPI document."""
    document = api.spec.to_dict()
    validate(document)
    return lambda path: document["paths"][path]["get"]


class TestSortParameters:
    def test_takes_text_or_a_list(self):
        assert SortParameters("+a,-b,c").order == {"a": ASCENDING, "b": DESCENDING, "c": ASCENDING}
        assert SortParameters(["-b", "a"]).order == {"b": DESCENDING, "a": ASCENDING}

    def test_keeps_the_order_of_importance(self):
        assert list(SortParameters("z,-a,+m").order) == ["z", "a", "m"]

    def test_shows_itself_with_signs(self):
        assert repr(SortParameters("a,-b")) == "SortParameters(sort='+a,-b')"

    def test_nothing_sorts_by_nothing(self):
        assert SortParameters("").order == {}
        assert SortParameters([]).order == {}
        assert repr(SortParameters("")) == "SortParameters(sort='')"

    def test_drops_empty_items(self):
        assert SortParameters(",a,,-b,").order == {"a": 1, "b": -1}

    def test_takes_a_leading_space_for_an_unescaped_plus(self):
        assert SortParameters(" a").order == {"a": 1}

    @pytest.mark.parametrize(
        ("text", "direction"), [("relevance", -1), ("-relevance", -1), ("+relevance", 1)]
    )
    def test_relevance_without_a_sign_is_best_first(self, text, direction):
        assert SortParameters(text).order == {"relevance": direction}


def test_parser_splits_each_parameter_and_keeps_the_first_of_its_kind():
    app = Flask("parser")
    with app.test_request_context("/?sort=%2Ba,,-b&other=1,2&sort=c&empty="):
        from flask import request

        parsed = CommaSeparatedListFlaskParser().load_querystring(request, None)
    assert parsed == {"sort": ["+a", "-b"], "other": ["1", "2"], "empty": []}


class TestRequest:
    @pytest.mark.parametrize(
        ("query", "order"),
        [
            ("", {"uri": 1}),
            ("sort=", {"uri": 1}),
            ("sort=,,,", {"uri": 1}),
            ("sort=name", {"name": 1}),
            ("sort=%2Bname,-uri", {"name": 1, "uri": -1}),
            ("sort=+name", {"name": 1}),
            ("sort=-name,+uri", {"name": -1, "uri": 1}),
            ("sort=-name&sort=uri", {"name": -1}),
            ("sort=relevance,uri", {"relevance": -1, "uri": 1}),
            ("sort=%2Brelevance", {"relevance": 1}),
            ("unrelated=1", {"uri": 1}),
        ],
    )
    def test_reaches_the_view_and_the_header(self, client, query, order):
        answer = client.get(f"/view?{query}")
        assert answer.status_code == 200
        assert list(answer.json.items()) == list(order.items())
        assert list(json.loads(answer.headers["X-Sort"])["sort"].items()) == list(order.items())

    def test_leaves_other_headers_alone(self, client):
        answer = client.get("/view")
        assert answer.headers["X-Other"] == "kept"
        assert json.loads(answer.headers["X-Pagination"])["total"] == 3

    @pytest.mark.parametrize(
        "value", ["size", "-size", "name,size", "%2B", "-", "--name", "name;uri", "Name", "%2B%2Bname"]
    )
    def test_an_unknown_field_is_a_422_that_lists_the_others(self, client, value):
        answer = client.get(f"/view?sort={value}")
        assert answer.status_code == 422
        (message,) = answer.json["errors"]["query"]["sort"]
        assert all(field in message for field in FIELDS)

    @pytest.mark.parametrize("value", ["%FF", "name%00", "%ED%A0%80"])
    def test_text_that_is_no_text_is_a_422(self, client, value):
        answer = client.get(f"/view?sort={value}")
        assert answer.status_code == 422
        assert "sort" in answer.json["errors"]["query"]

    def test_function_views_and_defaults_as_text(self, client):
        assert client.get("/function").json == "SortParameters(sort='+uri,-name')"

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_decorated_class_sorts_in_all_methods_by_any_field(self, client, method):
        answer = getattr(client, method)("/class?sort=-whatever")
        assert "-whatever" in answer.get_data(as_text=True)
        assert json.loads(answer.headers["X-Sort"]) == {"sort": {"whatever": -1}}

    def test_one_request_does_not_change_the_default_of_the_next(self, client):
        client.get("/view?sort=-name")
        assert client.get("/view").json == {"uri": 1}

    def test_no_header_without_a_name_for_it(self, client):
        answer = client.get("/silent")
        assert answer.json == "SortParameters(sort='+name')"
        assert "X-Sort" not in answer.headers

    def test_attributes_of_the_mixin(self):
        assert SortMixin.SORT_HEADER_NAME == "X-Sort"
        assert isinstance(SortMixin.SORT_ARGUMENTS_PARSER, CommaSeparatedListFlaskParser)

    def test_any_blueprint_can_have_the_mixin(self):
        class Mixed(flask_smorest.Blueprint, SortMixin):
            pass

        app = Flask("mixed")
        app.config.update(API_TITLE="Mixed", API_VERSION="1", OPENAPI_VERSION="3.0.2")
        blp = Mixed("mixed", __name__)

        @blp.route("/")
        @blp.sort(sort="-x")
        @blp.response(200)
        def view(sort_parameters):
            return sort_parameters.order

        Api(app).register_blueprint(blp)
        answer = app.test_client().get("/")
        assert (answer.json, json.loads(answer.headers["X-Sort"])) == ({"x": -1}, {"sort": {"x": -1}})

    def test_attributes_can_be_of_ones_own(self):
        class Semicolons(CommaSeparatedListFlaskParser):
            def load_querystring(self, req, schema=None):
                return {name: text.split(";") for name, text in req.args.items()}

        class Mine(Blueprint):
            SORT_HEADER_NAME = "X-Order"
            SORT_ARGUMENTS_PARSER = Semicolons()

        app = Flask("mine")
        app.config.update(API_TITLE="Mine", API_VERSION="1", OPENAPI_VERSION="3.0.2")
        blp = Mine("mine", __name__)

        @blp.route("/")
        @blp.response(200)
        @blp.sort()
        def view(sort_parameters):
            return sort_parameters.order

        Api(app).register_blueprint(blp)
        answer = app.test_client().get("/?sort=-a;b")
        assert answer.json == {"a": -1, "b": 1}
        assert json.loads(answer.headers["X-Order"]) == {"sort": {"a": -1, "b": 1}}
        assert "X-Sort" not in answer.headers


class TestDocumentation:
    def test_parameter_lists_what_is_allowed(self, operation):
        (parameter,) = [p for p in operation("/view")["parameters"] if p["name"] == "sort"]
        assert parameter["in"] == "query"
        assert parameter["explode"] is False
        assert parameter["schema"]["default"] == ["+uri"]
        assert parameter["schema"]["items"]["enum"] == [
            *["+name", "+uri", "+relevance"],
            *["-name", "-uri", "-relevance"],
            *["name", "uri", "relevance"],
        ]

    def test_header_and_error(self, operation):
        responses = operation("/view")["responses"]
        assert responses["200"]["headers"]["X-Sort"]["schema"] == {
            "$ref": "#/components/schemas/SortMetadata"
        }
        assert "X-Pagination" in responses["200"]["headers"]
        assert "422" in responses

    def test_nothing_is_listed_where_everything_is_allowed(self, operation):
        for path in ("/class", "/silent"):
            (parameter,) = operation(path)["parameters"]
            assert "enum" not in parameter["schema"]["items"]
        assert "default" not in operation("/class")["parameters"][0]["schema"]

    def test_every_method_of_a_decorated_class(self, api):
        methods = api.spec.to_dict()["paths"]["/class"]
        assert [p["name"] for m in ("get", "post") for p in methods[m]["parameters"]] == ["sort", "sort"]

    def test_header_schema(self):
        schema = SortMetadataSchema()
        assert schema.load({"sort": {"uri": ASCENDING}}) == {"sort": {"uri": 1}}
        assert schema.dump({"sort": {"name": DESCENDING}}) == {"sort": {"name": -1}}
        assert "sort" in schema.validate({"sort": {"uri": 2}})

    def test_no_header_without_a_name_for_it(self, operation):
        assert "headers" not in operation("/silent")["responses"]["200"]
