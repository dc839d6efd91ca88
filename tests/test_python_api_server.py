"""``dservercore`` itself: the application, the classes of plugins, and what is handed on from other modules."""

from __future__ import annotations

from importlib.metadata import EntryPoint, version

import flask_smorest.pagination
import pytest
from flask import Flask
from flask_jwt_extended import JWTManager

import dservercore
from dservercore import blueprint, create_app, extensions, schemas, sort, sql_models, utils
from dservercore.errors import ConfigurationError
from support.world import RED, dataset_info


def test_create_app_takes_a_small_mapping_in_either_way_and_leaves_it_alone():
    settings = {"SQLALCHEMY_DATABASE_URI": "sqlite:///:memory:", "MY_OWN": 1}
    given = dict(settings)
    for app in (create_app(settings), create_app(test_config=settings)):
        assert isinstance(app, Flask)
        assert app.config["MY_OWN"] == 1
        assert app.test_client().get("/config/health").json == {"status": "healthy"}
    assert settings == given


def test_the_mapping_is_the_whole_configuration(monkeypatch):
    monkeypatch.setenv("DEFAULT_USER", "from-the-environment")
    assert create_app({}).config["DEFAULT_USER"] == "testuser"
    assert create_app({"DEFAULT_USER": "olga"}).config["DEFAULT_USER"] == "olga"


def test_create_app_without_a_mapping_reads_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DSERVER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DEFAULT_USER", "from-the-environment")
    assert create_app().config["DEFAULT_USER"] == "from-the-environment"


def test_what_create_app_is_given_makes_another_app():
    first, second = create_app({"MY_OWN": 1}), create_app({"MY_OWN": 2})
    assert (first.config["MY_OWN"], second.config["MY_OWN"]) == (1, 2)
    assert create_app(first.config).config["MY_OWN"] == 1


def test_a_wrong_setting_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="DISABLE_JWT_AUTHORISATION"):
        create_app({"DISABLE_JWT_AUTHORISATION": "maybe"})


def test_the_app_has_its_plugins(app):
    assert isinstance(app.search, dservercore.SearchABC)
    assert isinstance(app.retrieve, dservercore.RetrieveABC)
    assert app.custom_extensions == []
    assert app.plugins == [app.search, app.retrieve]


def test_functions_say_when_there_is_no_application():
    for call in (utils.list_users, utils.versions_to_dict, lambda: utils.register_dataset(dataset_info())):
        with pytest.raises(RuntimeError, match="application context"):
            call()


@pytest.mark.parametrize(
    ("iterate", "kind"),
    [
        (dservercore.search_entrypoints_iterator, dservercore.SearchABC),
        (dservercore.retrieve_entrypoints_iterator, dservercore.RetrieveABC),
    ],
)
def test_iterators_yield_entry_points_of_plugins(iterate, kind):
    found = {entry_point.name: entry_point for entry_point in iterate()}
    assert all(isinstance(entry_point, EntryPoint) for entry_point in found.values())
    assert issubclass(found["sql"].load(), kind)


def test_the_iterator_of_extensions_yields_those_of_its_group():
    for entry_point in dservercore.extension_entrypoints_iterator():
        assert entry_point.group == "dservercore.extension"
        assert issubclass(entry_point.load(), dservercore.ExtensionABC)


def test_the_version_is_that_of_the_package(app):
    assert dservercore.__version__ == version("dservercore")
    with app.app_context():
        assert utils.versions_to_dict()["dservercore"] == dservercore.__version__


# What a plugin has to write, and what it inherits


class Search(dservercore.SearchABC):
    def register_dataset(self, dataset_info):
        return "stored"

    def search(self, query, pagination_parameters=None, sort_parameters=None):
        return []


class Retrieve(dservercore.RetrieveABC):
    def get_readme(self, uri):
        return ""

    def get_manifest(self, uri):
        return {}

    def get_annotations(self, uri):
        return {}

    def get_tags(self, uri):
        return []


class Extension(dservercore.ExtensionABC):
    def get_blueprint(self):
        return dservercore.Blueprint("nothing", __name__)


@pytest.mark.parametrize("kind", [Search, Retrieve, Extension])
def test_what_a_plugin_inherits(kind, app):
    plugin = kind()
    assert isinstance(plugin, dservercore.PluginABC)
    assert plugin.init_app(app) is None
    assert plugin.init_app(app, 1, more=2) is None
    assert plugin.get_config() == {}
    assert plugin.get_config_secrets_to_obfuscate() == []
    assert plugin.delete_dataset("s3://red/none") is None
    assert plugin.register_dataset(dataset_info()) in (None, "stored")
    assert plugin.ready() is None
    assert plugin.require_available() is None


def test_secrets_of_one_plugin_are_not_those_of_another():
    Search().get_config_secrets_to_obfuscate().append("MINE")
    assert Search().get_config_secrets_to_obfuscate() == Extension().get_config_secrets_to_obfuscate() == []


@pytest.mark.parametrize(
    ("kind", "abstract"),
    [
        (dservercore.PluginABC, {"register_dataset"}),
        (dservercore.SearchABC, {"register_dataset", "search"}),
        (dservercore.RetrieveABC, {"get_readme", "get_manifest", "get_annotations", "get_tags"}),
        (dservercore.ExtensionABC, {"get_blueprint"}),
    ],
)
def test_what_a_plugin_has_to_write(kind, abstract):
    assert kind.__abstractmethods__ == abstract
    with pytest.raises(TypeError, match="abstract"):
        kind()


# What is handed on


def test_names_are_the_same_from_everywhere():
    assert dservercore.sql_db is extensions.sql_db
    assert dservercore.jwt is extensions.jwt
    assert dservercore.ma is extensions.ma
    assert dservercore.Blueprint is blueprint.Blueprint
    assert dservercore.SortParameters is sort.SortParameters
    assert dservercore.PaginationParameters is flask_smorest.pagination.PaginationParameters
    assert dservercore.DatasetSchema is sql_models.DatasetSchema
    assert dservercore.RegisterDatasetSchema is schemas.RegisterDatasetSchema
    assert dservercore.SearchDatasetSchema is schemas.SearchDatasetSchema
    assert utils._preprocess_privileges is utils.preprocess_query_base_uris


def test_the_manager_of_tokens_is_that_of_the_app(app):
    assert isinstance(extensions.jwt, JWTManager)
    assert app.extensions["flask-jwt-extended"] is extensions.jwt


def test_marshmallow_makes_schemas_of_tables(app):
    class Place(extensions.ma.SQLAlchemyAutoSchema):
        class Meta:
            model = sql_models.BaseURI
            fields = ("base_uri",)

    with app.app_context():
        utils.register_base_uri(RED)
        assert Place(many=True).dump(sql_models.BaseURI.query.all()) == [{"base_uri": RED}]


def test_a_page_is_made_by_hand():
    page = dservercore.PaginationParameters(page=3, page_size=10)
    assert (page.first_item, page.last_item, page.item_count) == (20, 29, None)
