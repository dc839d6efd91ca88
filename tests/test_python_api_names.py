"""Every name that plugin authors import: where from, what its arguments are called, its test, and its documentation."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
REFERENCE = TESTS.parent / "docs" / "reference"

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


EACH_NAME = pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in NAMES.items() for name in names.split()]
)


@EACH_NAME
def test_name_is_there(module, name):
    assert hasattr(importlib.import_module(module), name)


# That a test uses a name does not prove that it looks at everything the name does, but a name that no test uses has
# certainly none.


@functools.cache
def used_in_tests() -> set[str]:
    """Return the full names of what is used by the tests of this interface; to import a name is not to use it."""
    modules = [TESTS / "rest" / f"test_{name}.py" for name in ("sort", "blueprint", "schemas")]
    modules.append(TESTS / "dataset" / "test_times.py")
    modules += set(TESTS.glob("test_python_api_*.py")) - {Path(__file__)}
    return {name for module in modules for name in _used(ast.parse(module.read_text()))}


def _used(tree: ast.Module) -> set[str]:
    meaning: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            meaning |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            meaning |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def full_name(node: ast.AST) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full_name(node.value)}.{node.attr}"
        return meaning.get(node.id, "") if isinstance(node, ast.Name) else ""

    return {full_name(node) for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Name))}


def test_to_import_a_name_is_not_to_use_it():
    tree = ast.parse("from a import b, c\nimport d.e\nfrom a import f as g\nlist_ = 'a.c'\nb(g.h)\n")
    used = _used(tree)
    assert {"a.b", "a.f", "a.f.h"} <= used
    assert not {"a.c", "d.e"} & used


@EACH_NAME
def test_name_is_tested(module, name):
    assert f"{module}.{name}" in used_in_tests()


@functools.cache
def described(page: str) -> set[str]:
    """Return the full names of what a page of the reference describes with a directive of its own."""
    names: set[str] = set()
    module = prefix = ""
    for line in (REFERENCE / f"{page}.rst").read_text().splitlines():
        directive = re.fullmatch(r"( *\.\. (?:py:)?(\w+):: )(.+)", line)
        if directive and directive[2] == "currentmodule":
            module = directive[3]
        elif directive and re.fullmatch(r"(auto)?(function|class|data|exception)", directive[2]):
            prefix = " " * len(directive[1])
            names.add(_in(module, directive[3]))
        elif prefix and line.startswith(prefix):  # one more name for the same directive
            names.add(_in(module, line))
        else:
            prefix = ""
    return names


def _in(module: str, signature: str) -> str:
    name = signature.partition("(")[0].strip()
    return name if name.startswith("dservercore.") else f"{module}.{name}"


@EACH_NAME
def test_name_is_documented(module, name):
    if f"{module}.{name}" in described("python-api"):
        return
    # Or the page says where else it is described.
    mentioned = set(
        re.findall(r":(?:class|exc):`(dservercore\.[\w.]+)`", (REFERENCE / "python-api.rst").read_text())
    )
    elsewhere = mentioned & (described("python-api") | described("plugin-api"))
    thing = getattr(importlib.import_module(module), name)
    assert any(_named(place) is thing for place in elsewhere), "not in docs/reference/python-api.rst"


def _named(full_name: str) -> object:
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("page", ["python-api", "plugin-api"])
def test_what_is_documented_is_there(page):
    assert len(described(page)) > 10
    for full_name in described(page):
        assert _named(full_name) is not None


@pytest.mark.parametrize(
    "constant", ["DATASET_SORT_FIELDS", "DATASET_INFO_REQUIRED_KEYS", "CONFIG_EXCLUSIONS"]
)
def test_documented_values_are_those(constant):
    page = (REFERENCE / "python-api.rst").read_text()
    description = page.partition(f".. py:data:: {constant}\n")[2]
    sentence = re.split(r"\.\s", description)[0]
    from dservercore import config, utils

    documented = re.findall(r"``(\w+)``", sentence)
    assert documented == list(getattr(utils, constant, None) or getattr(config, constant))


@pytest.mark.parametrize("module", FACES)
def test_face_lists_exactly_what_it_offers(module):
    offered = set(importlib.import_module(module).__all__)
    assert offered == set(NAMES[module].split())


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS.items())
def test_arguments_are_called_as_before(name, arguments):
    function = getattr(importlib.import_module("dservercore.utils"), name)
    assert list(inspect.signature(function).parameters) == arguments.split()


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
