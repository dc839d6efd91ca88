"""Every name that plugin authors import, where they import it from, and what its arguments are called."""

from __future__ import annotations

import importlib
import inspect

import pytest

NAMES = {
    "dservercore": """
        create_app sql_db jwt ma PluginABC SearchABC RetrieveABC ExtensionABC ValidationError AuthenticationError
        AuthorizationError UnknownBaseURIError UnknownURIError PaginationParameters SortParameters Blueprint
        SearchDatasetSchema RegisterDatasetSchema DatasetSchema search_entrypoints_iterator
        retrieve_entrypoints_iterator extension_entrypoints_iterator __version__
    """,
    "dservercore.utils": """
        DATASET_INFO_REQUIRED_KEYS DATASET_SORT_FIELDS obj_to_dict obj_to_lowercase_key_dict versions_to_dict
        generate_dataset_info user_exists get_user_obj register_user register_users update_users delete_users
        delete_user list_users get_user_info list_datasets_by_user lookup_datasets_by_user_and_uuid
        get_dataset_by_user_and_uri search_datasets_by_user preprocess_query_base_uris _preprocess_privileges
        summary_of_datasets_by_user dataset_uri_exists get_dataset_obj dataset_info_is_valid register_dataset
        delete_dataset create_dataset_obj_from_admin_metadata register_dataset_admin_metadata
        delete_dataset_admin_metadata get_admin_metadata_from_uri list_admin_metadata_in_base_uri url_suffix_to_uri
        uri_to_url_suffix base_uri_exists get_base_uri_obj register_base_uri delete_base_uri list_base_uris
        get_permission_info register_permissions get_readme_from_uri_by_user get_manifest_from_uri_by_user
        get_tags_from_uri_by_user get_annotations_from_uri_by_user set_tags_for_uri_by_user
        set_annotations_for_uri_by_user set_readme_for_uri_by_user set_annotation_for_uri_by_user
        delete_annotation_for_uri_by_user
    """,
    "dservercore.utils_auth": """
        jwt_required get_jwt_identity get_jwt user_exists has_admin_rights may_search may_access may_register
        list_search_base_uris list_register_base_uris
    """,
    "dservercore.sql_models": """
        User BaseURI Dataset search_permissions register_permissions FloatDateTimeField UserSchema UserUpdateSchema
        UserWithPermissionsSchema BaseURISchema BaseURIWithPermissionsSchema DatasetSchema
    """,
    "dservercore.schemas": """
        UUIDString HealthSchema ConfigSchema VersionSchema ItemSchema ReadmeSchema ReadmeRequestSchema ManifestSchema
        AnnotationSchema SingleAnnotationSchema TagSchema RegisterDatasetSchema SearchDatasetSchema SummarySchema
        MeUpdateSchema
    """,
    "dservercore.date_utils": "extract_created_at_as_datetime extract_frozen_at_as_datetime",
    "dservercore.blueprint": "Blueprint",
    "dservercore.sort": """
        ASCENDING DESCENDING SortParameters CommaSeparatedListFlaskParser SortMixin SortMetadataSchema
    """,
    "dservercore.config": "Config CONFIG_EXCLUSIONS",
    "dservercore.extensions": "sql_db jwt ma",
    "dservercore.cli": """
        user_cli base_uri_cli dataset_cli config_cli register_user update_user delete_user list_users
        give_search_permission give_register_permission generate_token add_base_uri list_base_uris index_base_uri
        register config_show config_versions
    """,
}

FACES = ["dservercore", "dservercore.utils", "dservercore.utils_auth", "dservercore.sql_models"]
FACES.append("dservercore.extensions")

ARGUMENTS = {
    "obj_to_dict": "obj exclusions",
    "obj_to_lowercase_key_dict": "obj exclusions",
    "versions_to_dict": "",
    "generate_dataset_info": "dataset base_uri",
    "user_exists": "username",
    "get_user_obj": "username",
    "register_user": "username data",
    "register_users": "users",
    "update_users": "users",
    "delete_users": "users",
    "delete_user": "username",
    "list_users": "",
    "get_user_info": "username",
    "list_datasets_by_user": "username pagination_parameters sort_parameters",
    "lookup_datasets_by_user_and_uuid": "username uuid pagination_parameters sort_parameters",
    "get_dataset_by_user_and_uri": "username uri",
    "search_datasets_by_user": "username query pagination_parameters sort_parameters",
    "preprocess_query_base_uris": "username query",
    "summary_of_datasets_by_user": "username",
    "register_base_uri": "base_uri",
    "get_permission_info": "base_uri_str",
    "register_permissions": "base_uri permissions",
    "dataset_info_is_valid": "dataset_info",
    "register_dataset": "dataset_info",
    "delete_dataset": "uri",
    "create_dataset_obj_from_admin_metadata": "admin_metadata",
    "register_dataset_admin_metadata": "admin_metadata",
    "list_admin_metadata_in_base_uri": "base_uri_str",
    "url_suffix_to_uri": "url_suffix",
    "uri_to_url_suffix": "uri",
    "get_readme_from_uri_by_user": "username uri",
    "set_tags_for_uri_by_user": "username uri tags",
    "set_annotation_for_uri_by_user": "username uri name value",
    "delete_annotation_for_uri_by_user": "username uri name",
}


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in NAMES.items() for n in names.split()])
def test_name_is_there(module, name):
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", FACES)
def test_face_lists_exactly_what_it_offers(module):
    offered = set(importlib.import_module(module).__all__)
    assert offered == set(NAMES[module].split())


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS.items())
def test_arguments_are_called_as_before(name, arguments):
    function = getattr(importlib.import_module("dservercore.utils"), name)
    assert list(inspect.signature(function).parameters) == arguments.split()


def test_session_and_schema_are_the_same_from_everywhere():
    import dservercore
    from dservercore import extensions, sql_models, utils

    assert dservercore.sql_db is extensions.sql_db
    assert dservercore.DatasetSchema is sql_models.DatasetSchema
    assert utils._preprocess_privileges is utils.preprocess_query_base_uris


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("ValidationError", [ValueError]),
        ("AuthenticationError", [ValueError]),
        ("AuthorizationError", [ValueError]),
        ("UnknownBaseURIError", [KeyError]),
        ("UnknownURIError", [KeyError]),
    ],
)
def test_errors_are_of_the_kinds_that_plugins_catch(name, bases):
    import dservercore

    error = getattr(dservercore, name)
    assert issubclass(error, tuple(bases))
    assert str(error("the reason")) == "the reason"
    error()  # the published plugins raise them without a reason
