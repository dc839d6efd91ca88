"""``/config``: how the server is configured, what it is made of, and how it is."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from sqlalchemy import text

from api.conftest import on_sql_alone
from dservercore import sql_db


@pytest.fixture
def shown_with(app, admin, monkeypatch):
    """``shown_with(**settings)`` returns what ``/config/info`` says when these are set."""

    def shown(**settings):
        for name, value in settings.items():
            monkeypatch.setitem(app.config, name, value)
        return admin.get("/config/info").json["config"]

    return shown


class TestInfo:
    def test_every_registered_user_sees_the_settings_by_their_name_in_lower_case(self, nobody):
        answer = nobody.get("/config/info")
        assert answer.status_code == 200
        assert set(answer.json) == {"config"}
        config = answer.json["config"]
        assert all(name == name.lower() for name in config)
        assert config["jwt_algorithm"] == "RS256"
        assert config["jwt_header_name"] == "Authorization"
        assert config["jwt_header_type"] == "Bearer"
        assert config["api_title"] == "dserver API"
        assert config["api_version"] == "v1"
        assert config["openapi_version"] == "3.0.2"

    def test_it_serves_clients_to_check_their_token(self, anonymous, stranger):
        assert anonymous.get("/config/info").status_code == 401
        assert stranger.get("/config/info").status_code == 401

    def test_secrets_are_hidden_and_the_public_key_is_not(self, admin, config):
        shown = admin.get("/config/info").json["config"]
        for name in ("jwt_private_key", "secret_key"):
            assert shown[name] == "***"
        address = config["SQLALCHEMY_DATABASE_URI"]
        # The file of SQLite is nobody's business; a server is, without the password.
        assert shown["sqlalchemy_database_uri"] == ("***" if address.startswith("sqlite") else address)
        assert shown["jwt_public_key"] == config["JWT_PUBLIC_KEY"]

    @pytest.mark.parametrize(
        "settings",
        [
            {"JWT_SECRET_KEY": "hunter2"},
            {"SECRET_KEY_FALLBACKS": ["hunter2"]},
            {"RETRIEVE_MONGO_URI": "hunter2"},
            {"RETRIEVE_MONGO_URI": ["hunter2", "mongodb://me:hunter2@one"]},
            {"JWT_SECRET_KEY": "mongodb://hunter2"},
            {"MY_PLUGIN_PASSWORD": "hunter2"},
            {"MY_PLUGIN_URL": "redis://me:hunter2@cache:6379/0"},
            {"MY_PLUGIN_URL": "https://hunter2@api.example.org"},
            {"MY_PLUGIN_URL": "amqp://me:p@hunter2@queue"},
            {"MY_PLUGIN_URLS": ["redis://me:hunter2@cache", "redis://me:hunter2@other"]},
            {"MY_PLUGIN_OPTIONS": {"connect_args": {"password": "hunter2"}}},
            {"MY_PLUGIN_SETTINGS": {"address": "amqp://me:hunter2@queue"}},
            {"MY_PLUGIN_COLOUR": "hunter2", "CONFIG_SECRETS_TO_OBFUSCATE": ["MY_PLUGIN_COLOUR"]},
        ],
        ids=lambda settings: next(iter(settings)),
    )
    def test_what_is_a_secret_by_its_name_or_value_or_by_declaration_is_hidden(self, shown_with, settings):
        assert "hunter2" not in str(shown_with(**settings))

    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("mongodb://localhost:27017/", "mongodb://localhost:27017/"),
            (
                "mongodb://me:hunter2@one:1,two:2,[::1]:3/lab?replicaSet=rs",
                "mongodb://me:***@one:1,two:2,[::1]:3/lab?replicaSet=rs",
            ),
            (
                "postgresql://me@db/lab?sslmode=require&password=hunter2",
                "postgresql://me@db/lab?sslmode=require&password=***",
            ),
        ],
    )
    def test_where_a_database_is_can_be_seen_without_its_password(self, shown_with, address, shown):
        listed = {"CONFIG_SECRETS_TO_OBFUSCATE": ["SEARCH_MONGO_URI", "SEARCH_MONGO_DB"]}
        for settings in ({}, listed):
            config = shown_with(SEARCH_MONGO_URI=address, MY_PLUGIN_ADDRESSES={"one": [address]}, **settings)
            assert config["search_mongo_uri"] == shown
            assert config["my_plugin_addresses"] == {"one": [shown]}
        assert shown_with(SEARCH_MONGO_DB="hunter2", **listed)["search_mongo_db"] == "***"

    def test_a_configuration_without_a_list_of_secrets_is_shown_as_safely(self, app, admin, monkeypatch):
        monkeypatch.delitem(app.config, "CONFIG_SECRETS_TO_OBFUSCATE")
        shown = admin.get("/config/info").json["config"]
        assert shown["secret_key"] == shown["jwt_private_key"] == "***"

    def test_what_json_cannot_express_is_shown_as_text(self, shown_with):
        assert shown_with(MY_PLUGIN_KEYS={1, 2})["my_plugin_keys"] == "{1, 2}"

    def test_only_upper_case_keys_are_settings(self, shown_with):
        assert "my_plugin" not in shown_with(my_plugin="internal")

    def test_applications_do_not_share_their_lists_of_secrets(self, make_app):
        one, other = make_app(), make_app()
        one.config["CONFIG_SECRETS_TO_OBFUSCATE"].append("OPENAPI_URL_PREFIX")
        assert "OPENAPI_URL_PREFIX" not in other.config["CONFIG_SECRETS_TO_OBFUSCATE"]


class TestVersions:
    def test_the_server_and_each_plugin_under_the_key_that_clients_look_for(self, anonymous, stores):
        answer = anonymous.get("/config/versions")
        assert answer.status_code == 200
        ours, kind = version("dservercore"), stores.get("DSERVER_SEARCH_PLUGIN", "sql")
        assert answer.json == {
            "versions": {
                "dservercore": ours,
                f"dserver_search_plugin_{kind}": ours,
                f"dserver_retrieve_plugin_{kind}": ours,
            }
        }


class TestHealth:
    def test_the_process_is_up(self, anonymous):
        answer = anonymous.get("/config/health")
        assert (answer.status_code, answer.json) == (200, {"status": "healthy"})

    def test_it_is_so_without_a_database(self, anonymous, app):
        _break_database(app)
        assert anonymous.get("/config/health").status_code == 200


class TestReady:
    def test_ready(self, anonymous):
        answer = anonymous.get("/config/ready")
        assert (answer.status_code, answer.json) == (200, {"sql": "ok", "search": "ok", "retrieve": "ok"})

    def test_a_database_without_tables_is_named_without_its_address(self, anonymous, app):
        _break_database(app)
        answer = anonymous.get("/config/ready")
        assert answer.status_code == 503
        assert set(answer.json) == {"sql", "search", "retrieve"}
        assert answer.json["sql"] != "ok"
        assert "sqlite" not in answer.text
        assert "no such table" not in answer.text

    @on_sql_alone
    def test_a_missing_search_index_is_the_matter_of_search_alone(self, anonymous, app):
        with app.app_context():
            sql_db.session.execute(text("DROP TABLE search_index"))
            sql_db.session.commit()
        answer = anonymous.get("/config/ready")
        assert answer.status_code == 503
        assert answer.json["sql"] == answer.json["retrieve"] == "ok"
        assert answer.json["search"] != "ok"


@pytest.mark.parametrize("path", ["/config/info", "/config/versions", "/config/health", "/config/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_of_it_can_be_changed(admin, path, method):
    assert admin.open(path, method=method).status_code == 405


def _break_database(app):
    with app.app_context():
        sql_db.drop_all()
