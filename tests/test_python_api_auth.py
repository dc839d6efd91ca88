"""``dservercore.utils_auth``: who is asking and who may do what."""

from __future__ import annotations

import pytest
from flask import jsonify
from flask.views import MethodView
from flask_jwt_extended import create_access_token, create_refresh_token

from dservercore import utils, utils_auth
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info


@pytest.fixture
def context(app, people):
    with app.app_context():
        yield


@pytest.fixture
def whoami(app):
    """A route as an extension has it, that tells what it knows about the token."""

    @app.route("/whoami")
    @utils_auth.jwt_required()
    def _whoami():
        return jsonify(identity=utils_auth.get_jwt_identity(), sub=utils_auth.get_jwt()["sub"])

    return app.test_client()


def test_jwt_required_lets_nobody_in_without_a_token(whoami):
    answer = whoami.get("/whoami")
    assert answer.status_code == 401
    assert answer.json["msg"] == "Missing Authorization Header"


def test_identity_and_claims_are_those_of_the_token(whoami, bearer):
    assert whoami.get("/whoami", headers=bearer(READER)).json == {"identity": READER, "sub": READER}


def test_everybody_is_the_default_user_where_tokens_are_disabled(whoami, app):
    app.config.update(DISABLE_JWT_AUTHORISATION=True, DEFAULT_USER="testuser")
    assert whoami.get("/whoami").json == {"identity": "testuser", "sub": "testuser"}


def test_a_token_can_be_optional(app, bearer):
    @app.route("/maybe")
    @utils_auth.jwt_required(optional=True)
    def _maybe():
        return jsonify(utils_auth.get_jwt_identity())

    client = app.test_client()
    assert client.get("/maybe").json is None
    assert client.get("/maybe", headers=bearer(READER)).json == READER
    assert client.get("/maybe", headers={"Authorization": "Bearer nonsense"}).status_code == 422


@pytest.fixture
def guarded(app):
    """``guarded(*args, **options)`` is a client of a route whose guard has these options; it answers the claims."""

    def guard(*args, **options):
        @app.route("/guarded")
        @utils_auth.jwt_required(*args, **options)
        def _view():
            return jsonify(utils_auth.get_jwt())

        return app.test_client()

    return guard


def test_options_may_be_given_by_place(guarded):
    assert guarded(True).get("/guarded").json == {}


def test_a_token_can_have_to_be_fresh(guarded, bearer):
    client = guarded(fresh=True)
    assert client.get("/guarded", headers=bearer(READER)).status_code == 401
    assert client.get("/guarded", headers=bearer(READER, fresh=True)).json["sub"] == READER


def test_a_refresh_token_is_for_where_it_is_asked_for(app, guarded):
    with app.app_context():
        refresh = {"Authorization": f"Bearer {create_refresh_token(READER)}"}
    client = guarded(refresh=True)
    assert client.get("/guarded", headers=refresh).json["type"] == "refresh"


@pytest.mark.parametrize(("verify_type", "status"), [(True, 422), (False, 200)])
def test_the_type_of_a_token_need_not_be_looked_at(app, guarded, verify_type, status):
    with app.app_context():
        refresh = {"Authorization": f"Bearer {create_refresh_token(READER)}"}
    assert guarded(verify_type=verify_type).get("/guarded", headers=refresh).status_code == status


def test_a_token_can_come_from_somewhere_else(app, guarded):
    with app.app_context():
        token = create_access_token(READER)
    client = guarded(locations=["query_string"])
    assert client.get(f"/guarded?jwt={token}").json["sub"] == READER
    assert client.get("/guarded").status_code == 401


@pytest.mark.parametrize("options", [{}, {"optional": True}, {"fresh": True}, {"refresh": True}])
def test_no_option_asks_for_a_token_where_tokens_are_disabled(app, guarded, options):
    app.config.update(DISABLE_JWT_AUTHORISATION=True, DEFAULT_USER=READER)
    assert guarded(**options).get("/guarded").json == {"sub": READER}


def test_methods_of_views_can_be_guarded(app, bearer):
    class View(MethodView):
        @utils_auth.jwt_required()
        def get(self, name):
            return jsonify([name, utils_auth.get_jwt_identity()])

    app.add_url_rule("/things/<name>", view_func=View.as_view("things"))
    client = app.test_client()
    assert client.get("/things/a").status_code == 401
    assert client.get("/things/a", headers=bearer(READER)).json == ["a", READER]


def test_an_identity_needs_a_verified_request(context):
    for ask in (utils_auth.get_jwt_identity, utils_auth.get_jwt):
        with pytest.raises(RuntimeError, match="jwt_required"):
            ask()


def test_user_exists(context):
    assert utils_auth.user_exists(NOBODY) is True
    assert utils_auth.user_exists(STRANGER) is False


def test_has_admin_rights(context):
    assert utils_auth.has_admin_rights(ADMIN) is True
    assert utils_auth.has_admin_rights(CHAMPION) is False
    assert utils_auth.has_admin_rights(STRANGER) is False


@pytest.mark.parametrize(
    ("username", "base_uri", "may_search", "may_register"),
    [
        (CHAMPION, RED, True, True),
        (CHAMPION, BLUE, False, False),
        (READER, BLUE, True, False),
        (ADMIN, RED, False, False),
        (STRANGER, RED, False, False),
        (CHAMPION, "s3://unknown", False, False),
    ],
)
def test_permissions_on_a_base_uri(context, username, base_uri, may_search, may_register):
    assert utils_auth.may_search(username, base_uri) is may_search
    assert utils_auth.may_register(username, base_uri) is may_register
    assert (base_uri in utils_auth.list_search_base_uris(username)) is may_search
    assert (base_uri in utils_auth.list_register_base_uris(username)) is may_register


def test_may_access_goes_by_the_base_uri(context):
    uri = utils.register_dataset(dataset_info(BLUE))
    assert utils_auth.may_access(READER, uri) is True
    assert utils_auth.may_access(READER, f"{RED}/none") is True
    assert utils_auth.may_access(CHAMPION, uri) is False
    assert utils_auth.may_access(READER, "s3://unknown/none") is False
    assert utils_auth.may_access(STRANGER, uri) is False


def test_base_uris_of_a_user_are_lists(context):
    assert utils_auth.list_search_base_uris(READER) == [BLUE, RED]
    assert utils_auth.list_register_base_uris(CHAMPION) == [RED]
    assert utils_auth.list_search_base_uris(STRANGER) == []
    assert utils_auth.list_register_base_uris(STRANGER) == []


def test_what_a_plugins_route_lets_through_is_answered_as_json(app, people, bearer):
    @app.route("/import/<path:base_uri>")
    @utils_auth.jwt_required()
    def _import(base_uri):
        utils.get_user_obj(utils_auth.get_jwt_identity())
        return jsonify(utils.register_dataset(dataset_info(base_uri)))

    client = app.test_client()
    assert client.get(f"/import/{RED}", headers=bearer(READER)).status_code == 200
    assert client.get(f"/import/{RED}", headers=bearer(STRANGER)).json["code"] == 401
    answer = client.get("/import/s3://unknown", headers=bearer(READER))
    assert (answer.status_code, answer.json["status"]) == (400, "Bad Request")
    assert "s3://unknown" in answer.json["message"]
