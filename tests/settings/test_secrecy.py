"""Secrets that are planted wherever a setting can hold one come out nowhere."""

from __future__ import annotations

import io
import json
import logging
import sqlite3

import pytest
from flask import abort
from flask_jwt_extended import create_access_token
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from dservercore import create_app, db, sql_db
from dservercore.app import init_logging
from dservercore.catalog import users
from dservercore.cli import config_cli, user_cli
from dservercore.errors import ConfigurationError
from dservercore.settings import secrecy
from dservercore.settings.configuration import read_environment, shown, with_defaults
from support.world import ADMIN, CHAMPION, dataset_info
from support.worlds import world

pytestmark = pytest.mark.attack

SECRET = "hunter2-Tr0ub4dor"
AWS_KEY = "AKIA" + "ABCDEFGH12345678"

#: Settings with a secret in them, as plugins and administrators have them.
PLANTED = {
    "SECRET_KEY": SECRET,
    "SECRET_KEY_FALLBACKS": [SECRET],
    "JWT_SECRET_KEY": SECRET,
    "DSERVER_METRICS_TOKEN": SECRET,
    "SEARCH_MONGO_URI": f"mongodb://me:{SECRET}@db.example.org/?authSource=admin",
    "RETRIEVE_MONGO_URI": f"mongodb://db.example.org/?password={SECRET}",
    "MY_PLUGIN_TOKEN": SECRET,
    "MY_PLUGIN_API_KEY": SECRET,
    "MY_PLUGIN_APIKEY": SECRET,
    "MY_PLUGIN_PWD": SECRET,
    "MY_PLUGIN_DB_PASS": SECRET,
    "MY_PLUGIN_DSN": f"https://{SECRET}@errors.example.org/1",
    "MY_PLUGIN_SIGNING_KEY": SECRET,
    "MY_PLUGIN_CONNECTION_STRING": f"AccountName=me;AccountKey={SECRET}==",
    "MY_PLUGIN_DATABASE": f"host=db user=me password={SECRET} dbname=x",
    "MY_PLUGIN_ADDRESS": f"https://api.example.org/v1?user=me&token={SECRET}&page=1",
    "MY_PLUGIN_SIGNED": f"https://me.blob.example.org/box?sv=2024-11-04&sig={SECRET}&se=2027",
    "MY_PLUGIN_HEADER": f"Bearer {SECRET}",
    "MY_PLUGIN_HEADERS": {"Authorization": f"Basic {SECRET}", "as_text": f"Authorization: bearer {SECRET}"},
    "MY_PLUGIN_SLASH": f"redis://me:a/{SECRET}@cache:6379/0",
    "MY_PLUGIN_AT": f"redis://me:a@{SECRET}@cache:6379/0",
    "MY_PLUGIN_ADDRESSES": [f"redis://me:{SECRET}@one", f"redis://me:{SECRET}@other"],
    "MY_PLUGIN_OPTIONS": {"connect_args": {"password": SECRET, "sslpassword": SECRET, "timeout": 3}},
    "MY_PLUGIN_JSON": json.dumps({"user": "me", "password": SECRET}),
    "MY_PLUGIN_PEM": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "DTOOL_S3_ACCESS_KEY_ID": AWS_KEY,
    "MY_PLUGIN_ID": AWS_KEY,
    "SQLALCHEMY_ENGINE_OPTIONS": {"pool_recycle": 60},
    "API_SPEC_OPTIONS": {"servers": [{"url": f"https://me:{SECRET}@data.example.org"}]},
}


def without_secrets(said: str) -> bool:
    return SECRET not in said and AWS_KEY not in said


class TestConfiguration:
    @pytest.mark.parametrize("name", PLANTED)
    def test_no_setting_shows_its_secret(self, name):
        assert without_secrets(json.dumps(shown({name: PLANTED[name]})))

    def test_what_is_none_is_shown(self):
        config = {
            "JWT_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
            "JWT_TOKEN_LOCATION": "headers",
            "JWT_ACCESS_TOKEN_EXPIRES": 900,
            "JWT_PRIVATE_KEY_FILE": "/etc/dserver/jwt_key",
            "MY_PLUGIN_URL": "https://api.example.org/v1?page=1",
            "MY_PLUGIN_MAIL": "olga@example.org",
            "JWT_HEADER_TYPE": "Bearer",
            "MY_PLUGIN_TITLE": "The basic principles of bearer tokens",
            "MY_PLUGIN_TEXT": "the key to success is practice",
        }
        assert shown(config) == config

    def test_the_command_line_and_the_api(self, tmp_path, key_pair):
        with world(
            tmp_path, key_pair, **{n: v for n, v in PLANTED.items() if n != "API_SPEC_OPTIONS"}
        ) as place:
            info = place.send("GET", "/config/info", ADMIN)
            assert info.status_code == 200
            assert info.json["config"]["my_plugin_token"] == "***"
            shown_there = place.app.test_cli_runner().invoke(config_cli, ["show"]).stdout
            assert json.loads(shown_there)["MY_PLUGIN_TOKEN"] == "***"
            said = [
                info.text,
                shown_there,
                place.app.test_cli_runner().invoke(config_cli, ["versions"]).stdout,
            ]
            said += [
                place.send("GET", path).text
                for path in ("/config/versions", "/config/ready", "/doc/openapi.json")
            ]
            private = place.app.config["JWT_PRIVATE_KEY"].splitlines()[3]
            for text_ in said:
                assert without_secrets(text_)
                assert private not in text_


#: Addresses of databases that cannot be used, each with a secret.
ADDRESSES = [
    f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    f"postgresql://me@127.0.0.1:1/db?password={SECRET}",
    f"postgresql://me:x@127.0.0.1:1/db?sslmode=require&sslpassword={SECRET}",
    f"postgresql://me@127.0.0.1:1/db?passfile={SECRET}&options=-cpassword%3D{SECRET}",
    f"postgresql://me:{SECRET}@127.0.0.1:port/db",
    f"postgresql://me:{SECRET}@127.0.0.1:99999/db",
    f"postgresql://me:a/{SECRET}@127.0.0.1:1/db",
    f"postgresql://me:a@{SECRET}@127.0.0.1:1/db",
    f"postgresql://127.0.0.1:1/db?no_such_option={SECRET}&password={SECRET}",
    f"nosql://me:{SECRET}@127.0.0.1/db",
    f"me:{SECRET}@127.0.0.1/db",
    f"postgresql+nodriver://me:{SECRET}@127.0.0.1/db",
]


class TestDatabase:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_that_is_away_or_wrongly_addressed(self, address, config, caplog):
        caplog.set_level(logging.DEBUG)
        said = []
        try:
            app = create_app({**config, "SQLALCHEMY_DATABASE_URI": address, "PROPAGATE_EXCEPTIONS": False})
        except ConfigurationError as error:
            said.append(error.message)
        else:
            client = app.test_client()
            with app.app_context():
                said.append(db.address())
                with pytest.raises(ConfigurationError) as raised:
                    db.current_revision()
                said.append(raised.value.message)
                headers = {"Authorization": "Bearer " + token_of(app)}
            said += [
                client.get(path, headers=headers).text for path in ("/config/ready", "/uris", "/me", "/audit")
            ]
            for command in (["list"], ["add", "x"], ["token", "x"]):
                result = app.test_cli_runner().invoke(user_cli, command)
                assert result.exit_code != 0
                said.append(result.output)
        formatter = redacting({**with_defaults(config), "SQLALCHEMY_DATABASE_URI": address})
        said += [formatter.format(record) for record in caplog.records]
        assert said
        for text_ in said:
            assert SECRET not in text_

    def test_a_driver_that_quotes_the_address(self, app):
        """As libpq does with what it cannot read."""
        with app.app_context():
            error = OperationalError(
                "SELECT", {}, sqlite3.OperationalError(f"bad dsn: host=x password='{SECRET}' y\nmore")
            )
            assert db.reason(error) == "bad dsn: host=x password='***' y"
            error = DBAPIError("SELECT", {}, Exception(f"cannot open postgresql://me:{SECRET}@host/db"))
            assert db.reason(error) == "cannot open postgresql://***@host/db"

    def test_what_helps_is_left(self, app):
        with app.app_context():
            for said in (
                "Access denied for user 'root'@'localhost' (using password: YES)",
                "no password supplied",
            ):
                assert db.reason(OperationalError("SELECT", {}, Exception(said))) == said


def token_of(app) -> str:
    return create_access_token(CHAMPION)


def redacting(config) -> secrecy.Redacting:
    formatter = secrecy.Redacting("%(levelname)s %(message)s")
    formatter.hide(secrecy.secrets_of(config))
    return formatter


class TestErrorsAndLog:
    @pytest.fixture
    def place(self, tmp_path, key_pair):
        planted = {name: value for name, value in PLANTED.items() if name != "API_SPEC_OPTIONS"}
        with world(
            tmp_path, key_pair, DSERVER_LOG_LEVEL="DEBUG", MAX_CONTENT_LENGTH=100_000, **planted
        ) as place:
            yield place

    @pytest.fixture
    def log(self, place, monkeypatch):
        """What the package's own handler writes."""
        stream = io.StringIO()
        logger = logging.getLogger("dservercore")
        others = [logging.getLogger(name) for name in ("sqlalchemy", "flask_cors", "werkzeug")]
        handler = logging.StreamHandler(stream)
        formatter = redacting(place.app.config)
        handler.setFormatter(formatter)
        for other in (logger, *others):
            other.addHandler(handler)
            monkeypatch.setattr(other, "level", logging.DEBUG)
        yield stream
        for other in (logger, *others):
            other.removeHandler(handler)

    def test_errors_of_every_kind(self, place, log):
        def fail() -> None:
            local = SECRET  # stands in a frame of the traceback, and in its text
            raise RuntimeError(f"cannot reach amqp://me:{local}@queue with {place.app.config['SECRET_KEY']}")

        place.app.add_url_rule("/fails", view_func=fail)
        place.app.add_url_rule("/aborts", view_func=lambda: abort(500))
        info = dataset_info()
        path = f"/uris/{info['uri'].replace('://', '/')}"
        answers = {
            400: place.send("PUT", path, data="{", content_type="application/json"),
            404: place.send("GET", "/nowhere"),
            405: place.send("POST", "/me"),
            413: place.send("PUT", path, json={**info, "readme": SECRET * 10_000}),
            422: place.send("PUT", path, json={**info, "name": ""}),
            401: place.client.get("/me"),
            403: place.send("GET", "/users"),
            409: place.send("DELETE", f"/users/{ADMIN}", ADMIN),
        }
        answers[500] = place.send("GET", "/fails")
        with place.app.app_context():
            sql_db.session.execute(text("DROP TABLE audit"))
            sql_db.session.commit()
        answers[503] = place.send("PUT", "/users/eve", ADMIN, json={})
        for status, answer in answers.items():
            assert answer.status_code == status
            assert without_secrets(answer.text + str(answer.headers))
        logged = log.getvalue()
        assert "RuntimeError: cannot reach amqp://***@queue" in logged
        assert "The database cannot serve" in logged
        assert without_secrets(logged)
        assert place.app.config["JWT_PRIVATE_KEY"].splitlines()[3] not in logged

    def test_the_handler_of_the_server_is_such_a_one(self, place, monkeypatch):
        logger = logging.getLogger("dservercore")
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        init_logging(place.app)
        (handler,) = logger.handlers
        said = handler.format(logging.LogRecord("dservercore", 30, "", 1, "key %s", (SECRET,), None))
        assert said.endswith("WARNING key ***")

    def test_paths_that_look_like_addresses_stay_legible(self):
        formatter = redacting({})
        line = "GET /uris/s3://red/a@b 200 user=me@example.org from=::1"
        assert formatter.format(logging.LogRecord("x", 20, "", 1, line, (), None)) == f"INFO {line}"


class TestSettings:
    """A wrong setting stops the server with a line that shows no secret."""

    @pytest.mark.parametrize(
        "environment",
        [
            {"DSERVER_CORS_ORIGINS": f"https://me:{SECRET}@lookup.example.org"},
            {"DSERVER_TRUSTED_PROXIES": f"https://me:{SECRET}@proxy"},
            {"DSERVER_SECURITY_HEADERS": f"password={SECRET}"},
            {"SECRET_KEY": f"change-me-{SECRET}"},
            {"JWT_PUBLIC_KEY": SECRET},
            {"API_SPEC_OPTIONS": SECRET},
            {"MAX_CONTENT_LENGTH": f"redis://me:{SECRET}@x"},
        ],
        ids=lambda environment: next(iter(environment)),
    )
    def test_from_the_environment(self, environment, tmp_path):
        with pytest.raises(ConfigurationError) as raised:
            read_environment({"DSERVER_DATA_DIR": str(tmp_path), **environment})
        assert SECRET not in raised.value.message
        assert next(iter(environment)) in raised.value.message

    def test_a_private_key_file_that_is_none(self, tmp_path):
        (tmp_path / "jwt_key").write_text(SECRET)
        with pytest.raises(ConfigurationError) as raised:
            read_environment({"DSERVER_DATA_DIR": str(tmp_path)})
        assert SECRET not in raised.value.message


def test_what_the_audit_keeps_of_a_user_is_no_secret(tmp_path, key_pair):
    with world(tmp_path, key_pair) as place:
        headers = place.bearer(ADMIN)["Authorization"]
        place.send("PUT", "/users/eve", ADMIN, json={})
        assert headers not in place.send("GET", "/audit", ADMIN).text
        with place.app.app_context():
            assert users.get_user("eve")
