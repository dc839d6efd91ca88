"""What deployers and extensions tell flask-jwt-extended: where tokens may come from, and who has a say in them."""

from __future__ import annotations

from datetime import timedelta

import flask_jwt_extended
import pytest
from flask import Flask, jsonify, make_response
from flask.testing import FlaskClient

from dservercore import create_app, jwt, sql_db, utils, utils_auth
from dservercore.errors import ConfigurationError
from support.world import CHAMPION, STRANGER

GUARDS = {"theirs": flask_jwt_extended.jwt_required, "ours": utils_auth.jwt_required}


@pytest.fixture
def serve(config):
    """``serve(**settings)`` returns an application with CHAMPION, and routes behind both kinds of guards."""

    def start(**settings) -> tuple[Flask, str]:
        app = create_app({**config, **settings})
        with app.app_context():
            sql_db.create_all()
            utils.register_user(CHAMPION, {})
            token = flask_jwt_extended.create_access_token(CHAMPION)
        for name, guard in GUARDS.items():
            view = guard()(lambda: jsonify(flask_jwt_extended.get_jwt_identity()))
            app.add_url_rule(f"/{name}", name, view, methods=["GET", "POST"])
        return app, token

    return start


@pytest.fixture
def callbacks(monkeypatch):
    """Callbacks that a test registers are gone after it: the manager is one for all applications."""
    for name, value in vars(jwt).items():
        monkeypatch.setattr(jwt, name, value)
    return jwt


def statuses(client: FlaskClient, **request) -> set[int]:
    """Return the statuses of the same requests to a route of ours and to two of an extension, twice each."""
    return {client.get(path, **request).status_code for path in ("/me", "/theirs", "/ours") * 2}


LOCATIONS = ["headers", "cookies", "query_string"]


@pytest.mark.parametrize("locations", [LOCATIONS, tuple(LOCATIONS), set(LOCATIONS), LOCATIONS[::-1]])
def test_tokens_come_from_wherever_the_configuration_says(serve, locations):
    app, token = serve(JWT_TOKEN_LOCATION=locations)
    assert statuses(app.test_client()) == {401}
    assert statuses(app.test_client(), headers={"Authorization": f"Bearer {token}"}) == {200}
    assert statuses(app.test_client(), query_string={"jwt": token}) == {200}
    assert statuses(app.test_client(), query_string={"jwt": "nonsense"}) == {422}
    client = app.test_client()
    client.set_cookie("access_token_cookie", token)
    assert statuses(client) == {200}


def test_another_header_that_everybody_sends_lets_nobody_in(serve):
    app, token = serve(JWT_HEADER_NAME="X-Token")
    client, of_proxy = app.test_client(), {"Authorization": "Basic c2hhcmVk"}
    assert client.get("/me", headers={**of_proxy, "X-Token": f"Bearer {token}"}).status_code == 200
    assert client.get("/me", headers=of_proxy).status_code == 401
    assert client.get("/me", headers={**of_proxy, "X-Token": "Bearer nonsense"}).status_code == 422


@pytest.mark.parametrize("location", LOCATIONS)
def test_elsewhere_they_do_not_count(serve, location):
    app, token = serve(JWT_TOKEN_LOCATION=location)
    client = app.test_client()
    assert (statuses(client, headers={"Authorization": f"Bearer {token}"}) == {200}) is (
        location == "headers"
    )
    assert (statuses(client, query_string={"jwt": token}) == {200}) is (location == "query_string")
    client.set_cookie("access_token_cookie", token)
    assert (statuses(client) == {200}) is (location == "cookies")


@pytest.mark.parametrize("locations", ["json", ["headers", "json"], [], "header", ["cookies", 3]])
def test_other_places_are_refused_at_the_start(serve, locations):
    with pytest.raises(ConfigurationError, match="JWT_TOKEN_LOCATION"):
        serve(JWT_TOKEN_LOCATION=locations)


@pytest.mark.parametrize("body", [[1], "text", 3, None, {}])
def test_a_route_may_look_into_the_body(serve, body):
    app, token = serve()
    view = utils_auth.jwt_required(locations=["json"])(lambda: "in")
    app.add_url_rule("/body", "body", view, methods=["POST"])
    client = app.test_client()
    assert client.post("/body", json={"access_token": token}).status_code == 200
    assert client.post("/body", json=body).status_code == 401


def test_a_cookie_changes_nothing_without_its_second_half(serve):
    app, token = serve(JWT_TOKEN_LOCATION=["cookies"])

    @app.route("/login")
    def login():
        answer = make_response("in")
        flask_jwt_extended.set_access_cookies(answer, token)
        return answer

    client = app.test_client()
    client.get("/login")
    second = {"X-CSRF-TOKEN": client.get_cookie("csrf_access_token").value}
    for _ in range(2):
        assert client.get("/me").status_code == 200
        for headers, status in ((None, 401), ({"X-CSRF-TOKEN": "other"}, 401), (second, 200)):
            answer = client.patch("/me", json={}, headers=headers)
            assert (answer.status_code, client.post("/ours", headers=headers).status_code) == (status, status)


def test_whoever_finds_users_is_asked_with_each_request(serve, callbacks):
    app, token = serve()
    asked = []

    @callbacks.user_lookup_loader
    def find(_header, claims):
        asked.append(claims["sub"])
        return sql_db.session.query(utils.User).filter_by(username=claims["sub"]).one_or_none()

    @app.route("/current")
    @utils_auth.jwt_required()
    def current():
        return jsonify(flask_jwt_extended.current_user.username)

    with app.app_context():
        stranger = flask_jwt_extended.create_access_token(STRANGER)
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    assert [client.get("/current", headers=headers).json for _ in range(3)] == [CHAMPION] * 3
    assert statuses(client, headers=headers) == {200}
    assert len(asked) == 9
    assert statuses(client, headers={"Authorization": f"Bearer {stranger}"}) == {401}


@pytest.mark.parametrize(
    ("loader", "status"), [("token_in_blocklist_loader", 401), ("token_verification_loader", 400)]
)
def test_whoever_has_a_say_is_asked_with_each_request(serve, callbacks, loader, status):
    app, token = serve()
    says = [loader == "token_verification_loader"]  # that all is well
    getattr(callbacks, loader)(lambda _header, _claims: says[0])
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    assert statuses(client, headers=headers) == {200}
    says[0] = not says[0]
    assert statuses(client, headers=headers) == {status}


def test_claims_and_identities_of_others(serve, callbacks):
    app, _ = serve()
    callbacks.additional_claims_loader(lambda identity: {"of": identity["name"]})
    callbacks.user_identity_loader(lambda identity: identity["name"])
    with app.app_context():
        token = flask_jwt_extended.create_access_token({"name": CHAMPION})
    assert statuses(app.test_client(), headers={"Authorization": f"Bearer {token}"}) == {200}


def test_an_answer_to_an_expired_token_may_be_theirs(serve, callbacks):
    app, _ = serve()
    callbacks.expired_token_loader(lambda _header, _claims: (jsonify(msg="old"), 418))
    with app.app_context():
        token = flask_jwt_extended.create_access_token(CHAMPION, expires_delta=timedelta(days=-1))
    assert statuses(app.test_client(), headers={"Authorization": f"Bearer {token}"}) == {418}


@pytest.mark.parametrize("request_", [{}, {"json": {}}], ids=["without a body", "with an object"])
def test_a_fault_of_whoever_finds_users_is_no_missing_token(serve, callbacks, request_):
    app, token = serve(PROPAGATE_EXCEPTIONS=False)

    @callbacks.user_lookup_loader
    def find(_header, _claims):
        raise AttributeError("of their own making")

    assert statuses(app.test_client(), headers={"Authorization": f"Bearer {token}"}, **request_) == {500}
