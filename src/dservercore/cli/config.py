"""``flask config``: what the server runs with."""

from __future__ import annotations

from flask import current_app

from dservercore import plugin_host
from dservercore.cli.console import GroupWithoutDatabase, say_json
from dservercore.settings import configuration

config_cli = GroupWithoutDatabase(
    "config", help="Show the configuration, and the versions of server and plugins."
)


@config_cli.command(name="show")
def config_show() -> None:
    """Show every setting, as JSON.

    Secrets are shown as "***". Settings are environment variables: export them before you start the server.
    """
    say_json(configuration.shown(current_app.config))


@config_cli.command(name="versions")
def config_versions() -> None:
    """Show the versions of server and plugins, as JSON."""
    say_json(plugin_host.versions())
