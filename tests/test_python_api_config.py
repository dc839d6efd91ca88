"""``dservercore.utils`` and ``dservercore.config``: what plugins ask about the server, and URIs in paths."""

from __future__ import annotations

import datetime
import json

import pytest

from dservercore import create_app, utils


class Settings:
    """A configuration as plugins have it."""

    MONGO_URI = "mongodb://user:password@host/"
    MONGO_DB = "db"
    NETWORK = datetime.timedelta(seconds=5)
    lower_case = 1

    @classmethod
    def to_dict(cls):
        return utils.obj_to_lowercase_key_dict(cls, exclusions=["MONGO_DB"])


def test_obj_to_dict_hides_what_is_excluded_and_what_is_named_like_a_secret():
    assert utils.obj_to_dict(Settings, ["MONGO_DB"]) == {
        "MONGO_URI": "mongodb://user:***@host/",
        "MONGO_DB": "***",
        "NETWORK": "0:00:05",
    }


def test_obj_to_dict_takes_mappings_and_needs_no_exclusions(app):
    assert utils.obj_to_dict({"MONGO_DB": "db", "lower_case": 1, "NOTHING": None}) == {
        "MONGO_DB": "db",
        "NOTHING": None,
    }
    shown = utils.obj_to_dict(app.config)
    assert shown["JWT_PRIVATE_KEY"] == shown["SECRET_KEY"] == "***"
    json.dumps(shown)


def test_obj_to_lowercase_key_dict_is_the_same_in_lower_case():
    assert Settings.to_dict() == {
        "mongo_uri": "mongodb://user:***@host/",
        "mongo_db": "***",
        "network": "0:00:05",
    }


def test_versions_to_dict_is_what_clients_get(app):
    with app.app_context():
        versions = utils.versions_to_dict()
    assert app.test_client().get("/config/versions").json == {"versions": versions}
    assert versions["dservercore"]


@pytest.mark.parametrize(
    ("suffix", "uri"),
    [
        ("s3/bucket/x", "s3://bucket/x"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("file/host/tmp/x", "file://host/tmp/x"),
    ],
)
def test_url_suffixes_are_uris_and_back(suffix, uri):
    assert utils.url_suffix_to_uri(suffix) == uri
    assert utils.url_suffix_to_uri(utils.uri_to_url_suffix(uri)) == uri


def test_config_is_a_class_and_the_secrets_a_list():
    from dservercore.config import CONFIG_EXCLUSIONS, Config

    assert Config.JWT_ALGORITHM == "RS256"
    assert {"JWT_PRIVATE_KEY", "SECRET_KEY", "SQLALCHEMY_DATABASE_URI"} <= set(CONFIG_EXCLUSIONS)


def test_config_can_be_extended_and_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("DSERVER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DEFAULT_USER", "olga")
    from dservercore.config import Config

    class Mine(Config):
        MY_OWN = 1

    assert (Mine.MY_OWN, Mine.DEFAULT_USER) == (1, "olga")
    shown = utils.obj_to_dict(Mine, exclusions=["MY_OWN"])
    assert (shown["MY_OWN"], shown["SECRET_KEY"], shown["DEFAULT_USER"]) == ("***", "***", "olga")
    assert utils.obj_to_dict(Mine()) == utils.obj_to_dict(Mine)
    app = create_app({key: value for key, value in vars(Config).items() if key.isupper()})
    app.config.from_object(Mine)
    assert app.config["MY_OWN"] == 1


def test_the_list_of_secrets_does_not_grow_with_every_application(config):
    from dservercore.config import CONFIG_EXCLUSIONS

    before = list(CONFIG_EXCLUSIONS)
    create_app(config)
    create_app(config)
    assert before == CONFIG_EXCLUSIONS


def test_there_is_nothing_else_of_that_name():
    from dservercore import config

    with pytest.raises(AttributeError, match="Konfig"):
        _ = config.Konfig


def test_names_of_fields():
    assert utils.DATASET_SORT_FIELDS == [
        "base_uri",
        "created_at",
        "creator_username",
        "frozen_at",
        "name",
        "uri",
        "uuid",
    ]
    assert set(utils.DATASET_INFO_REQUIRED_KEYS) == {
        "uuid",
        "base_uri",
        "uri",
        "name",
        "type",
        "readme",
        "manifest",
        "creator_username",
        "frozen_at",
        "annotations",
        "tags",
    }
