"""``dservercore.cli``: the groups and commands, called one by one as a script or a plugin's tests would."""

from __future__ import annotations

import json
from pathlib import Path

import dtoolcore
import pytest
from flask_jwt_extended import decode_token

from dservercore import cli, utils
from support.world import CHAMPION, READER, RED, dataset_info


@pytest.fixture
def invoke(app):
    """``invoke(command, *arguments)`` returns what it prints on stdout; it must end with 0."""

    def invoke_one(command, *arguments):
        result = app.test_cli_runner().invoke(command, list(arguments))
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke_one


@pytest.fixture
def context(app):
    with app.app_context():
        yield


@pytest.fixture
def shelf(tmp_path) -> Path:
    """A directory with one dataset."""
    with dtoolcore.DataSetCreator("beans", f"file://{tmp_path}", "description: beans", "olga"):
        return tmp_path


def test_commands_for_users(invoke, context):
    assert invoke(cli.register_user, "doc", "--is_admin") == ""
    assert [user["username"] for user in json.loads(invoke(cli.list_users))] == ["doc"]
    assert utils.get_user_info("doc")["is_admin"] is True
    assert invoke(cli.update_user, "doc") == ""
    assert utils.get_user_info("doc")["is_admin"] is False
    token = invoke(cli.generate_token, "doc").strip()
    assert decode_token(token)["sub"] == "doc"
    assert invoke(cli.delete_user, "doc") == ""
    assert utils.list_users() == []


def test_commands_for_base_uris_and_permissions(invoke, context):
    assert invoke(cli.add_base_uri, RED) == ""
    utils.register_users([{"username": CHAMPION}])
    assert invoke(cli.give_search_permission, CHAMPION, RED) == ""
    assert invoke(cli.give_register_permission, CHAMPION, RED) == ""
    assert json.loads(invoke(cli.list_base_uris)) == [
        {
            "base_uri": RED,
            "users_with_search_permissions": [CHAMPION],
            "users_with_register_permissions": [CHAMPION],
        }
    ]


def test_commands_for_datasets(invoke, context, shelf):
    invoke(cli.add_base_uri, str(shelf))
    (base_uri,) = [registered["base_uri"] for registered in utils.list_base_uris()]
    assert invoke(cli.register, f"{base_uri}/beans") == f"Registered: {base_uri}/beans\n"
    utils.delete_dataset(f"{base_uri}/beans")
    assert invoke(cli.index_base_uri, str(shelf)) == f"Registered: {base_uri}/beans\n"
    assert utils.get_admin_metadata_from_uri(f"{base_uri}/beans")["uploaded_by"] is None


def test_commands_about_the_configuration(invoke, context, app):
    assert json.loads(invoke(cli.config_versions)) == utils.versions_to_dict()
    assert json.loads(invoke(cli.config_show)) == utils.obj_to_dict(app.config)


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (
            cli.user_cli,
            {"add", "update", "delete", "list", "search_permission", "register_permission", "token"},
        ),
        (cli.base_uri_cli, {"add", "list", "index"}),
        (cli.dataset_cli, {"register"}),
        (cli.config_cli, {"show", "versions"}),
    ],
)
def test_groups_have_their_commands(invoke, group, names):
    assert names <= set(group.commands)
    assert all(name in invoke(group, "--help") for name in names)


def test_a_group_calls_its_commands(invoke, people, context):
    uri = utils.register_dataset(dataset_info())
    assert json.loads(invoke(cli.dataset_cli, "show", "--json", uri))["uri"] == uri
    assert READER in invoke(cli.base_uri_cli, "list")
    assert READER in invoke(cli.user_cli, "list")
    assert json.loads(invoke(cli.config_cli, "versions"))["dservercore"]
