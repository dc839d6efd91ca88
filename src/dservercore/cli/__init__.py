"""The ``flask`` commands. Each parses, calls the catalog, commits once, and says what happened."""

from dservercore.cli.adoption import adopt_command
from dservercore.cli.audit import audit_cli, prune
from dservercore.cli.backup import backup_command, restore_command
from dservercore.cli.base_uris import (
    add_base_uri,
    base_uri_cli,
    delete_base_uri,
    index_base_uri,
    list_base_uris,
)
from dservercore.cli.checking import check_datasets
from dservercore.cli.config import config_cli, config_show, config_versions
from dservercore.cli.datasets import dataset_cli, delete, list_datasets, register, show
from dservercore.cli.groups import group_cli
from dservercore.cli.init import init_command
from dservercore.cli.jobs import delete_jobs, jobs_cli, list_jobs, retry_jobs, worker_command
from dservercore.cli.keys import generate_keys, keys_cli, public_key
from dservercore.cli.ldap import ldap_cli
from dservercore.cli.migrations import adapt_flask_migrate
from dservercore.cli.search import search_command
from dservercore.cli.serve import serve_command
from dservercore.cli.users import (
    delete_user,
    generate_token,
    give_register_permission,
    give_search_permission,
    list_users,
    register_user,
    update_user,
    user_cli,
)

adapt_flask_migrate()

__all__ = [
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
