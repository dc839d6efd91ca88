"""``flask config``"""

from __future__ import annotations

import json

from flask import Flask

import dservercore

from .conftest import CommandLine, Installation


def test_versions_are_those_of_server_and_plugins(flask: CommandLine) -> None:
    assert flask.read("config", "versions") == {
        "dservercore": dservercore.__version__,
        "dserver_search_plugin_sql": dservercore.__version__,
        "dserver_retrieve_plugin_sql": dservercore.__version__,
    }


def test_settings_are_shown_and_secrets_are_not(app: Flask, flask: CommandLine) -> None:
    app.config.update(SEARCH_MONGO_URI="mongodb://me:hush@db/", BROKER="amqp://me:hush@mq/", lower="case")
    output = flask.succeed("config", "show")
    shown = json.loads(output)
    assert output.startswith('{\n  "')
    assert all(key.isupper() for key in shown)
    assert shown["JWT_ALGORITHM"] == "RS256"
    assert shown["JWT_PUBLIC_KEY"] == app.config["JWT_PUBLIC_KEY"]
    for secret in ("SECRET_KEY", "JWT_PRIVATE_KEY", "SQLALCHEMY_DATABASE_URI"):
        assert shown[secret] == "***"
    assert shown["SEARCH_MONGO_URI"] == "mongodb://me:***@db/"
    assert "hush" not in output
    assert app.config["SECRET_KEY"] not in output


def test_a_wrong_setting_ends_in_one_line(installation: Installation) -> None:
    said = installation.fail("config", "show", DSERVER_SEARCH_PLUGIN="none")
    assert "DSERVER_SEARCH_PLUGIN" in said
    assert "installed: mongo, sql" in said
