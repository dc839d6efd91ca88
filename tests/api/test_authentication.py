"""Who may ask: tokens, registered users, and what is checked before what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from flask_jwt_extended import create_refresh_token

from api.conftest import route
from dservercore.catalog import users
from dservercore.db import sql_db
from dservercore.settings.keys import generate_key_pair
from support.world import ADMIN, CHAMPION, NOBODY, READER, RED, dataset_info

pytestmark = pytest.mark.attack

UNAUTHORIZED = {"code": 401, "status": "Unauthorized"}
MISSING = dict.fromkeys(("msg", "message"), "Missing Authorization Header")
EXPIRED = dict.fromkeys(("msg", "message"), "Token has expired")

PROTECTED = [
    ("GET", "/uris"),
    ("POST", "/uris"),
    ("GET", "/uris/facets"),
    ("POST", "/uris/facets"),
    ("GET", "/uris.csv"),
    ("POST", "/uris.csv"),
    ("GET", "/uris.ndjson"),
    ("POST", "/uris.ndjson"),
    ("GET", "/suggest"),
    ("GET", "/statistics"),
    ("GET", "/statistics/lacking"),
    ("POST", "/uris/bulk"),
    ("GET", "/uris/s3/red/x"),
    ("PUT", "/uris/s3/red/x"),
    ("DELETE", "/uris/s3/red/x"),
    ("GET", "/uuids/x"),
    ("GET", "/readmes/s3/red/x"),
    ("PUT", "/readmes/s3/red/x"),
    ("GET", "/manifests/s3/red/x"),
    ("GET", "/tags/s3/red/x"),
    ("PUT", "/tags/s3/red/x"),
    ("POST", "/tags/s3/red/x/fruit"),
    ("DELETE", "/tags/s3/red/x/fruit"),
    ("GET", "/annotations/s3/red/x"),
    ("PUT", "/annotations/s3/red/x"),
    ("DELETE", "/annotations/s3/red/x/soil"),
    ("GET", "/users"),
    ("GET", "/users/carl"),
    ("PUT", "/users/carl"),
    ("PATCH", "/users/carl"),
    ("DELETE", "/users/carl"),
    ("GET", "/users/carl/summary"),
    ("GET", "/users/carl/permissions"),
    ("GET", "/users/carl/tokens"),
    ("POST", "/users/carl/tokens"),
    ("DELETE", "/users/carl/tokens"),
    ("DELETE", "/users/carl/tokens/1"),
    ("POST", "/users/carl/search/s3/red"),
    ("DELETE", "/users/carl/search/s3/red"),
    ("POST", "/users/carl/register/s3/red"),
    ("DELETE", "/users/carl/register/s3/red"),
    ("GET", "/groups"),
    ("GET", "/groups/lab"),
    ("PUT", "/groups/lab"),
    ("DELETE", "/groups/lab"),
    ("PUT", "/groups/lab/members/carl"),
    ("DELETE", "/groups/lab/members/carl"),
    ("POST", "/groups/lab/search/s3/red"),
    ("DELETE", "/groups/lab/search/s3/red"),
    ("POST", "/groups/lab/register/s3/red"),
    ("DELETE", "/groups/lab/register/s3/red"),
    ("GET", "/me"),
    ("PATCH", "/me"),
    ("GET", "/me/summary"),
    ("PUT", "/me/password"),
    ("GET", "/me/sessions"),
    ("DELETE", "/me/sessions"),
    ("DELETE", "/me/sessions/1"),
    ("GET", "/users/carl/identity"),
    ("GET", "/users/carl/sessions"),
    ("DELETE", "/users/carl/sessions"),
    ("DELETE", "/users/carl/sessions/1"),
    ("GET", "/me/tokens"),
    ("POST", "/me/tokens"),
    ("DELETE", "/me/tokens"),
    ("DELETE", "/me/tokens/1"),
    ("GET", "/me/searches"),
    ("POST", "/me/searches"),
    ("PATCH", "/me/searches/1"),
    ("DELETE", "/me/searches/1"),
    ("GET", "/base-uris"),
    ("GET", "/audit"),
    ("GET", "/base-uris/s3/red"),
    ("GET", "/base-uris/s3/red/audience"),
    ("POST", "/base-uris/s3/green"),
    ("PUT", "/base-uris/s3/green"),
    ("DELETE", "/base-uris/s3/red"),
    ("GET", "/config/info"),
]
PUBLIC = [
    "/config/versions",
    "/config/health",
    "/config/ready",
    "/doc/openapi.json",
    "/doc/swagger",
    "/doc/redoc",
    "/",
    "/sign-in",
    "/sign-in/link",
    "/static/0123456789ab/site.css",
]
#: What asks itself who somebody is: for a password, or for the session of a browser.
OF_BROWSERS = {
    *("auth.Token", "auth.Logout", "web.sign_in_with_password", "web.use_link", "web.sign_out"),
    *("web.account", "web.change_password", "web.end_session"),
    *("web.admin", "web.admin_users", "web.change_users", "web.admin_user", "web.change_user"),
    *("web.admin_groups", "web.change_groups", "web.admin_group", "web.change_group", "web.admin_audit"),
    *("web.admin_base_uris", "web.change_base_uris", "web.admin_base_uri", "web.change_base_uri"),
    *("web.search_suggestions", "web.search_values", "web.search_csv", "web.search_ndjson"),
    *("web.dataset", "web.copies", "web.dataset_readme", "web.dataset_manifest", "web.dataset_export"),
    *("web.known_tags", "web.check_readme", "web.tags_as_json", "web.annotations_as_json"),
    *("web.edit_tags", "web.edit_annotations", "web.edit_readme"),
    *("web.change_tags", "web.change_annotations", "web.change_readme"),
    *("web.confirm_deletion", "web.delete_dataset"),
    *("web.signed_in_again", "web.change_name", "web.make_token", "web.end_token", "web.readme_template"),
    *("web.dtool_settings", "web.dtool_settings_with_token", "web.dashboard", "web.work_list"),
    *("web.keep_search", "web.rename_search", "web.forget_search"),
}
WITH_BODY = [(method, path) for method, path in PROTECTED if method in ("POST", "PUT", "PATCH")]


def error(answer) -> dict[str, Any]:
    """Return the error object without its message, which is for people."""
    return {key: value for key, value in answer.json.items() if key != "message"}


class TestTokens:
    """What the header ``Authorization`` may hold."""

    @pytest.fixture
    def asking(self, anonymous):
        """``asking(header)`` sends a request with that ``Authorization``."""
        return lambda header: anonymous.get("/me", headers={"Authorization": header})

    @pytest.fixture
    def signed(self, config):
        """``signed(**claims)`` returns the header with a token of the server's own key."""
        return lambda **claims: "Bearer " + jwt.encode(claims, config["JWT_PRIVATE_KEY"], "RS256")

    def test_a_subject_is_all_that_a_token_needs(self, asking, signed):
        answer = asking(signed(sub=CHAMPION))
        assert (answer.status_code, answer.json["username"]) == (200, CHAMPION)

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": time.time() + 86_400},  # from when the tests were collected
            {"jti": "x", "type": "access", "fresh": False, "iat": time.time(), "nbf": time.time()},
            {"iss": "https://login.example.org", "groups": ["a"], "name": "Carl"},
        ],
    )
    def test_claims_of_other_issuers_do_no_harm(self, asking, signed, claims):
        assert asking(signed(sub=CHAMPION, **claims)).status_code == 200

    def test_no_header(self, anonymous):
        answer = anonymous.get("/me")
        assert (answer.status_code, answer.json) == (401, MISSING)

    @pytest.mark.parametrize("scheme", ["Basic", "Bearers", "Token", "JWT", "x-bearer", "Bearer-x"])
    def test_another_scheme(self, asking, tokens, scheme):
        answer = asking(f"{scheme} {tokens[CHAMPION]}")
        assert answer.status_code == 401
        assert set(answer.json) == {"msg", "message"}

    @pytest.mark.parametrize(
        "header", ["bearer {}", "BEARER {}", "bEaReR  {}", "bearer\t{}", "Basic x, bearer {}", " bearer {} "]
    )
    def test_the_scheme_in_any_case(self, asking, tokens, header):
        answer = asking(header.format(tokens[CHAMPION]))
        assert (answer.status_code, answer.json.get("username")) == (200, CHAMPION)

    def test_an_expired_token(self, asking, signed):
        answer = asking(signed(sub=CHAMPION, exp=time.time() - 1))
        assert (answer.status_code, answer.json) == (401, EXPIRED)

    def test_a_token_that_was_good_until_a_moment_ago(self, asking, signed):
        """What is remembered of a token ends with it."""
        token = signed(sub=CHAMPION, exp=int(time.time()) + 2)
        assert asking(token).status_code == asking(token).status_code == 200
        time.sleep(2)
        assert asking(token).json == EXPIRED

    @pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "Bearer {token} {token}"])
    def test_bearer_with_none_or_several_tokens(self, asking, tokens, header):
        self.is_unprocessable(asking(header.format(token=tokens[CHAMPION])))

    @pytest.mark.parametrize(
        "token", ["x", "a.b", "a.b.c", "..", "e30.e30.", "é", "\x7f", "A" * 5000, "null", "{}", "a.b.c.d.e"]
    )
    def test_what_is_no_token(self, asking, token):
        self.is_unprocessable(asking(f"Bearer {token}"))

    def test_a_token_that_was_tampered_with(self, asking, signed):
        header, _payload, signature = signed(sub=CHAMPION).split(".")
        _header, payload, _signature = signed(sub=ADMIN).split(".")
        self.is_unprocessable(asking(f"{header}.{payload}.{signature}"))

    def test_a_token_of_another_key(self, asking, tmp_path):
        private, _public = generate_key_pair(tmp_path)
        self.is_unprocessable(asking("Bearer " + jwt.encode({"sub": ADMIN}, private.read_text(), "RS256")))

    def test_a_token_without_a_signature(self, asking):
        self.is_unprocessable(asking("Bearer " + jwt.encode({"sub": ADMIN}, None, "none")))

    @pytest.mark.parametrize("key", ["JWT_PUBLIC_KEY", "SECRET_KEY"])
    def test_a_token_signed_with_what_is_no_private_key(self, asking, config, key):
        """With HS256 the public key, which everybody may have, would sign."""
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": ADMIN})]
        content = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signature = hmac.digest(config[key].encode(), content, hashlib.sha256)
        token = content + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
        self.is_unprocessable(asking(f"Bearer {token.decode()}"))

    @pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
    def test_another_algorithm_of_the_same_key(self, asking, config, algorithm):
        token = jwt.encode({"sub": CHAMPION}, config["JWT_PRIVATE_KEY"], algorithm)
        self.is_unprocessable(asking(f"Bearer {token}"))

    def test_a_refresh_token(self, asking, app):
        with app.app_context():
            token = create_refresh_token(CHAMPION)
        self.is_unprocessable(asking(f"Bearer {token}"))

    def test_a_token_without_subject(self, asking, signed):
        self.is_unprocessable(asking(signed(name=CHAMPION)))

    @pytest.mark.parametrize("subject", [1, 1.5, True, None, [CHAMPION], {"name": CHAMPION}])
    def test_a_subject_that_is_no_text(self, asking, config, subject):
        """Made by hand, because the library refuses to sign it."""
        token = jwt.api_jws.encode(json.dumps({"sub": subject}).encode(), config["JWT_PRIVATE_KEY"], "RS256")
        self.is_unprocessable(asking(f"Bearer {token}"))

    def test_a_token_that_is_not_valid_yet(self, asking, signed):
        self.is_unprocessable(asking(signed(sub=CHAMPION, nbf=time.time() + 3600)))

    @pytest.mark.parametrize(
        "subject", ["", " ", "nobody-knows", "x" * 10_000, "a\0b", "\ud800", "CARL", "carl "]
    )
    def test_a_subject_who_is_not_registered(self, asking, signed, subject):
        answer = asking(signed(sub=subject))
        assert answer.status_code == 401
        assert error(answer) == UNAUTHORIZED

    def test_a_token_counts_in_the_header_alone(self, anonymous, tokens):
        anonymous.set_cookie("access_token_cookie", tokens[CHAMPION])
        assert anonymous.get(f"/me?jwt={tokens[CHAMPION]}").status_code == 401
        body = {"display_name": "Carl", "access_token": tokens[CHAMPION]}
        assert anonymous.patch("/me", json=body).status_code == 401

    def test_a_server_without_a_key_can_trust_nobody(self, make_app, sign_in):
        answer = sign_in(ADMIN, make_app(JWT_PUBLIC_KEY="")).get("/me")
        assert answer.status_code == 401
        assert error(answer) == UNAUTHORIZED
        assert "key" in answer.json["message"]

    @staticmethod
    def is_unprocessable(answer):
        assert answer.status_code == 422
        assert set(answer.json) == {"msg", "message"}
        assert isinstance(answer.json["msg"], str)


class TestUsers:
    """A valid token is not enough."""

    @pytest.mark.parametrize(("method", "path"), PROTECTED)
    def test_strangers_are_unauthorized_everywhere(self, stranger, method, path):
        answer = stranger.open(path, method=method)
        assert answer.status_code == 401
        assert error(answer) == UNAUTHORIZED

    @pytest.mark.parametrize(("method", "path"), PROTECTED)
    def test_without_a_token_nothing_is_answered(self, anonymous, method, path):
        answer = anonymous.open(path, method=method)
        assert (answer.status_code, answer.json) == (401, MISSING)

    def test_every_other_route_is_public_on_purpose(self, app, anonymous):
        for path in PUBLIC:
            assert anonymous.get(path).status_code == 200
        adapter = app.url_map.bind("localhost")
        listed = {adapter.match(path, method)[0] for method, path in PROTECTED}
        listed |= {adapter.match(path, "GET")[0] for path in [*PUBLIC, "/doc/assets/redoc/LICENSE"]}
        listed |= OF_BROWSERS
        listed |= {"annotations.Annotation"}  # PUT, of which the request looks like that for all annotations
        assert {rule.endpoint for rule in app.url_map.iter_rules()} - listed == set()

    def test_a_deleted_users_token_stops_working_at_once(self, admin, reader):
        assert reader.get("/me").status_code == 200
        admin.delete(f"/users/{READER}")
        assert reader.get("/me").status_code == 401
        assert reader.get("/uris").status_code == 401

    def test_a_demoted_administrator_stops_being_one_at_once(self, app, admin):
        assert admin.get("/users").status_code == 200
        with app.app_context():
            users.update_user(ADMIN, {"is_admin": False})
            sql_db.session.commit()
        assert admin.get("/users").status_code == 403

    def test_a_permission_taken_back_stops_working_at_once(self, admin, champion, register):
        uri = register()["uri"]
        assert champion.get(route("uris", uri)).status_code == 200
        admin.delete(f"/users/{CHAMPION}/search/s3/red")
        assert champion.get(route("uris", uri)).status_code == 403


class TestOrder:
    """Authentication, then the body, then permission, then existence."""

    @pytest.mark.parametrize(("method", "path"), WITH_BODY)
    @pytest.mark.parametrize("body", ['{"unknown": 1}', "{", '"\\u0000"', "[]"])
    def test_without_authentication_no_body_is_looked_at(self, anonymous, stranger, method, path, body):
        request = {"method": method, "data": body, "content_type": "application/json"}
        assert anonymous.open(path, **request).json == MISSING
        assert error(stranger.open(path, **request)) == UNAUTHORIZED

    @pytest.mark.parametrize("path", ["/uris", "/uuids/x", "/users", "/base-uris"])
    def test_without_authentication_no_query_string_is_looked_at(self, anonymous, stranger, path):
        query = "?page=0&page_size=x&sort=colour&uuids=x"
        assert anonymous.get(path + query).status_code == 401
        assert stranger.get(path + query).status_code == 401

    @pytest.mark.parametrize("resource", ["uris", "readmes", "manifests", "tags", "annotations"])
    def test_permission_is_asked_before_existence(self, champion, nobody, resource):
        assert champion.get(f"/{resource}/s3/red/no-such-dataset").status_code == 404
        assert nobody.get(f"/{resource}/s3/red/no-such-dataset").status_code == 403
        assert champion.get(f"/{resource}/s3/no-such-base-uri/x").status_code == 403

    @pytest.mark.parametrize(
        ("method", "path"),
        [(method, path) for method, path in PROTECTED if path.split("/")[1] in ("users", "base-uris")],
    )
    def test_administration_is_for_administrators(self, nobody, method, path):
        answer = nobody.open(path, method=method)
        assert answer.status_code == 403
        assert error(answer) == {"code": 403, "status": "Forbidden"}

    def test_an_administrator_is_no_superuser_over_datasets(self, admin, register):
        uri = register()["uri"]
        assert admin.get("/uris").json == []
        for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
            assert admin.get(route(resource, uri)).status_code == 403
        assert admin.delete(route("uris", uri)).status_code == 403
        info = dataset_info()
        assert admin.put(route("uris", info["uri"]), json=info).status_code == 403

    def test_what_may_not_be_registered_is_not_examined(self, reader):
        """Whoever lacks the permission learns nothing about what else is wrong."""
        info = dataset_info(type="protodataset", name="")
        answer = reader.put(route("uris", info["uri"]), json=info)
        assert answer.status_code == 403


class TestDisabledAuthorisation:
    """Everybody is ``DEFAULT_USER``, where the administrator says so."""

    @pytest.fixture
    def open_house(self, make_app):
        return make_app(DISABLE_JWT_AUTHORISATION=True, DEFAULT_USER=CHAMPION).test_client()

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
    def test_no_token_is_needed_or_looked_at(self, open_house, headers):
        assert open_house.get("/me", headers=headers).json["username"] == CHAMPION

    def test_permissions_are_those_of_the_default_user(self, open_house):
        assert open_house.get("/users").status_code == 403

    def test_datasets_are_uploaded_by_the_default_user(self, open_house):
        info = dataset_info(RED)
        assert open_house.put(route("uris", info["uri"]), json=info).status_code == 201
        assert open_house.get(route("uris", info["uri"])).json["uploaded_by"] == CHAMPION

    def test_the_default_user_has_to_be_registered(self, make_app):
        answer = make_app(DISABLE_JWT_AUTHORISATION=True).test_client().get("/me")
        assert answer.status_code == 401
        assert "testuser" in answer.json["message"]

    @pytest.mark.parametrize("word", [False, None, "", "False", "false", "0", "no", "off"])
    def test_it_is_off_whenever_the_setting_says_no(self, make_app, word):
        client = make_app(DISABLE_JWT_AUTHORISATION=word, DEFAULT_USER=ADMIN).test_client()
        assert client.get("/me").status_code == 401

    @pytest.mark.parametrize("word", ["True", "1", "yes", "on"])
    def test_it_is_on_by_any_word_that_says_yes(self, make_app, word):
        client = make_app(DISABLE_JWT_AUTHORISATION=word, DEFAULT_USER=NOBODY).test_client()
        assert client.get("/me").json["username"] == NOBODY


def test_the_lifetime_of_a_token_is_15_minutes_unless_it_says_otherwise(app):
    assert app.config["JWT_ACCESS_TOKEN_EXPIRES"] == 15 * 60
