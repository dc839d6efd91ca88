"""The ``flask`` commands. Each parses, calls the catalog, commits once, and says what happened."""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: In which module each command is. One is imported when it is asked for: all take longer than a short command.
_MODULES = {
    "add_base_uri": "base_uris",
    "adopt_command": "adoption",
    "audit_cli": "audit",
    "backup_command": "backup",
    "base_uri_cli": "base_uris",
    "check_datasets": "checking",
    "config_cli": "config",
    "config_show": "config",
    "config_versions": "config",
    "dataset_cli": "checking",  # which adds a command to it
    "delete": "datasets",
    "delete_base_uri": "base_uris",
    "delete_jobs": "jobs",
    "delete_user": "users",
    "generate_keys": "keys",
    "generate_token": "users",
    "give_register_permission": "users",
    "give_search_permission": "users",
    "group_cli": "groups",
    "index_base_uri": "base_uris",
    "init_command": "init",
    "jobs_cli": "jobs",
    "keys_cli": "keys",
    "ldap_cli": "ldap",
    "list_base_uris": "base_uris",
    "list_datasets": "datasets",
    "list_jobs": "jobs",
    "list_users": "users",
    "prune": "audit",
    "public_key": "keys",
    "register": "datasets",
    "register_user": "users",
    "restore_command": "backup",
    "retry_jobs": "jobs",
    "search_command": "search",
    "serve_command": "serve",
    "show": "datasets",
    "update_user": "users",
    "user_cli": "users",
    "worker_command": "jobs",
}

__all__ = [  # made by __getattr__
    "add_base_uri",
    "adopt_command",
    "audit_cli",
    "backup_command",
    "base_uri_cli",
    "check_datasets",
    "config_cli",
    "config_show",
    "config_versions",
    "dataset_cli",
    "delete",
    "delete_base_uri",
    "delete_jobs",
    "delete_user",
    "generate_keys",
    "generate_token",
    "give_register_permission",
    "give_search_permission",
    "group_cli",
    "index_base_uri",
    "init_command",
    "jobs_cli",
    "keys_cli",
    "ldap_cli",
    "list_base_uris",
    "list_datasets",
    "list_jobs",
    "list_users",
    "prune",
    "public_key",
    "register",
    "register_user",
    "restore_command",
    "retry_jobs",
    "search_command",
    "serve_command",
    "show",
    "update_user",
    "user_cli",
    "worker_command",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
