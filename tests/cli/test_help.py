"""``--help`` of every command, and the names that plugins import"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from dservercore import cli

from .conftest import CommandLine

GROUPS = ["user", "base_uri", "dataset", "config", "keys", "ldap", "audit"]
FOR_PLUGINS = {
    "user_cli": None,
    "base_uri_cli": None,
    "dataset_cli": None,
    "config_cli": None,
    "register_user": ["alice"],
    "update_user": ["alice"],
    "delete_user": ["alice"],
    "list_users": [],
    "give_search_permission": ["alice", "s3://b"],
    "give_register_permission": ["alice", "s3://b"],
    "generate_token": ["alice"],
    "add_base_uri": ["s3://b"],
    "list_base_uris": [],
    "index_base_uri": ["s3://b"],
    "register": ["s3://b/x"],
    "config_show": [],
    "config_versions": [],
}


def commands() -> Iterator[tuple[list[str], click.Command]]:
    yield ["init"], cli.init_command
    yield ["adopt"], cli.adopt_command
    yield ["backup"], cli.backup_command
    yield ["restore"], cli.restore_command
    yield ["search"], cli.search_command
    for name in GROUPS:
        group = getattr(cli, f"{name}_cli")
        yield [name], group
        for child, command in group.commands.items():
            yield [name, child], command


ALL = {" ".join(path): (path, command) for path, command in commands()}


@pytest.mark.parametrize(("path", "command"), ALL.values(), ids=ALL)
def test_every_command_explains_itself(flask: CommandLine, path: list[str], command: click.Command) -> None:
    shown = flask.succeed(*path, "--help")
    assert command.help
    assert "\b" not in shown
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} has no help"
        else:
            assert parameter.name is not None
            assert parameter.name.upper() in command.help, f"{parameter.name} is not explained"


# In a process of its own: in that of the tests, other modules have been imported before.
ALONE_AND_WITH_ALL = """
import pkgutil
from importlib import import_module
from dservercore import cli
groups = [getattr(cli, name) for name in cli.__all__ if name.endswith("_cli")]
alone = [(group.name, sorted(group.commands)) for group in groups]
for module in pkgutil.iter_modules(cli.__path__):
    import_module(f"dservercore.cli.{module.name}")
assert alone == [(group.name, sorted(group.commands)) for group in groups], alone
"""


def test_a_group_has_all_its_commands_however_it_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE_AND_WITH_ALL], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("group", GROUPS)
def test_the_list_of_commands_says_each_in_a_line(flask: CommandLine, group: str) -> None:
    listed = flask.succeed(group, "--help").partition("Commands:")[2]
    assert listed.strip()
    assert "..." not in listed


@pytest.mark.parametrize(("name", "arguments"), FOR_PLUGINS.items(), ids=FOR_PLUGINS)
def test_plugins_can_run_the_command_objects(
    flask: CommandLine, name: str, arguments: list[str] | None
) -> None:
    command = getattr(cli, name)
    assert isinstance(command, click.Command)
    if arguments is not None:
        result = flask.runner.invoke(command, arguments)
        assert result.exit_code in (0, 1), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)


def test_no_arguments_where_they_are_needed_is_a_usage_error(flask: CommandLine) -> None:
    assert "USERNAME" in flask.misuse("user", "add")
    assert "No such option" in flask.misuse("user", "add", "--nonsense", "alice")
    assert "No such command" in flask.misuse("user", "nonsense")
