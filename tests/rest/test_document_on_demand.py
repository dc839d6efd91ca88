"""The OpenAPI document: made when it is asked for, then whole, whoever asks first."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from dservercore import create_app
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.documentation import Api
from support.racing import at_once


def described(app: Flask) -> Api:
    """Return what describes the routes of *app*."""
    return app.extensions["flask-smorest"]["apis"][""]["ext_obj"]


def test_an_application_is_made_without_describing_its_routes(app):
    assert not described(app)._spec.to_dict()["paths"]
    assert "/uris" in app.test_client().get("/doc/openapi.json").json["paths"]


def test_several_that_ask_first_at_once_are_all_told_everything(app):
    def ask() -> str:
        return json.dumps(app.test_client().get("/doc/openapi.json").json, sort_keys=True)

    first, *others = at_once(*[ask] * 8)
    assert len(json.loads(first)["paths"]) > 20
    assert set(others) == {first}


def test_routes_that_come_after_a_first_reader_are_described_too(app):
    rest = described(app)
    assert "/late" not in rest.spec.to_dict()["paths"]
    late = Blueprint("late", __name__, url_prefix="/late")
    late.route("")(lambda: "late")
    rest.register_blueprint(late)
    assert "/late" in rest.spec.to_dict()["paths"]
    assert {"name": "late", "description": ""} in rest.spec.to_dict()["tags"]


def test_a_blueprint_that_cannot_be_described_costs_one_answer(app, caplog):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    broken = Blueprint("broken", __name__, url_prefix="/broken")
    broken.route("")(broken.doc(responses=3)(lambda: "served all the same"))
    described(app).register_blueprint(broken)
    client = app.test_client()
    assert client.get("/broken").text == "served all the same"
    assert client.get("/doc/openapi.json").status_code == 500
    assert "/uris" in client.get("/doc/openapi.json").json["paths"]


@pytest.fixture
def app(config) -> Flask:
    return create_app(config)
