"""What extensions of others do with the application: APIs of their own, registrations in a request, READMEs as YAML."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections import OrderedDict
from types import MappingProxyType

import flask_jwt_extended
import flask_smorest
import pytest
import yaml
from flask import jsonify

from dservercore import Blueprint, ValidationError, utils, utils_auth
from support.world import CHAMPION, READER, STRANGER, dataset_info

GUARDS = {"the library's": flask_jwt_extended.jwt_required, "ours": utils_auth.jwt_required}


class TestAnotherAPI:
    """``flask_smorest.Api(app)``, as the tests of plugins make one."""

    def blueprint(self):
        blueprint = Blueprint("peas", __name__, url_prefix="/peas")
        blueprint.route("/counted")(blueprint.response(200)(lambda: 3))
        return blueprint

    @pytest.mark.parametrize("prefix", ["", "OTHER"])
    def test_it_works_beside_ours(self, app, client, prefix):
        app.config.update(OTHER_API_TITLE="other", OTHER_API_VERSION="1", OTHER_OPENAPI_VERSION="3.0.2")
        app.config.update(OTHER_OPENAPI_URL_PREFIX="/other")
        other = flask_smorest.Api(app, config_prefix=prefix)
        other.register_blueprint(self.blueprint())
        assert client.get("/peas/counted").json == 3
        assert "/peas/counted" in other.spec.to_dict()["paths"]
        assert "/uris" in client.get("/doc/openapi.json").json["paths"]
        assert client.get("/doc/swagger").status_code == 200
        if prefix:
            assert list(client.get("/other/openapi.json").json["paths"]) == ["/peas/counted"]

    def test_errors_stay_ours(self, app, client, people, bearer):
        big = {"json": {"readme": "x" * 100}, "headers": bearer(CHAMPION)}
        app.config["MAX_CONTENT_LENGTH"] = 50
        flask_smorest.Api(app)
        assert "PATCH" in client.post("/me").headers["Allow"]
        assert "50" in client.put("/uris/s3://red/a", **big).json["message"]


@pytest.fixture(params=GUARDS)
def route(app, people, request):
    """``route(**changes)`` makes a route of an extension that registers such a dataset, and returns its path."""

    def make(**changes):
        @app.route("/plant")
        @GUARDS[request.param]()
        def plant():
            uri = utils.register_dataset(dataset_info(**changes))
            return jsonify(utils.get_admin_metadata_from_uri(uri))

        return "/plant"

    return make


class TestARequest:
    def test_whoever_asks_has_registered(self, client, bearer, route, caplog):
        caplog.set_level(logging.INFO, "dservercore.requests")
        assert client.get(route(), headers=bearer(READER)).json["uploaded_by"] == READER
        assert f"user={READER} " in caplog.messages[-1]

    @pytest.mark.parametrize("given", [CHAMPION, None])
    def test_unless_it_is_said_who(self, client, bearer, route, given):
        assert client.get(route(uploaded_by=given), headers=bearer(READER)).json["uploaded_by"] == given

    def test_the_log_names_who_has_a_valid_token(self, client, bearer, route, caplog):
        caplog.set_level(logging.INFO, "dservercore.requests")
        path = route(name="")
        assert client.get(path, headers=bearer(STRANGER)).status_code == 422
        assert f"user={STRANGER} " in caplog.messages[-1]
        assert client.get(path, headers={"Authorization": "Bearer x.y.z"}).status_code == 422
        assert "user=- " in caplog.messages[-1]

    def test_without_tokens_it_is_the_default_user(self, app, people, client, caplog):
        app.config.update(DISABLE_JWT_AUTHORISATION=True, DEFAULT_USER=CHAMPION)
        caplog.set_level(logging.INFO, "dservercore.requests")

        @app.route("/plant")
        @utils_auth.jwt_required()
        def plant():
            return jsonify(utils.get_admin_metadata_from_uri(utils.register_dataset(dataset_info())))

        assert client.get("/plant").json["uploaded_by"] == CHAMPION
        assert f"user={CHAMPION} " in caplog.messages[-1]


@pytest.fixture
def registered(app, people):
    """``registered(**changes)`` returns admin metadata and README of a dataset that was registered with them."""

    def register(**changes):
        uri = utils.register_dataset(dataset_info(**changes))
        return utils.get_admin_metadata_from_uri(uri), utils.get_readme_from_uri_by_user(CHAMPION, uri)

    with app.app_context():
        yield register


class TestADocument:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ({"project": "beans", "about": ["a", 1, None, True, 1.5]}, None),
            ({"z": 1, "a": {"ü": "naïve: 'x'\n# y"}}, None),
            ([{"a": 1}, "b"], None),
            ({}, None),
            (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
            (MappingProxyType({"a": (1, 2)}), {"a": [1, 2]}),
            ({"day": datetime.date(2026, 1, 2)}, None),
            ({"id": uuid.UUID(int=1), "tags": {"b", "a"}}, {"id": str(uuid.UUID(int=1)), "tags": ["a", "b"]}),
            ({1: "one"}, None),
        ],
    )
    def test_a_readme_may_be_what_its_yaml_says(self, registered, given, meant):
        readme = registered(readme=given)[1]
        assert yaml.safe_load(readme) == (given if meant is None else meant)
        if isinstance(given, dict):
            assert list(yaml.safe_load(readme)) == list(given)  # in its order

    def test_none_is_an_empty_readme_and_text_stays_as_it_is(self, registered):
        assert registered(readme=None)[1] == ""
        assert registered(readme="a:  1 # not touched")[1] == "a:  1 # not touched"

    @pytest.mark.parametrize("readme", [7, True, b"a: 1", object()])
    def test_what_is_no_readme_is_refused(self, registered, readme):
        with pytest.raises(ValidationError, match="readme"):
            registered(readme=readme)

    def test_one_without_an_end_is_refused(self, registered):
        deep: dict = {}
        for _ in range(10_000):
            deep = {"a": deep}
        with pytest.raises(ValidationError, match="readme"):
            registered(readme=deep)

    def test_a_time_of_upload_that_nobody_knows_stays_unknown(self, registered):
        assert registered(uploaded_at=None)[0]["uploaded_at"] is None
        assert registered()[0]["uploaded_at"] > 0
